"""What was loaded from a checkpoint, and how messages list tensors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SHOWN = 6


@dataclass(frozen=True, kw_only=True)
class LoadReport:
    """What was loaded from a checkpoint.

    Attributes
    ----------
    path
        The file.
    loaded
        Names of the tensors loaded, including the shared decoder matrix.
    missing
        Tensors of the model that the file lacks, as it may; they keep their initial values.
    unexpected
        Tensors of the file that the model does not have, and may ignore.
    parameters
        How many numbers were loaded, those of the shared matrix counted once.
    """

    path: Path
    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    parameters: int

    def __str__(self) -> str:
        return (
            f"{self.path}: {len(self.loaded)} tensors loaded ({self.parameters:,} parameters), "
            f"{len(self.missing)} missing, {len(self.unexpected)} unexpected"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON-able values."""
        return {
            "path": str(self.path),
            "loaded": len(self.loaded),
            "missing": list(self.missing),
            "unexpected": list(self.unexpected),
            "parameters": self.parameters,
        }


def listed(what: str, names: Iterable[str]) -> list[str]:
    """Return a list of one phrase, ``2 missing: a, b``, or of none without names."""
    found = list(names)
    if not found:
        return []
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return [f"{len(found)} {what}: {', '.join(found[:_SHOWN])}{more}"]
