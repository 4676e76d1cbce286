"""Genomes of a store: add one, remove one, hide one from readers.

Each of these changes the group of one genome and the ledger, nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssldata.base.errors import ConfigError, InputError, MissingInputError, StoreError
from ssldata.base.progress import Progress
from ssldata.building.build_inputs import open_target
from ssldata.building.build_plan import memory_for
from ssldata.building.build_store import build_genome
from ssldata.building.dask_pool import Pool
from ssldata.building.locate import Place, find_place, stores_of
from ssldata.building.store_inputs import path_of_store
from ssldata.chains.chain_index import load_chain
from ssldata.genomes.genome import open_genome
from ssldata.project.genome_list import enter_genome, strike_genome
from ssldata.project.project_file import GenomeEntry, Project, Windows, checked
from ssldata.sharing.card import write_card
from ssldata.store.store import COMPLETE, HOMOLOGUES, REFERENCE, YANKED, read_root_attributes
from ssldata.store.store_writer import StoreWriter, writer_lock

_LOG = logging.getLogger(__name__)


def _project_of_store(path: Path, reference: Path | None) -> Project:
    """Return the settings a store was built with as a project, for a store without one."""
    if path.suffix != ".zarr":
        raise ConfigError(f"{path}: a store to write to is named NAME.zarr; rename it")
    if reference is None:
        raise ConfigError(
            f"{path}: no project file above it names this store; give the project instead, or "
            "the sequence of the labelled genome with --reference"
        )
    attributes = read_root_attributes(path)
    assert attributes is not None
    found = open_genome(reference).digest
    if found != attributes["reference"]["digest"]:
        raise InputError(
            f"{reference}: not the sequence of {attributes['reference']['name']}, which {path} was "
            f"built from (digest {found[:12]}, expected {attributes['reference']['digest'][:12]})"
        )
    return checked(
        Project,
        {
            "name": attributes["name"],
            "reference": {"name": attributes["reference"]["name"], "sequence": str(reference)},
            # The store holds the peaks as sources; the files are never read again.
            "experiments": [{"name": name, "peaks": "-"} for name in attributes["experiments"]],
            **{key: attributes[key] for key in ("windows", "liftover", "split", "negatives")},
            "store": {
                "path": str(path.parent),
                "seed": attributes["seed"],
                "codes": attributes["codes"],
            },
            "training": {"regimes": ["sl"]},
        },
        str(path),
    )


def _is_same(known: GenomeEntry, genome: GenomeEntry) -> bool:
    """Return whether two entries name the same sequence and chain, wherever their files are."""
    if not (known.sequence.is_file() and known.chain.is_file()):
        return False
    old, new = open_genome(known.sequence), open_genome(genome.sequence)
    return (
        old.digest == new.digest
        and old.names == new.names
        and load_chain(known.chain, mixed=True).digest
        == load_chain(genome.chain, mixed=True).digest
    )


def _with_genome(project: Project, genome: GenomeEntry, *, replace: bool) -> Project:
    """Return the project with a genome added, or in place of the one of the same name."""
    others = [other for other in project.genomes if other.name != genome.name]
    same = [other for other in project.genomes if other.name == genome.name]
    if same and same[0] != genome and not replace:
        differing = [
            k for k in GenomeEntry.model_fields if getattr(same[0], k) != getattr(genome, k)
        ]
        raise ConfigError(
            f"{project.genomes_file}: has another genome {genome.name!r} (other "
            f"{', '.join(differing)}); pass --replace or choose another name"
        )
    return _with_genomes(project, [*others, genome], str(project.file or "store add"))


def _with_genomes(project: Project, genomes: Sequence[GenomeEntry], where: str) -> Project:
    """Return the project with another list of genomes, checked as a whole."""
    listed = [genome.model_dump() for genome in genomes]
    return checked(Project, project.model_dump() | {"genomes": listed}, where)


def memory_to_add(path: Path) -> int:
    """Return the bytes a worker needs to add a genome to a project or store."""
    place = find_place(path)
    if place.project is not None:
        return memory_for(place.project.windows.stored)
    attributes = read_root_attributes(place.stores[0])
    assert attributes is not None
    return memory_for(checked(Windows, attributes["windows"], str(path)).stored)


def _project_with(
    place: Place,
    *,
    name: str,
    sequence: Path,
    chain: Path,
    distance: float | None,
    aliases: Mapping[str, str] | None,
    reference: Path | None = None,
    replace: bool = False,
) -> tuple[Project, dict[str, Any]]:
    """Return the project with a genome, and its entry in the list; see :func:`add_genome`."""
    entry: dict[str, Any] = {
        "name": name,
        "sequence": str(sequence.absolute()),
        "chain": str(chain.absolute()),
    }
    listed = [] if place.project is None else place.project.genomes
    known = next((genome for genome in listed if genome.name == name), None)
    if known is not None:  # options that are not given keep their values
        distance = known.distance if distance is None else distance
        aliases = known.aliases if aliases is None else aliases
    if distance is not None:
        entry["distance"] = distance
    if aliases:
        entry["aliases"] = dict(aliases)
    for file in (sequence, chain):
        if not file.is_file():
            raise MissingInputError(f"{file}: no such file")
    settings = place.project or _project_of_store(place.stores[0], reference)
    genome = checked(GenomeEntry, entry, "store add")
    if known is not None and not replace and _is_same(known, genome):
        entry |= {"sequence": str(known.sequence), "chain": str(known.chain)}
        genome = checked(GenomeEntry, entry, "store add")
    return _with_genome(settings, genome, replace=replace), entry


def check_genome(
    path: Path,
    *,
    name: str,
    sequence: Path,
    chain: Path,
    distance: float | None = None,
    aliases: Mapping[str, str] | None = None,
) -> bool:
    """Open and check a genome as :func:`add_genome` does; return whether that would do nothing.

    Parameters
    ----------
    path
        A project or a store.
    name, sequence, chain, distance, aliases
        As of :func:`add_genome`.

    Returns
    -------
    bool
        Whether every store has the genome, complete and made from these inputs, and the project
        lists it.

    Raises
    ------
    CrosslabelError
        An input is missing or wrong, the name is taken, or a store has rows of this name that were
        made from other inputs.
    """
    place = find_place(path)
    genome = {"name": name, "sequence": sequence, "chain": chain}
    project, _ = _project_with(place, **genome, distance=distance, aliases=aliases)  # type: ignore[arg-type]
    target = open_target(project, name)
    target.genome.release()
    target.reference.release()
    same = True
    for store in place.stores:
        ledger = (read_root_attributes(store) or {"ledger": {}})["ledger"]
        entry = ledger.get(f"{HOMOLOGUES}/{name}", {})
        if entry.get("status") not in (COMPLETE, YANKED):
            same = False
        elif entry["digest"] != target.digest(ledger[REFERENCE]["digest"]):
            raise StoreError(
                f"{store}: has {name} from other inputs or settings; choose another name, or "
                f"replace it by `crosslabel store add --name {name} --replace`"
            )
    listed = place.project is None or name in {other.name for other in place.project.genomes}
    return same and listed


def add_genome(
    path: Path,
    *,
    name: str,
    sequence: Path,
    chain: Path,
    distance: float | None = None,
    aliases: Mapping[str, str] | None = None,
    reference: Path | None = None,
    replace: bool = False,
    pool: Pool | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write the homologous rows of another genome, and add it to the project's list.

    Parameters
    ----------
    path
        A project (every store of it) or one store.
    name, sequence, chain, distance, aliases
        Of the genome, as in the project file. For a genome of the project None keeps its
        distance and aliases, and files of the same content keep the listed paths.
    reference
        Sequence of the labelled genome, for a store without a project.
    replace
        Rebuild the genome if the store has it from other inputs or settings.
    pool, progress
        As in :func:`ssldata.building.build_store.build_genome`.

    Returns
    -------
    dict
        ``genome``; ``stores``: what was done to each; ``lacking``: stores of the project that
        do not have the genome yet; ``registry``: the file that lists the genome; ``registered``:
        whether it was changed.

    Raises
    ------
    CrosslabelError
        An input is missing or wrong, the name is taken, or rows from other inputs are there and
        `replace` is not set. The list stays as it was then.
    """
    place = find_place(path)
    project, entry = _project_with(
        place,
        name=name,
        sequence=sequence,
        chain=chain,
        distance=distance,
        aliases=aliases,
        reference=reference,
        replace=replace,
    )
    target = open_target(project, name)
    results = [
        build_genome(
            target,
            path_of_store(project, store.stem),
            replace=replace,
            pool=pool,
            progress=progress,
        )
        for store in place.stores
    ]
    if target.left_out.note and "built" in {result["status"] for result in results}:
        _LOG.warning("%s", target.left_out.note)
    for store in place.stores:
        write_card(store)
    project_stores = [] if place.project is None else stores_of(place.project)
    registry = None if place.project is None else place.project.genomes_file
    return {
        "genome": name,
        "stores": results,
        "lacking": [str(store) for store in project_stores if not _has(store, name)],
        "registry": None if registry is None else str(registry),
        "registered": registry is not None and enter_genome(registry, entry, replace=replace),
    }


