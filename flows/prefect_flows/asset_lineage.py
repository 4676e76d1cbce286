"""What the steps of a project make, and of what, as keys of Prefect's assets.

Genomes and peaks → groups of stores → runs → evaluations → the report. A key has names of the
project only (``crosslabel://yeast/stores/Reb1/homologs/N44``): no path, no host, no password.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from ssldata.building.store_inputs import experiments_of, store_names
from ssldata.project.project_file import Project
from ssldata.project.training_section import Regime
from ssldata.store.store import HOMOLOGUES, REFERENCE
from sslmodels.runs.regime_table import REGIME_TABLE

#: Keys of the result of a step that its assets are described by.
DESCRIBED = ("digest", "status", "rows", "aupr")


@dataclass(frozen=True)
class Assets:
    """Keys of the assets that a step makes, and of those that it makes them of."""

    made: Sequence[str] = ()
    of: Sequence[str] = ()


@dataclass(frozen=True)
class Lineage:
    """The assets of one project."""

    project: Project

    def key(self, *parts: str) -> str:
        """Return the key of an asset from the names that identify it within the project."""
        named = [_part(part) for one in parts for part in one.split("/")]
        return "/".join([f"crosslabel://{_part(self.project.name)}", *named])

    def of_step(self, kind: str, label: str, kw: dict[str, Any]) -> Assets:
        """Return the assets of one step.

        Parameters
        ----------
        kind, label
            As of :data:`ssldata.building.build_store.StepRunner`.
        kw
            Keyword arguments of its call.
        """
        first, _, rest = label.partition(" / ")
        if kind == "build-reference":
            peaks = [self.key("experiments", e) for e in experiments_of(self.project, first)]
            return Assets([self._group(first)], [self.key("genomes", rest), *peaks])
        if kind == "build-genome":
            return self._of_genome(rest, [first])
        if kind in ("train", "evaluate", "trained"):
            return self._of_run(kind, label.split(" / "))
        if kind == "baselines":
            stores = [self._group(name) for name in store_names(self.project)]
            return Assets([self.key("baselines")], stores)
        if kind == "report":
            found = [self.key("baselines")] if self.project.training.baselines else []
            return Assets([self.key("report")], [*found, *self._evaluations(kw["run_folders"])])
        return Assets()

    def of_genome(self, name: str) -> Assets:
        """Return the assets of adding a genome to every store of the project."""
        return self._of_genome(name, store_names(self.project))

    def _of_genome(self, name: str, stores: Iterable[str]) -> Assets:
        stores = list(stores)
        made = [self._group(store, f"{HOMOLOGUES}/{name}") for store in stores]
        return Assets(made, [self.key("genomes", name), *map(self._group, stores)])

    def _group(self, store: str, group: str = REFERENCE) -> str:
        return self.key("stores", store, group)

    def _of_run(self, kind: str, parts: Sequence[str]) -> Assets:
        """Return the assets of a run, from the parts of the name of its cell."""
        if len(parts) < 4 or parts[2] not in get_args(Regime):  # all runs on workers together
            return Assets()
        experiment, model, regime, *place = parts
        run = self.key("runs", *parts)
        evaluation = self.key("runs", *parts, "evaluation")
        store = self.project.store_path(experiment).stem
        reference = self._group(store)
        if kind == "evaluate":
            return Assets([evaluation], [run, reference])
        of = [reference]
        entry = next(entry for name, entry in REGIME_TABLE.items() if name == regime)
        if entry.homologues:
            of += [self._group(store, f"{HOMOLOGUES}/{g.name}") for g in self.project.genomes]
        if entry.first is not None:  # the teacher of a sweep is that of the grid
            of.append(self.key("runs", experiment, model, entry.first, place[0]))
        return Assets([run] if kind == "train" else [run, evaluation], of)

    def _evaluations(self, folders: Iterable[Path]) -> list[str]:
        """Return the evaluations that exist, of run folders RUNS/EXPERIMENT/MODEL/REGIME/SEED."""
        return [
            self.key("runs", *folder.parts[-4:], "evaluation")
            for folder in folders
            if (folder / "evaluation" / "metrics.json").is_file()
        ]


def _part(name: str) -> str:
    """Return a name as a part of a key: ``seed 0`` is seed-0, ``my:model`` my.model as on disk."""
    return re.sub(r"[^\w.+-]+", "-", name.replace(":", "."), flags=re.ASCII).strip("-") or "-"
