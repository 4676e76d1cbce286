"""Scored variants as files: annotated VCF, TSV and Parquet, batch by batch, whole or not at all."""

from __future__ import annotations

import contextlib
import gzip
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ssldata.base.errors import ConfigError, InputError
from ssldata.base.files import atomic_path
from sslmodels.variants.effect_scores import Effects
from sslmodels.variants.variant_alleles import Alleles, VariantStatus
from sslmodels.variants.variant_rows import (
    FIXED,
    Row,
    VariantRows,
    VariantSurvey,
    import_pysam,
)

SUFFIXES = (".vcf.gz", ".vcf.bgz", ".vcf", ".tsv.gz", ".tsv", ".parquet")
#: The largest position of a tabix index; a CSI index has no such limit.
_TABIX_END = 2**29
_LABELS = [status.label for status in VariantStatus]


@dataclass(frozen=True)
class Batch:
    """Consecutive rows of a file, their alleles, and the effects of these."""

    rows: Sequence[Row]
    alleles: Alleles
    effects: Effects


Write = Callable[[Batch], None]


def check_output(path: Path, variants: Path) -> None:
    """Refuse an output whose format is not known, or that is the input."""
    if not path.name.endswith(SUFFIXES):
        raise ConfigError(f"{path}: unknown format; expected a name in {', '.join(SUFFIXES)}")
    if path.is_dir():
        raise ConfigError(f"{path}: is a folder; name a file in it")
    if path.exists() and path.samefile(variants):
        raise ConfigError(f"{path}: is the input; choose another --out")
    if path.name.endswith((".vcf.gz", ".vcf.bgz")):
        import_pysam(path)


@contextlib.contextmanager
def effects_file(
    path: Path,
    variants: VariantRows,
    found: VariantSurvey,
    *,
    outputs: Sequence[str],
    prefix: str,
    sizes: dict[str, int],
    made_by: str,
) -> Iterator[tuple[Write, dict[str, str]]]:
    """Open an output; it appears when the block succeeds, and then its index.

    At least one batch must be written, an empty one if the input has no rows.

    Parameters
    ----------
    path
        Its suffix says the format, one of :data:`SUFFIXES`.
    variants, found
        The input, and its survey.
    outputs
        Names of the outputs of the models.
    prefix
        Of the INFO fields.
    sizes
        Contig as the input names it → bases, for the header.
    made_by
        One line about the origin of the scores, for the header.

    Yields
    ------
    tuple
        The function that writes a batch; and a dictionary that says under ``index`` where the
        index is, or why there is none, once the block has ended.
    """
    said: dict[str, str] = {}
    index: tuple[Path, Path] | None = None
    with atomic_path(path) as temporary:
        if path.name.endswith(".parquet"):
            with _parquet(temporary, path, outputs) as write:
                yield write, said
        elif path.name.endswith((".tsv", ".tsv.gz")):
            with _opened(temporary, path) as handle:
                yield _table_writer(handle, outputs), said
        else:
            header = VcfHeader(variants, found, prefix=prefix, sizes=sizes, made_by=made_by)
            with _opened(temporary, path) as handle:
                yield _vcf_writer(handle, header, outputs), said
            index = _index(temporary, path, found)
            said["index"] = str(index[1]) if index else _why_no_index(path)
    if index:
        index[0].replace(index[1])


@contextlib.contextmanager
def _opened(temporary: Path, path: Path) -> Iterator[IO[bytes]]:
    """Open a file for bytes: bgzip for VCF, gzip for tables, by the suffix of `path`."""
    if path.name.endswith((".vcf.gz", ".vcf.bgz")):
        with import_pysam(path).BGZFile(str(temporary), "wb") as handle:
            yield handle
    elif path.suffix == ".gz":
        # Neither name nor time in the header: equal scores give equal bytes.
        with (
            temporary.open("wb") as raw,
            gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed,
        ):
            yield cast(IO[bytes], packed)
    else:
        with temporary.open("wb") as raw:
            yield raw


# -- tables --------------------------------------------------------------------------------------


def columns_of(values: dict[str, Any], outputs: Sequence[str]) -> dict[str, Any]:
    """Return one column per value and output; its name has the output if there are several."""
    if len(outputs) == 1:
        return {name: value[:, 0] for name, value in values.items()}
    return {
        f"{name}.{output}": value[:, i]
        for name, value in values.items()
        for i, output in enumerate(outputs)
    }


