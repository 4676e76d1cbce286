"""Finds the files of DNABERT-2: a folder, a Hugging Face cache, an address, or the public host.

Three files belong together: the weights (``model.safetensors`` or ``pytorch_model.bin``),
``config.json`` and ``tokenizer.json``. What is downloaded stays in the cache; a cut download is
continued. Checksums: those the caller gives; those the host announces; for a Hugging Face cache,
the names of its blobs; and what was downloaded is compared with what it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import requests

from ssldata.base.cache_folder import cache_dir, file_digest
from ssldata.base.errors import ConfigError, FetchError, MissingInputError, UnreachableError
from ssldata.base.files import sha256_of, write_json_atomic
from ssldata.base.locks import one_at_a_time
from ssldata.base.progress import NoProgress, Progress
from sslmodels.dnabert2.checkpoint_shards import INDEX, is_index, tensors_of_shards

#: The published model (Apache-2.0; weights of 468 MB) and where its files are.
REPOSITORY = "zhihan1996/DNABERT-2-117M"
PUBLIC_URL = f"https://huggingface.co/{REPOSITORY}/resolve/main"

CONFIG, TOKENIZER = "config.json", "tokenizer.json"
#: In the order of preference.
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
#: What a folder may have in their place: the index of weights in several files.
INDICES = tuple(f"{name}{INDEX}" for name in WEIGHTS)

#: Seconds to wait for a connection, and for the next bytes of one.
TIMEOUT = (6.0, 30.0)
_CHUNK = 2**16  # a broken connection loses what came of the last one
_HASH = re.compile(r"[0-9a-f]{64}")
_RECORD = "checksums.json"

Origin = Literal["folder", "huggingface cache", "cache", "url"]


@dataclass(frozen=True, kw_only=True)
class DnabertFiles:
    """The files of one model.

    Attributes
    ----------
    config, tokenizer
        ``config.json`` and ``tokenizer.json``.
    weights
        The checkpoint; None when none was asked for.
    sha256
        File name → checksum, for the record of a run.
    origin
        Where they were found.
    """

    config: Path
    tokenizer: Path
    weights: Path | None
    sha256: Mapping[str, str]
    origin: Origin


def find_dnabert2(
    source: Path | str | None = None,
    *,
    weights: bool = True,
    sha256: Mapping[str, str] | None = None,
    offline: bool = False,
    progress: Progress | None = None,
) -> DnabertFiles:
    """Find, or download, the files of a DNABERT-2.

    Parameters
    ----------
    source
        A folder; a checkpoint file, or the index of several, in one; an http(s) address under which
        the files lie; or None: the Hugging Face cache of the user, what was downloaded before, else
        the public host.
    weights
        Also the weights; without them a model starts at random.
    sha256
        File name → checksum a file must have.
    offline
        No network.
    progress
        Told the bytes.

    Raises
    ------
    MissingInputError
        A folder lacks a file.
    FetchError
        A file has another checksum, or cannot be written.
    UnreachableError
        Nothing found and the network gives nothing; the message says what to put where.
    ConfigError
        A checksum is not one, or is of a file that is not used.
    """
    expected = dict(sha256 or {})
    wrong = [name for name, value in expected.items() if not _HASH.fullmatch(value)]
    if wrong:
        raise ConfigError(f"checksum of {wrong[0]}: expected 64 hexadecimal digits (sha256)")
    snapshot = _huggingface_snapshot(weights) if source is None else None
    source = PUBLIC_URL if source is None else source
    if snapshot is not None:
        found = _checked(snapshot, None, weights, expected, "huggingface cache")
    elif isinstance(source, str) and source.startswith(("http://", "https://")):
        found = _from_address(source.rstrip("/"), weights, expected, offline, progress)
    elif Path(source).is_file():
        found = _checked(Path(source).parent, Path(source), weights, expected, "folder")
    else:
        found = _checked(Path(source), None, weights, expected, "folder")
    unused = sorted(expected.keys() - found.sha256.keys() - (set() if weights else {*WEIGHTS}))
    if unused:
        # A checksum that is compared with nothing would be false comfort.
        raise ConfigError(
            f"checksum of {unused[0]}: no such file is used; used are {', '.join(found.sha256)}"
        )
    return found


def _weights_in(folder: Path) -> Path | None:
    names = (*WEIGHTS, *INDICES)
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _checked(
    folder: Path,
    checkpoint: Path | None,
    weights: bool,
    expected: Mapping[str, str],
    origin: Origin,
) -> DnabertFiles:
    """Return the files of a folder; missing ones and wrong checksums are errors."""
    checkpoint = checkpoint or _weights_in(folder) if weights else None
    lacking = [name for name in (CONFIG, TOKENIZER) if not (folder / name).is_file()]
    if weights and checkpoint is None:
        lacking.append(" or ".join(WEIGHTS))
    if lacking:
        what = "no such folder" if not folder.is_dir() else f"{', '.join(lacking)} missing"
        raise MissingInputError(
            f"{folder}: {what}; a DNABERT-2 is {CONFIG}, {TOKENIZER} and {' or '.join(WEIGHTS)}, "
            f"as at {PUBLIC_URL.removesuffix('/resolve/main')}"
        )
    files = [folder / CONFIG, folder / TOKENIZER, *([checkpoint] if checkpoint else [])]
    if checkpoint is not None and is_index(checkpoint):
        files += tensors_of_shards(checkpoint)
    digests = {}
    for path in files:
        if not path.is_file():
            raise MissingInputError(f"{path}: no such file, which {checkpoint} names")
        digests[path.name] = file_digest(path)
        wanted = expected.get(path.name) or _blob_digest(path)
        if wanted and digests[path.name] != wanted:
            raise FetchError(
                f"{path}: expected sha256 {wanted}, found {digests[path.name]}; the file is "
                "damaged or another one: download it again"
            )
    return DnabertFiles(
        config=folder / CONFIG,
        tokenizer=folder / TOKENIZER,
        weights=checkpoint,
        sha256=digests,
        origin=origin,
    )


def _blob_digest(path: Path) -> str | None:
    """Return the checksum a Hugging Face cache names a large file by, if it is one."""
    name = path.resolve().name
    return name if path.is_symlink() and _HASH.fullmatch(name) else None


def huggingface_cache() -> Path:
    """Return the folder where Hugging Face's own tools keep models."""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if os.environ.get(variable):
            return Path(os.environ[variable])
    if os.environ.get("HF_HOME"):
        return Path(os.environ["HF_HOME"]) / "hub"
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "huggingface" / "hub"


