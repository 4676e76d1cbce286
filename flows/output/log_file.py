"""The log of a command in a file of the user's: what the screen says, and what libraries log.

A line is ``2026-11-28 04:20:01 UTC INFO ssldata.…: text``. The file is appended to, so the log of
a command that is run again follows that of the first.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from pathlib import Path

from ssldata.base.errors import CrosslabelError, InputError

#: Loggers of this project; all others are logged from warnings on.
OURS = ("ssldata", "sslmodels", "flows")

#: What a console says is logged under this name.
SCREEN = logging.getLogger("crosslabel")
SCREEN.propagate = False
SCREEN.addHandler(logging.NullHandler())
SCREEN.setLevel(logging.INFO)


@contextlib.contextmanager
def logged_to(file: Path | None) -> Iterator[None]:
    """Log what happens in the block to a file, and how it ended; None: nowhere.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    if file is None:
        yield
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(file, encoding="utf-8", errors="backslashreplace")
    except OSError as exc:
        raise InputError(
            f"--log-file {file}: cannot be written ({exc.strerror}); name another file"
        ) from exc
    line = "%(asctime)s UTC %(levelname)s %(name)s: %(message)s"
    handler.setFormatter(_Utc(line, datefmt="%Y-%m-%d %H:%M:%S"))
    handler.setLevel(logging.INFO)
    loggers = [SCREEN, logging.getLogger(), *map(logging.getLogger, OURS)]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    except CrosslabelError as exc:
        SCREEN.error("error: %s", exc)
        raise
    except KeyboardInterrupt:
        SCREEN.error("interrupted")
        raise
    except Exception:
        SCREEN.exception("a bug")
        raise
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
        handler.close()


class _Utc(logging.Formatter):
    """Times in UTC; the further lines of a record are indented."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        """Format one record."""
        return super().format(record).rstrip("\n").replace("\n", "\n    ")
