"""What the benchmarks of training share: the yeast project, the command line, the loop over runs.

``benchmarks/human_ctcf.py`` has its own project, with the same settings of training.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pandas as pd
import yaml

from ssldata.base.files import write_text_atomic
from ssldata.building.build_store import build_project
from ssldata.project.project_file import Project, load_project
from sslmodels.benchmark.result_intervals import ExperimentCell, comparisons, mean_interval
from sslmodels.evaluation.evaluate import evaluate_run
from sslmodels.fit.threads import limit_threads
from sslmodels.runs.regimes import train
from sslmodels.runs.run_folder import complete_record
from sslmodels.runs.run_identity import run_folder

FACTORS = ("Reb1", "Abf1", "Fkh1", "Mcm1", "Rap1", "Ume6", "Swi4", "Ste12")
GENOMES = ("CBS432", "N44", "YPS138", "UWOPS919171")
#: What yeast.py and human_ctcf.py train. A new regime is added here, and to `PAIRS` with what it
#: is compared with.
REGIMES = (
    *("sl", "two-stage", "ssl", "sl-plus", "ssl-plus", "ssl-ns"),
    *("sl-committee", "ssl-committee"),
)
#: The peak files number their contigs; the genome uses Roman numerals.
ROMAN = (
    *("I", "II", "III", "IV", "V", "VI", "VII", "VIII"),
    *("IX", "X", "XI", "XII", "XIII", "XIV", "XV", "XVI"),
)


SPLIT = {"test": ["chrIV", "chrXV"], "validation": ["chrXII"]}


def project_text(
    data: Path,
    models: list[str],
    seeds: int,
    iterations: int,
    *,
    split: dict[str, list[str]] = SPLIT,
    exclude: Sequence[str] = ("*_*", "chrM"),
) -> str:
    """Return the project file."""
    folder = data.resolve() / "yeast"
    return yaml.safe_dump(
        {
            "name": "yeast8",
            "reference": {
                "name": "sacCer3",
                "sequence": str(folder / "genomes/sacCer3.2bit"),
                "aliases": {f"chr{n}": f"chr{roman}" for n, roman in enumerate(ROMAN, start=1)},
            },
            "experiments": [
                {"name": name, "peaks": str(folder / f"peaks/{name}_CX.bed"), "width": 200}
                for name in FACTORS
            ],
            "genomes": [
                {
                    "name": name,
                    "sequence": str(folder / f"genomes/{name}.genome.fa.gz"),
                    "chain": str(folder / f"chains/sacCer3To{name}.over.chain.gz"),
                    "distance": 0.12,
                }
                for name in GENOMES
            ],
            "windows": {"exclude": list(exclude)},
            # What everything under docs/results was measured with.
            "liftover": {"mode": "blocks"},
            "split": split,
            "training": training_section(models, seeds, iterations),
        },
        sort_keys=False,
    )


def training_section(models: list[str], seeds: int, iterations: int) -> dict[str, Any]:
    """Return the section ``training``, the same for all data; everything else is the default."""
    return {
        "models": models,
        "regimes": list(REGIMES),
        "seeds": list(range(seeds)),
        "batch_size": 64,
        "epochs": 60,
        "patience": 8,
        "learning_rate": 1e-3,
        "finetune_learning_rate": 5e-4,
        "noisy_student": {"iterations": iterations},
    }


def command_line(
    description: str, *, seeds: int, model: str | None = None, data: bool = True
) -> argparse.ArgumentParser:
    """Return the shared options; `model`: default of --model, None: the script has no such option.

    `data`: whether there is --data.
    """
    parser = argparse.ArgumentParser(description=description)
    mirror = os.environ.get("CROSSLABEL_MIRROR")
    if data:
        parser.add_argument(
            "--data", type=Path, default=mirror and Path(mirror), help="folder of the data"
        )
    parser.add_argument("--out", type=Path, required=True, help="work folder")
    if model is not None:
        parser.add_argument("--model", default=model)
    parser.add_argument("--seeds", type=int, default=seeds, help="number of seeds, from 0")
    parser.add_argument("--threads", type=int, default=0, help="of TensorFlow; 0: its choice")
    return parser


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Read the command line, and set the number of threads of TensorFlow."""
    args = parser.parse_args()
    if getattr(args, "data", "") is None:
        parser.error("--data: name the folder of the data")
    if args.threads:
        limit_threads(args.threads)
    return args


def built(out: Path, text: str, experiments: Sequence[str] | None = None) -> Project:
    """Write a project file into a folder, and build its stores."""
    out.mkdir(parents=True, exist_ok=True)
    write_text_atomic(out / "project.yaml", text)
    project = load_project(out)
    build_project(project, experiments=experiments)
    return project


#: What is compared in summaries, each with what.
PAIRS = (
    ("ssl-committee", "sl-committee"),
    ("ssl-committee", "ssl-plus"),
    ("ssl-plus", "sl-plus"),
    ("ssl-plus", "ssl"),
    ("ssl", "two-stage"),
    ("ssl-ns", "ssl"),
    ("sl-plus", "sl"),
)


