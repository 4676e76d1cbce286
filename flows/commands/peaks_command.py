"""``crosslabel peaks``: peaks called from reads by MACS3, entered as an experiment."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from flows.options.shared_options import ProjectPath, Replace, command
from flows.output.console import Console


class ReadKind(StrEnum):
    """Formats of files of reads."""

    auto = "auto"
    bam = "BAM"
    bed = "BED"
    bampe = "BAMPE"
    bedpe = "BEDPE"


class PeakPreset(StrEnum):
    """Kinds of experiments."""

    chip_tf = "chip-tf"
    chip_histone = "chip-histone"
    atac = "atac"


def register(app: typer.Typer) -> None:
    """Add the command of this module to `app`."""
    command(app)(peaks)


def peaks(
    console: Console,
    project: ProjectPath,
    *,
    name: Annotated[str, typer.Option(help="Of the experiment, for example CTCF.")],
    treatment: Annotated[
        list[Path],
        typer.Option(
            "--treatment", "-t", metavar="FILE", help="Reads: BAM or BED(.gz); may be repeated."
        ),
    ],
    control: Annotated[
        list[Path] | None,
        typer.Option(
            "--control", "-c", metavar="FILE", help="Reads of input DNA or IgG; may be repeated."
        ),
    ] = None,
    preset: Annotated[
        PeakPreset,
        typer.Option(
            help="chip-tf: MACS3's defaults, narrow peaks; chip-histone: broad peaks; atac: 150 b "
            "centred on cut sites (single ends: --nomodel --shift -75 --extsize 150), duplicates "
            "kept."
        ),
    ] = PeakPreset.chip_tf,
    format: Annotated[
        ReadKind,
        typer.Option(help="BAMPE, BEDPE: whole fragments of paired ends. auto: by the content."),
    ] = ReadKind.auto,
    genome_size: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Effective genome size in bases, or hs, mm, ce, dm. Default: all bases of the "
            "labelled genome but N.",
        ),
    ] = None,
    broad: Annotated[bool, typer.Option("--broad", help="Broad peaks.")] = False,
    qvalue: Annotated[
        float | None, typer.Option("--qvalue", "-q", help="False discovery rate; MACS3: 0.05.")
    ] = None,
    pvalue: Annotated[
        float | None, typer.Option("--pvalue", "-p", help="Cutoff of p in place of q.")
    ] = None,
    nomodel: Annotated[
        bool,
        typer.Option("--nomodel", help="Do not estimate the fragment length; see --extsize."),
    ] = False,
    extsize: Annotated[
        int | None, typer.Option(metavar="N", help="With --nomodel: extend reads to N bases.")
    ] = None,
    shift: Annotated[
        int | None, typer.Option(metavar="N", help="With --nomodel: move reads by N bases.")
    ] = None,
    keep_dup: Annotated[
        str | None,
        typer.Option(
            metavar="N", help="Reads kept at one place and strand: a number, auto or all; MACS3: 1."
        ),
    ] = None,
    blacklist: Annotated[
        Path | None,
        typer.Option(metavar="BED", help="Leave out peaks that overlap these regions."),
    ] = None,
    macs: Annotated[
        Path | None, typer.Option(metavar="PROGRAM", help="Default: macs3, as installed.")
    ] = None,
    replace: Replace = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check the reads and print the command; write nothing."),
    ] = False,
) -> None:
    """Call peaks from reads with MACS3, and enter them in the project as an experiment.

    The reads are looked through first: format, damage, contigs that the labelled genome lacks.
    Peaks go to peaks/NAME.narrowPeak (or .broadPeak) beside the project file, with a record of
    what made them. The same inputs and settings are not called again.

    Example: `crosslabel peaks my-project --name CTCF -t rep1.bam -t rep2.bam -c input.bam`
    """
    from ssldata.peak_calling.call_peaks import call_peaks
    from ssldata.peak_calling.macs_command import ReadFormat, chosen_settings

    settings = chosen_settings(
        preset.value,
        broad=broad or None,
        qvalue=qvalue,
        pvalue=pvalue,
        nomodel=nomodel or None,
        extsize=extsize,
        shift=shift,
        keep_dup=keep_dup,
    )
    value: dict[str, Any] = call_peaks(
        project,
        name=name,
        treatment=treatment,
        control=control or [],
        settings=settings,
        format=None if format is ReadKind.auto else cast("ReadFormat", format.value),
        genome_size=genome_size,
        blacklist=blacklist,
        macs=macs,
        replace=replace,
        dry_run=dry_run,
        progress=console,
    )
    counts = value["counts"]
    inside = f"{counts['on_genome']:,} on contigs of the genome"
    lines = [
        f"reads: {counts['reads']:,} ({value['format']}), {inside}",
        f"reads of the control: {counts['control_reads']:,}",
    ]
    if dry_run:
        lines.append(" ".join(value["command"]))
    else:
        state = "called" if value["called"] else "up to date"
        left_out = f", {counts['blacklisted']:,} in the blacklist" if blacklist else ""
        lines.append(f"peaks: {counts['peaks']:,}{left_out}, {state}: {value['peaks']}")
        if value["entered"]:
            lines.append(f"experiment {name} entered in the project file")
    console.result(value, *lines)
