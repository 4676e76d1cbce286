"""Stores that are not a folder: a zip, a web server, an object store, Icechunk. All read-only.

Two things are needed of a place: byte ranges of named files, and metadata consolidated in the root,
for a web server cannot list. Both are checked, so that a store never looks empty without a reason.
"""

from __future__ import annotations

import asyncio
import io
import os
import threading
import time
import zipfile
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

import requests
from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)
from zarr.core.buffer import Buffer, BufferPrototype

from ssldata.base.errors import MissingInputError, StoreError, UnreachableError
from ssldata.store.icechunk_repository import RepositoryFiles, is_repository

#: Seconds to connect and to wait for bytes; times a request is tried.
_TIMEOUT, _TRIES = (10, 60), 3
#: Fixed part of the header before every member of a zip (APPNOTE.TXT 4.3.7).
_ZIP_HEADER = 30
#: Bytes read ahead in the directory of a zip.
_AHEAD = 1 << 16


class RangesError(StoreError):
    """A web server gives files only whole."""


class Files(Protocol):
    """Byte ranges of named files."""

    def read(self, key: str, first: int | None = None, end: int | None = None) -> bytes | None:
        """Return the bytes [first, end) of a file, None when there is no such file.

        Without `end` to the end of the file; a negative `first` counts from its end.
        """
        ...

    def size(self, key: str) -> int | None:
        """Return the bytes of a file, None when there is no such file."""
        ...


class LocalFiles:
    """Files of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, key: str, first: int | None = None, end: int | None = None) -> bytes | None:
        """Return a range of a file; see :class:`Files`."""
        try:
            handle = os.open(self.folder / key, os.O_RDONLY)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        try:
            size = os.fstat(handle).st_size
            start, stop, _ = slice(first, end).indices(size)
            return os.pread(handle, max(0, stop - start), start)
        finally:
            os.close(handle)

    def size(self, key: str) -> int | None:
        """Return the size of a file; see :class:`Files`."""
        path = self.folder / key
        return path.stat().st_size if path.is_file() else None


class HttpFiles:
    """Files below a URL, by range requests."""

    def __init__(self, base: str) -> None:
        self.base = base.rstrip("/")
        self._local = threading.local()

    def _url(self, key: str) -> str:
        return f"{self.base}/{quote(key)}"

    def _ask(self, method: str, key: str, headers: dict[str, str]) -> requests.Response | None:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
        url, problem = self._url(key), ""
        for attempt in range(_TRIES):
            time.sleep(0.5 * attempt)
            try:
                answer: requests.Response = self._local.session.request(
                    method,
                    url,
                    # Ranges count bytes of the file, so it must come as it is.
                    headers={"Accept-Encoding": "identity", **headers},
                    timeout=_TIMEOUT,
                )
            except requests.RequestException as exc:
                problem = type(exc).__name__
                continue
            if answer.status_code in (404, 403, 410):
                return None
            if answer.status_code < 400:
                return answer
            problem = f"HTTP {answer.status_code}"
            if answer.status_code < 500:
                break
        raise UnreachableError(f"{url}: cannot be read ({problem}); is the address right?")

    def read(self, key: str, first: int | None = None, end: int | None = None) -> bytes | None:
        """Return a range of a file; see :class:`Files`."""
        if first is None and end is None:
            answer = self._ask("GET", key, {})
            return None if answer is None else answer.content
        start = first or 0
        if end is not None and end <= start:
            return b""
        wanted = str(start) if start < 0 else f"{start}-{'' if end is None else end - 1}"
        answer = self._ask("GET", key, {"Range": f"bytes={wanted}"})
        if answer is None:
            return None
        if answer.status_code != 206:
            raise RangesError(
                f"{self._url(key)}: the server does not answer range requests, which reading needs "
                "(`python -m http.server` does not; `crosslabel store serve` and object stores do)"
            )
        return answer.content

    def size(self, key: str) -> int | None:
        """Return the size of a file; see :class:`Files`."""
        answer = self._ask("HEAD", key, {})
        length = None if answer is None else answer.headers.get("Content-Length")
        return None if length is None else int(length)


class ObjectFiles:
    """Objects of an S3-compatible store, through obstore (the extra ``s3``).

    Address and keys come from the environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
    AWS_REGION, AWS_ENDPOINT_URL, and AWS_ALLOW_HTTP for an endpoint without TLS;
    AWS_SKIP_SIGNATURE=true for a public bucket.
    """

    def __init__(self, url: str) -> None:
        try:
            import obstore
            from obstore.store import S3Store
        except ImportError as exc:
            raise StoreError(
                f"{url}: reading s3:// needs obstore: pip install 'crosslabel[s3]'"
            ) from exc
        self.url = url
        self._obstore = obstore
        try:
            self._store = S3Store.from_url(url)
        except Exception as exc:  # obstore's errors have no common class of their own
            raise self._away(exc) from exc

    def read(self, key: str, first: int | None = None, end: int | None = None) -> bytes | None:
        """Return a range of an object; see :class:`Files`."""
        try:
            if end is not None:
                if end <= (first or 0):
                    return b""
                return bytes(self._obstore.get_range(self._store, key, start=first or 0, end=end))
            options: Any = None
            if first:
                options = {"range": {"suffix": -first} if first < 0 else {"offset": first}}
            return bytes(self._obstore.get(self._store, key, options=options).bytes())
        except FileNotFoundError:
            return None
        except Exception as exc:  # obstore's errors have no common class of their own
            raise self._away(exc, key) from exc

    def size(self, key: str) -> int | None:
        """Return the size of an object; see :class:`Files`."""
        try:
            return int(self._obstore.head(self._store, key)["size"])
        except FileNotFoundError:
            return None
        except Exception as exc:  # as above
            raise self._away(exc, key) from exc

    def _away(self, exc: Exception, key: str = "") -> UnreachableError:
        """Return what a failure means; without keys obstore asks a cloud's own servers for them."""
        advice = ""
        if not {"AWS_ACCESS_KEY_ID", "AWS_SKIP_SIGNATURE"} & set(os.environ):
            advice = (
                "; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SKIP_SIGNATURE=true for "
                "a public bucket"
            )
        where = f"{self.url}/{key}".rstrip("/")
        return UnreachableError(f"{where}: {str(exc).splitlines()[0]}{advice}")


