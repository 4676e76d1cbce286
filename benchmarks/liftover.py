"""Benchmark of liftover: ours and every peer that is installed, on the same files.

Makes a human-to-mouse-like chain (100,000 chains, 1 M blocks) and 1 M intervals of 200-500 b from
a seed, runs every step in a process of its own, and writes one CSV line per step: CPU seconds
(user + system, of the process and its children), wall seconds and peak memory. Steps inside a
process are run three times and the best is taken, for every tool.

    python benchmarks/liftover.py --peer-python /path/to/venv/bin/python --out results.csv

Peers are looked for in the environment of --peer-python (CrossMap, pyliftover, liftover) and by
--fastremap PROGRAM; those that are missing are left out and reported.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

# Lengths of human and mouse chromosomes in Mb, rounded: only the proportions matter.
HUMAN = [248, 242, 198, 190, 181, 171, 159, 145, 138, 134, 135, 133,
         114, 107, 102, 90, 83, 80, 59, 64, 47, 51, 156, 57]  # fmt: skip
MOUSE = [195, 182, 160, 156, 152, 150, 145, 129, 124, 131, 122, 120,
         120, 125, 104, 98, 95, 91, 61, 171, 92]  # fmt: skip
TARGETS = [f"chr{name}" for name in [*range(1, 23), "X", "Y"]]
QUERIES = [f"chr{name}" for name in [*range(1, 20), "X", "Y"]]


def chains(rng: np.random.Generator, chains: int, blocks: int) -> Iterator[str]:
    """Yield the text of each chain: long ones with many blocks, and many short ones."""
    weights = rng.pareto(1.1, chains) + 0.2
    counts = np.maximum(1, (weights / weights.sum() * blocks)).astype(np.int64)
    target = rng.choice(len(HUMAN), chains, p=np.array(HUMAN) / sum(HUMAN))
    query = rng.choice(len(MOUSE), chains, p=np.array(MOUSE) / sum(MOUSE))
    minus = rng.random(chains) < 0.5
    place = rng.random((chains, 2))
    for number in range(chains):
        count = counts[number]
        size = np.maximum(1, rng.gamma(0.9, 90, count)).astype(np.int64)
        gaps = (rng.pareto(0.9, (count, 2)) * 8).astype(np.int64) + 1
        kind = rng.random(count)
        gaps[kind < 0.25, 0] = 0
        gaps[kind > 0.75, 1] = 0
        gaps = np.minimum(gaps, 20_000)
        gaps[-1] = 0
        tspan = int(size.sum() + gaps[:, 0].sum())
        qspan = int(size.sum() + gaps[:, 1].sum())
        tsize, qsize = HUMAN[target[number]] * 10**6, MOUSE[query[number]] * 10**6
        if tspan >= tsize or qspan >= qsize:
            continue
        tstart = int(place[number, 0] * (tsize - tspan))
        qstart = int(place[number, 1] * (qsize - qspan))
        strand = "-" if minus[number] else "+"
        words = [
            "chain", int(size.sum()) * 90,
            TARGETS[target[number]], tsize, "+", tstart, tstart + tspan,
            QUERIES[query[number]], qsize, strand, qstart, qstart + qspan, number + 1,
        ]  # fmt: skip
        lines = [" ".join(map(str, words))]
        lines += [
            f"{s}\t{t}\t{q}"
            for s, (t, q) in zip(size[:-1].tolist(), gaps[:-1].tolist(), strict=True)
        ]
        yield "\n".join([*lines, str(size[-1])]) + "\n\n"


def make_files(folder: Path, *, n_chains: int, n_blocks: int, intervals: int, seed: int) -> None:
    """Write chain.gz, chain (plain), and the intervals sorted and in random order."""
    rng = np.random.default_rng(seed)
    text = "".join(chains(rng, n_chains, n_blocks))
    (folder / "map.chain").write_text(text)
    (folder / "map.chain.gz").write_bytes(gzip.compress(text.encode(), 6, mtime=0))
    spans = [line.split() for line in text.split("\n") if line.startswith("chain")]
    span = np.array([(TARGETS.index(w[2]), int(w[5]), int(w[6])) for w in spans])
    # Most peaks lie in chains, long chains first; the others anywhere.
    length = span[:, 2] - span[:, 1]
    inside = rng.choice(len(span), int(intervals * 0.8), p=length / length.sum())
    contig = span[inside, 0]
    start = span[inside, 1] + (rng.random(len(inside)) * length[inside]).astype(np.int64)
    rest = rng.choice(len(HUMAN), intervals - len(inside), p=np.array(HUMAN) / sum(HUMAN))
    anywhere = (rng.random(len(rest)) * np.array(HUMAN)[rest] * 10**6 * 0.99).astype(np.int64)
    contig, start = np.append(contig, rest), np.append(start, anywhere)
    end = start + rng.integers(200, 501, len(start))
    strand = rng.choice(["+", "-"], len(start))
    orders = {"random": rng.permutation(len(start)), "sorted": np.lexsort((start, contig))}
    for name, order in orders.items():
        rows = zip(
            contig[order].tolist(), start[order].tolist(), end[order].tolist(),
            strand[order].tolist(), strict=True,
        )  # fmt: skip
        lines = [f"{TARGETS[c]}\t{s}\t{e}\tp{i}\t0\t{d}" for i, (c, s, e, d) in enumerate(rows)]
        (folder / f"{name}.bed").write_text("\n".join(lines) + "\n")
        small = lines[:: max(1, len(lines) // 100_000)][:100_000]
        (folder / f"{name}.100k.bed").write_text("\n".join(small) + "\n")


# One function per step, run in its own process by `--step`; each returns what it counted.


def timed(action: Callable[[], object], repeats: int = 1) -> tuple[object, dict[str, float]]:
    """Return the value of `action`, and the lowest CPU and wall seconds of several runs."""
    costs = []
    for _ in range(repeats):
        cpu, wall = time.process_time(), time.perf_counter()
        value = action()
        costs.append((time.process_time() - cpu, time.perf_counter() - wall))
    return value, dict(zip(("cpu", "wall"), map(min, zip(*costs, strict=True)), strict=True))


def read_bed(path: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return contigs, starts and ends of a BED file (not timed)."""
    rows = [line.split("\t", 3)[:3] for line in path.read_text().splitlines()]
    names, start, end = zip(*rows, strict=True)
    return list(names), np.array(start, dtype=np.int64), np.array(end, dtype=np.int64)


