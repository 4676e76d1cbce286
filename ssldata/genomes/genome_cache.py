"""Cached files of genomes: unpacked copies and indexes.

Their names depend on the content of the user's file: a changed file is new.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from ssldata.base.cache_folder import cache_dir, cached, file_key
from ssldata.base.errors import CrosslabelError
from ssldata.base.files import atomic_path, delete_leftovers, write_text_atomic
from ssldata.base.locks import one_at_a_time
from ssldata.base.text_file import unpacked

#: Part of every cache name; raise it when the cached content changes.
_CACHE_VERSION = 2

#: Ends the name of the note of the size of a file.
_SIZE = ".size"
#: What is kept of a genome: its unpacked copy, one with regular lines, and the indexes of FASTA.
_SUFFIXES = (".fa", f".fa{_SIZE}", ".lines.fa", f".lines.fa{_SIZE}", ".fai", ".lines.fai")


def cache_key(path: Path) -> str:
    """Return the name of a file in the cache: from its own name and its content."""
    name = re.sub(r"[^A-Za-z0-9.-]", "_", path.resolve().name)[:60]
    return f"{name}-{_CACHE_VERSION}-{file_key(path)[:16]}"


def kept(key: str, suffix: str) -> Path | None:
    """Return a cached file of a genome, or None."""
    return cached("genomes", f"{key}{suffix}")


def place(key: str, suffix: str) -> Path:
    """Return where a file of a genome is to be kept."""
    return cache_dir("genomes") / f"{key}{suffix}"


def forget(path: Path) -> None:
    """Delete what the cache holds of a file, so that the whole of it is read again."""
    key = cache_key(path)
    with one_at_a_time(key):
        for suffix in _SUFFIXES:
            file = kept(key, suffix)
            try:
                if file is not None:
                    file.unlink(missing_ok=True)
            except OSError as exc:
                raise CrosslabelError(
                    f"{path}: cannot be verified: {file} cannot be deleted ({exc.strerror}); set "
                    "CROSSLABEL_CACHE to another folder"
                ) from exc


def whole(key: str, suffix: str) -> Path | None:
    """Return a cached file of :func:`cache_write` if it has the size that was written, or None."""
    file, note = kept(key, suffix), kept(key, f"{suffix}{_SIZE}")
    if file is None or note is None:
        return None
    try:
        same = file.stat().st_size == int(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return file if same else None


@contextlib.contextmanager
def cache_write(path: Path, label: str) -> Iterator[Path]:
    """Yield a temporary path that becomes `path`; a full disk is reported in one line.

    Use it under the lock of :func:`one_at_a_time`.
    """
    delete_leftovers(path)
    try:
        with atomic_path(path) as temporary:
            yield temporary
            size = temporary.stat().st_size
        write_text_atomic(path.with_name(f"{path.name}{_SIZE}"), str(size))
    except FileNotFoundError:
        raise  # the cache was deleted: :func:`despite_deletion` tries again
    except OSError as exc:
        if isinstance(exc, CrosslabelError):
            raise
        raise CrosslabelError(
            f"{label}: cannot put its unpacked copy into the cache folder "
            f"{path.parent} ({exc.strerror or exc}); free space there or set CROSSLABEL_CACHE to "
            "another folder"
        ) from exc


def unpack(path: Path, label: str, key: str) -> Path:
    """Return the unpacked copy of a packed file, made in the cache the first time.

    bgzip is unpacked whole, like gzip, not read block by block: the rows of a shard lie all over
    the genome, so every shard would decode every block. One sequential pass and a file that all
    workers map and share are faster and smaller in memory. The price is the disk space.

    Parameters
    ----------
    path
        The compressed file.
    label
        Its name in messages.
    key
        From :func:`cache_key`.

    Raises
    ------
    InputError
        The file is cut short or damaged; nothing of it stays in the cache.
    """
    with one_at_a_time(key):
        if (copy := whole(key, ".fa")) is not None:
            return copy
        target = place(key, ".fa")
        with (
            path.open("rb") as packed,
            cache_write(target, label) as temporary,
            temporary.open("wb") as plain,
        ):
            for piece in unpacked(packed, where=label):
                plain.write(piece)
    return target
