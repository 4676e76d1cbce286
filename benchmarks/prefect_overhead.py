"""What Prefect adds to a run: wall time with it and without, in processes of their own.

    python benchmarks/prefect_overhead.py --out docs/results/prefect-overhead.csv [--repeats 5]
        [--server http://127.0.0.1:4200/api]

Two kinds of work on a simulated clade of two experiments and three genomes: a build whose stores
are all there (``up to date``), and one from nothing (``small work``: eight groups). Each is done by
the library alone (``bare``), by the flow with its private backend, and with ``--server`` by the
flow and a server that runs already. The ways take turns, so that a busy machine is busy for all.
The CSV has one line for each process: wall seconds of the process as a whole, CPU seconds of it and
of what it started (the private backend, not the other server), wall seconds of the call alone
(without the start of Python, Prefect and its backend), and the load. Printed are medians of the
differences to ``bare`` of the same repeat, and of the ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from ssldata.simulation.clade import small_clade

BARE = """
from ssldata.building.build_store import build_project
from ssldata.project.project_file import load_project
call = lambda: build_project(load_project(FOLDER))
"""
FLOW = """
from flows.prefect_flows import prefect_runtime
prefect_runtime.prepare()
from flows.prefect_flows.project_flows import build_stores
call = lambda: build_stores(FOLDER)
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


def timed(folder: Path, way: str, server: str | None, home: Path) -> dict[str, float]:
    """Build the project in a new process; return what that took."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    if way == "flow, own server" and server is not None:
        environment["PREFECT_API_URL"] = server
    elif way != "bare":
        environment["PREFECT_HOME"] = str(home)
    code = BARE + CALL if way == "bare" else FLOW + FLOW_CALL
    code = code.replace("FOLDER", repr(str(folder)))
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    whole, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    call = float(done.stdout.rpartition("SECONDS")[2].split()[0])
    found = {"seconds": whole, "cpu_seconds": cpu, "call_seconds": call, "load": os.getloadavg()[0]}
    return {key: round(value, 2) for key, value in found.items()}


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
        small_clade(folder)
        for way in ways[:2]:  # fills the caches; makes the database of the private backend
            timed(folder, way, None, home)
        for repeat in range(options.repeats):
            for way in ways:
                for work in ("small work", "up to date"):
                    if work == "small work":
                        shutil.rmtree(folder / "store")
                    found = timed(folder, way, options.server, home)
                    rows.append({"work": work, "way": way, "repeat": repeat, **found})
                    print(json.dumps(rows[-1]), flush=True)
                    pd.DataFrame(rows).to_csv(options.out, index=False)
    summarise(pd.DataFrame(rows))


def summarise(table: pd.DataFrame) -> None:
    """Print the medians over repeats of what each way takes, and of that beside ``bare``."""
    for (work, way), found in table.groupby(["work", "way"]):
        bare = table[(table.work == work) & (table.way == "bare")].set_index("repeat")
        found = found.set_index("repeat")
        for kind in ("seconds", "cpu_seconds", "call_seconds"):
            more, ratio = (found[kind] - bare[kind]).dropna(), (found[kind] / bare[kind]).dropna()
            print(
                f"{work}, {way}, {kind}, n = {len(found)}: {found[kind].median():.2f}; beside bare "
                f"+ {more.median():.2f} s ({more.min():.2f} to {more.max():.2f}), "
                f"x {ratio.median():.2f}"
            )


if __name__ == "__main__":
    main()
