"""Files of reads, looked through before MACS3 gets them: format, contigs, damage.

MACS3 ends with a traceback on a damaged file, and silently leaves out contigs it knows nothing of;
both are found here, with one line to say so.
"""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ssldata.base.errors import ConfigError, InputError, MissingInputError
from ssldata.base.text_file import streamed_lines, whole_number
from ssldata.peak_calling.macs_command import ReadFormat

_BAM = b"BAM\1"
_HEADER = ("#", "track", "browser")


@dataclass(frozen=True)
class Reads:
    """What one file of reads holds.

    Parameters
    ----------
    path
        The file.
    format
        BAMPE if the first mapped read of a BAM is paired; BEDPE if the lines of a BED have no
        strand, which is column 6.
    contigs
        Contig → reads (of a paired BAM: mapped first reads; of BEDPE: fragments).
    """

    path: Path
    format: ReadFormat
    contigs: Mapping[str, int]

    @property
    def reads(self) -> int:
        """All reads of the file that are mapped."""
        return sum(self.contigs.values())


def read_contigs(path: Path, *, format: ReadFormat | None = None) -> Reads:
    """Look through a file of reads.

    Parameters
    ----------
    path
        BAM, or BED plain or packed.
    format
        What the file is; None: see :class:`Reads`.

    Raises
    ------
    MissingInputError
        No such file; or it is BAM, and pysam, which reads it, is not installed.
    InputError
        The file is damaged, cut short, of another format, or has no mapped read.
    """
    if not path.is_file():
        raise MissingInputError(f"{path}: no such file of reads")
    found = _bam(path, format) if _is_bam(path) else _bed(path, format)
    if not found.reads:
        raise InputError(f"{path}: no mapped read in the file")
    return found


def _is_bam(path: Path) -> bool:
    try:
        with path.open("rb") as raw:
            start = raw.read(4)
        if start == b"CRAM":
            raise InputError(f"{path}: CRAM is not read by MACS3; convert it: samtools view -b")
        if start[:2] != b"\x1f\x8b":
            return False
        with gzip.open(path) as handle:
            return handle.read(4) == _BAM
    except (OSError, EOFError, zlib.error) as exc:
        raise InputError(f"{path}: damaged: {exc}") from None


def _bam(path: Path, format: ReadFormat | None) -> Reads:
    if format in ("BED", "BEDPE"):
        raise InputError(f"{path}: is a BAM file, but --format says {format}")
    try:
        import pysam
    except ImportError:
        raise MissingInputError(
            f"{path}: reading BAM needs pysam: pip install 'crosslabel[peaks]'"
        ) from None
    contigs: Counter[str] = Counter()
    paired: bool | None = None
    # htslib says on stderr what the exception does not.
    before = pysam.set_verbosity(0)
    try:
        with pysam.AlignmentFile(str(path), "rb", check_sq=False) as bam:
            names = bam.references
            for read in cast("Iterator[Any]", bam.fetch(until_eof=True)):
                if read.is_unmapped or read.is_secondary or read.is_supplementary:
                    continue
                if paired is None:
                    paired = read.is_paired
                if not (format or ("BAMPE" if paired else "BAM")).endswith("PE") or read.is_read1:
                    contigs[names[read.reference_id]] += 1
    except (OSError, ValueError) as exc:
        text = str(exc) or "the file is cut short or damaged"
        raise InputError(f"{path}: {text.splitlines()[0]}") from None
    finally:
        pysam.set_verbosity(before)
    if format == "BAMPE" and paired is False:
        raise InputError(f"{path}: its reads are not paired, but --format says BAMPE")
    return Reads(path, format or ("BAMPE" if paired else "BAM"), contigs)


def _bed(path: Path, format: ReadFormat | None) -> Reads:
    if format in ("BAM", "BAMPE"):
        raise InputError(f"{path}: is no BAM file, but --format says {format}")
    contigs: Counter[str] = Counter()
    for number, line in streamed_lines(path):
        if not line.strip() or line.startswith(_HEADER):
            continue
        fields = line.split("\t") if "\t" in line else line.split()
        where = f"{path}, line {number}"
        if format is None:
            format = "BED" if len(fields) >= 6 else "BEDPE"
        needed = 6 if format == "BED" else 3
        if len(fields) < needed:
            raise InputError(
                f"{where}: expected {needed} columns or more ({format}), found {len(fields)}; "
                "is the file one of reads?"
            )
        try:
            start, end = whole_number(fields[1], "start"), whole_number(fields[2], "end")
        except ValueError as exc:
            raise InputError(f"{where}: {exc}") from None
        if not 0 <= start < end:
            raise InputError(f"{where}: a read from {start} to {end} has no bases")
        if format == "BED" and fields[5].strip() not in ("+", "-"):
            raise InputError(
                f"{where}: expected + or - in column 6, the strand, found {fields[5]!r}"
            )
        contigs[fields[0]] += 1
    return Reads(path, format or "BED", contigs)


def shared_format(files: Sequence[Reads]) -> ReadFormat:
    """Return the format of all files, which MACS3 is given once.

    Raises
    ------
    ConfigError
        The files differ.
    """
    formats = {reads.format: reads.path for reads in files}
    if len(formats) > 1:
        listed = ", ".join(f"{path.name} {name}" for name, path in formats.items())
        raise ConfigError(
            f"MACS3 reads files of one format at a time, found {listed}; convert them, or say "
            "with --format that paired ends are to be read as single ones"
        )
    return next(iter(formats))


def on_genome(files: Sequence[Reads], names: Sequence[str], aliases: Mapping[str, str]) -> int:
    """Return how many reads lie on contigs of a genome.

    Raises
    ------
    InputError
        None of one file's reads does.
    """
    known = {*names, *aliases}
    total = 0
    for reads in files:
        inside = sum(count for name, count in reads.contigs.items() if name in known)
        if not inside:
            listed = ", ".join(list(reads.contigs)[:3])
            raise InputError(
                f"{reads.path}: none of its {reads.reads:,} reads is on a contig of the labelled "
                f"genome: the file has {listed}, the genome has {', '.join(list(names)[:3])}; map "
                "the names under 'reference.aliases', or align the reads to this assembly"
            )
        total += inside
    return total
