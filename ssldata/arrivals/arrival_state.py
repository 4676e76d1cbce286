"""What is remembered of arriving genomes between polls: one small file of a project, and locks.

It lies in ``<store.path>/<project>.arrivals``. An append holds the lock of its genome while it
works; the kernel releases it however the process ends, so that an attempt that is ``appending``
and whose lock is free has crashed. Deleting the folder is harmless while nothing is appended:
genomes that are in the store are recognised there.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args

from ssldata.arrivals.arrival_rules import Attempt, Status
from ssldata.base.errors import StoreError
from ssldata.base.files import write_json_atomic
from ssldata.base.locks import exclusive_lock, is_held
from ssldata.project.project_file import Project

_VERSION = 1


@dataclass
class Memory:
    """The content of the file.

    Attributes
    ----------
    seen
        Place in the registry → what the entry and its files looked like at the last poll.
    attempts
        Digest of an arrival → its newest attempt.
    """

    seen: dict[str, str] = field(default_factory=dict)
    attempts: dict[str, Attempt] = field(default_factory=dict)


class ArrivalState:
    """The file and the locks of one project."""

    def __init__(self, project: Project) -> None:
        self.folder = project.store.path / f"{project.name}.arrivals"
        self.file = self.folder / "state.json"

    def read(self) -> Memory:
        """Return the content of the file; empty without one.

        Raises
        ------
        StoreError
            It is damaged.
        """
        try:
            value = json.loads(self.file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return Memory()
        except ValueError as exc:
            raise self._damaged(exc) from exc
        try:
            if value["version"] != _VERSION:
                raise self._damaged(f"version {value['version']}, expected {_VERSION}")
            attempts = {str(key): _attempt(entry) for key, entry in value["attempts"].items()}
            seen = {str(key): str(entry) for key, entry in value["seen"].items()}
        except (KeyError, TypeError, AttributeError, ValueError) as exc:
            if isinstance(exc, StoreError):
                raise
            raise self._damaged(repr(exc)) from exc
        return Memory(seen, attempts)

    def _damaged(self, why: object) -> StoreError:
        return StoreError(
            f"{self.file}: damaged ({why}); delete it: what is in the store is recognised there"
        )

    @contextmanager
    def changing(self) -> Iterator[Memory]:
        """Yield the content, which is written again when the block succeeds; others wait."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(self.folder / "state.lock"):
            memory = self.read()
            yield memory
            attempts = {key: asdict(attempt) for key, attempt in memory.attempts.items()}
            value = {"version": _VERSION, "seen": memory.seen, "attempts": attempts}
            write_json_atomic(self.file, value)

    @contextmanager
    def polling(self) -> Iterator[bool]:
        """Yield whether no other process polls; until the block ends, none can."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = self.folder / "poll.lock"
        with contextlib.ExitStack() as held:
            with exclusive_lock(self.folder / "state.lock"):  # between the question and the answer
                free = not is_held(lock)
                if free:
                    held.enter_context(exclusive_lock(lock))
            yield free

    def appending(self, digest: str) -> Path:
        """Return the file whose lock the append of an arrival holds."""
        return self.folder / f"{digest[:16]}.lock"

    def is_appending(self, digest: str) -> bool:
        """Return whether a process appends an arrival."""
        return is_held(self.appending(digest))


def _attempt(value: Any) -> Attempt:
    found = Attempt(**value)
    numbers = (found.number, found.unseen)
    texts = (found.name, found.reason, found.run)
    if (
        found.status not in get_args(Status)
        or not all(type(number) is int and number >= 0 for number in numbers)
        or not all(isinstance(text, str) for text in texts)
    ):
        raise ValueError(f"no attempt: {value}")
    return found