def _huggingface_snapshot(weights: bool) -> Path | None:
    """Return the folder of the cached revision, ``main`` first, that has all files."""
    model = huggingface_cache() / f"models--{REPOSITORY.replace('/', '--')}"
    folders = sorted(model.glob("snapshots/*"), key=lambda p: p.stat().st_mtime, reverse=True)
    with contextlib.suppress(OSError):
        main = (model / "refs" / "main").read_text(encoding="utf-8").strip()
        folders.insert(0, model / "snapshots" / main)
    for folder in folders:
        whole = (folder / CONFIG).is_file() and (folder / TOKENIZER).is_file()
        if whole and (not weights or _weights_in(folder) is not None):
            return folder
    return None


def _from_address(
    base: str,
    weights: bool,
    expected: Mapping[str, str],
    offline: bool,
    progress: Progress | None,
) -> DnabertFiles:
    offline = offline or os.environ.get("HF_HUB_OFFLINE", "") in {"1", "true", "TRUE", "yes"}
    key = hashlib.sha256(base.encode()).hexdigest()[:16]
    folder = cache_dir("dnabert2", key)
    with one_at_a_time(f"dnabert2-{key}"):
        host = _Host(
            base=base,
            folder=folder,
            record=_read_record(folder),
            expected=expected,
            offline=offline,
            progress=progress or NoProgress(),
        )
        wanted = [(CONFIG,), (TOKENIZER,), *([WEIGHTS] if weights else [])]
        downloaded = [host.bring(names) for names in wanted]
    origin: Origin = "url" if any(downloaded) else "cache"
    return _checked(folder, None, weights, {**host.record, **expected}, origin)


def _read_record(folder: Path) -> dict[str, str]:
    """Return the checksums of what was downloaded into a folder."""
    try:
        found = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


class _NotThereError(UnreachableError):
    """The host answers that it has no such file."""


