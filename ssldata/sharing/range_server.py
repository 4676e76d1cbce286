"""A small read-only web server for stores and zips, with range requests."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
from http import HTTPStatus
from pathlib import Path

import h11
import uvicorn
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from ssldata.base.errors import InputError
from ssldata.sharing.zip_store import PIECE, PRIVATE

_LOG = logging.getLogger(__name__)
#: Connections that may wait: readers open many at once, and one refused is lost to them.
_WAITING = 128
#: Open connections, beyond which requests are answered 503; below the usual limit of 1,024 files.
_CONNECTIONS = 512
#: Seconds after which an idle connection is closed; a reader's next chunk may take a while.
_KEEP_ALIVE = 120
#: Seconds in which a client must finish a request, or take the next part of an answer.
_PATIENCE = 60
#: Bytes of the address of a request; no file of a store needs a tenth of it.
_LONGEST_TARGET = 8192
#: One range of bytes; anything else may be answered whole (RFC 9110 §14.2).
_RANGE = re.compile(r"\s*bytes=(?=.*\d)(\d*)-(\d*)\s*")
#: Positions of more digits lie beyond the end of any file.
_MOST_DIGITS = 18
#: What every server must know (RFC 9110 §9.1) and this one may refuse.
_METHODS = {"POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}


class _PatientProtocol(H11Protocol):
    """Uvicorn's HTTP/1.1, which by itself would wait for ever for the end of a request."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self._expect()
        else:
            self._done()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._done()

    def connection_lost(self, exc: Exception | None) -> None:
        self._done()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        buffered, _ = self.conn.trailing_data
        if len(buffered) <= _LONGEST_TARGET:
            super().send_400_response(msg)
            return
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        if b"\n" not in buffered:
            status = HTTPStatus.REQUEST_URI_TOO_LONG
        self.transport.write(
            f"HTTP/1.1 {status.value} {status.phrase}\r\n"
            "Content-Length: 0\r\nConnection: close\r\n\r\n".encode()
        )
        self.transport.close()

    def _expect(self) -> None:
        """Close the connection unless the client does its part in time."""
        if self._deadline is None:
            self._deadline = self.loop.call_later(_PATIENCE, self.transport.abort)

    def _done(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


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
            http=_PatientProtocol,
            interface="asgi3",
            lifespan="off",
            limit_concurrency=_CONNECTIONS,
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
        if not parts or parts[0] not in self._shared or PRIVATE.search("/".join(parts[1:])):
            return None
        top = self._shared[parts[0]]
        try:
            path = top.joinpath(*parts[1:]).resolve()
        except (OSError, ValueError):  # a null byte, a loop of links
            return None
        inside = path == top or top in path.parents
        return path if inside and path.is_file() else None

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request: an ASGI application."""
        # Starlette's threads, of which there are at most 40; idle connections hold none.
        response = await run_in_threadpool(self._response, scope)
        _LOG.info("%s %s %s", scope["method"], scope["path"], response.status_code)
        await response(scope, receive, send)

    def _response(self, scope: Scope) -> Response:
        if scope["method"] not in ("GET", "HEAD"):
            if scope["method"] not in _METHODS:
                return Response(status_code=HTTPStatus.NOT_IMPLEMENTED)
            allowed = {"Allow": "GET, HEAD"}
            return Response(status_code=HTTPStatus.METHOD_NOT_ALLOWED, headers=allowed)
        if len(scope["raw_path"]) + len(scope["query_string"]) > _LONGEST_TARGET:
            return Response(status_code=HTTPStatus.REQUEST_URI_TOO_LONG)
        path = self.find(scope["path"])
        try:
            if path is not None:
                return _file_response(path, scope)
        except OSError as exc:  # deleted since, or not readable
            _LOG.info("%s", exc)
        return PlainTextResponse("no such file\n", HTTPStatus.NOT_FOUND)


def _file_response(path: Path, scope: Scope) -> Response:
    kind, headers = _content_type(path), MutableHeaders(scope=scope)
    # Only GET has ranges (RFC 9110 §14.2). Starlette, which answers several with a multipart
    # body and odd ones with 400, gets one range that can be met, or none.
    wanted = headers.get("range", "") if scope["method"] == "GET" else ""
    del headers["range"]
    with path.open("rb") as handle:
        found = os.fstat(handle.fileno())
        if _RANGE.fullmatch(wanted):
            bounds = _range(wanted, found.st_size)
            if bounds is None:
                return Response(
                    status_code=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
                    headers={"Content-Range": f"bytes */{found.st_size}"},
                )
            first, end = bounds
            if end - first <= PIECE and "if-range" not in headers:
                # Read here, in one visit to a thread; Starlette makes four, at 0.4 ms each.
                handle.seek(first)
                data = handle.read(end - first)
                covered = f"bytes {first}-{end - 1}/{found.st_size}"
                about = {"Accept-Ranges": "bytes", "Content-Range": covered}
                return Response(data, HTTPStatus.PARTIAL_CONTENT, about, kind)
            headers["range"] = f"bytes={first}-{end - 1}"
    response = FileResponse(path, media_type=kind, stat_result=found)
    response.chunk_size = PIECE
    return response


def _content_type(path: Path) -> str:
    kinds = {".json": "application/json", ".zip": "application/zip", ".md": "text/markdown"}
    return kinds.get(path.suffix, "application/octet-stream")


def _range(header: str, size: int) -> tuple[int, int] | None:
    """Return the bytes [first, end) that a range header means; None when it cannot be met."""
    first, last = header.strip().removeprefix("bytes=").split("-")
    start = _position(first) if first else max(0, size - _position(last))
    end = min(size, _position(last) + 1) if first and last else size
    return (start, end) if start < end else None


def _position(digits: str) -> int:
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) <= _MOST_DIGITS else 10**_MOST_DIGITS
