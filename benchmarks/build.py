"""What does building a store cost? Ours against the tools that a user would chain, in one run.

    python benchmarks/build.py --data $CROSSLABEL_MIRROR --out build.csv

The cases are those of build_case.py: a simulated clade, and with --data the factors of
examples/yeast in one store. The tools are those of build_tools.py; their rows are compared with
those of the store, some base by base. Every design is a process of its own, from an empty cache;
designs take turns. Medians over the rounds of CPU seconds (user + system, with children; what
imports cost is a line of its own), wall seconds and peak memory (VmHWM of the process, mapped files
included; not of its children).

Needs the extra `bench`; --peer-python is the Python of another environment that has it.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from build_case import DISTANCES, mammal_like, yeast
from build_meter import Attribution, Meter, cpu_seconds
from build_tools import LIBRARY, step_compare, step_tools

from ssldata.building.build_store import build_project
from ssldata.genomes.gather_kernels import first_header
from ssldata.genomes.genome import open_genome
from ssldata.project.project_file import load_project
from ssldata.store.shard_writer import expand
from ssldata.store.store import open_store
from ssldata.store.store_writer import CHUNKS_PER_SHARD, StoreWriter, chunk_rows, write_shard

COLUMNS = ("case", "design", "stage", "rows", "cpu_s", "wall_s", "peak_mb", "rows_per_cpu_s",
           "rows_per_s", "verdict")  # fmt: skip
STARTUP = "imports"
#: Stages to which every second of a build is charged; the innermost function counts.
STAGES = {
    "genomes: index, check": ["ssldata.genomes.genome:open_genome"],
    "genomes: digest": ["ssldata.genomes.genome:Genome.sequence_digest"],
    "chains: parse, sort, cache": ["ssldata.chains.chain_index:load_chain"],
    "peaks: read": ["ssldata.rows.intervals:read_peaks"],
    "liftover": ["ssldata.liftover.lift:lift"],
    "identity of aligned bases": ["ssldata.rows.sequence_identity:identical_share"],
    "windows": [
        "ssldata.rows.reference_rows:reference_rows",
        "ssldata.rows.homologue_rows:homologue_rows",
    ],
    "windows: runs of N": ["ssldata.genomes.genome:Genome.n_runs"],
    "windows: merging (pyranges)": ["ssldata.rows.intervals:merge"],
    "sequences: extraction": [
        "ssldata.building.write_group:fill_shard",
        "ssldata.genomes.genome:Genome.gather",
    ],
    "sequences: encoding, packing, reading back": ["ssldata.store.store_writer:write_shard"],
    "columns": ["ssldata.store.store_writer:StoreWriter.write_arrays"],
    "metadata and ledger": [
        "ssldata.store.store_writer:StoreWriter.create_sequences",
        "ssldata.store.store_writer:StoreWriter.set_entry",
        "ssldata.store.store_writer:StoreWriter.create",
        "ssldata.store.store_writer:StoreWriter.sweep",
        "ssldata.store.store:open_store",
    ],
    "to the disk (fsync)": ["ssldata.store.store_writer:sync_tree"],
    "card": ["ssldata.sharing.card:write_card"],
}  # fmt: skip


def step_build(project: Any, start: float) -> dict[str, Any]:
    """Build the store, every second charged to a stage."""
    meter = Meter()
    meter.add(STARTUP, 0, start, start, 0)
    cpu, wall = cpu_seconds(), time.perf_counter()
    attribution = Attribution(meter, STAGES)
    with attribution.stage("start of compiled code"):
        first_header(np.zeros(1, np.uint8))
    (built,) = build_project(project)
    attribution.turn()
    cpu, wall = cpu_seconds() - cpu, time.perf_counter() - wall
    rows = sum(group["rows"] for group in built["groups"])
    peak = max(costs[0][3] for costs in meter.stages.values())
    meter.add("whole build", rows, cpu, wall, peak)
    files = [path for path in Path(built["path"]).rglob("*") if path.is_file()]
    arrays = ("sequence", "sequence_codes")
    disk = [sum(f.stat().st_size for f in files if name in f.parts) / rows for name in arrays]
    return meter.result(disk=disk, store=built["bytes"] / rows)


def step_rates(project: Any, rounds: int) -> dict[str, Any]:
    """Extract and write the rows of the store again, each on its own."""
    store = open_store(project.store.path / "joint.zarr")
    length, chunk = project.windows.stored, chunk_rows(project.windows.stored)
    shard, pad = chunk * CHUNKS_PER_SHARD, (project.windows.stored - project.windows.size) // 2
    hot = np.empty((chunk, length, 4), np.uint8)
    groups, identity = {"reference": open_genome(project.reference.sequence)}, []
    for item in project.genomes:
        groups[f"homologs/{item.name}"] = open_genome(item.sequence)
        lifted = store.group(f"homologs/{item.name}").liftover()
        identity.append(float(lifted["identity"][lifted["status"] == 0].mean()))
    meter = Meter()
    for meter.round in range(rounds):
        for codes_too in (False, True):
            writer = StoreWriter(project.store.path / "rates.zarr")
            writer.create({"experiments": store.experiments, "seed": 0})
            stage = "write, one-hot and codes" if codes_too else "write, one-hot"
            for name, genome in groups.items():
                group = store.group(name)
                columns = [group.column(key) for key in ("contig", "start", "strand")]
                writer.begin(name, "benchmark")
                writer.write_arrays(name, {"start": columns[1]}, dims={"start": ("row",)})
                writer.create_sequences(name, rows=group.rows, length=length, codes=codes_too)
                for number, first in enumerate(range(0, group.rows, shard)):
                    contig, begin, strand = (c[first : first + shard] for c in columns)
                    with meter("extraction + encoding, in memory", len(begin)):
                        codes = genome.gather(contig, begin - pad, length, strand)
                        for at in range(0, len(codes), chunk):
                            piece = codes[at : at + chunk]
                            expand(piece, hot[: len(piece)])
                    with meter(stage, len(codes)):
                        write_shard(writer.path, name, number, codes)
            shutil.rmtree(writer.path)
    return meter.result(identity=identity)


def run_step(step: str, project: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Run one step in a process of its own, from an empty cache."""
    environment = {**os.environ, "CROSSLABEL_CACHE": str(options.folder / "cache")}
    shutil.rmtree(environment["CROSSLABEL_CACHE"], ignore_errors=True)
    if step == "build":
        shutil.rmtree(options.folder / f"store-{project.stem}", ignore_errors=True)
    command = [sys.executable, __file__, "--step", step, "--project", project]
    for name in ("folder", "rounds", "peer_python"):
        command += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"{project.stem}: step {step} failed with exit code {done.returncode}")
    return json.loads(done.stdout)


