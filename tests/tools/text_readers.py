"""Every reader of text files, with a small sound text for each, and ways to pack text."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from Bio import bgzf

from ssldata.base.errors import MissingInputError
from ssldata.building.rough_plan import read_counts, read_sizes
from ssldata.chains.chain_index import load_chain
from ssldata.genomes.genome import open_genome
from ssldata.labelled_sequences.sequence_table import TableOptions, read_whole
from ssldata.project.genome_list import read_registry
from ssldata.project.project_file import load_project
from ssldata.project.source_table import COLUMNS, lock_file, read_sources
from ssldata.rows.intervals import read_peaks
from sslmodels.benchmark.published_values import published_results

HASH = "0" * 64
SOURCES = "\n".join(
    ["\t".join(COLUMNS), f"data/a\tmirror/a\tNUMBER\t{HASH}\t\thttps://x.y/a\tCC0\tx y", ""]
)


def peaks(path: Path) -> Any:
    found = read_peaks(path, names=("c1", "c2"), sizes=np.array([900, 900]), width=10)
    intervals = found.intervals
    return (
        intervals.contig.tolist(), intervals.start.tolist(), intervals.end.tolist(),
        found.score.tolist(), dict(found.counts),
    )  # fmt: skip


def chain(path: Path) -> Any:
    index = load_chain(path, cache=False)
    return (
        index.target_names, index.query_names, index.target_sizes.tolist(),
        index.block_start.tolist(), index.block_end.tolist(), index.block_query.tolist(),
        index.chain_strand.tolist(), index.chain_id.tolist(),
    )  # fmt: skip


def genome(path: Path) -> Any:
    opened = open_genome(path)
    return {name: opened.codes(name).tolist() for name in opened.names}


def project(path: Path) -> Any:
    return load_project(path).model_dump()


def lock(path: Path) -> Any:
    """Read a lock file, which lies beside its table."""
    table = path.with_name("table.tsv")
    table.write_text(SOURCES.replace("NUMBER", "").replace(HASH, ""))
    if not path.exists():
        raise MissingInputError(f"{path}: a lock may be missing")
    path.replace(lock_file(table))
    try:
        return read_sources(table)
    finally:
        lock_file(table).replace(path)


def published(path: Path) -> Any:
    return published_results(path).to_dict("records")


def sequences(path: Path) -> Any:
    batch, _ = read_whole(path, TableOptions(labels=("label",)))
    return batch.names, batch.codes.tolist(), batch.labels.tolist()


@dataclass(frozen=True)
class Reader:
    """A reader, a small text for it with a NUMBER that must be whole, and what it can do."""

    read: Callable[[Path], Any]
    text: str
    number: str = "200"
    packed: bool = True
    comments: bool = True
    tabs: bool = True
    may_be_empty: bool = False
    pipes: bool = True


READERS = {
    "peaks": Reader(
        peaks,
        "track name=x\nc1\t100\t300\tp\t5\t.\t1\t2\t3\t4\nc2\tNUMBER\t400\tq\t0\t+\t1\t2\t3\t-1\n",
    ),
    "chain": Reader(
        chain,
        "chain 9 c1 900 + 100 400 q1 950 - 10 NUMBER 1\n90 110 0\n100\n\n"
        "chain 9 c2 900 + 0 50 q2 800 + 10 60 2\n50\n",
        may_be_empty=True,
    ),
    "genome": Reader(
        genome,
        ">c1 words\nACGTACGT\nACGTNNAC\nAC\n>c2\nGGGG\nTTTT\nA\n",
        comments=False,
        pipes=False,
    ),
    "registry": Reader(
        read_registry,
        "- name: R1\n  sequence: r.fa\n  chain: c.chain\n- {name: 4, sequence: a, chain: b}\n",
        packed=False,
        tabs=False,
        may_be_empty=True,
    ),
    "project": Reader(
        project,
        "name: p\nreference: {name: r, sequence: r.fa, aliases: {1: c1}}\n"
        "experiments:\n  - {name: A, peaks: p.bed, width: NUMBER}\nsplit:\n  test: [4]\n"
        "training: {regimes: [sl]}\n",
        packed=False,
        tabs=False,
    ),
    "sources": Reader(read_sources, SOURCES),
    "lock": Reader(
        lock, f"path\tbytes\tsha256\torigin\ndata/a\tNUMBER\t{HASH}\thttps://x\n", pipes=False
    ),
    "sizes": Reader(read_sizes, "c1\tNUMBER\nc2\t5\n"),
    "counts": Reader(read_counts, "experiment,positives,pseudo_labelled\nA,NUMBER,5\n"),
    "sequences": Reader(
        sequences, "header\tsequence\tlabel\nc1:5-9(+)\tACGT\t1\nb\tACNT\t0\nc\tttga\t1\n"
    ),
    "published": Reader(published, "experiment,model,regime,aupr\nA,m,sl,0.25\nB,m,sl,0.5\n"),
}


def text_of(name: str, number: str | None = None) -> str:
    return READERS[name].text.replace("NUMBER", number or READERS[name].number)


class KeptOpen(io.BytesIO):
    """Bytes that can still be had after the writer has closed them."""

    def close(self) -> None:
        pass


def bgzipped(data: bytes) -> bytes:
    out = KeptOpen()
    with bgzf.BgzfWriter(fileobj=out) as writer:
        for start in range(0, len(data), 50):
            writer.write(data[start : start + 50])
            writer.flush()
    return out.getvalue()


def zipped(*members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, data in enumerate(members):
            archive.writestr(f"{number}.txt", data)
    return out.getvalue()
