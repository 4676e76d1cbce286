"""Hand a store to others: one zip, the same bytes for the same content, or a small web server."""

from __future__ import annotations

import contextlib
import http.server
import json
import logging
import re
import shutil
import socket
import zipfile
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ssldata.base.errors import InputError, StoreError
from ssldata.base.files import atomic_path, sha256_of, write_text_atomic
from ssldata.base.progress import NoProgress, Progress
from ssldata.sharing.card import card_files, croissant, licence_of
from ssldata.store.store import ATTRIBUTE, COMPLETE, Store, belongs, open_store
from ssldata.store.store_writer import writer_lock

_LOG = logging.getLogger(__name__)
#: The earliest time a zip can hold, for every member: equal stores give equal zips.
_TIME = (1980, 1, 1, 0, 0, 0)
_PIECE = 1 << 20
#: One range of bytes; anything else may be answered whole (RFC 9110 §14.2).
_RANGE = re.compile(r"\s*bytes=(?=.*\d)(\d*)-(\d*)\s*")
#: Names that are never shared or served.
_PRIVATE = re.compile(r"\.partial$|\.lock$|(^|/)\.")


def members_of(store: Store) -> Iterator[tuple[str, Path]]:
    """Yield (key in the store, file) of everything of the complete groups, sorted by name.

    The root and the card, which are made for whoever gets them, are not among them.
    """
    folder = Path(store.location)
    groups = [name for name, entry in store.ledger.items() if entry["status"] == COMPLETE]
    found = {}
    for name in [*groups, "sources"]:
        for parent in list(Path(name).parents)[:-1]:
            found[str(parent / "zarr.json")] = folder / parent / "zarr.json"
        for path in (folder / name).rglob("*"):
            key = str(path.relative_to(folder))
            if not path.is_file() or _PRIVATE.search(key):
                continue
            if belongs(path.relative_to(folder / name), name, store.weights):
                found[key] = path
    yield from sorted(found.items())


def shared_root(store: Store) -> dict[str, Any]:
    """Return the root metadata with complete groups only: others are not handed on."""
    text = (Path(store.location) / "zarr.json").read_text(encoding="utf-8")
    root: dict[str, Any] = json.loads(text)
    ledger = root["attributes"][ATTRIBUTE]["ledger"]
    root["attributes"][ATTRIBUTE]["ledger"] = {
        name: entry for name, entry in ledger.items() if entry["status"] == COMPLETE
    }
    return root


@contextlib.contextmanager
def unchanging(path: Path) -> Iterator[None]:
    """Hold the writer's place, when the folder lets us: a read-only one does not change anyway.

    Where no folder is, nothing is made: opening the store will say what is wrong.
    """
    with contextlib.ExitStack() as stack:
        if path.is_dir():
            try:
                stack.enter_context(writer_lock(path))
            except OSError:
                _LOG.info("%s: cannot be locked; taken as it is", path)
        yield


