"""Progress of long work: the libraries report it, the command line draws it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Protocol


class Progress(Protocol):
    """Receives the progress of long work."""

    def task(
        self, description: str, total: float | None = None
    ) -> contextlib.AbstractContextManager[Callable[[float], None]]:
        """Open one progress bar; call what it yields with each advance."""
        ...


class NoProgress:
    """Reports nothing."""

    @contextlib.contextmanager
    def task(
        self, description: str, total: float | None = None
    ) -> Iterator[Callable[[float], None]]:
        """Ignore every advance."""
        del description, total

        def advance(amount: float = 1) -> None:
            del amount

        yield advance
