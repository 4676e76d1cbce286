"""The server of `store serve`: ranges as RFC 9110 has them, and nothing but the shared stores."""

from __future__ import annotations

import contextlib
import http.client
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ssldata.base.errors import InputError
from ssldata.sharing import range_server
from ssldata.sharing.range_server import RangeServer
from ssldata.store.store import open_store


@pytest.fixture
def path(built_world: Path, tmp_path: Path) -> Path:
    """Return a store of its own."""
    path = tmp_path / "alpha.zarr"
    shutil.copytree(built_world / "store" / "alpha.zarr", path)
    return path


@pytest.fixture
def served(path: Path, tmp_path: Path) -> Iterator[http.client.HTTPConnection]:
    """Serve a store and files beside it that are nobody's business."""
    (tmp_path / "secret.txt").write_text("secret")
    (path / "reference" / "zarr.json.1.partial").write_text("half")
    (path / ".hidden").write_text("hidden")
    (path / "link").symlink_to(tmp_path / "secret.txt")
    with RangeServer([path]) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        host, port = server.server_address[:2]
        connection = http.client.HTTPConnection(str(host), int(port), timeout=600)
        yield connection
        connection.close()
        server.shutdown()
        thread.join()


def ask(
    connection: http.client.HTTPConnection, target: str, method: str = "GET", **headers: str
) -> tuple[int, bytes, http.client.HTTPMessage]:
    connection.request(method, target, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read(), answer.headers


@pytest.mark.parametrize(
    ("header", "part", "status"),
    [
        ("bytes=0-9", slice(0, 10), 206),
        ("bytes=5-", slice(5, None), 206),
        ("bytes=-7", slice(-7, None), 206),
        ("bytes=0-99999999", slice(None), 206),
        ("bytes=-99999999", slice(None), 206),
        (" bytes=3-3 ", slice(3, 4), 206),
        ("bytes=0-1,4-5", slice(None), 200),
        ("lines=0-1", slice(None), 200),
        ("bytes=-", slice(None), 200),
        ("bytes=0-" + "9" * 5000, slice(None), 206),
        ("bytes=-" + "9" * 5000, slice(None), 206),
        ("bytes=" + "0" * 5000 + "1-2", slice(1, 3), 206),
        ("bytes=1_0-20", slice(None), 200),
    ],
)
def test_ranges(
    header: str, part: slice, status: int, served: http.client.HTTPConnection, path: Path
) -> None:
    whole = (path / "zarr.json").read_bytes()
    found, body, headers = ask(served, "/alpha.zarr/zarr.json", Range=header)
    assert (found, body) == (status, whole[part])
    assert int(headers["Content-Length"]) == len(body)
    assert ("Content-Range" in headers) == (status == 206)
    # Only GET has ranges (RFC 9110 §14.2).
    found, nothing, headers = ask(served, "/alpha.zarr/zarr.json", "HEAD", Range=header)
    assert (found, nothing, int(headers["Content-Length"])) == (200, b"", len(whole))
    assert "Content-Range" not in headers


@pytest.mark.parametrize(
    "header", ["bytes=99999999-", "bytes=9-3", "bytes=-0", "bytes=" + "9" * 5000 + "-"]
)
def test_ranges_that_cannot_be_met(
    header: str, served: http.client.HTTPConnection, path: Path
) -> None:
    status, body, headers = ask(served, "/alpha.zarr/zarr.json", Range=header)
    assert (status, body) == (416, b"")
    assert headers["Content-Range"] == f"bytes */{(path / 'zarr.json').stat().st_size}"


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/alpha.zarr",
        "/alpha.zarr/",
        "/alpha.zarr/nothing",
        "/secret.txt",
        "/alpha.zarr/../secret.txt",
        "/alpha.zarr/%2e%2e/secret.txt",
        "/alpha.zarr/..%2fsecret.txt",
        "/alpha.zarr//etc/passwd",
        "/alpha.zarr/link",
        "/alpha.zarr/.hidden",
        "/alpha.zarr/reference/zarr.json.1.partial",
        "/alpha.zarr/%00",
    ],
)
def test_nothing_else_is_served(target: str, served: http.client.HTTPConnection) -> None:
    assert ask(served, target)[0] == 404


