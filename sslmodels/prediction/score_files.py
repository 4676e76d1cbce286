"""Files of scores: TSV, BED, bigWig, Parquet, Zarr; written block by block, whole or not at all.

The columns of a row are contig, start, end, then name and strand where the windows have them, then
the scores. Equal scores give equal bytes.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import zarr
from numpy.typing import NDArray

from ssldata.base.errors import ConfigError
from ssldata.base.files import atomic_path
from sslmodels.prediction.bigwig_file import BigWigFile, require_bigwig
from sslmodels.prediction.trained_model import Scores
from sslmodels.prediction.window_scorer import GENOMES
from sslmodels.prediction.window_sources import ContigWindows, WindowBlock, WindowSource

ScoreFormat = Literal["bed", "tsv", "bigwig", "parquet", "zarr"]

_SUFFIXES: dict[str, ScoreFormat] = {
    ".bed": "bed",
    ".tsv": "tsv",
    ".txt": "tsv",
    ".bw": "bigwig",
    ".bigwig": "bigwig",
    ".parquet": "parquet",
    ".zarr": "zarr",
}

#: Adds a block and its scores to a file.
Write = Callable[[WindowBlock, Scores], None]

#: Rows of a chunk of a Zarr array.
_CHUNK = 2**16


def format_of(path: Path, given: str | None) -> ScoreFormat:
    """Return the format of a file, as given or by its name.

    Raises
    ------
    ConfigError
        No such format, the name tells none, or the package that writes it is not installed.
    """
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    found = given or _SUFFIXES.get(plain.suffix.lower())
    if found not in get_args(ScoreFormat):
        raise ConfigError(
            f"{path}: no format of this name; name one with --format: "
            f"{', '.join(get_args(ScoreFormat))}"
        )
    if plain is not path and found not in ("bed", "tsv"):
        raise ConfigError(f"{path}: {found} is compressed already; leave out .gz")
    if found == "bigwig":
        require_bigwig()
    if found == "parquet":
        _pyarrow()
    return found  # type: ignore[return-value]  # it was looked up among the formats


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as exc:
        raise ConfigError(
            "Parquet needs the package pyarrow: pip install 'crosslabel[export]', or write bed, "
            "tsv, bigwig or zarr"
        ) from exc
    return pa, pq


@dataclass(frozen=True)
class ScoreFile:
    """Where scores are written.

    Attributes
    ----------
    path
        As the user named it.
    format
        Of the file.
    columns
        Names of the scores.
    """

    path: Path
    format: ScoreFormat
    columns: Sequence[str]

    @property
    def paths(self) -> list[Path]:
        """The files: `path`, or one for each column where a bigWig would need several values."""
        if self.format != "bigwig" or len(self.columns) == 1:
            return [self.path]
        return [self.path.with_suffix(f".{name}{self.path.suffix}") for name in self.columns]

    @contextlib.contextmanager
    def writer(self, source: WindowSource, rows: int) -> Iterator[Write]:
        """Yield a function that adds a block; the files appear when all is written.

        Parameters
        ----------
        source
            The windows.
        rows
            Their number.
        """
        if self.format == "zarr":
            with _zarr(self.path, source, self.columns, rows) as write:
                yield write
            return
        with contextlib.ExitStack() as stack:
            temporary = [stack.enter_context(atomic_path(path)) for path in self.paths]
            if self.format == "bigwig":
                opened = _bigwig(temporary, source)
            elif self.format == "parquet":
                opened = _parquet(temporary[0], source, self.columns)
            else:
                packed = self.path.suffix == ".gz"
                opened = _text(temporary[0], source, self.columns, self.format, packed=packed)
            with opened as write:
                yield write


def check_format(format_: ScoreFormat, source: WindowSource) -> None:
    """Raise :class:`ConfigError` where a format cannot hold the windows of a source."""
    if format_ == "bigwig" and not isinstance(source, ContigWindows):
        raise ConfigError(
            "bigWig holds scores along contigs (--all, --fasta); write intervals and rows as bed, "
            "tsv, parquet or zarr"
        )


def _texts(name: str, values: Scores) -> list[str]:
    """Return a column as text; nine digits identify a float32."""
    return np.char.mod("%d" if name == GENOMES else "%.9g", values).tolist()


@contextlib.contextmanager
def _text(
    path: Path, source: WindowSource, columns: Sequence[str], format_: str, *, packed: bool
) -> Iterator[Write]:
    contigs = np.array(source.contigs, dtype=object)
    headed = format_ == "bed"

    with contextlib.ExitStack() as stack:
        raw: Any = stack.enter_context(path.open("wb"))
        if packed:
            # Neither name nor time in the header: equal scores give equal bytes.
            raw = stack.enter_context(gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0))
        text = stack.enter_context(io.TextIOWrapper(raw, encoding="utf-8", newline=""))

        def write(block: WindowBlock, scores: Scores) -> None:
            nonlocal headed
            count = len(block)
            sign = np.array([".", "+", "-"])
            strand = np.zeros(count, np.int8) if block.strand is None else block.strand
            fields = [
                ("contig", contigs[block.contig].tolist()),
                ("start", block.start.astype(str).tolist()),
                ("end", block.end.astype(str).tolist()),
            ]
            if block.names is not None or format_ == "bed":
                fields.append(("name", block.names or ["."] * count))
            if format_ == "bed":
                thousands = np.rint(1000 * scores[:, 0]).astype(int)
                fields.append(("score", thousands.astype(str).tolist()))
            if block.strand is not None or format_ == "bed":
                fields.append(("strand", sign[strand].tolist()))
            fields += [(name, _texts(name, scores[:, i])) for i, name in enumerate(columns)]
            if not headed:
                text.write("\t".join(name for name, _ in fields) + "\n")
                headed = True
            lines = zip(*(values for _, values in fields), strict=True)
            text.write("".join("\t".join(line) + "\n" for line in lines))

        yield write


@contextlib.contextmanager
def _bigwig(paths: Sequence[Path], source: WindowSource) -> Iterator[Write]:
    assert isinstance(source, ContigWindows)
    files = [
        BigWigFile(path, source.contigs, source.sizes, length=source.length, stride=source.stride)
        for path in paths
    ]

    def write(block: WindowBlock, scores: Scores) -> None:
        at = 0
        for contig, _, count in block.segments:
            for file, values in zip(files, scores[at : at + count].T, strict=True):
                file.write(contig, block.start[at : at + count], values)
            at += count

    try:
        yield write
    finally:
        for file in files:
            file.close()


@contextlib.contextmanager
def _parquet(path: Path, source: WindowSource, columns: Sequence[str]) -> Iterator[Write]:
    pa, pq = _pyarrow()
    contigs = np.array(source.contigs, dtype=object)
    writer: Any = None

    def write(block: WindowBlock, scores: Scores) -> None:
        nonlocal writer
        table = {
            "contig": pa.array(contigs[block.contig], pa.string()),
            "start": pa.array(block.start, pa.int64()),
            "end": pa.array(block.end, pa.int64()),
        }
        if block.names is not None:
            table["name"] = pa.array(block.names, pa.string())
        if block.strand is not None:
            table["strand"] = pa.array(np.where(block.strand > 0, "+", "-"), pa.string())
        for i, name in enumerate(columns):
            values = scores[:, i]
            table[name] = pa.array(values.astype(np.int32) if name == GENOMES else values)
        made = pa.table(table)
        if writer is None:
            writer = pq.ParquetWriter(path, made.schema, compression="zstd")
        writer.write_table(made)

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()


@contextlib.contextmanager
def _zarr(path: Path, source: WindowSource, columns: Sequence[str], rows: int) -> Iterator[Write]:
    """Write into a folder beside `path`, and rename it."""
    temporary = path.with_name(f"{path.name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    group = zarr.create_group(temporary)
    group.attrs.update(contigs=list(source.contigs), columns=list(columns))
    shapes: dict[str, tuple[str, tuple[int, ...]]] = {
        "contig": ("int32", ()),
        "start": ("int64", ()),
        "end": ("int64", ()),
        "strand": ("int8", ()),
        "score": ("float32", (len(columns),)),
    }
    arrays = {
        name: group.create_array(
            name,
            shape=(rows, *inner),
            chunks=(min(_CHUNK, max(rows, 1)), *inner),
            dtype=dtype,
            dimension_names=("row", "column")[: 1 + len(inner)],
        )
        for name, (dtype, inner) in shapes.items()
    }
    at = 0

    def write(block: WindowBlock, scores: Scores) -> None:
        nonlocal at
        here = slice(at, at + len(block))
        strand = np.zeros(len(block), np.int8) if block.strand is None else block.strand
        values: tuple[NDArray[Any], ...] = (block.contig, block.start, block.end, strand, scores)
        for name, value in zip(shapes, values, strict=True):
            arrays[name][here] = value
        at += len(block)

    yield write
    shutil.rmtree(path, ignore_errors=True)
    temporary.rename(path)
