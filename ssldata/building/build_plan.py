"""Plan a build: read and check the inputs, write nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ssldata.base.errors import MissingInputError
from ssldata.building.build_inputs import TargetInputs, open_inputs, open_labelled, open_target
from ssldata.building.rough_plan import assumptions, expected_rows
from ssldata.building.store_inputs import experiments_of, path_of_store, store_names
from ssldata.liftover.lift_result import Status
from ssldata.project.project_file import Experiment, Project
from ssldata.rows.lifted_negatives import SURPLUS, lifts_negatives, negatives_needed
from ssldata.rows.reference_rows import ReferenceRows
from ssldata.rows.splits import TRAIN
from ssldata.store.store import COMPLETE, HOMOLOGUES, REFERENCE, YANKED, read_root_attributes
from ssldata.store.store_writer import CHUNKS_PER_SHARD, chunk_rows

#: Bytes per stored base: one-hot (zstd, bitshuffle) and its twin of codes (lz4, bitshuffle).
_BYTES_PER_BASE = {"sequence": 0.26, "codes": 0.255}
#: Bytes per row of all columns together, compressed.
_BYTES_PER_ROW = 12
#: Resident size of a worker process without rows: Python, the libraries and their compiled kernels
#: (312 MB measured), and a tenth more.
WORKER_BYTES = 345_000_000


@dataclass(frozen=True)
class Step:
    """One group of one store.

    Attributes
    ----------
    store, group
        The store, and the group within it.
    status
        ``missing`` (to be built), ``complete`` (nothing to do), ``stale`` (inputs or settings
        changed; needs ``--replace``), ``partial`` (an earlier build was interrupted; will be
        finished), ``yanked`` (kept, not read; ``store unyank`` restores it).
    rows
        Expected rows: exact for the reference, from the lifted intervals for a genome. None when
        an input is missing.
    bytes
        Expected size on disk, from measured compression.
    positives, test
        Of `rows`, the training rows with label 1, and the test rows.
    assumed
        The rows are estimated from :attr:`Plan.assumptions`, because inputs are missing.
    """

    store: str
    group: str
    status: str
    rows: int | None
    bytes: int | None
    positives: int | None = None
    test: int | None = None
    assumed: bool = False


@dataclass(frozen=True)
class Plan:
    """What ``crosslabel plan`` prints: the steps of a build, and what it needs.

    ``notes`` are lines about input that is left out or clipped.
    """

    project: str
    stores: str
    steps: list[Step] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    memory_per_worker: int = 0
    assumptions: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as JSON-able values."""
        return asdict(self)


def memory_per_worker(project: Project) -> int:
    """Return the bytes a worker needs, whatever the number of rows.

    They hold the libraries; the base codes of one shard, twice while they are cut from the
    genome; and two chunks of one-hot with their compressed forms. A test measures it.
    """
    return memory_for(project.windows.stored)


