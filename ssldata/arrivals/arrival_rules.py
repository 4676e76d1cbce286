"""What is to be done about an arriving genome: rules without files, clocks or Prefect.

The life of an attempt: a poll *issues* it, at most one append *claims* it, and it ends *done*,
*refused* (the input is wrong: not repeated) or *failed*. An attempt that ends in no way, because
its process was killed, has crashed. Failed and crashed ones are followed by the next, three in all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Literal

#: Attempts to append one genome.
MOST_ATTEMPTS = 3
#: Polls after which an attempt that nobody knows of is taken for lost.
LOST_AFTER = 10

Status = Literal["issued", "appending", "failed", "done", "refused", "given up"]


class Fate(Enum):
    """What is known of the attempt of a record."""

    ALIVE = "alive"  #: it runs, or waits in a queue
    ENDED = "ended"  #: it neither runs nor will
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Attempt:
    """The newest attempt to append one genome.

    Attributes
    ----------
    name
        Of the genome.
    status
        How far it is.
    number
        Of the attempt, from 1 on; 0: there was none.
    reason
        Why it failed, or was refused; of a done one, what was done.
    unseen
        Polls since the issue at which nobody knew of it.
    run
        Flow run that claimed it, if one did.
    """

    name: str
    status: Status
    number: int = 0
    reason: str = ""
    unseen: int = 0
    run: str = ""


def issue(name: str, attempt: Attempt | None, fate: Fate) -> tuple[Attempt, bool]:
    """Return the attempt after a poll, and whether it was issued now and is to be started.

    Parameters
    ----------
    name
        Of a genome that is whole, checked and not in the store.
    attempt
        The newest one; None: there was none.
    fate
        What is known of it; counts for issued and claimed ones only.
    """
    if attempt is None:
        return Attempt(name, "issued", 1), True
    if attempt.status in ("done", "refused", "given up"):
        return attempt, False
    if attempt.status in ("issued", "appending"):
        if fate is Fate.ALIVE:
            return replace(attempt, unseen=0), False
        if fate is Fate.UNKNOWN and attempt.unseen + 1 < LOST_AFTER:
            return replace(attempt, unseen=attempt.unseen + 1), False
        lost = "no run of it was found" if fate is Fate.UNKNOWN else "its process was killed"
        attempt = replace(attempt, reason=lost)
    if attempt.number >= MOST_ATTEMPTS:
        return replace(attempt, status="given up", unseen=0), False
    return Attempt(name, "issued", attempt.number + 1, attempt.reason), True


def may_claim(attempt: Attempt | None, number: int) -> bool:
    """Return whether an append of this number may begin: it was issued, and nobody has begun."""
    return attempt is not None and (attempt.status, attempt.number) == ("issued", number)
