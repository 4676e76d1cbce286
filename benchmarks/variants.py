"""Variants scored per CPU second, against a plain loop and the model alone; memory over millions.

    python benchmarks/variants.py --data $CROSSLABEL_MIRROR --out /tmp/variants

Random SNVs (80 %), insertions and deletions (10 % each) of the yeast genome, sorted, as a plain
VCF, are scored on both strands by an untrained cnn-27k (the weights do not change the time), one
thread, all in one process:

- `loop`: what a user writes: for every variant both windows, both strands, one `model.predict`;
- `model`: `TrainedModel.score_codes`, which is Keras, on random windows that are in memory already,
  two for each variant;
- `compiled`: the same by `Scanner.score_codes`, the compiled loop for models of one convolution,
  which `crosslabel variants` calls;
- `annotate`: `crosslabel variants`, VCF in, bgzip VCF with its index out (also TSV).

Memory is the peak of a process of its own for each number of variants; one strand is enough there.
Writes ``<out>/variants.csv`` and prints the ratios.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from build_meter import cpu_seconds, peak_mb
from yeast_project import command_line, parsed

from ssldata.base.files import write_text_atomic
from ssldata.genomes.genome import Genome, open_genome
from ssldata.genomes.onehot import LETTERS, one_hot, reverse_complement
from sslmodels.fit.threads import limit_threads
from sslmodels.models.model_builder import build_model
from sslmodels.prediction.genome_scan import Scanner
from sslmodels.prediction.trained_model import TrainedModel
from sslmodels.variants.effect_scores import EffectOptions
from sslmodels.variants.variant_effects import annotate_variants

LENGTH = 200
#: Far enough from the ends of contigs for the plain loop, which has no rule for them.
MARGIN = 300


def write_variants(path: Path, genome: Genome, count: int) -> None:
    """Write a sorted VCF of random variants, piece by piece."""
    rng = np.random.default_rng(count)
    nuclear = np.flatnonzero(genome.sizes > 100_000)
    share = genome.sizes[nuclear] / genome.sizes[nuclear].sum()
    with path.open("w", encoding="ascii") as file:
        file.write("##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n")
        for contig, number in zip(nuclear, rng.multinomial(count, share), strict=True):
            text = LETTERS[:4].decode()
            codes = genome.codes(int(contig))
            places = np.sort(rng.integers(MARGIN, len(codes) - MARGIN, number))
            kinds, sizes = rng.random(number), rng.integers(1, 6, number)
            for at, kind, size in zip(places.tolist(), kinds, sizes.tolist(), strict=True):
                ref = text[codes[at]]
                alt = text[(codes[at] + 1 + size % 3) % 4]
                if kind > 0.9:
                    alt = ref + "ACGTA"[:size]
                elif kind > 0.8:
                    ref, alt = "".join(text[i] for i in codes[at : at + size + 1]), ref
                name = genome.names[contig]
                file.write(f"{name}\t{at + 1}\t.\t{ref}\t{alt}\t.\tPASS\tDP=30;AF=0.1\n")


def model_of_benchmark() -> TrainedModel:
    return TrainedModel(build_model("cnn-27k", length=LENGTH, seed=0))


def plain_loop(model: TrainedModel, genome: Genome, path: Path, count: int) -> None:
    """Score the first variants of a file as one would by hand."""
    letters = LETTERS.decode()
    with path.open(encoding="ascii") as file:
        rows = [line.split("\t")[:5] for line in file if line[0] != "#"][:count]
    for contig, position, _, ref, alt in rows:
        at = int(position) - 1
        windows = []
        for allele in (ref, alt):
            before = (LENGTH - len(allele)) // 2
            after = LENGTH - before - len(allele)
            codes = [
                genome.codes(contig, at - before, at),
                np.array([letters.index(letter) for letter in allele], np.uint8),
                genome.codes(contig, at + len(ref), at + len(ref) + after),
            ]
            windows.append(np.concatenate(codes))
        both = np.stack([*windows, *(reverse_complement(window) for window in windows)])
        p = model.keras_model.predict(one_hot(both), verbose=0)[:, 0]
        p_ref, p_alt = (p[0] + p[2]) / 2, (p[1] + p[3]) / 2
        _ = (p_alt - p_ref) * max(0, p_alt, p_ref)


def timed(function: Callable[[], object]) -> tuple[float, float]:
    """Return CPU and wall seconds."""
    cpu, wall = cpu_seconds(), time.perf_counter()
    function()
    return cpu_seconds() - cpu, time.perf_counter() - wall


def peak_of(genome: Path, vcf: Path, out: Path) -> None:
    """Score a file in this process, and print its peak memory in MB."""
    limit_threads(1)
    options = EffectOptions(both_strands=False)
    annotate_variants(model_of_benchmark(), vcf, out, genome=genome, options=options)
    print(peak_mb())


def main() -> None:
    parser = command_line(__doc__.splitlines()[0], seeds=1)
    parser.add_argument("--variants", type=int, default=40_000, help="timed")
    parser.add_argument("--loop", type=int, default=300, help="variants of the plain loop")
    parser.add_argument("--memory", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--peak-of", type=Path, nargs=3, help="used by the script itself")
    args = parsed(parser)
    if args.peak_of:
        peak_of(*args.peak_of)
        return
    limit_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    genome = open_genome(args.data / "yeast/genomes/sacCer3.2bit")
    vcf = args.out / f"{args.variants}.vcf"
    write_variants(vcf, genome, args.variants)
    model = model_of_benchmark()
    scanner = Scanner(model)
    rng = np.random.default_rng(0)
    windows = rng.integers(0, 4, (2 * args.variants, LENGTH)).astype(np.uint8)
    jobs: dict[str, tuple[int, Callable[[], object]]] = {
        "loop": (args.loop, partial(plain_loop, model, genome, vcf, args.loop)),
        "model": (args.variants, partial(model.score_codes, windows)),
        "compiled": (args.variants, partial(scanner.score_codes, windows)),
    }
    for suffix in ("vcf.gz", "tsv"):
        out = args.out / f"scored.{suffix}"
        job = partial(annotate_variants, model, vcf, out, genome=genome)
        jobs[f"annotate {suffix}"] = (args.variants, job)
    plain_loop(model, genome, vcf, 3)  # Keras compiles at the first call
    model.score_codes(windows[:5_000])
    scanner.score_codes(windows[:5_000])
    rows = []
    for turn in range(3):
        for name, (count, job) in jobs.items():
            cpu, wall = timed(job)
            numbers = {"cpu_s": cpu, "wall_s": wall, "per_cpu_s": count / cpu}
            rows.append({"job": name, "turn": turn, "variants": count, **numbers})
    for count in args.memory:
        vcf = args.out / f"{count}.vcf"
        write_variants(vcf, genome, count)
        command = [sys.executable, __file__, "--out", args.out, "--peak-of", genome.path, vcf]
        done = subprocess.run(
            [*map(str, command), str(args.out / f"{count}.scored.vcf.gz")],
            check=True,
            capture_output=True,
            text=True,
        )
        rows.append({"job": "memory", "variants": count, "peak_mb": int(done.stdout)})
    table = pd.DataFrame(rows)
    text = table.to_csv(index=False, float_format="%.4g")
    write_text_atomic(args.out / "variants.csv", text)
    rate = table.groupby("job", sort=False)["per_cpu_s"].median()
    print(table.to_string(index=False))
    print(f"annotate over loop: {rate['annotate vcf.gz'] / rate['loop']:.1f}")
    for name in ("model", "compiled"):
        print(f"annotate over {name}: {rate['annotate vcf.gz'] / rate[name]:.2f}")
    peaks = table["peak_mb"].dropna()
    if len(peaks):
        print(f"peak of the most over the fewest variants: {peaks.iloc[-1] / peaks.iloc[0]:.2f}")


if __name__ == "__main__":
    main()