def effect_table(batch: Batch, outputs: Sequence[str]) -> pd.DataFrame:
    """Return one line per allele: line of the file, position (1-based), alleles, status, scores."""
    rows = [batch.rows[i] for i in batch.alleles.row.tolist()]
    fields = [row[1] or [""] * len(FIXED) for row in rows]
    positions = [int(text[1]) if text[1] else None for text in fields]
    return pd.DataFrame(
        {
            "line": np.array([row[0] for row in rows], np.int64),
            "chrom": [text[0] for text in fields],
            "pos": pd.Series(positions, dtype="Int64"),
            "id": [text[2] for text in fields],
            "ref": [text[3] for text in fields],
            "alt": batch.alleles.alternative,
            "status": [_LABELS[i] for i in batch.alleles.status.tolist()],
            **batch.effects.counts,
            **columns_of(batch.effects.values, outputs),
        }
    )


def _table_writer(handle: IO[bytes], outputs: Sequence[str]) -> Write:
    first = True

    def write(batch: Batch) -> None:
        nonlocal first
        table = effect_table(batch, outputs)
        text = table.to_csv(
            sep="\t", index=False, header=first, float_format="%.6g", lineterminator="\n"
        )
        handle.write(text.encode("utf-8", "surrogateescape"))
        first = False

    return write


@contextlib.contextmanager
def _parquet(temporary: Path, path: Path, outputs: Sequence[str]) -> Iterator[Write]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ConfigError(
            f"{path}: Parquet needs pyarrow; pip install 'crosslabel[export]'"
        ) from None
    writer: Any = None

    def write(batch: Batch) -> None:
        nonlocal writer
        try:
            table = pa.Table.from_pandas(effect_table(batch, outputs), preserve_index=False)
        except UnicodeEncodeError as exc:
            raise InputError(
                f"{path}: the input has letters that are not UTF-8 ({exc.object!r}), "
                "which Parquet cannot hold; write TSV or VCF"
            ) from exc
        if writer is None:
            writer = pq.ParquetWriter(temporary, table.schema)
        writer.write_table(table)

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()


# -- VCF -----------------------------------------------------------------------------------------

_WHAT = {
    "p_ref": "Mean probability with the reference allele",
    "p_alt": "Mean probability with the alternative allele",
    "paper": "(p_alt - p_ref) * max(0, p_alt, p_ref)",
    "difference": "p_alt - p_ref",
    "log-odds": "Natural logarithm of the odds of p_alt minus that of p_ref",
}


_COUNTS = {
    "window_n": "Bases N in the window",
    "genomes": "Genomes behind the means, that of the variants included",
}


class VcfHeader:
    """The header of an annotated VCF: that of the input, and what was added.

    Parameters
    ----------
    variants, found
        The input, and its survey.
    prefix
        Of the INFO fields.
    sizes
        Contig as the input names it → bases.
    made_by
        One line about the origin of the scores.
    """

    def __init__(
        self,
        variants: VariantRows,
        found: VariantSurvey,
        *,
        prefix: str,
        sizes: dict[str, int],
        made_by: str,
    ) -> None:
        if not re.fullmatch(r"[A-Za-z_][0-9A-Za-z_.]*", prefix):
            raise ConfigError(f"--prefix {prefix}: expected letters, digits and _, a letter first")
        self.prefix = prefix
        self.is_vcf = variants.kind in ("vcf", "bcf")
        self._where = variants.path
        columns = "\t".join(FIXED)
        self._lines = variants.header if self.is_vcf else ["##fileformat=VCFv4.3", f"#{columns}"]
        known = set(re.findall(r"^##contig=<(?:.*,)?ID=([^,>]+)", "\n".join(self._lines), re.M))
        self._contigs = [
            f"##contig=<ID={name}" + (f",length={sizes[name]}>" if name in sizes else ">")
            for name in found.contigs
            if name not in known
        ]
        self._made_by = f"##{prefix}_variants={made_by}"

    def fields(self, values: Sequence[str]) -> list[str]:
        """Return the names of the INFO fields of values."""
        plain = [re.sub(r"[^0-9A-Za-z_.]", "_", name) for name in values]
        names = [f"{self.prefix}_{name}" for name in plain]
        used = set(re.findall(r"^##INFO=<(?:.*,)?ID=([^,>]+)", "\n".join(self._lines), re.M))
        for name in names:
            if name in used or names.count(name) > 1:
                raise InputError(
                    f"{self._where}: already has the INFO field {name}; annotate the original, or "
                    "choose another --prefix"
                )
        return names

    def text(self, fields: Sequence[str], values: Sequence[str]) -> str:
        """Return the header as text."""
        own = []
        for field, value in zip(fields, values, strict=True):
            score, _, output = value.partition(".")
            what, kind = _WHAT.get(score.removesuffix("_sd"), ""), "Float"
            if score.endswith("_sd"):
                what = f"Standard deviation over runs of {what}"
            if value == "status":
                what, kind = f"What became of the allele: {', '.join(_LABELS)}", "String"
            if value in _COUNTS:
                what, kind = _COUNTS[value], "Integer"
            what += f", {output}" * bool(output)
            own.append(f'##INFO=<ID={field},Number=A,Type={kind},Description="{what}">')
        lines = [*self._lines[:-1], *self._contigs, *own, self._made_by, self._lines[-1]]
        return "\n".join(lines) + "\n"


