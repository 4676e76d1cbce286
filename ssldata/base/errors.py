"""Exceptions a user can act on.

Every class also inherits the builtin a library user would expect, so ``except ValueError`` keeps
working. A message is one line that says what is wrong, where, what was expected and found, and
what to do. The command line prints it and exits with :attr:`CrosslabelError.exit_code`; it never
shows a traceback for one of these.
"""

from __future__ import annotations


class CrosslabelError(Exception):
    """Base of every error caused by input, configuration or the machine, not by a bug."""

    #: What the command line exits with: 2 for the user's mistakes.
    exit_code = 2


class ConfigError(CrosslabelError, ValueError):
    """The project YAML has an unknown, missing or contradictory key."""


class InputError(CrosslabelError, ValueError):
    """A file is readable but its content is wrong (BED, chain, FASTA, 2bit, peaks)."""


class MissingInputError(CrosslabelError, FileNotFoundError):
    """A file the project names does not exist."""

    def __str__(self) -> str:
        # FileNotFoundError would format (errno, strerror); ours is always one message.
        return str(self.args[0]) if self.args else ""


class StoreError(CrosslabelError, ValueError):
    """A store is incomplete, foreign, locked, of another format, or disagrees with its ledger."""


class FetchError(CrosslabelError, OSError):
    """A public file was found but could not be fetched intact (wrong checksum, disk full)."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class UnreachableError(FetchError):
    """No cache, mirror or public host could serve a file; ``make demo`` then simulates."""

    exit_code = 3


class ClusterError(CrosslabelError, OSError):
    """A Dask scheduler cannot be reached or has no workers."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class RunsFailedError(CrosslabelError, RuntimeError):
    """Some runs of a grid failed; the others are complete."""