def numbers_of(numbers: dict[str, Any]) -> dict[str, Any]:
    """Return what the CSV files of the benchmarks have of an evaluation."""
    kept = ("aupr", "auroc", "prevalence", "lift", "collapsed", "positives")
    low, high = numbers["intervals"].get("aupr", (float("nan"), float("nan")))
    return {**{key: numbers[key] for key in kept}, "aupr_low": low, "aupr_high": high}


def trained(project: Project, **cell: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Train and evaluate a run, unless that is done; return its metrics and its record."""
    folder = train(project, **cell)
    return evaluate_run(folder), complete_record(folder)


def with_folders(project: Project, results: pd.DataFrame) -> pd.DataFrame:
    """Return results with the column run, the folder of each run."""
    cells = results[["experiment", "model", "regime", "seed"]].to_dict("records")
    return results.assign(run=[str(run_folder(project, **cell)) for cell in cells])


def factor_table(results: pd.DataFrame, resamples: dict[ExperimentCell, Any]) -> pd.DataFrame:
    """Return factors × regimes of one model as text: mean ± SD over seeds, and at the end means.

    Parameters
    ----------
    results
        Rows of runs of one model: experiment, model, regime, seed, aupr; baselines may be among
        them, as regimes of a model of their own.
    resamples
        Of :func:`sslmodels.benchmark.result_intervals.resamples_of`.

    Returns
    -------
    pandas.DataFrame
        The last line is the mean over the factors that every regime has, with its 95 % interval
        over blocks of test bins where all evaluations have resamples.
    """
    cells = results.groupby(["experiment", "model", "regime"], sort=False)["aupr"]
    means, deviations = cells.mean(), cells.std()
    columns = list(dict.fromkeys(zip(results["model"], results["regime"], strict=True)))
    factors = list(dict.fromkeys(results["experiment"]))
    lines = {
        factor: [_cell_text(means, deviations, (factor, *column)) for column in columns]
        for factor in factors
    }
    whole = [f for f in factors if all((f, *column) in means.index for column in columns)]
    average = []
    for column in columns:
        low, high = mean_interval([resamples.get((f, *column)) for f in whole])
        mean = float(means[[(f, *column) for f in whole]].mean()) if whole else float("nan")
        average.append(f"{mean:.3f}" + ("" if low != low else f" [{low:.3f}, {high:.3f}]"))
    lines[f"mean of {len(whole)}"] = average
    titles = [regime for _, regime in columns]
    return pd.DataFrame.from_dict(lines, orient="index", columns=titles)


def _cell_text(means: pd.Series, deviations: pd.Series, cell: ExperimentCell) -> str:
    if cell not in means.index:
        return "–"
    sd = deviations[cell]
    return f"{means[cell]:.3f}" + ("" if sd != sd else f" ± {sd:.3f}")


def compared_factors(
    results: pd.DataFrame, resamples: dict[ExperimentCell, Any], pairs: Sequence[tuple[str, str]]
) -> pd.DataFrame:
    """Return regimes compared over the factors: ratios with intervals, paired Wilcoxon tests.

    Parameters
    ----------
    results, resamples
        As for :func:`factor_table`; the means over seeds are compared.
    pairs
        Names of regimes (or baselines), each with what it is compared with.
    """
    cells = results.groupby(["experiment", "model", "regime"], sort=False)["aupr"]
    table = cells.mean().rename("mean").reset_index()
    named = dict(zip(results["regime"], results["model"], strict=True))
    methods = [((named[a], a), (named[b], b)) for a, b in pairs if a in named and b in named]
    return comparisons(table, resamples, methods)


def comparison_lines(compared: pd.DataFrame) -> list[str]:
    """Return the lines of a table of :func:`compared_factors`."""
    return [
        f"  {row.regime} / {row.over} = {row.ratio:.3f} [{row.low:.3f}, {row.high:.3f}], higher "
        f"in {row.wins} of {row.n}, Wilcoxon p = {row.p:.4f}"
        for row in compared.itertuples()
    ]


def run_cells(
    path: Path, cells: Iterable[tuple[str, Callable[[], dict[str, Any]]]]
) -> pd.DataFrame:
    """Run cells and return their rows, which the CSV file `path` has after every cell.

    A cell is its name and a function that returns its row.
    """
    rows = []
    for name, cell in cells:
        started = time.perf_counter()
        rows.append(cell())
        seconds = time.perf_counter() - started
        line = f"{name}: AUPR {rows[-1]['aupr']:.3f} in {seconds:.0f} s"
        print(line, file=sys.stderr, flush=True)
        write_text_atomic(path, pd.DataFrame(rows).to_csv(index=False))
    return pd.DataFrame(rows)


def by_variant(rows: pd.DataFrame) -> str:
    """Return mean AUPR over seeds as text, variants by factor."""
    table = rows.pivot_table(index="variant", columns="experiment", values="aupr", sort=False)
    table["mean"] = table.mean(axis=1)
    return str(table.round(3).to_string())
