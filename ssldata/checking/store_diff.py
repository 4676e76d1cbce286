"""Compare two stores: what differs, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ssldata.base.differences import differences
from ssldata.store.store import REFERENCE, Store

#: Root attributes that determine the rows.
_SETTINGS = (
    "format_version",
    "experiments",
    "reference",
    "peaks",
    "sequences",
    "windows",
    "split",
    "negatives",
    "liftover",
    "seed",
    "codes",
)


def diff_stores(left: Store, right: Store) -> dict[str, Any]:
    """Compare two stores by their ledgers and settings; no row is read.

    Parameters
    ----------
    left, right
        The stores.

    Returns
    -------
    dict
        ``same``: whether readers see the same rows and published weights. ``settings``: dotted
        key → the two values. ``weights``: dotted name → the two values, of what differs.
        ``groups``: per group ``status`` (``same``, ``only in the first``, ``only in the second``,
        ``differs``), and for those that differ ``inputs`` (which of them, with both values),
        ``versions`` (libraries that differ), ``arrays`` (which checksums differ), ``rows`` and
        ``counts`` (both values where they differ).
    """
    settings: dict[str, list[Any]] = {}
    for key in _SETTINGS:
        settings |= differences(left.attributes.get(key), right.attributes.get(key), at=key)
    groups = {}
    for name in sorted({*left.ledger, *right.ledger}, key=lambda name: (name != REFERENCE, name)):
        groups[name] = _group(left.ledger.get(name), right.ledger.get(name))
    weights: dict[str, list[Any]] = {}
    for name in sorted({*left.weights, *right.weights}):
        both = left.weights.get(name), right.weights.get(name)
        if None in both:
            weights[name] = ["published" if entry else None for entry in both]
        else:
            weights |= differences(*both, at=name)
    return {
        "same": left.digest == right.digest and not weights,
        "digests": [left.digest, right.digest],
        "settings": settings,
        "weights": weights,
        "groups": groups,
    }


def _group(left: Mapping[str, Any] | None, right: Mapping[str, Any] | None) -> dict[str, Any]:
    if left is None or right is None:
        return {"status": f"only in the {'second' if left is None else 'first'}"}
    result: dict[str, Any] = {}
    if left["status"] != right["status"]:
        result["state"] = [left["status"], right["status"]]
    if left.get("content") != right.get("content"):
        result |= {
            "inputs": differences(left.get("inputs"), right.get("inputs")),
            "versions": differences(left.get("provenance"), right.get("provenance")),
            "arrays": _arrays(left.get("checksums", {}), right.get("checksums", {})),
            "rows": [left.get("rows"), right.get("rows")],
            "counts": differences(left.get("counts"), right.get("counts")),
        }
    return {"status": "differs", **result} if result else {"status": "same"}


def _arrays(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[str]:
    """Name the parts whose checksums differ; of sequences, how many shards."""
    found = []
    for key in sorted({*left, *right}):
        a, b = left.get(key), right.get(key)
        if a == b:
            continue
        if isinstance(a, list) and isinstance(b, list):
            same = sum(x == y for x, y in zip(a, b, strict=False))
            found.append(f"{key} ({max(len(a), len(b)) - same} of {max(len(a), len(b))} shards)")
        else:
            found.append(key)
    return found