@dataclass(frozen=True, kw_only=True)
class _Host:
    """An address, and the folder of the cache that takes its files."""

    base: str
    folder: Path
    record: dict[str, str]
    expected: Mapping[str, str]
    offline: bool
    progress: Progress

    def bring(self, names: Sequence[str]) -> bool:
        """Have one of `names` in the folder; tell whether it had to be downloaded."""
        if any(self._kept(name) for name in names):
            return False
        for name in names[:-1]:
            with contextlib.suppress(_NotThereError):
                self._get(name)
                return True
        self._get(names[-1])
        return True

    def _kept(self, name: str) -> bool:
        """Tell whether a file was downloaded before and is still what it was; drop it if not."""
        path = self.folder / name
        if path.is_file() and self.record.get(name) == file_digest(path):
            return True
        path.unlink(missing_ok=True)
        return False

    def _get(self, name: str) -> None:
        """Download one file and note its checksum."""
        url, part = f"{self.base}/{name}", self.folder / f"{name}.part"
        if self.offline:
            raise UnreachableError(self._advice(url, "not tried: offline"))
        try:
            announced = _download(url, part, self.progress)
        except requests.RequestException as exc:
            status = exc.response.status_code if exc.response is not None else None
            kind = _NotThereError if status == 404 else UnreachableError
            raise kind(self._advice(url, f"HTTP {status}" if status else _reason(exc))) from exc
        except OSError as exc:
            raise FetchError(
                f"{part}: cannot be written ({exc.strerror or exc}); make room, or set "
                "CROSSLABEL_CACHE to another folder"
            ) from exc
        found = sha256_of(part)
        wanted = self.expected.get(name) or announced
        if wanted and found != wanted:
            part.unlink()
            raise FetchError(
                f"{url}: expected sha256 {wanted}, found {found}; the download was thrown away: "
                "try again, or take the file from a host you trust"
            )
        part.replace(self.folder / name)
        self.record[name] = found
        write_json_atomic(self.folder / _RECORD, self.record)

    def _advice(self, url: str, reason: str) -> str:
        return (
            f"DNABERT-2: {url} cannot be had ({reason}), nor is it in {self.folder} or in the "
            f"Hugging Face cache {huggingface_cache()}; on a machine that is online, download "
            f"{CONFIG}, {TOKENIZER} and {WEIGHTS[-1]} (468 MB) of {PUBLIC_URL}, copy them here, "
            "and name their folder as the source of the weights"
        )


def _reason(exc: requests.RequestException) -> str:
    if isinstance(exc, requests.ConnectTimeout):
        return f"no connection in {TIMEOUT[0]:.0f} s"
    if isinstance(exc, requests.Timeout):
        return f"no answer in {TIMEOUT[1]:.0f} s"
    if isinstance(exc, requests.exceptions.ChunkedEncodingError):
        return "the connection broke; what came is kept, try again to continue"
    return "cannot connect"


def _download(url: str, part: Path, progress: Progress) -> str | None:
    """Download to `part`, continuing what is there; return the checksum the host announces."""
    tag = part.with_name(f"{part.name}.etag")
    headers = {"Accept-Encoding": "identity"}  # the file's own bytes, so that offsets mean it
    had = part.stat().st_size if part.is_file() and tag.is_file() else 0
    if had:
        # The rest is sent only if the file there is still the one of the first part.
        headers |= {"Range": f"bytes={had}-", "If-Range": tag.read_text(encoding="utf-8")}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if response.status_code == 416 and had:  # all of it had come, or that file got shorter
            part.unlink()
            return _download(url, part, progress)
        response.raise_for_status()
        resumed = response.status_code == 206
        etag = response.headers.get("ETag", "")
        if etag and not etag.startswith("W/"):
            tag.write_text(etag, encoding="utf-8")
        else:
            tag.unlink(missing_ok=True)
        rest = int(response.headers.get("Content-Length", 0))
        total: Any = rest + had * resumed if rest else None
        with (
            progress.task(f"Downloading {url.rsplit('/', 1)[-1]}", total) as advance,
            part.open("ab" if resumed else "wb") as handle,
        ):
            advance(had * resumed)
            for piece in response.iter_content(_CHUNK):
                handle.write(piece)
                advance(len(piece))
            handle.flush()
            os.fsync(handle.fileno())
        tag.unlink(missing_ok=True)
        # Hugging Face gives the sha256 of a large file in the answer that leads to its storage.
        linked = [r.headers.get("X-Linked-ETag", "") for r in (*response.history, response)]
    announced = [value.strip('"') for value in linked if _HASH.fullmatch(value.strip('"'))]
    return announced[0] if announced else None
