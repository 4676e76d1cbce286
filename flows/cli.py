"""Entry point of the ``crosslabel`` command: dispatch, and how errors are reported.

Nothing heavy is imported here. The commands are in :mod:`flows.commands.app`; the UCSC-compatible
``crosslabel liftover`` parses its own options and bypasses them.

Exit codes: 0 success, 2 an error in the input, the project file or the options, 3 a public file
that cannot be reached, 4 a check that found something, 130 interrupted, 141 the reader of stdout is
gone, 1 a bug.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
import traceback
from collections.abc import Sequence

from flows.output.console import BROKEN_PIPE, forget, open_streams, say
from flows.output.interrupts import INTERRUPTED, LINE, Interrupts
from ssldata.base.errors import CrosslabelError

#: No room left: on the disk, in a quota, in a file of limited size.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    argv
        Arguments without the name of the program; default: those of the process.
    """
    interrupts = None
    if argv is None:
        open_streams()
        interrupts = Interrupts()
        interrupts.watch()
    code = _main(argv, interrupts)
    if interrupts is not None and interrupts.seen.is_set():
        interrupts.leave()  # without what libraries do at exit, which may take longer
    return code


def _main(argv: Sequence[str] | None, interrupts: Interrupts | None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    verbosity = sum(a.count("v") for a in arguments if re.fullmatch(r"-v+", a))
    verbosity += arguments.count("--verbose")
    try:
        return _dispatch(arguments)
    except CrosslabelError as exc:
        if interrupts is not None and interrupts.seen.is_set():
            return INTERRUPTED  # the error is what the interrupt made of it
        if verbosity > 1:
            with contextlib.suppress(OSError):
                traceback.print_exc()
        _report(f"error: {exc}")
        return exc.exit_code
    except KeyboardInterrupt:
        if interrupts is None:
            _report(LINE)
        else:
            interrupts.seen.set()
        return INTERRUPTED
    except Exception as exc:
        if interrupts is not None and interrupts.seen.is_set():
            return INTERRUPTED
        line = _failure_of_machine(exc)
        if line is None or verbosity > 1:
            _report_bug()
            return 1
        _report(f"error: {line}")
        return 2


def _failure_of_machine(exc: Exception) -> str | None:
    """Describe a file that the machine refuses (no room, no permission, …), or return None."""
    if isinstance(exc, RuntimeError) and str(exc).startswith("Symlink loop from "):
        loop = str(exc).removeprefix("Symlink loop from ").strip("'")
        return f"{os.strerror(errno.ELOOP)}: {loop}"  # an OSError from Python 3.13 on
    if not isinstance(exc, OSError) or exc.errno is None:
        return None
    if exc.filename is None and exc.errno not in _FULL | _FORBIDDEN:
        return None
    advice = "; make room, the same command continues where it stopped" * (exc.errno in _FULL)
    return f"{exc.strerror}: {exc.filename or 'while writing'}{advice}"


def _dispatch(arguments: list[str]) -> int:
    if arguments[:1] == ["liftover"]:
        from ssldata.ucsc_tool.ucsc_command import main as liftover_main

        try:
            return liftover_main(arguments[1:], own_process=True)
        except BrokenPipeError:  # of stdout, stderr, or an output that is a pipe
            for stream in (sys.stdout, sys.stderr):
                forget(stream)
            return BROKEN_PIPE
    from flows.commands.app import invoke

    return invoke(arguments)


def _report(message: str) -> None:
    say(f"crosslabel: {message}")


def _report_bug() -> None:
    with contextlib.suppress(OSError):  # nobody reads stderr
        traceback.print_exc()
    _report(
        "this is a bug: please report the lines above with the output of `crosslabel --version`"
    )


if __name__ == "__main__":
    sys.exit(main())
