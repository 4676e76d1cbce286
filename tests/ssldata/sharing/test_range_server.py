"""The server of `store serve`: ranges as RFC 9110 has them, and nothing but the shared stores."""

from __future__ import annotations

import http.client
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ssldata.base.errors import InputError
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


@pytest.mark.parametrize("header", ["bytes=99999999-", "bytes=9-3", "bytes=-0"])
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


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH"])
def test_the_server_is_read_only(
    method: str, served: http.client.HTTPConnection, path: Path
) -> None:
    before = (path / "zarr.json").read_bytes()
    assert ask(served, "/alpha.zarr/zarr.json", method)[0] == 501
    assert (path / "zarr.json").read_bytes() == before


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
