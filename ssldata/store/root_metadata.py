"""The root ``zarr.json`` of a store: read, checked, sealed with a checksum.

Everything that says what the arrays mean is in this one file: the ledger, the settings, and a copy
of the metadata of every array (the consolidated metadata). Its checksum covers all of it, so that
no damage to a number, a name or a shape is believed. Chunks have checksums of their own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssldata.base.errors import StoreError
from ssldata.base.files import digest_of

#: MAJOR.MINOR; readers refuse another MAJOR. Raise MAJOR only when old readers would misread.
FORMAT_VERSION = "1.1"
#: Of stores of labelled sequences, which say more; other stores keep the number above.
SEQUENCES_VERSION = "1.2"
#: What digests of inputs and of stores contain in its place. 1.1 says how rows are kept, not what
#: they are: stores and runs of 1.0 stay up to date.
ROWS_VERSION = "1.0"
#: Key of everything of ours in the root attributes.
ATTRIBUTE = "crosslabel"
#: Folder of published weights in a group, and key of their records in our attributes.
WEIGHTS = "weights"
#: Key of what happened to a store, in our attributes.
HISTORY = "history"
REFERENCE = "reference"
HOMOLOGUES = "homologs"
#: Ranges of rows in a group, in order.
RANGES = ("positive", "negative", "validation", "test")
#: Statuses of the ledger. Readers use complete groups only.
WRITING, COMPLETE, YANKED, REMOVING = "writing", "complete", "yanked", "removing"

#: Key of the checksum in our attributes, from format 1.1 on.
_CHECKSUM = "checksum"
#: Bytes of a root that are read: a store of a thousand genomes has 40 MB.
_LARGEST = 1 << 28
_AGAIN = "copy the store again, or delete it and build again"

#: Header of consolidated metadata. They are not yet part of the v3 specification, but every
#: zarr-python and xarray reads them; without them a store behind plain HTTP looks empty.
CONSOLIDATED = {"kind": "inline", "must_understand": False}

# What readers rely on, see misfit.
_ATTRIBUTES: dict[str, Any] = {
    "experiments": [str],
    "ledger": {"*": {"status": str}},
    "weights?": {"*": {"groups": {"*": {"rows": str, "sha256": str}}}},
    "history?": [dict],
}
_SETTINGS: dict[str, Any] = {
    "name": str,
    "reference": {"name": str, "digest": str},
    "peaks": {"*": {"sha256": str, "counts": dict}},
    "sequences?": {"sha256": str, "file": str, "splits": {"by": str}, "counts": dict},
    "windows": {"size": int, "min_overlap": (int, float), "mode": str, "n_policy": str},
    "split": {"test": [str], "validation": [str]},
    "negatives": {"source": str},
    "liftover": {"mode": str},
    "seed": int,
    "codes": bool,
}
_ENTRY: dict[str, Any] = {
    "digest": str,
    "content": str,
    "rows": int,
    "ranges": {key: [int, int] for key in RANGES},
    "counts": {"*": int},
    "liftover?": {"*": int},
    "inputs?": dict,
    "checksums?": {"sequences?": [str]},
    "provenance?": dict,
    "yanked?": str,
}
_NODES: dict[str, Any] = {"*": {"node_type": str, "attributes?": dict}}


@dataclass(frozen=True)
class Root:
    """A checked root.

    Attributes
    ----------
    attributes
        Ours, without the checksum.
    nodes
        Metadata of every group and array of the complete groups, by path.
    """

    attributes: dict[str, Any]
    nodes: dict[str, dict[str, Any]]


def read_root(path: Path) -> Root | None:
    """Return the root of a local store, or None when `path` holds no store of ours.

    Raises
    ------
    StoreError
        The root is damaged, or of another major format version.
    """
    file = path / "zarr.json"
    try:
        with file.open("rb") as handle:
            text = handle.read(_LARGEST + 1)
    except OSError:
        return None
    return parse_root(text, str(path))


def parse_root(text: bytes, where: str) -> Root | None:
    """Return the checked content of a root ``zarr.json``, or None when it is not one of ours.

    Raises
    ------
    StoreError
        As :func:`read_root`.
    """
    root = parse_json(text, f"{where}/zarr.json")
    attributes = root.get("attributes")
    ours = attributes.get(ATTRIBUTE) if isinstance(attributes, dict) else None
    if not isinstance(ours, dict):
        return None
    _check_version(ours, where)
    damaged = f"{where}: its root zarr.json is damaged"
    stated = ours.pop(_CHECKSUM, None)
    if stated is None and ours["format_version"] != "1.0":
        raise StoreError(f"{damaged} (it has no checksum); {_AGAIN}")
    if stated is not None and stated != _checksum(root):
        raise StoreError(f"{damaged} (its checksum is not that of its content); {_AGAIN}")
    listed = root.get("consolidated_metadata") or {}
    nodes = listed.get("metadata", {}) if isinstance(listed, dict) else listed
    if wrong := _misfit_of_attributes(ours) or misfit(nodes, _NODES, "consolidated metadata"):
        raise StoreError(f"{damaged} ({wrong}); {_AGAIN}")
    return Root(ours, nodes)


def _checksum(root: Mapping[str, Any]) -> str:
    """Return the sha256 of the canonical text of a root without its checksum."""
    try:
        return digest_of(root)
    except (UnicodeEncodeError, RecursionError):  # half a surrogate pair is no text
        return ""


def _check_version(ours: Mapping[str, Any], where: str) -> None:
    found, reads = str(ours.get("format_version", "?")), FORMAT_VERSION.split(".")[0]
    if not re.fullmatch(r"\d+\.\d+", found) or found.split(".")[0] != reads:
        raise StoreError(
            f"{where}: store format {found:.20}, this release reads {reads}.x; "
            "rebuild the store or use the release that wrote it"
        )


def _misfit_of_attributes(ours: Mapping[str, Any]) -> str | None:
    """Say what of our attributes is not as the format page has it; None: nothing."""
    wrong = misfit(ours, _ATTRIBUTES)
    if wrong is not None:
        return wrong
    for name, entry in ours["ledger"].items():
        if entry["status"] in (COMPLETE, YANKED):
            wrong = wrong or misfit(entry, _ENTRY, f"ledger entry {name}")
    if ours["ledger"].get(REFERENCE, {}).get("status") == COMPLETE:
        wrong = wrong or misfit(ours, _SETTINGS)
    return wrong


def misfit(value: Any, shape: Any, at: str = "") -> str | None:
    """Say where a JSON value first differs from the shape expected of it; None: nowhere.

    Parameters
    ----------
    value
        The value.
    shape
        A type or several; ``[shape]`` of every item, ``[shape, shape]`` of two; a mapping of keys
        to shapes, of which those that end in ``?`` may be missing, and ``*`` is every key. There
        may be more keys.
    at
        What to call the value.
    """
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return f"{at or 'it'} is not a mapping"
        for key, inner in shape.items():
            name = key.removesuffix("?")
            if name == key != "*" and key not in value:
                return f"{at} has no {key}".strip()
            for part in value if key == "*" else {name} & value.keys():
                if wrong := misfit(value[part], inner, f"{at} {part}".strip()):
                    return wrong
    elif isinstance(shape, list):
        if not isinstance(value, list):
            return f"{at} is not a list"
        if len(shape) not in (1, len(value)):
            return f"{at} has {len(value)} items"
        return next(filter(None, (misfit(one, shape[0], at) for one in value)), None)
    elif not isinstance(value, shape) or (isinstance(value, bool) and shape is not bool):
        return f"{at} is {json.dumps(value)[:40]}"
    return None


def parse_json(text: bytes, where: str) -> dict[str, Any]:
    """Return the mapping in a JSON file.

    Raises
    ------
    StoreError
        It is not one, is nested too deeply or is too large.
    """
    if len(text) > _LARGEST:
        raise StoreError(
            f"{where}: larger than {_LARGEST >> 20} MB, which no store needs; {_AGAIN}"
        )
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise StoreError(f"{where}: damaged, not JSON ({exc}); {_AGAIN}") from exc
    if not isinstance(value, dict):
        raise StoreError(f"{where}: damaged, not a JSON mapping; {_AGAIN}")
    return value


def root_text(attributes: Mapping[str, Any], nodes: Mapping[str, Any]) -> str:
    """Return the root ``zarr.json`` of our attributes and the metadata of groups and arrays."""
    # What a later release added stays, and so does its number.
    versions = [FORMAT_VERSION, str(attributes.get("format_version", FORMAT_VERSION))]
    newest = max(versions, key=lambda version: int(version.split(".")[1]))
    ours = {**attributes, "format_version": newest}
    root: dict[str, Any] = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": {ATTRIBUTE: ours},
        "consolidated_metadata": {**CONSOLIDATED, "metadata": nodes},
    }
    ours[_CHECKSUM] = _checksum(root)
    return json.dumps(root, indent=1, sort_keys=True) + "\n"
