"""Files of a simulated clade: reproducible FASTA, chain and peak files."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ssldata.base.files import atomic_path

_LETTERS = np.frombuffer(b"ACGT", dtype=np.uint8)

#: Aligned runs farther apart than this many bases in either genome go to separate chains.
LARGEST_CHAIN_GAP = 20_000


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; ``.gz`` files are compressed, without a timestamp."""
    if path.suffix == ".gz":
        data = gzip.compress(data, compresslevel=4, mtime=0)
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def fasta_text(
    records: Iterable[tuple[str, npt.NDArray[np.uint8], npt.NDArray[np.uint8]]], *, width: int
) -> bytes:
    """Return FASTA text.

    Parameters
    ----------
    records
        Name, base codes, and mask of each base: 0 none, 1 soft-masked (lower case), 2 unknown
        (``N``), 3 unknown and soft-masked (``n``).
    width
        Bases per line.
    """
    text = bytearray()
    for name, codes, mask in records:
        letters = _LETTERS[codes]
        letters = np.where(mask >= 2, np.uint8(ord("N")), letters)
        letters = np.where(mask % 2 == 1, letters + 32, letters).astype(np.uint8)
        text += b">" + name.encode("ascii") + b"\n"
        whole = len(letters) // width * width
        lines = np.full((whole // width, width + 1), ord("\n"), dtype=np.uint8)
        lines[:, :width] = letters[:whole].reshape(-1, width)
        text += lines.tobytes()
        if whole < len(letters):
            text += letters[whole:].tobytes() + b"\n"
    return bytes(text)


@dataclass
class _Chain:
    """Blocks of one chain, ordered: target start, length, query start on the chain's strand."""

    contig: int
    query: int
    strand: int
    blocks: list[tuple[int, int, int]]

    @property
    def aligned(self) -> int:
        return sum(length for _, length, _ in self.blocks)

    def takes(self, target_start: int, query_start: int) -> bool:
        """Return whether a block can follow: in order in both genomes, and not too far away."""
        start, length, query = self.blocks[-1]
        gaps = target_start - (start + length), query_start - (query + length)
        return min(gaps) >= 0 and max(gaps) <= LARGEST_CHAIN_GAP


def chain_text(
    blocks: npt.NDArray[np.int64],
    target: Sequence[tuple[str, int]],
    query: Sequence[tuple[str, int]],
) -> str:
    """Return a UCSC chain file with exactly the given aligned blocks.

    Blocks that follow each other on the same contigs and strand form one chain; chains with most
    aligned bases come first. Query coordinates of a ``-`` chain count along the reverse complement
    of the contig, as the format demands (https://genome.ucsc.edu/goldenPath/help/chain.html).

    Parameters
    ----------
    blocks
        As returned by :func:`ssldata.simulation.evolution.aligned_blocks`.
    target, query
        Name and size of every contig of the old and the new genome.
    """
    chains: list[_Chain] = []
    newest: dict[tuple[int, int, int, int], _Chain] = {}
    for copy, contig, start, length, other, position, strand in blocks.tolist():
        # `position` is aligned to the first base: on '-' the last base of the forward block.
        query_start = position if strand > 0 else query[other][1] - 1 - position
        key = (copy, contig, other, strand)
        chain = newest.get(key)
        if chain is None or not chain.takes(start, query_start):
            chain = newest[key] = _Chain(contig, other, strand, [])
            chains.append(chain)
        chain.blocks.append((start, length, query_start))
    lines = []
    chains.sort(key=lambda chain: -chain.aligned)
    for number, chain in enumerate(chains, start=1):
        (first, _, first_query), (last, last_length, last_query) = chain.blocks[0], chain.blocks[-1]
        name, size = target[chain.contig]
        other_name, other_size = query[chain.query]
        lines.append(
            f"chain {100 * chain.aligned} {name} {size} + {first} {last + last_length} "
            f"{other_name} {other_size} {'+' if chain.strand > 0 else '-'} "
            f"{first_query} {last_query + last_length} {number}"
        )
        for (start, length, at), (next_start, _, next_at) in zip(
            chain.blocks, chain.blocks[1:], strict=False
        ):
            lines.append(f"{length}\t{next_start - start - length}\t{next_at - at - length}")
        lines.append(f"{last_length}\n")
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class SimulatedPeak:
    """A peak of the labelled genome, 0-based half-open, with the offset of its summit."""

    contig: str
    start: int
    end: int
    summit: int
    score: int

    @property
    def name(self) -> str:
        """Name in the file."""
        return f"{self.contig}_{self.start}_{self.end}"


def bed_text(peaks: Iterable[SimulatedPeak]) -> str:
    """Return BED6: one base, the summit, per peak."""
    return "".join(
        f"{p.contig}\t{p.start + p.summit}\t{p.start + p.summit + 1}\t{p.name}\t{p.score}\t.\n"
        for p in peaks
    )


def narrowpeak_text(peaks: Iterable[SimulatedPeak]) -> str:
    """Return narrowPeak: the whole peak, with its summit in column 10."""
    return "".join(
        f"{p.contig}\t{p.start}\t{p.end}\t{p.name}\t{p.score}\t.\t{p.score / 20:.3f}\t-1\t-1"
        f"\t{p.summit}\n"
        for p in peaks
    )
