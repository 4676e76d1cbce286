"""The recipe of the yeast benchmark on new ground: human CTCF, homologues from apes.

One contig is cut into ten (`CUTS`), so that there are contigs to split by; every cut lies between
the alignments, so each chain keeps its blocks and only changes the name and the offset of its
contig. Test and validation were chosen before anything was trained. Models, settings and regimes
are those of ``benchmarks/yeast.py``; nothing was tuned here. Finished cells are not repeated.

    python benchmarks/human_ctcf.py --data $CROSSLABEL_MIRROR --out /tmp/ctcf --labelled 0 300 100

The baselines learn from all labelled loci. `--data` holds ``primates_chr22``, ``human`` and
``motifs``. `--labelled`: numbers of labelled loci, 0 is all;
`--regimes`: some of `REGIMES` of ``yeast_project.py``. Writes ``<out>/results.csv`` (one row per
run) after every cell, and prints means over seeds with intervals over the test bins, and ratios.
"""

from __future__ import annotations

import gzip
from bisect import bisect_right
from collections.abc import Iterator
from functools import partial
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from yeast import ensemble_aupr, run_cell
from yeast_project import (
    PAIRS,
    REGIMES,
    built,
    command_line,
    compared_factors,
    comparison_lines,
    parsed,
    run_cells,
    training_section,
    with_folders,
)
from yeast_recipe import RECIPE, baseline_lines, over_best

from ssldata.base.files import write_text_atomic
from ssldata.project.project_file import Project
from sslmodels.benchmark.result_intervals import mean_interval, resamples_of

#: Where chr22 of hg19 is cut: 0-based, none within a chain to any of the three genomes.
CUTS = (
    *(21_000_000, 23_000_000, 25_700_000, 29_990_000, 32_400_000),
    *(35_870_000, 38_760_000, 42_920_000, 47_100_000),
)
SPLIT = {"test": ["piece4", "piece8"], "validation": ["piece6"]}
#: Genome → its name in the files, and substitutions per site, which only put genomes in order.
APES = {"panTro2": ("PanTro2", 0.012), "gorGor": ("GorGor", 0.016), "orang": ("OrangBlocks", 0.03)}
SEQUENCES = {
    "panTro2": "panTro2.chr22.partial.fa.gz",
    "gorGor": "gorGor.chr22.partial.fa.gz",
    "orang": "orang_blocks.fa.gz",
}
EXPERIMENT = "CTCF"
#: The matrix of CTCF in JASPAR 2024, CORE, vertebrates.
MATRIX = "MA0139.2"


def pieces(length: int) -> list[tuple[str, int, int]]:
    """Return name, start and end of every piece."""
    edges = [0, *CUTS, length]
    return [(f"piece{i}", start, end) for i, (start, end) in enumerate(pairwise(edges), start=1)]


def piece_of(start: int, end: int, length: int) -> tuple[str, int, int]:
    """Return the piece that holds an interval; refuse an interval across a cut."""
    found = pieces(length)[bisect_right(CUTS, start)]
    if end > found[2]:
        raise ValueError(f"chr22:{start}-{end} lies across a cut")
    return found


def cut_sequence(text: str) -> Iterator[str]:
    """Yield the FASTA of the pieces."""
    sequence = "".join(text.splitlines()[1:])
    for name, start, end in pieces(len(sequence)):
        yield f">{name}\n{sequence[start:end]}\n"


def cut_chains(text: str) -> Iterator[str]:
    """Yield the lines of a chain file with the reference side on the pieces."""
    for line in text.splitlines(keepends=True):
        if line.startswith("chain"):
            word = line.split()  # chain score tName tSize tStrand tStart tEnd …
            start, end = int(word[5]), int(word[6])
            name, first, last = piece_of(start, end, int(word[3]))
            word[2:7] = name, str(last - first), word[4], str(start - first), str(end - first)
            line = " ".join(word) + "\n"
        yield line


def cut_peaks(text: str, length: int) -> Iterator[str]:
    """Yield the narrowPeak lines of chr22, on the pieces."""
    for line in text.splitlines():
        contig, start, end, *more = line.split("\t")
        if contig == "chr22":
            name, first, _ = piece_of(int(start), int(end), length)
            moved = (name, str(int(start) - first), str(int(end) - first))
            yield "\t".join((*moved, *more)) + "\n"


def write_inputs(data: Path, out: Path) -> None:
    """Write genome, peaks and chains on the pieces; a folder that has them is left as it is."""
    if (out / "complete").is_file():
        return
    out.mkdir(parents=True, exist_ok=True)
    primates = data / "primates_chr22"

    def text(path: Path) -> str:
        return gzip.decompress(path.read_bytes()).decode()

    sequence = text(primates / "hg19.chr22.partial.fa.gz")
    length = len("".join(sequence.splitlines()[1:]))
    write_text_atomic(out / "hg19.fa", "".join(cut_sequence(sequence)))
    peaks = text(data / "human/CTCF_GM12878_hg19.narrowPeak.gz")
    write_text_atomic(out / "CTCF.narrowPeak", "".join(cut_peaks(peaks, length)))
    for name, (in_file, _) in APES.items():
        chains = text(primates / f"hg19To{in_file}.chr22.over.chain.gz")
        write_text_atomic(out / f"hg19To{name}.chain", "".join(cut_chains(chains)))
    write_text_atomic(out / "complete", "")


