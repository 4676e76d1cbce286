"""The command line of MACS3 that a choice of settings stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ssldata.base.errors import ConfigError

ReadFormat = Literal["BAM", "BED", "BAMPE", "BEDPE"]
Preset = Literal["chip-tf", "chip-histone", "atac"]

#: Effective genome sizes that MACS3 knows by name.
NAMED_SIZES = ("hs", "mm", "ce", "dm")


@dataclass(frozen=True)
class MacsSettings:
    """What is chosen of MACS3; everything else is its default.

    Parameters
    ----------
    broad
        Broad peaks: significant regions that are linked where the signal between them is weaker
        (``--broad-cutoff`` .1).
    qvalue, pvalue
        Cutoff of peaks; at most one of them. Neither: MACS3's default, q = .05.
    nomodel, extsize, shift
        No estimate of the fragment length: reads are moved by `shift` bases along their strand
        and extended to `extsize` bases.
    keep_dup
        Reads kept of those at one place and strand: ``auto``, ``all`` or a number. MACS3's default
        is 1.
    """

    broad: bool = False
    qvalue: float | None = None
    pvalue: float | None = None
    nomodel: bool = False
    extsize: int | None = None
    shift: int | None = None
    keep_dup: str | None = None

    def __post_init__(self) -> None:
        """Refuse combinations that MACS3 would ignore."""
        if self.qvalue is not None and self.pvalue is not None:
            raise ConfigError("qvalue and pvalue: give one of them")
        for name, value in (("qvalue", self.qvalue), ("pvalue", self.pvalue)):
            if value is not None and not 0 < value <= 1:
                raise ConfigError(f"{name}: expected a number above 0, up to 1, found {value}")
        if not self.nomodel and (self.extsize is not None or self.shift is not None):
            raise ConfigError(
                "extsize and shift: MACS3 ignores them unless nomodel is set, as it estimates "
                "the fragment length from the reads"
            )
        if self.extsize is not None and self.extsize < 1:
            raise ConfigError(f"extsize: expected a number of bases above 0, found {self.extsize}")
        if self.keep_dup not in (None, "auto", "all") and not (
            str(self.keep_dup).isascii() and str(self.keep_dup).isdigit()
        ):
            raise ConfigError(
                f"keep_dup: expected auto, all or a number of reads, found {self.keep_dup!r}"
            )

    @property
    def suffix(self) -> str:
        """The ending of the file of peaks that MACS3 writes with these settings."""
        return "broadPeak" if self.broad else "narrowPeak"


#: Settings for kinds of experiments. ``chip-tf`` is what `macs3 callpeak` does by itself: the paper
#: (Phan et al. 2024) says that peaks were called with macs3 and names no option. The others are
#: MACS3's own advice for broad marks, and ENCODE's for cut sites of ATAC-seq (reads moved so that
#: 150 b are centred on the cut; duplicates kept, as they were marked before or are real cuts).
PRESETS: dict[str, MacsSettings] = {
    "chip-tf": MacsSettings(),
    "chip-histone": MacsSettings(broad=True),
    "atac": MacsSettings(nomodel=True, shift=-75, extsize=150, keep_dup="all"),
}


def macs_arguments(
    settings: MacsSettings,
    *,
    name: str,
    format: ReadFormat,
    genome_size: int | str,
    treatment: Sequence[Path | str],
    control: Sequence[Path | str] = (),
    folder: Path | str,
) -> list[str]:
    """Return the arguments of ``macs3`` for one call of peaks.

    Parameters
    ----------
    settings
        What is chosen.
    name
        Of the experiment; MACS3 puts it before the number of each peak.
    format
        Of all files of reads. With BAMPE and BEDPE fragments are known, and nothing is estimated,
        moved or extended.
    genome_size
        Effective genome size in bases, or a name that MACS3 knows (:data:`NAMED_SIZES`).
    treatment, control
        Files of reads.
    folder
        Where MACS3 writes.

    Raises
    ------
    ConfigError
        `shift` with paired-end reads, which have no cut to move.
    """
    paired = format.endswith("PE")
    if paired and settings.nomodel and settings != PRESETS["atac"]:
        raise ConfigError(
            f"nomodel, extsize and shift: {format} has whole fragments, which MACS3 neither moves "
            f"nor extends; leave these options out, or say --format {format.removesuffix('PE')} "
            "to use single ends"
        )
    arguments = ["callpeak", "-t", *map(str, treatment)]
    if control:
        arguments += ["-c", *map(str, control)]
    arguments += ["-f", format, "-g", str(genome_size), "-n", name, "--outdir", str(folder)]
    if settings.broad:
        arguments.append("--broad")
    if settings.qvalue is not None:
        arguments += ["-q", f"{settings.qvalue:g}"]
    if settings.pvalue is not None:
        arguments += ["-p", f"{settings.pvalue:g}"]
    if settings.nomodel and not paired:
        arguments.append("--nomodel")
        if settings.shift is not None:
            arguments += ["--shift", str(settings.shift)]
        if settings.extsize is not None:
            arguments += ["--extsize", str(settings.extsize)]
    if settings.keep_dup is not None:
        arguments += ["--keep-dup", settings.keep_dup]
    return [*arguments, "--seed", "0"]


def chosen_settings(preset: str, **given: bool | float | int | str | None) -> MacsSettings:
    """Return the settings of a preset, with those that are given (not None) in place of its own.

    Raises
    ------
    ConfigError
        No such preset, or settings that contradict each other.
    """
    if preset not in PRESETS:
        raise ConfigError(f"preset: expected one of {', '.join(PRESETS)}, found {preset!r}")
    changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    return replace(PRESETS[preset], **changes)
