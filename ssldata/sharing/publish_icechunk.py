"""Publish a store as a commit of an Icechunk repository: only what changed is written."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from ssldata.base.errors import InputError, StoreError
from ssldata.base.files import digest_of, real_path
from ssldata.base.progress import NoProgress, Progress
from ssldata.sharing.croissant_file import licence_of
from ssldata.sharing.zip_store import bytes_of, members_of, shared_root, unchanging
from ssldata.store.icechunk_repository import (
    BRANCH,
    Address,
    address_of,
    one_line_errors,
    open_repository,
)
from ssldata.store.remote_stores import read_value
from ssldata.store.store import (
    ATTRIBUTE,
    COMPLETE,
    HOMOLOGUES,
    REFERENCE,
    WEIGHTS,
    Store,
    open_store,
)
from ssldata.store.store_writer import writer_lock

#: Values written at a time.
_AT_ONCE = 8


def publish(
    path: Path, to: str | Path, *, licence: str | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Write the complete groups of a store as one commit, with a tag: see :func:`tag_for`.

    A group that the newest commit holds already is not written again. A commit is visible whole or
    not at all. The card is left out: a repository takes Zarr's own files only.

    Parameters
    ----------
    path
        A local store.
    to
        The repository, see :func:`ssldata.store.icechunk_repository.address_of`; created when there
        is none.
    licence
        Of the data, kept with the commit; default: that of the store's card.
    progress
        Progress reporter.

    Returns
    -------
    dict
        ``address`` to open it by, ``tag``, ``status`` (``published`` or ``unchanged``),
        ``written``, ``kept`` and ``removed`` groups, ``files`` and ``bytes`` written, ``left_out``
        (groups that are not complete).

    Raises
    ------
    InputError
        `to` names a state, or lies inside the store.
    StoreError
        The repository holds another store or something else; another process published meanwhile.
    CrosslabelError
        The store cannot be opened or is damaged, or the repository cannot be reached.
    """
    address = address_of(to)
    if address.tag is not None:
        raise InputError(f"{to}: a commit gets its tag from its content; leave out @…")
    open_store(path)  # where there is no store, neither a lock nor a repository is made
    with contextlib.ExitStack() as held:
        if not address.is_remote:
            place = real_path(Path(address.place))
            if real_path(path) in (place, *place.parents):
                raise InputError(f"{to}: lies inside the store; write it elsewhere")
            # On a disk Icechunk does not notice two commits at once.
            held.enter_context(writer_lock(place))
        held.enter_context(unchanging(path))
        store = open_store(path)
        if not path.is_dir():
            raise StoreError(f"{path}: not a folder; publish the store it was made from")
        repository = open_repository(address, create=True)
        new = json.loads(shared_root(store))
        with one_line_errors(address):
            session = repository.writable_session(BRANCH)
            old = _root_of(session, address, store.experiments)
            kept, removed = _compare(old, new)
            complete = [name for name, e in store.ledger.items() if e["status"] == COMPLETE]
            tag = tag_for(store)
            value: dict[str, Any] = {
                "address": str(Address(address.place, tag)),
                "tag": tag,
                "status": "unchanged",
                "written": sorted(set(complete) - set(kept)),
                "kept": sorted(kept),
                "removed": sorted(removed),
                "files": 0,
                "bytes": 0,
                "left_out": sorted(set(store.ledger) - set(complete)),
            }
            if value["written"] or value["removed"]:
                found = dict(members_of(store))
                changed = [key for key in found if not _below(key, kept)]
                files = {key: partial(bytes_of, store, key, found[key]) for key in changed}
                value["files"], value["bytes"] = _write(
                    session,
                    gone=[name for name in _groups(old) if name not in kept],
                    root=new,
                    files=files,
                    progress=progress or NoProgress(),
                    name=path.name,
                )
                licence = licence or licence_of(path)
                session.commit(
                    _message(path.stem, value),
                    metadata={"digest": store.digest} | ({"license": licence} if licence else {}),
                )
                value["status"] = "published"
            if tag not in repository.list_tags():
                repository.create_tag(tag, repository.lookup_branch(BRANCH))
    return value