def memory_for(length: int) -> int:
    """Return :func:`memory_per_worker` for rows of `length` stored bases."""
    codes = chunk_rows(length) * CHUNKS_PER_SHARD * length
    return WORKER_BYTES + 2 * codes + 4 * (codes // CHUNKS_PER_SHARD * 4)


def missing_inputs(project: Project) -> list[Path]:
    """Return the input files of the project that do not exist."""
    named = [
        *([] if project.of_sequences else [project.reference.sequence]),
        *(path for experiment in project.experiments for path in _labels_of(experiment)),
        *(path for genome in project.genomes for path in (genome.sequence, genome.chain)),
    ]
    return [path for path in dict.fromkeys(named) if not path.is_file()]


def _labels_of(experiment: Experiment) -> list[Path]:
    """Return the files that give the labels of an experiment, and its own splits."""
    if experiment.peaks is not None:
        return [experiment.peaks]
    table = experiment.sequences
    assert table is not None
    splits = table.splits
    named = [table.file, table.labels, splits.train, splits.validation, splits.test]
    return [path for path in named if path is not None]


def require_inputs(project: Project) -> None:
    """Raise :class:`MissingInputError`, in one line, if inputs are missing."""
    missing = missing_inputs(project)
    if missing:
        some = ", ".join(str(path) for path in missing[:3])
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        fetch = (
            f"; `crosslabel fetch {project.file}` downloads public files" if project.sources else ""
        )
        raise MissingInputError(f"{project.file or 'project'}: missing input {some}{more}{fetch}")


def _bytes(project: Project, rows: int | None) -> int | None:
    if rows is None:
        return None
    per_base = _BYTES_PER_BASE["sequence"] + (
        _BYTES_PER_BASE["codes"] if project.store.codes else 0
    )
    return round(rows * (project.windows.stored * per_base + _BYTES_PER_ROW))


def _status(entry: dict[str, Any] | None, digest: str | None) -> str:
    if entry is None:
        return "missing"
    if entry["status"] not in (COMPLETE, YANKED):
        return "partial"
    return str(entry["status"]) if digest is None or entry["digest"] == digest else "stale"


def _homologue_rows(
    project: Project, built: ReferenceRows, target: TargetInputs
) -> tuple[int, int]:
    """Estimate the rows and training positives of a genome from its lifted sources, in bins."""
    lifted, _ = target.lift(built.sources, identity=False)
    mapped = lifted.status == Status.MAPPED
    positive = mapped & built.sources.label.any(axis=1)
    if project.windows.mode == "lift-bins":
        rows = int(positive.sum())
    else:
        bases = (lifted.end - lifted.start)[positive]
        rows = int(np.maximum(np.rint(bases / project.windows.size), 1).sum())
    train = int((positive & (built.sources.split == TRAIN)).sum())
    candidates = int((mapped & ~positive).sum())
    negatives = min(_lifted_negatives(project, train), candidates)
    return rows + negatives, round(rows * train / max(1, positive.sum()))


def _span(rows: tuple[int, int]) -> int:
    return rows[1] - rows[0]


def _lifted_negatives(project: Project, positives: int) -> int:
    """Return the negatives that a genome keeps at most."""
    if not lifts_negatives(project):
        return 0
    return SURPLUS * negatives_needed(project, positives)


def plan_project(project: Project, *, verify_cache: bool = False) -> Plan:
    """Return what ``build`` would do; only the cache folder may be written to.

    With `verify_cache` files are read whole, whatever the cache holds of them.

    Raises
    ------
    CrosslabelError
        An existing input is wrong, or a split cannot train. Missing inputs are listed, not raised.
    """
    missing = missing_inputs(project)
    steps: list[Step] = []
    gone = set(missing)
    reference = None
    if not project.of_sequences and project.reference.sequence not in gone:
        reference = open_labelled(project, verify=verify_cache)
    targets = {
        genome.name: open_target(project, genome.name, reference=reference, verify=verify_cache)
        for genome in project.genomes
        if reference is not None and not {genome.sequence, genome.chain} & gone
    }
    notes = [target.left_out.note for target in targets.values() if target.left_out.note]
    estimated = expected_rows(project, reference) if missing else {}
    for name in store_names(project):
        ledger = (read_root_attributes(path_of_store(project, name)) or {"ledger": {}})["ledger"]
        labels = {
            path
            for e in experiments_of(project, name)
            for path in _labels_of(project.experiment(e))
        }
        built = inputs = digest = None
        if (reference is not None or project.of_sequences) and not labels & gone:
            inputs = open_inputs(project, name, genome=reference)
            notes += inputs.notes()
            built = inputs.reference_rows()
            digest = inputs.digest
        guess = estimated.get(name)
        rows = positives = test = None
        if built:
            rows = len(built.rows)
            positives, test = (_span(built.ranges[part]) for part in ("positive", "test"))
        elif guess:
            rows, positives, test = guess.reference, guess.positives, guess.test
        status = _status(ledger.get(REFERENCE), digest)
        size = _bytes(project, rows)
        assumed = built is None and guess is not None
        steps.append(Step(name, REFERENCE, status, rows, size, positives, test, assumed))
        for genome in project.genomes:
            target = targets.get(genome.name)
            group = f"{HOMOLOGUES}/{genome.name}"
            digest = rows = positives = None
            assumed = False
            if target is not None and inputs is not None and built is not None:
                digest = target.digest(inputs.digest)
                rows, positives = _homologue_rows(project, built, target)
            elif guess:
                positives = round(guess.pseudo / len(project.genomes))
                rows, assumed = positives + _lifted_negatives(project, positives), True
            status = _status(ledger.get(group), digest)
            size = _bytes(project, rows)
            steps.append(Step(name, group, status, rows, size, positives, assumed=assumed))
    return Plan(
        project=project.name,
        stores=str(project.store.path),
        steps=steps,
        missing=[str(path) for path in missing],
        memory_per_worker=memory_per_worker(project),
        assumptions=assumptions(project) if any(step.assumed for step in steps) else [],
        notes=notes,
    )
