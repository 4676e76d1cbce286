"""Whether the groups of stores are complete, and built from these inputs and settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ssldata.building.build_inputs import ProjectInputs
from ssldata.building.store_inputs import StoreInputs
from ssldata.store.store import COMPLETE, HOMOLOGUES, REFERENCE, YANKED, read_root_attributes


def _is_current(ledger: Mapping[str, Any], group: str, digest: str) -> bool:
    entry = ledger.get(group, {})
    return entry.get("status") in (COMPLETE, YANKED) and entry["digest"] == digest


def _ledger(store: StoreInputs) -> Mapping[str, Any]:
    ledger: Mapping[str, Any] = (read_root_attributes(store.path) or {"ledger": {}})["ledger"]
    return ledger


def has_reference(store: StoreInputs) -> bool:
    """Return whether the reference rows of a store are complete and made from these inputs."""
    return _is_current(_ledger(store), REFERENCE, store.digest)


def is_built(inputs: ProjectInputs) -> bool:
    """Return whether every group of every store is complete and made from these inputs."""
    for opened in inputs.stores.values():
        ledger = _ledger(opened)
        wanted = {REFERENCE: opened.digest} | {
            f"{HOMOLOGUES}/{genome}": target.digest(opened.digest)
            for genome, target in inputs.targets.items()
        }
        if not all(_is_current(ledger, group, digest) for group, digest in wanted.items()):
            return False
    return True
