"""Files that are written whole or not at all, names of files, and digests of content."""

from __future__ import annotations

import contextlib
import functools
import glob
import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ssldata.base.errors import ConfigError

#: Host and process in the name of a temporary file.
_OF_PROCESS = re.compile(r"\.([0-9a-f]{8})-(\d+)-[0-9a-f]{6}\.partial$")


@functools.cache
def _host() -> str:
    """Return what identifies the machine, or the container, whose processes are numbered together.

    Containers may share a host name and a folder, but not the numbering.
    """
    space = ""
    with contextlib.suppress(OSError):  # only Linux has it
        space = str(Path("/proc/self/ns/pid").readlink())
    return hashlib.sha256(f"{os.uname().nodename} {space}".encode()).hexdigest()[:8]


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # another user's
    return True


def _leftovers(path: Path) -> Iterator[Path]:
    return path.parent.glob(f"{glob.escape(path.name)}.*.partial")


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary file beside `path`, which is renamed to it when the block succeeds.

    Readers see the old file or the new one, never half of one. The data reach the disk before the
    name does (fsync), so a power cut does not leave an empty file. What fails without the name of a
    file, as on a full disk, gets that of `path`. What killed processes of this machine left of the
    same file is deleted.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in _leftovers(path):
        found = _OF_PROCESS.search(leftover.name)
        if found and found[1] == _host() and not _runs(int(found[2])):
            with contextlib.suppress(OSError):
                leftover.unlink()
    unique = f"{_host()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
    temporary = path.with_name(f"{path.name}.{unique}.partial")
    try:
        yield temporary
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    except OSError as exc:
        if exc.errno is not None and exc.filename in (None, str(temporary)):
            exc.filename, exc.filename2 = str(path), None
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def real_path(path: Path) -> Path:
    """Return an absolute path without symbolic links; of links in a circle, what can be followed.

    ``Path.resolve`` raises a ``RuntimeError`` there.
    """
    return Path(os.path.realpath(path))


def expanded(path: Path | str) -> Path:
    """Return a path with ``~``, ``$NAME`` and ``${NAME}`` filled in, as a shell does.

    Raises
    ------
    ConfigError
        The variable is not set, or there is no such user.
    """

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if name not in os.environ:
            raise ConfigError(f"{path}: the variable {name} is not set")
        return os.environ[name]

    text = re.sub(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})", value, str(path), flags=re.ASCII)
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ConfigError(f"{path}: there is no user {text[1:].partition('/')[0]!r}") from None


def delete_leftovers(path: Path) -> None:
    """Delete what killed writers of a file left beside it; the caller must be its only writer."""
    for leftover in _leftovers(path):
        with contextlib.suppress(OSError):
            leftover.unlink()


def write_text_atomic(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json_atomic(path: Path, value: Any) -> None:
    """Write JSON (sorted keys, so equal values give equal bytes) whole or not at all."""
    write_text_atomic(path, json.dumps(value, indent=2, sort_keys=True) + "\n")


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's bytes, read in pieces."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def digest_of(value: Any) -> str:
    """Return the sha256 of a JSON-able value in canonical form (sorted keys, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
