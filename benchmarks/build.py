"""What does building a store cost? Ours against the tools a user would chain, in the same run.

    python benchmarks/build.py --peer-python PEERS/bin/python --data $CROSSLABEL_MIRROR

The mammal-like case is made from a seed: a labelled genome and four relatives (substitutions,
indels, segments in another order and strand) with exact chains, and peaks of 200 to 400 b.
--data adds examples/yeast, its factors in one store. The chain of tools: CrossMap (without it: both
ends of each interval looked up in pure Python, and named so), pyfaidx record by record, NumPy
one-hot, one HDF5 file. It is given plain FASTA, clean BED and *our* window arithmetic, so that it
makes the same rows; they are compared with those of the store, some base by base. Every design is
a process of its own, from an empty cache; designs take turns. Medians over the rounds of CPU
seconds (user + system, with children; imports counted on neither side), wall seconds and peak
memory (VmHWM of the process, mapped files included; not of CrossMap).
"""

from __future__ import annotations

import argparse
import bisect
import csv
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pyfaidx
import yaml
from numpy.typing import NDArray

from ssldata.build import build_project
from ssldata.build_inputs import open_inputs, open_target
from ssldata.chain import load_chain
from ssldata.config import load_project
from ssldata.genome import open_genome
from ssldata.onehot import one_hot
from ssldata.rows_homologue import homologue_rows
from ssldata.rows_reference import reference_rows
from ssldata.shard_writer import expand
from ssldata.store import open_store
from ssldata.store_writer import CHUNKS_PER_SHARD, StoreWriter, chunk_rows, write_shard

LETTERS = np.frombuffer(b"ACGTN", np.uint8)
DISTANCES = (0.05, 0.1, 0.15, 0.2)
#: Share of each contig of the labelled genome; the last two are validation and test.
SHARES = (*(0.165,) * 6, 0.005, 0.005)
COLUMNS = ("case", "design", "stage", "rows", "cpu_s", "wall_s", "peak_mb", "rows_per_cpu_s",
           "rows_per_s", "verdict")  # fmt: skip