def project_text(
    data: Path, inputs: Path, model: str, seeds: int, *, split: dict[str, list[str]] = SPLIT
) -> str:
    """Return the project file."""
    primates = data.resolve() / "primates_chr22"
    return yaml.safe_dump(
        {
            "name": "human-ctcf",
            "reference": {"name": "hg19", "sequence": str(inputs.resolve() / "hg19.fa")},
            "experiments": [
                {
                    "name": EXPERIMENT,
                    "peaks": str(inputs.resolve() / "CTCF.narrowPeak"),
                    "width": 200,
                    "motif": {
                        "file": str(data.resolve() / "motifs/JASPAR2024_CORE_vertebrates.meme"),
                        "name": MATRIX,
                    },
                }
            ],
            "genomes": [
                {
                    "name": name,
                    "sequence": str(primates / SEQUENCES[name]),
                    "chain": str(inputs.resolve() / f"hg19To{name}.chain"),
                    "distance": distance,
                }
                for name, (_, distance) in APES.items()
            ],
            "liftover": {"mode": "blocks"},
            "split": split,
            "training": training_section([model], seeds, 5),
        },
        sort_keys=False,
    )


def with_labelled(project: Project, loci: int) -> Project:
    """Return the project with a number of labelled loci (0: all) and its own runs folder."""
    training = project.training
    changes = {
        "runs": training.runs.parent / f"runs-{loci or 'all'}" / "runs",
        "labelled_peaks": loci or None,
    }
    return project.model_copy(update={"training": training.model_copy(update=changes)})


def summary(project: Project, results: pd.DataFrame, baselines: pd.DataFrame) -> str:
    """Return mean ± SD over seeds, its interval over test bins, and the AUPR of the ensemble."""
    lines = [f"test positives {results['positives'].iloc[0]}, {results['prevalence'].iloc[0]:.5f}"]
    for loci, part in results.groupby("loci", sort=False):
        lines.append(f"{loci or 'all'} labelled loci ({part['labelled'].min()} rows or more)")
        found = with_folders(with_labelled(project, int(loci)), part)
        resamples = resamples_of(found)
        for regime, runs in part.groupby("regime", sort=False):
            cell = {"experiment": EXPERIMENT, "model": runs["model"].iloc[0], "regime": regime}
            ensemble = ensemble_aupr(with_labelled(project, int(loci)), list(runs["seed"]), **cell)
            low, high = mean_interval([resamples.get((EXPERIMENT, cell["model"], str(regime)))])
            lines.append(
                f"  {regime:10s} {runs['aupr'].mean():.4f} ± {runs['aupr'].std():.4f} "
                f"[{low:.4f}, {high:.4f}]  ensemble "
                f"{ensemble:.4f}  {runs['cpu_s'].mean():.0f} CPU s  ({len(runs)} seeds)"
            )
        lines += comparison_lines(compared_factors(found, resamples, PAIRS))
        if not loci and RECIPE in set(part["regime"]):
            both = pd.concat([found, baselines])
            lines += over_best(both, resamples_of(both))
    return "\n".join(lines)


def main() -> None:
    parser = command_line(__doc__.splitlines()[0], model="cnn-27k", seeds=3)
    parser.add_argument("--labelled", nargs="+", type=int, default=[0], help="loci; 0: all")
    parser.add_argument("--regimes", nargs="+", choices=REGIMES, default=list(REGIMES))
    args = parsed(parser)
    write_inputs(args.data, args.out / "inputs")
    project = built(args.out, project_text(args.data, args.out / "inputs", args.model, args.seeds))
    # Seeds outermost: whenever it is killed, as much as possible can be compared.
    cells = product(range(args.seeds), args.labelled, args.regimes)

    def row(seed: int, loci: int, regime: str) -> dict[str, Any]:
        cell = {"experiment": EXPERIMENT, "model": args.model, "regime": regime, "seed": seed}
        return {"loci": loci, **run_cell(with_labelled(project, loci), **cell)}

    named = (
        (
            f"loci {loci} {EXPERIMENT} {args.model} {regime} seed {seed}",
            partial(row, seed, loci, regime),
        )
        for seed, loci, regime in cells
    )
    results = run_cells(args.out / "results.csv", named)
    baselines = pd.DataFrame(baseline_lines(project, EXPERIMENT))
    shown = baselines.drop(columns="run")
    write_text_atomic(args.out / "baselines.csv", shown.to_csv(index=False))
    print(shown.to_string())
    print(summary(project, results, baselines))


if __name__ == "__main__":
    main()
