"""One append for each arrival, whatever happens in whatever order."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ssldata.arrivals.arrival_rules import (
    LOST_AFTER,
    MOST_ATTEMPTS,
    Attempt,
    Fate,
    issue,
    may_claim,
)


def test_the_life_of_an_attempt() -> None:
    first, start = issue("a", None, Fate.UNKNOWN)
    assert (first, start) == (Attempt("a", "issued", 1), True)
    assert may_claim(first, 1)
    assert not may_claim(first, 2)
    assert not may_claim(None, 1)
    running = replace(first, status="appending")
    assert not may_claim(running, 1)
    assert issue("a", running, Fate.ALIVE) == (running, False)
    second, start = issue("a", running, Fate.ENDED)
    assert start
    assert (second.status, second.number) == ("issued", 2)
    assert "killed" in second.reason
    for status in ("done", "refused", "given up"):
        ended = replace(first, status=status)
        assert issue("a", ended, Fate.ENDED) == (ended, False)


def test_an_attempt_that_nobody_knows_of_is_lost_after_some_polls() -> None:
    attempt, _ = issue("a", None, Fate.UNKNOWN)
    for _ in range(LOST_AFTER - 1):
        attempt, start = issue("a", attempt, Fate.UNKNOWN)
        assert not start
    attempt, start = issue("a", attempt, Fate.UNKNOWN)
    assert start
    assert attempt.number == 2


@given(
    st.lists(
        st.tuples(
            st.sampled_from("ab"), st.sampled_from(["poll", "begin", "crash", "fail", "done"])
        ),
        max_size=60,
    )
)
def test_at_most_one_append_in_flight_and_three_in_all(steps: list[tuple[str, str]]) -> None:
    """Polls, events that come twice, crashes and failures of two genomes, in any order."""
    known: dict[str, Attempt] = {}
    queued: dict[str, list[int]] = {"a": [], "b": []}  # announced; events stay, to come twice
    running: dict[str, int | None] = {"a": None, "b": None}
    begun: dict[str, list[int]] = {"a": [], "b": []}
    for name, what in steps:
        attempt = known.get(name)
        if what == "poll":
            alive = running[name] is not None or (attempt and attempt.status == "issued")
            known[name], start = issue(name, attempt, Fate.ALIVE if alive else Fate.ENDED)
            if start:
                assert running[name] is None
                queued[name].append(known[name].number)
        elif what == "begin":
            for number in queued[name]:
                if may_claim(known.get(name), number):
                    assert running[name] is None
                    running[name] = number
                    begun[name].append(number)
                    known[name] = replace(known[name], status="appending")
        elif running[name] is not None:
            running[name] = None
            if what != "crash":  # which records nothing
                ended = "failed" if what == "fail" else "done"
                known[name] = replace(known[name], status=ended)
    for name in "ab":
        assert begun[name] == sorted(set(begun[name]))
        assert len(begun[name]) <= MOST_ATTEMPTS