def step_load(folder: Path, order: str) -> dict[str, object]:
    from ssldata.chains.chain_index import load_chain

    load_chain(folder / "map.chain.gz")  # makes the cache; imports and page faults are paid
    _, cost = timed(lambda: load_chain(folder / "map.chain.gz"), 3)
    return {**cost, "note": "index from the cache"}


def step_memory(
    folder: Path, order: str, mode: str = "ucsc", by_name: bool = False
) -> dict[str, object]:
    from ssldata.chains.chain_index import load_chain
    from ssldata.liftover.lift import lift
    from ssldata.liftover.lift_result import LiftOptions

    index = load_chain(folder / "map.chain.gz")
    names, start, end = read_bed(folder / f"{order}.bed")
    contig = names if by_name else index.encode(names)
    options = LiftOptions(mode=mode, min_match=0.1)
    lift(index, contig[:10], start[:10], end[:10], options=options, kernel="numba")
    result, cost = timed(
        lambda: lift(index, contig, start, end, options=options, kernel="numba"), 3
    )
    return {**cost, "mapped": int(result.mapped.sum())}


def step_memory_names(folder: Path, order: str) -> dict[str, object]:
    """As `step_memory`, but contigs are given by name, as the peers get them."""
    return step_memory(folder, order, by_name=True)


def step_memory_blocks(folder: Path, order: str) -> dict[str, object]:
    return step_memory(folder, order, "blocks")


def step_file(folder: Path, order: str) -> dict[str, object]:
    """Lift file to file in a process that has lifted before."""
    from ssldata.ucsc_tool.ucsc_command import parse_arguments, run

    names = [folder / f"{order}.bed", folder / "map.chain.gz", folder / "new", folder / "lost"]
    files, options, _ = parse_arguments(["-minMatch=0.1", *map(str, names)])
    import numba  # noqa: F401  (the large file below loads it anyway)

    run([str(folder / f"{order}.100k.bed"), *files[1:]], options)
    counts, cost = timed(lambda: run(files, options), 3)
    return {**cost, "mapped": counts["mapped"]}


