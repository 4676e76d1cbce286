"""Stores that are not a folder: a zip, a web server, an object store, Icechunk. All read-only.

Two things are needed of a place: byte ranges of named files, and metadata consolidated in the root,
for a web server cannot list. Both are checked, so that a store never looks empty without a reason.

Folders, S3 and Icechunk are read through the stores of zarr and Icechunk. Two stores are ours; the
figures are for 125 chunks (20 MB) on loopback with 8 threads and two busy cores, best of ten:

- :class:`HttpStore`. zarr reads HTTP through aiohttp (``FsspecStore``) or obstore
  (``ObjectStore``): 0.4 s, where this takes 0.7 s. No mandatory dependency brings either package,
  and on a real network the round trips hide the difference.
- :class:`ZipMemberStore`. zarr's ``ZipStore`` opens local files only and reads one member at a
  time: 0.8 s, where this takes 0.4 s.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import threading
import time
import zipfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import LocalStore, ObjectStore

from ssldata.base.errors import CrosslabelError, MissingInputError, StoreError, UnreachableError
from ssldata.store.icechunk_repository import (
    address_of,
    is_repository,
    one_line_errors,
    published_state,
)

#: Seconds to connect and to wait for bytes; how often a request is tried.
_TIMEOUT, _TRIES = (10, 60), 3
#: Fixed part of the header before every member of a zip (APPNOTE.TXT 4.3.7).
_ZIP_HEADER = 30
#: Bytes read ahead in the directory of a zip.
_AHEAD = 1 << 16


class RangesError(StoreError):
    """A web server sends whole files only."""


class ReadOnlyStore(Store):
    """What the stores below share: read-only, and no listing, as a web server has none."""

    supports_writes = False
    supports_deletes = False
    supports_listing = False

    def __init__(self, name: str) -> None:
        super().__init__(read_only=True)
        self.name = name

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def __eq__(self, value: object) -> bool:
        return isinstance(value, type(self)) and value.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Return ranges of several values."""
        return list(
            await asyncio.gather(*(self.get(key, prototype, part) for key, part in key_ranges))
        )

    async def exists(self, key: str) -> bool:
        """Return whether there is such a value."""
        try:
            await self.getsize(key)
        except FileNotFoundError:
            return False
        return True

    async def set(self, key: str, value: Buffer) -> None:
        """Refuse: the place is read-only."""
        raise StoreError(f"{self.name}: read-only")

    async def delete(self, key: str) -> None:
        """Refuse: the place is read-only."""
        raise StoreError(f"{self.name}: read-only")

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Yield nothing."""
        nothing: tuple[str, ...] = ()
        for key in nothing:
            yield key

    def list(self) -> AsyncIterator[str]:
        """Yield nothing."""
        return self.list_prefix("")

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Yield nothing."""
        return self.list_prefix(prefix)