class Table(list):
    """The lines of the CSV file, printed as they are found."""

    def add(self, case: str, design: str, runs: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
        found = {}
        for stage in runs[0]["stages"]:
            rounds = [one for run in runs for one in run["stages"].get(stage, [])]
            rows, cpu, wall, peak = np.median(rounds, axis=0).tolist()
            values = (int(rows), round(cpu, 3), round(wall, 3), int(peak))
            line = (
                case,
                design,
                stage,
                *values,
                round(rows / max(cpu, 1e-9)),
                round(rows / max(wall, 1e-9)),
            )
            found[stage] = dict(zip(COLUMNS, line, strict=False))
            print("{:10} {:6} {:40} {:8} rows {:8} CPU s {:8} s {:5} MB {:8}/CPU s".format(*line))
        self.extend(found.values())
        return found

    def target(self, case: str, what: str, value: float, sign: str, limit: float) -> None:
        met = "met" if (value >= limit if sign == "≥" else value <= limit) else "NOT MET"
        verdict = f"{value:.2f} {sign} {limit:g}: {met}"
        print(f"  {what}: {verdict}", flush=True)
        self.append({"case": case, "design": "target", "stage": what, "verdict": verdict})


def measure(path: Path, options: argparse.Namespace, table: Table) -> None:
    """Measure one project: builds and tools in turns, then the rates of single steps."""
    case, runs = path.stem, defaultdict(list)
    for number in range(options.rounds):
        runs["build"].append(run_step("build", path, options))
        if number < (options.tool_rounds or options.rounds):
            runs["tools"].append(run_step("tools", path, options))
    rates = run_step("rates", path, options)
    ours, theirs, same, compared = run_step("compare", path, options)["totals"]
    build = table.add(case, "build", runs["build"])["whole build"]
    tools = table.add(case, "tools", runs["tools"])
    found = table.add(case, "rates", [rates])
    print(f"{case}: {ours} rows, tools {theirs}, same {same}, compared base by base {compared}")
    print(f"  identical bases of sources: {np.round(rates['identity'], 3).tolist()}")
    print(f"  B per row, whole store and HDF5: {[round(runs[k][0]['store']) for k in runs]}")
    if case != "yeast" and not np.allclose(1 - np.array(rates["identity"]), DISTANCES, atol=0.02):
        sys.exit(f"{case}: identities do not fit the distances {DISTANCES}")
    chain = tools["whole chain"]
    ratio = build["rows_per_cpu_s"] / chain["rows_per_cpu_s"]
    table.target(case, "end to end, × the tools' rows per CPU second", ratio, "≥", 10)
    cpu = chain["cpu_s"] + tools[LIBRARY]["cpu_s"] - tools["liftover, CrossMap"]["cpu_s"]
    print(f"  × with the library liftover instead of CrossMap: {cpu / build['cpu_s']:.2f}")
    for stage in ("extraction + encoding, in memory", "write, one-hot", "write, one-hot and codes"):
        speed, limit = found[stage]["rows_per_cpu_s"] / 1000, 400 if "write" in stage else 2000
        table.target(case, f"{stage}, k rows per CPU second", speed, "≥", limit)
    one_hot, codes = runs["build"][0]["disk"]
    table.target(case, "one-hot on disk, B per row", one_hot, "≤", 60)
    table.target(case, "one-hot and codes on disk, B per row", one_hot + codes, "≤", 110)


def scaling(paths: list[Path], options: argparse.Namespace, table: Table) -> None:
    """Build with a tenth, three tenths and all of the peaks; compare memory and time."""
    runs = {p.stem: [run_step("build", p, options) for _ in range(options.rounds)] for p in paths}
    found = [table.add(case, "build", those)["whole build"] for case, those in runs.items()]
    rows, peak = (found[-1][k] / found[0][k] for k in ("rows", "peak_mb"))
    table.target("scaling", f"memory at × {rows:.2f} rows, change", abs(peak - 1), "≤", 0.2)
    # Total time would look linear as long as the fixed costs of a build dominate it.
    steps = [(b["cpu_s"] - a["cpu_s"], b["rows"] - a["rows"]) for a, b in pairwise(found)]
    early, late = (1e6 * cpu / more for cpu, more in steps)
    print(f"µs of CPU per further row: {early:.1f} up to {found[1]['rows']} rows, then {late:.1f}")
    growth = late / early if early > 0 < late else np.inf  # lost in noise: not met
    table.target("scaling", "CPU of a further row, late × early", growth, "≤", 1.2)


def main() -> None:
    start = cpu_seconds()  # of Python and imports
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument(
        "--bases", type=int, default=200_000_000, help="of the labelled genome; 0: no such case"
    )
    parser.add_argument("--peaks", type=int, help="default: one per 1000 bases")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--tool-rounds", type=int, help="of the tools, which take 15 times as long; default: all"
    )
    parser.add_argument("--data", type=Path, help="folder that holds yeast/: measured as well")
    parser.add_argument("--peer-python", type=Path, default=sys.executable)
    parser.add_argument("--folder", type=Path, help="to work in; kept, with the simulated genomes")
    parser.add_argument("--out", type=Path, help="CSV file")
    for hidden in ("--step", "--project"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        project = load_project(Path(options.project))
        steps = {
            "build": lambda: step_build(project, start),
            "rates": lambda: step_rates(project, options.rounds),
            "tools": lambda: step_tools(project, options.folder, options.peer_python),
            "compare": lambda: step_compare(project, options.folder),
        }
        print(json.dumps(steps[options.step]()))
        return
    if not options.peer_python.with_name("CrossMap").is_file():
        sys.exit(f"{options.peer_python}: no CrossMap beside it; install the extra 'bench' there")
    table = Table()
    with tempfile.TemporaryDirectory() as temporary:
        options.folder = (options.folder or Path(temporary)).resolve()
        options.folder.mkdir(parents=True, exist_ok=True)
        print(machine(), flush=True)
        if options.data:
            path = yeast(options.folder, options.data)
            run_step("build", path, options)  # compiles, once per installation
            measure(path, options, table)
        if options.bases:
            peaks = options.peaks or options.bases // 1000
            case = {"bases": options.bases, "peaks": peaks, "seed": options.seed}
            paths = mammal_like(options.folder, **case)
            run_step("build", paths[0], options)
            measure(paths[-1], options, table)
            scaling(paths, options, table)
    if options.out:
        with options.out.open("w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(table)
            handle.write(f"# {machine()}, seed {options.seed}\n")


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    cpu = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), "")
    return f"{cpu}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"


if __name__ == "__main__":
    main()
