"""The Prefect flow that calls peaks from reads."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.prefect_flows.prefect_runtime import advises_parameters, run_name, step
from ssldata.base.files import expanded
from ssldata.peak_calling.call_peaks import call_peaks
from ssldata.peak_calling.macs_command import ReadFormat, chosen_settings


@flow(
    name="crosslabel-peaks",
    flow_run_name=run_name("call peaks of {name} for {project}"),
    persist_result=False,
)
@advises_parameters
def peaks(
    project: str,
    name: str,
    treatment: list[str],
    control: list[str] | None = None,
    preset: str = "chip-tf",
    format: ReadFormat | None = None,
    genome_size: int | str | None = None,
    blacklist: str | None = None,
    replace: bool = False,
) -> dict[str, Any]:
    """Call the peaks of one experiment with MACS3 and enter them in the project.

    Parameters
    ----------
    project
        The project file, or its folder.
    name
        Of the experiment.
    treatment
        Files of reads, BAM or BED.
    control
        Files of reads of input DNA or IgG.
    preset
        Kind of experiment: chip-tf, chip-histone or atac.
    format
        BAM, BED, BAMPE or BEDPE; by the content unless it is given.
    genome_size
        Effective genome size in bases; all bases but N unless it is given.
    blacklist
        BED of regions whose peaks are left out.
    replace
        Overwrite peaks that were called from other reads or settings.

    Returns
    -------
    dict
        See ssldata.peak_calling.call_peaks.call_peaks.
    """
    value: dict[str, Any] = step(
        "call-peaks",
        name,
        lambda: call_peaks(
            expanded(project),
            name=name,
            treatment=[expanded(path) for path in treatment],
            control=[expanded(path) for path in control or []],
            settings=chosen_settings(preset),
            format=format,
            genome_size=genome_size,
            blacklist=None if blacklist is None else expanded(blacklist),
            replace=replace,
        ),
    )
    return value
