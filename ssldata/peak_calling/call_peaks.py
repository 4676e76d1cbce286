"""Reads → MACS3 → a file of peaks, entered in a project as an experiment."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ssldata.base.errors import ConfigError, InputError, MissingInputError
from ssldata.base.files import (
    digest_of,
    sha256_of,
    write_json_atomic,
    write_text_atomic,
)
from ssldata.base.locks import exclusive_lock
from ssldata.base.progress import NoProgress, Progress
from ssldata.base.text_file import bed_rows, read_text
from ssldata.base.versions import VERSION
from ssldata.building.build_inputs import open_labelled
from ssldata.genomes.genome import Genome
from ssldata.peak_calling.macs_command import NAMED_SIZES, MacsSettings, ReadFormat, macs_arguments
from ssldata.peak_calling.read_files import on_genome, read_contigs, shared_format
from ssldata.project.entry_list import EntryList
from ssldata.project.project_file import Project, load_project
from ssldata.rows.intervals import read_peaks

#: Folder of called peaks, in that of the project.
FOLDER = "peaks"
_INSTALL = "pip install 'crosslabel[peaks]', or conda install -c bioconda macs3"


def call_peaks(
    project: Path | str,
    *,
    name: str,
    treatment: Sequence[Path],
    control: Sequence[Path] = (),
    settings: MacsSettings | None = None,
    format: ReadFormat | None = None,
    genome_size: int | str | None = None,
    blacklist: Path | None = None,
    macs: Path | str | None = None,
    replace: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Call the peaks of one experiment and enter them in the project file.

    The same inputs, settings and release of MACS3 are not called again. The peaks are put into
    ``peaks/NAME.narrowPeak`` (or ``.broadPeak``) beside the project file, with a record of what
    made them, ``peaks/NAME.json``; both appear whole or not at all.

    Parameters
    ----------
    project
        The project file, or its folder.
    name
        Of the experiment.
    treatment, control
        Files of reads: BAM, or BED plain or packed by gzip.
    settings
        Default: those of the preset ``chip-tf``.
    format
        Of the files; None: by their content.
    genome_size
        Effective genome size in bases, or a name that MACS3 knows. None: the bases of the labelled
        genome that are not N.
    blacklist
        BED of regions; peaks that overlap one are left out, and counted.
    macs
        The program; None: ``macs3`` beside this Python, else on PATH.
    replace
        Overwrite peaks that were called from other inputs or settings, and an experiment of this
        name that has other peaks.
    dry_run
        Check the inputs and return the command; run and write nothing.
    progress
        Reports the steps.

    Returns
    -------
    dict
        ``experiment``, ``peaks`` (the path), ``called`` (False: was up to date), ``command``,
        ``counts``: ``reads``, ``control_reads``, ``on_genome`` (treatment reads on contigs of the
        genome), ``peaks``, ``blacklisted``; ``entered``: whether the project file changed.

    Raises
    ------
    MissingInputError
        A file or the program is missing.
    InputError
        Reads are damaged, of another assembly or format; MACS3 fails, or finds no peak.
    ConfigError
        Settings contradict each other, or there are other peaks of this name.
    """
    loaded = load_project(project)
    if loaded.file is None:
        raise ConfigError(f"{project}: peaks are entered in a project file; this has none")
    settings = settings or MacsSettings()
    progress = progress or NoProgress()
    _check_names(loaded, name, treatment, control)
    genome = open_labelled(loaded)
    program = _program(macs)
    with progress.task("reading reads", len(treatment) + len(control)) as advance:
        read = []
        for path in (*treatment, *control):
            read.append(read_contigs(path, format=format))
            advance(1)
    kind = shared_format(read)
    cases, controls = read[: len(treatment)], read[len(treatment) :]
    aliases = loaded.reference.aliases
    counts = {
        "reads": sum(reads.reads for reads in cases),
        "control_reads": sum(reads.reads for reads in controls),
        "on_genome": on_genome(cases, genome.names, aliases),
    }
    if controls:
        on_genome(controls, genome.names, aliases)
    bases = int(genome.sizes.sum())
    size = _genome_size(genome) if genome_size is None else _checked_size(genome_size, bases)
    black = {} if blacklist is None else _regions(blacklist, genome, aliases)
    shared: dict[str, Any] = {"name": name, "format": kind, "genome_size": size}
    command = [
        "macs3",
        *macs_arguments(settings, **shared, treatment=treatment, control=control, folder="FOLDER"),
    ]
    folder = loaded.file.parent / FOLDER
    out = (folder / f"{name}.{settings.suffix}").absolute()
    entries = EntryList(loaded.file, "experiments", ("peaks",))
    listed = entries.find(name) or {"name": name}
    if not replace and "peaks" in listed and Path(listed["peaks"]) != out:
        raise ConfigError(
            f"{loaded.file}: has another experiment {name!r}, with the peaks {listed['peaks']}; "
            "pass --replace or choose another name"
        )
    value: dict[str, Any] = {
        "experiment": name,
        "peaks": str(out),
        "format": kind,
        "command": command,
        "counts": counts,
    }
    if dry_run:
        return {**value, "called": False, "entered": False, "dry_run": True}
    version = _version(program)
    made_by = {
        "treatment": [sha256_of(path) for path in treatment],
        "control": [sha256_of(path) for path in control],
        "arguments": macs_arguments(settings, **shared, treatment=[], folder=""),
        "blacklist": None if blacklist is None else sha256_of(blacklist),
        "macs3": version,
    }
    digest = digest_of(made_by)
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(folder):
        record = _record(folder / f"{name}.json")
        called = not _up_to_date(record, digest, out)
        if called and not replace and (record or out.exists()):
            raise ConfigError(
                f"{out}: these peaks were called from other reads, settings or another release of "
                "MACS3, or were changed since; pass --replace or choose another name"
            )
        if called:
            with progress.task(f"{name}: macs3 callpeak", None):
                text = _called(
                    program, settings, treatment=treatment, control=control, beside=folder, **shared
                )
            kept, counts["blacklisted"] = _without(text, black, aliases)
            counts["peaks"] = len(kept)
            if not kept:
                raise InputError(
                    f"{name}: MACS3 found no peak"
                    + (f" outside {blacklist}" if counts["blacklisted"] else "")
                    + "; are treatment and control exchanged, or is the cutoff too strict?"
                )
            write_text_atomic(out, "".join(f"{line}\n" for line in kept))
            record = {
                "digest": digest,
                "sha256": sha256_of(out),
                "made_by": made_by,
                "files": [path.name for path in (*treatment, *control)],
                "counts": counts,
                "crosslabel": VERSION,
            }
            write_json_atomic(folder / f"{name}.json", record)
        counts.update(record["counts"])
        # Read as a build will: contigs, ends, summits.
        read_peaks(out, names=genome.names, sizes=genome.sizes, aliases=aliases)
        # What else the entry says (width, motif) stays.
        entered = entries.enter({**listed, "peaks": str(out)}, replace=replace)
    return {**value, "called": called, "entered": entered}


