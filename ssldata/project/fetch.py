"""Public files of a project: from the cache, a mirror or their public hosts, always verified.

For every file of the table the order is: already in place; the download cache; the mirror named by
``CROSSLABEL_MIRROR`` (a folder or an http(s) address laid out as the table's ``mirror`` column);
the public URL. Every file is checked against the table, wherever it comes from. An interrupted
download stays in the cache as ``*.part`` and is continued by the next fetch.

A checksum that the table lacks is taken from the first file that is fetched, and recorded in a lock
file beside the table, which later fetches verify. Such a download is not continued by the next
fetch: a change of the file in between would go unnoticed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import pooch
import requests

from ssldata.base.cache_folder import cache_dir, file_digest
from ssldata.base.errors import ConfigError, CrosslabelError, FetchError, UnreachableError
from ssldata.base.files import atomic_path, digest_of, sha256_of
from ssldata.base.locks import one_at_a_time
from ssldata.base.progress import NoProgress, Progress
from ssldata.genomes.genome import open_genome
from ssldata.project.project_file import Project
from ssldata.project.source_table import Source, read_sources, write_lock

#: Name of the environment variable that names a mirror: a folder or an http(s) address.
MIRROR_VARIABLE = "CROSSLABEL_MIRROR"

#: Seconds to wait for a connection, and for the next bytes of one.
TIMEOUT = (6.0, 30.0)

#: How often a download that broke after some bytes is continued before giving up.
_CONTINUATIONS = 3
_PAUSE = 0.5
_CHUNK = 2**16

Advance = Callable[[float], None]

#: What was done for a file.
Status = Literal["present", "cache", "mirror", "url"]


@dataclass(frozen=True)
class FetchedFile:
    """What was done for one file; `origin` is where it came from, empty if already in place."""

    path: Path
    status: Status
    bytes: int
    origin: str


@dataclass(frozen=True)
class FetchReport:
    """What was done, with one entry per row of the table, in its order."""

    files: tuple[FetchedFile, ...]

    def count(self, status: str) -> int:
        """Return how many files have a status."""
        return sum(file.status == status for file in self.files)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON-able values."""
        return {"files": [{**asdict(file), "path": str(file.path)} for file in self.files]}


def fetch(
    project: Project,
    *,
    progress: Progress | None = None,
    offline: bool = False,
    replace: bool = False,
) -> FetchReport:
    """Put every file of the project's table of sources in place.

    Parameters
    ----------
    project
        With the key ``sources``.
    progress
        Progress reporter, in bytes.
    offline
        Use the cache and a mirror folder only, no network.
    replace
        Overwrite a file in place that is not the one of the table.

    Raises
    ------
    ConfigError
        The project has no table of sources.
    InputError, MissingInputError
        The table is wrong or missing.
    FetchError
        A file has the wrong content or cannot be written, or the mirror folder is missing.
    UnreachableError
        A file was found nowhere. Files without a public address are reported together, once all
        others are in place.
    """
    if project.sources is None:
        raise ConfigError(
            f"{project.file or project.name}: no key 'sources', so there is nothing to fetch; "
            "set it to a table of public files"
        )
    folder = project.file.parent if project.file else project.sources.parent
    sources = read_sources(project.sources)
    wanted = [s for s in sources if not _in_place(folder / s.path, s, replace=replace)]
    done: dict[str, FetchedFile] = {}
    lacking: list[Source] = []
    tried: list[str] = []
    if wanted:
        total = sum(source.bytes or 0 for source in wanted)
        with (progress or NoProgress()).task(f"Fetching {len(wanted)} files", total) as advance:
            for source in wanted:
                places: list[str] = []
                brought = _bring(source, folder / source.path, advance, offline, places)
                if brought is None:
                    lacking.append(source)
                    tried += places
                    continue
                done[source.path] = brought
                _remember(project.sources, source, brought.path, brought.origin)
    for source in sources:
        if source not in wanted:
            _remember(project.sources, source, folder / source.path, "found in place")
    if lacking:
        raise UnreachableError(
            f"{project.sources}: no public address for {', '.join(s.path for s in lacking)}"
            + (f", and not in {', '.join(tried)}" if tried else "")
            + f"; put {'it' if len(lacking) == 1 else 'them'} there yourself"
            + (f" ({lacking[0].note})" if lacking[0].note else "")
        )
    return FetchReport(tuple(done.get(s.path) or _present(folder / s.path) for s in sources))


def _present(path: Path) -> FetchedFile:
    return FetchedFile(path, "present", path.stat().st_size, "")


