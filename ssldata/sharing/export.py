"""A store in other formats, for other trainers: TFRecord, Parquet, FASTA + BED.

One file per genome and split (train, validation, test), with the rows in the order of the store.
TensorFlow writes TFRecord and pyarrow writes Parquet; both are imported when needed.
"""

from __future__ import annotations

import errno
import gzip
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ssldata.base.errors import ConfigError
from ssldata.base.files import atomic_path, write_text_atomic
from ssldata.base.progress import NoProgress, Progress
from ssldata.genomes.onehot import BYTE_OF_CODE, one_hot
from ssldata.sharing.card import markdown_text
from ssldata.store.chunk_reader import ChunkReader
from ssldata.store.store import HOMOLOGUES, REFERENCE, RowGroup, Store

Format = Literal["tfrecord", "parquet", "bed"]
FORMATS: tuple[str, ...] = get_args(Format)
SPLITS = ("train", "validation", "test")

#: The range names of a group that make a split.
_RANGES = {"train": ("positive", "negative"), "validation": ("validation",), "test": ("test",)}
_COORDINATES = ("contig", "start", "end", "strand", "label", "weight")


@dataclass(frozen=True, eq=False)
class _Block:
    """Consecutive rows of one group, from row `first`: codes (n, L) and columns."""

    genome: str
    first: int
    codes: NDArray[np.uint8]
    contigs: list[str]
    columns: dict[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.codes)

    def sequences(self) -> list[bytes]:
        letters = BYTE_OF_CODE[self.codes]
        return [row.tobytes() for row in letters]


def _genome_of(group: RowGroup, store: Store) -> str:
    if group.name == REFERENCE:
        return str(store.attributes.get("reference", {}).get("name", REFERENCE))
    return group.name.removeprefix(f"{HOMOLOGUES}/")


def _blocks(store: Store, name: str, split: str) -> Iterator[_Block]:
    """Yield the rows of one split of a group, a chunk at a time."""
    group = store.group(name)
    reader = ChunkReader(group)
    for part in _RANGES[split]:
        first, end = group.ranges[part]
        for low in range(first, end, reader.chunk_rows):
            high = min(end, low + reader.chunk_rows)
            columns = {key: group.column(key)[low:high] for key in _COORDINATES}
            contigs = group.contig_names(low, high).tolist()
            genome = _genome_of(group, store)
            yield _Block(genome, low, reader.codes(low, high), contigs, columns)


def _rows(store: Store, name: str, split: str) -> int:
    ranges = store.group(name).ranges
    return sum(ranges[part][1] - ranges[part][0] for part in _RANGES[split])


# -- TFRecord ------------------------------------------------------------------------------------


def _examples(block: _Block) -> Iterator[bytes]:
    """Yield every row of a block as a serialised ``tf.train.Example``."""
    import tensorflow as tf

    feature = tf.train.Feature
    hot = one_hot(block.codes)
    columns = {key: values.tolist() for key, values in block.columns.items()}
    for i in range(len(block)):
        label, weight = columns["label"][i], [columns["weight"][i]]
        features = {
            "sequence": feature(bytes_list=tf.train.BytesList(value=[hot[i].tobytes()])),
            "label": feature(float_list=tf.train.FloatList(value=label)),
            "weight": feature(float_list=tf.train.FloatList(value=weight)),
        }
        for key in ("contig", "start", "end", "strand"):
            features[key] = feature(int64_list=tf.train.Int64List(value=[columns[key][i]]))
        example = tf.train.Example(features=tf.train.Features(feature=features))
        yield example.SerializeToString(deterministic=True)