@pytest.mark.parametrize(
    ("method", "status"),
    [("PUT", 405), ("POST", 405), ("DELETE", 405), ("PATCH", 405), ("OPTIONS", 405), ("BREW", 501)],
)
def test_the_server_is_read_only(
    method: str, status: int, served: http.client.HTTPConnection, path: Path
) -> None:
    before = (path / "zarr.json").read_bytes()
    found, _, headers = ask(served, "/alpha.zarr/zarr.json", method)
    assert found == status
    assert headers["Allow"] == ("GET, HEAD" if status == 405 else None)
    assert (path / "zarr.json").read_bytes() == before


def _raw(served: http.client.HTTPConnection, request: bytes) -> bytes:
    """Return the first line of the answer to bytes that may be no request at all."""
    with socket.create_connection((served.host, served.port), timeout=600) as connection:
        connection.sendall(request)
        return connection.makefile("rb").readline().rstrip()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /alpha.zarr/zarr.json\r\n\r\n", 400),
        (b"GET /alpha.zarr/zarr.json HTTP/1.1\r\n\r\n", 400),  # without Host
        (b"GET /alpha.zarr/\xff HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 2\r\n\r\n", 400),
        (b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
        (b"GET /?" + b"a" * 10_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: h\r\nA: " + b"a" * 100_000, 431),
        (b"GET /" + b"%2e/" * 1000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 404),
    ],
    ids=lambda value: str(value)[:40],
)
def test_bad_requests_get_their_status(
    request_bytes: bytes, status: int, served: http.client.HTTPConnection
) -> None:
    assert _raw(served, request_bytes).startswith(b"HTTP/1.1 %d " % status)
    assert ask(served, "/alpha.zarr/zarr.json")[0] == 200  # and the server goes on


def test_idle_connections_hold_no_thread_and_end(
    served: http.client.HTTPConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(range_server, "_PATIENCE", 2)
    assert ask(served, "/alpha.zarr/zarr.json")[0] == 200
    threads = threading.active_count()
    with contextlib.ExitStack() as stack:
        idle = [
            stack.enter_context(socket.create_connection((served.host, served.port), timeout=600))
            for _ in range(300)
        ]
        for number, connection in enumerate(idle):
            # Nothing at all, half a head, a head whose body never comes.
            part = (b"", b"GET / HTTP/1.1\r\nHo", b"GET / HTTP/1.1\r\nHost: h\r\n")[number % 3]
            part += b"Content-Length: 9\r\n\r\n" if number % 3 == 2 else b""
            connection.sendall(part)
        assert ask(served, "/alpha.zarr/zarr.json")[0] == 200
        assert threading.active_count() <= threads + 40
        for connection in idle:
            with contextlib.suppress(ConnectionResetError):
                while connection.recv(4096):
                    pass  # until the server ends it


def test_a_client_that_takes_nothing_is_left(
    served: http.client.HTTPConnection, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(range_server, "_PATIENCE", 1)
    large = 64 << 20  # more than the buffers of both sides
    with (path / "large").open("wb") as file:
        file.truncate(large)
    with socket.create_connection((served.host, served.port), timeout=600) as connection:
        connection.sendall(b"GET /alpha.zarr/large HTTP/1.1\r\nHost: h\r\n\r\n")
        time.sleep(3)
        received = 0
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(1 << 20):
                received += len(part)
    assert received < large
    # One that is slow but takes what comes gets all of it.
    assert len(ask(served, "/alpha.zarr/large")[1]) == large


def test_it_listens_on_loopback_by_default(path: Path) -> None:
    with RangeServer([path]) as server:
        assert server.server_address[0] == "127.0.0.1"
        assert server.urls[0].startswith("http://127.0.0.1:")
        taken = int(server.server_address[1])
        with pytest.raises(InputError, match="cannot listen there"):
            RangeServer([path], port=taken)


def test_an_interrupted_server_ends_as_other_commands_do(path: Path) -> None:
    command = "import sys; from flows.cli import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", command, "store", "serve", str(path), "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        url = process.stdout.readline().removeprefix("serving ").strip()
        assert open_store(url).digest == open_store(path).digest
        process.send_signal(signal.SIGINT)
        assert process.wait(600) == 130


def test_a_served_store_is_the_store(served: http.client.HTTPConnection, path: Path) -> None:
    store = open_store(f"http://{served.host}:{served.port}/alpha.zarr")
    assert store.digest == open_store(path).digest
    rows = store.homologues("relative1")
    local = open_store(path).homologues("relative1")
    assert np.array_equal(rows.codes(2, 31), local.codes(2, 31))
    assert rows.column_names() == local.column_names()
