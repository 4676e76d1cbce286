"""The sensor: which genomes of a registry are whole and new, and one append for each of them."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ssldata.arrivals.arrival_rules import Attempt, Fate, issue, may_claim
from ssldata.arrivals.arrival_state import ArrivalState, Memory
from ssldata.arrivals.genome_registry import ArrivingGenome, ListedGenome, read_arrivals
from ssldata.base.cache_folder import file_digest
from ssldata.base.errors import (
    ConfigError,
    CrosslabelError,
    InputError,
    MissingInputError,
)
from ssldata.base.files import digest_of
from ssldata.base.locks import exclusive_lock
from ssldata.base.progress import NoProgress, Progress
from ssldata.building.add_remove_genomes import add_genome, check_genome
from ssldata.building.dask_pool import Pool
from ssldata.building.locate import find_place
from ssldata.project.project_file import Project, load_project

_LOG = logging.getLogger(__name__)

#: Ends of names of files that are still being written.
_TEMPORARY = (".tmp", ".partial", ".part", ".crdownload")
#: In place of a flow run: the attempt was issued by the process that appends.
HERE = "here"

#: Says what is known of an attempt (its arrival's digest is given) that nobody has claimed.
Ask = Callable[[str, Attempt], Fate]


@dataclass(frozen=True)
class Notice:
    """What a poll found of one entry of the registry.

    Attributes
    ----------
    name, where
        Of the genome, and its place in the registry.
    status
        ``waiting``, ``append`` (an attempt was issued: start it), ``appending`` (one is under
        way), ``in store``, ``refused``, ``given up``.
    message
        One line; empty: nothing to add.
    digest
        Of the arrival: its files, and what the registry says of them; empty while it waits.
    attempt
        Number of the attempt.
    new
        Whether it was refused or given up at this poll: that is reported once.
    """

    name: str
    where: str
    status: str
    message: str = ""
    digest: str = ""
    attempt: int = 0
    new: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return the notice as JSON-able values."""
        return asdict(self)


@contextmanager
def polled(
    project_path: Path,
    registry: Path,
    *,
    ask: Ask | None = None,
    dry_run: bool = False,
    again: Collection[str] = (),
    progress: Progress | None = None,
) -> Iterator[list[Notice] | None]:
    """Look at the registry once, decide, and yield what was found; meanwhile nobody else polls.

    Parameters
    ----------
    project_path
        A project whose stores are built.
    registry
        See :func:`ssldata.arrivals.genome_registry.read_arrivals`.
    ask
        Says what became of attempts that nobody has claimed. None: the caller appends in the block
        what is to be appended.
    dry_run
        Decide, and remember nothing.
    again
        Names of genomes that were refused or given up, and are tried again.
    progress
        Progress reporter.

    Yields
    ------
    list of Notice
        One per entry of the registry, in order. None: another process polls.

    Raises
    ------
    CrosslabelError
        The project or the registry cannot be read, or no store is built.
    """
    project = load_project(project_path)
    find_place(project_path)  # what is wrong with the project is wrong for every genome
    listed = read_arrivals(registry)
    unknown = sorted(set(again) - {entry.name for entry in listed})
    if unknown:
        raise ConfigError(f"{registry}: lists no genome {', '.join(unknown)}, to be tried again")
    state = ArrivalState(project)
    if dry_run:
        memory = state.read()
        yield _poll(project_path, listed, state, memory, ask, again, progress)
        return
    with state.polling() as free:
        if not free:
            yield None
            return
        before = state.read()
        looked = _look(project_path, listed, before, again, progress)  # it may take minutes
        with state.changing() as memory:
            notices = _decide(looked, state, memory, ask, again)
        yield notices


def _poll(
    project_path: Path,
    listed: list[ListedGenome],
    state: ArrivalState,
    memory: Memory,
    ask: Ask | None,
    again: Collection[str],
    progress: Progress | None,
) -> list[Notice]:
    return _decide(_look(project_path, listed, memory, again, progress), state, memory, ask, again)


# -- looking at files ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Look:
    """What was seen of one entry: its state on the disk, and whether it is in the store."""

    listed: ListedGenome
    signature: str
    waiting: str = ""  #: why it is not yet taken
    digest: str = ""
    refused: str = ""  #: what is wrong with it
    in_store: bool = False


def _look(
    project_path: Path,
    listed: list[ListedGenome],
    memory: Memory,
    again: Collection[str],
    progress: Progress | None,
) -> list[_Look]:
    """Look at every entry; trouble with one is that entry's alone."""
    found = []
    with (progress or NoProgress()).task("look at the registry", len(listed)) as advance:
        for entry in listed:
            try:
                found.append(_look_at(project_path, entry, memory, again))
            except OSError as exc:  # not readable, or gone while it was looked at
                waiting = str(exc) if isinstance(exc, CrosslabelError) else _failure(exc)
                found.append(_Look(entry, "", waiting=waiting))
            advance(1)
    return found


