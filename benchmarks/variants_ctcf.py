"""Allele-specific CTCF binding on human chr22: variants of one half, scored by models of the other.

The chromosome is cut in two at 35.87 Mb, between two pieces of ``benchmarks/human_ctcf.py``, whose
data and settings these are. Each half has its models, which saw no base of the other half; every
AlleleDB variant is scored by the models of the half that it does not lie in, an ensemble of the
seeds. The halves, seeds and regimes were fixed before anything was trained.

    python benchmarks/variants_ctcf.py --data $CROSSLABEL_MIRROR --out /tmp/variants --threads 1

Finished runs are not repeated.
"""

from __future__ import annotations

from human_ctcf import project_text, write_inputs
from yeast_project import built, command_line, parsed, run_cells, trained

EXPERIMENT = "CTCF"
REGIMES = ("sl", "ssl", "ssl-plus")
#: Half of the chromosome → the pieces in it, and the one of them that validates.
HALVES = {
    "first": ([f"piece{i}" for i in range(1, 7)], "piece4"),
    "second": ([f"piece{i}" for i in range(7, 11)], "piece8"),
}
OTHER = {"first": "second", "second": "first"}


def main() -> None:
    parser = command_line(__doc__.splitlines()[0], model="cnn-27k", seeds=3)
    args = parsed(parser)
    write_inputs(args.data, args.out / "inputs")
    for half, (_, validation) in HALVES.items():
        split = {"test": HALVES[OTHER[half]][0], "validation": [validation]}
        text = project_text(args.data, args.out / "inputs", args.model, args.seeds, split=split)
        project = built(args.out / half, text)
        for seed in range(args.seeds):
            for regime in REGIMES:
                cell = {
                    "experiment": EXPERIMENT,
                    "model": args.model,
                    "regime": regime,
                    "seed": seed,
                }
                print(half, regime, seed, trained(project, **cell)[0]["aupr"], flush=True)


if __name__ == "__main__":
    main()
