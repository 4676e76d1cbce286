"""The baselines of every report on eight yeast factors: the rows and test bins of yeast.py.

    python benchmarks/baselines.py --data $CROSSLABEL_MIRROR --out /tmp/yeast8

Writes ``<out>/baselines.csv`` (one row per factor and baseline) after every factor and prints a
table, one column per factor. ``--tuning`` leaves out chrIV and chrXV, and tests on other contigs,
as ``benchmarks/yeast_ablation.py`` does: choices are made there.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from yeast_ablation import DEVELOPMENT, EXCLUDED
from yeast_project import FACTORS, built, command_line, parsed, project_text

from ssldata.base.files import write_text_atomic
from ssldata.project.project_file import Project
from sslmodels.baseline_runs.baseline_status import baseline_results, read_baseline_record
from sslmodels.baseline_runs.train_baselines import train_baselines

#: Matrices of JASPAR 2024, CORE, fungi.
MATRICES = {
    "Reb1": "MA0363.3",
    "Abf1": "MA0265.3",
    "Fkh1": "MA0296.2",
    "Mcm1": "MA0331.1",
    "Rap1": "MA0359.3",
    "Ume6": "MA0412.3",
    "Swi4": "MA0401.1",
    "Ste12": "MA0393.1",
}


def with_motifs(text: str, data: Path) -> str:
    """Return a project file whose experiments name their matrices."""
    project = yaml.safe_load(text)
    file = data.resolve() / "motifs/JASPAR2024_CORE_fungi.meme"
    for experiment in project["experiments"]:
        experiment["motif"] = {"file": str(file), "name": MATRICES[experiment["name"]]}
    return str(yaml.safe_dump(project, sort_keys=False))


def rows_of(project: Project) -> list[dict[str, Any]]:
    """Return one row per baseline: factor, name, metrics, seconds, what was chosen."""
    rows = []
    for found in baseline_results(project):
        record = read_baseline_record(Path(found["folder"])) or {}
        chosen = {key: record.get("settings", {}).get(key, "") for key in ("motif", "C")}
        rows.append(
            {
                **{key: found.get(key) for key in ("experiment", "baseline", "aupr", "auroc")},
                "test_positives": found.get("positives"),
                **{key: record.get("rows", {}).get(key, 0) for key in ("positives", "homologues")},
                "negatives": record.get("rows", {}).get("negatives", 0),
                **chosen,
                "cpu_s": record.get("cpu_s"),
                "reason": found.get("reason", ""),
            }
        )
    return rows


def main() -> None:
    parser = command_line(__doc__.splitlines()[0], seeds=1)
    parser.add_argument("--tuning", action="store_true", help="without the test contigs")
    parser.add_argument("--factors", nargs="+", choices=FACTORS, default=list(FACTORS))
    args = parsed(parser)
    split = {"split": DEVELOPMENT, "exclude": EXCLUDED} if args.tuning else {}
    text = with_motifs(project_text(args.data, ["cnn-27k"], 1, 1, **split), args.data)
    project = built(args.out, text, args.factors)
    rows: list[dict[str, Any]] = []
    for factor in args.factors:
        training = project.training.model_copy(update={"experiments": [factor]})
        one = project.model_copy(update={"training": training})
        train_baselines(one)
        rows += rows_of(one)
        print(f"{factor} done", file=sys.stderr, flush=True)
        write_text_atomic(args.out / "baselines.csv", pd.DataFrame(rows).to_csv(index=False))
    table = pd.DataFrame(rows).pivot_table(
        index="baseline", columns="experiment", values="aupr", sort=False
    )
    table["mean"] = table.mean(axis=1)
    print(table.round(3).to_string())


if __name__ == "__main__":
    main()
