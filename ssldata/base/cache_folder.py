"""The cache folder, and digests of files remembered in it.

Everything in the cache can be deleted at any time, also while it is used: it is made again from the
inputs. What cannot be written there goes to a private temporary folder. Every cached item of a file
is named by :func:`file_key`.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import platformdirs

from ssldata.base.errors import ConfigError, CrosslabelError
from ssldata.base.files import digest_of, sha256_of, write_json_atomic

_LOG = logging.getLogger(__name__)

Made = TypeVar("Made")

#: Name of the environment variable that moves the cache.
CACHE_VARIABLE = "CROSSLABEL_CACHE"
#: Names the private folder of a process to the workers it starts.
PRIVATE_VARIABLE = "CROSSLABEL_PRIVATE_CACHE"

#: Why a cache cannot be written to, where another folder will do.
_UNWRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT}
#: What making a folder says while another process deletes the cache.
_BEING_DELETED = {errno.ENOENT, errno.EEXIST}
#: How often work is repeated that finds its part of the cache deleted.
_ATTEMPTS = 5

#: What :func:`file_key` reads of a file: so many blocks of so many bytes.
_BLOCKS, _BLOCK_BYTES = 64, 4096


def cache_dir(*parts: str) -> Path:
    """Return a folder of the cache that can be written to, made if need be.

    The cache is ``$CROSSLABEL_CACHE`` or the user's cache folder. Where that cannot be written to
    it is a temporary folder of this process and its workers, removed at exit.

    Raises
    ------
    ConfigError
        The folder cannot be made.
    """
    root = _root()
    if root is None:
        return _private(parts, "there is no home folder for the cache")
    folder = root.joinpath(*parts)
    problem = OSError()
    for _ in range(_ATTEMPTS):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK | os.X_OK):
                return folder
            problem = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as exc:
            problem = exc
        if problem.errno not in _BEING_DELETED:
            break
    if problem.errno in _UNWRITABLE:
        return _private(parts, f"{folder}: cannot write to the cache ({problem.strerror})")
    raise ConfigError(
        f"{folder}: cannot make the cache folder ({problem.strerror}); "
        f"set {CACHE_VARIABLE} to a folder that can be written to"
    ) from problem


def cached(*parts: str) -> Path | None:
    """Return a file of the cache, or None if it is not there or cannot be read."""
    for root in (_root(), os.environ.get(PRIVATE_VARIABLE)):
        if root is not None and os.access(path := Path(root, *parts), os.R_OK):
            return path
    return None


def _root() -> Path | None:
    """Return the folder of the cache; None without a home folder, as in some containers."""
    try:
        root = Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("crosslabel"))
    except RuntimeError:  # older releases of platformdirs return ~ as it is
        return None
    return None if root.parts[:1] == ("~",) else root


def _private(parts: tuple[str, ...], why: str) -> Path:
    """Return a folder of the private cache of this process, made if need be."""
    root = os.environ.get(PRIVATE_VARIABLE)
    try:
        if root is None:
            root = tempfile.mkdtemp(prefix="crosslabel-cache-")
            os.environ[PRIVATE_VARIABLE] = root
            atexit.register(_remove, root, os.getpid())
            _LOG.warning("%s; a temporary one is used, set %s to keep it", why, CACHE_VARIABLE)
        folder = Path(root, *parts)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigError(
            f"{why}, nor can a temporary one be made ({exc.strerror}); "
            f"set {CACHE_VARIABLE} to a folder that can be written to"
        ) from exc
    return folder


def _remove(folder: str, owner: int) -> None:
    if os.getpid() == owner:  # not a fork of it
        shutil.rmtree(folder, ignore_errors=True)


def despite_deletion(make: Callable[[], Made]) -> Made:
    """Return what `make` makes with files of the cache, which may be deleted while it works.

    It is called again when it misses a file; in the end, where the cache is deleted again and
    again, with a private one.
    """
    for _ in range(_ATTEMPTS):
        try:
            return make()
        except FileNotFoundError as exc:
            if isinstance(exc, CrosslabelError):  # a missing input
                raise
    os.environ[CACHE_VARIABLE] = str(_private((), "the cache is deleted again and again"))
    return make()


def file_key(path: Path) -> str:
    """Return a digest that changes when a file does, in a millisecond whatever its size.

    Of its path, size, times of modification and of change (which no program can set back), its
    inode, and blocks of its content: the first, the last, and some spread over the rest.
    """
    path = path.resolve()
    with path.open("rb") as handle:
        stat = os.fstat(handle.fileno())
        digest = hashlib.sha256(os.fsencode(path))
        facts = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
        digest.update(f"\0{facts}".encode())
        for position in _sampled(stat.st_size):
            digest.update(os.pread(handle.fileno(), _BLOCK_BYTES, position))
    return digest.hexdigest()


def _sampled(size: int) -> Iterator[int]:
    """Yield the positions of the blocks that are read of a file; of a small one, all."""
    if size <= _BLOCKS * _BLOCK_BYTES:
        yield from range(0, size, _BLOCK_BYTES)
        return
    yield 0
    # One block at a pseudo-random place of each part: no regular content escapes it.
    part = size // _BLOCKS
    for number in range(1, _BLOCKS - 1):
        place = hashlib.sha256(f"{size} {number}".encode()).digest()
        yield number * part + int.from_bytes(place[:8], "big") % (part - _BLOCK_BYTES + 1)
    yield size - _BLOCK_BYTES


def remembered(what: str, path: Path, compute: Callable[[], str], *, verify: bool = False) -> str:
    """Return a digest of the content of a file, computed unless it is remembered.

    Parameters
    ----------
    what
        Which digest; part of the name of the note in the cache.
    path
        The file.
    compute
        Computes the digest.
    verify
        Compute it even if one is remembered.
    """
    key, name = f"{what}-{file_key(path)}", str(path.resolve())
    known = None if verify else cached("hashes", f"{key}.json")
    if known is not None:
        try:
            found = json.loads(known.read_text(encoding="utf-8"))
            digest = str(found["digest"])
            if found["checksum"] == digest_of([name, digest]):
                return digest
        except (OSError, ValueError, KeyError, TypeError):
            pass  # deleted, or damaged
    digest = compute()
    note = {"path": name, "digest": digest, "checksum": digest_of([name, digest])}
    with contextlib.suppress(OSError):  # it need not be remembered
        write_json_atomic(cache_dir("hashes") / f"{key}.json", note)
    return digest


def file_digest(path: Path, *, verify: bool = False) -> str:
    """Return the sha256 of a file, remembered as long as the file is the same.

    Parameters
    ----------
    path
        The file.
    verify
        Read the whole file even if a digest is remembered (``--verify-cache``).
    """
    return remembered("sha256", path, lambda: sha256_of(path), verify=verify)