class ZipFiles:
    """Members of a zip whose members are stored, not compressed: a range of one is a range of it.

    Parameters
    ----------
    files, key
        Where the zip is.
    where
        What to call it in errors.
    """

    def __init__(self, files: Files, key: str, where: str) -> None:
        self._files, self._key, self._where = files, key, where
        size = files.size(key)
        if size is None:
            raise MissingInputError(f"{where}: no such file")
        try:
            with zipfile.ZipFile(io.BufferedReader(_Seekable(files, key, size), _AHEAD)) as archive:
                members = archive.infolist()
        except zipfile.BadZipFile as exc:
            raise StoreError(f"{where}: not a zip, or cut short ({exc})") from exc
        packed = [m.filename for m in members if m.compress_type != zipfile.ZIP_STORED]
        if packed:
            raise StoreError(
                f"{where}: {packed[0]} is compressed in the zip; make it with "
                "`crosslabel store share --zip`, or zip -0"
            )
        self._members = {m.filename: m for m in members if not m.is_dir()}
        self._starts: dict[str, int] = {}

    def _start(self, key: str, header: bytes | None = None) -> int:
        """Return where the bytes of a member start: behind a header of its own length."""
        if key not in self._starts:
            offset = self._members[key].header_offset
            if header is None:
                header = self._files.read(self._key, offset, offset + _ZIP_HEADER)
            if header is None or header[:4] != b"PK\x03\x04":
                raise StoreError(f"{self._where}: damaged at {key}; fetch it again")
            names = int.from_bytes(header[26:28], "little")
            extra = int.from_bytes(header[28:30], "little")
            self._starts[key] = offset + _ZIP_HEADER + names + extra
        return self._starts[key]

    def _small(self, key: str) -> bytes:
        """Read a small member with its header in one request."""
        member = self._members[key]
        likely = _ZIP_HEADER + len(key.encode()) + len(member.extra) + member.file_size
        offset = member.header_offset
        data = self._files.read(self._key, offset, offset + likely) or b""
        start = self._start(key, data[:_ZIP_HEADER])
        if start + member.file_size <= offset + len(data):
            return data[start - offset : start - offset + member.file_size]
        return self._files.read(self._key, start, start + member.file_size) or b""

    def read(self, key: str, first: int | None = None, end: int | None = None) -> bytes | None:
        """Return a range of a member; see :class:`Files`."""
        size = self.size(key)
        if size is None:
            return None
        low, high, _ = slice(first, end).indices(size)
        if key not in self._starts and high - low == size <= _AHEAD:
            return self._small(key)
        start = self._start(key)
        return self._files.read(self._key, start + low, start + max(low, high))

    def size(self, key: str) -> int | None:
        """Return the size of a member; see :class:`Files`."""
        return self._members[key].file_size if key in self._members else None


