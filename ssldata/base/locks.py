"""Locks between processes, released by the kernel when their holder dies."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator

from ssldata.base.cache_folder import cache_dir


@contextlib.contextmanager
def one_at_a_time(key: str) -> Iterator[None]:
    """Let one process prepare a file while the others that want the same one wait."""
    with (cache_dir("locks") / f"{key}.lock").open("w") as handle:
        # Some network filesystems have no locks: then two may do the same work, harmlessly,
        # because files become visible whole.
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
