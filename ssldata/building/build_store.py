"""Build stores: the labelled genome, then one target genome after the other.

The command line and the Prefect flow call the same :func:`build_project`. Each of its steps holds
the writer's lock of one store, does nothing when the digest of its inputs is already in the
ledger, and otherwise writes its group whole or not at all.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from ssldata.base.differences import differences
from ssldata.base.errors import StoreError
from ssldata.base.files import digest_of, real_path
from ssldata.base.progress import NoProgress, Progress
from ssldata.base.versions import library_versions
from ssldata.building.build_inputs import (
    ProjectInputs,
    TargetInputs,
    open_project,
)
from ssldata.building.build_plan import memory_per_worker, require_inputs
from ssldata.building.dask_pool import Pool, SerialPool, open_pool
from ssldata.building.store_inputs import StoreInputs, path_of_store, row_settings, store_names
from ssldata.building.up_to_date import has_reference
from ssldata.building.write_group import (
    status_counts,
    stored_sources,
    write_group,
    write_liftover,
    write_sources,
)
from ssldata.checking.repair import take_out_damaged
from ssldata.project.project_file import Project
from ssldata.rows.homologue_rows import HomologueRows, homologue_rows
from ssldata.rows.reference_rows import ReferenceRows
from ssldata.sharing.card import write_card
from ssldata.store.store import (
    COMPLETE,
    HOMOLOGUES,
    REFERENCE,
    YANKED,
    open_store,
)
from ssldata.store.store_writer import StoreWriter, remove_tree, writer_lock

_LOG = logging.getLogger(__name__)

#: Does one step of longer work, and may record it: kind, label, function, its arguments.
StepRunner = Callable[..., Any]


def plain_step(
    kind: str, label: str, function: Callable[..., Any], /, *args: Any, **kw: Any
) -> Any:
    """Do one step and record nothing."""
    del kind, label
    return function(*args, **kw)


def _summary(path: Path, name: str, entry: Mapping[str, Any], status: str) -> dict[str, Any]:
    """Return the JSON-able account of one group."""
    return {
        "store": path.stem,
        "path": str(path),
        "group": name,
        "status": status,
        **{key: entry[key] for key in ("rows", "ranges", "counts", "digest")},
        **({"liftover": entry["liftover"]} if "liftover" in entry else {}),
    }


def _ledger_entry(
    built: ReferenceRows | HomologueRows, checksums: Mapping[str, Any], inputs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the ledger entry of a complete group."""
    return {
        "status": COMPLETE,
        "digest": digest_of(inputs),
        "content": digest_of(checksums),
        "checksums": checksums,
        "rows": len(built.rows),
        "ranges": {key: list(value) for key, value in built.ranges.items()},
        "counts": dict(built.counts),
        "inputs": inputs,
        "provenance": library_versions(),
    }


