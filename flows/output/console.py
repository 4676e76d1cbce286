"""The console of a command: results on stdout, progress and notes on stderr.

stdout carries the result and nothing else, so ``--json`` can be piped. Bars are drawn only when
stderr is a terminal; elsewhere ``-v`` writes one plain line per finished task.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from flows.output.log_file import OURS, SCREEN

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.console import RenderableType
    from rich.progress import Progress as Bars

#: Exit code when the reader of stdout is gone (``crosslabel schema | head``): 128 + SIGPIPE.
BROKEN_PIPE = 141

#: Columns of a table when stdout is not a terminal: wide enough that nothing is cut.
_PLAIN_WIDTH = 160


#: What would move the cursor or begin another line, in names that others chose.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class StdoutClosedError(Exception):
    """The reader of stdout is gone."""


def open_streams() -> None:
    """Make the standard streams of this process usable, whatever it was started with.

    A closed one becomes the null device: the first file to be opened would take its number, and
    what libraries print would go into it. What the terminal cannot show is written as an escape.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def say(text: str, stream: TextIO | None = None) -> None:
    """Write one line to stderr, or to a stream in its place; nobody need be there to read it."""
    stream = sys.stderr if stream is None else stream
    line = _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)
    try:
        print(line, file=stream, flush=True)
    except OSError:
        forget(stream)


def forget(stream: TextIO) -> None:
    """Let a stream that cannot be written to lead nowhere: Python flushes it once more at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class Console:
    """Draws progress and prints results. Satisfies :class:`ssldata.base.progress.Progress`.

    Parameters
    ----------
    verbosity
        −1 quiet (errors only), 0 normal, 1 notes, 2 or more also tracebacks of user errors.
    as_json
        Print results as JSON.
    stream
        Where progress goes; stderr by default.

    Attributes
    ----------
    draws
        Whether bars are drawn: `stream` is a terminal, and quiet was not asked for.
    """

    def __init__(
        self, *, verbosity: int = 0, as_json: bool = False, stream: TextIO | None = None
    ) -> None:
        self.verbosity = verbosity
        self.as_json = as_json
        self._stream = sys.stderr if stream is None else stream
        self.draws = verbosity >= 0 and self._stream.isatty()
        self._lock = threading.Lock()
        self._bars: Bars | None = None
        self._open = 0

    def note(self, message: str) -> None:
        """Write one line to stderr, unless quiet."""
        SCREEN.info("%s", message)
        self._note(message)

    def _note(self, message: str) -> None:
        if self.verbosity >= 0:
            self._line(f"crosslabel: {message}")

    def error(self, message: str) -> None:
        """Write one line about an error to stderr, even when quiet."""
        self._line(f"crosslabel: error: {message}")

    def result(self, value: Any, *tables: RenderableType) -> None:
        """Print the result of a command: `value` with ``--json``, otherwise the tables.

        A log file gets the tables in any case.

        Raises
        ------
        StdoutClosedError
            The reader of stdout is gone.
        """
        if tables and len(SCREEN.handlers) > 1:
            SCREEN.info("%s", _as_text(tables))
        if self.as_json:
            self.write(json.dumps(value, indent=2, default=_jsonable) + "\n")
        elif self.verbosity >= 0:
            from rich.console import Console as RichConsole

            with _quiet_broken_pipe():
                _print(RichConsole(width=None if sys.stdout.isatty() else _PLAIN_WIDTH), tables)
                sys.stdout.flush()

    def write_page(self, text: str) -> None:
        """Write a Markdown page to stdout: set for reading on a terminal, else as it is.

        Raises
        ------
        StdoutClosedError
            The reader of stdout is gone.
        """
        if not sys.stdout.isatty():
            self.write(text)
            return
        from rich.console import Console as RichConsole
        from rich.markdown import Markdown

        with _quiet_broken_pipe():
            RichConsole().print(Markdown(text))
            sys.stdout.flush()

    def write(self, text: str) -> None:
        """Write text to stdout as it is.

        Raises
        ------
        StdoutClosedError
            The reader of stdout is gone.
        """
        with _quiet_broken_pipe():
            sys.stdout.write(text)
            sys.stdout.flush()

    @contextlib.contextmanager
    def task(
        self, description: str, total: float | None = None
    ) -> Iterator[Callable[[float], None]]:
        """Show the progress of one task; the block calls the function it is given to advance.

        Nested tasks vanish when they end; outermost ones leave a line with the time they took.
        """
        started = time.monotonic()
        bars = self._enter()
        row = None if bars is None else bars.add_task(description, total=total)

        def advance(amount: float = 1) -> None:
            if bars is not None and row is not None:
                bars.advance(row, amount)

        ended_well = False
        try:
            yield advance
            ended_well = True
        finally:
            if bars is not None and row is not None:
                bars.remove_task(row)
            outermost = self._leave()
            seconds = time.monotonic() - started
            if ended_well:
                SCREEN.info("%s (%s)", description, _duration(seconds))
            if ended_well and outermost and self.draws:
                self._line(f"✓ {description} ({_duration(seconds)})")
            elif ended_well and not self.draws and self.verbosity > 0:
                self._line(f"crosslabel: {description} ({_duration(seconds)})")

    @contextlib.contextmanager
    def warnings_as_lines(self) -> Iterator[None]:
        """Show warnings of our libraries as one line each; with ``-v`` also those of others."""

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            del file, line
            SCREEN.warning("%s: %s (%s:%d)", category.__name__, message, filename, lineno)
            if self.verbosity > 0:
                self._line(f"crosslabel: {category.__name__}: {message} ({filename}:{lineno})")

        handler = _LineHandler(self)
        loggers = [logging.getLogger(name) for name in OURS]
        with warnings.catch_warnings():
            warnings.showwarning = show
            for logger in loggers:
                logger.addHandler(handler)
                # Set here, because Prefect changes the level of the root logger.
                # A log file takes more than the screen shows.
                logger.setLevel(logging.INFO if len(SCREEN.handlers) > 1 else handler.level)
                logger.propagate = False
            try:
                yield
            finally:
                for logger in loggers:
                    logger.removeHandler(handler)
                    logger.setLevel(logging.NOTSET)
                    logger.propagate = True

    def _enter(self) -> Bars | None:
        with self._lock:
            self._open += 1
            if self.draws and self._bars is None:
                self._bars = _bars(self._stream)
                self._bars.start()
            return self._bars

    def _leave(self) -> bool:
        with self._lock:
            self._open -= 1
            if self._open:
                return False
            if self._bars is not None:
                self._bars.stop()
                self._bars = None
            return True

    def _line(self, text: str) -> None:
        if self._bars is not None:
            self._bars.console.print(text, highlight=False, markup=False, soft_wrap=True)
        else:
            say(text, self._stream)


class _LineHandler(logging.Handler):
    """Writes log records of the libraries as lines of the console."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.INFO if console.verbosity > 0 else logging.WARNING)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        if record.levelno >= logging.ERROR:
            self._console.error(record.getMessage())
            return
        word = "warning: " if record.levelno >= logging.WARNING else ""
        self._console._note(f"{word}{record.getMessage()}")


