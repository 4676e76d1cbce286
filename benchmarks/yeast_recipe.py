"""The recipe on yeast: committees with and without homologues, their networks, and the baselines.

    python benchmarks/yeast_recipe.py --data $CROSSLABEL_MIRROR --out /tmp/recipe --seeds 3

Factors, labels, split and settings of training are those of ``benchmarks/yeast.py``, and so are the
networks: they are trained on the homologues of the four *S. paradoxus* genomes. The committee also
looks at *S. arboricolus*, 20 % from the labelled genome; the baselines with homologues learn from
the genomes that the networks learn from. ``--factors`` takes any factors of ``yeast/peaks`` and
``yeast/peaks_more``; those without a matrix in ``benchmarks/baselines.py`` have no scan among their
baselines. ``--tuning`` leaves out chrIV and chrXV and tests on other contigs: choices are made
there.

Writes ``<out>/results.csv`` (one row per run and baseline) after every run, and prints the table
of factors, and the recipe over its control, over its network and over the best baseline of each
factor (the best on the test, which is kind to the baselines).
"""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from baselines import MATRICES
from yeast_ablation import DEVELOPMENT, EXCLUDED
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
    trained,
    with_folders,
)

from ssldata.base.files import write_text_atomic
from ssldata.project.project_file import Project
from sslmodels.baseline_runs.baseline_status import (
    BASELINE_MODEL,
    BASELINE_SEED,
    baseline_results,
)
from sslmodels.baseline_runs.train_baselines import train_baselines
from sslmodels.benchmark.result_intervals import ExperimentCell, comparisons, resamples_of

MODEL = "cnn-27k"
RECIPE = "ssl-committee"
#: Of ssl-ns, as in ``benchmarks/yeast.py``.
ITERATIONS = 5
#: Draws of factors for the interval over the best baseline.
_DRAWS = 2000


def text_of(data: Path, factors: list[str], seeds: int, *, tuning: bool) -> str:
    """Return the project file."""
    split = {"split": DEVELOPMENT, "exclude": EXCLUDED} if tuning else {}
    project = yaml.safe_load(project_text(data, [MODEL], seeds, ITERATIONS, **split))
    folder = data.resolve() / "yeast"
    matrices = data.resolve() / "motifs/JASPAR2024_CORE_fungi.meme"
    project["experiments"] = [_experiment(folder, matrices, name) for name in factors]
    far = {
        "name": "Sarb",
        "sequence": str(folder / "genomes/Sarb.genome.fa.gz"),
        "chain": str(folder / "chains/sacCer3ToSarb.over.chain.gz"),
        "distance": 0.2,
    }
    project["genomes"].append(far)
    project["training"] |= {"regimes": list(REGIMES), "nearest": 4}
    return str(yaml.safe_dump(project, sort_keys=False))


def _experiment(folder: Path, matrices: Path, name: str) -> dict[str, Any]:
    places = [folder / part / f"{name}_CX.bed" for part in ("peaks", "peaks_more")]
    peaks = next((path for path in places if path.exists()), places[0])
    motif = {"motif": {"file": str(matrices), "name": MATRICES[name]}} if name in MATRICES else {}
    return {"name": name, "peaks": str(peaks), "width": 200, **motif}


def baseline_lines(project: Project, factor: str) -> list[dict[str, Any]]:
    """Train the baselines of a factor; return a row for each, as for runs."""
    training = project.training.model_copy(update={"experiments": [factor]})
    one = project.model_copy(update={"training": training})
    train_baselines(one)
    return [
        {
            "experiment": factor,
            "model": BASELINE_MODEL,
            "regime": found["baseline"],
            "seed": BASELINE_SEED,
            "run": str(found["folder"]),
            **numbers_of(found),
        }
        for found in baseline_results(one)
        if found.get("aupr") is not None
    ]


