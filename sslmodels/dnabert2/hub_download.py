"""Downloads single files with ``huggingface_hub``, from the Hub, a mirror of it or a plain server.

The library asks for a file's size and entity tag, follows redirects and continues a transfer that
breaks. Its ``hf_hub_download`` is not used: it needs headers that plain servers do not send, and
discards what it has when it gives up, up to 468 MB here. Nothing is reported to the Hub, and no
token is sent.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx2
from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.file_download import REGEX_SHA256, get_hf_file_metadata, http_get
from huggingface_hub.utils import logging

from ssldata.base.errors import FetchError, UnreachableError
from ssldata.base.files import digest_of, sha256_of
from ssldata.base.progress import Progress

# Set here, not in the environment: the library may have been imported before this module.
constants.HF_HUB_DISABLE_TELEMETRY = True
logging.set_verbosity_error()  # no warning for each retry; a failure becomes an error of ours


def cache_of_hub() -> Path:
    """Return the folder where Hugging Face's tools keep models (``HF_HUB_CACHE``, ``HF_HOME``)."""
    return Path(constants.HF_HUB_CACHE)


def address_of(repository: str) -> str:
    """Return the address of a model's files on the Hub, or on its mirror (``HF_ENDPOINT``)."""
    return f"{constants.ENDPOINT}/{repository}/resolve/main"


def download_first(
    base: str,
    names: Sequence[str],
    folder: Path,
    *,
    sha256: Mapping[str, str],
    offline: bool,
    progress: Progress,
) -> tuple[str, str]:
    """Download the first of several files that a server has, whole or not at all.

    An earlier download of the same content is continued.

    Parameters
    ----------
    base
        The http(s) address under which the files lie.
    names
        Names of the files, in the order of preference.
    folder
        Where the file is put; partial downloads are kept there as ``*.part``.
    sha256
        File name → checksum the file must have. Default: the one that the server announces, if any.
    offline
        No network, as with ``HF_HUB_OFFLINE``.
    progress
        Progress reporter, in bytes.

    Returns
    -------
    str, str
        The name of the file and its sha256.

    Raises
    ------
    UnreachableError
        The server does not answer, refuses, breaks off or has no such file, or the network is not
        to be used.
    FetchError
        Another checksum or size than expected, or the file cannot be written.
    """
    for name in names:
        url = f"{base}/{name}"
        if offline or constants.HF_HUB_OFFLINE:
            raise UnreachableError(f"{url} is not available (not tried: offline)")
        found = _download(url, folder / name, sha256.get(name), progress)
        if found is not None:
            return name, found
    raise UnreachableError(f"{url} is not available (HTTP 404)")


def _download(url: str, target: Path, sha256: str | None, progress: Progress) -> str | None:
    """Download a file and return its sha256; None if the server has no such file."""

    @contextlib.contextmanager
    def bar(*, total: int | None, initial: int, **_: Any) -> Iterator[SimpleNamespace]:
        with progress.task(f"Downloading {target.name}", total) as advance:
            advance(initial)
            yield SimpleNamespace(update=advance)

    try:
        remote = get_hf_file_metadata(url, token=False)
        part = _part_of(target, remote.etag, remote.size)
        with part.open("ab") as handle:
            http_get(
                remote.location,
                handle,
                resume_size=handle.tell(),
                headers={"Accept-Encoding": "identity"},  # so that offsets are those of the file
                expected_size=remote.size,
                tqdm_class=cast(Any, bar),
            )
            handle.flush()
            os.fsync(handle.fileno())
    except HfHubHTTPError as exc:
        if exc.response.status_code == 404:
            return None
        raise UnreachableError(f"{url} is not available (HTTP {exc.response.status_code})") from exc
    except httpx2.HTTPError as exc:
        raise UnreachableError(f"{url} is not available ({_reason(exc)})") from exc
    except OSError as exc:
        if exc.errno is None:  # the library's own check of the size
            part.unlink()
            raise FetchError(
                f"{url}: expected {remote.size} bytes, received another number; the download was "
                "thrown away: try again"
            ) from exc
        raise FetchError(
            f"{target}: cannot be written ({exc.strerror}); make room, or set CROSSLABEL_CACHE to "
            "another folder"
        ) from exc
    found = sha256_of(part)
    # The Hub's entity tag of a large file is its sha256.
    announced = remote.etag if remote.etag and REGEX_SHA256.fullmatch(remote.etag) else None
    expected = sha256 or announced
    if expected and found != expected:
        part.unlink()
        raise FetchError(
            f"{url}: expected sha256 {expected}, found {found}; the download was thrown away: try "
            "again, or take the file from a host you trust"
        )
    part.replace(target)
    return found


def _part_of(target: Path, etag: str | None, size: int | None) -> Path:
    """Return the partial file of this version of a file; remove what cannot be continued."""
    part = target.with_name(f"{target.name}.{digest_of(etag)[:12]}.part")
    for other in target.parent.glob(f"{target.name}.*.part"):
        if other != part or etag is None or (size is not None and other.stat().st_size > size):
            other.unlink()
    return part


def _reason(exc: httpx2.HTTPError) -> str:
    seconds = constants.HF_HUB_DOWNLOAD_TIMEOUT
    if isinstance(exc, httpx2.ConnectTimeout):
        return f"no connection in {seconds} s"
    if isinstance(exc, httpx2.TimeoutException):
        return f"no answer in {seconds} s"
    if isinstance(exc, httpx2.RemoteProtocolError | httpx2.ReadError):
        return "the connection broke; what was received is kept, try again to continue"
    return "cannot connect"
