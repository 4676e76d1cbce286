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
    """Silence the log of TensorFlow before its import, unless the user set a level."""
    os.environ.setdefault(_LEVEL, _SILENT)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


@contextlib.contextmanager
def muted_import(*, announce: bool = False) -> Iterator[None]:
    """Drop what the import of TensorFlow writes to stderr before its log level applies.

    Compiled code reports CPU instructions and missing GPUs, so the file descriptor is redirected.
    If the import fails, everything is shown; if it is interrupted, nothing. No progress bar may be
    drawn meanwhile.

    Parameters
    ----------
    announce
        Show a line on the terminal while TensorFlow is loaded.
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
        except Exception:
            sys.stderr.flush()
            sink.seek(0)
            os.write(kept, sink.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            if announce:
                sys.stderr.write("\r\x1b[2K")  # erase the line
                sys.stderr.flush()
