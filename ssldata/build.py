"""Build stores: the labelled genome, then one target genome after the other.

Plain Python that the command line and the Prefect flow call alike. Each function takes the
writer's place of one store, does nothing when the digest of its inputs is already in the ledger,
and otherwise writes its group whole or not at all.
"""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.build_inputs import (
    StoreInputs,
    TargetInputs,
    open_inputs,
    open_target,
    store_names,
)
from ssldata.cache import digest_of
from ssldata.cluster import Pool, SerialPool, open_pool
from ssldata.config import Project
from ssldata.errors import InputError, StoreError
from ssldata.genome import open_genome
from ssldata.intervals import Intervals
from ssldata.liftover import LiftResult, Status
from ssldata.plan import plan_project, require_inputs
from ssldata.progress import NoProgress, Progress
from ssldata.provenance import library_versions
from ssldata.rows import Rows, Sources
from ssldata.rows_homologue import homologue_rows
from ssldata.rows_reference import ReferenceRows, reference_rows
from ssldata.store import HOMOLOGUES, REFERENCE, Store, group_being_written, open_store
from ssldata.store_writer import (
    StoreWriter,
    remove_tree,
    shard_count,
    write_shard,
    writer_lock,
)

__all__ = [
    "build_genome",
    "build_project",
    "build_reference",
    "finish_store",
    "plan_project",
    "store_names",
]

_LOG = logging.getLogger(__name__)
#: Dimension names of every per-row column, for xarray.
_ROW_DIMS: dict[str, tuple[str, ...]] = {
    "contig": ("row",),
    "start": ("row",),
    "end": ("row",),
    "strand": ("row",),
    "split": ("row",),
    "source": ("row",),
    "locus": ("row",),
    "weight": ("row",),
    "aligned_fraction": ("row",),
    "identity": ("row",),
    "label": ("row", "experiment"),
    "coverage": ("row", "experiment"),
}


def fill_shard(
    store_path: Path, name: str, shard: int, genome_path: Path, aliases: Mapping[str, str]
) -> tuple[int, str]:
    """Extract and write the sequences of one whole shard; this is what a Dask worker runs.

    Returns
    -------
    (int, str)
        The shard, and the sha256 of its base codes.
    """
    group = group_being_written(store_path, name)
    first = shard * group.shard_rows
    end = min(first + group.shard_rows, group.rows)
    pad = (group.length - group.attributes()["bin_size"]) // 2
    genome = open_genome(genome_path, aliases=aliases)
    codes = genome.gather(
        group.column("contig")[first:end],
        group.column("start")[first:end] - pad,
        group.length,
        group.column("strand")[first:end],
    )
    return shard, write_shard(store_path, name, shard, codes)


def _write_group(
    writer: StoreWriter,
    name: str,
    rows: Rows,
    *,
    project: Project,
    ranges: Mapping[str, tuple[int, int]],
    contigs: Sequence[str],
    extra: Mapping[str, NDArray[Any]],
    genome_path: Path,
    aliases: Mapping[str, str],
    pool: Pool,
    progress: Progress,
) -> str:
    """Write the columns and sequences of one group; return the digest of its content."""
    columns: dict[str, NDArray[Any]] = {
        field.name: getattr(rows, field.name) for field in dataclasses.fields(rows)
    }
    columns["weight"] = np.ones(len(rows), np.float32)
    columns |= dict(extra)
    content = {
        "columns": writer.write_arrays(
            name,
            columns,
            dims=_ROW_DIMS,
            attributes={
                "contigs": list(contigs),
                "ranges": {key: list(value) for key, value in ranges.items()},
                "bin_size": project.windows.size,
            },
        )
    }
    length = project.windows.stored
    writer.create_sequences(name, rows=len(rows), length=length, codes=project.store.codes)
    shards = shard_count(len(rows), length)
    digests = [""] * shards
    calls = [(writer.path, name, shard, genome_path, dict(aliases)) for shard in range(shards)]
    with progress.task(f"{writer.path.stem}: sequences of {name}", shards) as advance:
        for shard, digest in pool.map(fill_shard, calls):
            digests[shard] = digest
            advance(1)
    if not all(digests):
        raise StoreError(f"{writer.path}/{name}: {digests.count('')} shards were not written")
    return digest_of({**content, "sequences": digests})


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
        if attributes is not None:
            writer.sweep()
            entry = attributes["ledger"].get(REFERENCE, {})
            if entry.get("status") == "complete":
                if entry["digest"] == inputs.digest:
                    return _summary(path, REFERENCE, entry, "unchanged", store_name)
                if not replace:
                    raise StoreError(
                        f"{path}: was built from other inputs or settings "
                        f"({_differs(entry, inputs.parts)}); "
                        "pass --replace to build it anew, or set another 'store.path'"
                    )
            remove_tree(path)
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
        writer.create(inputs.root_attributes())
        writer.begin(REFERENCE, inputs.digest)
        sources = _write_sources(writer, built.sources, inputs)
        content = _write_group(
            writer,
            REFERENCE,
            built.rows,
            project=project,
            ranges=built.ranges,
            contigs=inputs.genome.names,
            extra={},
            genome_path=project.reference.sequence,
            aliases=project.reference.aliases,
            pool=pool or SerialPool(),
            progress=progress or NoProgress(),
        )
        entry = {
            "status": "complete",
            "digest": inputs.digest,
            "content": digest_of([sources, content]),
            "rows": len(built.rows),
            "ranges": {key: list(value) for key, value in built.ranges.items()},
            "counts": built.counts
            | {f"peaks_{e}_{k}": v for e, p in inputs.peaks.items() for k, v in p.counts.items()},
            "inputs": inputs.parts,
            "provenance": library_versions(),
        }
        writer.set_entry(REFERENCE, entry)
    return _summary(path, REFERENCE, entry, "built", store_name)