def _changed(entry: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    """Name what differs between the inputs of a ledger entry and those of the project."""
    return ", ".join(differences(entry.get("inputs"), inputs))


def _former_default(entry: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    """Return how to keep rows that only the former default of ``liftover.mode`` sets apart."""
    changed = differences(entry.get("inputs"), inputs)
    if set(changed) != {"liftover.mode"} or changed["liftover.mode"][0] != "blocks":
        return ""
    return "'blocks' was the default: set liftover.mode to blocks to keep its rows, or "


def build_reference(
    inputs: StoreInputs,
    *,
    pool: Pool | None = None,
    progress: Progress | None = None,
    replace: bool = False,
    built: ReferenceRows | None = None,
) -> dict[str, Any]:
    """Build the reference rows and the sources of one store.

    Parameters
    ----------
    inputs
        The opened inputs of the store.
    pool
        What runs the shard tasks; default: this process.
    progress
        Progress reporter.
    replace
        Rebuild a store whose inputs or settings changed, with all its genomes.
    built
        The rows of these inputs, if they are known.

    Returns
    -------
    dict
        Store, group, status (``built`` or ``unchanged``), rows, ranges, counts, digest.

    Raises
    ------
    CrosslabelError
        The folder holds something else; a split cannot train; or the store was built from other
        inputs and `replace` is not set.
    """
    project, path = inputs.project, inputs.path
    with writer_lock(path):
        writer = StoreWriter(path)
        attributes = writer.attributes()
        writer.sweep()
        before = {} if attributes is None else attributes["ledger"].get(REFERENCE, {})
        complete = before.get("status") == COMPLETE
        same = before.get("digest") == inputs.digest
        if complete and same:
            return _summary(path, REFERENCE, before, "unchanged")
        # What a repair took out keeps its checksums, and sound genomes rest on it.
        taken_out = not complete and "checksums" in before
        if (complete or taken_out) and not same and not replace:
            raise StoreError(
                f"{path}: was built from other inputs or settings "
                f"({_changed(before, inputs.parts)}); "
                "pass --replace to rebuild it, or set another 'store.path'"
            )
        for note in inputs.notes():
            _LOG.warning("%s", note)
        built = built or inputs.reference_rows()
        # Only now: a store that is replaced stays until its successor is known to be sound.
        repaired = taken_out and same
        if repaired:  # the genomes are sound, see ssldata.checking.repair
            remove_tree(path / "sources")
        else:
            if attributes is not None:
                remove_tree(real_path(path))  # a link to a store stays one
            writer.create(inputs.root_attributes())
        writer.begin(REFERENCE, inputs.digest)
        checksums = {"sources": write_sources(writer, built.sources, inputs.genome)}
        checksums |= write_group(
            writer,
            REFERENCE,
            built,
            project=project,
            genome=inputs.genome,
            digest=inputs.digest,
            pool=pool or SerialPool(),
            progress=progress or NoProgress(),
        )
        entry = _ledger_entry(built, checksums, inputs.parts)
        for experiment, peaks in inputs.peaks.items():
            entry["counts"] |= {f"peaks_{experiment}_{k}": v for k, v in peaks.counts.items()}
        if repaired and before["checksums"]["sources"] != checksums["sources"]:
            for name in set(writer.ledger()) - {REFERENCE}:  # their rows point to other sources
                writer.remove(name)
        writer.complete(REFERENCE, entry)
    return _summary(path, REFERENCE, entry, "built")


def build_genome(
    target: TargetInputs,
    path: Path,
    *,
    pool: Pool | None = None,
    progress: Progress | None = None,
    replace: bool = False,
) -> dict[str, Any]:
    """Lift the sources of one store to one genome and write its homologous rows.

    Parameters
    ----------
    target
        The opened genome and chain; stores share them.
    path
        The store.
    pool, progress, replace
        See :func:`build_reference`.

    Returns
    -------
    dict
        As :func:`build_reference`, with ``liftover``: sources per status.

    Raises
    ------
    CrosslabelError
        The store has no reference rows; or it has this genome from other inputs and `replace` is
        not set.
    """
    project, genome_name = target.project, target.settings.name
    name = f"{HOMOLOGUES}/{genome_name}"
    progress = progress or NoProgress()
    with writer_lock(path):
        store = open_store(path)
        writer = StoreWriter(path)
        writer.sweep()
        inputs = target.ledger_inputs(store.ledger[REFERENCE]["digest"])
        digest = digest_of(inputs)
        entry = store.ledger.get(name, {})
        if entry.get("status") in (COMPLETE, YANKED):
            if entry["digest"] == digest:
                status = "unchanged" if entry["status"] == COMPLETE else YANKED
                return _summary(path, name, entry, status)
            if not replace:
                raise StoreError(
                    f"{path}: {genome_name} was built from other inputs or settings "
                    f"({_changed(entry, inputs)}); {_former_default(entry, inputs)}pass --replace "
                    "to rebuild it"
                )
        sources = stored_sources(store)
        with progress.task(f"{path.stem}: liftover to {genome_name}", 1) as advance:
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
            built,
            project=project,
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
        entry = _ledger_entry(built, checksums, inputs)
        entry["counts"] |= target.left_out.counts()
        entry["liftover"] = status_counts(lifted.status[sources.label.any(axis=1)])
        entry["provenance"] |= {"distance": target.settings.distance}
        # Settings of genomes may have changed since the reference was built.
        writer.complete(name, entry, settings=row_settings(project))
    # Many genomes are open at once: those at rest keep no pages.
    target.genome.release()
    target.reference.release()
    return _summary(path, name, entry, "built")


def finish_store(project: Project, store_name: str) -> dict[str, Any]:
    """Write the card of a whole store and return its account.

    Genomes in it that the project does not name are warned of.
    """
    path = path_of_store(project, store_name)
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
            _summary(path, name, entry, entry["status"])
            for name, entry in sorted(store.ledger.items(), key=lambda item: item[0] != REFERENCE)
            if entry["status"] == COMPLETE
        ],
    }


def _checked_rows(stores: Sequence[StoreInputs]) -> dict[str, ReferenceRows]:
    """Refuse splits that cannot train before any store is written; return the first rows.

    Only those: the rows of many stores are too much for memory, and fast to make again.
    """
    first: dict[str, ReferenceRows] = {}
    for store in stores:
        if not has_reference(store):
            rows = store.reference_rows()
            first = first or {store.name: rows}
    return first


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
    verify_cache: bool = False,
    pool: Pool | None = None,
    progress: Progress | None = None,
    inputs: ProjectInputs | None = None,
    step: StepRunner = plain_step,
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
    verify_cache
        Read genomes and chains whole, whatever the cache holds of them.
    pool
        An already open pool, instead of the four above.
    progress
        Progress reporter.
    inputs
        Already opened inputs of the stores to build.
    step
        Runs and records one step: ``build-reference`` and ``build-genome`` with the label
        ``STORE / GENOME``, ``finish-store`` with the label ``STORE``.

    Returns
    -------
    list of dict
        One account per store, see :func:`finish_store`, with ``steps``: what was built and what
        was unchanged.

    Raises
    ------
    CrosslabelError
        See :func:`build_reference`; or no Dask workers can be had.
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
        opened as running,  # first: an unreachable scheduler is reported before genomes are read
        progress.task("build", len(names) * (1 + len(project.genomes))) as advance,
    ):
        # Everything is opened and checked before anything is written.
        inputs = inputs or open_project(project, names, verify=verify_cache)
        rows = _checked_rows([inputs.stores[name] for name in names])
        how: dict[str, Any] = {"pool": running, "progress": progress, "replace": replace}
        notes = {genome: target.left_out.note for genome, target in inputs.targets.items()}
        for name in names:
            store = inputs.stores[name]
            if repair:
                take_out_damaged(store.path, store.digest, progress=progress)
            label = f"{name} / {project.reference.name}"
            reference = (build_reference, store)
            done = [step("build-reference", label, *reference, built=rows.pop(name, None), **how)]
            advance(1)
            for genome, target in inputs.targets.items():
                call = (build_genome, target, store.path)
                done.append(step("build-genome", f"{name} / {genome}", *call, **how))
                if done[-1]["status"] == "built" and (note := notes.pop(genome, "")):
                    _LOG.warning("%s", note)
                advance(1)
            account = step("finish-store", name, finish_store, project, name)
            results.append({**account, "steps": done})
    return results
