"""What each part of ssl-plus brings on yeast, measured without the test contigs of the benchmark.

Choices are made here: chrIV and chrXV, the test of ``benchmarks/yeast.py``, are excluded, and
chrVII, chrXIII and chrXVI are the test instead; validation is chrXII as there. Parts are added to
ssl one after the other, then left out of ssl-plus one at a time. Finished cells are not repeated.

    python benchmarks/yeast_ablation.py --data $CROSSLABEL_MIRROR --out /tmp/ablation

Writes ``<out>/ablation.csv`` (one row per run) after every cell and prints a table of means over
seeds, one column per factor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from yeast_project import (
    FACTORS,
    built,
    by_variant,
    command_line,
    parsed,
    project_text,
    run_cells,
    trained,
)

from ssldata.project.project_file import Project
from sslmodels.runs.regime_table import effective

DEVELOPMENT = {"test": ["chrVII", "chrXIII", "chrXVI"], "validation": ["chrXII"]}
EXCLUDED = ["*_*", "chrM", "chrIV", "chrXV"]

#: ssl in the terms of ssl-plus: every part switched off.
PLAIN = {
    "ratio": 1.0,
    "redraw": False,
    "labelled": False,
    "reverse_complement": False,
    "validation_negatives": 5.0,
}
PARTS = {
    "new negatives every epoch": {"redraw": True},
    "both strands": {"reverse_complement": True},
    "five negatives per positive": {"ratio": 5.0},
    "labelled among homologues": {"labelled": True},
    "more validation negatives": {"validation_negatives": 50.0},
}


def variants() -> dict[str, tuple[str, dict]]:
    """Return name → (regime, options of ssl-plus), in the order they are trained."""
    found: dict[str, tuple[str, dict]] = {"ssl": ("ssl", {})}
    options = dict(PLAIN)
    for name, part in PARTS.items():
        options |= part
        found[f"+ {name}"] = ("ssl-plus", dict(options))
    whole = dict(options)
    for name, part in PARTS.items():
        if name != list(PARTS)[-1]:  # the last addition is this already
            found[f"ssl-plus without: {name}"] = (
                "ssl-plus",
                whole | {key: PLAIN[key] for key in part},
            )
    found["ssl-plus, no fine-tuning"] = ("ssl-plus", {**whole, "finetune": False})
    found["ssl-plus, one per locus"] = ("ssl-plus", {**whole, "one_per_locus": True})
    found["ssl-plus, twenty negatives"] = ("ssl-plus", {**whole, "ratio": 20.0})
    found["homolog-sampling"] = ("homolog-sampling", {})
    found["sl"] = ("sl", {})
    # What is left when the homologues are taken away and every other part stays.
    found["ssl-plus without homologues (sl)"] = ("sl", whole)
    found["sl-plus"] = ("sl-plus", whole)
    return found


def configured(project: Project, number: int, regime: str, options: dict) -> Project:
    """Return the project of one variant; the general parts of ssl-plus apply to all regimes."""
    training = project.training
    changes = {
        "runs": training.runs / f"variant-{number:02d}",
        "ssl_plus": training.ssl_plus.model_copy(update=options),
    }
    project = project.model_copy(update={"training": training.model_copy(update=changes)})
    plus = ("ssl-plus", "sl-plus")
    return effective(project, "ssl-plus") if options and regime not in plus else project


def main() -> None:
    parser = command_line(__doc__.splitlines()[0], model="cnn-7k", seeds=1)
    parser.add_argument("--factors", nargs="+", choices=FACTORS, default=["Mcm1", "Fkh1", "Swi4"])
    args = parsed(parser)
    text = project_text(args.data, [args.model], args.seeds, 1, split=DEVELOPMENT, exclude=EXCLUDED)
    project = built(args.out, text, args.factors)

    def row(project: Project, name: str, **cell: Any) -> dict[str, Any]:
        numbers, record = trained(project, **cell)
        del cell["regime"]
        kept = {"steps": record["steps"], "cpu_s": record["cpu_s"]}
        return {"variant": name, **cell, "aupr": numbers["aupr"], **kept}

    def cells() -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
        for seed in range(args.seeds):
            for number, (name, (regime, options)) in enumerate(variants().items()):
                varied = configured(project, number, regime, options)
                for factor in args.factors:
                    cell = {"experiment": factor, "model": args.model, "regime": regime}
                    yield (
                        f"{name} {factor} seed {seed}",
                        partial(row, varied, name, **cell, seed=seed),
                    )

    print(by_variant(run_cells(args.out / "ablation.csv", cells())))


if __name__ == "__main__":
    main()