def _differs(entry: Mapping[str, Any], parts: Mapping[str, Any]) -> str:
    """Name what differs between the inputs of a ledger entry and those of the project."""
    old = entry.get("inputs", {})
    return ", ".join(sorted(key for key in {*old, *parts} if old.get(key) != parts.get(key)))


def _write_sources(writer: StoreWriter, sources: Sources, inputs: StoreInputs) -> str:
    remove_tree(writer.path / "sources")
    return writer.write_arrays(
        "sources",
        {
            "contig": sources.intervals.contig,
            "start": sources.intervals.start,
            "end": sources.intervals.end,
            "score": sources.score,
            "split": sources.split,
            "locus": sources.locus,
            "label": sources.label,
            "coverage": sources.coverage,
        },
        dims={
            **dict.fromkeys(("contig", "start", "end", "score", "split", "locus"), ("source",)),
            "label": ("source", "experiment"),
            "coverage": ("source", "experiment"),
        },
        attributes={"contigs": list(inputs.genome.names)},
    )


def _stored_sources(store: Store) -> Sources:
    """Read the sources of a store back."""
    arrays = store.sources()
    return Sources(
        intervals=Intervals(arrays["contig"], arrays["start"], arrays["end"]),
        **{key: arrays[key] for key in ("score", "split", "locus", "label", "coverage")},
    )


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
        if entry.get("status") == "complete":
            if entry["digest"] == digest:
                return _summary(path, name, entry, "unchanged", store_name)
            if not replace:
                raise StoreError(
                    f"{path}: {genome_name} was built from other inputs or settings "
                    f"({_differs(entry, parts)}); pass --replace to build it anew"
                )
        sources = _stored_sources(store)
        with progress.task(f"{store_name}: liftover to {genome_name}", 1) as advance:
            lifted, identity = target.lift(sources)
            advance(1)
        built = homologue_rows(project, target.genome, genome_name, sources, lifted)
        if not len(built.rows):
            _LOG.warning("%s: no homologue of %d sources in %s", path, len(sources), genome_name)
        length = sources.intervals.end - sources.intervals.start
        fraction = (lifted.aligned / np.maximum(length, 1)).astype(np.float32)
        writer.begin(name, digest)
        content = _write_group(
            writer,
            name,
            built.rows,
            project=project,
            ranges=built.ranges,
            contigs=target.genome.names,
            extra={
                "aligned_fraction": fraction[built.rows.source],
                "identity": identity[built.rows.source],
            },
            genome_path=target.settings.sequence,
            aliases=target.settings.aliases,
            pool=pool or SerialPool(),
            progress=progress,
        )
        lifted_content = _write_liftover(writer, name, lifted, identity)
        positive = sources.label.any(axis=1)
        entry = {
            "status": "complete",
            "digest": digest,
            "content": digest_of([content, lifted_content]),
            "rows": len(built.rows),
            "ranges": {key: list(value) for key, value in built.ranges.items()},
            "counts": built.counts,
            "liftover": _status_counts(lifted.status[positive]),
            "inputs": parts,
            "provenance": library_versions() | {"distance": target.settings.distance},
        }
        writer.set_entry(name, entry)
    return _summary(path, name, entry, "built", store_name)


def _status_counts(status: NDArray[np.int8]) -> dict[str, int]:
    """Return the number of sources per status, by lower-case name, zeros left out."""
    counts = Counter(Status(int(value)).name.lower() for value in status)
    return {s.name.lower(): counts[s.name.lower()] for s in Status if counts[s.name.lower()]}


def _write_liftover(
    writer: StoreWriter, name: str, lifted: LiftResult, identity: NDArray[np.float32]
) -> str:
    arrays = {
        key: getattr(lifted, key)
        for key in ("status", "contig", "start", "end", "strand", "aligned", "pieces", "loci")
    } | {"identity": identity}
    return writer.write_arrays(
        f"{name}/liftover",
        arrays,
        dims=dict.fromkeys(arrays, ("source",)),
        attributes={"statuses": {status.name.lower(): int(status) for status in Status}},
    )


def finish_store(project: Project, store_name: str) -> dict[str, Any]:
    """Return the account of a whole store; warn of genomes in it that the project does not name."""
    path = project.store.path / f"{store_name}.zarr"
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
            if entry["status"] == "complete"
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
        See :func:`ssldata.cluster.open_pool`.
    replace
        Rebuild what was built from other inputs.
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
    if experiments and not project.store.joint:
        for experiment in experiments:
            project.experiment(experiment)
        names = [name for name in names if name in set(experiments)]
    # Everything is opened and checked before anything is written.
    require_inputs(project)
    inputs = {name: open_inputs(project, name) for name in names}
    targets = {genome.name: open_target(project, genome.name) for genome in project.genomes}
    opened = (
        nullcontext(pool)
        if pool is not None
        else open_pool(
            workers=workers, scheduler=scheduler, scheduler_file=scheduler_file, memory=memory
        )
    )
    results = []
    with opened as running, progress.task("build", len(names) * (1 + len(targets))) as advance:
        options: dict[str, Any] = {"pool": running, "progress": progress, "replace": replace}
        for name in names:
            steps = [build_reference(project, name, inputs=inputs[name], **options)]
            advance(1)
            for genome, target in targets.items():
                steps.append(build_genome(project, name, genome, target=target, **options))
                advance(1)
            results.append(finish_store(project, name) | {"steps": steps})
    return results
