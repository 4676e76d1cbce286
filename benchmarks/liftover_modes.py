"""The liftover modes compared: homologues kept on mammals and on yeast, and the AUPR they lead to.

    python benchmarks/liftover_modes.py --data $CROSSLABEL_MIRROR --out /tmp/modes
    python benchmarks/liftover_modes.py --data $CROSSLABEL_MIRROR --out /tmp/modes --regimes ssl

Human peaks of two ENCODE regions (`--data`/mammals, five genomes with chains) and eight yeast
factors (`--data`/yeast, the project of ``benchmarks/yeast.py`` and three more genomes) are lifted
in every mode with the code of a build. Writes ``<out>/liftover-modes.csv``, a row per experiment,
genome and mode: peaks, those with a homologue, those whose homologue is more than twice as long
(an insertion is inside), the mean share of identical aligned bases, positive bins of the labelled
genome and pseudo-labelled rows, homologues that ``blocks`` does not keep (`added`), and for CTCF
how many homologues hold its JASPAR motif (``motifs``), how many of the added ones do, and how many
of `aside` places of the same lengths 2 kb further on. A minute.

``--regimes`` also trains on yeast, the modes in turn, with the homologues of four *S. paradoxus*
genomes. The mode of the project file is chosen from this, so the test contigs of the other
benchmarks, chrIV and chrXV, are left out: chrVII and chrXIII are the test, chrXII validation.
Writes ``<out>/liftover-modes-aupr.csv`` and prints means and paired tests over factors. Finished
runs are not repeated.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from scipy.stats import wilcoxon
from yeast_project import (
    FACTORS,
    REGIMES,
    built,
    command_line,
    parsed,
    project_text,
    run_cells,
    trained,
)

from ssldata.base.files import write_text_atomic
from ssldata.building.build_inputs import open_inputs, open_target
from ssldata.genomes.genome import Genome
from ssldata.project.project_file import Project, load_project
from ssldata.rows.homologue_rows import homologue_rows
from ssldata.rows.reference_rows import reference_rows
from sslmodels.baselines.meme_text import read_meme

MODES = {
    "blocks": {"mode": "blocks"},
    "ucsc": {"mode": "ucsc", "min_match": 0.1},
    "ucsc-multiple": {"mode": "ucsc-multiple", "min_match": 0.1},
}
#: Those that are trained: with one region per chain, `ucsc` keeps what `ucsc-multiple` keeps.
TRAINED = ("blocks", "ucsc-multiple")
TUNING = {"test": ["chrVII", "chrXIII"], "validation": ["chrXII"]}
EXCLUDED = ["*_*", "chrM", "chrIV", "chrXV"]
MAMMALS = ("macaque", "mouse", "rat", "dog", "cow")
REGION_PEAKS = ("CTCF", "POL2", "H3K4me3", "P300", "JUND")
#: Yeast genomes that are lifted to, but not trained with: two of the same species, a far one.
MORE_YEASTS = ("SK1", "UWOPS034614", "Sarb")
#: JASPAR's CTCF, the log-odds (bits) of a site, and how far away places for comparison are.
CTCF, SITE, ASIDE = "MA0139.2", 10.0, 2_000


def mammals_text(data: Path) -> str:
    """Return the project file of the ENCODE regions."""
    folder = data.resolve() / "mammals"
    return yaml.safe_dump(
        {
            "name": "encode-regions",
            "reference": {"name": "human", "sequence": str(folder / "genomes/human.fa.gz")},
            "experiments": [
                {"name": name, "peaks": str(folder / f"peaks/{name}.narrowPeak")}
                for name in REGION_PEAKS
            ],
            "genomes": [
                {
                    "name": name,
                    "sequence": str(folder / f"genomes/{name}.fa.gz"),
                    "chain": str(folder / f"chains/humanENmTo_{name}.over.chain.gz"),
                }
                for name in MAMMALS
            ],
            "windows": {"exclude": []},
            "split": {"test": ["ENm002"]},
        },
        sort_keys=False,
    )


def yeast_text(data: Path, models: list[str], seeds: int) -> str:
    """Return the project file of the tuning contigs of yeast."""
    return project_text(data, models, seeds, 1, split=TUNING, exclude=EXCLUDED)


def with_mode(text: str, mode: str, more_genomes: list[dict[str, str]] | None = None) -> str:
    """Return a project file with a liftover mode, and further genomes."""
    raw = yaml.safe_load(text)
    raw["liftover"] = MODES[mode]
    raw["genomes"] += more_genomes or []
    return yaml.safe_dump(raw, sort_keys=False)


class MotifSites:
    """Whether sequences hold a site of a motif."""

    def __init__(self, file: Path, name: str) -> None:
        matrix = next(m.matrix for m in read_meme(file) if m.name == name)
        odds = np.log2(np.maximum(matrix, 1e-3) / 0.25)
        unknown = np.full((len(odds), 1), -10.0)
        self._both = [np.hstack([m, unknown]) for m in (odds, odds[::-1, ::-1])]

    def __call__(self, codes: np.ndarray) -> bool:
        """`codes`: base codes, 4 for N."""
        width = len(self._both[0])
        if len(codes) < width:
            return False
        windows = np.lib.stride_tricks.sliding_window_view(codes, width)
        best = max(m[np.arange(width), windows].sum(axis=1).max() for m in self._both)
        return bool(best >= SITE)


def with_site(sites: MotifSites, genome: Genome, places: list[tuple[int, int, int]]) -> list[bool]:
    """Return which places in a genome hold a site; those beyond a contig are left out."""
    return [
        sites(genome.gather_flat(np.array([contig]), np.array([start]), np.array([end - start])))
        for contig, start, end in places
        if start >= 0 and end <= genome.sizes[contig]
    ]


def kept_rows(
    clade: str,
    mode: str,
    project: Project,
    sites: MotifSites,
    first: dict[tuple[str, str], np.ndarray],
) -> Iterator[dict[str, Any]]:
    """Lift every experiment to every genome; yield a row each.

    `first` remembers which peaks the first mode keeps.
    """
    for experiment in (e.name for e in project.experiments):
        inputs = open_inputs(project, experiment)
        built = reference_rows(project, [experiment], inputs.genome, inputs.peaks)
        sources = built.sources
        length = sources.intervals.end - sources.intervals.start
        for name in (g.name for g in project.genomes):
            target = open_target(project, name, reference=inputs.genome)
            lifted, identity = target.lift(sources)
            rows = homologue_rows(project, target.genome, name, sources, lifted)
            mapped = lifted.mapped
            added = mapped & ~first.setdefault((experiment, name), mapped)
            ratio = (lifted.end - lifted.start)[mapped] / length[mapped]
            row = {
                "clade": clade,
                "experiment": experiment,
                "genome": name,
                "mode": mode,
                "peaks": len(sources),
                "positives": int(built.rows.positive.sum()),
                "kept": int(mapped.sum()),
                "added": int(added.sum()),
                "longer_than_twice": int((ratio > 2).sum()),
                "identity": float(identity[mapped].mean()),
                "rows": rows.counts["rows"],
            }
            if experiment == "CTCF":
                contig, start, end = lifted.contig, lifted.start, lifted.end
                places = list(zip(contig, start, end, strict=True))
                found = np.zeros(len(sources), bool)
                found[mapped] = with_site(
                    sites, target.genome, [places[i] for i in np.flatnonzero(mapped)]
                )
                aside = [(c, s + ASIDE, e + ASIDE) for c, s, e in places if c >= 0]
                beside = with_site(sites, target.genome, aside)
                row["motif"] = int(found.sum())
                row["motif_added"] = int(found[added].sum())
                row["aside"], row["motif_aside"] = len(beside), sum(beside)
            yield row


def kept(data: Path, out: Path) -> pd.DataFrame:
    """Write and return the table of homologues kept."""
    sites = MotifSites(data / "motifs/JASPAR2024_CORE_vertebrates.meme", CTCF)
    folder = data.resolve() / "yeast"
    more = [
        {
            "name": name,
            "sequence": str(folder / f"genomes/{name}.genome.fa.gz"),
            "chain": str(folder / f"chains/sacCer3To{name}.over.chain.gz"),
        }
        for name in MORE_YEASTS
    ]
    rows: list[dict[str, Any]] = []
    first: dict[tuple[str, str], np.ndarray] = {}
    for mode in MODES:
        for clade, text in (
            ("mammals", with_mode(mammals_text(data), mode)),
            ("yeast", with_mode(yeast_text(data, ["cnn-27k"], 1), mode, more)),
        ):
            path = out / "kept" / clade / mode / "project.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text_atomic(path, text)
            rows += kept_rows(clade, mode, load_project(path), sites, first)
    counts = dict.fromkeys(("motif", "motif_added", "aside", "motif_aside"), "Int64")
    table = pd.DataFrame(rows).round(4).astype(counts)
    write_text_atomic(out / "liftover-modes.csv", table.to_csv(index=False))
    return table


def kept_summary(table: pd.DataFrame) -> str:
    """Return the share of peaks with a homologue over the genomes, and rows, as text."""
    groups = table.groupby(["clade", "experiment", "mode"], sort=False)
    summed = ["peaks", "positives", "kept", "added", "longer_than_twice", "rows"]
    summed += ["motif", "motif_added", "aside", "motif_aside"]
    sums = groups[summed].sum()
    sums.insert(3, "share", (sums["kept"] / sums["peaks"]).round(3))
    sums.insert(6, "rows_share", (sums["rows"] / sums["positives"]).round(3))
    by_genome = table.groupby(["clade", "genome", "mode"], sort=False)[["peaks", "kept"]].sum()
    shares = (by_genome["kept"] / by_genome["peaks"]).unstack("mode").round(3)
    return f"{sums.to_string()}\n\n{shares.to_string()}"


def aupr_summary(table: pd.DataFrame) -> str:
    """Return means over seeds per factor, and paired tests over the factors."""
    lines = []
    for regime, part in table.groupby("regime", sort=False):
        cells = part.pivot_table(index="experiment", columns="mode", values="aupr", sort=False)
        if set(cells) != set(TRAINED):
            continue
        cells = cells.dropna()
        gain = cells[TRAINED[1]] - cells[TRAINED[0]]
        seeds = part.pivot_table(index=["experiment", "seed"], columns="mode", values="aupr")
        spread = part.groupby(["experiment", "mode"])["aupr"].std().mean()
        means = cells.mean()
        ratio = means[TRAINED[1]] / means[TRAINED[0]]
        paired = seeds.dropna()[TRAINED[1]] - seeds.dropna()[TRAINED[0]]
        p, p_seeds = wilcoxon(gain).pvalue, wilcoxon(paired).pvalue
        lines.append(
            f"{regime}: {part['seed'].nunique()} seeds\n"
            f"{cells.assign(difference=gain).round(4).to_string()}\n"
            f"  means {means.round(4).to_dict()}, ratio {ratio:.3f}; "
            f"{TRAINED[1]} better on {int((gain > 0).sum())} of {len(gain)} factors\n"
            f"  SD of the differences {gain.std():.4f}; of seeds {spread:.4f} (mean)\n"
            f"  Wilcoxon over factors p = {p:.3f}; over factors and seeds p = {p_seeds:.3f}"
        )
    return "\n".join(lines)


def aupr(args: Any) -> pd.DataFrame:
    """Train and evaluate every cell; write and return their table."""
    text = yeast_text(args.data, [args.model], args.seeds)
    projects = {
        mode: built(args.out / mode, with_mode(text, mode), args.factors) for mode in TRAINED
    }

    def row(*, mode: str, **cell: Any) -> dict[str, Any]:
        numbers, record = trained(projects[mode], **cell)
        names = ("aupr", "auroc", "prevalence", "collapsed", "positives")
        kept = {name: numbers[name] for name in names}
        pseudo = record["phases"][0]["positives"]
        return {"mode": mode, **cell, **kept, "first_phase": pseudo, "cpu_s": record["cpu_s"]}

    # Both modes of a factor one after the other: whenever it is killed, the pairs are whole.
    order = product(args.regimes, range(args.seeds), args.factors, TRAINED)
    cells = (
        (
            f"{factor} {regime} seed {seed} {mode}",
            partial(row, mode=mode, experiment=factor, model=args.model, regime=regime, seed=seed),
        )
        for regime, seed, factor, mode in order
    )
    return run_cells(args.out / "liftover-modes-aupr.csv", cells)


def main() -> None:
    parser = command_line(__doc__.splitlines()[0], seeds=3, model="cnn-27k")
    parser.add_argument("--regimes", nargs="+", choices=REGIMES, default=[])
    parser.add_argument("--factors", nargs="+", choices=FACTORS, default=list(FACTORS))
    args = parsed(parser)
    args.out.mkdir(parents=True, exist_ok=True)
    print(kept_summary(kept(args.data, args.out)))
    if args.regimes:
        print(aupr_summary(aupr(args)))


if __name__ == "__main__":
    main()
