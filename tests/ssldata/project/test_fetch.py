"""Fetching from the cache, a mirror folder and a server on loopback. Nothing leaves loopback."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from twobit_tools import twobit

from ssldata.base.errors import (
    ConfigError,
    FetchError,
    InputError,
    MissingInputError,
    UnreachableError,
)
from ssldata.genomes.genome import open_genome
from ssldata.project import fetch as fetch_module
from ssldata.project.fetch import fetch
from ssldata.project.project_file import Project
from ssldata.project.source_table import COLUMNS, read_sources

PEAKS = b"".join(b"chrI\t%d\t%d\n" % (i, i + 1) for i in range(20_000))
GENOME = twobit({"chrI": "ACGTacgtNNNNACGT" * 50})


class Server:
    """Serves `files` below /mirror/ and /public/; can cut, garble, refuse, or ignore ranges."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.ranges = True
        self.cuts: list[int] = []  # bytes of body to send in the next answers, then hang up
        self.requests: list[tuple[str, str | None]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                wanted = self.headers.get("Range")
                outer.requests.append((self.path, wanted))
                body = outer.files.get(self.path)
                if body is None:
                    self.send_error(404)
                    return
                start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
                if wanted and outer.ranges:
                    if start >= len(body):
                        self.send_error(416)
                        return
                    self.send_response(206)
                    self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
                    body = body[start:]
                else:
                    self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: outer.cuts.pop(0)] if outer.cuts else body)

            def log_message(self, *_args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    with contextlib.closing(Server()) as running:
        running.files = {
            f"/{top}/{path}": data
            for top in ("mirror", "public")
            for path, data in {"peaks/a b.bed": PEAKS, "genomes/g.2bit": GENOME}.items()
        }
        for path in list(running.files):
            running.files[path.replace(" ", "%20")] = running.files[path]
        yield running


@pytest.fixture(scope="module")
def nowhere() -> Iterator[str]:
    """Return an address that refuses connections: its port is held, but nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("CROSSLABEL_CACHE", str(folder))
    monkeypatch.delenv("CROSSLABEL_MIRROR", raising=False)
    for variable in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.upper(), raising=False)
    monkeypatch.setattr(fetch_module, "_PAUSE", 0.0)
    monkeypatch.setattr(fetch_module, "_CHUNK", 1000)  # of a broken download, whole chunks count
    return folder


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class World:
    """A project folder whose table names two files, and a mirror folder that has them."""

    def __init__(self, folder: Path, public: str) -> None:
        self.folder = folder / "project"
        self.folder.mkdir()
        self.mirror = folder / "mirror"
        for path, data in {"peaks/a b.bed": PEAKS, "genomes/g.2bit": GENOME}.items():
            (self.mirror / path).parent.mkdir(parents=True)
            (self.mirror / path).write_bytes(data)
        self.peaks = self.folder / "data/peaks/a.bed"
        self.genome = self.folder / "data/genomes/g.2bit"
        self.write_table(public)

    def write_table(self, public: str) -> None:
        digest = open_genome(self.mirror / "genomes/g.2bit").digest
        rows = [
            ("data/peaks/a.bed", "peaks/a b.bed", PEAKS, "", f"{public}/public/peaks/a b.bed"),
            (
                "data/genomes/g.2bit",
                "genomes/g.2bit",
                GENOME,
                digest,
                f"{public}/public/genomes/g.2bit",
            ),
        ]
        lines = ["\t".join(COLUMNS)] + [
            "\t".join([path, mirror, str(len(data)), sha256(data), sequences, url, "public", ""])
            for path, mirror, data, sequences, url in rows
        ]
        (self.folder / "SOURCES.tsv").write_text("\n".join(lines) + "\n")

    @property
    def project(self) -> Project:
        project = Project.model_validate(
            {
                "name": "p",
                "reference": {"name": "g", "sequence": str(self.genome)},
                "experiments": [{"name": "a", "peaks": str(self.peaks)}],
                "split": {"test": ["chrI"]},
                "training": {"regimes": ["sl"]},
                "sources": str(self.folder / "SOURCES.tsv"),
            }
        )
        project._file = self.folder / "project.yaml"
        return project

    def fetch(self, **options):
        return fetch(self.project, **options)

    def statuses(self, **options) -> list[str]:
        return [file.status for file in self.fetch(**options).files]

    def complete(self) -> bool:
        files = sorted(p for p in self.folder.rglob("*") if p.is_file())
        assert [p.name for p in files] == ["SOURCES.tsv", "g.2bit", "a.bed"]  # and no leftovers
        return self.peaks.read_bytes() == PEAKS and self.genome.read_bytes() == GENOME


@pytest.fixture
def world(tmp_path, nowhere) -> World:
    return World(tmp_path, nowhere)


class Recorder:
    """A Progress that adds up."""

    def __init__(self) -> None:
        self.tasks: list[tuple[str, float | None]] = []
        self.done = 0.0

    @contextlib.contextmanager
    def task(self, description, total=None):
        self.tasks.append((description, total))

        def advance(amount: float = 1) -> None:
            self.done += amount

        yield advance


def test_from_a_mirror_folder_then_nothing_to_do(world, monkeypatch):
    monkeypatch.setenv("CROSSLABEL_MIRROR", str(world.mirror))
    progress = Recorder()
    report = world.fetch(progress=progress)
    assert [file.status for file in report.files] == ["mirror", "mirror"]
    assert report.count("mirror") == 2
    assert report.as_dict()["files"][0]["path"] == str(world.peaks)
    assert world.complete()
    assert progress.tasks == [("Fetching 2 files", len(PEAKS) + len(GENOME))]
    assert progress.done == len(PEAKS) + len(GENOME)
    # A copy: changing the project's file must not change the mirror's.
    assert world.peaks.stat().st_nlink == 1
    before = world.peaks.stat().st_mtime_ns
    progress = Recorder()
    assert world.statuses(progress=progress, offline=True) == ["present", "present"]
    assert progress.tasks == []
    assert world.peaks.stat().st_mtime_ns == before


def test_a_mirror_folder_serves_offline(world, monkeypatch):
    monkeypatch.setenv("CROSSLABEL_MIRROR", str(world.mirror))
    assert world.statuses(offline=True) == ["mirror", "mirror"]


def test_from_a_mirror_server_then_from_the_cache(world, server, monkeypatch):
    monkeypatch.setenv("CROSSLABEL_MIRROR", f"{server.url}/mirror/")
    progress = Recorder()
    assert world.statuses(progress=progress) == ["mirror", "mirror"]
    assert world.complete()
    assert progress.done == len(PEAKS) + len(GENOME)
    assert [path for path, _ in server.requests] == [
        "/mirror/peaks/a%20b.bed",
        "/mirror/genomes/g.2bit",
    ]
    world.peaks.unlink()
    monkeypatch.delenv("CROSSLABEL_MIRROR")
    assert world.statuses(offline=True) == ["cache", "present"]
    assert world.complete()


def test_from_the_public_address(world, server):
    world.write_table(server.url)
    assert world.statuses() == ["url", "url"]
    assert world.complete()


def test_what_a_mirror_lacks_comes_from_the_public_address(world, server, monkeypatch):
    world.write_table(server.url)
    (world.mirror / "genomes/g.2bit").unlink()
    monkeypatch.setenv("CROSSLABEL_MIRROR", str(world.mirror))
    assert world.statuses() == ["mirror", "url"]
    del server.files["/mirror/peaks/a%20b.bed"]
    world.peaks.unlink()
    monkeypatch.setenv("CROSSLABEL_MIRROR", f"{server.url}/mirror")
    assert world.statuses() == ["url", "present"]


def test_a_damaged_cache_is_thrown_away(world, server, cache):
    world.write_table(server.url)
    world.fetch()
    (cached,) = (cache / "downloads").glob("*a.bed")
    cached.unlink()
    cached.write_bytes(PEAKS[:-1] + b"x")
    world.peaks.unlink()
    assert world.statuses() == ["url", "present"]
    assert world.complete()


@pytest.mark.parametrize("ranges", [True, False])
def test_a_cut_download_goes_on_by_itself(world, server, ranges):
    world.write_table(server.url)
    server.ranges = ranges
    server.cuts = [100_000]
    progress = Recorder()
    assert world.statuses(progress=progress) == ["url", "url"]
    assert world.complete()
    assert progress.done == len(PEAKS) + len(GENOME)
    assert server.requests[1][1] == "bytes=100000-"


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_stays_cut_is_continued_by_the_next_fetch(world, server, cache, ranges):
    world.write_table(server.url)
    server.ranges = ranges
    server.cuts = [70_000, 0]
    with pytest.raises(UnreachableError, match="connection broke; what arrived is kept"):
        world.fetch()
    (part,) = (cache / "downloads").iterdir()
    assert part.name.endswith(".part")
    # Without ranges the second answer begins anew, and is cut at once.
    assert part.read_bytes() == (PEAKS[:70_000] if ranges else b"")
    assert not world.peaks.exists()
    server.requests.clear()
    assert world.statuses() == ["url", "url"]
    assert server.requests[0][1] == ("bytes=70000-" if ranges else None)
    assert world.complete()
    assert list((cache / "downloads").glob("*.part")) == []


def test_continuing_ends(world, server):
    world.write_table(server.url)
    server.cuts = [1000] * 50
    with pytest.raises(UnreachableError, match="connection broke"):
        world.fetch()
    assert len(server.requests) == 4


def test_a_part_of_another_file_does_no_harm(world, server, cache):
    world.write_table(server.url)
    folder = cache / "downloads"
    folder.mkdir(parents=True)
    for data in (b"x" * 100, b"x" * len(PEAKS), b"x" * (len(PEAKS) + 5)):
        (folder / f"{sha256(PEAKS)[:16]}-a.bed.part").write_bytes(data)
        progress = Recorder()
        assert world.statuses(progress=progress)[0] == "url"
        assert world.complete()
        world.peaks.unlink()
        (folder / f"{sha256(PEAKS)[:16]}-a.bed").unlink()


def test_a_finished_part_is_only_checked(world, server, cache):
    world.write_table(server.url)
    folder = cache / "downloads"
    folder.mkdir(parents=True)
    (folder / f"{sha256(PEAKS)[:16]}-a.bed.part").write_bytes(PEAKS)
    assert world.statuses() == ["url", "url"]
    assert [path for path, _ in server.requests] == ["/public/genomes/g.2bit"]


def test_wrong_bytes_from_a_server(world, server, cache):
    world.write_table(server.url)
    wrong = PEAKS.replace(b"\t7\t", b"\t9\t")
    server.files["/public/peaks/a%20b.bed"] = wrong
    with pytest.raises(FetchError, match="gave another file") as caught:
        world.fetch()
    message = str(caught.value)
    assert not isinstance(caught.value, UnreachableError)
    assert "\n" not in message
    for part in ("data/peaks/a.bed", server.url, sha256(PEAKS), sha256(wrong), "try again"):
        assert part in message
    assert not world.peaks.exists()
    assert [p.name for p in (cache / "downloads").iterdir() if p.stat().st_size] == []


def test_wrong_bytes_in_a_mirror_folder(world, monkeypatch):
    monkeypatch.setenv("CROSSLABEL_MIRROR", str(world.mirror))
    (world.mirror / "peaks/a b.bed").write_bytes(b"else")
    with pytest.raises(FetchError, match=rf"expected sha256 {sha256(PEAKS)} .*found .*4 bytes"):
        world.fetch()
    assert not world.peaks.exists()


def test_another_file_of_the_same_sequences_is_accepted(world, server):
    world.write_table(server.url)
    other = gzip.compress(b">chrI\n" + b"ACGTacgtNNNNacgt" * 50 + b"\n")
    server.files["/public/genomes/g.2bit"] = other
    assert world.statuses() == ["url", "url"]
    assert world.genome.read_bytes() == other
    assert world.statuses() == ["present", "present"]
    world.genome.unlink()
    assert world.statuses() == ["present", "cache"]


def test_another_genome_is_not(world, server):
    world.write_table(server.url)
    server.files["/public/genomes/g.2bit"] = twobit({"chrI": "ACGT"})
    with pytest.raises(FetchError, match=r"g\.2bit gave another file"):
        world.fetch()
    server.files["/public/genomes/g.2bit"] = b"<html>no genome at all</html>"
    with pytest.raises(FetchError, match=r"g\.2bit gave another file"):
        world.fetch()
    assert not world.genome.exists()


def test_offline_without_a_mirror_is_one_clear_message(world):
    with pytest.raises(UnreachableError) as caught:
        world.fetch()
    message = str(caught.value)
    assert caught.value.exit_code == 3
    assert message.startswith(
        "data/peaks/a.bed: cannot be fetched; tried the cache, http://127.0.0.1:"
    )
    assert "Connection refused" in message
    assert (
        "set CROSSLABEL_MIRROR to a folder or http(s) address that holds peaks/a b.bed" in message
    )
    assert "\n" not in message
    with pytest.raises(UnreachableError, match="not tried: offline"):
        world.fetch(offline=True)
    assert not world.peaks.parent.exists()


def test_an_unreachable_mirror_is_named_too(world, nowhere, monkeypatch):
    mirror = f"{nowhere}/x"
    monkeypatch.setenv("CROSSLABEL_MIRROR", mirror)
    with pytest.raises(UnreachableError, match=rf"{mirror}/peaks/a%20b.bed \(cannot connect"):
        world.fetch()


def test_a_server_without_the_file(world, server):
    world.write_table(server.url)
    server.files.clear()
    with pytest.raises(UnreachableError, match=r"a b.bed \(HTTP 404\)"):
        world.fetch()


def test_a_mirror_that_is_not_a_folder(world, tmp_path, monkeypatch):
    monkeypatch.setenv("CROSSLABEL_MIRROR", str(tmp_path / "typo"))
    with pytest.raises(FetchError, match="typo, which is not a folder; correct it, or unset it"):
        world.fetch()


def test_another_file_in_place_is_kept_unless_replaced(world, monkeypatch):
    monkeypatch.setenv("CROSSLABEL_MIRROR", str(world.mirror))
    world.fetch()
    world.peaks.write_bytes(b"my own peaks\n")
    with pytest.raises(FetchError, match=r"another file is in the place.*13 bytes.*move it away"):
        world.fetch()
    assert world.peaks.read_bytes() == b"my own peaks\n"
    assert world.statuses(replace=True) == ["mirror", "present"]
    assert world.complete()
    world.peaks.unlink()
    world.peaks.mkdir()
    with pytest.raises(FetchError, match=r"a folder or device; move it away and fetch again$"):
        world.fetch(replace=True)


def test_a_read_only_project_folder(world, monkeypatch):
    monkeypatch.setenv("CROSSLABEL_MIRROR", str(world.mirror))
    with monkeypatch.context() as patch:
        # The tests may run as root, whom no permission stops.
        def refuse(path, *_args, **_options):
            raise PermissionError(13, "Permission denied", str(path))

        patch.setattr(fetch_module.shutil, "copyfile", refuse)
        with pytest.raises(FetchError, match=r"a\.bed: cannot be written \(Permission denied\)"):
            world.fetch()
        assert not world.peaks.exists()
    world.fetch()
    for folder in (world.peaks.parent, world.genome.parent, world.folder):
        folder.chmod(0o555)
    try:
        assert world.statuses(offline=True) == ["present", "present"]
    finally:
        for folder in (world.peaks.parent, world.genome.parent, world.folder):
            folder.chmod(0o755)


def test_a_full_cache_disk(world, server, monkeypatch):
    world.write_table(server.url)

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ssldata.project.fetch._Counting.write", full)
    with pytest.raises(FetchError, match=r"No space left on device.*CROSSLABEL_CACHE"):
        world.fetch()


def test_many_at_once_download_once(world, server):
    world.write_table(server.url)
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda _: world.statuses(), range(4)))
    assert world.complete()
    assert len(server.requests) == 2
    assert sorted(r[0] for r in reports if r[0] != "present").count("url") == 1


def forget_checksums(world: World, **urls: str) -> None:
    """Empty the columns bytes and sha256, and the addresses named."""
    header, *rows = (world.folder / "SOURCES.tsv").read_text().splitlines()
    for number, row in enumerate(rows):
        cells = row.split("\t")
        cells[2] = cells[3] = ""
        cells[5] = urls.get(Path(cells[0]).suffix[1:], cells[5])
        rows[number] = "\t".join(cells)
    (world.folder / "SOURCES.tsv").write_text("\n".join([header, *rows]) + "\n")


def test_an_unknown_checksum_is_that_of_the_first_fetch(world, server, cache):
    world.write_table(server.url)
    forget_checksums(world)
    assert world.statuses() == ["url", "url"]
    lock = (world.folder / "SOURCES.lock.tsv").read_text().splitlines()
    assert lock[0].split("\t") == ["path", "bytes", "sha256", "origin"]
    assert lock[1].split("\t")[:3] == ["data/genomes/g.2bit", str(len(GENOME)), sha256(GENOME)]
    assert lock[1].endswith("/public/genomes/g.2bit")
    assert world.statuses(offline=True) == ["present", "present"]
    assert (world.folder / "SOURCES.lock.tsv").read_text().splitlines() == lock
    # The next fetch is held to it: here, and wherever the lock file is handed on to.
    server.files["/public/peaks/a%20b.bed"] = PEAKS + b"chrII\t0\t1\n"
    world.peaks.unlink()
    with pytest.raises(FetchError, match=r"another file: expected sha256 .* the download was"):
        world.fetch()
    world.peaks.write_bytes(b"chrI\t1\t2\n")
    with pytest.raises(FetchError, match="another file is in the place"):
        world.fetch()


def test_a_file_in_place_is_trusted_once(world):
    forget_checksums(world)
    for path, data in ((world.peaks, PEAKS), (world.genome, GENOME)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    assert world.statuses(offline=True) == ["present", "present"]
    world.peaks.write_bytes(PEAKS[:-1])
    with pytest.raises(FetchError, match="another file is in the place"):
        world.fetch(offline=True)


def test_a_cut_download_of_unknown_checksum_starts_again(world, server, cache, monkeypatch):
    world.write_table(server.url)
    forget_checksums(world)
    monkeypatch.setattr(fetch_module, "_CONTINUATIONS", 0)
    server.cuts = [5000]
    with pytest.raises(UnreachableError, match="the connection broke"):
        world.fetch()
    assert not world.peaks.exists()
    server.requests.clear()
    assert world.statuses() == ["url", "url"]
    assert server.requests[0] == ("/public/peaks/a%20b.bed", None)  # no range
    assert world.peaks.read_bytes() == PEAKS


def test_files_without_an_address_are_named_when_the_others_are_there(
    world, server, nowhere, monkeypatch
):
    world.write_table(server.url)
    forget_checksums(world, bed="")
    with pytest.raises(UnreachableError, match=r"no public address for data/peaks/a.bed; put it"):
        world.fetch()
    assert world.genome.is_file()
    monkeypatch.setenv("CROSSLABEL_MIRROR", f"{nowhere}/none")
    with pytest.raises(UnreachableError, match=rf"a.bed, and not in {nowhere}/none/.*; put"):
        world.fetch()
    monkeypatch.setenv("CROSSLABEL_MIRROR", str(world.mirror))
    assert world.statuses() == ["mirror", "present"]


def test_a_damaged_lock_file(world):
    forget_checksums(world)
    (world.folder / "SOURCES.lock.tsv").write_text("path\tbytes\tsha256\torigin\nx\t1\tz\ty\n")
    with pytest.raises(InputError, match=r"SOURCES.lock.tsv, line 2: expected path, bytes"):
        world.fetch()


def test_a_project_without_sources(world):
    with pytest.raises(ConfigError, match="no key 'sources', so there is nothing to fetch"):
        fetch(world.project.model_copy(update={"sources": None}))


ROW = dict(
    zip(
        COLUMNS,
        ["data/a", "m/a", "1", "0" * 64, "", "https://example.org/a", "CC0", ""],
        strict=True,
    )
)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "/etc/passwd"}, r"line 2: path is '/etc/passwd'; expected a relative path"),
        ({"path": "data/../../x"}, r"line 2: path is"),
        ({"mirror": ""}, r"line 2: mirror is ''"),
        ({"bytes": "1k"}, r"line 2: bytes is '1k', expected a whole number"),
        ({"sha256": "abc"}, r"line 2: sha256 is 'abc'; expected 64 hex digits"),
        ({"sequence_digest": "z" * 64}, r"line 2: sequence_digest is"),
        ({"url": "ftp://x"}, r"line 2: url is 'ftp://x'; expected http://, https:// or nothing"),
        ({"note": "a\tb"}, r"line 2: expected 8 columns, found 9"),
    ],
)
def test_wrong_rows_of_the_table(tmp_path, change, message):
    table = tmp_path / "SOURCES.tsv"
    table.write_text("\t".join(COLUMNS) + "\n" + "\t".join({**ROW, **change}.values()) + "\n")
    with pytest.raises(InputError, match=message):
        read_sources(table)


def test_wrong_tables(tmp_path):
    table = tmp_path / "SOURCES.tsv"
    header, row = "\t".join(COLUMNS) + "\n", "\t".join(ROW.values()) + "\n"
    with pytest.raises(MissingInputError, match="no such table of sources"):
        read_sources(table)
    for text, message in (
        ("", "line 1: no column path, mirror"),
        (header.replace("\turl", ""), "line 1: no column url;"),
        (header, "lists no files"),
        (header + row + row, "line 3: path 'data/a' occurs twice"),
    ):
        table.write_text(text)
        with pytest.raises(InputError, match=message):
            read_sources(table)
    table.write_bytes(b"\xff\xfd")
    with pytest.raises(InputError, match="not a text file"):
        read_sources(table)
    table.write_text(header + row + "\n")
    assert [source.name for source in read_sources(table)] == ["a"]


@pytest.mark.mirror
def test_the_yeast_project(mirror, tmp_path, monkeypatch):
    monkeypatch.setenv("CROSSLABEL_MIRROR", str(mirror))
    table = Path(__file__).parents[3] / "examples/yeast/SOURCES.tsv"
    folder = tmp_path / "yeast"
    folder.mkdir()
    (folder / "SOURCES.tsv").write_bytes(table.read_bytes())
    world_project = Project.model_validate(
        {
            "name": "p",
            "reference": {"name": "g", "sequence": "x"},
            "experiments": [{"name": "a", "peaks": "x"}],
            "split": {"test": ["chrI"]},
            "training": {"regimes": ["sl"]},
            "sources": str(folder / "SOURCES.tsv"),
        }
    )
    report = fetch(world_project, offline=True)
    assert report.count("mirror") == len(report.files) == 13
    for source in read_sources(table):
        assert (folder / source.path).stat().st_size == source.bytes
        if source.sequence_digest:
            assert open_genome(folder / source.path).digest == source.sequence_digest
    assert fetch(world_project, offline=True).count("present") == 13
