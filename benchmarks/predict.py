"""Speed of scanning a genome: one pass of the convolution against `model.predict` on the windows.

    python benchmarks/predict.py                       # sacCer3 of $CROSSLABEL_MIRROR
    python benchmarks/predict.py GENOME.fa --model deepbind --out predict.csv

For each stride: windows per CPU second (user + system, median of the rounds; all take turns, so
that other work on the machine affects them alike) of a scan of the whole genome, of Keras'
`predict` on as many of its windows as it scores in seconds, and their ratio; the share of the time
of the scan that TensorFlow takes for the convolution alone, over the same genome and strands. Both
strands are averaged. The scores are compared before anything is timed.

Targets: at least 10 times as fast at stride 10, never slower.
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from ssldata.genomes.genome import Genome, open_genome
from ssldata.genomes.onehot import one_hot, reverse_complement
from sslmodels.models.model_builder import build_model
from sslmodels.prediction.genome_scan import Scanner, window_count
from sslmodels.prediction.trained_model import TrainedModel

#: Bases that the convolution alone passes over at once.
PIECE = 2**15


def cpu_seconds(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def scan(scanner: Scanner, genome: Genome, stride: int, part: int) -> int:
    """Scan all contigs, as much of one at a time as `crosslabel predict` does."""
    length, windows = scanner.model.length, 0
    for contig, size in enumerate(genome.sizes.tolist()):
        count = window_count(size, length, stride)
        for first in range(0, count, part):
            end = (first + min(part, count - first) - 1) * stride + length
            windows += len(scanner.scan(genome.codes(contig, first * stride, end), stride=stride))
    return windows


def windows_of(genome: Genome, length: int, stride: int, wanted: int) -> NDArray[np.uint8]:
    """Return windows spread over the genome, at starts that the scan has too."""
    parts = []
    share = wanted / genome.sizes.sum()
    for contig, size in enumerate(genome.sizes.tolist()):
        count = window_count(size, length, stride)
        number = np.unique(np.linspace(0, count - 1, max(1, int(share * size))).astype(int))
        start = number[number >= 0] * stride
        parts.append(genome.gather(np.full(len(start), contig), start, length))
    return np.concatenate(parts)


def keras_predict(model: keras.Model, codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    strands = [
        model.predict(c, batch_size=1024, verbose=0) for c in (codes, reverse_complement(codes))
    ]
    return (strands[0] + strands[1]) / 2


def convolution_alone(model: TrainedModel, genome: Genome) -> Callable[[], None]:
    """Return the first layer over the whole genome, both strands, in TensorFlow."""
    layer = model.keras_model.body.layers[1]
    pieces = [
        one_hot(genome.codes(contig, first, min(first + PIECE, size))).astype(np.float32)[None]
        for contig, size in enumerate(genome.sizes.tolist())
        for first in range(0, size, PIECE)
        if size - first >= model.length
    ]
    inputs = keras.Input((None, 4))
    alone = keras.Model(inputs, layer(inputs))

    def run() -> None:
        for _ in range(2):  # strands
            for piece in pieces:
                alone.predict_on_batch(piece)

    return run


def check(scanner: Scanner, genome: Genome) -> None:
    """Compare the scan of the start of a contig with its windows, one by one."""
    length = scanner.model.length
    codes = genome.codes(0, 0, min(int(genome.sizes[0]), 30_000))
    windows = np.lib.stride_tricks.sliding_window_view(codes, length)[::7]
    difference = np.abs(scanner.scan(codes, stride=7) - scanner.model.score_codes(windows.copy()))
    if difference.max() > 1e-5:
        sys.exit(f"the scan differs from window by window: {difference.max():.2g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("genome", nargs="?", type=Path)
    parser.add_argument("--model", default="cnn-27k")
    parser.add_argument("--length", type=int, default=200)
    parser.add_argument("--strides", type=int, nargs="+", default=[10, 200])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--windows", type=int, default=20_000, help="of Keras' predict")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    mirror = os.environ.get("CROSSLABEL_MIRROR", "")
    path = options.genome or next(
        iter(sorted(Path(mirror, "yeast", "genomes").glob("sacCer3*"))), None
    )
    if path is None:
        sys.exit("name a genome, or set CROSSLABEL_MIRROR")
    genome = open_genome(path)
    model = TrainedModel(build_model(options.model, length=options.length, seed=0))
    scanner = Scanner(model)
    check(scanner, genome)
    bases = int(genome.sizes.sum())
    print(f"{path.name}: {bases / 1e6:.1f} Mb; {options.model}, {options.length} b, both strands")
    alone = convolution_alone(model, genome) if scanner.network is not None else None
    table = []
    for stride in options.strides:
        sample = windows_of(genome, model.length, stride, options.windows)
        keras_predict(model.keras_model, sample[:2048])
        rates: dict[str, list[float]] = {"scan": [], "predict": [], "convolution": []}
        for _ in range(options.rounds):
            begin = time.process_time()
            count = scan(scanner, genome, stride, 2**16)
            seconds = time.process_time() - begin
            rates["scan"].append(count / seconds)
            spent = cpu_seconds(lambda windows=sample: keras_predict(model.keras_model, windows))
            rates["predict"].append(len(sample) / spent)
            if alone is not None:
                rates["convolution"].append(cpu_seconds(alone) / seconds)
        found = {name: statistics.median(values) for name, values in rates.items() if values}
        row = {
            "genome": path.name,
            "model": options.model,
            "stride": stride,
            "windows": count,
            "scan_per_cpu_s": round(found["scan"]),
            "predict_per_cpu_s": round(found["predict"]),
            "ratio": round(found["scan"] / found["predict"], 2),
            "share_of_convolution": round(found.get("convolution", float("nan")), 2),
        }
        table.append(row)
        print("  " + ", ".join(f"{key} {value}" for key, value in list(row.items())[2:]))
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    if options.out:
        with options.out.open("w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, fieldnames=list(table[0]))
            writer.writeheader()
            writer.writerows(table)


if __name__ == "__main__":
    main()