class HttpStore(ReadOnlyStore):
    """Files below a URL, by range requests.

    Parameters
    ----------
    base
        The URL.
    """

    def __init__(self, base: str) -> None:
        super().__init__(base.rstrip("/"))
        self._local = threading.local()

    def _url(self, key: str) -> str:
        return f"{self.name}/{quote(key)}"

    def _request(self, method: str, key: str, headers: dict[str, str]) -> requests.Response | None:
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

    def _read(self, key: str, byte_range: ByteRequest | None) -> bytes | None:
        headers = {}
        if isinstance(byte_range, RangeByteRequest):
            if byte_range.end <= byte_range.start:
                return b""
            headers["Range"] = f"bytes={byte_range.start}-{byte_range.end - 1}"
        elif isinstance(byte_range, OffsetByteRequest):
            headers["Range"] = f"bytes={byte_range.offset}-"
        elif isinstance(byte_range, SuffixByteRequest):
            headers["Range"] = f"bytes=-{byte_range.suffix}"
        answer = self._request("GET", key, headers)
        if answer is None:
            return None
        if headers and answer.status_code != 206:
            raise RangesError(
                f"{self._url(key)}: the server does not answer range requests, which reading needs "
                "(`python -m http.server` does not; `crosslabel store serve` and object stores do)"
            )
        return answer.content

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return (a range of) a file."""
        data = await asyncio.to_thread(self._read, key, byte_range)
        return None if data is None else prototype.buffer.from_bytes(data)

    async def getsize(self, key: str) -> int:
        """Return the bytes of a file."""
        answer = await asyncio.to_thread(self._request, "HEAD", key, {})
        if answer is None or "Content-Length" not in answer.headers:
            raise FileNotFoundError(key)
        return int(answer.headers["Content-Length"])


class ZipMemberStore(ReadOnlyStore):
    """Members of a zip whose members are stored, not compressed: a range of one is a range of it.

    Parameters
    ----------
    store, key
        Where the zip is.
    name
        What to call it in errors.

    Raises
    ------
    MissingInputError
        There is no such file.
    StoreError
        It is not a zip, or a member is compressed.
    """

    def __init__(self, store: Store, key: str, name: str) -> None:
        super().__init__(name)
        self._store, self._key = store, key
        try:
            size = sync(store.getsize(key))
        except FileNotFoundError as exc:
            raise MissingInputError(f"{name}: no such file") from exc
        try:
            with zipfile.ZipFile(io.BufferedReader(_Seekable(store, key, size), _AHEAD)) as archive:
                members = archive.infolist()
        except CrosslabelError:
            raise
        except Exception as exc:  # zipfile raises whatever it meets in a damaged directory
            raise StoreError(f"{name}: not a zip, or cut short ({exc})") from exc
        packed = [m.filename for m in members if m.compress_type != zipfile.ZIP_STORED]
        if packed:
            raise StoreError(
                f"{name}: {packed[0]} is compressed in the zip; make it with "
                "`crosslabel store share --zip`, or zip -0"
            )
        if [m for m in members if not 0 <= m.header_offset <= size - m.file_size]:
            raise StoreError(f"{name}: its directory is damaged; fetch it again")
        self._members = {m.filename: m for m in members if not m.filename.endswith("/")}
        self._starts: dict[str, int] = {}

    async def _part(self, prototype: BufferPrototype, first: int, end: int) -> Buffer:
        found = None
        if first < end:
            found = await self._store.get(self._key, prototype, RangeByteRequest(first, end))
        return prototype.buffer.from_bytes(b"") if found is None else found

    def _start(self, key: str, header: bytes) -> int:
        """Return where the bytes of a member start: behind a header of its own length."""
        if header[:4] != b"PK\x03\x04" or len(header) < _ZIP_HEADER:
            raise StoreError(f"{self.name}: damaged at {key}; fetch it again")
        names = int.from_bytes(header[26:28], "little")
        extra = int.from_bytes(header[28:30], "little")
        return self._members[key].header_offset + _ZIP_HEADER + names + extra

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return (a range of) a member; a small one comes with its header in one request."""
        member = self._members.get(key)
        if member is None:
            return None
        first, end = _bounds(byte_range, member.file_size)
        if key not in self._starts:
            offset = member.header_offset
            likely = _ZIP_HEADER
            if end - first == member.file_size <= _AHEAD:
                likely += len(key.encode()) + len(member.extra) + member.file_size
            data = await self._part(prototype, offset, offset + likely)
            start = self._start(key, data[:_ZIP_HEADER].to_bytes())
            self._starts[key] = start
            if start + end <= offset + len(data):
                return data[start + first - offset : start + end - offset]
        start = self._starts[key]
        return await self._part(prototype, start + first, start + end)

    async def getsize(self, key: str) -> int:
        """Return the bytes of a member."""
        if key not in self._members:
            raise FileNotFoundError(key)
        return self._members[key].file_size


def _bounds(byte_range: ByteRequest | None, size: int) -> tuple[int, int]:
    """Return the bytes [first, end) of a value of `size` bytes that a request means."""
    if isinstance(byte_range, RangeByteRequest):
        return min(byte_range.start, size), min(byte_range.end, size)
    if isinstance(byte_range, OffsetByteRequest):
        return min(byte_range.offset, size), size
    if isinstance(byte_range, SuffixByteRequest):
        return max(0, size - byte_range.suffix), size
    return 0, size


