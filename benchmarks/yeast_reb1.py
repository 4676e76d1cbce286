"""Does pre-training on homologues help on real data? Reb1 in yeast, against two controls.

The labelled genome is sacCer3, the homologues come from four S. paradoxus genomes; test contigs
chrIV and chrXV, validation chrXII. Every regime is trained with `--seeds` seeds in both window
modes. Finished cells are not repeated: a killed benchmark continues.

    crosslabel fetch examples/yeast
    python benchmarks/yeast_reb1.py --out /tmp/reb1

Writes ``<out>/results.csv`` (one row per run) and prints the means, how many runs collapsed (AUPR
below twice the prevalence; they stay in the mean), and the targets:

* mean AUPR of ssl ≥ 0.23;
* ssl ≥ 1.3 × the two-stage control, also when that has as many gradient steps as ssl;
* ssl-ns ≥ ssl − 0.02.

Takes about an hour on two cores.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator
from functools import partial
from itertools import product
from pathlib import Path

import pandas as pd
from yeast_project import command_line, parsed, run_cells, trained

from ssldata.base.files import write_text_atomic
from ssldata.building.build_store import build_project
from ssldata.project.project_file import Project, load_project

EXPERIMENT = "Reb1"
MODES = ("rebin", "lift-bins")
#: Name of a row of the table → (regime, training.two_stage_steps).
REGIMES = {
    "sl": ("sl", "own"),
    "two-stage, own steps": ("two-stage", "own"),
    "two-stage, ssl steps": ("two-stage", "ssl"),
    "ssl": ("ssl", "own"),
    "ssl-ns": ("ssl-ns", "own"),
}


class Lines:
    """Progress as one line per fit."""

    @contextlib.contextmanager
    def task(self, description: str, total: float | None = None) -> Iterator:
        started, done = time.perf_counter(), 0.0

        def advance(amount: float = 1) -> None:
            nonlocal done
            done += amount

        yield advance
        seconds = time.perf_counter() - started
        print(f"  {description}: {done:.0f} in {seconds:.1f} s", file=sys.stderr, flush=True)


def configured(project: Project, args: argparse.Namespace, mode: str, steps: str) -> Project:
    """Return the project of one window mode and one kind of two-stage control."""
    folder = args.out / mode
    training = project.training
    return project.model_copy(
        update={
            "windows": project.windows.model_copy(update={"mode": mode}),
            "store": project.store.model_copy(update={"path": folder / "store"}),
            "training": training.model_copy(
                update={
                    # Two kinds of control cannot share a folder.
                    "runs": folder / f"runs-{steps}",
                    "two_stage_steps": steps,
                    "learning_rate": 1e-3,
                    "finetune_learning_rate": 5e-4,
                    "batch_size": 64,
                    "epochs": 60,
                    "patience": 8,
                    "noisy_student": training.noisy_student.model_copy(
                        update={"iterations": args.iterations}
                    ),
                }
            ),
        }
    )


def run_cell(project: Project, args: argparse.Namespace, mode: str, name: str, seed: int) -> dict:
    regime, steps = REGIMES[name]
    numbers, record = trained(
        configured(project, args, mode, steps),
        experiment=EXPERIMENT,
        model=args.model,
        regime=regime,
        seed=seed,
        progress=Lines(),
    )
    return {
        "mode": mode,
        "regime": name,
        "seed": seed,
        **{k: numbers[k] for k in ("aupr", "auroc", "prevalence", "lift", "collapsed")},
        "val_aupr": record["phases"][-1]["val_aupr"],
        "steps": record["steps"],
        "cpu_s": record["cpu_s"],
    }


def summary(results: pd.DataFrame) -> pd.DataFrame:
    grouped = results.groupby(["mode", "regime"], sort=False)
    return grouped.agg(
        n=("aupr", "size"),
        aupr=("aupr", "mean"),
        sd=("aupr", "std"),
        auroc=("auroc", "mean"),
        lift=("lift", "mean"),
        collapsed=("collapsed", "sum"),
        steps=("steps", "mean"),
        cpu_s=("cpu_s", "mean"),
    )


def targets(means: pd.Series, mode: str) -> list[tuple[str, bool]]:
    """Return each target as text and whether it is met."""
    ssl = means[mode, "ssl"]
    lines = [(f"ssl {ssl:.3f} ≥ 0.23", ssl >= 0.23)]
    for control in ("two-stage, own steps", "two-stage, ssl steps"):
        ratio = ssl / means[mode, control]
        lines.append((f"ssl is {ratio:.2f} ≥ 1.3 × {control}", ratio >= 1.3))
    gain = means[mode, "ssl-ns"] - ssl
    lines.append((f"ssl-ns − ssl = {gain:+.3f} ≥ −0.02", gain >= -0.02))
    return lines


def main() -> int:
    parser = command_line(__doc__.splitlines()[0], model="cnn-27k", seeds=3, data=False)
    root = Path(__file__).resolve().parents[1]
    parser.add_argument("--project", type=Path, default=root / "examples/yeast/project.yaml")
    parser.add_argument("--iterations", type=int, default=5, help="of ssl-ns")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--regimes", nargs="+", choices=list(REGIMES), default=list(REGIMES))
    args = parsed(parser)
    args.out = args.out.resolve()
    project = load_project(args.project)
    for mode in args.modes:
        build_project(configured(project, args, mode, "own"), experiments=[EXPERIMENT])
    cells = (
        (f"{mode} {name} seed {seed}", partial(run_cell, project, args, mode, name, seed))
        for seed, mode, name in product(range(args.seeds), args.modes, args.regimes)
    )
    results = run_cells(args.out / "results.csv", cells).sort_values(["mode", "regime", "seed"])
    write_text_atomic(args.out / "results.csv", results.to_csv(index=False))
    table = summary(results)
    print(table.round(3).to_string())
    if set(args.regimes) != set(REGIMES):
        return 0
    met = True
    for mode in args.modes:
        for line, good in targets(table["aupr"], mode):
            print(f"{mode}: {line}: {'met' if good else 'NOT MET'}")
            met &= good
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
