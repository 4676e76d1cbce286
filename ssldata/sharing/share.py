"""Share a store: as one zip, byte-identical for equal content, or through a small web server."""

from __future__ import annotations

import contextlib
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
#: Connections that may wait: readers open many at once, and one refused is lost to them.
_WAITING = 128
#: Seconds after which an idle connection is closed; a reader's next chunk may take a while.
_KEEP_ALIVE = 600
#: One range of bytes; anything else may be answered whole (RFC 9110 §14.2).
_RANGE = re.compile(r"\s*bytes=(?=.*\d)(\d*)-(\d*)\s*")
#: Names that are never shared or served.
_PRIVATE = re.compile(r"\.partial$|\.lock$|(^|/)\.")


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
            if not path.is_file() or _PRIVATE.search(key):
                continue
            if belongs(path.relative_to(folder / name), name, store.weights):
                found[key] = path
    yield from sorted(found.items())


def shared_root(store: Store) -> dict[str, Any]:
    """Return the root metadata with complete groups only: others are not shared."""
    text = (Path(store.location) / "zarr.json").read_text(encoding="utf-8")
    root: dict[str, Any] = json.loads(text)
    ledger = root["attributes"][ATTRIBUTE]["ledger"]
    root["attributes"][ATTRIBUTE]["ledger"] = {
        name: entry for name, entry in ledger.items() if entry["status"] == COMPLETE
    }
    return root


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
    member.file_size = size  # zip64 only where it is needed
    return member


# -- a web server --------------------------------------------------------------------------------


class RangeServer:
    """Serves stores and zips read-only, with range requests, on Starlette and uvicorn.

    Parameters
    ----------
    paths
        Stores (folders) and files; each is served below ``/<its name>``.
    host, port
        Where to listen; port 0 takes a free one.

    Raises
    ------
    InputError
        Two of the paths have one name, or nothing can listen there.
    """

    def __init__(self, paths: list[Path], *, host: str = "127.0.0.1", port: int = 0) -> None:
        import uvicorn

        self._shared = {path.resolve().name: path.resolve() for path in paths}
        if len(self._shared) != len(paths):
            raise InputError("two of the paths have one name; serve them one at a time")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # With its protocol named asyncio turns off the wait for a full packet: 40 ms each time.
        self._socket = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((host, port))
            self._socket.listen(_WAITING)
        except OSError as exc:
            self._socket.close()
            raise InputError(f"{host}:{port}: cannot listen there: {exc.strerror or exc}") from exc
        #: Host and port.
        self.server_address: tuple[str, int] = self._socket.getsockname()[:2]
        config = uvicorn.Config(
            self._answer,
            access_log=False,
            backlog=_WAITING,
            interface="asgi3",
            lifespan="off",
            log_config=None,
            log_level="error",
            timeout_graceful_shutdown=1,
            timeout_keep_alive=_KEEP_ALIVE,
            ws="none",
        )
        self._server = uvicorn.Server(config)

    def __enter__(self) -> RangeServer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._socket.close()

    def serve_forever(self) -> None:
        """Answer requests until :meth:`shutdown` or, in the main thread, Ctrl-C."""
        self._server.run(sockets=[self._socket])

    def shutdown(self) -> None:
        """End :meth:`serve_forever`, which runs in another thread."""
        self._server.should_exit = True

    @property
    def urls(self) -> list[str]:
        """Addresses of what is served."""
        host, port = self.server_address
        shown = f"[{host}]" if ":" in host else host
        return [f"http://{shown}:{port}/{name}" for name in self._shared]

    def find(self, target: str) -> Path | None:
        """Return the file of a decoded URL path; None for anything outside or private."""
        parts = [part for part in target.split("/") if part]
        if not parts or parts[0] not in self._shared or _PRIVATE.search("/".join(parts[1:])):
            return None
        top = self._shared[parts[0]]
        try:
            path = top.joinpath(*parts[1:]).resolve()
        except (OSError, ValueError):  # a null byte, a loop of links
            return None
        inside = path == top or top in path.parents
        return path if inside and path.is_file() else None

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request: an ASGI application."""
        from starlette.concurrency import run_in_threadpool

        response = await run_in_threadpool(self._response, scope)
        _LOG.info("%s %s %s", scope["method"], scope["path"], response.status_code)
        await response(scope, receive, send)

    def _response(self, scope: Any) -> Any:
        from starlette.datastructures import MutableHeaders
        from starlette.responses import FileResponse, PlainTextResponse, Response

        if scope["method"] not in ("GET", "HEAD"):
            return Response(status_code=HTTPStatus.NOT_IMPLEMENTED)
        path = self.find(scope["path"])
        if path is None:
            return PlainTextResponse("no such file\n", HTTPStatus.NOT_FOUND)
        found, kind = path.stat(), _content_type(path)
        headers = MutableHeaders(scope=scope)
        # Only GET has ranges (RFC 9110 §14.2). Starlette, which answers several with a multipart
        # body and odd ones with 400, gets one range that can be met, or none.
        wanted = headers.get("range", "") if scope["method"] == "GET" else ""
        del headers["range"]
        if _RANGE.fullmatch(wanted):
            bounds = _range(wanted, found.st_size)
            if bounds is None:
                return Response(
                    status_code=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
                    headers={"Content-Range": f"bytes */{found.st_size}"},
                )
            first, end = bounds
            if end - first <= _PIECE and "if-range" not in headers:
                # Read here, in one visit to a thread; Starlette makes four, at 0.4 ms each.
                with path.open("rb") as handle:
                    handle.seek(first)
                    data = handle.read(end - first)
                covered = f"bytes {first}-{end - 1}/{found.st_size}"
                about = {"Accept-Ranges": "bytes", "Content-Range": covered}
                return Response(data, HTTPStatus.PARTIAL_CONTENT, about, kind)
            headers["range"] = f"bytes={first}-{end - 1}"
        response = FileResponse(path, media_type=kind, stat_result=found)
        response.chunk_size = _PIECE
        return response


def _content_type(path: Path) -> str:
    kinds = {".json": "application/json", ".zip": "application/zip", ".md": "text/markdown"}
    return kinds.get(path.suffix, "application/octet-stream")


def _range(header: str, size: int) -> tuple[int, int] | None:
    """Return the bytes [first, end) that a range header means; None when it cannot be met."""
    first, last = header.strip().removeprefix("bytes=").split("-")
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    return (start, end) if start < end else None
