"""Speed of reading windows from a genome: ours against per-record readers, in the same run.

    python benchmarks/gather.py                      # a synthetic genome of 100 Mb
    python benchmarks/gather.py GENOME.2bit GENOME.fa.gz

For every genome: rows of 200 b per CPU second (user + system, median of the rounds; the readers
take turns, so that other work on the machine affects them alike), sorted and in random order, and
the time that the first opening, a later one and the digest take. Results of all readers are
compared base by base before anything is timed. ``--out FILE.csv`` also writes the table.

Target: ≥ 2 M rows/s per core for gather + one-hot on sorted rows.
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ssldata.genomes.genome import Genome, open_genome
from ssldata.genomes.onehot import encode, one_hot

Reader = Callable[[NDArray, NDArray, int], NDArray]


def synthetic(path: Path, bases: int, contigs: int = 5) -> None:
    """Write a soft-masked FASTA with stretches of N."""
    rng = np.random.default_rng(0)
    with path.open("wb") as handle:
        for i in range(contigs):
            lines = bases // contigs // 60
            letters = np.full((lines, 61), ord("\n"), dtype=np.uint8)
            letters[:, :60] = np.frombuffer(b"ACGTacgt", dtype=np.uint8)[
                rng.integers(0, 8, (lines, 60), dtype=np.int8)
            ]
            letters[lines // 2 : lines // 2 + lines // 50, :60] = ord("N")
            handle.write(f">chr{i + 1}\n".encode() + letters.tobytes())


def per_record_readers(genome: Genome, fasta: Path | None, index: Path) -> dict[str, Reader]:
    """Readers a user would otherwise loop over, where they can read this file."""
    readers: dict[str, Reader] = {}
    if fasta is not None:
        import pyfaidx

        records = pyfaidx.Fasta(fasta, indexname=str(index), as_raw=True)

        def with_pyfaidx(contig: NDArray, start: NDArray, length: int) -> NDArray:
            windows = zip(contig.tolist(), start.tolist(), strict=True)
            return np.stack([encode(records[genome.names[c]][s : s + length]) for c, s in windows])

        readers["pyfaidx, one by one"] = with_pyfaidx
    elif not genome.path.name.endswith(".gz"):
        try:
            import py2bit
        except ImportError:
            return readers
        file = py2bit.open(str(genome.path))

        def with_py2bit(contig: NDArray, start: NDArray, length: int) -> NDArray:
            windows = zip(contig.tolist(), start.tolist(), strict=True)
            return np.stack(
                [encode(file.sequence(genome.names[c], s, s + length)) for c, s in windows]
            )

        readers["py2bit, one by one"] = with_py2bit
    return readers


def windows_of(genome: Genome, count: int, length: int, order: str) -> tuple[NDArray, NDArray]:
    rng = np.random.default_rng(1)
    room = np.maximum(genome.sizes - length, 0)
    contig = rng.choice(room.size, count, p=room / room.sum()).astype(np.int32)
    start = (rng.random(count) * room[contig]).astype(np.int64)
    if order == "sorted":
        where = np.lexsort((start, contig))
        return contig[where], start[where]
    return contig, start


def measure(
    path: Path, folder: Path, rows: int, length: int, rounds: int
) -> list[dict[str, object]]:
    clock = time.perf_counter()
    genome = open_genome(path)
    first = time.perf_counter() - clock
    clock = time.perf_counter()
    open_genome(path)
    again = time.perf_counter() - clock
    clock = time.perf_counter()
    genome.sequence_digest(verify=True)
    digest = time.perf_counter() - clock
    bases = int(genome.sizes.sum())
    print(
        f"{path.name}: {len(genome.names)} contigs, {bases / 1e6:.1f} Mb; opened in {first:.2f} s, "
        f"again in {again * 1e3:.1f} ms; digest {bases / digest / 1e6:.0f} Mb/s"
    )
    with path.open("rb") as handle:
        fasta = path if handle.read(1) == b">" else None
    strand = np.where(np.random.default_rng(2).random(rows) < 0.5, -1, 1).astype(np.int8)
    ours: dict[str, Reader] = {
        "gather": genome.gather,
        "gather, both strands": lambda c, s, n: genome.gather(c, s, n, strand),
        "gather + one_hot": lambda c, s, n: one_hot(genome.gather(c, s, n)),
    }
    others = per_record_readers(genome, fasta, folder / f"{path.name}.fai")
    table: list[dict[str, object]] = []
    for order in ("sorted", "random"):
        contig, start = windows_of(genome, rows, length, order)
        few = rows // 50  # the per-record readers are that much slower
        expected = genome.gather(contig[:few], start[:few], length)
        for name, reader in others.items():
            if not np.array_equal(reader(contig[:few], start[:few], length), expected):
                sys.exit(f"{path}: {name} disagrees with gather")
        speeds: dict[str, list[float]] = {name: [] for name in (*ours, *others)}
        for _ in range(rounds):
            for name, reader in (ours | others).items():
                count = rows if name in ours else few
                begin = time.process_time()
                reader(contig[:count], start[:count], length)
                speeds[name].append(count / (time.process_time() - begin))
        for name, values in speeds.items():
            speed = statistics.median(values)
            print(f"  {order:8}{name:24}{speed / 1e6:8.3f} M rows per CPU second")
            table.append(
                {"genome": path.name, "order": order, "reader": name, "rows_per_cpu_s": int(speed)}
            )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("genomes", nargs="*", type=Path)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--length", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabases", type=int, default=100, help="of the synthetic genome")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("CROSSLABEL_CACHE", f"{folder}/cache")
        genomes = options.genomes
        if not genomes:
            genomes = [Path(folder) / "synthetic.fa"]
            synthetic(genomes[0], options.megabases * 10**6)
        table = []
        for path in genomes:
            table += measure(path, Path(folder), options.rows, options.length, options.rounds)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory {peak:.0f} MB (rows × length × 5 bytes of results included)")
    if options.out:
        with options.out.open("w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, fieldnames=list(table[0]))
            writer.writeheader()
            writer.writerows(table)


if __name__ == "__main__":
    main()
