"""What Prefect adds to a run: wall time with it and without, in processes of their own.

    python benchmarks/prefect_overhead.py --out docs/results/prefect-overhead.csv [--repeats 5]
        [--server http://127.0.0.1:4200/api]

Two kinds of work on a simulated clade: one whose results are all there (``up to date``), and one
whose runs are evaluated again (``small work``). Each is done by the pipeline alone (``bare``), by
the flow with its private backend (as ``crosslabel run`` has it), and with ``--server`` by the flow
and a server that runs already. The ways take turns, so that a busy machine is busy for all.
The CSV has one line for each process: work, way, repeat, seconds (of the process as a whole) and
those of the call alone, without the start of Python, Prefect and its backend. Printed are medians,
their ratios and differences to ``bare``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import yaml

from ssldata.simulation.clade import small_clade

BARE = """
from flows.steps.pipeline import Options, Pipeline
from ssldata.project.project_file import load_project
call = lambda: Pipeline(load_project(FOLDER), Options()).run()
"""
FLOW = """
from flows.prefect_flows import prefect_runtime
prefect_runtime.prepare()
from flows.prefect_flows.project_flows import run_project
call = lambda: run_project(FOLDER)
"""
CALL = """
import time
start = time.perf_counter()
call()
print("SECONDS", time.perf_counter() - start)
"""
FLOW_CALL = """
import time
with prefect_runtime.flow_settings():
    start = time.perf_counter()
    call()
    print("SECONDS", time.perf_counter() - start)
"""


def make_project(folder: Path) -> None:
    """Simulate a clade and a grid of two small runs."""
    small_clade(folder)
    file = folder / "project.yaml"
    project = yaml.safe_load(file.read_text())
    project["training"] |= {
        "experiments": ["alpha"],
        "models": ["cnn-7k"],
        "regimes": ["sl", "ssl"],
        "epochs": 2,
        "patience": 2,
        "baselines": False,
    }
    file.write_text(yaml.safe_dump(project))


def timed(folder: Path, way: str, server: str | None, home: Path) -> tuple[float, float]:
    """Run the project in a new process; return the seconds of the process and of the call."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    environment["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if way == "flow, own server" and server is not None:
        environment["PREFECT_API_URL"] = server
    elif way != "bare":
        environment["PREFECT_HOME"] = str(home)
    code = BARE + CALL if way == "bare" else FLOW + FLOW_CALL
    code = code.replace("FOLDER", repr(str(folder)))
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    whole = time.perf_counter() - start
    return whole, float(done.stdout.rpartition("SECONDS")[2].split()[0])


def forget_evaluations(folder: Path) -> None:
    """Leave small work to do: the runs are evaluated again, and the report is written."""
    for path in folder.glob("runs/*/*/*/*/evaluation/metrics.json"):
        path.unlink()


def main() -> None:
    """Measure, write the CSV and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--server")
    options = parser.parse_args()
    ways = ["bare", "flow, private backend", *(["flow, own server"] if options.server else [])]
    rows = []
    with tempfile.TemporaryDirectory() as top:
        folder, home = Path(top) / "project", Path(top) / "prefect"
        make_project(folder)
        for way in ways:  # builds and trains; makes the database, fills caches
            timed(folder, way, options.server, home)
        for repeat in range(options.repeats):
            for work in ("up to date", "small work"):
                for way in ways:
                    if work == "small work":
                        forget_evaluations(folder)
                    whole, call = timed(folder, way, options.server, home)
                    load = os.getloadavg()[0]
                    row = {"work": work, "way": way, "repeat": repeat, "seconds": round(whole, 3)}
                    rows.append({**row, "call_seconds": round(call, 3), "load": round(load, 1)})
                    print(json.dumps(rows[-1]), flush=True)
                    pd.DataFrame(rows).to_csv(options.out, index=False)
    table = pd.DataFrame(rows)
    for kind in ("seconds", "call_seconds"):
        medians = table.groupby(["work", "way"])[kind].median().unstack("way")
        for way in ways[1:]:
            ratio, more = medians[way] / medians["bare"], medians[way] - medians["bare"]
            for work in medians.index:
                print(f"{kind}, {work}, {way}: × {ratio[work]:.2f}, + {more[work]:.2f} s")


if __name__ == "__main__":
    main()