class _Seekable(io.RawIOBase):
    """A file read by ranges, for :mod:`zipfile`."""

    def __init__(self, files: Files, key: str, size: int) -> None:
        self._files, self._key, self._size, self._at = files, key, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        end = min(self._size, self._at + len(buffer))
        data = self._files.read(self._key, self._at, end) or b""
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


class ReadOnlyStore(Store):
    """What zarr and xarray read :class:`Files` through."""

    def __init__(self, files: Files, name: str) -> None:
        super().__init__(read_only=True)
        self.files, self.name = files, name

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"ReadOnlyStore({self.name!r})"

    def __eq__(self, value: object) -> bool:
        return isinstance(value, ReadOnlyStore) and value.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return (a range of) one value."""
        bounds: tuple[int | None, int | None] = (None, None)
        if isinstance(byte_range, RangeByteRequest):
            bounds = (byte_range.start, byte_range.end)
        elif isinstance(byte_range, OffsetByteRequest):
            bounds = (byte_range.offset, None)
        elif isinstance(byte_range, SuffixByteRequest):
            bounds = (-byte_range.suffix, None)
        data = await asyncio.to_thread(self.files.read, key, *bounds)
        return None if data is None else prototype.buffer.from_bytes(data)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Return ranges of several values."""
        return list(
            await asyncio.gather(*(self.get(key, prototype, part) for key, part in key_ranges))
        )

    async def exists(self, key: str) -> bool:
        """Return whether there is such a value."""
        return await asyncio.to_thread(self.files.size, key) is not None

    supports_writes = False
    supports_deletes = False
    supports_listing = False

    async def set(self, key: str, value: Buffer) -> None:
        """Refuse: the place is read-only."""
        raise StoreError(f"{self.name}: read-only")

    async def delete(self, key: str) -> None:
        """Refuse: the place is read-only."""
        raise StoreError(f"{self.name}: read-only")

    async def _nothing(self) -> AsyncIterator[str]:
        keys: tuple[str, ...] = ()
        for key in keys:
            yield key

    def list(self) -> AsyncIterator[str]:
        """Yield nothing: the consolidated metadata says what there is."""
        return self._nothing()

    def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Yield nothing, as :meth:`list`."""
        del prefix
        return self._nothing()

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Yield nothing, as :meth:`list`."""
        del prefix
        return self._nothing()


def is_url(location: str | Path) -> bool:
    """Return whether a location is an address and not a path on this machine's disks."""
    return urlsplit(str(location)).scheme in ("http", "https", "s3") or is_repository(location)


def files_at(location: str | Path) -> Files:
    """Return the files of a store at a location.

    Parameters
    ----------
    location
        A folder, a ``.zip``, the ``http(s)://`` or ``s3://`` address of one, or a state of an
        Icechunk repository: ``icechunk://FOLDER[@TAG]``, ``icechunk+s3://BUCKET/PREFIX[@TAG]``.

    Raises
    ------
    MissingInputError
        Nothing is there.
    StoreError
        A zip that is none, or compressed.
    UnreachableError
        The server does not answer.
    """
    text = str(location)
    if not is_url(text):
        path = Path(text)
        if path.is_dir():
            return LocalFiles(path)
        if not path.is_file():
            raise MissingInputError(f"{path}: no such store; run `crosslabel build` first")
        return ZipFiles(LocalFiles(path.parent), path.name, text)
    if is_repository(text):
        return RepositoryFiles(text)
    make = ObjectFiles if text.startswith("s3://") else HttpFiles
    text = text.rstrip("/")
    if text.lower().endswith(".zip"):
        folder, _, name = text.rpartition("/")
        return ZipFiles(make(folder), name, text)
    return make(text)


def zarr_store(location: str | Path) -> Store:
    """Return what ``zarr.open_group`` and ``xarray.open_zarr`` read a location through."""
    return ReadOnlyStore(files_at(location), str(location))
