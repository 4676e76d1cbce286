"""Eight yeast factors as one model with eight outputs, beside eight models with one each.

One joint store of the project of ``benchmarks/yeast.py`` (labelled genome sacCer3, four
*S. paradoxus* genomes, test chrIV and chrXV, validation chrXII). A run named ``joint`` predicts all
factors; early stopping watches their mean loss. Finished runs are not repeated.

    python benchmarks/yeast_joint.py --data $CROSSLABEL_MIRROR --out /tmp/yeast-joint \
        --single docs/results/yeast.csv

Prints AUPR by factor, and writes ``<out>/joint.csv`` with a row per run and factor. `--single`:
results of ``benchmarks/yeast.py``, shown beside. Minutes on one core with cnn-7k.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import yaml
from yeast_project import FACTORS, built, command_line, parsed, project_text, trained

from ssldata.base.files import write_text_atomic
from ssldata.project.project_file import JOINT
from sslmodels.scores.metrics import by_experiment

REGIMES = ("sl", "ssl", "ssl-plus")
CELL = ["experiment", "model", "regime", "seed"]


def joint_project(data: Path, model: str, seeds: int) -> str:
    """Return the project file of ``benchmarks/yeast.py`` with one store and one run of all."""
    project = yaml.safe_load(project_text(data, [model], seeds, 1))
    project["name"] = "yeast8-joint"
    project["store"] = {"joint": True}
    project["training"] |= {"outputs": "joint", "regimes": list(REGIMES)}
    return yaml.safe_dump(project, sort_keys=False)


def beside(rows: pd.DataFrame, single: pd.DataFrame | None) -> pd.DataFrame:
    """Return mean AUPR over seeds, factors by regime; runs of one output beside, if given."""
    parts = {"joint": rows}
    if single is not None:
        model = rows["model"].iloc[0].removesuffix(" joint")
        same = single["regime"].isin(set(rows["regime"])) & (single["model"] == model)
        parts["single"] = single[same]
    table = pd.concat(
        {
            name: part.pivot_table(index="experiment", columns="regime", values="aupr")
            for name, part in parts.items()
        },
        axis=1,
    ).swaplevel(axis=1)
    table = table.reindex(index=FACTORS)
    order = [(r, kind) for r in REGIMES for kind in ("single", "joint") if (r, kind) in table]
    table = table[order]
    table.loc["mean"] = table.mean(skipna=False)
    return table


def main() -> None:
    parser = command_line(__doc__.splitlines()[0], model="cnn-7k", seeds=1)
    parser.add_argument("--regimes", nargs="+", choices=REGIMES, default=list(REGIMES[:2]))
    parser.add_argument("--single", type=Path, help="results.csv of benchmarks/yeast.py")
    args = parsed(parser)
    project = built(args.out, joint_project(args.data, args.model, args.seeds))
    rows = []
    for regime in args.regimes:
        for seed in range(args.seeds):
            cell = {"experiment": JOINT, "model": args.model, "regime": regime, "seed": seed}
            metrics, record = trained(project, **cell)
            for numbers in by_experiment(metrics):
                kept = {key: numbers[key] for key in (*CELL, "aupr", "auroc", "positives")}
                rows.append({**kept, "steps": record["steps"], "cpu_s": record["cpu_s"]})
            table = pd.DataFrame(rows)
            write_text_atomic(args.out / "joint.csv", table.to_csv(index=False))
    single = None if args.single is None else pd.read_csv(args.single)
    print(beside(table, single).round(3).to_string())


if __name__ == "__main__":
    main()