def _remember(table: Path, source: Source, path: Path, origin: str) -> None:
    """Record the checksum of a file in the lock file if the table lacks it."""
    if not source.sha256:
        write_lock(table, {source.path: (path.stat().st_size, file_digest(path), origin)})


def _in_place(path: Path, source: Source, *, replace: bool) -> bool:
    if not path.exists():
        return False
    if path.is_file():
        wrong = _mismatch(path, source)
        if wrong is None:
            return True
        if replace:
            return False
        advice = "move it away, or fetch with --replace"
    else:
        wrong, advice = "a folder or device", "move it away and fetch again"
    raise FetchError(f"{path}: another file is in the place of a public one: {wrong}; {advice}")


def _mismatch(path: Path, source: Source, *, remember: bool = True) -> str | None:
    """Return None for the expected file, else what was expected and found."""
    if not source.sha256:
        return None  # the first file that is fetched is the expected one
    found = file_digest(path) if remember else sha256_of(path)
    if found == source.sha256:
        return None
    if source.sequence_digest:
        # Another file of the same sequences (repacked, soft-masked) will do.
        with contextlib.suppress(CrosslabelError):
            if open_genome(path).digest == source.sequence_digest:
                return None
    return (
        f"expected sha256 {source.sha256} ({source.bytes} bytes), found {found} "
        f"({path.stat().st_size} bytes)"
    )


def _bring(
    source: Source, target: Path, advance: Advance, offline: bool, tried: list[str]
) -> FetchedFile | None:
    """Put one missing file in place; return None when no address is known for it.

    Places that did not have it are added to `tried`, with the reason.
    """
    identity = source.sha256 or digest_of(source.url or source.path)
    cached = cache_dir("downloads") / f"{identity[:16]}-{source.name}"
    with one_at_a_time(f"fetch-{identity[:16]}"):
        if cached.exists():
            if source.sha256 and _mismatch(cached, source) is None:
                return _put(cached, target, "cache", advance, link=True)
            cached.unlink()  # damaged, or of unknown checksum: download it again
        mirror = os.environ.get(MIRROR_VARIABLE, "").strip()
        remote_mirror = mirror.startswith(("http://", "https://"))
        if mirror and not remote_mirror:
            found = _in_mirror_folder(Path(mirror).expanduser(), source, tried)
            if found:
                # A copy, not a link: the project's file may be edited, and the mirror is not ours.
                return _put(found, target, "mirror", advance, link=False)
        places: list[tuple[Literal["mirror", "url"], str]] = []
        if source.url:
            places.append(("url", source.url))
        if remote_mirror:
            places.insert(0, ("mirror", f"{mirror.rstrip('/')}/{quote(source.mirror)}"))
        for status, url in places:
            if offline:
                tried.append(f"{url} (not tried: offline)")
                continue
            try:
                _download(url, cached, source, advance)
            except requests.RequestException as exc:
                tried.append(f"{url} ({_reason(exc)})")
                continue
            _place(cached, target, link=True)
            return FetchedFile(target, status, target.stat().st_size, url)
    if not source.url:
        return None
    raise UnreachableError(
        f"{source.path}: cannot be fetched; tried the cache, {', '.join(tried)}; go online, or set "
        f"{MIRROR_VARIABLE} to a folder or http(s) address that holds {source.mirror}"
    )


def _in_mirror_folder(mirror: Path, source: Source, tried: list[str]) -> Path | None:
    if not mirror.is_dir():
        raise FetchError(
            f"{MIRROR_VARIABLE} names {mirror}, which is not a folder; correct it, or unset it "
            "to use the public hosts"
        )
    path = mirror / source.mirror
    if not path.is_file():
        tried.append(f"{path} (no such file)")
        return None
    wrong = _mismatch(path, source)
    if wrong is not None:
        raise FetchError(
            f"{path}: not the file expected as {source.path}: {wrong}; update the mirror, "
            f"or unset {MIRROR_VARIABLE} to use {source.url}"
        )
    return path


def _put(
    origin: Path, target: Path, status: Status, advance: Advance, *, link: bool
) -> FetchedFile:
    _place(origin, target, link=link)
    size = target.stat().st_size
    advance(size)
    return FetchedFile(target, status, size, str(origin))


def _place(origin: Path, target: Path, *, link: bool) -> None:
    """Make `target` a hard link to `origin`, or a copy of it, whole or not at all."""
    try:
        with atomic_path(target) as temporary:
            if link:
                with contextlib.suppress(OSError):  # another filesystem, or one without links
                    os.link(origin, temporary)
            if not temporary.exists():
                shutil.copyfile(origin, temporary)
    except OSError as exc:
        raise FetchError(
            f"{target}: cannot be written ({exc.strerror or exc}); make room, or copy the project "
            "to a folder you can write to"
        ) from exc


