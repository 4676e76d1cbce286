"""Files that are written whole or not at all, and digests of content."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary file beside `path`, which is renamed to it when the block succeeds.

    Readers see the old file or the new one, never half of one. The data reach the disk before the
    name does (fsync), so a power cut does not leave an empty file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:12]}.partial")
    try:
        yield temporary
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def real_path(path: Path) -> Path:
    """Return an absolute path without symbolic links; of links in a circle, what can be followed.

    ``Path.resolve`` raises a ``RuntimeError`` there.
    """
    return Path(os.path.realpath(path))


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
