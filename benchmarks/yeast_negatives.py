"""Is there a species shortcut in the published scheme, and what do lifted negatives change?

Pre-training of ``ssl`` with negatives of the labelled genome (``reference``, as published), lifted
to the target genomes (``lifted``) and half and half (``both``), on the same positives, the same
labelled rows and the same validation rows of one store for each factor; and on a simulated clade,
as it is and with relatives of another composition (a planted shortcut).

    python benchmarks/yeast_negatives.py --data $CROSSLABEL_MIRROR --out /tmp/negatives --threads 1

Writes ``<out>/results.csv`` after every run; finished runs are not repeated. Beside the AUPR of the
test bins it has **pull**: among loci without a peak, how often a model scores the sequence of a
target genome higher than the sequence of the labelled genome at the same locus, less how often
lower. 0: it cannot tell the genomes; 1: it always scores the target genome higher.

``--summary`` only prints means, paired differences and intervals of what is there.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from yeast_project import (
    FACTORS,
    built,
    command_line,
    numbers_of,
    parsed,
    project_text,
    run_cells,
    trained,
    training_section,
)

from ssldata.building.build_store import build_project
from ssldata.project.project_file import Project, load_project
from ssldata.simulation.clade import simulate_clade
from ssldata.simulation.composition_shift import shift_composition
from ssldata.store.store import REFERENCE, Store, open_store
from sslmodels.benchmark.result_intervals import comparisons, resamples_of
from sslmodels.models.model_builder import load_model
from sslmodels.runs import regimes
from sslmodels.runs.regimes import REGIME_FUNCTIONS
from sslmodels.runs.run import Run
from sslmodels.runs.run_folder import RunFolder
from sslmodels.runs.run_identity import run_folder
from sslmodels.scores.score_rows import score

MODEL = "cnn-27k"
SOURCES = ("reference", "lifted", "both")
#: Worlds: name → share of A and T of the relatives that is turned into G and C.
WORLDS = {"simulated": 0.0, "simulated, shortcut": 0.25}
#: Lifted negatives of a genome that are scored for `pull`.
SCORED = 1000


def with_source(project: Project, source: str, out: Path, folder: str) -> Project:
    """Return the project with another source of negatives, and a runs folder for it."""
    negatives = project.negatives.model_copy(update={"source": source})
    training = project.training.model_copy(update={"runs": out / folder / source})
    return project.model_copy(update={"negatives": negatives, "training": training})


def pull(store: Store, model: Any) -> tuple[float, int]:
    """Return how much more often a model scores target sequences without a peak higher; and of n.

    Pairs of a lifted negative and of the bin of the labelled genome that it was lifted from. Both
    read in the same direction.
    """
    labelled, sources = store.group(REFERENCE), store.sources()
    first, stop = labelled.ranges["negative"]
    rows = {
        place: first + number
        for number, place in enumerate(
            zip(
                labelled.column("contig")[first:stop].tolist(),
                labelled.column("start")[first:stop].tolist(),
                strict=True,
            )
        )
    }
    codes = labelled.codes(first, stop)
    signs = []
    for genome in store.genomes:
        group = store.homologues(genome)
        begin, end = group.ranges["negative"]
        end = min(end, begin + SCORED)
        origin = group.column("source")[begin:end]
        there = [
            rows[contig, start] - first
            for contig, start in zip(
                sources["contig"][origin].tolist(), sources["start"][origin].tolist(), strict=True
            )
        ]
        ours = score(model, np.ascontiguousarray(group.codes(begin, end)))[:, 0]
        theirs = score(model, np.ascontiguousarray(codes[there]))[:, 0]
        signs.append(np.sign(ours - theirs))
    every = np.concatenate(signs)
    return float(every.mean()), len(every)


def measured_ssl(run: Run) -> Any:
    """Train as ssl does, and record `pull` after pre-training: it is not to be trained twice."""
    model = REGIME_FUNCTIONS["pretrain-only"](run)
    run.details["pull"] = {"pretrained": pull(run.store, model)[0]}
    regimes._finetune(run, model)
    return model


def run_cell(project: Project, *, world: str, source: str, **cell: Any) -> dict[str, Any]:
    """Train and evaluate one run; return its row."""
    numbers, record = trained(project, model=MODEL, **cell)
    folder = run_folder(project, model=MODEL, **cell)
    store = open_store(str(project.store_path(cell["experiment"])))
    found, pairs = pull(store, load_model(RunFolder(folder).model))
    return {
        "world": world,
        "negatives": source,
        **cell,
        **numbers_of(numbers),
        "pull": found,
        "pull_pairs": pairs,
        "pull_pretrained": record.get("pull", {}).get("pretrained"),
        "pretrain_val_aupr": record["phases"][0]["val_aupr"],
        "steps": record["steps"],
        "cpu_s": record["cpu_s"],
        "run": str(folder),
    }


def yeast(data: Path, out: Path) -> Project:
    """Return the project of eight factors, its stores built with both kinds of negatives."""
    settings = yaml.safe_load(project_text(data, [MODEL], 3, 5))
    settings["negatives"] = {"source": "both"}
    settings["training"]["regimes"] = ["ssl"]
    return built(out / "yeast", yaml.safe_dump(settings, sort_keys=False))


def simulated(out: Path, world: str, share: float) -> Project:
    """Return the project of a simulated world, its store built with both kinds of negatives."""
    folder = out / world.replace(", ", "-")
    ready = folder / "ready"
    if not ready.is_file():
        if folder.exists():
            shutil.rmtree(folder)
        made = simulate_clade(folder)
        if share:
            shift_composition(made, share)
        settings = yaml.safe_load((folder / "project.yaml").read_text())
        settings["negatives"] = {"source": "both"}
        settings["training"] = training_section([MODEL], 3, 5) | {"regimes": ["ssl"]}
        (folder / "project.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
        ready.touch()
    project = load_project(folder)
    build_project(project, experiments=["alpha"])
    return project


def cells(args: Any) -> Iterator[tuple[str, Any]]:
    """Yield the runs: a seed of all sources before the next seed."""
    worlds: dict[str, Project] = {}

    def project_of(world: str) -> Project:
        if world not in worlds:
            worlds[world] = (
                yeast(args.data, args.out)
                if world == "yeast"
                else simulated(args.out, world, WORLDS[world])
            )
        return worlds[world]

    def work(world: str, source: str, cell: dict[str, Any]) -> dict[str, Any]:
        project = with_source(project_of(world), source, args.out, f"runs/{world}")
        return run_cell(project, world=world, source=source, **cell)

    for seed in range(args.seeds):
        # A pair says something; `both` lies between its halves.
        for sources in (("reference", "lifted"), ("both",)):
            for world in args.worlds or ("yeast", *WORLDS):
                for factor in args.factors if world == "yeast" else ("alpha",):
                    for source in sources:
                        cell = {"experiment": factor, "regime": args.regime, "seed": seed}
                        name = f"{world} {factor} {args.regime} {source} seed {seed}"
                        yield name, partial(work, world, source, cell)


def summary(results: pd.DataFrame) -> str:
    """Return means and paired differences over the experiments and seeds that all sources have."""
    lines = []
    for (world, regime), part in results.groupby(["world", "regime"], sort=False):
        table = part.assign(model=part["negatives"])
        whole = table.groupby(["experiment", "seed"])["negatives"].transform("nunique")
        table = table[whole == len(SOURCES)]
        if table.empty:
            continue
        resamples = resamples_of(table)
        means = table.groupby(["experiment", "model", "regime"], sort=False)["aupr"].mean()
        compared = comparisons(
            means.rename("mean").reset_index(),
            resamples,
            [((source, regime), ("reference", regime)) for source in SOURCES[1:]],
        )
        lines.append(
            f"{world}, {regime}: {table['experiment'].nunique()} experiments, "
            f"seeds {sorted(table['seed'].unique().tolist())}, {len(table)} runs"
        )
        for source in SOURCES:
            here = table[table["negatives"] == source]
            lines.append(
                f"  {source:9s} AUPR {here['aupr'].mean():.4f}  pull {here['pull'].mean():+.3f}"
            )
        for row in compared.itertuples():
            lines.append(
                f"  {row.model} - reference = {row.difference:+.4f} [{row.difference_low:+.4f}, "
                f"{row.difference_high:+.4f}], higher in {row.wins} of {row.n}, Wilcoxon p = "
                f"{row.p:.3f}"
            )
        pairs = table.pivot_table(index=["experiment", "seed"], columns="negatives", values="aupr")
        lines.append(pairs[list(SOURCES)].round(3).to_string())
    return "\n".join(lines)


def main() -> None:
    parser = command_line(__doc__.splitlines()[0], seeds=3)
    parser.add_argument("--worlds", nargs="+", choices=["yeast", *WORLDS])
    parser.add_argument("--factors", nargs="+", choices=FACTORS, default=list(FACTORS))
    parser.add_argument("--regime", default="ssl")
    parser.add_argument("--results", default="results.csv", help="name of the table")
    parser.add_argument("--summary", action="store_true", help="of the runs that are there")
    args = parsed(parser)
    REGIME_FUNCTIONS["ssl"] = measured_ssl
    path = args.out / args.results
    if not args.summary:
        args.out.mkdir(parents=True, exist_ok=True)
        run_cells(path, cells(args))
    print(summary(pd.read_csv(path)))


if __name__ == "__main__":
    main()