def _look_at(
    project_path: Path, entry: ListedGenome, memory: Memory, again: Collection[str]
) -> _Look:
    genome, last = entry.genome, memory.seen.get(entry.where, "")
    if genome is None:
        signature = digest_of([entry.written, entry.problem])
        if signature != last:  # half of a file that is being written may be wrong
            return _Look(entry, signature, waiting=f"seen for the first time; {entry.problem}")
        return _Look(entry, signature, digest=signature, refused=entry.problem)
    if genome.needs_alignment:
        return _Look(entry, "", waiting="needs an alignment: no chain file is named yet")
    for path in genome.files.values():
        if path.name.startswith(".") or path.name.endswith(_TEMPORARY):
            return _Look(entry, "", waiting=f"{path}: a temporary name; rename it when it is whole")
        if not path.is_file():
            return _Look(entry, "", waiting=f"{path}: not there yet")
    signature = digest_of([entry.written, [_stamp(path) for path in genome.files.values()]])
    stated = genome.sha256.model_dump()
    trusted = all(stated.values()) and all(
        file_digest(path) == stated[key] for key, path in genome.files.items()
    )
    if not trusted and signature != last:
        return _Look(entry, signature, waiting="new or changed; taken when it stays as it is")
    digest = digest_of_arrival(genome)
    known = memory.attempts.get(digest)
    ended = known is not None and known.status in ("done", "refused", "given up")
    if known is not None and ended and genome.name not in again:
        return _Look(entry, signature, digest=digest, in_store=known.status == "done")
    try:
        _check_sums(genome)
        same = check_genome(project_path, **_options(genome))
    except MissingInputError:
        raise
    except CrosslabelError as exc:
        return _Look(entry, signature, digest=digest, refused=str(exc))
    except OSError:
        raise
    except Exception as exc:  # whatever a file makes a reader do, it must not stop the others
        _LOG.exception("%s: cannot be checked", genome.name)
        return _Look(entry, signature, digest=digest, refused=f"{genome.name}: {exc!r}")
    return _Look(entry, signature, digest=digest, in_store=same)


def _stamp(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ino]


def _failure(exc: OSError) -> str:
    return f"{exc.filename or 'a file'}: cannot be read ({exc.strerror or exc})"


def _options(genome: ArrivingGenome) -> dict[str, Any]:
    return {
        "name": genome.name,
        "sequence": genome.sequence,
        "chain": genome.chain,
        "distance": genome.distance,
        "aliases": genome.aliases or None,
    }


def digest_of_arrival(genome: ArrivingGenome) -> str:
    """Return the identity of an arrival: the bytes of its files, and what is said of them."""
    files = {key: file_digest(path) for key, path in genome.files.items()}
    rest = genome.model_dump(mode="json", exclude={"sequence", "chain"})
    return digest_of({**rest, "files": files})


def _check_sums(genome: ArrivingGenome) -> None:
    for key, expected in genome.sha256.model_dump().items():
        path = genome.files[key]
        found = file_digest(path)
        if expected is not None and found != expected:
            raise InputError(
                f"{path}: sha256 {found[:12]}…, the registry has {expected[:12]}…; copy the file "
                "again, or correct sha256 in the registry"
            )


# -- deciding --------------------------------------------------------------------------------------


def _decide(
    looked: list[_Look],
    state: ArrivalState,
    memory: Memory,
    ask: Ask | None,
    again: Collection[str],
) -> list[Notice]:
    """Return what is to be done, and bring the memory up to date."""
    if ask is None:  # what this program issued and never began: it was killed, or is no other
        for digest, attempt in list(memory.attempts.items()):
            if (attempt.status, attempt.run) == ("issued", HERE):
                memory.attempts[digest] = replace(
                    attempt, status="failed", number=attempt.number - 1
                )
    memory.seen = {look.listed.where: look.signature for look in looked if look.signature}
    return [_decided(look, state, memory, ask, look.listed.name in again) for look in looked]