def write_fasta(path: Path, names: list[str], contigs: list[NDArray]) -> None:
    """Write base codes as FASTA of 60 letters a line, half of them lower case."""
    with path.open("wb") as handle:
        for name, codes in zip(names, contigs, strict=True):
            letters = LETTERS[codes]
            letters[: len(letters) // 1000 * 1000].reshape(-1, 1000)[:, 500:] |= 0x20
            whole = len(letters) // 60
            lines = np.full((whole, 61), ord("\n"), np.uint8)
            lines[:, :60] = letters[: whole * 60].reshape(whole, 60)
            handle.write(f">{name}\n".encode() + lines.tobytes() + letters[whole * 60 :].tobytes())
            handle.write(b"\n" if len(letters) % 60 else b"")


def evolve(rng: np.random.Generator, codes: NDArray, distance: float) -> tuple[NDArray, NDArray]:
    """Return a descendant of a segment, and its blocks: size and the gaps on both sides."""
    count = len(codes) // 80
    size = rng.geometric(1 / 110, count)
    gaps = np.minimum(rng.pareto(1.1, (2, count)) * 3 + 1, 3000).astype(np.int64)
    kind = rng.random(count)
    gaps[0, kind < 0.4] = gaps[1, kind > 0.6] = 0
    kept = max(1, int(np.searchsorted(np.cumsum(size + gaps[0]), len(codes))))
    size, gaps = size[:kept], gaps[:, :kept]
    gaps[:, -1] = 0
    turns = np.tile([True, False], kept)  # aligned, not aligned, aligned, …
    there, here = (np.repeat(turns, np.stack([size, gap], axis=1).ravel()) for gap in gaps)
    aligned = codes[: len(there)][there]
    hit = (rng.random(len(aligned), np.float32) < distance) & (aligned < 4)
    aligned[hit] = (aligned[hit] + rng.integers(1, 4, int(hit.sum()), np.uint8)) & 3
    child = rng.integers(0, 4, len(here), np.uint8)
    child[here] = aligned
    return child, np.stack([size, *gaps])


def relative(rng: np.random.Generator, path: Path, genome: list[NDArray], distance: float) -> None:
    """Write the FASTA and the chain of one relative: segments in a new order, half turned."""
    length = max(5_000, min(1_000_000, sum(map(len, genome)) // 200))
    segments = [
        (contig, first, *evolve(rng, codes[first : first + length], distance))
        for contig, codes in enumerate(genome)
        for first in range(0, len(codes) - length // 2, length)
    ]
    contigs, text = [], []
    for number, chosen in enumerate(np.array_split(rng.permutation(len(segments)), 5), start=1):
        strands = np.where(rng.random(len(chosen)) < 0.5, "-", "+")
        total, at = sum(len(segments[one][2]) for one in chosen), 0
        parts = []
        for one, strand in zip(chosen.tolist(), strands.tolist(), strict=True):
            contig, first, child, blocks = segments[one]
            turned = strand == "-"
            parts.append(np.where(child < 4, 3 - child, child)[::-1] if turned else child)
            start = total - at - len(child) if turned else at
            text.append(
                f"chain {blocks[0].sum() * 90} chr{contig + 1} {len(genome[contig])} + {first} "
                f"{first + blocks[:2].sum()} chr{number} {total} {strand} {start} "
                f"{start + len(child)} {one + 1}"
            )
            text += [f"{s}\t{t}\t{q}" for s, t, q in blocks[:, :-1].T.tolist()]
            text.append(f"{blocks[0, -1]}\n")
            at += len(child)
        contigs.append(np.concatenate(parts))
    write_fasta(path, [f"chr{number + 1}" for number in range(len(contigs))], contigs)
    path.with_suffix(".chain").write_text("\n".join(text) + "\n", encoding="ascii")


def mammal_like(options: argparse.Namespace) -> list[Path]:
    """Write the case; return its project files with a tenth, three tenths and all of the peaks."""
    folder, peaks = options.folder, options.peaks or options.bases // 1000
    rng = np.random.default_rng(options.seed)
    genome = [rng.integers(0, 4, int(options.bases * share), np.uint8) for share in SHARES]
    for codes in genome:
        codes[len(codes) // 2 : len(codes) // 2 + len(codes) // 500] = 4
    write_fasta(folder / "labelled.fa", [f"chr{n + 1}" for n in range(len(genome))], genome)
    names = [f"relative{number}" for number in range(len(DISTANCES))]
    for name, distance in zip(names, DISTANCES, strict=True):
        relative(rng, folder / f"{name}.fa", genome, distance)
    contig = rng.choice(len(SHARES), peaks, p=SHARES)
    width = rng.integers(200, 401, peaks)
    room = np.array([len(codes) for codes in genome])[contig] - width
    start = (rng.random(peaks) * room).astype(np.int64)
    table = np.stack([contig + 1, start, start + width], axis=1).tolist()
    lines = [f"chr{c}\t{s}\t{e}\tp{i}\t{i % 1000}\n" for i, (c, s, e) in enumerate(table)]
    files = [folder / f"mammal-{tenths}.yaml" for tenths in (1, 3, 10)]
    for path in files:
        count = peaks * int(path.stem[7:]) // 10
        path.with_suffix(".bed").write_text("".join(lines[:count]))
        project = {
            "name": path.stem,
            "reference": {"name": "labelled", "sequence": "labelled.fa"},
            "experiments": [{"name": "peaks", "peaks": f"{path.stem}.bed"}],
            "genomes": [{"name": n, "sequence": f"{n}.fa", "chain": f"{n}.chain"} for n in names],
            "split": {"test": ["chr8"], "validation": ["chr7"]},
            "negatives": {"pool": count},
            "store": {"path": f"store-{path.stem}", "joint": True},
        }
        path.write_text(yaml.safe_dump(project, sort_keys=False))
    return files


def yeast(folder: Path, data: Path) -> Path:
    """Write the project of examples/yeast, its factors in one store, on the data given."""
    example = Path(__file__).parent.parent / "examples/yeast/project.yaml"
    project: dict = yaml.safe_load(example.read_text("utf-8").replace("data/", ""))
    for item in (project["reference"], *project["genomes"], *project["experiments"]):
        for key in {"sequence", "peaks", "chain"} & set(item):
            item[key] = str(data.resolve() / "yeast" / item[key])
    del project["sources"], project["training"]
    project["store"] = {"path": "store-yeast", "joint": True}
    (folder / "yeast.yaml").write_text(yaml.safe_dump(project))
    return folder / "yeast.yaml"


class Meter:
    """Costs of stages: parts of a stage in one round add up, rounds are kept apart."""

    def __init__(self) -> None:
        self.stages: dict[str, dict[int, list[float]]] = defaultdict(dict)
        self.round = 0

    @contextmanager
    def __call__(self, stage: str, rows: int = 0) -> Iterator[None]:
        # "5" resets the peak (VmHWM) of this process: man proc_pid_clear_refs.
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        cpu, wall = time.process_time() + sum(os.times()[2:4]), time.perf_counter()
        yield
        cpu = time.process_time() + sum(os.times()[2:4]) - cpu  # [2:4]: of children
        wall = time.perf_counter() - wall
        status = Path("/proc/self/status").read_text(encoding="ascii")
        peak = int(status.split("VmHWM:")[1].split()[0]) // 1024
        old = self.stages[stage].get(self.round, [0, 0, 0, 0])
        new = [old[0] + rows, old[1] + cpu, old[2] + wall, max(old[3], peak)]
        self.stages[stage][self.round] = new

    def result(self, **more: Any) -> dict[str, Any]:
        return {"stages": {k: list(v.values()) for k, v in self.stages.items()}, **more}


def step_build(project: Any, options: argparse.Namespace) -> dict[str, Any]:
    meter = Meter()
    with meter("whole build"):
        (built,) = build_project(project)
    files = [path for path in Path(built["path"]).rglob("*") if path.is_file()]
    meter.stages["whole build"][0][0] = rows = sum(group["rows"] for group in built["groups"])
    arrays = ("sequence", "sequence_codes")
    disk = [sum(f.stat().st_size for f in files if name in f.parts) / rows for name in arrays]
    return meter.result(disk=disk, store=built["bytes"] / rows)


def step_stages(project: Any, options: argparse.Namespace) -> dict[str, Any]:
    """Run every stage of a build on its own."""
    meter, names = Meter(), [genome.name for genome in project.genomes]
    with meter("open inputs, empty cache"):
        inputs = open_inputs(project, "joint")
        targets = [open_target(project, name, reference=inputs.genome) for name in names]
    length, chunk = project.windows.stored, chunk_rows(project.windows.stored)
    shard = chunk * CHUNKS_PER_SHARD
    hot = np.empty((chunk, length, 4), np.uint8)
    for meter.round in range(options.rounds):
        with meter("windows"):
            built = reference_rows(project, inputs.experiments, inputs.genome, inputs.peaks)
        groups, identity = [("reference", inputs.genome, built.rows)], []
        for name, target in zip(names, targets, strict=True):
            with meter("liftover", len(built.sources)):
                target.lift(built.sources, identity=False)
            with meter("liftover and identity of its bases", len(built.sources)):
                lifted, share = target.lift(built.sources)
            with meter("windows"):
                made = homologue_rows(project, target.genome, name, built.sources, lifted)
            groups.append((f"homologs/{name}", target.genome, made.rows))
            identity.append(float(share[lifted.mapped].mean()))
        meter.stages["windows"][meter.round][0] = sum(len(rows) for *_, rows in groups)
        for codes_too in (False, True):
            writer = StoreWriter(project.store.path / "stages.zarr")
            writer.create({"experiments": inputs.experiments, "seed": 0})
            stage = "write, one-hot and codes" if codes_too else "write, one-hot"
            for name, genome, rows in groups:
                columns = {f.name: getattr(rows, f.name) for f in dataclasses.fields(rows)}
                dims = {k: ("row", "experiment")[: v.ndim] for k, v in columns.items()}
                writer.begin(name, "benchmark")
                with meter("write, columns and metadata", len(rows)):
                    writer.write_arrays(name, columns, dims=dims)
                    writer.create_sequences(name, rows=len(rows), length=length, codes=codes_too)
                for number, first in enumerate(range(0, len(rows), shard)):
                    part = rows.take(np.arange(first, min(first + shard, len(rows))))
                    with meter("extraction + encoding, in memory", len(part)):
                        codes = genome.gather(part.contig, part.start, length, part.strand)
                        for piece in np.split(codes, range(chunk, len(part), chunk)):
                            expand(piece, hot[: len(piece)])
                    with meter(stage, len(part)):
                        write_shard(writer.path, name, number, codes)
            shutil.rmtree(writer.path)
    return meter.result(identity=identity)


def crossmap(chain: Path, bed: Path, out: Path, python: Path) -> None:
    """Lift with CrossMap, file to file."""
    command = [python.with_name("CrossMap"), "bed", chain, bed, out]
    subprocess.run(command, check=True, capture_output=True)


def end_points(chain: Path, bed: Path, out: Path, python: Path) -> None:
    """Lift both ends of every interval, looked up among the aligned blocks one by one."""
    index = load_chain(chain)
    keys = ("block_start", "block_end", "block_query", "block_chain")
    first, last, query, owner = (getattr(index, key).tolist() for key in keys)
    spans = {n: index.offsets[i : i + 2].tolist() for i, n in enumerate(index.target_names)}

    def look_up(name: str, base: int) -> tuple[str, str, int]:
        low, high = spans.get(name, (0, 0))
        block = bisect.bisect_right(first, base, low, high) - 1
        if block < low or base >= last[block]:
            return "", "", -1
        chain, there = owner[block], query[block] + base - first[block]
        strand = chr(index.chain_strand[chain])
        there = index.chain_query_size[chain] - 1 - there if strand == "-" else there
        return index.query_names[index.chain_query[chain]], strand, there

    with out.open("w", encoding="ascii") as handle:
        for line in bed.read_text().splitlines():
            name, start, end, label, *_ = line.split("\t")
            low, high = look_up(name, int(start)), look_up(name, int(end) - 1)
            if low[0] and low[:2] == high[:2]:
                left, right = sorted((low[2], high[2]))
                handle.write(f"{low[0]}\t{left}\t{right + 1}\t{label}\t0\t{low[1]}\n")


def one_locus(out: Path, sources: int, names: list[str], gap: int) -> SimpleNamespace:
    """Join the pieces of every interval; those with more than one locus are not mapped."""
    lines = [line.split("\t") for line in out.read_text().splitlines()]
    code = {name: number for number, name in enumerate(names)}
    table = np.array([(int(w[3]), code[w[0]], int(w[1]), int(w[2]), w[5] == "-") for w in lines])
    row, contig, start, end, minus = table[np.lexsort(table.T[2::-1])].T
    apart = (contig[1:] != contig[:-1]) | (start[1:] - end[:-1] >= gap)
    found, first = np.unique(row, return_index=True)
    result = np.full((5, sources), -1)
    result[0] = 1
    last = np.append(first[1:], len(row)) - 1
    result[:, found] = 0 * found, contig[first], start[first], end[last], 1 - 2 * minus[first]
    result[0, row[1:][(row[1:] == row[:-1]) & apart]] = 5
    status, contig, start, end, strand = result
    return SimpleNamespace(status=status, contig=contig, start=start, end=end, strand=strand)


def step_tools(project: Any, options: argparse.Namespace) -> dict[str, Any]:
    # What the tools are given is not charged to them: plain FASTA, and the sources as BED.
    meter, folder = Meter(), options.folder / f"tools-{project.name}"
    folder.mkdir(exist_ok=True)
    items = {item.name: item for item in (project.reference, *project.genomes)}
    genomes = {name: open_genome(item.sequence) for name, item in items.items()}
    for name, genome in genomes.items():
        bases = [genome.codes(number) for number in range(len(genome.names))]
        write_fasta(folder / f"{name}.fa", list(genome.names), bases)
    inputs = open_inputs(project, "joint")
    with meter("windows (our code)"):
        built = reference_rows(project, inputs.experiments, inputs.genome, inputs.peaks)
    at, contigs, count = built.sources.intervals, inputs.genome.names, len(built.sources)
    table = enumerate(zip(at.contig.tolist(), at.start.tolist(), at.end.tolist(), strict=True))
    bed, out = folder / "sources.bed", folder / "lifted.bed"
    bed.write_text("".join(f"{contigs[c]}\t{s}\t{e}\t{i}\t0\t+\n" for i, (c, s, e) in table))
    turn, hot_of = str.maketrans("ACGT", "TGCA"), np.zeros((256, 4), np.uint8)
    hot_of[LETTERS[:4]] = np.eye(4)
    length, total = project.windows.stored, 0
    with h5py.File(folder / "rows.h5", "w") as file:
        for name, item in items.items():
            contigs, rows = list(genomes[name].names), built.rows
            if item is not project.reference:
                lift = crossmap if options.lifter == "CrossMap" else end_points
                with meter(f"liftover, {options.lifter}", count):
                    lift(item.chain, bed, out, options.peer_python)
                    lifted: Any = one_locus(out, count, contigs, project.liftover.gap)
                with meter("windows (our code)"):
                    rows = homologue_rows(project, genomes[name], name, built.sources, lifted).rows
            rows = rows.take(np.lexsort((rows.start, rows.contig)))  # suits a reader of records
            total += len(rows)
            with meter("HDF5, gzip"):
                group = file.create_group(name)
                for field in ("contig", "start", "strand", "label"):
                    group[field] = getattr(rows, field)
                how = {"chunks": (min(256, len(rows)), length, 4), "compression": "gzip"}
                sequence = group.create_dataset("sequence", (len(rows), length, 4), "u1", **how)
            with meter("pyfaidx, record by record"):
                fasta = pyfaidx.Fasta(str(folder / f"{name}.fa"), as_raw=True)
            for first in range(0, len(rows), 4096):
                part = rows.take(np.arange(first, min(first + 4096, len(rows))))
                table = zip(part.contig.tolist(), part.start.tolist(), part.strand, strict=True)
                texts = []
                with meter("pyfaidx, record by record", len(part)):
                    for contig, start, strand in table:
                        text = fasta[contigs[contig]][start : start + length].upper()
                        texts.append(text.translate(turn)[::-1] if strand < 0 else text)
                with meter("NumPy one-hot", len(part)):
                    letters = np.frombuffer("".join(texts).encode(), np.uint8)
                    hot = hot_of[letters].reshape(len(part), length, 4)
                with meter("HDF5, gzip", len(part)):
                    sequence[first : first + len(part)] = hot
    meter.stages["windows (our code)"][0][0] = total
    parts = list(zip(*(rounds[0] for rounds in meter.stages.values()), strict=True))
    meter.stages["whole chain"][0] = [total, sum(parts[1]), sum(parts[2]), max(parts[3])]
    return meter.result(store=(folder / "rows.h5").stat().st_size / total)


def step_compare(project: Any, options: argparse.Namespace) -> dict[str, Any]:
    """Compare the rows of the tools with those of the store, some of them base by base."""
    store, totals = open_store(project.store.path / "joint.zarr"), np.zeros(4, np.int64)
    with h5py.File(options.folder / f"tools-{project.name}/rows.h5") as file:
        for name in file:
            theirs, reference = file[name], name == project.reference.name
            ours = store.group("reference" if reference else f"homologs/{name}")
            columns = [[ours.column(k), theirs[k][:]] for k in ("contig", "start", "strand")]
            keys = [c.astype(int) << 40 | s << 2 | d + 1 for c, s, d in zip(*columns, strict=True)]
            _, mine, other = np.intersect1d(*keys, return_indices=True)
            few = np.argsort(other)[:: max(1, len(other) // 2000)]
            if (one_hot(ours.take_codes(mine[few])) != theirs["sequence"][other[few]]).any():
                sys.exit(f"{project.name}, {name}: the tools and the store differ in sequence")
            totals += (len(keys[0]), len(keys[1]), len(mine), len(few))
    return {"totals": totals.tolist()}


def run_step(step: str, project: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Run one step in a process of its own, from an empty cache."""
    environment = {**os.environ, "CROSSLABEL_CACHE": str(options.folder / "cache")}
    shutil.rmtree(environment["CROSSLABEL_CACHE"], ignore_errors=True)
    if step == "build":
        shutil.rmtree(options.folder / f"store-{project.stem}", ignore_errors=True)
    command = [sys.executable, __file__, "--step", step, "--project", project]
    for name in ("folder", "rounds", "lifter", "peer_python"):
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
            rounds = [one for run in runs for one in run["stages"][stage]]
            rows, cpu, wall, peak = np.median(rounds, axis=0).tolist()
            values = (int(rows), round(cpu, 3), round(wall, 3), int(peak), round(rows / cpu))
            line = (case, design, stage, *values, round(rows / wall))
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
    """Measure one project: builds and tools in turns, then the stages of a build."""
    case, runs = path.stem, defaultdict(list)
    for _ in range(options.rounds):
        for step in ("build", "tools"):
            runs[step].append(run_step(step, path, options))
    stages = run_step("stages", path, options)
    ours, theirs, same, compared = run_step("compare", path, options)["totals"]
    build = table.add(case, "build", runs["build"])["whole build"]
    tools = table.add(case, "tools", runs["tools"])["whole chain"]
    found = table.add(case, "stages", [stages])
    print(f"{case}: {ours} rows, tools {theirs}, same {same}, compared base by base {compared}")
    print(f"  identical bases of sources: {np.round(stages['identity'], 3).tolist()}")
    print(f"  B per row, whole store and HDF5: {[round(runs[k][0]['store']) for k in runs]}")
    if case != "yeast" and not np.allclose(1 - np.array(stages["identity"]), DISTANCES, atol=0.02):
        sys.exit(f"{case}: identities do not fit the distances {DISTANCES}")
    ratio = build["rows_per_cpu_s"] / tools["rows_per_cpu_s"]
    table.target(case, "end to end, × the tools' rows per CPU second", ratio, "≥", 10)
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
    # Total time would look linear at least as long as what a build costs anyway dominates it.
    steps = [(b["cpu_s"] - a["cpu_s"], b["rows"] - a["rows"]) for a, b in pairwise(found)]
    early, late = (1e6 * cpu / more for cpu, more in steps)
    print(f"µs of CPU per further row: {early:.1f} up to {found[1]['rows']} rows, then {late:.1f}")
    growth = late / early if early > 0 < late else np.inf  # lost in noise: not met
    table.target("scaling", "CPU of a further row, late × early", growth, "≤", 1.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--bases", type=int, default=200_000_000, help="of the labelled genome")
    parser.add_argument("--peaks", type=int, help="default: one per 1000 bases")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", type=Path, help="folder that holds yeast/: measured as well")
    parser.add_argument("--peer-python", type=Path, default="-", help="has CrossMap beside it")
    parser.add_argument("--folder", type=Path, help="to work in (default: the system's)")
    parser.add_argument("--out", type=Path, help="CSV file")
    for hidden in ("--step", "--project", "--lifter"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        step = globals()[f"step_{options.step}"]
        print(json.dumps(step(load_project(Path(options.project)), options)))
        return
    table, peer = Table(), options.peer_python.with_name("CrossMap").is_file()
    options.lifter = "CrossMap" if peer else "no peer: end points in pure Python"
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        options.folder = Path(temporary).resolve()
        paths = mammal_like(options)
        print(f"{machine()}\ncase made in {time.process_time():.1f} CPU s", flush=True)
        run_step("build", paths[0], options)  # compiles, once per installation
        measure(paths[-1], options, table)
        scaling(paths, options, table)
        if options.data:
            measure(yeast(options.folder, options.data), options, table)
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