def _vcf_writer(handle: IO[bytes], header: VcfHeader, outputs: Sequence[str]) -> Write:
    fields: list[str] = []

    def write(batch: Batch) -> None:
        status = batch.alleles.status.tolist()
        columns = {"status": [_LABELS[i] for i in status]}
        for name, counts in batch.effects.counts.items():
            pairs = zip(counts.tolist(), status, strict=True)
            columns[name] = ["." if problem else str(count) for count, problem in pairs]
        for name, values in columns_of(batch.effects.values, outputs).items():
            columns[name] = _texts(values)
        if not fields:
            fields.extend(header.fields([*columns]))
            handle.write(header.text(fields, [*columns]).encode("utf-8", "surrogateescape"))
        handle.write(_vcf_lines(batch, fields, [*columns.values()], whole=header.is_vcf))

    return write


def _texts(values: NDArray[np.float32]) -> list[str]:
    return ["." if value != value else f"{value:.6g}" for value in values.tolist()]


def _vcf_lines(
    batch: Batch, names: Sequence[str], columns: Sequence[list[str]], *, whole: bool
) -> bytes:
    """Return the records of a batch; those that are malformed are left out."""
    borders = batch.alleles.of_rows(len(batch.rows)).tolist()
    # An allele that is not scored has no numbers; a row without any has no such field.
    fields_of = (
        [f"{name}={text}" if text != "." else "" for text in column]
        for name, column in zip(names, columns, strict=True)
    )
    single = [";".join(filter(None, texts)) for texts in zip(*fields_of, strict=True)]
    lines = []
    for number, (_, fields) in enumerate(batch.rows):
        if not fields:
            continue
        first, end = borders[number], borders[number + 1]
        info = single[first]
        if end > first + 1:
            texts = [",".join(column[first:end]) for column in columns]
            pairs = zip(names, texts, strict=True)
            info = ";".join(f"{name}={text}" for name, text in pairs if text.strip(".,"))
        if fields[7] not in (".", ""):
            info = f"{fields[7]};{info}"
        lines.append("\t".join([*fields[:7], info, *(fields[8:] if whole else ())]))
    lines.append("")
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def _why_no_index(path: Path) -> str:
    if path.suffix == ".vcf":
        return "none: not compressed with bgzip (name it .vcf.gz)"
    return "none: the input is not sorted by contig and position"


def _index(temporary: Path, path: Path, found: VariantSurvey) -> tuple[Path, Path] | None:
    """Index a bgzip VCF if its records are sorted; return where the index is and belongs."""
    if path.suffix == ".vcf":
        return None
    tabix, csi = (path.with_name(f"{path.name}.{kind}") for kind in ("tbi", "csi"))
    for old in (tabix, csi):  # those of the file that is replaced
        old.unlink(missing_ok=True)
    if not found.is_sorted:
        return None
    far = found.last >= _TABIX_END
    partial = temporary.with_name(f"{temporary.name}.index")
    import_pysam(path).tabix_index(
        str(temporary), preset="vcf", force=True, csi=far, index=str(partial), keep_original=True
    )
    return partial, csi if far else tabix