def step_liftover(folder: Path, order: str) -> dict[str, object]:
    from liftover import ChainFile

    chain, load = timed(lambda: ChainFile(str(folder / "map.chain.gz")))
    names, start, end = read_bed(folder / f"{order}.bed")
    starts, ends = start.tolist(), (end - 1).tolist()

    def both_ends() -> int:
        query = chain.query
        mapped = 0
        for name, s, e in zip(names, starts, ends, strict=True):
            if query(name, s) and query(name, e):
                mapped += 1
        return mapped

    mapped, cost = timed(both_ends, 3)
    return {**cost, "mapped": mapped, "note": f"two end points; load {load['cpu']:.2f} s"}


def step_liftover_file(folder: Path, order: str) -> dict[str, object]:
    """Read a BED file, look both ends up, write those that agree: what people write with it."""
    from liftover import ChainFile

    chain = ChainFile(str(folder / "map.chain.gz"))

    def lift() -> int:
        mapped = 0
        with (folder / f"{order}.bed").open() as old, (folder / "new").open("w") as new:
            for line in old:
                name, start, end, rest = line.split("\t", 3)
                low, high = chain.query(name, int(start)), chain.query(name, int(end) - 1)
                if low and high and low[0][0] == high[0][0]:
                    a, b = sorted((low[0][1], high[0][1]))
                    new.write(f"{low[0][0]}\t{a}\t{b + 1}\t{rest}")
                    mapped += 1
        return mapped

    mapped, cost = timed(lift, 3)
    return {**cost, "mapped": mapped, "note": "two end points"}


def step_pyliftover(folder: Path, order: str) -> dict[str, object]:
    from pyliftover import LiftOver

    chain, load = timed(lambda: LiftOver(str(folder / "map.chain.gz")))
    names, start, end = read_bed(folder / f"{order}.bed")
    starts, ends = start.tolist(), (end - 1).tolist()

    def both_ends() -> int:
        point = chain.convert_coordinate
        return sum(
            bool(point(n, s) and point(n, e)) for n, s, e in zip(names, starts, ends, strict=True)
        )

    mapped, cost = timed(both_ends)
    return {**cost, "mapped": mapped, "note": f"two end points; load {load['cpu']:.2f} s"}


STEPS = {
    name.removeprefix("step_"): value
    for name, value in list(globals().items())
    if name.startswith("step_")
}


