"""Which values of two nested mappings differ."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def differences(old: Any, new: Any, *, at: str = "") -> dict[str, list[Any]]:
    """Return dotted key → [old, new] of every value that differs; a missing value is None.

    Parameters
    ----------
    old, new
        Nested mappings. Other values, such as lists, are compared whole.
    at
        Dotted key of the two within a larger mapping.
    """
    nested = [isinstance(value, Mapping) for value in (old, new)]
    if all(nested) or (any(nested) and None in (old, new)):
        old, new = old or {}, new or {}
        found: dict[str, list[Any]] = {}
        for key in sorted({*old, *new}):
            found |= differences(old.get(key), new.get(key), at=f"{at}.{key}" if at else str(key))
        return found
    return {} if old == new else {at: [old, new]}


def described(changes: Mapping[str, list[Any]]) -> list[str]:
    """Return ``key: old → new`` for each of :func:`differences`, long values shortened."""
    return [f"{key}: {_short(old)} → {_short(new)}" for key, (old, new) in changes.items()]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 24 else f"{text[:12]}…"
