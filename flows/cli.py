"""Entry point of the ``crosslabel`` command: dispatch, and how errors are reported.

Nothing heavy is imported here. The commands are in :mod:`flows.commands.app`; the UCSC-compatible
``crosslabel liftover`` parses its own options and bypasses them.

Exit codes: 0 success, 2 an error in the input, the project file or the options, 3 a public file
that cannot be reached, 4 a check that found something, 130 interrupted, 141 the reader of stdout is
gone, 1 a bug.
"""

from __future__ import annotations

import errno
import re
import sys
import traceback
from collections.abc import Sequence

from ssldata.base.errors import CrosslabelError

#: Failures of the machine, not of the program: full disk, quota, no permission, read-only, a name
#: that the disk cannot hold.
_MACHINE_ERRORS = {
    errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG,
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    argv
        Arguments without the name of the program; default: those of the process.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    verbosity = sum(a.count("v") for a in arguments if re.fullmatch(r"-v+", a))
    verbosity += arguments.count("--verbose")
    try:
        return _dispatch(arguments)
    except CrosslabelError as exc:
        if verbosity > 1:
            traceback.print_exc()
        _report(f"error: {exc}")
        return exc.exit_code
    except KeyboardInterrupt:
        _report("interrupted; the same command continues where it stopped")
        return 130
    except OSError as exc:
        if exc.errno not in _MACHINE_ERRORS or verbosity > 1:
            _report_bug()
            return 1
        full = exc.errno in {errno.ENOSPC, errno.EDQUOT}
        _report(
            f"error: {exc.strerror}: {exc.filename or 'while writing'}"
            + "; make room, the same command continues where it stopped" * full
        )
        return 2
    except Exception:
        _report_bug()
        return 1


def _dispatch(arguments: list[str]) -> int:
    if arguments[:1] == ["liftover"]:
        from ssldata.ucsc_tool.ucsc_command import main as liftover_main

        return liftover_main(arguments[1:], own_process=True)
    from flows.commands.app import invoke

    return invoke(arguments)


def _report(message: str) -> None:
    print(f"crosslabel: {message}", file=sys.stderr)


def _report_bug() -> None:
    traceback.print_exc()
    _report(
        "this is a bug: please report the lines above with the output of `crosslabel --version`"
    )


if __name__ == "__main__":
    sys.exit(main())