def _has(store: Path, genome: str) -> bool:
    attributes = read_root_attributes(store)
    return attributes is not None and f"{HOMOLOGUES}/{genome}" in attributes["ledger"]


def remove_genome(path: Path, name: str) -> dict[str, Any]:
    """Delete the rows of one genome; given a project, also take it out of the project's list.

    Parameters
    ----------
    path
        A project (every store of it) or one store.
    name
        Of the genome.

    Returns
    -------
    dict
        ``genome``; ``stores``: path and status (``removed`` or ``absent``); ``registry`` and
        ``registered`` (whether the list still has it).

    Raises
    ------
    StoreError
        No store has the genome.
    ConfigError
        The project needs it: it is the only one, or named elsewhere in the project file. Nothing
        is deleted then.
    """
    place = find_place(path)
    group = f"{HOMOLOGUES}/{name}"
    registry = None if place.project is None else place.project.genomes_file
    listed = place.project is not None and name in {g.name for g in place.project.genomes}
    _require_somewhere(place, group, name, or_listed=place.is_project and listed)
    if place.is_project and listed and place.project is not None:
        others = [genome for genome in place.project.genomes if genome.name != name]
        _with_genomes(place.project, others, f"{place.project.file}, without {name}")
    results = []
    for store in place.stores:
        with writer_lock(store):
            writer = StoreWriter(store)
            writer.sweep()
            held = group in writer.ledger()
            if held:
                writer.remove(group)
        write_card(store)
        results.append({"path": str(store), "status": "removed" if held else "absent"})
    if place.is_project and listed and registry is not None:
        strike_genome(registry, name)
        listed = False
    elif listed:
        _LOG.warning("%s still lists %s; the next build will rebuild it", registry, name)
    return {
        "genome": name,
        "stores": results,
        "registry": None if registry is None else str(registry),
        "registered": listed,
    }