def _check_names(
    project: Project, name: str, treatment: Sequence[Path], control: Sequence[Path]
) -> None:
    if not treatment:
        raise ConfigError("treatment: name at least one file of reads")
    seen: set[Path] = set()
    for path in (*treatment, *control):
        if path.resolve() in seen:
            raise ConfigError(f"{path}: is named twice among treatment and control")
        seen.add(path.resolve())
    if project.of_sequences:
        raise ConfigError(f"{project.file}: its experiments are tables of sequences, not peaks")
    if not name or not all(c.isalnum() or c in "._-" for c in name) or name[0] in ".-":
        raise ConfigError(
            f"name: expected letters, digits, '.', '_' and '-', found {name!r}; it names files"
        )


def _program(given: Path | str | None) -> str:
    if given is not None:
        found = shutil.which(str(given))
        if found is None:
            raise MissingInputError(f"{given}: no such program")
        return found
    beside = shutil.which("macs3", path=str(Path(sys.executable).parent))
    found = beside or shutil.which("macs3")
    if found is None:
        raise MissingInputError(f"macs3 is not installed: {_INSTALL}")
    return found


def _version(program: str) -> str:
    try:
        said = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=120, check=True
        )
    except (OSError, subprocess.SubprocessError) as exc:
        raise InputError(f"{program}: cannot be run: {exc}; {_INSTALL}") from None
    return (said.stdout or said.stderr).strip()