def export_tfrecord(
    store: Store,
    path: Path,
    *,
    groups: Sequence[str],
    split: str = "train",
    compression: Literal["ZLIB", ""] = "ZLIB",
) -> None:
    """Write the rows of one split as one TFRecord file.

    A record is a ``tf.train.Example`` with ``sequence`` (bytes of uint8 one-hot (L, 4)), ``label``
    (a float per experiment), ``weight``, ``contig`` (number), ``start``, ``end`` (0-based
    half-open), ``strand`` (1 or -1). Equal rows give equal files.

    Parameters
    ----------
    store
        What to write.
    path
        The file; it appears whole or not at all.
    groups
        ``reference`` and ``homologs/<genome>``, in the order of the file.
    split
        ``train``, ``validation`` or ``test``.
    compression
        Of the file; readers need to know it.

    Raises
    ------
    StoreError
        There is no such group.
    OSError
        The disk is full, or the folder cannot be written to.
    """
    import tensorflow as tf

    try:
        with atomic_path(path) as temporary:
            temporary.touch()  # without permission, fails with the error of Python
            with tf.io.TFRecordWriter(str(temporary), compression) as writer:
                for name in groups:
                    for block in _blocks(store, name, split):
                        for record in _examples(block):
                            writer.write(record)
    except tf.errors.ResourceExhaustedError as exc:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from exc


# -- Parquet -------------------------------------------------------------------------------------


def _parquet(store: Store) -> Callable[[Path, Iterable[_Block]], None]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as exc:
        raise ConfigError(
            "Parquet needs the package pyarrow: pip install 'crosslabel[export]', or export as "
            "tfrecord or bed"
        ) from exc
    taken = {"sequence", "genome", "contig", "start", "end", "strand", "weight"}
    labels = [f"label_{x}" if x in taken else x for x in store.experiments]
    schema = pa.schema(
        [
            ("sequence", pa.string()),
            *((name, pa.int8()) for name in labels),
            ("genome", pa.string()),
            ("contig", pa.string()),
            ("start", pa.int64()),
            ("end", pa.int64()),
            ("strand", pa.string()),
            ("weight", pa.float32()),
        ]
    )

    def write(path: Path, blocks: Iterable[_Block]) -> None:
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for block in blocks:
                columns = block.columns
                data = {
                    "sequence": [x.decode("ascii") for x in block.sequences()],
                    "genome": [block.genome] * len(block),
                    "contig": block.contigs,
                    "start": columns["start"],
                    "end": columns["end"],
                    "strand": np.where(columns["strand"] > 0, "+", "-").tolist(),
                    "weight": columns["weight"],
                }
                for i, name in enumerate(labels):
                    data[name] = columns["label"][:, i].astype(np.int8)
                writer.write_table(pa.table(data, schema=schema))

    return write


# -- FASTA + BED ---------------------------------------------------------------------------------


def _bed(path: Path, blocks: Iterable[_Block], experiments: Sequence[str]) -> None:
    fasta = path.with_name(path.name.removesuffix(".bed") + ".fa.gz")
    with (
        atomic_path(path) as temporary_bed,
        atomic_path(fasta) as temporary_fasta,
        temporary_bed.open("wb") as bed,
        temporary_fasta.open("wb") as raw,
        # No name and no time in the header, so that equal rows give equal files.
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0, compresslevel=6) as packed,
    ):
        names = ["chrom", "start", "end", "name", "score", "strand", *experiments]
        bed.write(("#" + "\t".join(names) + "\n").encode())
        for block in blocks:
            columns = {key: values.tolist() for key, values in block.columns.items()}
            for i, letters in enumerate(block.sequences()):
                name = f"{block.genome}:{block.first + i}"
                strand = "+" if columns["strand"][i] > 0 else "-"
                place = (block.contigs[i], str(columns["start"][i]), str(columns["end"][i]))
                labels = [str(x) for x in columns["label"][i]]
                score = str(round(1000 * columns["weight"][i]))
                line = "\t".join([*place, name, score, strand, *labels])
                bed.write(line.encode() + b"\n")
                packed.write(b">" + name.encode() + b"\n" + letters + b"\n")


# -- all of them ---------------------------------------------------------------------------------


