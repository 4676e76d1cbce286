"""Finds the files of DNABERT-2: in a folder, a Hugging Face cache, at an address, or on the Hub.

Three files belong together: the weights (``model.safetensors`` or ``pytorch_model.bin``),
``config.json`` and ``tokenizer.json``. What is downloaded is kept in the cache. Checksums are those
that the caller gives, those that the server announces, the names of the blobs of a Hugging Face
cache, and for a file downloaded before, the checksum it had then.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Literal

from ssldata.base.cache_folder import cache_dir, file_digest
from ssldata.base.errors import ConfigError, FetchError, MissingInputError, UnreachableError
from ssldata.base.files import write_json_atomic
from ssldata.base.locks import one_at_a_time
from ssldata.base.progress import NoProgress, Progress
from sslmodels.checkpoints.checkpoint_shards import INDEX, is_index, tensors_of_shards

#: The published model (Apache-2.0; weights of 468 MB) and its page.
REPOSITORY = "zhihan1996/DNABERT-2-117M"
PUBLIC_PAGE = f"https://huggingface.co/{REPOSITORY}"

CONFIG, TOKENIZER = "config.json", "tokenizer.json"
#: In the order of preference.
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
#: What a folder may have in their place: the index of weights in several files.
INDICES = tuple(f"{name}{INDEX}" for name in WEIGHTS)

_SHA256 = re.compile(r"[0-9a-f]{64}")
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
        The checkpoint; None if none was requested.
    sha256
        File name → checksum, for the record of a run.
    origin
        Where the files were found.
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
        A folder; a checkpoint file in one, or the index of a checkpoint in several files; an
        http(s) address under which the files lie; or None: the user's Hugging Face cache, else what
        was downloaded before, else the Hub.
    weights
        Include the weights; without them a model starts at random.
    sha256
        File name → checksum the file must have.
    offline
        No network, as with ``HF_HUB_OFFLINE``.
    progress
        Progress reporter, in bytes.

    Returns
    -------
    DnabertFiles
        Where the files are, and their checksums.

    Raises
    ------
    MissingInputError
        A folder lacks a file.
    FetchError
        A file has another checksum, or cannot be written.
    UnreachableError
        The files are not on this machine and cannot be downloaded; the message explains which files
        to put where.
    ConfigError
        A checksum is malformed or belongs to a file that is not used, or the package
        ``huggingface_hub`` is missing.
    """
    expected = dict(sha256 or {})
    wrong = [name for name, value in expected.items() if not _SHA256.fullmatch(value)]
    if wrong:
        raise ConfigError(f"checksum of {wrong[0]}: expected 64 hexadecimal digits (sha256)")
    snapshot = _huggingface_snapshot(weights) if source is None else None
    source = _hub().address_of(REPOSITORY) if source is None else source
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
        # A checksum that is never compared would give false confidence.
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
    """Return the files of a folder; missing files and wrong checksums are errors."""
    checkpoint = checkpoint or _weights_in(folder) if weights else None
    lacking = [name for name in (CONFIG, TOKENIZER) if not (folder / name).is_file()]
    if weights and checkpoint is None:
        lacking.append(" or ".join(WEIGHTS))
    if lacking:
        what = "no such folder" if not folder.is_dir() else f"{', '.join(lacking)} missing"
        raise MissingInputError(
            f"{folder}: {what}; a DNABERT-2 is {CONFIG}, {TOKENIZER} and {' or '.join(WEIGHTS)}, "
            f"as at {PUBLIC_PAGE}"
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
                "damaged or a different one: download it again"
            )
    return DnabertFiles(
        config=folder / CONFIG,
        tokenizer=folder / TOKENIZER,
        weights=checkpoint,
        sha256=digests,
        origin=origin,
    )


def _blob_digest(path: Path) -> str | None:
    """Return the checksum by which a Hugging Face cache names a large file, None elsewhere."""
    name = path.resolve().name
    return name if path.is_symlink() and _SHA256.fullmatch(name) else None


def _hub() -> ModuleType:
    """Return the module that downloads, imported late: its library is optional and slow to load."""
    try:
        from sslmodels.dnabert2 import hub_download
    except ImportError as exc:
        raise ConfigError(
            "finding or downloading DNABERT-2 needs huggingface_hub, version 2; install "
            "crosslabel[dnabert2], or name a folder that holds the files"
        ) from exc
    return hub_download


def _huggingface_snapshot(weights: bool) -> Path | None:
    """Return the folder of the cached revision, ``main`` first, that has all files."""
    model = _hub().cache_of_hub() / f"models--{REPOSITORY.replace('/', '--')}"
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
    """Return the files of an address, downloaded unless they were before and are unchanged."""
    key = hashlib.sha256(base.encode()).hexdigest()[:16]
    folder = cache_dir("dnabert2", key)
    origin: Origin = "cache"
    with one_at_a_time(f"dnabert2-{key}"):
        record = _read_record(folder)
        for names in [(CONFIG,), (TOKENIZER,), *([WEIGHTS] if weights else [])]:
            if any(_is_kept(folder / name, record) for name in names):
                continue
            origin = "url"
            hub = _hub()
            try:
                name, record[name] = hub.download_first(
                    base,
                    names,
                    folder,
                    sha256=expected,
                    offline=offline,
                    progress=progress or NoProgress(),
                )
            except UnreachableError as exc:
                raise UnreachableError(
                    f"DNABERT-2: {exc}, and it is neither in {folder} nor in the Hugging Face "
                    f"cache {hub.cache_of_hub()}; on a machine with internet access, download "
                    f"{CONFIG}, {TOKENIZER} and {WEIGHTS[-1]} (468 MB) from {PUBLIC_PAGE}, copy "
                    "them here, and name their folder as the source of the weights"
                ) from exc
            write_json_atomic(folder / _RECORD, record)
    return _checked(folder, None, weights, {**record, **expected}, origin)


def _is_kept(path: Path, record: Mapping[str, str]) -> bool:
    """Return whether a file was downloaded before and is unchanged; delete a changed one."""
    if path.is_file() and record.get(path.name) == file_digest(path):
        return True
    path.unlink(missing_ok=True)
    return False


def _read_record(folder: Path) -> dict[str, str]:
    """Return the checksums of what was downloaded into a folder."""
    try:
        found = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
