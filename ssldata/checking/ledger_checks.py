"""Checks of the metadata of a store: ledger, root attributes, consolidated metadata.

Each check yields (name of the check, one line) and reads no row. The rules are those of
``docs/store-format.md``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ssldata.base.differences import differences
from ssldata.base.errors import StoreError
from ssldata.base.files import digest_of
from ssldata.checking.row_checks import Found
from ssldata.sharing.card import README
from ssldata.store.published_weights import stale_groups
from ssldata.store.root_metadata import parse_json
from ssldata.store.store import (
    COMPLETE,
    HOMOLOGUES,
    REFERENCE,
    REMOVING,
    WEIGHTS,
    WRITING,
    YANKED,
    Store,
    belongs,
)

#: Keys of the entry of a complete group, beside those that opening a store has checked.
_KEYS = ("inputs", "checksums", "ranges", "counts")


def check_ledger(store: Store) -> Iterator[Found]:
    """Check the ledger against itself and against the root attributes."""
    rows_digest = store.ledger[REFERENCE]["digest"]
    for name, entry in store.ledger.items():
        status = entry["status"]
        if status not in (WRITING, COMPLETE, YANKED, REMOVING):
            yield "ledger", f"{name}: no such status {status!r}"
        if name != REFERENCE and not name.startswith(f"{HOMOLOGUES}/"):
            yield "ledger", f"{name}: neither {REFERENCE!r} nor below {HOMOLOGUES!r}"
        if status not in (COMPLETE, YANKED):
            continue
        lacking = [key for key in _KEYS if not entry.get(key)]
        if lacking:
            yield "ledger", f"{name} has no {', '.join(lacking)}"
            continue
        inputs = entry["inputs"]
        if entry["content"] != digest_of(entry["checksums"]):
            yield "ledger", f"{name}: content is not the digest of its checksums"
        if entry["digest"] != digest_of(inputs):
            yield "ledger", f"{name}: digest is not that of its inputs"
        if name != REFERENCE and inputs.get("reference rows") != rows_digest:
            yield "ledger", f"{name} was built for other reference rows"
    if inputs := store.ledger[REFERENCE].get("inputs"):
        yield from _check_root(store, inputs)


def _check_root(store: Store, inputs: Mapping[str, Any]) -> Iterator[Found]:
    """Check the root attributes against what the reference rows were built from."""
    root = store.attributes
    stated: dict[str, Any] = {"reference sequence": root["reference"]["digest"]}
    stated |= {f"peaks of {name}": value["sha256"] for name, value in root["peaks"].items()}
    built = {key: inputs[key] for key in inputs if key == "reference sequence" or "peaks" in key}
    if "sequences" in root:
        stated["sequences"], built["sequences"] = root["sequences"]["sha256"], inputs["sequences"]
    # Genomes written later may have brought keys that the reference rows do not depend on.
    for section in ("windows", "split"):
        for key, value in inputs[section].items():
            stated[f"{section}.{key}"], built[f"{section}.{key}"] = root[section].get(key), value
    for key, value in inputs["store"].items():
        stated[key], built[key] = root.get(key), value
    if wrong := differences(stated, built):
        yield "ledger", f"the root attributes and the ledger differ in {', '.join(wrong)}"
    if "sequences" not in root and sorted(store.experiments) != sorted(root["peaks"]):
        yield "ledger", "the experiments of the root attributes are not those with peaks"


def check_metadata(store: Store) -> Iterator[tuple[str, Found]]:
    """Check the consolidated metadata of a local store; yield (group, finding)."""
    folder = Path(store.location)
    if not folder.is_dir():
        return

    def problem(name: str, message: str) -> tuple[str, Found]:
        parts = name.split("/")
        group = "/".join(parts[:2]) if parts[0] == HOMOLOGUES else parts[0]
        return "" if group == HOMOLOGUES else group, ("metadata", message)

    consolidated = store.nodes
    complete = [name for name, entry in store.ledger.items() if entry["status"] == COMPLETE]
    on_disk = {}
    for name in [*complete, "sources"]:
        for file in (folder / name).rglob("zarr.json"):
            if belongs(file.relative_to(folder / name), name, store.weights):
                on_disk[str(file.parent.relative_to(folder))] = file
    if (folder / HOMOLOGUES / "zarr.json").is_file() and store.genomes:
        on_disk[HOMOLOGUES] = folder / HOMOLOGUES / "zarr.json"
    for name in sorted(set(on_disk) - set(consolidated)):
        yield problem(name, f"consolidated metadata lacks {name}")
    for name in sorted(set(on_disk) & set(consolidated)):
        try:
            found = parse_json(on_disk[name].read_bytes(), f"{name}/zarr.json")
        except StoreError as exc:
            yield problem(name, str(exc))
            continue
        except OSError as exc:
            yield problem(name, f"{name}/zarr.json: {exc.strerror}")
            continue
        listed = dict(consolidated[name])
        for value in (found, listed):
            value.pop("consolidated_metadata", None)
        if found != listed:
            yield problem(name, f"consolidated metadata of {name} is stale")
    for name in sorted(set(consolidated) - set(on_disk)):
        yield problem(name, f"consolidated metadata lists {name}, which does not exist")


def check_leftovers(store: Store) -> Iterator[Found]:
    """Report unfinished groups, and files that no complete build leaves."""
    for name, entry in store.ledger.items():
        if entry["status"] in (WRITING, REMOVING):
            yield (
                "ledger",
                f"{name} is unfinished ({entry['status']}); `crosslabel build` completes it",
            )
        elif entry["status"] == YANKED:
            yield "ledger", f"{name} is yanked and was not checked"
    for name in store.weights:
        if stale := stale_groups(store, name):
            yield "weights", f"{name} were made for other rows of {', '.join(stale)}; not used"
    folder = Path(store.location)
    if not folder.is_dir():
        return
    for item in sorted(folder.glob(f"{HOMOLOGUES}/*/{WEIGHTS}/*/zarr.json")):
        group = item.parents[2]
        if not belongs(item.relative_to(group), str(group.relative_to(folder)), store.weights):
            place = item.parent.relative_to(folder)
            yield "leftovers", f"{place}: not published; the next build sweeps it"
    for pattern in ("*.partial", ".*.deleting"):
        for item in sorted(folder.rglob(pattern)):
            yield "leftovers", f"{item.relative_to(folder)}: the next build sweeps it"
    card = folder / README
    if card.is_file() and store.digest not in card.read_text(encoding="utf-8"):
        yield "card", f"{README} describes other rows; `crosslabel store card` rewrites it"
    for item in sorted((folder / HOMOLOGUES).glob("[!.]*/")):
        if f"{HOMOLOGUES}/{item.name}" not in store.ledger:
            yield "leftovers", f"{HOMOLOGUES}/{item.name} is not in the ledger"
