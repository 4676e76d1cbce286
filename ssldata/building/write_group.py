"""Write the groups of a store: columns, whole shards of sequences, sources, liftover results."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.base.errors import StoreError
from ssldata.base.progress import Progress
from ssldata.building.dask_pool import Pool
from ssldata.checking.row_checks import COLUMNS, HOMOLOGUE_COLUMNS
from ssldata.genomes.genome import Genome
from ssldata.liftover.lift_result import LiftResult, Status
from ssldata.project.project_file import Project
from ssldata.rows.array_meanings import (
    LIFTOVER_MEANINGS,
    ROW_MEANINGS,
    SOURCE_MEANINGS,
    with_experiments,
)
from ssldata.rows.homologue_rows import HomologueRows
from ssldata.rows.intervals import Intervals
from ssldata.rows.reference_rows import ReferenceRows
from ssldata.rows.row_table import Sources
from ssldata.store.store import Store, group_being_written
from ssldata.store.store_writer import StoreWriter, remove_tree, shard_count, write_shard

#: Dimension names of every per-row column, for xarray.
_ROW_DIMS: dict[str, tuple[str, ...]] = {
    name: ("row", "experiment") if wide else ("row",)
    for name, (_, wide) in (COLUMNS | HOMOLOGUE_COLUMNS).items()
}


def fill_shard(
    store_path: Path, name: str, shard: int, genome: Genome, digest: str
) -> tuple[int, str]:
    """Extract and write the sequences of one whole shard; the task of a Dask worker.

    Parameters
    ----------
    store_path, name, shard
        The store, the group and the shard to write.
    genome
        Sent as a path; the worker maps the file itself.
    digest
        Digest of the inputs of the group. A task of a build that was killed may still run
        somewhere; it must not write into the group of a later build of other inputs.

    Returns
    -------
    (int, str)
        The shard, and the sha256 of its base codes.

    Raises
    ------
    StoreError
        The group is now that of another build.
    """
    group = group_being_written(store_path, name)
    first = shard * group.shard_rows
    end = min(first + group.shard_rows, group.rows)
    pad = (group.length - group.attributes()["bin_size"]) // 2
    codes = genome.gather(
        group.column_part("contig", first, end),
        group.column_part("start", first, end) - pad,
        group.length,
        group.column_part("strand", first, end),
    )
    found = group_being_written(store_path, name).attributes().get("digest")
    if found != digest:
        raise StoreError(
            f"{store_path}/{name}: another build has replaced this group in the meantime"
        )
    return shard, write_shard(store_path, name, shard, codes)


def write_group(
    writer: StoreWriter,
    name: str,
    built: ReferenceRows | HomologueRows,
    *,
    project: Project,
    genome: Genome,
    digest: str,
    pool: Pool,
    progress: Progress,
    extra: Mapping[str, NDArray[Any]] | None = None,
) -> dict[str, Any]:
    """Write the columns and sequences of one group.

    Parameters
    ----------
    writer, name
        The store and the group to write.
    built
        The rows, in stored order.
    project
        Windows and store settings.
    genome
        The genome of the rows.
    digest
        Digest of the inputs of the group.
    pool
        What runs the shard tasks.
    progress
        Progress reporter.
    extra
        More per-row columns.

    Returns
    -------
    dict
        Checksums of the decoded arrays: ``columns``, and ``sequences`` per shard.

    Raises
    ------
    StoreError
        A shard was not written.
    """
    rows = built.rows
    columns: dict[str, NDArray[Any]] = {
        field.name: getattr(rows, field.name) for field in dataclasses.fields(rows)
    }
    columns["weight"] = np.ones(len(rows), np.float32)
    columns |= extra or {}
    meanings = with_experiments(ROW_MEANINGS, writer.experiments())
    checksum = writer.write_arrays(
        name,
        columns,
        dims=_ROW_DIMS,
        attributes={
            **contig_attributes(genome),
            "ranges": {key: list(value) for key, value in built.ranges.items()},
            "bin_size": project.windows.size,
            "digest": digest,
        },
        meanings=meanings,
    )
    length = project.windows.stored
    writer.create_sequences(
        name, rows=len(rows), length=length, codes=project.store.codes, meanings=meanings
    )
    shards = shard_count(len(rows), length)
    digests = [""] * shards
    calls = [(writer.path, name, shard, genome, digest) for shard in range(shards)]
    with progress.task(f"{writer.path.stem}: sequences of {name}", shards) as advance:
        for shard, checked in pool.map(fill_shard, calls):
            digests[shard] = checked
            advance(1)
    if not all(digests):
        raise StoreError(f"{writer.path}/{name}: {digests.count('')} shards were not written")
    return {"columns": checksum, "sequences": digests}


def contig_attributes(genome: Genome) -> dict[str, Any]:
    """Return the attributes that the column ``contig`` of a group refers to."""
    return {"contigs": list(genome.names), "contig_sizes": genome.sizes.tolist()}


def write_sources(writer: StoreWriter, sources: Sources, genome: Genome) -> str:
    """Write ``sources/`` and return the checksum of its arrays."""
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
        attributes=contig_attributes(genome),
        meanings=with_experiments(SOURCE_MEANINGS, writer.experiments()),
    )


def stored_sources(store: Store) -> Sources:
    """Read the sources of a store back."""
    arrays = store.sources()
    return Sources(
        intervals=Intervals(arrays["contig"], arrays["start"], arrays["end"]),
        **{key: arrays[key] for key in ("score", "split", "locus", "label", "coverage")},
    )


def status_counts(status: NDArray[np.int8]) -> dict[str, int]:
    """Return the number of sources per status, by lower-case name; zeros are left out."""
    counts = np.bincount(status, minlength=len(Status)).tolist()
    return {s.name.lower(): counts[s] for s in Status if counts[s]}


def write_liftover(
    writer: StoreWriter, name: str, lifted: LiftResult, identity: NDArray[np.float32]
) -> str:
    """Write ``liftover/`` of one genome and return the checksum of its arrays.

    Parameters
    ----------
    writer, name
        The store and the group of the genome.
    lifted
        One result per source of the store.
    identity
        float32 (n,), share of identical bases of each source.
    """
    arrays = {
        key: getattr(lifted, key)
        for key in ("status", "contig", "start", "end", "strand", "aligned", "pieces", "loci")
    } | {"identity": identity}
    return writer.write_arrays(
        f"{name}/liftover",
        arrays,
        dims=dict.fromkeys(arrays, ("source",)),
        attributes={"statuses": {status.name.lower(): int(status) for status in Status}},
        meanings=LIFTOVER_MEANINGS,
    )
