"""What it costs to compare the windows of a test with those of a training set.

    python benchmarks/similarity.py                                   # 1.3 M against 1.2 M windows
    python benchmarks/similarity.py --test 10000 --train 10000

Synthetic windows: random bases of which 60 % are A or T, as in many genomes. A tenth are copies of
40 repeat families, 5 to 25 % diverged; one test window in a hundred is planted: a copy of a
training window, half of them reverse complements, with 0 to 20 % of its bases changed. Printed and
written (``--out FILE.csv``): seconds of CPU and wall time (compilation apart), peak memory of the
process, how many windows are similar, planted ones apart, and whether as many of the first
windows as ``--brute`` says have the answer of a comparison of all pairs in Python.

Target: under 600 CPU seconds and 4 GB. Memory without the windows themselves is theirs plus 1.5 GB.
"""

from __future__ import annotations

import argparse
import csv
import resource
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ssldata.genomes.onehot import reverse_complement
from ssldata.trust.shared_kmers import FEW, MANY, most_similar
from ssldata.trust.window_kernels import K

Codes = NDArray[np.uint8]
#: Share of A, C, G, T.
BASES = np.array([0.3, 0.2, 0.2, 0.3])


def random_windows(rows: int, length: int, rng: np.random.Generator) -> Codes:
    edges = np.round(np.cumsum(BASES) * 256).astype(np.int64)[:-1]
    table = np.searchsorted(edges, np.arange(256), side="right").astype(np.uint8)
    return table[rng.integers(0, 256, (rows, length), dtype=np.uint8)]


def change(codes: Codes, share: NDArray[np.float64], rng: np.random.Generator) -> Codes:
    """Replace a share of the bases of each row by another base."""
    hit = rng.random(codes.shape, dtype=np.float32) < share[:, None]
    other = rng.integers(1, 4, codes.shape, dtype=np.uint8)
    return np.where(hit, (codes + other) & 3, codes).astype(np.uint8)


def synthetic(
    test: int, train: int, length: int, rng: np.random.Generator
) -> tuple[Codes, Codes, NDArray[np.int64], NDArray[np.float64]]:
    """Return test and training windows, the planted ones and their divergence."""
    families = random_windows(40, 3 * length, rng)
    sets = []
    for rows in (test, train):
        codes = random_windows(rows, length, rng)
        which = rng.choice(rows, rows // 10, replace=False)
        start = rng.integers(0, 2 * length, len(which))
        family = families[rng.integers(0, len(families), len(which))]
        copies = np.take_along_axis(family, start[:, None] + np.arange(length), axis=1)
        codes[which] = change(copies, rng.uniform(0.05, 0.25, len(which)), rng)
        sets.append(codes)
    planted = np.sort(rng.choice(test, test // 100, replace=False))
    distance = rng.choice([0.0, 0.02, 0.05, 0.1, 0.2], len(planted))
    copies = change(sets[1][rng.integers(0, train, len(planted))], distance, rng)
    copies[::2] = reverse_complement(copies[::2])
    sets[0][planted] = copies
    return sets[0], sets[1], planted, distance


def kmers_of(window: Codes) -> set[bytes]:
    other = reverse_complement(window)
    n = len(window)
    return {
        min(window[i : i + K].tobytes(), other[n - K - i : n - i].tobytes())
        for i in range(n - K + 1)
    }


def brute(test: Codes, train: Codes) -> list[int]:
    """Return the most shared k-mers of each test window by comparing all pairs."""
    sets = [kmers_of(window) for window in test]
    held: dict[bytes, int] = {}
    for one in sets:
        for kmer in one:
            held[kmer] = held.get(kmer, 0) + 1
    sets = [{kmer for kmer in one if held[kmer] <= MANY} for one in sets]
    others = [kmers_of(window) for window in train]
    return [max(len(one & other) for other in others) for one in sets]


def used() -> float:
    found = resource.getrusage(resource.RUSAGE_SELF)
    return found.ru_utime + found.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--test", type=int, default=1_300_000)
    parser.add_argument("--train", type=int, default=1_200_000)
    parser.add_argument("--length", type=int, default=200)
    parser.add_argument("--brute", type=int, default=1000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    small = random_windows(64, options.length, rng)
    most_similar(small, {"": lambda: [small]})  # compiles
    test, train, planted, distance = synthetic(options.test, options.train, options.length, rng)
    few = slice(0, options.brute)
    found = most_similar(test[few], {"": lambda: [train[few]]})[""]
    if found.best.tolist() != brute(test[few], train[few]):
        sys.exit("differs from the comparison of all pairs")
    cpu, wall = used(), time.perf_counter()
    found = most_similar(test, {"": lambda: [train]})[""]
    cpu, wall = used() - cpu, time.perf_counter() - wall
    share = found.share
    rest = np.ones(len(test), bool)
    rest[planted] = False
    line: dict[str, object] = {
        "test_rows": options.test,
        "train_rows": options.train,
        "length_bp": options.length,
        "cpu_s": round(cpu, 1),
        "wall_s": round(wall, 1),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "windows_mb": (test.nbytes + train.nbytes) // 10**6,
        "brute_rows_equal": options.brute,
        "not_measured_fraction": round(float((found.kmers < FEW).mean()), 4),
        "others_above_half_fraction": round(float(np.mean(share[rest] >= 0.5)), 5),
    }
    for value in np.unique(distance):
        here = share[planted[distance == value]]
        line[f"planted_{value:g}_median"] = round(float(np.nanmedian(here)), 3)
    for name, value in line.items():
        print(f"{name:28}{value}")
    if options.out:
        with options.out.open("w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, fieldnames=list(line), lineterminator="\n")
            writer.writeheader()
            writer.writerow(line)


if __name__ == "__main__":
    main()
