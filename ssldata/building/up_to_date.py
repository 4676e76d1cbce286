"""Whether the groups of stores are complete, and built from these inputs and settings."""

from __future__ import annotations

from ssldata.building.build_inputs import (
    ProjectInputs,
)
from ssldata.store.store import (
    COMPLETE,
    HOMOLOGUES,
    REFERENCE,
    YANKED,
    read_root_attributes,
)


def is_built(inputs: ProjectInputs) -> bool:
    """Return whether every group of every store is complete and made from these inputs."""
    for opened in inputs.stores.values():
        ledger = (read_root_attributes(opened.path) or {"ledger": {}})["ledger"]
        wanted = {REFERENCE: opened.digest} | {
            f"{HOMOLOGUES}/{genome}": target.digest(opened.digest)
            for genome, target in inputs.targets.items()
        }
        for group, digest in wanted.items():
            entry = ledger.get(group, {})
            if entry.get("status") not in (COMPLETE, YANKED) or entry["digest"] != digest:
                return False
    return True