def _decided(
    look: _Look, state: ArrivalState, memory: Memory, ask: Ask | None, again: bool
) -> Notice:
    name, where, digest = look.listed.name, look.listed.where, look.digest
    if look.waiting:
        return Notice(name, where, "waiting", look.waiting)
    known = memory.attempts.get(digest)
    if again and known is not None and known.status in ("refused", "given up", "done"):
        known = None
        memory.attempts.pop(digest)
    if look.refused and (known is None or known.status != "refused"):
        if known is not None and known.status == "appending" and state.is_appending(digest):
            return Notice(name, where, "appending", digest=digest, attempt=known.number)
        number = 0 if known is None else known.number
        memory.attempts[digest] = Attempt(name, "refused", number, look.refused)
        return Notice(name, where, "refused", look.refused, digest, number, new=True)
    if look.in_store and (known is None or known.status != "appending"):
        memory.attempts[digest] = known or Attempt(name, "done", 0, "in the store already")
        if memory.attempts[digest].status != "done":
            memory.attempts[digest] = replace(memory.attempts[digest], status="done", reason="")
        return Notice(name, where, "in store", digest=digest)
    attempt, start = issue(name, known, _fate(digest, known, state, ask))
    if start and ask is None:
        attempt = replace(attempt, run=HERE)
    memory.attempts[digest] = attempt
    status = {"issued": "appending", "done": "in store", "failed": "append"}.get(
        attempt.status, attempt.status
    )
    return Notice(
        name,
        where,
        "append" if start else status,
        attempt.reason if attempt.status != "done" else "",
        digest,
        attempt.number,
        new=attempt.status == "given up" and known is not None and known.status != "given up",
    )


def _fate(digest: str, attempt: Attempt | None, state: ArrivalState, ask: Ask | None) -> Fate:
    if attempt is None or attempt.status not in ("issued", "appending"):
        return Fate.UNKNOWN
    if attempt.status == "appending":
        return Fate.ALIVE if state.is_appending(digest) else Fate.ENDED
    return Fate.UNKNOWN if ask is None else ask(digest, attempt)


# -- appending -------------------------------------------------------------------------------------


def crashed_runs(project: Project) -> list[str]:
    """Return the flow runs of attempts whose process was killed, as far as they are recorded."""
    state = ArrivalState(project)
    return [
        attempt.run
        for digest, attempt in state.read().attempts.items()
        if attempt.status == "appending" and attempt.run and not state.is_appending(digest)
    ]


def append_arrival(
    project_path: Path,
    registry: Path,
    *,
    name: str,
    digest: str,
    attempt: int,
    run: str = "",
    pool: Pool | None = None,
    progress: Progress | None = None,
    appended: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Append one arrival that a poll issued; any further call for the same attempt does nothing.

    Parameters
    ----------
    project_path, registry
        As of :func:`polled`.
    name, digest, attempt
        Of the :class:`Notice`.
    run
        Name of the flow run, for the record.
    pool, progress
        As in :func:`ssldata.building.add_remove_genomes.add_genome`.
    appended
        Called with the result before the attempt is recorded as done.

    Returns
    -------
    dict
        ``name``, ``digest``, ``attempt`` and ``status``: ``appended``, with the account of
        :func:`~ssldata.building.add_remove_genomes.add_genome`; or ``superseded``: the attempt was
        begun already, was followed by another, or the registry has other files by now.

    Raises
    ------
    CrosslabelError
        The genome cannot be appended; the attempt is recorded as refused or failed.
    """
    state = ArrivalState(load_project(project_path))
    base = {"name": name, "digest": digest, "attempt": attempt}
    with contextlib.ExitStack() as held:
        with state.changing() as memory:
            known = memory.attempts.get(digest)
            if known is None or not may_claim(known, attempt) or state.is_appending(digest):
                return {**base, "status": "superseded"}
            held.enter_context(exclusive_lock(state.appending(digest)))
            memory.attempts[digest] = replace(known, status="appending", run=run)
        try:
            genome = _still_listed(registry, name, digest)
            if genome is None:
                with state.changing() as memory:
                    memory.attempts.pop(digest, None)
                return {**base, "status": "superseded"}
            account = add_genome(project_path, **_options(genome), pool=pool, progress=progress)
            value = {**base, "status": "appended", **account}
            if appended is not None:
                appended(value)
        except Exception as exc:
            wrong = isinstance(exc, (InputError, ConfigError))
            _end(state, digest, "refused" if wrong else "failed", str(exc) or repr(exc))
            raise
        _end(state, digest, "done", "")
    return value


def _end(state: ArrivalState, digest: str, status: Any, reason: str) -> None:
    with state.changing() as memory:
        known = memory.attempts[digest]
        memory.attempts[digest] = replace(known, status=status, reason=reason)


def _still_listed(registry: Path, name: str, digest: str) -> ArrivingGenome | None:
    for entry in read_arrivals(registry):
        genome = entry.genome
        if genome is None or genome.name != name or genome.needs_alignment:
            continue
        if not all(path.is_file() for path in genome.files.values()):
            continue
        if digest_of_arrival(genome) == digest:
            return genome
    return None