def _require_somewhere(place: Place, group: str, name: str, *, or_listed: bool = False) -> None:
    """Raise :class:`StoreError` if no store of a place has a genome."""
    known: set[str] = set()
    for store in place.stores:
        known |= set((read_root_attributes(store) or {"ledger": {}})["ledger"])
    if group not in known and not or_listed:
        genomes = sorted(key.removeprefix(f"{HOMOLOGUES}/") for key in known if "/" in key)
        raise StoreError(
            f"{', '.join(str(store) for store in place.stores)}: no genome {name!r}; there are "
            f"{', '.join(genomes) or 'none'}"
        )


def yank_genome(path: Path, name: str, *, reason: str = "") -> dict[str, Any]:
    """Keep the rows of one genome but hide them from readers.

    Parameters
    ----------
    path
        A project (every store of it) or one store.
    name
        Of the genome.
    reason
        Written into the ledger; for a genome that is yanked already, in place of the earlier one.

    Returns
    -------
    dict
        ``genome``; ``stores``: path and status of each.

    Raises
    ------
    StoreError
        No store has the genome complete.
    """
    return _set_status(path, name, COMPLETE, YANKED, {"yanked": reason} if reason else {})


def unyank_genome(path: Path, name: str) -> dict[str, Any]:
    """Let readers use the rows of a yanked genome again; see :func:`yank_genome`."""
    return _set_status(path, name, YANKED, COMPLETE, {})


def _set_status(path: Path, name: str, old: str, new: str, more: dict[str, Any]) -> dict[str, Any]:
    place = find_place(path)
    group = f"{HOMOLOGUES}/{name}"
    _require_somewhere(place, group, name)
    results = []
    for store in place.stores:
        with writer_lock(store):
            writer = StoreWriter(store)
            writer.sweep()
            entry = writer.ledger().get(group)
            if entry is not None and (entry["status"] == old or (entry["status"] == new and more)):
                kept = {key: value for key, value in entry.items() if key != "yanked"}
                wanted = {**kept, **more, "status": new}
                if wanted != entry:
                    writer.set_entry(group, wanted)
            elif entry is not None and entry["status"] != new:
                raise StoreError(
                    f"{store}: {name} is {entry['status']}, not {old}; run `crosslabel build` first"
                )
        write_card(store)
        results.append({"path": str(store), "status": new if entry is not None else "absent"})
    return {"genome": name, "stores": results}
