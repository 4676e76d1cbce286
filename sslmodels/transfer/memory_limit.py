"""A limit of memory: what a process has, what fits take beside it, and what is left to them."""

from __future__ import annotations

import re
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

from ssldata.base.errors import ConfigError

#: The least to work with; what small things and gaps between freed blocks take; and how much more
#: than needed is asked for, since the next process is not of the same size to the byte.
_LEAST, _SMALL, _MORE = 8_000_000, 8_000_000, 4_000_000
#: Pieces of a tile, as float64, that a pass holds at once: the one before, its training rows,
#: differences and squares of them.
_PIECES = 6
#: Chunks of a store while one is read: packed and unpacked.
_CHUNKS = 2
#: Vectors of rows and of columns that fits hold: gradients, log-odds, the best so far; of L-BFGS
#: two for each of its corrections.
_ROW_VECTORS, _COLUMN_VECTORS = 30, 60


def parse_memory(text: str) -> int:
    """Return the bytes that a size stands for: 400MB, 4GB.

    Raises
    ------
    ConfigError
        It is no such size.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?) *([kMGT]?)i?B", text.strip())
    if found is None:
        raise ConfigError(f"--memory {text}: not a size; write 2GB or 1500MB")
    return int(float(found[1]) * 1000 ** ("kMGT".index(found[2]) + 1 if found[2] else 0))


def _status(key: str) -> int | None:
    """Return a size of this process as Linux reports it, in bytes; None elsewhere."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    found = re.search(rf"^{key}:\s+(\d+) kB$", status, re.MULTILINE)
    return None if found is None else int(found[1]) * 1024


def peak_bytes() -> int:
    """Return the largest size that this process has had, in bytes.

    Not ``ru_maxrss`` where there is /proc: it begins with the size of the process that started us.
    """
    found = _status("VmHWM")
    if found is not None:
        return found
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def resident_bytes() -> int:
    """Return the size of this process, in bytes; its largest where only that is known."""
    return _status("VmRSS") or peak_bytes()


@dataclass(frozen=True, kw_only=True)
class WorkingSet:
    """What fits to a feature store hold besides what is kept between passes.

    Attributes
    ----------
    rows, columns
        Of the features that are fitted.
    tile, chunk, piece
        Bytes of the rows of one chunk, of a chunk of the store, and of what is computed with at a
        time.
    resamples
        Of the coefficients.
    """

    rows: int
    columns: int
    tile: int
    chunk: int
    piece: int
    resamples: int

    @property
    def bytes(self) -> int:
        """Bytes of it all."""
        vectors = self.rows * (_ROW_VECTORS + self.resamples)
        vectors += self.columns * (_COLUMN_VECTORS + self.resamples)
        return self.tile + _CHUNKS * self.chunk + _PIECES * self.piece + 8 * vectors


def free_memory(limit: int, working: WorkingSet) -> int:
    """Return the bytes of a limit that are left for what is kept between passes.

    Everything that will be needed must be loaded and compiled: the size of the process counts.

    Parameters
    ----------
    limit
        Bytes that the process may reach.
    working
        What is held besides.

    Raises
    ------
    ConfigError
        Too few to work with; the message names the smallest limit that is enough.
    """
    needed = resident_bytes() + working.bytes + _SMALL
    least = max(needed + _LEAST, peak_bytes())
    if limit < least:
        raise ConfigError(
            f"--memory {limit / 1e6:.0f}MB: the program takes {resident_bytes() / 1e6:.0f} MB, and "
            f"a block of these features with what is computed from it {working.bytes / 1e6:.0f} "
            f"MB; give at least {(least + _MORE) / 1e6 + 1:.0f}MB, or choose columns with "
            "--features"
        )
    return limit - needed
