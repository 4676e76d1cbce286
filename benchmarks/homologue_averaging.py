"""Does the mean over a bin's homologues tell bound bins better than its own score?

    python benchmarks/yeast.py --data $CROSSLABEL_MIRROR --out /tmp/yeast --seeds 1
    python benchmarks/homologue_averaging.py /tmp/yeast --out /tmp/averaging

For every complete run of a project the test bins are scored as by ``crosslabel predict --split
test``, with ``--homologues`` and without, both strands. Writes ``<out>/results.csv``: the AUPR of
both, and the difference with a 95 % interval (paired bootstrap over blocks of consecutive bins).
Nothing is chosen here; models and genomes are those of the project. Scores are not made again.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pandas as pd
from sklearn.metrics import average_precision_score

from ssldata.base.files import write_text_atomic
from ssldata.project.project_file import Project, load_project
from ssldata.store.store import REFERENCE, open_store
from sslmodels.fit.threads import limit_threads
from sslmodels.prediction.prediction_request import PredictionRequest, run_prediction
from sslmodels.runs.run_folder import read_record
from sslmodels.scores.metric_intervals import blocks_of_bins, difference_interval


def scores_of(run: Path, store: Path, project: Project, out: Path, *, homologues: bool) -> Path:
    """Score the test bins of a run; return the table."""
    table = out / f"{'-'.join(run.parts[-4:])}{'-homologues' * homologues}.tsv"
    request = PredictionRequest(
        models=[run],
        out=table,
        store=str(store),
        split="test",
        homologues=homologues,
        project=project.file if homologues else None,
    )
    run_prediction(request)
    return table


def compare(run: Path, project: Project, out: Path) -> dict[str, object]:
    """Return the row of one run."""
    record = read_record(run)
    path = project.store_path(record["experiment"])
    rows = open_store(path).group(REFERENCE)
    start, end = rows.ranges["test"]
    labels = rows.column("label")[start:end, 0]
    plain, averaged = (
        pd.read_csv(scores_of(run, path, project, out, homologues=homologues), sep="\t")
        for homologues in (False, True)
    )
    genomes = averaged["genomes"]
    score = [name for name in plain.columns if name in averaged.columns][-1]
    first, second = plain[score].to_numpy(), averaged[score].to_numpy()
    blocks = blocks_of_bins(rows.column("contig")[start:end], rows.column("start")[start:end])
    low, high = difference_interval(labels, first, second, blocks) or (math.nan, math.nan)
    aupr = [float(average_precision_score(labels, found)) for found in (first, second)]
    return {
        **{key: record[key] for key in ("experiment", "model", "regime", "seed")},
        "bins": len(labels),
        "positives": int(labels.sum()),
        "genomes_behind_positives": float(genomes[labels == 1].mean()),
        "aupr": aupr[0],
        "aupr_homologues": aupr[1],
        "difference": aupr[1] - aupr[0],
        "low": low,
        "high": high,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("project", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    limit_threads(options.threads)
    project = load_project(options.project)
    options.out.mkdir(parents=True, exist_ok=True)
    found = sorted(project.training.runs.glob("*/*/*/seed-*/run.json"))
    lines = []
    for file in found:
        if read_record(file.parent)["status"] == "complete":
            lines.append(compare(file.parent, project, options.out))
            print(lines[-1], file=sys.stderr)
            table = pd.DataFrame(lines)
            write_text_atomic(options.out / "results.csv", table.round(4).to_csv(index=False))


if __name__ == "__main__":
    main()