class _Seekable(io.RawIOBase):
    """A file read by ranges, for :mod:`zipfile`."""

    def __init__(self, store: Store, key: str, size: int) -> None:
        self._store, self._key, self._size, self._at = store, key, size, 0

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
        if end <= self._at:
            return 0
        data = read_value(self._store, self._key, RangeByteRequest(self._at, end)) or b""
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


class OneLineStore(ReadOnlyStore):
    """A store of a library whose errors become one line each.

    Parameters
    ----------
    store
        The library's.
    name
        What to call it.
    errors
        Returns, for a key, the context in which it is read.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        errors: Callable[[str], contextlib.AbstractContextManager[None]],
    ) -> None:
        super().__init__(name)
        self._store, self._errors = store, errors

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return (a range of) a value."""
        if isinstance(byte_range, RangeByteRequest) and byte_range.end <= byte_range.start:
            return prototype.buffer.from_bytes(b"")  # obstore refuses to ask for nothing
        with self._errors(key):
            return await self._store.get(key, prototype, byte_range)

    async def exists(self, key: str) -> bool:
        """Return whether there is such a value."""
        with self._errors(key):
            return await self._store.exists(key)

    async def getsize(self, key: str) -> int:
        """Return the bytes of a value."""
        with self._errors(key):
            return await self._store.getsize(key)


def _object_store(url: str) -> Store:
    """Return the objects below an ``s3://`` address, through obstore (the extra ``s3``).

    Address and keys come from the environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
    AWS_REGION, AWS_ENDPOINT_URL, and AWS_ALLOW_HTTP for an endpoint without TLS;
    AWS_SKIP_SIGNATURE=true for a public bucket.
    """
    try:
        from obstore.store import S3Store
    except ImportError as exc:
        raise StoreError(
            f"{url}: reading s3:// needs obstore: pip install 'crosslabel[s3]'"
        ) from exc
    with _s3_errors(url):
        store = S3Store.from_url(url)
    return OneLineStore(
        ObjectStore(store, read_only=True), url, lambda key: _s3_errors(f"{url}/{key}")
    )


@contextlib.contextmanager
def _s3_errors(where: str) -> Iterator[None]:
    """Turn an error of obstore into one line; without keys it asks a cloud's own servers."""
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as exc:  # obstore's errors have no common class of their own
        advice = ""
        if not {"AWS_ACCESS_KEY_ID", "AWS_SKIP_SIGNATURE"} & set(os.environ):
            advice = (
                "; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SKIP_SIGNATURE=true for "
                "a public bucket"
            )
        raise UnreachableError(f"{where}: {str(exc).splitlines()[0]}{advice}") from exc


def is_url(location: str | Path) -> bool:
    """Return whether a location is an address and not a path on this machine's disks."""
    return urlsplit(str(location)).scheme in ("http", "https", "s3") or is_repository(location)


def zarr_store(location: str | Path) -> Store:
    """Return what ``zarr.open_group`` and ``xarray.open_zarr`` read a location through.

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
        A file is not a zip, or is a compressed one.
    UnreachableError
        The server does not answer.
    """
    text = str(location)
    if not is_url(text):
        path = Path(text)
        if path.is_dir():
            return LocalStore(path, read_only=True)
        if not path.is_file():
            raise MissingInputError(f"{path}: no such store; run `crosslabel build` first")
        return ZipMemberStore(LocalStore(path.parent, read_only=True), path.name, text)
    if is_repository(text):
        address = address_of(text)
        return OneLineStore(published_state(address), text, lambda _: one_line_errors(address))
    make = _object_store if text.startswith("s3://") else HttpStore
    text = text.rstrip("/")
    if text.lower().endswith(".zip"):
        folder, _, name = text.rpartition("/")
        return ZipMemberStore(make(folder), name, text)
    return make(text)


def read_value(store: Store, key: str, byte_range: ByteRequest | None = None) -> bytes | None:
    """Return (a range of) a value of a store, None when there is no such value."""
    found = sync(store.get(key, default_buffer_prototype(), byte_range))
    return None if found is None else found.to_bytes()
