"""Share a store: as one zip, byte-identical for equal content, or through a small web server."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ssldata.base.errors import InputError, StoreError
from ssldata.base.files import (
    atomic_path,
    real_path,
    sha256_of,
    write_text_atomic,
)
from ssldata.base.progress import NoProgress, Progress
from ssldata.sharing.card import FINDINGS, PAGE, card_files, findings_of
from ssldata.sharing.croissant_file import Facts, croissant, facts_of
from ssldata.store.checked_store import REPAIR, is_sound
from ssldata.store.root_metadata import parse_json, root_text
from ssldata.store.store import COMPLETE, Store, belongs, open_store
from ssldata.store.store_writer import writer_lock

_LOG = logging.getLogger(__name__)
#: The earliest time a zip can hold, for every member: equal stores give equal zips.
_TIME = (1980, 1, 1, 0, 0, 0)
#: Bytes copied or sent at a time.
PIECE = 1 << 20
#: Names that are never shared or served.
PRIVATE = re.compile(r"\.partial$|\.lock$|(^|/)\.")


def members_of(store: Store) -> Iterator[tuple[str, Path]]:
    """Yield (key in the store, file) for every file of the complete groups, sorted by key.

    The root and the card are not among them: they are written for each copy.
    """
    folder = Path(store.location)
    groups = [name for name, entry in store.ledger.items() if entry["status"] == COMPLETE]
    found = {}
    for name in [*groups, "sources"]:
        for parent in list(Path(name).parents)[:-1]:
            found[str(parent / "zarr.json")] = folder / parent / "zarr.json"
        for path in (folder / name).rglob("*"):
            key = str(path.relative_to(folder))
            if not path.is_file() or PRIVATE.search(key):
                continue
            if belongs(path.relative_to(folder / name), name, store.weights):
                found[key] = path
    yield from sorted(found.items())


def bytes_of(store: Store, key: str, file: Path) -> bytes:
    """Return a file of :func:`members_of`, after a look at its checksums: damage is not shared.

    Raises
    ------
    StoreError
        A chunk is damaged, or metadata are not those of the root.
    """
    data, path = file.read_bytes(), key
    while path and path not in store.nodes:
        path = path.rpartition("/")[0]
    node = {k: v for k, v in store.nodes.get(path, {}).items() if k != "consolidated_metadata"}
    if key == f"{path}/zarr.json":
        sound = parse_json(data, str(file)) == node
    else:
        sound = is_sound(node, data)
    if not sound:
        raise StoreError(f"{file}: damaged; {REPAIR}")
    return data


def shared_root(store: Store) -> str:
    """Return the text of the root with complete groups only: others are not shared."""
    ledger = {name: entry for name, entry in store.ledger.items() if entry["status"] == COMPLETE}
    return root_text({**store.attributes, "ledger": ledger}, store.nodes)


@contextlib.contextmanager
def unchanging(path: Path) -> Iterator[None]:
    """Hold the writer's lock if the folder allows it: a read-only store does not change anyway.

    Where there is no folder, nothing is made: opening the store reports what is wrong.
    """
    with contextlib.ExitStack() as stack:
        if path.is_dir():
            try:
                stack.enter_context(writer_lock(path))
            except OSError:
                _LOG.info("%s: cannot be locked; shared as it is", path)
        yield


def share_zip(
    path: Path, out: Path, *, licence: str | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Write a store as one zip, its checksum and its croissant description.

    Members are stored, not compressed (the chunks are), so that single chunks can be read from the
    zip in place. Order, times and permissions are fixed: equal stores give equal bytes.

    Parameters
    ----------
    path
        A local store.
    out
        The zip; beside it ``<out>.sha256`` and ``<out>.croissant.json`` are written.
    licence
        Licence of the data for the card, an SPDX name or URL; default: that of the store's card.
    progress
        Progress reporter.

    Returns
    -------
    dict
        ``path``, ``sha256``, ``bytes``, ``files``, ``left_out`` (groups that are not complete).

    Raises
    ------
    InputError
        `out` lies inside the store.
    CrosslabelError
        The store cannot be opened, or is damaged.
    """
    if real_path(path) in real_path(out).parents:
        raise InputError(f"{out}: lies inside the store; write it elsewhere")
    progress = progress or NoProgress()
    with unchanging(path):
        store = open_store(path)
        facts = Facts(licence).or_else(facts_of(path))
        if not Path(store.location).is_dir():
            raise StoreError(f"{path}: already a single file; copy it")
        made = {"zarr.json": shared_root(store).encode()}
        findings = findings_of(path, store.digest)
        files = card_files(store, facts=facts, findings=findings)
        made |= {key: text.encode() for key, text in files.items()}
        if findings:
            made |= {
                key: (path / key).read_bytes() for key in (FINDINGS, PAGE) if (path / key).is_file()
            }
        members = list(members_of(store))
        with (
            progress.task(f"zip {path.name}", len(members)) as advance,
            atomic_path(out) as temporary,
            zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive,
        ):
            for key, data in sorted(made.items()):
                with archive.open(_member(key, len(data)), "w") as target:
                    target.write(data)
            for key, file in members:
                data = bytes_of(store, key, file)
                with archive.open(_member(key, len(data)), "w") as target:
                    target.write(data)
                advance(1)
    digest, size = sha256_of(out), out.stat().st_size
    write_text_atomic(Path(f"{out}.sha256"), f"{digest}  {out.name}\n")
    described = croissant(store, facts=facts, archive=(out.name, digest, size))
    text = json.dumps(described, indent=2, ensure_ascii=False) + "\n"
    write_text_atomic(Path(f"{out}.croissant.json"), text)
    return {
        "path": str(out),
        "sha256": digest,
        "bytes": size,
        "files": len(made) + len(members),
        "left_out": sorted(n for n, e in store.ledger.items() if e["status"] != COMPLETE),
    }


def _member(name: str, size: int) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, _TIME)
    member.external_attr = 0o100644 << 16
    member.create_system = 3
    member.file_size = size  # zip64 only where it is needed
    return member


# -- a web server --------------------------------------------------------------------------------