def export_store(
    store: Store,
    folder: Path,
    *,
    kind: Format,
    groups: Sequence[str] | None = None,
    splits: Sequence[str] = SPLITS,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Write a store in another format, one file per genome and split.

    ``tfrecord``
        ``<split>-<genome>.tfrecord``, zlib; the features are those of :func:`export_tfrecord`.
        ``contigs-<genome>.txt`` names the contigs, the one of number 0 first.
    ``parquet``
        ``data/<split>-NNNNN-of-NNNNN.parquet``, the layout that Hugging Face ``load_dataset``
        understands: sequence (letters), a 0/1 column per experiment, genome, contig, start, end,
        strand, weight.
    ``bed``
        ``<split>-<genome>.bed`` (the bins; BED6 and a 0/1 column per experiment; score is
        1000 × weight) and ``<split>-<genome>.fa.gz`` (the stored windows, on the row's strand).

    Parameters
    ----------
    store
        What to write.
    folder
        Where to write it.
    kind
        ``tfrecord``, ``parquet`` or ``bed``.
    groups
        ``reference`` and ``homologs/<genome>``; default: all complete ones.
    splits
        Some of ``train``, ``validation``, ``test``.
    progress
        Progress reporter; advances by one per file.

    Returns
    -------
    list of dict
        ``file``, ``group``, ``split``, ``rows``, ``bytes`` of every file.

    Raises
    ------
    ConfigError
        An unknown format or split, or Parquet without pyarrow.
    StoreError
        There is no such group.
    """
    if kind not in FORMATS:
        raise ConfigError(f"export: unknown format {kind!r}; expected {', '.join(FORMATS)}")
    unknown = [split for split in splits if split not in SPLITS]
    if unknown:
        raise ConfigError(f"export: unknown split {unknown[0]!r}; expected {', '.join(SPLITS)}")
    names = list(groups or [REFERENCE, *(f"{HOMOLOGUES}/{genome}" for genome in store.genomes)])
    parts = [(name, split) for split in splits for name in names if _rows(store, name, split)]
    write_parquet = _parquet(store) if kind == "parquet" else None
    report = []
    with (progress or NoProgress()).task(f"export {kind}", total=len(parts)) as advance:
        for name, split in parts:
            here = [item for item, other in parts if other == split]
            genome = _genome_of(store.group(name), store)
            if kind == "parquet":
                file = f"data/{split}-{here.index(name):05d}-of-{len(here):05d}.parquet"
            else:
                file = f"{split}-{genome}.{kind}"
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            if kind == "tfrecord":
                export_tfrecord(store, path, groups=[name], split=split)
                contigs = "".join(f"{contig}\n" for contig in store.group(name).contigs)
                write_text_atomic(folder / f"contigs-{genome}.txt", contigs)
            elif write_parquet is not None:
                with atomic_path(path) as temporary:
                    write_parquet(temporary, _blocks(store, name, split))
            else:
                _bed(path, _blocks(store, name, split), store.experiments)
            report.append(
                {
                    "file": file,
                    "group": name,
                    "split": split,
                    "rows": _rows(store, name, split),
                    "bytes": path.stat().st_size,
                }
            )
            advance(1)
    write_text_atomic(folder / "README.md", _card(store, kind, report))
    return report


def _card(store: Store, kind: Format, report: Sequence[Mapping[str, Any]]) -> str:
    """Return the README that goes with the files."""
    group = store.group(REFERENCE)
    experiments = markdown_text(", ".join(store.experiments))
    about = (
        f"Store content `{store.digest}`; experiments {experiments}; "
        f"{group.length} b per row; format {kind}. Coordinates are the bins, 0-based half-open; "
        "sequences are on the row's strand."
    )
    lines = [
        "# Rows of a crosslabel store",
        "",
        about,
        "",
        "| file | group | split | rows |",
        "|---|---|---|---:|",
        *(
            f"| {' | '.join(markdown_text(x[key]) for key in ('file', 'group', 'split', 'rows'))} |"
            for x in report
        ),
    ]
    return "\n".join(lines) + "\n"