def run_process(command: list[str], environment: dict[str, str], folder: Path) -> dict[str, object]:
    """Run a command; return its CPU and wall seconds and its peak memory in MB."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    wall = time.perf_counter()
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        out, err = process.communicate()
        code = process.returncode
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if code != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{err.decode()[-2000:]}")
    return {
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "wall": time.perf_counter() - wall,
        "out": out.decode(),
    }


def with_peak(command: list[str]) -> list[str]:
    """Wrap a command so that its peak memory is printed last (RUSAGE_CHILDREN keeps a maximum)."""
    script = (
        "import resource, subprocess, sys;"
        "code = subprocess.call(sys.argv[1:]);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024);"
        "sys.exit(code)"
    )
    return [sys.executable, "-S", "-c", script, *command]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--intervals", type=int, default=1_000_000)
    parser.add_argument("--chains", type=int, default=100_000)
    parser.add_argument("--blocks", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--peer-python", help="Python of the environment with the peers")
    parser.add_argument("--fastremap", help="the FastRemap program")
    parser.add_argument(
        "--folder", type=Path, help="keep the files here (default: a temporary one)"
    )
    parser.add_argument("--out", type=Path, help="CSV file (default: standard output)")
    parser.add_argument("--slow-peers", action="store_true", help="pyliftover and CrossMap on all")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--order", default="sorted", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        print(json.dumps(STEPS[arguments.step](arguments.folder, arguments.order)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        make_files(
            folder, n_chains=arguments.chains, n_blocks=arguments.blocks,
            intervals=arguments.intervals, seed=arguments.seed,
        )  # fmt: skip
        rows = list(measure(arguments, folder.resolve()))
    with arguments.out.open("w", newline="") if arguments.out else sys.stdout as handle:
        columns = ["tool", "step", "order", "intervals", "cpu_s", "wall_s", "peak_mb", "mapped",
                   "note"]  # fmt: skip
        writer = csv.DictWriter(handle, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        handle.write(f"# {platform.processor() or platform.machine()}, Python "
                     f"{platform.python_version()}, seed {arguments.seed}\n")  # fmt: skip


def measure(arguments: argparse.Namespace, folder: Path) -> Iterator[dict[str, object]]:
    """Yield the CSV rows; every step is a process of its own."""
    environment = {**os.environ, "CROSSLABEL_CACHE": str(folder / "cache")}
    ours = [sys.executable, "-m", "ssldata.ucsc_tool.ucsc_command", "--quiet", "-minMatch=0.1"]
    root = str(Path(__file__).resolve().parent.parent)
    environment["PYTHONPATH"] = root
    total = arguments.intervals

    def row(tool: str, step: str, order: str, count: int, found: dict) -> dict[str, object]:
        print(f"{tool:12} {step:28} {order:7} {found['cpu']:8.3f} s", file=sys.stderr)
        return {
            "tool": tool, "step": step, "order": order, "intervals": count,
            "cpu_s": round(found["cpu"], 4), "wall_s": round(found["wall"], 4),
            "peak_mb": found.get("peak", ""), "mapped": found.get("mapped", ""),
            "note": found.get("note", ""),
        }  # fmt: skip

    def process(command: list[str]) -> dict[str, object]:
        found = run_process(with_peak(command), environment, folder)
        return {**found, "peak": int(str(found["out"]).split()[-1])}

    def inside(python: str, step: str, order: str) -> dict[str, object]:
        options = ["--step", step, "--order", order, "--folder", str(folder)]
        found = process([python, "-P", __file__, *options])
        answer = json.loads(str(found["out"]).split("\n")[0])
        return {**answer, "peak": found["peak"]}

    def cold() -> None:
        for name in (folder / "cache").glob("*/*"):
            name.unlink()

    files = [str(folder / name) for name in ("map.chain.gz", "new", "lost")]
    process([*ours, str(folder / "sorted.bed"), *files])  # compiles, once per installation
    for order in ("sorted", "random"):
        for count, name in ((100_000, f"{order}.100k.bed"), (total, f"{order}.bed")):
            for state in ("cold", "warm"):
                if state == "cold":
                    cold()
                found = process([*ours, str(folder / name), *files])
                yield row("crosslabel", f"command, {state} index", order, count, found)
        for step, label in (
            ("file", "file to file"),
            ("memory", "in memory, ucsc"),
            ("memory_names", "in memory, ucsc, contig names"),
            ("memory_blocks", "in memory, blocks"),
        ):
            yield row("crosslabel", label, order, total, inside(sys.executable, step, order))
    yield row("crosslabel", "load index, warm", "", 0, inside(sys.executable, "load", ""))
    yield from peers(arguments, folder, row, process, inside)


def peers(
    arguments: argparse.Namespace, folder: Path, row: Callable, process: Callable, inside: Callable
) -> Iterator[dict[str, object]]:
    """Yield the rows of the installed peers."""
    total = arguments.intervals
    python = arguments.peer_python
    chain, plain = str(folder / "map.chain.gz"), str(folder / "map.chain")
    scripts = Path(python).parent if python else Path()
    for module in ("liftover", "pyliftover", "cmmodule"):
        found = bool(python) and not subprocess.call(
            [python, "-c", f"import {module}"], stderr=subprocess.DEVNULL
        )
        if not found:
            print(f"# {module}: not installed, left out", file=sys.stderr)
            continue
        for order in ("sorted", "random"):
            if module == "liftover":
                yield row("liftover", "in memory", order, total, inside(python, module, order))
                yield row(
                    "liftover", "file to file", order, total,
                    inside(python, "liftover_file", order),
                )  # fmt: skip
            elif module == "pyliftover" and arguments.slow_peers:
                yield row("pyliftover", "in memory", order, total, inside(python, module, order))
            elif module == "cmmodule":
                sizes = [(100_000, f"{order}.100k.bed")]
                if arguments.slow_peers:
                    sizes.append((total, f"{order}.bed"))
                for count, name in sizes:
                    command = [str(scripts / "CrossMap"), "bed", chain, str(folder / name)]
                    yield row(
                        "CrossMap", "command (pieces)", order, count,
                        process([*command, str(folder / "new")]),
                    )  # fmt: skip
    if arguments.fastremap:
        for order in ("sorted", "random"):
            for count, name in ((100_000, f"{order}.100k.bed"), (total, f"{order}.bed")):
                command = [arguments.fastremap, "-f", "bed", "-c", plain, "-i", str(folder / name)]
                command += ["-o", str(folder / "new"), "-u", str(folder / "lost")]
                yield row("FastRemap", "command (pieces)", order, count, process(command))


if __name__ == "__main__":
    main()
