"""Batches from GenVarLoader, measured on request; runs in the Python that has it, not in ours.

    python -P reader_peer.py FASTA WINDOWS LENGTH BATCH

The FASTA file has one contig, "c", that is cut into windows. "ready" is printed after the first
batches; then every line of the input, a number of seconds, is answered with rows per CPU second and
per second of wall time.
"""

import sys
import time

import genvarloader as gvl
import numpy as np
import polars as pl

WARM_UP = 40


def batches(fasta, windows, length, batch):
    """Reference windows in random order; letters to one-hot in NumPy; no tf.data."""
    starts = np.arange(windows, dtype=np.int64) * length
    bed = pl.DataFrame({"chrom": ["c"] * windows, "chromStart": starts})
    bed = bed.with_columns(chromEnd=pl.col("chromStart") + length)
    data = gvl.RefDataset(gvl.Reference.from_path(fasta), bed).with_len(length)
    rng = np.random.default_rng(0)
    table = np.zeros((256, 4), np.uint8)
    table[np.frombuffer(b"ACGT", np.uint8), np.arange(4)] = 1
    words = table.view(np.uint32).ravel()
    while True:
        order = rng.permutation(windows)
        for first in range(0, windows - batch + 1, batch):
            letters = np.asarray(data[order[first : first + batch]])
            yield words[letters.view(np.uint8).reshape(batch, length)][..., None].view(np.uint8)


def main(fasta, windows, length, batch):
    made = batches(fasta, windows, length, batch)
    for _ in range(WARM_UP):
        next(made)
    print("ready", flush=True)
    for line in sys.stdin:
        cpu, wall, rows = time.process_time(), time.perf_counter(), 0
        while time.perf_counter() - wall < float(line):
            rows += sum(len(next(made)) for _ in range(10))
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        print(rows / cpu, rows / wall, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
