"""The cache folder, and content hashes remembered in it.

Everything in the cache can be deleted at any time: it is rebuilt from the inputs.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import platformdirs

from ssldata.base.errors import ConfigError
from ssldata.base.files import sha256_of, write_json_atomic

#: Name of the environment variable that moves the cache.
CACHE_VARIABLE = "CROSSLABEL_CACHE"


def cache_dir(*parts: str) -> Path:
    """Return a folder of the cache, made if need be.

    The cache is ``$CROSSLABEL_CACHE`` or the user's cache folder.

    Raises
    ------
    ConfigError
        The folder cannot be made.
    """
    root = os.environ.get(CACHE_VARIABLE)
    folder = Path(root) if root else Path(platformdirs.user_cache_dir("crosslabel"))
    folder = folder.joinpath(*parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigError(
            f"{folder}: cannot make the cache folder ({exc.strerror}); "
            f"set {CACHE_VARIABLE} to a folder that can be written to"
        ) from exc
    return folder


def file_digest(path: Path, *, verify: bool = False) -> str:
    """Return the sha256 of a file, remembered by (path, size, modification time).

    Parameters
    ----------
    path
        The file.
    verify
        Hash again even if a value is remembered (``--verify-cache``).
    """
    path = path.resolve()
    stat = path.stat()
    key = hashlib.sha256(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}".encode()).hexdigest()
    note = cache_dir("hashes") / f"{key}.json"
    if not verify:
        try:
            remembered = json.loads(note.read_text(encoding="utf-8"))
            if remembered["path"] == str(path) and len(remembered["sha256"]) == 64:
                return str(remembered["sha256"])
        except (OSError, ValueError, KeyError, TypeError):
            pass  # never seen, or a damaged note: hash again
    digest = sha256_of(path)
    write_json_atomic(note, {"path": str(path), "sha256": digest})
    return digest
