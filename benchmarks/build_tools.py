"""The chain of tools with which benchmarks/build.py builds the same rows, and the comparison.

CrossMap (or the library liftover), pyfaidx record by record, NumPy one-hot, one HDF5 file. To make
the rows of the store, the tools are given plain FASTA, clean BED and *our* window arithmetic; only
the last is charged to them.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pyfaidx
from build_case import LETTERS, write_fasta
from build_meter import Meter

from ssldata.building.build_inputs import open_inputs
from ssldata.genomes.genome import open_genome
from ssldata.genomes.onehot import one_hot
from ssldata.rows.homologue_rows import homologue_rows
from ssldata.rows.reference_rows import reference_rows
from ssldata.store.store import open_store

#: Name of the liftover with the library instead of CrossMap; not part of the whole chain.
LIBRARY = "liftover, the library liftover"


def crossmap(chain: Path, bed: Path, out: Path, python: Path) -> None:
    """Lift with CrossMap, file to file."""
    command = [python.with_name("CrossMap"), "bed", chain, bed, out]
    subprocess.run(command, check=True, capture_output=True)


def library(chain: Path, bed: Path, out: Path, python: Path) -> None:
    """Lift both ends of every interval with the library liftover."""
    script = Path(__file__).with_name("build_peer.py")
    # -P: benchmarks/liftover.py would hide the library.
    subprocess.run([python, "-P", script, chain, bed, out], check=True, capture_output=True)


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


def step_tools(project: Any, folder: Path, python: Path) -> dict[str, Any]:
    """Build the rows of a project with the tools, into one HDF5 file."""
    meter, folder = Meter(), folder / f"tools-{project.name}"
    folder.mkdir(exist_ok=True)
    items = {item.name: item for item in (project.reference, *project.genomes)}
    genomes = {name: open_genome(item.sequence) for name, item in items.items()}
    for name, genome in genomes.items():
        bases = [genome.codes(number) for number in range(len(genome.names))]
        write_fasta(folder / f"{name}.fa", list(genome.names), bases)
        (folder / f"{name}.fa.fai").unlink(missing_ok=True)
    inputs = open_inputs(project, "joint")
    with meter("windows (our code)"):
        built = reference_rows(project, inputs.experiments, inputs.genome, inputs.peaks)
    at, contigs, count = built.sources.intervals, inputs.genome.names, len(built.sources)
    table = enumerate(zip(at.contig.tolist(), at.start.tolist(), at.end.tolist(), strict=True))
    bed, out = folder / "sources.bed", folder / "lifted.bed"
    bed.write_text("".join(f"{contigs[c]}\t{s}\t{e}\t{i}\t0\t+\n" for i, (c, s, e) in table))
    total = 0
    with h5py.File(folder / "rows.h5", "w") as file:
        for name, item in items.items():
            rows = built.rows
            if item is not project.reference:
                with meter(LIBRARY, count):
                    library(item.chain, bed, out, python)
                with meter("liftover, CrossMap", count):
                    crossmap(item.chain, bed, out, python)
                with meter("joining its pieces", count):
                    names = list(genomes[name].names)
                    lifted: Any = one_locus(out, count, names, project.liftover.gap)
                with meter("windows (our code)"):
                    rows = homologue_rows(project, genomes[name], name, built.sources, lifted).rows
            rows = rows.take(np.lexsort((rows.start, rows.contig)))  # suits a reader of records
            total += len(rows)
            write_rows(file.create_group(name), rows, folder / f"{name}.fa", project, meter)
    meter.stages["windows (our code)"][0][0] = total
    chain = [costs[0] for stage, costs in meter.stages.items() if stage != LIBRARY]
    _, cpu, wall, peaks = zip(*chain, strict=True)
    meter.add("whole chain", total, sum(cpu), sum(wall), max(peaks))
    return meter.result(store=(folder / "rows.h5").stat().st_size / total)


def write_rows(group: h5py.Group, rows: Any, fasta: Path, project: Any, meter: Meter) -> None:
    """Fetch the sequences of rows record by record and write them with their columns."""
    turn, hot_of = str.maketrans("ACGT", "TGCA"), np.zeros((256, 4), np.uint8)
    hot_of[LETTERS[:4]] = np.eye(4)
    length = project.windows.stored
    with meter("HDF5, gzip"):
        for field in ("contig", "start", "strand", "label"):
            group[field] = getattr(rows, field)
        how = {"chunks": (min(256, len(rows)), length, 4), "compression": "gzip"}
        sequence = group.create_dataset("sequence", (len(rows), length, 4), "u1", **how)
    with meter("pyfaidx, index"):
        records = pyfaidx.Fasta(str(fasta), as_raw=True)
        contigs = list(records.keys())
    for first in range(0, len(rows), 4096):
        part = rows.take(np.arange(first, min(first + 4096, len(rows))))
        table = zip(part.contig.tolist(), part.start.tolist(), part.strand, strict=True)
        texts = []
        with meter("pyfaidx, record by record", len(part)):
            for contig, start, strand in table:
                text = records[contigs[contig]][start : start + length].upper()
                texts.append(text.translate(turn)[::-1] if strand < 0 else text)
        with meter("NumPy one-hot", len(part)):
            letters = np.frombuffer("".join(texts).encode(), np.uint8)
            hot = hot_of[letters].reshape(len(part), length, 4)
        with meter("HDF5, gzip", len(part)):
            sequence[first : first + len(part)] = hot


def step_compare(project: Any, folder: Path) -> dict[str, Any]:
    """Compare the rows of the tools with those of the store, some of them base by base."""
    store, totals = open_store(project.store.path / "joint.zarr"), np.zeros(4, np.int64)
    with h5py.File(folder / f"tools-{project.name}/rows.h5") as file:
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
