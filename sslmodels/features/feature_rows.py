"""Sequences whose features are computed: rows of a store, a FASTA, BED intervals, a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import ByteArray
from ssldata.base.cache_folder import file_digest
from ssldata.base.errors import ConfigError, InputError
from ssldata.genomes.genome import open_genome
from ssldata.genomes.onehot import reverse_complement
from ssldata.labelled_sequences.header_locus import loci_of_names
from ssldata.labelled_sequences.sequence_table import TableOptions, read_whole, table_columns
from ssldata.reading.read_window import lead_of
from ssldata.store.store import RANGES, REFERENCE, open_store
from sslmodels.prediction.window_sources import BedWindows

_FASTA = (".fa", ".fasta", ".fna", ".ffn")
_BED = (".bed", ".narrowpeak", ".broadpeak")
_TABLES = (".csv", ".tsv")
#: Split of each range of the rows of a store.
_SPLIT = dict(zip(RANGES, ("train", "train", "validation", "test"), strict=True))


@dataclass(frozen=True, kw_only=True)
class SequenceRows:
    """Sequences of one length, read a block at a time.

    Attributes
    ----------
    count, length
        Number of sequences, and bases of each.
    read
        (first, last) → base codes, uint8 (last − first, length), each in its direction.
    coordinates
        Name → one value per sequence, as of :data:`ssldata.store.feature_store.COORDINATES`.
    identity
        What decides the sequences; JSON.
    skipped
        What was left out, by reason.
    """

    count: int
    length: int
    read: Callable[[int, int], ByteArray]
    coordinates: Mapping[str, NDArray[Any]]
    identity: Mapping[str, Any]
    skipped: Mapping[str, int] = field(default_factory=dict)


def open_sequences(
    location: str,
    *,
    length: int | None = None,
    genome: Path | None = None,
    group: str = REFERENCE,
    split: str | None = None,
) -> SequenceRows:
    """Open sequences by what their name says they are.

    Parameters
    ----------
    location
        A store, a FASTA, a BED file, or a table with the columns ``header,sequence`` and perhaps
        ``label`` and ``split``.
    length
        Bases around the centre of the interval (BED) or of the stored row; of a FASTA or a table
        what every sequence must have. Default: the bin of the store, the length of the sequences.
    genome
        FASTA or 2bit of a BED file.
    group, split
        Rows of a store.

    Raises
    ------
    MissingInputError, InputError
        No such file, or no sequences in it, or of several lengths.
    ConfigError
        An option that has no meaning for it.
    """
    path = Path(location)
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    kind = plain.suffix.lower()
    if kind in _BED:
        _refuse_store_options(location, group, split)
        return _of_bed(path, genome, length)
    if genome is not None:
        raise ConfigError(f"--genome has no meaning for {location}; leave it out")
    if kind in _TABLES:
        _refuse_store_options(location, group, split)
        return _of_table(path, length)
    if kind in _FASTA:
        _refuse_store_options(location, group, split)
        return _of_fasta(path, length)
    if "://" not in location and path.is_file() and kind != ".zip":
        raise ConfigError(
            f"{location}: what it is cannot be seen from its name; expected a store, or a file "
            f"named {', '.join([*_FASTA[:2], _BED[0], *_TABLES])}"
        )
    return _of_store(location, length, group, split)


def _refuse_store_options(location: str, group: str, split: str | None) -> None:
    if group != REFERENCE or split is not None:
        raise ConfigError(f"{location}: --group and --split are for stores; leave them out")


def _of_store(location: str, length: int | None, group: str, split: str | None) -> SequenceRows:
    store = open_store(location)
    rows = store.group(group)
    length = length or int(rows.attributes()["bin_size"])
    lead = lead_of(rows.length, length)
    ranges = {name: rows.ranges[name] for name in RANGES if name in rows.ranges}
    chosen = [r for name, r in ranges.items() if split in (None, _SPLIT[name])]
    numbers = np.concatenate([np.arange(first, last) for first, last in chosen] or [np.arange(0)])
    if not len(numbers):
        raise InputError(f"{location}: {group} has no rows of the split {split or 'asked for'}")
    names = np.empty(rows.rows, object)
    for name, (first, last) in ranges.items():
        names[first:last] = _SPLIT[name]

    def read(first: int, last: int) -> ByteArray:
        here = numbers[first:last]
        if here[-1] - here[0] == len(here) - 1:
            codes = rows.codes(int(here[0]), int(here[-1]) + 1)
        else:
            codes = rows.take_codes(here)
        return np.ascontiguousarray(codes[:, lead : lead + length])

    label = rows.column("label")
    experiments = store.experiments
    keys = ["label"] if len(experiments) == 1 else [f"label:{name}" for name in experiments]
    labels = {key: label[numbers, i].astype(np.int8) for i, key in enumerate(keys)}
    coordinates = {
        "contig": rows.contig_names(0, rows.rows)[numbers],
        "start": rows.column("start")[numbers],
        "end": rows.column("end")[numbers],
        "strand": rows.column("strand")[numbers].astype(np.int8),
        "split": names[numbers],
        **labels,
    }
    identity = {
        "rows": store.ledger[group]["content"],
        "group": group,
        "ranges": [list(pair) for pair in chosen],
    }
    return SequenceRows(
        count=len(numbers), length=length, read=read, coordinates=coordinates, identity=identity
    )


def _of_bed(path: Path, genome: Path | None, length: int | None) -> SequenceRows:
    if genome is None:
        raise ConfigError(f"{path}: intervals of which genome? name its FASTA or 2bit as --genome")
    if length is None:
        raise ConfigError(f"{path}: how many bases around each interval? give --length")
    source = BedWindows(path, open_genome(genome), length=length)
    blocks = list(source.blocks())
    count = sum(map(len, blocks))
    if not count:
        reasons = ", ".join(f"{n} {why.replace('_', ' ')}" for why, n in source.skipped.items())
        raise InputError(f"{path}: no interval to read ({reasons or 'it is empty'})")
    contig = np.concatenate([block.contig for block in blocks])
    start, end = (np.concatenate([getattr(b, key) for b in blocks]) for key in ("start", "end"))
    strand = np.concatenate([b.strand for b in blocks if b.strand is not None])
    first_base = (start + end) // 2 - length // 2
    names = np.array([name for block in blocks for name in block.names or ()], object)
    return SequenceRows(
        count=count,
        length=length,
        read=lambda first, last: source.genome.gather(
            contig[first:last], first_base[first:last], length, strand[first:last]
        ),
        coordinates={
            "name": names,
            "contig": np.array(source.contigs, object)[contig],
            "start": start,
            "end": end,
            "strand": strand.astype(np.int8),
        },
        identity={**source.identity, "length": length},
        skipped=dict(source.skipped),
    )


def _of_fasta(path: Path, length: int | None) -> SequenceRows:
    genome = open_genome(path)
    sizes = genome.sizes
    length = _one_length(str(path), Counter(sizes.tolist()), length)
    names = np.array(genome.names, object)

    def read(first: int, last: int) -> ByteArray:
        numbers = np.arange(first, last)
        return genome.gather(numbers, np.zeros(len(numbers), np.int64), length)

    return SequenceRows(
        count=len(sizes),
        length=length,
        read=read,
        coordinates={"name": names, **_places(names.tolist(), sizes)},
        identity={"sequence": genome.digest},
    )


def _of_table(path: Path, length: int | None) -> SequenceRows:
    columns = table_columns(path)
    carried = ("split",) if "split" in columns else ()
    labels = ("label",) if "label" in columns else ()
    batch, report = read_whole(path, TableOptions(labels=labels, carried=carried, length=length))
    coordinates: dict[str, NDArray[Any]] = {"name": np.array(batch.names, object)}
    coordinates |= _places(batch.names, batch.width)
    if labels:
        coordinates["label"] = batch.labels[:, 0].astype(np.int8)
    if carried:
        coordinates["split"] = np.array([row[0] for row in batch.carried], object)
    return SequenceRows(
        count=len(batch),
        length=batch.codes.shape[1],
        read=lambda first, last: batch.codes[first:last],
        coordinates=coordinates,
        identity={"table": file_digest(path)},
        skipped={f"bad_{reason}": count for reason, count in report.bad.items()},
    )


def _one_length(where: str, lengths: Counter[int], length: int | None) -> int:
    if not lengths:
        raise InputError(f"{where}: no sequence in it")
    common = lengths.most_common(1)[0][0]
    if len(lengths) > 1 or (length is not None and common != length):
        other = next(one for one in lengths if one != (length or common))
        raise InputError(
            f"{where}: {lengths[other]} sequences of {other} b; expected {length or common} b "
            "each; cut or extend them, or give their places as BED with --genome and --length"
        )
    return common


def _places(names: Sequence[str], sizes: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Return contig, start, end and strand where the names are places; else nothing."""
    loci = loci_of_names(names, sizes.astype(np.int64), int(sizes[0]))
    if not loci.parsed:
        return {}
    return {
        "contig": np.array(loci.contigs, object)[loci.intervals.contig],
        "start": loci.intervals.start,
        "end": loci.intervals.end,
        "strand": loci.strand,
    }


def with_both_strands(rows: SequenceRows) -> SequenceRows:
    """Return every sequence followed by its reverse complement, as rows of one ``locus``.

    Models on the features are fitted to both, and judged by their mean
    (:mod:`sslmodels.transfer.labelled_features`).
    """
    coordinates = {name: np.repeat(values, 2) for name, values in rows.coordinates.items()}
    strand = coordinates.get("strand", np.ones(2 * rows.count, np.int8))
    coordinates["strand"] = np.where(np.arange(2 * rows.count) % 2, -strand, strand).astype(np.int8)
    coordinates["locus"] = np.repeat(np.arange(rows.count, dtype=np.int64), 2)

    def read(first: int, last: int) -> ByteArray:
        begin, end = first // 2, -(-last // 2)
        codes = rows.read(begin, end)
        both = np.empty((2 * len(codes), rows.length), np.uint8)
        both[::2], both[1::2] = codes, reverse_complement(np.ascontiguousarray(codes))
        return both[first - 2 * begin : last - 2 * begin]

    return SequenceRows(
        count=2 * rows.count,
        length=rows.length,
        read=read,
        coordinates=coordinates,
        identity={**rows.identity, "rows_of": "both strands"},
        skipped=rows.skipped,
    )
