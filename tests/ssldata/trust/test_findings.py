"""Findings that a card could not show are refused where they are made."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ssldata.trust.findings import Finding, FindingTable, by_chapter, worst


def _finding(**other: Any) -> Finding:
    given = {"check": "a.b", "title": "t", "mark": "pass", "summary": "s", "why": "w"}
    return Finding(**{**given, **other})


def test_the_worst_mark_counts() -> None:
    marks = [_finding(), _finding(mark="fail", advice="x"), _finding(mark="warn", advice="x")]
    assert worst(marks) == "fail"
    assert worst([_finding(), _finding(mark="note")]) == "note"
    assert worst([]) == "pass"


@pytest.mark.parametrize(
    "wrong",
    [{"check": "leakage"}, {"check": ".b"}, {"mark": "good"}, {"mark": "warn"}, {"mark": "fail"}],
)
def test_a_finding_without_its_parts_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"named chapter|one of|missing"):
        _finding(**wrong)


def test_a_row_of_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match="2 columns, but a row of 1"):
        FindingTable(("genome", "rows"), (("sacPar", 3), ("sacMik",)))


def test_findings_are_written_as_json_and_kept_by_chapter() -> None:
    table = FindingTable(("genome", "rows"), (("sacPar", 3),), plot=("genome", "rows"))
    findings = [_finding(numbers={"x_rows": 1}, tables={"t": table}), _finding(check="c.d")]
    written = json.loads(json.dumps(findings[0].as_json()))
    assert written["numbers"] == {"x_rows": 1}
    assert written["tables"]["t"]["rows"] == [["sacPar", 3]]
    assert {name: len(of) for name, of in by_chapter(findings).items()} == {"a": 1, "c": 1}
