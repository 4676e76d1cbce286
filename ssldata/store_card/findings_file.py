"""Findings as JSON, and back: what the card keeps of checks that take long."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssldata.base.versions import VERSION
from ssldata.sharing.card import FOUND, OF_STORE, findings_of
from ssldata.trust.findings import Finding, FindingTable


def findings_text(findings: Sequence[Finding], *, digest: str) -> str:
    """Return the text of the file of findings.

    Parameters
    ----------
    findings
        What was found.
    digest
        Of the store that was checked.
    """
    record = {
        OF_STORE: digest,
        "crosslabel": VERSION,
        FOUND: [_plain(one.as_json()) for one in findings],
    }
    return json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    """Return a value with NumPy's numbers as Python's and what is not finite as null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_findings(folder: Path, digest: str) -> list[Finding]:
    """Return the findings in the card of a folder, if they are those of the rows of `digest`.

    A file that this release cannot read counts as none.
    """
    try:
        return [_finding(one) for one in findings_of(folder, digest)]
    except (LookupError, TypeError, ValueError, AttributeError):
        return []


def _finding(value: Mapping[str, Any]) -> Finding:
    tables = {
        str(title): FindingTable(
            tuple(map(str, table["columns"])),
            tuple(tuple(row) for row in table["rows"]),
            None if table["plot"] is None else (str(table["plot"][0]), str(table["plot"][1])),
        )
        for title, table in value["tables"].items()
    }
    return Finding(**{**value, "numbers": dict(value["numbers"]), "tables": tables})
