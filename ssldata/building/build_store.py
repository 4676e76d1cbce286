"""Build stores: the labelled genome, then one target genome after the other.

Plain Python that the command line and the Prefect flow call alike. Each function takes the
writer's place of one store, does nothing when the digest of its inputs is already in the ledger,
and otherwise writes its group whole or not at all.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from ssldata.base.errors import InputError, StoreError
from ssldata.base.files import digest_of
from ssldata.base.progress import NoProgress, Progress
from ssldata.base.versions import library_versions
from ssldata.building.build_inputs import (
    StoreInputs,
    TargetInputs,
    open_inputs,
    open_target,
    row_settings,
    store_names,
)
from ssldata.building.build_plan import memory_per_worker, plan_project, require_inputs
from ssldata.building.dask_pool import Pool, SerialPool, open_pool
from ssldata.building.write_group import (
    status_counts,
    stored_sources,
    write_group,
    write_liftover,
    write_sources,
)
from ssldata.checking.repair import take_out_damaged
from ssldata.genomes.genome import open_genome
from ssldata.project.project_file import Project
from ssldata.rows.homologue_rows import homologue_rows
from ssldata.rows.reference_rows import ReferenceRows, reference_rows
from ssldata.sharing.card import write_card
from ssldata.store.store import (
    COMPLETE,
    HOMOLOGUES,
    REFERENCE,
    YANKED,
    open_store,
    read_root_attributes,
)
from ssldata.store.store_writer import StoreWriter, remove_tree, writer_lock

__all__ = [
    "build_genome",
    "build_project",
    "build_reference",
    "finish_store",
    "is_built",
    "plan_project",
    "store_names",
]

_LOG = logging.getLogger(__name__)


def _summary(
    path: Path, name: str, entry: Mapping[str, Any], status: str, experiment: str
) -> dict[str, Any]:
    """Return the JSON-able account of one group."""
    return {
        "store": experiment,
        "path": str(path),
        "group": name,
        "status": status,
        **{key: entry[key] for key in ("rows", "ranges", "counts", "digest")},
        **({"liftover": entry["liftover"]} if "liftover" in entry else {}),
    }


def _check_positives(project: Project, inputs: StoreInputs, built: ReferenceRows) -> None:
    """Refuse a store with no positive row in a split: nothing could be trained or evaluated."""
    rows = built.rows
    for column, experiment in enumerate(inputs.experiments):
        for split, key in ((0, "train"), (1, "validation"), (2, "test")):
            if not (rows.label[rows.split == split, column] > 0).any():
                where = {
                    1: f" ({', '.join(project.split.validation) or 'a fraction of the loci'})",
                    2: f" ({', '.join(project.split.test)})",
                }.get(split, "")
                raise InputError(
                    f"{project.file or 'project'}: experiment {experiment!r} has no positive "
                    f"{project.windows.size} b bin in the {key} split{where}; it has "
                    f"{int(rows.label[:, column].sum())} in all; change 'split' or the peaks"
                )


def build_reference(
    project: Project,
    store_name: str,
    *,
    pool: Pool | None = None,
    progress: Progress | None = None,
    replace: bool = False,
    inputs: StoreInputs | None = None,
) -> dict[str, Any]:
    """Build the reference rows and the sources of one store.

    Parameters
    ----------
    project
        The project.
    store_name
        An experiment, or ``joint``.
    pool
        What runs the shard tasks; default: this process.
    progress
        Who is told.
    replace
        Rebuild a store whose inputs or settings changed. All its genomes are built anew.
    inputs
        Already opened inputs of this store.

    Returns
    -------
    dict
        Store, group, status (``built`` or ``unchanged``), rows, ranges, counts, digest.

    Raises
    ------
    CrosslabelError
        Inputs are missing or wrong; the folder holds something else; or the store was built from
        other inputs and `replace` is not set.
    """
    inputs = inputs or open_inputs(project, store_name)
    path = inputs.path
    with writer_lock(path):
        writer = StoreWriter(path)
        attributes = writer.attributes()
        writer.sweep()
        if attributes is not None:
            entry = attributes["ledger"].get(REFERENCE, {})
            whole = entry.get("status") == COMPLETE
            if whole and entry["digest"] == inputs.digest:
                return _summary(path, REFERENCE, entry, "unchanged", store_name)
            # What a repair took out keeps its checksums, and sound genomes rest on it.
            kept = whole or "checksums" in entry
            if kept and entry["digest"] != inputs.digest and not replace:
                raise StoreError(
                    f"{path}: was built from other inputs or settings "
                    f"({_differs(entry, inputs.parts)}); "
                    "pass --replace to build it anew, or set another 'store.path'"
                )
        for experiment, peaks in inputs.peaks.items():
            if peaks.unknown:
                _LOG.warning(
                    "%s: %d of %d peaks lie on contigs the genome does not have (%s); left out",
                    experiment,
                    sum(peaks.unknown.values()),
                    peaks.counts["lines"],
                    ", ".join(list(peaks.unknown)[:5]),
                )
        built = reference_rows(project, inputs.experiments, inputs.genome, inputs.peaks)
        _check_positives(project, inputs, built)
        # Only now: a store that is replaced stays until its successor is known to be sound.
        before = attributes["ledger"].get(REFERENCE, {}) if attributes is not None else {}
        repaired = "checksums" in before and before["digest"] == inputs.digest
        if repaired:  # taken out for damage: the genomes are sound, see ssldata.checking.repair
            remove_tree(path / "sources")
        else:
            if attributes is not None:
                remove_tree(path)
            writer.create(inputs.root_attributes())
        writer.begin(REFERENCE, inputs.digest)
        checksums = {"sources": write_sources(writer, built.sources, inputs.genome)}
        checksums |= write_group(
            writer,
            REFERENCE,
            built.rows,
            project=project,
            ranges=built.ranges,
            genome=inputs.genome,
            digest=inputs.digest,
            extra={},
            pool=pool or SerialPool(),
            progress=progress or NoProgress(),
        )
        entry = {
            "status": COMPLETE,
            "digest": inputs.digest,
            "content": digest_of(checksums),
            "checksums": checksums,
            "rows": len(built.rows),
            "ranges": {key: list(value) for key, value in built.ranges.items()},
            "counts": built.counts
            | {f"peaks_{e}_{k}": v for e, p in inputs.peaks.items() for k, v in p.counts.items()},
            "inputs": inputs.parts,
            "provenance": library_versions(),
        }
        if repaired and before["checksums"]["sources"] != checksums["sources"]:
            for name in set(writer.ledger()) - {REFERENCE}:  # their rows point to other sources
                writer.remove(name)
        writer.complete(REFERENCE, entry)
    return _summary(path, REFERENCE, entry, "built", store_name)


def _differs(entry: Mapping[str, Any], parts: Mapping[str, Any]) -> str:
    """Name what differs between the inputs of a ledger entry and those of the project."""
    old = entry.get("inputs", {})
    return ", ".join(sorted(key for key in {*old, *parts} if old.get(key) != parts.get(key)))


def build_genome(
    project: Project,
    store_name: str,
    genome_name: str,
    *,
    pool: Pool | None = None,
    progress: Progress | None = None,
    replace: bool = False,
    target: TargetInputs | None = None,
) -> dict[str, Any]:
    """Lift the sources of one store to one genome and write its homologous rows.

    Parameters are those of :func:`build_reference`; `target` are the already opened genome and
    chain, so that several stores share them.

    Returns
    -------
    dict
        As :func:`build_reference`, with ``liftover``: sources per status.
    """
    path = project.store.path / f"{store_name}.zarr"
    name = f"{HOMOLOGUES}/{genome_name}"
    target = target or open_target(project, genome_name)
    progress = progress or NoProgress()
    with writer_lock(path):
        store = open_store(path)
        writer = StoreWriter(path)
        writer.sweep()
        parts = target.parts | {"reference rows": store.ledger[REFERENCE]["digest"]}
        digest = digest_of(parts)
        entry = store.ledger.get(name, {})
        if entry.get("status") in (COMPLETE, YANKED):
            if entry["digest"] == digest:
                status = "unchanged" if entry["status"] == COMPLETE else YANKED
                return _summary(path, name, entry, status, store_name)
            if not replace:
                raise StoreError(
                    f"{path}: {genome_name} was built from other inputs or settings "
                    f"({_differs(entry, parts)}); pass --replace to build it anew"
                )
        sources = stored_sources(store)
        with progress.task(f"{store_name}: liftover to {genome_name}", 1) as advance:
            lifted, identity = target.lift(sources)
            advance(1)
        built = homologue_rows(project, target.genome, genome_name, sources, lifted)
        if not len(built.rows):
            _LOG.warning("%s: no homologue of %d sources in %s", path, len(sources), genome_name)
        length = sources.intervals.end - sources.intervals.start
        fraction = (lifted.aligned / np.maximum(length, 1)).astype(np.float32)
        writer.begin(name, digest)
        checksums = write_group(
            writer,
            name,
            built.rows,
            project=project,
            ranges=built.ranges,
            genome=target.genome,
            digest=digest,
            extra={
                "aligned_fraction": fraction[built.rows.source],
                "identity": identity[built.rows.source],
            },
            pool=pool or SerialPool(),
            progress=progress,
        )
        checksums["liftover"] = write_liftover(writer, name, lifted, identity)
        positive = sources.label.any(axis=1)
        entry = {
            "status": COMPLETE,
            "digest": digest,
            "content": digest_of(checksums),
            "checksums": checksums,
            "rows": len(built.rows),
            "ranges": {key: list(value) for key, value in built.ranges.items()},
            "counts": built.counts,
            "liftover": status_counts(lifted.status[positive]),
            "inputs": parts,
            "provenance": library_versions() | {"distance": target.settings.distance},
        }
        # Those of genomes may have changed since the reference was built.
        writer.complete(name, entry, settings=row_settings(project))
    # Many genomes are open at once: those at rest keep no pages.
    target.genome.release()
    target.reference.release()
    return _summary(path, name, entry, "built", store_name)


def is_built(
    project: Project, inputs: Mapping[str, StoreInputs], targets: Mapping[str, TargetInputs]
) -> bool:
    """Return whether every group of every store is complete and made from these inputs.

    Parameters
    ----------
    project
        The project.
    inputs, targets
        The opened inputs of its stores and of its target genomes, by name.
    """
    for name, opened in inputs.items():
        attributes = read_root_attributes(project.store.path / f"{name}.zarr")
        ledger = {} if attributes is None else attributes["ledger"]
        wanted = {REFERENCE: opened.digest} | {
            f"{HOMOLOGUES}/{genome}": digest_of(target.parts | {"reference rows": opened.digest})
            for genome, target in targets.items()
        }
        for group, digest in wanted.items():
            entry = ledger.get(group, {})
            if entry.get("status") not in (COMPLETE, YANKED) or entry["digest"] != digest:
                return False
    return True


def finish_store(project: Project, store_name: str) -> dict[str, Any]:
    """Write the card of a whole store and return its account.

    Genomes in it that the project does not name are warned of.
    """
    path = project.store.path / f"{store_name}.zarr"
    write_card(path)
    store = open_store(path)
    named = {genome.name for genome in project.genomes}
    for genome in store.genomes:
        if genome not in named:
            _LOG.warning(
                "%s: holds %s, which the project does not name; it is read in training",
                path,
                genome,
            )
    return {
        "store": store_name,
        "path": str(path),
        "digest": store.digest,
        "bytes": sum(f.stat().st_size for f in path.rglob("*") if f.is_file()),
        "groups": [
            _summary(path, name, entry, entry["status"], store_name)
            for name, entry in sorted(store.ledger.items(), key=lambda item: item[0] != REFERENCE)
            if entry["status"] == COMPLETE
        ],
    }


def build_project(
    project: Project,
    *,
    experiments: Sequence[str] | None = None,
    workers: int = 0,
    scheduler: str | None = None,
    scheduler_file: Path | None = None,
    memory: str | None = None,
    replace: bool = False,
    repair: bool = False,
    pool: Pool | None = None,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Build every store of a project, or those of some experiments.

    Parameters
    ----------
    project
        The project.
    experiments
        Only the stores of these; default: all.
    workers, scheduler, scheduler_file, memory
        See :func:`ssldata.building.dask_pool.open_pool`.
    replace
        Rebuild what was built from other inputs.
    repair
        Validate what is there, every sequence of it, and write damaged groups again.
    pool
        An already open pool, instead of the four above.
    progress
        Who is told.

    Returns
    -------
    list of dict
        One account per store, see :func:`finish_store`, with ``steps``: what was built and what
        was unchanged.
    """
    progress = progress or NoProgress()
    names = store_names(project)
    for experiment in experiments or ():
        project.experiment(experiment)
    if experiments and not project.store.joint:
        names = [name for name in names if name in set(experiments)]
    require_inputs(project)
    opened = (
        nullcontext(pool)
        if pool is not None
        else open_pool(
            workers=workers,
            scheduler=scheduler,
            scheduler_file=scheduler_file,
            memory=memory,
            needed=memory_per_worker(project),
        )
    )
    results = []
    with (
        opened as running,  # first: that a scheduler is away is told before genomes are read
        progress.task("build", len(names) * (1 + len(project.genomes))) as advance,
    ):
        # Everything is opened and checked before anything is written.
        # One map of the labelled genome for all.
        labelled = open_genome(project.reference.sequence, aliases=project.reference.aliases)
        inputs = {name: open_inputs(project, name, genome=labelled) for name in names}
        targets = {
            g.name: open_target(project, g.name, reference=labelled) for g in project.genomes
        }
        options: dict[str, Any] = {"pool": running, "progress": progress, "replace": replace}
        for name in names:
            if repair:
                take_out_damaged(inputs[name].path, inputs[name].digest, progress=progress)
            steps = [build_reference(project, name, inputs=inputs[name], **options)]
            advance(1)
            for genome, target in targets.items():
                steps.append(build_genome(project, name, genome, target=target, **options))
                advance(1)
            results.append(finish_store(project, name) | {"steps": steps})
    return results
