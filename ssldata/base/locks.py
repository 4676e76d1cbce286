"""Locks between processes: the only module that locks files, through the library filelock.

A lock is the kernel's (``flock``) and is released when its holder closes the file or dies, however
it dies. Lock files therefore stay where they are and mean nothing by themselves.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from ssldata.base.cache_folder import cache_dir, cached

_LOG = logging.getLogger(__name__)


@contextlib.contextmanager
def exclusive_lock(path: Path, *, waiting: str = "", required: bool = True) -> Iterator[None]:
    """Hold the exclusive lock of a file or folder; wait while another process holds it.

    Parameters
    ----------
    path
        A folder, or a file, which is made if it does not exist and is never removed.
    waiting
        Warning logged once when another process holds the lock.
    required
        Raise :class:`OSError` where there can be no lock (some network file systems, no
        permission, a folder that was deleted); otherwise continue without one.
    """
    # 18 ms, which commands that lock nothing need not wait for.
    from filelock import lock_descriptor

    # On a descriptor of ours filelock never removes the file (which would split those who wait)
    # and never falls back to locking by existence (which would outlive a killed holder).
    try:
        descriptor = _open(path)
    except OSError:
        if required:
            raise
        yield
        return
    try:
        with contextlib.nullcontext() if required else contextlib.suppress(OSError):
            if not lock_descriptor(descriptor, blocking=False):
                if waiting:
                    _LOG.warning("%s", waiting)
                lock_descriptor(descriptor)
        yield
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Return whether a process holds the exclusive lock of a file; nothing is made."""
    from filelock import lock_descriptor

    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not lock_descriptor(descriptor, blocking=False)
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    """Open a file or folder to lock it; one that exists need only be readable."""
    if not path.is_dir():
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError:
            if not path.exists():
                raise
    return os.open(path, os.O_RDONLY)


def one_at_a_time(key: str) -> contextlib.AbstractContextManager[None]:
    """Let one process prepare a file of the cache while others that want the same one wait.

    Without locks (some network file systems), or when the cache is deleted, two may do the same
    work, harmlessly: files become visible whole.
    """
    name = f"{key}.lock"
    return exclusive_lock(cached("locks", name) or cache_dir("locks") / name, required=False)