def _checked_size(value: int | str, bases: int) -> int | str:
    if isinstance(value, str) and value not in NAMED_SIZES:
        try:
            value = int(float(value))
        except (ValueError, OverflowError):
            raise ConfigError(
                f"genome_size: expected a number of bases or one of {', '.join(NAMED_SIZES)}, "
                f"found {value!r}"
            ) from None
    if not isinstance(value, str) and not 1 <= value <= bases:
        raise ConfigError(
            f"genome_size: expected a number of bases from 1 to the {bases:,} of the labelled "
            f"genome, found {value:g}"
        )
    return value


def _genome_size(genome: Genome) -> int:
    """Return the number of bases that are not N."""
    unknown = 0
    for contig in range(len(genome.names)):
        starts, ends = genome.n_runs(contig)
        unknown += int(np.sum(ends - starts))
    return int(genome.sizes.sum()) - unknown


def _record(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        return {"digest": None}
    return value if isinstance(value, dict) else {"digest": None}


def _up_to_date(record: dict[str, Any], digest: str, out: Path) -> bool:
    return (
        record.get("digest") == digest and out.is_file() and record.get("sha256") == sha256_of(out)
    )


def _called(
    program: str,
    settings: MacsSettings,
    *,
    name: str,
    format: ReadFormat,
    genome_size: int | str,
    treatment: Sequence[Path],
    control: Sequence[Path],
    beside: Path,
) -> str:
    """Run MACS3 in a folder of its own and return the text of its peaks."""
    with tempfile.TemporaryDirectory(prefix=".macs3-", dir=beside) as folder:
        arguments = macs_arguments(
            settings,
            name=name,
            format=format,
            genome_size=genome_size,
            treatment=[path.absolute() for path in treatment],
            control=[path.absolute() for path in control],
            folder=folder,
        )
        try:
            done = subprocess.run(
                [program, *arguments, "--tempdir", folder],
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
            )
        except OSError as exc:
            raise InputError(f"{program}: cannot be run: {exc}; {_INSTALL}") from None
        if done.returncode:
            raise InputError(f"{name}: macs3 failed ({done.returncode}): {_reason(done.stderr)}")
        path = Path(folder) / f"{name}_peaks.{settings.suffix}"
        if not path.is_file():
            raise InputError(f"{name}: macs3 wrote no {path.name}: {_reason(done.stderr)}")
        return path.read_text()


def _reason(log: str) -> str:
    """Return the line of MACS3's log that says why it ended."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    # MACS3's own errors, and not the advice that follows them.
    telling = [line for line in lines if "ERROR" in line or "Error" in line or "CRITICAL" in line]
    reason = (telling or lines or ["it printed nothing"])[-1]
    if "build the model" in log or "not enough paired peaks" in log.lower():
        reason += "; too few reads to estimate the fragment length: pass --nomodel --extsize 200"
    return reason


def _regions(
    blacklist: Path, genome: Genome, aliases: Mapping[str, str]
) -> dict[str, list[tuple[int, int]]]:
    """Return the regions of a blacklist by contig."""
    regions: dict[str, list[tuple[int, int]]] = {}
    for number, fields in bed_rows(read_text(blacklist), where=str(blacklist)):
        try:
            contig, region = fields[0], (int(fields[1]), int(fields[2]))
        except (ValueError, IndexError):
            raise InputError(
                f"{blacklist}, line {number}: expected contig, start and end"
            ) from None
        regions.setdefault(aliases.get(contig, contig), []).append(region)
    if not any(name in regions for name in genome.names):
        raise InputError(
            f"{blacklist}: no region is on a contig of the labelled genome "
            f"({', '.join(genome.names[:3])}, …); is it of another assembly?"
        )
    return regions


def _without(
    text: str, black: Mapping[str, list[tuple[int, int]]], aliases: Mapping[str, str]
) -> tuple[list[str], int]:
    """Return the lines of peaks that overlap no region of a blacklist, and how many do."""
    lines = [line for line in text.splitlines() if line.strip()]
    kept = []
    for line in lines:
        contig, start, end = line.split("\t")[:3]
        near = black.get(aliases.get(contig, contig), ())
        if not any(first < int(end) and int(start) < last for first, last in near):
            kept.append(line)
    return kept, len(lines) - len(kept)
