"""What other rows of a store brought: earlier runs beside those that took their place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from ssldata.store.store import HOMOLOGUES, REFERENCE
from sslmodels.report.report_data import (
    RunSummary,
    by_output,
    mean_and_sd,
    mean_resamples,
    read_run,
    with_resamples,
)
from sslmodels.runs.run_folder import RunFolder
from sslmodels.runs.run_identity import changed_rows
from sslmodels.runs.training_rows import in_order
from sslmodels.scores.metric_intervals import interval


@dataclass
class RowsChange:
    """What other rows of the store brought: two trainings of the same cell and settings.

    Attributes
    ----------
    experiment, model, regime
        The cell of the grid.
    rows
        How the rows differ, in words.
    before, after
        Names of the genomes.
    comparable
        Whether both were scored on the same test rows.
    pairs
        The runs of each seed before and after.
    """

    experiment: str
    model: str
    regime: str
    rows: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    comparable: bool
    pairs: list[tuple[RunSummary, RunSummary]] = field(default_factory=list)

    @property
    def collapsed(self) -> int:
        """Number of earlier runs that collapsed, with which nothing is compared."""
        return sum(old.collapsed for old, _ in self.pairs)

    def as_line(self) -> dict[str, Any]:
        """Return what a page shows: means over seeds, and of their differences, with intervals."""
        runs = list(zip(*self.pairs, strict=True))
        draws = [mean_resamples(of) for of in runs]
        before, after = ([(run.metrics or {})["aupr"] for run in of] for of in runs)
        old, new = draws
        known = old is not None and new is not None and len(old) == len(new)
        return {
            "cell": f"{self.experiment} / {self.model} / {self.regime}",
            "rows": self.rows,
            "genomes": f"{len(self.before)} → {len(self.after)}",
            "names": " → ".join(", ".join(names) for names in (self.before, self.after)),
            "before": mean_and_sd(before),
            "before_interval": None if old is None else interval(old),
            "after": mean_and_sd(after),
            "after_interval": None if new is None else interval(new),
            "difference": mean_and_sd(b - a for a, b in zip(before, after, strict=True)),
            "difference_interval": interval(new - old)
            if known and old is not None and new is not None
            else None,
            "comparable": self.comparable,
            "collapsed": self.collapsed,
            "seeds": ", ".join(str(run.seed) for _, run in self.pairs),
        }


def read_changes(
    runs: Sequence[RunSummary], problems: list[str], genomes: Sequence[str] = ()
) -> list[RowsChange]:
    """Return what every change of rows brought, from the earlier runs kept in the folders of runs.

    Seeds whose rows changed in the same way share an entry. A run that was not evaluated before its
    rows changed has nothing to compare with, and is a problem. Names of genomes stand in the order
    of `genomes`, others after them.
    """
    found: dict[tuple[Any, ...], RowsChange] = {}
    for run in runs:
        earlier = [read_run(folder, problems) for folder in RunFolder(run.folder).earlier]
        for old, new in pairwise([*earlier, run]):
            if not (old.metrics and new.metrics):
                continue
            identities = [one.record["identity"] for one in (old, new)]
            rows = changed_rows(*identities, genomes=genomes)
            contents = [identity["content"] for identity in identities]
            named = [
                tuple(in_order((name.removeprefix(f"{HOMOLOGUES}/") for name in groups), genomes))
                for groups in ({*content} - {REFERENCE} for content in contents)
            ]
            comparable = contents[0][REFERENCE] == contents[1][REFERENCE]
            olds = {one.experiment: one for one in with_resamples(by_output([old]), problems)}
            for one in with_resamples(by_output([new]), []):
                if one.experiment in olds:
                    key = (one.experiment, one.model, one.regime, rows, *named, comparable)
                    pairs = found.setdefault(key, RowsChange(*key)).pairs
                    pairs.append((olds[one.experiment], one))
    return list(found.values())
