"""Allele-specific CTCF binding on human chr22: variants of one half, scored by models of the other.

The chromosome is cut in two at 35.87 Mb, between two pieces of ``benchmarks/human_ctcf.py``, whose
data and settings these are. Each half has its models, which saw no base of the other half; every
AlleleDB variant is scored by the models of the half that it does not lie in, an ensemble of the
seeds. The halves, seeds and regimes were fixed before anything was trained.

    python benchmarks/variants_ctcf.py --data $CROSSLABEL_MIRROR --out /tmp/variants --threads 1

Finished runs are not repeated. Writes ``<out>/results.csv``, the correlations pooled and of each
half, and ``<out>/comparison``: points and figures for each score.
"""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
from human_ctcf import CUTS, project_text, write_inputs
from yeast_project import built, command_line, parsed, trained

from ssldata.base.files import write_text_atomic
from ssldata.genomes.genome import open_genome
from sslmodels.variants.effect_scores import SCORES, EffectOptions
from sslmodels.variants.observed_imbalance import (
    correlations,
    read_observed,
    score_observed,
    write_comparison,
)
from sslmodels.variants.variant_effects import annotate_variants

EXPERIMENT = "CTCF"
REGIMES = ("sl", "ssl", "ssl-plus")
#: Half of the chromosome → the pieces in it, and the one of them that validates.
HALVES = {
    "first": ([f"piece{i}" for i in range(1, 7)], "piece4"),
    "second": ([f"piece{i}" for i in range(7, 11)], "piece8"),
}
OTHER = {"first": "second", "second": "first"}
#: 0-based start of the second half.
MIDDLE = CUTS[5]
CONTIG = "chr22"


def train_half(half: str, data: Path, out: Path, model: str, seeds: int) -> list[Path]:
    """Train on one half and return the run folders."""
    split = {"test": HALVES[OTHER[half]][0], "validation": [HALVES[half][1]]}
    text = project_text(data, out / "inputs", model, seeds, split=split)
    project = built(out / half, text)
    folders = []
    for seed in range(seeds):
        for regime in REGIMES:
            metrics, _ = trained(
                project, experiment=EXPERIMENT, model=model, regime=regime, seed=seed
            )
            print(f"{half} {regime} seed {seed}: AUPR {metrics['aupr']:.3f}", file=sys.stderr)
            folders.append(project.training.runs / EXPERIMENT / model / regime / f"seed-{seed}")
    return folders


def allele_table(data: Path, out: Path) -> Path:
    """Unpack AlleleDB's rows of the contig."""
    path = out / "alleledb.txt"
    with tarfile.open(data / "human/ASB.auto.v2.1.aug16.txt.tgz") as archive:
        file = archive.extractfile("ASB.auto.v2.1.aug16.txt")
        assert file is not None
        header, *lines = file.read().decode().splitlines(keepends=True)
    kept = [line for line in lines if line.startswith(f"{CONTIG}\t")]
    write_text_atomic(path, "".join([header, *kept]))
    return path


def on_pieces(table: pd.DataFrame) -> pd.DataFrame:
    """Return variants on the pieces, from which the chains of the projects begin."""
    number = np.searchsorted(CUTS, table["pos"], side="left")
    start = np.array([0, *CUTS])[number]
    return table.assign(chrom=[f"piece{n + 1}" for n in number], pos=table["pos"] - start)


def main() -> None:
    parser = command_line(__doc__.splitlines()[0], model="cnn-27k", seeds=3)
    args = parsed(parser)
    write_inputs(args.data, args.out / "inputs")
    table = allele_table(args.data, args.out)
    observed, _ = read_observed(table, factor=EXPERIMENT)
    genome = open_genome(args.data / "primates_chr22/hg19.chr22.partial.fa.gz")
    runs = {half: train_half(half, args.data, args.out, args.model, args.seeds) for half in HALVES}
    counted = annotate_variants(runs["first"], table, None, genome=genome, factor=EXPERIMENT)
    print(f"{counted['rows']} rows of {EXPERIMENT}: {counted['status']}")
    print(f"{len(observed)} variants")
    halves = {"first": observed["pos"] <= MIDDLE, "second": observed["pos"] > MIDDLE}
    tables = []
    kinds = [EffectOptions(scores=(score,)) for score in SCORES]
    for options in (*kinds, EffectOptions(homologues=True)):
        parts = []
        for half, is_here in halves.items():
            part = observed[is_here].reset_index(drop=True)
            where = {"genome": genome}
            if options.homologues:  # the genome of the projects
                part, where = on_pieces(part), {}
            points = score_observed(runs[OTHER[half]], part, options=options, **where)
            parts.append(points.assign(half=half))
        score = options.scores[0] + " over homologues" * options.homologues
        points = pd.concat(parts, ignore_index=True)
        pooled = write_comparison(points, args.out / "comparison" / score.replace(" ", "-"))
        tables.append(pooled.assign(score=score, variants_of="both"))
        for half, part in points.groupby("half"):
            tables.append(correlations(part).assign(score=score, variants_of=half))
    result = pd.concat(tables, ignore_index=True)
    write_text_atomic(args.out / "results.csv", result.to_csv(index=False, float_format="%.4f"))
    print(result.to_string(index=False))


if __name__ == "__main__":
    main()
