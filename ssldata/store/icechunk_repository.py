"""Icechunk repositories: a store with its history, on a disk or in an object store.

A repository holds one store. Each state that was published is a commit of the branch ``main`` with
a tag that begins with the store's digest; reading a state by its tag always gives the same bytes.
Needs the extra ``icechunk``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssldata.base.errors import MissingInputError, StoreError, UnreachableError

#: How an address starts: a repository on a disk, or in an S3-compatible object store.
_LOCAL, _S3 = "icechunk://", "icechunk+s3://"
BRANCH = "main"
#: Letters of a tag that are enough to name it, if no other tag starts with them.
_ENOUGH = 7
#: Times a request to an object store is tried, as for other places.
_TRIES = 3


def is_repository(location: str | Path) -> bool:
    """Return whether a location is ``icechunk://…`` or ``icechunk+s3://…``."""
    return str(location).startswith((_LOCAL, _S3))


@dataclass(frozen=True)
class Address:
    """Where a repository is, and which of its states to read.

    Attributes
    ----------
    place
        A folder, or ``s3://BUCKET/PREFIX``.
    tag
        A tag or the start of one; None: the newest state.
    """

    place: str
    tag: str | None = None

    def __str__(self) -> str:
        start = "icechunk+" if self.is_remote else _LOCAL
        return f"{start}{self.place}" + (f"@{self.tag}" if self.tag else "")

    @property
    def is_remote(self) -> bool:
        """Whether the repository is in an object store."""
        return self.place.startswith("s3://")


def address_of(text: str | Path) -> Address:
    """Return the address that a text means.

    Parameters
    ----------
    text
        ``icechunk://FOLDER``, ``icechunk+s3://BUCKET/PREFIX``, or either without ``icechunk``;
        ``@TAG`` may follow.

    Raises
    ------
    StoreError
        No place is named.
    """
    place = str(text).removeprefix(_LOCAL).removeprefix("icechunk+").rstrip("/")
    head, at, tag = place.rpartition("@")
    if not at or "/" in tag or not tag:
        head, tag = place, ""
    if not head or head == "s3:/":
        raise StoreError(f"{text}: names no repository; write icechunk://FOLDER[@TAG]")
    return Address(head, tag or None)


@contextlib.contextmanager
def one_line_errors(address: Address) -> Iterator[None]:
    """Turn the errors of Icechunk, many lines long, into one line each."""
    import icechunk

    try:
        yield
    except icechunk.ConflictError as exc:
        raise StoreError(
            f"{address}: another process published meanwhile; nothing was changed, run this again"
        ) from exc
    except icechunk.IcechunkError as exc:
        lines = [line.strip(" |x`>-") for line in str(exc).splitlines()]
        lines = [line for line in lines if line]
        shown = dict.fromkeys([lines[0], lines[-1]] if lines else [type(exc).__name__])
        kind = UnreachableError if address.is_remote else StoreError
        raise kind(f"{address}: {'; '.join(shown)}") from exc


def _storage(address: Address) -> Any:
    """Return what Icechunk reads and writes; S3 is set up by the AWS_* variables, as for ``s3://``."""
    try:
        import icechunk
    except ImportError as exc:
        raise StoreError(f"{address}: needs Icechunk: pip install 'crosslabel[icechunk]'") from exc
    # Icechunk logs to stderr; our one-line error is enough.
    icechunk.set_logs_filter("off")
    if not address.is_remote:
        return icechunk.local_filesystem_storage(str(Path(address.place).absolute()))
    bucket, _, prefix = address.place.removeprefix("s3://").partition("/")
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    anonymous = os.environ.get("AWS_SKIP_SIGNATURE", "").lower() == "true"
    return icechunk.s3_storage(
        bucket=bucket,
        prefix=prefix or None,
        region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"),
        endpoint_url=endpoint,
        allow_http=os.environ.get("AWS_ALLOW_HTTP", "").lower() == "true",
        force_path_style=endpoint is not None,
        anonymous=anonymous or None,
        from_env=None if anonymous else True,
    )


def open_repository(address: Address, *, create: bool = False) -> Any:
    """Return an open ``icechunk.Repository``.

    Parameters
    ----------
    address
        Where it is.
    create
        Create an empty one where there is none.

    Raises
    ------
    MissingInputError
        There is none, and `create` is false.
    StoreError
        The folder holds something else, or the package icechunk is missing.
    UnreachableError
        The object store does not answer.
    """
    storage = _storage(address)
    import icechunk

    settings = icechunk.StorageSettings(retries=icechunk.StorageRetriesSettings(max_tries=_TRIES))
    config = icechunk.RepositoryConfig(storage=settings)
    folder = Path(address.place)
    # Icechunk makes the folder it looks into.
    there = address.is_remote or (folder.is_dir() and any(folder.iterdir()))
    with one_line_errors(address):
        there = there and icechunk.Repository.exists(storage)
        if there:
            return icechunk.Repository.open(storage, config=config)
        if not create:
            raise MissingInputError(
                f"{address}: no Icechunk repository there; `crosslabel store share STORE "
                "--icechunk PLACE` makes one"
            )
        if not address.is_remote and folder.exists() and any(folder.iterdir()):
            raise StoreError(f"{address}: holds something other than an Icechunk repository")
        return icechunk.Repository.create(storage, config=config)


def tag_of(repository: Any, address: Address) -> str | None:
    """Return the whole tag that an address means, None for the newest state.

    Raises
    ------
    StoreError
        No tag, or more than one, starts like that.
    """
    if address.tag is None:
        return None
    tags = sorted(repository.list_tags())
    if address.tag in tags:
        return address.tag
    found = [tag for tag in tags if tag.startswith(address.tag) and len(address.tag) >= _ENOUGH]
    if len(found) > 1:  # of a state with and without weights: without
        found = [tag for tag in found if "-" not in tag] or found
    if len(found) == 1:
        return str(found[0])
    known = ", ".join(tag[:12] for tag in tags[:10]) + ", …" * (len(tags) > 10)
    raise StoreError(
        f"{address}: {len(found) or 'no'} tags start with {address.tag!r}; there are "
        f"{known or 'none'}"
    )


def published_state(address: Address) -> Any:
    """Return the Zarr store of the state that an address means.

    Raises
    ------
    CrosslabelError
        As :func:`open_repository` and :func:`tag_of`.
    """
    repository = open_repository(address)
    with one_line_errors(address):
        tag = tag_of(repository, address)
        if tag is None:
            return repository.readonly_session(BRANCH).store
        return repository.readonly_session(tag=tag).store
