"""What long work tells whoever watches: the libraries report, the command line draws."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Protocol


class Progress(Protocol):
    """Receives the progress of long work."""

    def task(
        self, description: str, total: float | None = None
    ) -> contextlib.AbstractContextManager[Callable[[float], None]]:
        """Open one line of progress; the value of the block is called with each advance."""
        ...


class NoProgress:
    """Says nothing."""

    @contextlib.contextmanager
    def task(
        self, description: str, total: float | None = None
    ) -> Iterator[Callable[[float], None]]:
        """Accept advances and drop them."""
        del description, total

        def advance(amount: float = 1) -> None:
            del amount

        yield advance
