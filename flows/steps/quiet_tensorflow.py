"""Keep TensorFlow's start-up lines off the terminal of people who did not ask for them."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator

_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
_SILENT = "3"


def hush() -> None:
    """Silence TensorFlow's log, unless the user set its level; before it is imported."""
    os.environ.setdefault(_LEVEL, _SILENT)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


@contextlib.contextmanager
def muted_import(*, announce: bool = False) -> Iterator[None]:
    """Drop what the import of TensorFlow writes to stderr before its own level is in force.

    It tells of CPU instructions and missing GPUs from compiled code, so only the file descriptor
    helps. When the import fails everything is shown after all. No bar may be drawn meanwhile.

    Parameters
    ----------
    announce
        Say on the terminal what the seconds go into, until they are over.
    """
    if os.environ.get(_LEVEL) != _SILENT or "tensorflow" in sys.modules:
        yield
        return
    if announce:
        sys.stderr.write("loading TensorFlow …")
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as sink:
        os.dup2(sink.fileno(), 2)
        try:
            yield
        except BaseException:
            sys.stderr.flush()
            sink.seek(0)
            os.write(kept, sink.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            if announce:
                sys.stderr.write("\r\x1b[2K")  # back to the start of the line, which is emptied
                sys.stderr.flush()