def share_zip(
    path: Path, out: Path, *, licence: str | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Write a store as one zip, its checksum and its croissant description.

    Members are stored, not compressed (the chunks are), so that single chunks can be read from the
    zip where it lies. Order, times and permissions are fixed: equal stores give equal bytes.

    Parameters
    ----------
    path
        A local store.
    out
        The zip; beside it ``<out>.sha256`` and ``<out>.croissant.json`` are written.
    licence
        Of the data, as an SPDX name or URL, for the card; default: that of the store's card.
    progress
        Who is told.

    Returns
    -------
    dict
        ``path``, ``sha256``, ``bytes``, ``files``, ``left_out`` (groups that are not complete).

    Raises
    ------
    InputError
        `out` lies inside the store.
    CrosslabelError
        The store cannot be opened.
    """
    if path.resolve() in out.resolve().parents:
        raise InputError(f"{out}: lies inside the store; write it elsewhere")
    progress = progress or NoProgress()
    with unchanging(path):
        store = open_store(path)
        licence = licence or licence_of(path)
        if not Path(store.location).is_dir():
            raise StoreError(f"{path}: already a single file; copy it")
        root = json.dumps(shared_root(store), indent=1, sort_keys=True) + "\n"
        made = {"zarr.json": root.encode()}
        made |= {key: text.encode() for key, text in card_files(store, licence=licence).items()}
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
                member = _member(key, file.stat().st_size)
                with archive.open(member, "w") as target, file.open("rb") as source:
                    shutil.copyfileobj(source, target, _PIECE)
                advance(1)
    digest, size = sha256_of(out), out.stat().st_size
    write_text_atomic(Path(f"{out}.sha256"), f"{digest}  {out.name}\n")
    described = croissant(store, licence=licence, archive=(out.name, digest, size))
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
    member.file_size = size  # zip64 where it is needed and nowhere else
    return member


# -- a web server --------------------------------------------------------------------------------


class _Handler(http.server.BaseHTTPRequestHandler):
    """GET and HEAD of files below one folder (or of one file), with byte ranges."""

    protocol_version = "HTTP/1.1"
    # Header and body in one packet: two small ones wait for each other's receipt, 40 ms each time.
    wbufsize = 1 << 16
    disable_nagle_algorithm = True
    server: RangeServer

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def log_message(self, format: str, *args: Any) -> None:
        _LOG.info("%s %s", self.address_string(), format % args)

    def _answer(self, *, body: bool) -> None:
        path = self.server.find(self.path)
        if path is None:
            self._end(HTTPStatus.NOT_FOUND, b"no such file\n" if body else b"")
            return
        with path.open("rb") as handle:
            size = path.stat().st_size
            # Only GET has ranges (RFC 9110 §14.2).
            header = self.headers.get("Range", "") if body else ""
            bounds = _range(header, size)
            if bounds is None:
                self._end(
                    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
                    b"",
                    ("Content-Range", f"bytes */{size}"),
                )
                return
            first, end = bounds
            # A range that spans all is still a range: a client may insist on 206.
            part = _RANGE.fullmatch(header) is not None
            self.send_response(HTTPStatus.PARTIAL_CONTENT if part else HTTPStatus.OK)
            self.send_header("Content-Type", _content_type(path))
            self.send_header("Content-Length", str(end - first))
            self.send_header("Accept-Ranges", "bytes")
            if part:
                self.send_header("Content-Range", f"bytes {first}-{end - 1}/{size}")
            self.end_headers()
            if body:
                handle.seek(first)
                left = end - first
                while left > 0 and (piece := handle.read(min(_PIECE, left))):
                    self.wfile.write(piece)
                    left -= len(piece)

    def _end(self, status: HTTPStatus, text: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for header in headers:
            self.send_header(*header)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def _content_type(path: Path) -> str:
    kinds = {".json": "application/json", ".zip": "application/zip", ".md": "text/markdown"}
    return kinds.get(path.suffix, "application/octet-stream")


def _range(header: str, size: int) -> tuple[int, int] | None:
    """Return the bytes [first, end) a Range header asks for; None when it cannot be met.

    RFC 9110 §14.1: one range of bytes; several, or another unit, may be ignored and answered whole.
    """
    found = _RANGE.fullmatch(header)
    if found is None:
        return 0, size
    first, last = found.groups()
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    return (start, end) if start < end else None


class RangeServer(http.server.ThreadingHTTPServer):
    """Serves stores and zips read-only, with range requests.

    Parameters
    ----------
    paths
        Stores (folders) and files; each is served below ``/<its name>``.
    host, port
        Where to listen; port 0 takes a free one.
    """

    daemon_threads = True
    #: Connections that may wait: readers open many at once, and one refused is lost to them.
    request_queue_size = 128

    def __init__(self, paths: list[Path], *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._shared = {path.resolve().name: path.resolve() for path in paths}
        if len(self._shared) != len(paths):
            raise InputError("two of the paths have one name; serve them one at a time")
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), _Handler)
        except OSError as exc:
            raise InputError(f"{host}:{port}: cannot listen there: {exc.strerror or exc}") from exc

    @property
    def urls(self) -> list[str]:
        """Addresses of what is served."""
        host, port = self.server_address[:2]
        shown = f"[{host!s}]" if ":" in str(host) else str(host)
        return [f"http://{shown}:{port}/{name}" for name in self._shared]

    def find(self, target: str) -> Path | None:
        """Return the file a request means; None for anything outside or private."""
        parts = [part for part in unquote(urlsplit(target).path).split("/") if part]
        if not parts or parts[0] not in self._shared or _PRIVATE.search("/".join(parts[1:])):
            return None
        top = self._shared[parts[0]]
        try:
            path = top.joinpath(*parts[1:]).resolve()
        except (OSError, ValueError):  # a null byte, a loop of links
            return None
        inside = path == top or top in path.parents
        return path if inside and path.is_file() else None