def run_line(project: Project, cell: dict[str, Any]) -> dict[str, Any]:
    """Train and evaluate a run; return its row."""
    numbers, record = trained(project, **cell)
    weight = record.get("committee", {}).get("combined", {})
    weights = dict(zip(weight.get("members", ()), weight.get("weight", ()), strict=True))
    return {
        **cell,
        **numbers_of(numbers),
        **{f"weight_{name}": round(value, 3) for name, value in weights.items()},
    }


def over_best(results: pd.DataFrame, resamples: dict[ExperimentCell, Any]) -> list[str]:
    """Return lines on the recipe over every baseline, and over the best one of each factor."""
    baselines = results[results["model"] == BASELINE_MODEL]
    names = list(dict.fromkeys(baselines["regime"]))
    lines = comparison_lines(compared_factors(results, resamples, [(RECIPE, b) for b in names]))
    cells = results.groupby(["experiment", "model", "regime"], sort=False)["aupr"]
    means = cells.mean().reset_index()
    ours = means[means["regime"] == RECIPE].set_index("experiment")
    rows = means[means["model"] == BASELINE_MODEL]
    best = rows.loc[rows.groupby("experiment")["aupr"].idxmax()].set_index("experiment")
    shared = [name for name in ours.index if name in best.index]
    if not shared:
        return [*lines, "no baselines"]
    # The best baseline of each factor as one method, so that it is compared like the others.
    chosen = [
        {"experiment": name, "model": BASELINE_MODEL, "regime": "best", "mean": best.aupr[name]}
        for name in shared
    ]
    kept = {
        (name, BASELINE_MODEL, "best"): resamples.get((name, BASELINE_MODEL, best.regime[name]))
        for name in shared
    }
    known = {**resamples, **{cell: found for cell, found in kept.items() if found is not None}}
    table = pd.concat([means.rename(columns={"aupr": "mean"}), pd.DataFrame(chosen)])
    pair = ((ours["model"].iloc[0], RECIPE), (BASELINE_MODEL, "best"))
    lines += comparison_lines(comparisons(table, known, [pair]))
    a, b = ours.loc[shared, "aupr"].to_numpy(), best.loc[shared, "aupr"].to_numpy()
    if len(shared) > 1:
        draws = np.random.default_rng(0).integers(0, len(a), (_DRAWS, len(a)))
        low, high = np.quantile(a[draws].mean(axis=1) / b[draws].mean(axis=1), [0.025, 0.975])
        lines.append(f"  the same over factors drawn at random: [{low:.2f}, {high:.2f}]")
    return lines + [
        f"  {name} {x:.3f} against {y:.3f} ({best.regime[name]})"
        for name, x, y in zip(shared, a, b, strict=True)
    ]


def main() -> None:
    parser = command_line(__doc__.splitlines()[0], seeds=3)
    parser.add_argument("--factors", nargs="+", default=list(FACTORS))
    parser.add_argument("--regimes", nargs="+", choices=REGIMES, default=list(REGIMES))
    parser.add_argument("--tuning", action="store_true", help="without the test contigs")
    args = parsed(parser)
    project = built(args.out, text_of(args.data, args.factors, args.seeds, tuning=args.tuning))
    baselines = pd.DataFrame(
        [row for factor in args.factors for row in baseline_lines(project, factor)]
    )
    rows: list[dict[str, Any]] = []
    for seed, factor, regime in product(range(args.seeds), args.factors, args.regimes):
        cell = {"experiment": factor, "model": MODEL, "regime": regime, "seed": seed}
        rows.append(run_line(project, cell))
        print(f"{factor} {regime} {seed}: AUPR {rows[-1]['aupr']:.3f}", file=sys.stderr, flush=True)
        results = pd.concat([pd.DataFrame(rows), baselines.drop(columns="run")])
        write_text_atomic(args.out / "results.csv", results.to_csv(index=False))
    runs = with_folders(project, pd.DataFrame(rows))
    results = pd.concat([runs, baselines])
    resamples = resamples_of(results)
    print(factor_table(results, resamples).to_string())
    print("\n".join(comparison_lines(compared_factors(runs, resamples, PAIRS))))
    print("\n".join(over_best(results, resamples)))


if __name__ == "__main__":
    main()
