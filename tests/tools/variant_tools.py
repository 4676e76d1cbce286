"""What tests of variants share: a small genome, a model on it, and files of variants."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from run_tools import small_record

from ssldata.genomes.genome import Genome, open_genome
from ssldata.genomes.onehot import decode
from sslmodels.models.model_builder import build_model
from sslmodels.prediction.trained_model import TrainedModel

#: Bases that the model reads.
WINDOW = 24

#: chr1: random, lower case from 150 to 200, N from 250 to 260; chr2: shorter than the window.
_LETTERS = decode(np.random.default_rng(7).integers(0, 4, 400).astype(np.uint8))
CHR1 = _LETTERS[:150] + _LETTERS[150:200].lower() + _LETTERS[200:250] + "N" * 10 + _LETTERS[260:]
CONTIGS = {"chr1": CHR1, "chr2": "ACGTACGTACGTACGTACGT", "chrM": _LETTERS[50:110]}


def small_genome(folder: Path) -> Genome:
    path = folder / "genome.fa"
    path.write_text("".join(f">{name}\n{text}\n" for name, text in CONTIGS.items()))
    return open_genome(path)


def small_model(seed: int = 0, *, length: int = WINDOW, outputs: int = 1) -> TrainedModel:
    network = build_model("deepbind", length=length, outputs=outputs, seed=seed)
    return TrainedModel(network)


def small_run(folder: Path, seed: int = 0, *, outputs: int = 1, **record: str) -> Path:
    """Write what variants need of a run folder."""
    folder.mkdir(parents=True)
    small_model(seed, outputs=outputs).keras_model.save(folder / "model.keras")
    names = [f"tf{i}" for i in range(outputs)] if outputs > 1 else None
    whole = small_record(outputs=names, model="deepbind", seed=seed, **record)
    (folder / "run.json").write_text(json.dumps(whole))
    return folder


def base(contig: str, position: int, length: int = 1) -> str:
    """Return bases of the genome, upper case; `position` is 1-based."""
    return CONTIGS[contig][position - 1 : position - 1 + length].upper()


def other(letters: str) -> str:
    """Return different bases."""
    return letters.translate(str.maketrans("ACGT", "CGTA"))


HEADER = (
    "##fileformat=VCFv4.2\n"
    '##INFO=<ID=AF,Number=A,Type=Float,Description="Frequency">\n'
    '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n'
    "##contig=<ID=chr1,length=400>\n"
)
COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"


def vcf_text(*records: tuple, samples: str = "", end: str = "\n") -> str:
    """Return a VCF of records (contig, position, ref, alt, …further columns from QUAL on)."""
    lines = [*HEADER.splitlines(), COLUMNS + (f"\tFORMAT\t{samples}" if samples else "")]
    for contig, position, ref, alt, *more in records:
        rest = [*more, *(".", ".", ".")[len(more) :]]
        lines.append("\t".join(map(str, (contig, position, ".", ref, alt, *rest))))
    return end.join(lines) + end
