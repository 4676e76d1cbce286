"""What was flushed to the disk (fsync) by the time something was renamed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


class DiskLog:
    """Every fsync and rename of this process, in order."""

    def __init__(self) -> None:
        #: ("fsync", inode) and ("rename", inode, new path).
        self.events: list[tuple[Any, ...]] = []
        self._flushed: dict[int, int] = {}

    def add_flush(self, descriptor: int) -> None:
        status = os.fstat(descriptor)
        self._flushed[status.st_ino] = status.st_mtime_ns
        self.events.append(("fsync", status.st_ino))

    def unflushed(self, *paths: Path) -> list[Path]:
        """Return those of the files and folders that changed since they were last flushed."""
        return [p for p in paths if self._flushed.get(p.stat().st_ino) != p.stat().st_mtime_ns]

    def unflushed_below(self, folder: Path) -> list[Path]:
        """Return what of a folder and everything below it changed since it was last flushed."""
        return self.unflushed(folder, *folder.rglob("*"))


@contextmanager
def disk_log(before_rename: Callable[[DiskLog, Path, Path], None]) -> Iterator[DiskLog]:
    """Record fsyncs and renames; `before_rename` is called with the log, the old and new path."""
    log = DiskLog()
    fsync = os.fsync

    def recorded_fsync(descriptor: int) -> None:
        fsync(descriptor)
        log.add_flush(descriptor)

    def recorded(rename: Callable[..., None]) -> Callable[..., None]:
        def call(old: Path, new: Path, **options: Any) -> None:
            before_rename(log, Path(old), Path(new))
            log.events.append(("rename", Path(old).stat().st_ino, Path(new)))
            rename(old, new, **options)

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", recorded_fsync)
        patch.setattr(os, "rename", recorded(os.rename))
        patch.setattr(os, "replace", recorded(os.replace))
        yield log