def tag_for(store: Store) -> str:
    """Return the tag of a state: the store's digest, with weights a dash and 12 digits of theirs.

    The digest covers the rows alone, and a tag must always mean the same bytes.
    """
    return f"{store.digest}-{digest_of(store.weights)[:12]}" if store.weights else store.digest


def _message(name: str, value: Mapping[str, Any]) -> str:
    parts = [f"{name} {value['tag'][:12]}"]
    for verb, key in (("wrote", "written"), ("removed", "removed")):
        if value[key]:
            parts.append(f"{verb} {', '.join(value[key])}")
    return "; ".join(parts)


def _root_of(session: Any, address: Address, experiments: list[str]) -> dict[str, Any] | None:
    """Return the root metadata of the newest commit; None when it is the empty first one."""
    found = read_value(session.store, "zarr.json")
    if found is None:
        return None
    root: dict[str, Any] = json.loads(found)
    ours = root.get("attributes", {}).get(ATTRIBUTE)
    if ours is None:
        raise StoreError(f"{address}: holds something other than a crosslabel store")
    if ours["experiments"] != experiments:
        raise StoreError(
            f"{address}: holds the store of {', '.join(ours['experiments'])}; "
            "give each store a repository of its own"
        )
    return root


def _groups(root: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    return {} if root is None else dict(root["attributes"][ATTRIBUTE]["ledger"])


def _compare(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the groups that need not be written, and those that are no longer there."""
    before, after = _groups(old), _groups(new)

    def metadata(root: Mapping[str, Any], name: str) -> dict[str, Any]:
        listed = root["consolidated_metadata"]["metadata"]
        # The sources are written with the labelled genome, and their checksum is in its content.
        names = [name, "sources"] if name == REFERENCE else [name]
        return {key: value for key, value in listed.items() if _below(key, names)}

    def weights(root: Mapping[str, Any], name: str) -> dict[str, Any]:
        records = root["attributes"][ATTRIBUTE].get(WEIGHTS, {})
        return {key: e["groups"][name] for key, e in records.items() if name in e["groups"]}

    kept = [
        name
        for name in after
        if old is not None
        and name in before
        and before[name]["content"] == after[name]["content"]
        and metadata(old, name) == metadata(new, name)
        and weights(old, name) == weights(new, name)
    ]
    return kept, [name for name in before if name not in after]


def _below(key: str, groups: Iterable[str]) -> bool:
    """Return whether a key belongs to one of the groups; the sources go with the reference."""
    return any(
        key == name
        or key.startswith(f"{name}/")
        or (name == REFERENCE and _below(key, ["sources"]))
        for name in groups
    )


def _write(
    session: Any,
    *,
    gone: list[str],
    root: Mapping[str, Any],
    files: Mapping[str, Callable[[], bytes]],
    progress: Progress,
    name: str,
) -> tuple[int, int]:
    """Write the files of changed groups into a session; return their number and bytes."""
    store, prototype = session.store, default_buffer_prototype()

    async def put(key: str, data: bytes) -> int:
        await store.set(key, prototype.buffer.from_bytes(data))
        return len(data)

    async def put_all(keys: list[str], advance: Callable[[float], None]) -> int:
        slots, total = asyncio.Semaphore(_AT_ONCE), 0

        async def one(key: str) -> None:
            nonlocal total
            async with slots:
                total += await put(key, await asyncio.to_thread(files[key]))
            advance(1)

        await asyncio.gather(*(one(key) for key in keys))
        return total

    async def everything(advance: Callable[[float], None]) -> int:
        for group in gone:
            for folder in [group, "sources"] if group == REFERENCE else [group]:
                await store.delete_dir(folder)
        if not any(group.startswith(f"{HOMOLOGUES}/") for group in _groups(root)):
            await store.delete_dir(HOMOLOGUES)
        total = await put("zarr.json", (json.dumps(root) + "\n").encode())
        # An array must be known before its chunks: metadata first, parents before children.
        described = sorted(key for key in files if key.endswith("zarr.json"))
        for key in sorted(described, key=lambda key: key.count("/")):
            total += await put(key, files[key]())
            advance(1)
        return total + await put_all([key for key in files if key not in set(described)], advance)

    with progress.task(f"publish {name}", len(files)) as advance:
        return len(files) + 1, sync(everything(advance))
