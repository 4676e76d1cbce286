"""The benchmark on yeast: eight factors, all regimes, homologues of four *S. paradoxus* genomes.

The labelled genome is sacCer3; test contigs chrIV and chrXV, validation chrXII. Finished cells are
not repeated: a killed benchmark continues, and more seeds, models or regimes add to what is there.

    python benchmarks/yeast.py --data $CROSSLABEL_MIRROR --out /tmp/yeast8

`--data` holds ``yeast/genomes``, ``yeast/peaks`` and ``yeast/chains``. Writes
``<out>/results.csv`` (one row per run) after every cell, and prints means, ratios and targets:

* ssl ≥ 1.3 × two-stage, means over the factors;
* ssl-ns ≥ ssl − 0.01;
* ssl-plus ≥ 1.25 × the better of ssl and ssl-ns as a single model, ≥ 1.4 × as an ensemble of the
  seeds (the AUPR of their mean scores over the mean AUPR of the seeds of the other).

What ssl-plus has over sl-plus is what the homologues bring.

``crosslabel run <out> --report paper`` draws the tables and figures. Hours on one core.
"""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

import pandas as pd
from scipy.stats import wilcoxon
from sklearn.metrics import average_precision_score
from yeast_project import (
    FACTORS,
    PAIRS,
    REGIMES,
    built,
    command_line,
    compared_factors,
    comparison_lines,
    factor_table,
    numbers_of,
    parsed,
    project_text,
    run_cells,
    trained,
    with_folders,
)

from ssldata.project.project_file import Project
from sslmodels.benchmark.result_intervals import resamples_of
from sslmodels.runs.run_identity import run_folder


def run_cell(project: Project, *, regime: str, **cell: Any) -> dict[str, Any]:
    """Train and evaluate one run; return its row."""
    numbers, record = trained(project, regime=regime, **cell)
    return {
        **{key: value for key, value in cell.items() if key != "replace"},
        "regime": regime,
        **numbers_of(numbers),
        "labelled": record["phases"][-1]["positives"],
        "val_aupr": record["phases"][-1]["val_aupr"],
        "steps": record["steps"],
        "cpu_s": record["cpu_s"],
    }


def ensemble_aupr(project: Project, seeds: list[int], **cell: str) -> float:
    """Return the AUPR of the mean score over seeds."""
    tables = [
        pd.read_csv(run_folder(project, seed=seed, **cell) / "evaluation/scores.csv.gz")
        for seed in seeds
    ]
    mean = sum(table["score"] for table in tables) / len(tables)
    return float(average_precision_score(tables[0]["label"], mean))


def summary(project: Project, results: pd.DataFrame) -> str:
    """Return means per model and regime over the factors that all its regimes have."""
    lines = []
    for model, part in results.groupby("model", sort=False):
        cells = part.groupby(["experiment", "regime"])["aupr"].mean().unstack("regime")
        cells = cells[[r for r in REGIMES if r in cells]].dropna()
        seeds = part.groupby("regime")["seed"].unique()
        lines.append(f"{model}: mean AUPR over {len(cells)} factors ({', '.join(cells.index)})")
        ensembles = pd.DataFrame(
            {
                regime: {
                    factor: ensemble_aupr(
                        project,
                        sorted(
                            part[(part["experiment"] == factor) & (part["regime"] == regime)][
                                "seed"
                            ]
                        ),
                        experiment=factor,
                        model=model,
                        regime=regime,
                    )
                    for factor in cells.index
                }
                for regime in cells
            }
        )
        for regime in cells:
            lines.append(
                f"  {regime:10s} {cells[regime].mean():.4f}  ensemble "
                f"{ensembles[regime].mean():.4f}  ({len(seeds[regime])} seeds)"
            )
        lines += targets(cells, ensembles)
        found = with_folders(project, part)
        resamples = resamples_of(found)
        lines.append(factor_table(found, resamples).to_string())
        lines += comparison_lines(compared_factors(found, resamples, PAIRS))
    return "\n".join(lines)


def targets(cells: pd.DataFrame, ensembles: pd.DataFrame) -> list[str]:
    means = cells.mean()
    lines = []
    if {"ssl", "two-stage"} <= set(means.index):
        lines.append(_line("ssl / two-stage", means["ssl"] / means["two-stage"], 1.3))
    if {"ssl", "ssl-ns"} <= set(means.index):
        lines.append(_line("ssl-ns - ssl", means["ssl-ns"] - means["ssl"], -0.01))
    others = [r for r in ("ssl", "ssl-ns") if r in means]
    if "ssl-plus" in means and others:
        best = means[others].idxmax()
        lines.append(_line(f"ssl-plus / {best}", means["ssl-plus"] / means[best], 1.25))
        ratio = ensembles["ssl-plus"].mean() / means[best]
        lines.append(_line(f"ensemble of ssl-plus / {best}", ratio, 1.4))
        wins = int((cells["ssl-plus"] > cells[best]).sum())
        p = wilcoxon(cells["ssl-plus"], cells[best]).pvalue
        lines.append(
            f"  ssl-plus wins {wins} of {len(cells)} factors over {best}; Wilcoxon {p:.4f}"
        )
    return lines


def _line(what: str, value: float, target: float) -> str:
    return f"  {what} = {value:.3f} (target {target}): {'met' if value >= target else 'NOT MET'}"


def main() -> None:
    parser = command_line(__doc__.splitlines()[0], seeds=3)
    parser.add_argument("--models", nargs="+", default=["cnn-27k"])
    parser.add_argument("--regimes", nargs="+", choices=REGIMES, default=list(REGIMES))
    parser.add_argument("--factors", nargs="+", choices=FACTORS, default=list(FACTORS))
    parser.add_argument("--iterations", type=int, default=5, help="of ssl-ns")
    parser.add_argument("--replace", action="store_true", help="runs of other settings")
    args = parsed(parser)
    text = project_text(args.data, args.models, args.seeds, args.iterations)
    project = built(args.out, text, args.factors)
    options = {"replace": True} if args.replace else {}
    # Seeds outermost: whenever it is killed, as much as possible can be compared.
    cells = product(range(args.seeds), args.models, args.regimes, args.factors)
    results = run_cells(
        args.out / "results.csv",
        (
            (
                f"{factor} {model} {regime} seed {seed}",
                partial(
                    run_cell,
                    project,
                    experiment=factor,
                    model=model,
                    regime=regime,
                    seed=seed,
                    **options,
                ),
            )
            for seed, model, regime, factor in cells
        ),
    )
    print(summary(project, results))


if __name__ == "__main__":
    main()