def _download(url: str, cached: Path, source: Source, advance: Advance) -> None:
    """Download one file into the cache, where it appears only once it is verified."""
    pooch.get_logger().setLevel("WARNING")  # progress is reported here
    try:
        pooch.retrieve(
            url,
            # A genome may be another file of the same sequences; the downloader checks every file.
            known_hash=None
            if source.sequence_digest or not source.sha256
            else f"sha256:{source.sha256}",
            fname=cached.name,
            path=cached.parent,
            downloader=_ResumingDownloader(
                cached.with_name(f"{cached.name}.part"), source, advance
            ),
        )
    except OSError as exc:
        if isinstance(exc, CrosslabelError | requests.RequestException):
            raise
        raise FetchError(
            f"{cached}: cannot be written ({exc.strerror or exc}); make room, or set "
            "CROSSLABEL_CACHE to another folder"
        ) from exc


@dataclass(frozen=True)
class _ResumingDownloader:
    """A downloader for pooch that continues an interrupted download in `part`."""

    part: Path
    source: Source
    advance: Advance

    def __call__(self, url: str, output_file: str, _pooch: object) -> None:
        """Download `url` to `output_file`, verified."""
        broken = 0
        if self.source.sha256:
            self.part.touch()
        else:
            self.part.write_bytes(b"")
        self.advance(self._size())
        while True:
            had = self._size()
            try:
                if had != self.source.bytes:
                    self._get(url, had)
            except requests.RequestException as exc:
                response = exc.response
                if response is not None and response.status_code == 416 and had:
                    self._forget()  # longer than the file on the host: part of another file
                    continue
                broken += 1
                if self._size() <= had or broken > _CONTINUATIONS:
                    raise
                time.sleep(_PAUSE * broken)
                continue
            wrong = _mismatch(self.part, self.source, remember=False)
            if wrong is None:
                self.part.replace(output_file)
                return
            self._forget()
            if not had:
                raise FetchError(
                    f"{self.source.path}: {url} gave another file: {wrong}; the download was "
                    "discarded; try again, or fetch from a mirror you trust "
                    f"({MIRROR_VARIABLE})"
                )

    def _size(self) -> int:
        return self.part.stat().st_size

    def _forget(self) -> None:
        self.advance(-self._size())
        self.part.write_bytes(b"")

    def _get(self, url: str, offset: int) -> None:
        """Append what follows `offset`, or the whole file if the server ignores ranges."""
        with self.part.open("ab") as handle:

            def restart_unless_partial(response: requests.Response, **_: Any) -> None:
                # 200 instead of 206: the server sends the whole file, so start again.
                if offset and response.status_code == 200:
                    self.advance(-offset)
                    handle.truncate(0)

            headers = {"Accept-Encoding": "identity"}  # offsets count the bytes of the file
            if offset:
                headers["Range"] = f"bytes={offset}-"
            pooch.HTTPDownloader(
                chunk_size=_CHUNK,
                timeout=TIMEOUT,
                headers=headers,
                hooks={"response": restart_unless_partial},
            )(url, _Counting(handle, self.advance), None)


class _Counting:
    """A file that reports how much is written to it."""

    def __init__(self, handle: Any, advance: Advance) -> None:
        self._handle = handle
        self._advance = advance

    def write(self, data: bytes) -> None:
        self._handle.write(data)
        self._advance(len(data))

    def flush(self) -> None:
        self._handle.flush()


def _causes(exc: BaseException | None) -> Iterator[BaseException]:
    while exc is not None:
        yield exc
        exc = exc.__cause__ or exc.__context__


def _reason(exc: requests.RequestException) -> str:
    """Return in a few words why a download failed."""
    if exc.response is not None:
        return f"HTTP {exc.response.status_code}"
    if isinstance(exc, requests.ConnectTimeout):
        return f"no connection in {TIMEOUT[0]:.0f} s"
    if isinstance(exc, requests.Timeout):
        return f"no answer in {TIMEOUT[1]:.0f} s"
    if isinstance(exc, requests.exceptions.ChunkedEncodingError):
        return "the connection broke; what arrived is kept, fetch again to continue"
    if isinstance(exc, requests.exceptions.SSLError):
        return "its certificate is not trusted"
    if isinstance(exc, requests.ConnectionError):
        system = [c for c in _causes(exc) if isinstance(c, OSError) and c.strerror]
        return f"cannot connect: {system[-1].strerror}" if system else "cannot connect"
    return type(exc).__name__