def _bars(stream: TextIO) -> Bars:
    """Return progress bars: what, bar, how much, elapsed and remaining time, one line each.

    The name gives way on a narrow terminal (its middle is left out), then the bar; amount and
    times are always whole.
    """
    from rich.console import Console as RichConsole
    from rich.progress import BarColumn, Progress, ProgressColumn, Task
    from rich.table import Column
    from rich.text import Text

    console = RichConsole(file=stream)

    class Name(ProgressColumn):
        """What is done."""

        max_refresh = None

        def render(self, task: Task) -> Text:
            room = max(console.width - _FIXED - _bar_width(console.width) - 1, 8)
            return Text(_shortened(task.description, min(room, _LONGEST_NAME)))

    class Amount(ProgressColumn):
        """How much is done: per cent where the total is known, else the count."""

        def render(self, task: Task) -> Text:
            if task.total:
                text = f"{min(task.percentage, 100):3.0f} %"
                if console.width >= _WIDE and task.total > 1:
                    text += f" ({task.completed:,.0f} of {task.total:,.0f})"
                return Text(text)
            return Text(f"{task.completed:,.0f}" if task.completed else "")

    class Elapsed(ProgressColumn):
        """Time since the beginning."""

        def render(self, task: Task) -> Text:
            return Text(f"elapsed {_clock(task.elapsed)}")

    class Left(ProgressColumn):
        """Estimate of the time that remains; a question mark while there is none."""

        def render(self, task: Task) -> Text:
            return Text(f"left {_clock(task.time_remaining if task.total else None)}")

    whole = Column(no_wrap=True, justify="right")
    return Progress(
        # As wide as most names, so that the bars do not move.
        Name(table_column=Column(no_wrap=True, min_width=min(36, max(console.width - 66, 8)))),
        BarColumn(bar_width=_bar_width(console.width)),
        Amount(table_column=whole),
        Elapsed(table_column=whole),
        Left(table_column=whole),
        console=console,
        transient=True,
    )


#: Columns that all but name and bar may take: ``100 % elapsed 1:00:00 left 1:00:00``, and spaces.
_FIXED = 36

#: From here on the count stands beside the per cent.
_WIDE = 120
_LONGEST_NAME = 70


def _bar_width(width: int) -> int:
    """Return the columns of the bar on a terminal of `width` columns."""
    return 30 if width >= _WIDE else max(min(30, (width - _FIXED) // 4), 4)


def _shortened(text: str, room: int) -> str:
    """Return a text of at most `room` characters; its middle gives way."""
    text = _CONTROL.sub(" ", text)
    if len(text) <= room:
        return text
    end = (room - 1) // 2
    return f"{text[: room - 1 - end]}…{text[len(text) - end :]}"


def _clock(seconds: float | None) -> str:
    """Return a time as 0:05, 12:34 or 1:02:03, or a question mark."""
    if seconds is None:
        return "?"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _print(rich: RichConsole, tables: Sequence[RenderableType]) -> None:
    for table in tables:
        # Plain text keeps its brackets and long paths as they are.
        plain = isinstance(table, str)
        rich.print(table, highlight=False, markup=not plain, soft_wrap=plain)


def _as_text(tables: Sequence[RenderableType]) -> str:
    """Return tables as lines of a log."""
    from rich.console import Console as RichConsole

    text = io.StringIO()
    _print(RichConsole(file=text, width=_PLAIN_WIDTH), tables)
    return "\n" + "\n".join(line.rstrip() for line in text.getvalue().splitlines())


@contextlib.contextmanager
def _quiet_broken_pipe() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as exc:
        forget(sys.stdout)
        raise StdoutClosedError from exc
    except OSError:
        forget(sys.stdout)  # a full disk: reported as such
        raise


def _jsonable(value: Any) -> Any:
    """Convert paths, numpy scalars and arrays for JSON."""
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"
