"""Findings of a store on the terminal: the marks first, then what to do and the tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flows.output import tables
from ssldata.trust.findings import Finding


def _cell(value: str | int | float | None) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    return tables.count(value) if isinstance(value, int) else value


def finding_lines(title: str, findings: Sequence[Finding], *, everything: bool) -> list[Any]:
    """Return a table of marks, a line of advice for each finding that has one, and tables.

    Parameters
    ----------
    title
        Heading.
    findings
        In the order in which they are shown.
    everything
        With the tables of the findings, and with reasons.
    """
    rows = [(finding.mark, finding.check, finding.summary) for finding in findings]
    shown: list[Any] = [tables.table(title, ["mark", "check", "what was found"], rows)]
    for finding in findings:
        if everything:
            shown.append(f"{finding.check}: {finding.why}")
            shown += [
                tables.table(
                    name,
                    part.columns,
                    [[_cell(value) for value in row] for row in part.rows],
                    numbers=len(part.columns) - 1,
                )
                for name, part in finding.tables.items()
            ]
        if finding.advice:
            shown.append(f"{finding.check}: {finding.advice}")
    return shown
