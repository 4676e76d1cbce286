"""Files of variants as rows: VCF (plain, gzip, bgzip), BCF, and tables with a header.

Which format a file has is decided by its content. Every row has the eight fixed columns of VCF
as text, positions 1-based. A malformed one has no columns: it is counted, never skipped.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, cast

import pandas as pd

from ssldata.base.errors import ConfigError, InputError, MissingInputError

Kind = Literal["vcf", "bcf", "tsv", "adastra", "alleledb"]

#: Number of the line, and its columns: CHROM POS ID REF ALT QUAL FILTER INFO, then what follows
#: them as one text (VCF), or the columns of the table. None at all: the row is malformed.
Row = tuple[int, list[str]]

FIXED = ("CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO")

#: Names of columns in tables, lower case, without the leading # of the first.
_NAMES = {
    "contig": ("chrom", "chr", "chromosome", "contig"),
    "position": ("pos", "position"),
    "id": ("id", "rsid", "name"),
    "ref": ("ref", "reference", "ref_allele"),
    "alt": ("alt", "alternative", "alternate", "alt_allele"),
}
ADASTRA = ("es_mean_ref", "es_mean_alt", "fdrp_bh_ref", "fdrp_bh_alt")
COUNTS = {"A": "ca", "C": "cc", "G": "cg", "T": "ct"}

#: Positions of VCF are 32-bit integers; other readers do not take larger ones.
_LAST_POSITION = 2**31 - 1

_GZIP_MAGIC = b"\x1f\x8b"
#: The empty block that ends every bgzip file (SAM specification, 4.1.2).
_BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_TAR_MAGIC, _TAR_MAGIC_AT = b"ustar", 257


class VariantRows:
    """A file of variants; it can be iterated more than once, and is read from its start each time.

    Parameters
    ----------
    path
        VCF, BCF, or a table with a header: chrom, pos, ref, alt in any order; ADASTRA's; AlleleDB's
        (0-based ``start``).
    factor
        Of an AlleleDB table: only rows of this factor. The others are counted in `others`.

    Attributes
    ----------
    kind
        ``vcf``, ``bcf``, ``tsv``, ``adastra`` or ``alleledb``.
    header
        Lines of the header without line ends: those of VCF, the last starts with ``#CHROM``; the
        one of a table.
    columns
        Of a table: names, lower case, as in the header.
    others
        Rows of other factors that the last pass left out.

    Raises
    ------
    MissingInputError
        No such file.
    InputError
        Neither VCF, BCF nor such a table; cut short; no rows of `factor`.
    ConfigError
        BCF without pysam; `factor` for a file that has none.
    """

    def __init__(self, path: Path | str, *, factor: str | None = None) -> None:
        self.path = Path(path)
        self.factor = factor
        self.others = 0
        self.kind, self.header = self._recognised()
        self.columns: list[str] = []
        if self.kind not in ("vcf", "bcf"):
            self.columns = self.header[0].lstrip("#").lower().split("\t")
        if factor is not None and self.kind != "alleledb":
            raise ConfigError(f"--factor {factor}: {path} is no AlleleDB table; leave it out")

    def __iter__(self) -> Iterator[Row]:
        if self.kind == "bcf":
            yield from self._bcf_rows()
        elif self.kind == "vcf":
            with self._lines() as lines:
                for number, line in enumerate(lines, start=1):
                    if number > len(self.header) and (text := line.rstrip("\r\n")):
                        yield _row(number, text.split("\t", len(FIXED)))
        else:
            yield from self._table_rows()

    @contextlib.contextmanager
    def _lines(self) -> Iterator[Iterator[str]]:
        """Yield the lines; bytes that are not UTF-8 come through unchanged."""
        with self._opened() as binary:
            yield io.TextIOWrapper(binary, "utf-8-sig", errors="surrogateescape", newline="\n")

    @contextlib.contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        if self.path.exists() and not self.path.is_file():
            raise InputError(
                f"{self.path}: is a folder or a pipe; expected a file of variants, which is read "
                "more than once"
            )
        try:
            with self.path.open("rb") as raw:
                packed = raw.read(2) == _GZIP_MAGIC
                if packed:
                    self._check_end(raw)
                raw.seek(0)
                if packed:
                    with gzip.open(raw) as unpacked:
                        yield cast(IO[bytes], unpacked)
                else:
                    yield raw
        except FileNotFoundError:
            raise MissingInputError(
                f"{self.path}: no such file; expected variants (VCF, BCF or a table)"
            ) from None
        except (EOFError, zlib.error, gzip.BadGzipFile) as exc:
            raise InputError(
                f"{self.path}: is cut short or damaged ({exc}); copy it again"
            ) from exc

    def _check_end(self, raw: io.BufferedReader) -> None:
        """Refuse a bgzip file that was cut between two of its blocks, which gzip cannot notice."""
        raw.seek(12)
        blocks = raw.read(2) == b"BC"
        raw.seek(0, io.SEEK_END)
        raw.seek(-min(raw.tell(), len(_BGZF_END)), io.SEEK_END)
        if blocks and raw.read() != _BGZF_END:
            raise InputError(f"{self.path}: bgzip without its last block: cut short; copy it again")

    def _recognised(self) -> tuple[Kind, list[str]]:
        with self._opened() as binary:
            start = binary.read(_TAR_MAGIC_AT + len(_TAR_MAGIC))
        if not start:
            raise InputError(f"{self.path}: is empty; expected variants (VCF, BCF or a table)")
        if start[:3] == b"BCF":
            with self._bcf() as file:
                return "bcf", str(file.header).splitlines()
        if start[_TAR_MAGIC_AT:] == _TAR_MAGIC:
            raise InputError(f"{self.path}: is a tar archive; unpack it, and name the table in it")
        with self._lines() as lines:
            if start.lstrip(b"\xef\xbb\xbf").startswith(b"##fileformat=VCF"):
                return "vcf", self._vcf_header(lines)
            header = next(lines).rstrip("\r\n")
        return self._table_kind(header), [header]

    def _vcf_header(self, lines: Iterator[str]) -> list[str]:
        header = []
        for number, line in enumerate(lines, start=1):
            header.append(line.rstrip("\r\n"))
            if line.startswith("##"):
                continue
            if header[-1].split("\t")[: len(FIXED)] == [f"#{FIXED[0]}", *FIXED[1:]]:
                return header
            raise InputError(
                f"{self.path}:{number}: expected the line '#CHROM POS ID REF ALT QUAL FILTER INFO' "
                f"separated by tabs, found {header[-1][:60]!r}"
            )
        raise InputError(f"{self.path}: a VCF header without its last line, '#CHROM …'")

    def _table_kind(self, header: str) -> Kind:
        names = header.lstrip("#").lower().split("\t")
        if {"start", "ref", "alt", *COUNTS.values()} <= {*names} and _place(names, "contig") >= 0:
            return "alleledb"
        missing = [key for key in ("contig", "position", "ref", "alt") if _place(names, key) < 0]
        if missing:
            raise InputError(
                f"{self.path}: neither VCF nor BCF, and as a table it has no column for "
                f"{', '.join(missing)}; expected a header with the tab-separated columns chrom, "
                f"pos (1-based), ref, alt, found {header[:60]!r}"
            )
        return "adastra" if {*ADASTRA} <= {*names} else "tsv"

    def _table_rows(self) -> Iterator[Row]:
        names = self.columns
        contig, ref, alt = (_place(names, key) for key in ("contig", "ref", "alt"))
        name = _place(names, "id")
        zero_based = self.kind == "alleledb"
        position = names.index("start") if zero_based else _place(names, "position")
        wanted = self._filter()
        self.others = 0
        with self._lines() as lines:
            next(lines)
            for number, line in enumerate(lines, start=2):
                if not (text := line.rstrip("\r\n")):
                    continue
                raw = text.split("\t")
                if len(raw) != len(names):
                    yield number, []
                elif not wanted(raw):
                    self.others += 1
                else:
                    at = _position(raw[position], zero_based=zero_based)
                    label = raw[name] if name >= 0 and raw[name] else "."
                    alleles = raw[alt].replace(";", ",")  # AlleleDB's way to list several
                    fixed = [raw[contig], at, label, raw[ref], alleles, ".", ".", "."]
                    yield _row(number, fixed + raw)

    def _filter(self) -> Callable[[Sequence[str]], bool]:
        if self.factor is None:
            return lambda raw: True
        # TF_indiv_ASB holds factor, individual and the kind of the table.
        place = next((i for i, name in enumerate(self.columns) if "_indiv_" in name), -1)
        if place < 0:
            raise InputError(f"{self.path}: no column TF_indiv_…; leave --factor out")
        start = f"{self.factor.lower()}_"
        return lambda raw: raw[place].lower().startswith(start)

    def _bcf(self) -> Any:
        pysam = import_pysam(self.path)
        before = pysam.set_verbosity(0)  # htslib would print that there is no index
        try:
            return pysam.VariantFile(str(self.path))
        except (OSError, ValueError) as exc:
            raise InputError(f"{self.path}: is cut short or damaged ({exc})") from exc
        finally:
            pysam.set_verbosity(before)

    def _bcf_rows(self) -> Iterator[Row]:
        with self._bcf() as file:
            try:
                for number, record in enumerate(file, start=1):
                    yield _row(number, str(record).rstrip("\n").split("\t", len(FIXED)))
            except (OSError, ValueError) as exc:
                raise InputError(f"{self.path}: is cut short or damaged ({exc})") from exc


def _row(number: int, fields: list[str]) -> Row:
    """Return a row, without its columns if these cannot be a variant."""
    if len(fields) >= len(FIXED):
        contig, position, _, ref, alt = fields[:5]
        if (
            contig
            and position.isdecimal()
            and position.isascii()
            and len(position) <= len(str(_LAST_POSITION))
            and int(position) <= _LAST_POSITION
            and ref
            and alt
            and not (alt[0] == "," or alt[-1] == "," or ",," in alt)
        ):
            return number, fields
    return number, []


@dataclass
class VariantSurvey:
    """What one pass over a file finds.

    Attributes
    ----------
    rows
        Their number.
    contigs
        Contig → rows, in the order of the file. Malformed rows do not count, here and below.
    last
        The largest position.
    is_sorted
        Each contig is in one piece, and its positions do not decrease.
    """

    rows: int = 0
    contigs: dict[str, int] = field(default_factory=dict)
    last: int = 0
    is_sorted: bool = True


def survey(variants: Iterable[Row]) -> VariantSurvey:
    """Read all rows once."""
    found = VariantSurvey()
    contig, before = "", 0
    for _, fields in variants:
        found.rows += 1
        if not fields:
            continue
        position = int(fields[1])
        if fields[0] != contig:
            contig, before = fields[0], 0
            found.is_sorted &= contig not in found.contigs
            found.contigs.setdefault(contig, 0)
        found.is_sorted &= position >= before
        found.contigs[contig] += 1
        found.last = max(found.last, position)
        before = position
    return found


def rows_of_frame(table: pd.DataFrame) -> list[Row]:
    """Return the rows of a data frame with the columns chrom, pos (1-based), ref, alt.

    Raises
    ------
    InputError
        A column is missing.
    """
    names = [str(name).lower() for name in table.columns]
    missing = [key for key in ("contig", "position", "ref", "alt") if _place(names, key) < 0]
    if missing:
        raise InputError(
            f"variants: no column for {', '.join(missing)}; expected chrom, pos (1-based), ref, "
            f"alt, found {', '.join(names)}"
        )
    columns = (table.iloc[:, _place(names, key)] for key in ("contig", "position", "ref", "alt"))
    rows = zip(*(column.astype(str) for column in columns), strict=True)
    return [
        _row(number, [contig, _position(at, zero_based=False), ".", ref, alt, ".", ".", "."])
        for number, (contig, at, ref, alt) in enumerate(rows, start=1)
    ]


def _place(names: Sequence[str], key: str) -> int:
    """Return the column of one of the names of `key`, −1 when there is none."""
    return next((names.index(name) for name in _NAMES[key] if name in names), -1)


def _position(text: str, *, zero_based: bool) -> str:
    """Return a 1-based position as VCF writes it; what is no whole number is left as it is."""
    # Python also reads 1_000 and digits of other scripts.
    try:
        value = float(text) + zero_based if text.isascii() and "_" not in text else math.nan
    except ValueError:
        return text
    return str(int(value)) if value.is_integer() and value >= 0 else text


def import_pysam(path: Path) -> Any:
    """Return pysam, which reads and writes `path`, or say how to install it."""
    try:
        import pysam
    except ImportError:
        raise ConfigError(
            f"{path}: BCF, bgzip and their indices need pysam; pip install 'crosslabel[variants]'"
        ) from None
    return pysam
