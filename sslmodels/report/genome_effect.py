"""Did a genome help? AUPR before and after the rows of a store changed, with intervals.

Compared are the newest two trainings of each cell of the grid (:data:`earlier/N <
sslmodels.runs.run_folder.EARLIER>` and the run itself), seed by seed, on the same test rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.project.project_file import Project
from ssldata.store.store import REFERENCE
from sslmodels.report.report_data import (
    RunSummary,
    by_output,
    mean_resamples,
    read_run,
    with_resamples,
)
from sslmodels.runs.run_folder import RunFolder
from sslmodels.runs.run_grid import grid
from sslmodels.runs.run_identity import changed_rows
from sslmodels.scores.metric_intervals import interval

_Key = tuple[str, str, str, str]
_Pair = tuple[RunSummary, RunSummary]


def effects_of_rows(project: Project) -> list[dict[str, Any]]:
    """Return what the last change of rows brought, for each experiment, model and regime.

    Returns
    -------
    list of dict
        ``experiment``, ``model``, ``regime``; ``rows``: how they changed, as ``+ N44``;
        ``seeds``; ``collapsed_before``: how many of the earlier runs collapsed, with which nothing
        is compared; ``before`` and ``after``: mean AUPR over these seeds; ``difference``; and
        ``before_interval``, ``after_interval``, ``difference_interval``: 95 % intervals of the
        bootstrap over blocks of test bins, None where they are unknown. Cells whose test rows
        changed, or that were not evaluated, are left out.
    """
    pairs: dict[_Key, list[_Pair]] = {}
    genomes = [genome.name for genome in project.genomes]
    for folder in dict.fromkeys(cell.folder for cell in grid(project)):
        earlier = RunFolder(folder).earlier
        if not earlier or not folder.is_dir():
            continue
        old, new = (read_run(path, []) for path in (earlier[-1], folder))
        if not (old.metrics and new.metrics):
            continue
        identities = [one.record["identity"] for one in (old, new)]
        contents = [identity["content"] for identity in identities]
        rows = changed_rows(*identities, genomes=genomes)
        if not rows or contents[0].get(REFERENCE) != contents[1].get(REFERENCE):
            continue
        olds = {run.experiment: run for run in with_resamples(by_output([old]), [])}
        for run in with_resamples(by_output([new]), []):
            if run.experiment in olds:
                key = (run.experiment, run.model, run.regime, rows)
                pairs.setdefault(key, []).append((olds[run.experiment], run))
    return [_effect(key, found) for key, found in pairs.items()]


def _effect(key: _Key, pairs: Sequence[_Pair]) -> dict[str, Any]:
    pairs = sorted(pairs, key=lambda pair: pair[1].seed)
    before, after = (_mean(one) for one in zip(*pairs, strict=True))
    draws = [mean_resamples(one) for one in zip(*pairs, strict=True)]
    old, new = draws
    known = old is not None and new is not None and len(old) == len(new)
    return {
        **dict(zip(("experiment", "model", "regime", "rows"), key, strict=True)),
        "seeds": [new.seed for _, new in pairs],
        "collapsed_before": sum(old.collapsed for old, _ in pairs),
        "before": before,
        "before_interval": _interval(old),
        "after": after,
        "after_interval": _interval(new),
        "difference": after - before,
        "difference_interval": _interval(new - old)
        if known and old is not None and new is not None
        else None,
    }


def _mean(runs: Iterable[RunSummary]) -> float:
    return fmean((run.metrics or {})["aupr"] for run in runs)


def _interval(draws: NDArray[np.float64] | None) -> list[float] | None:
    found = None if draws is None else interval(draws)
    return None if found is None else [round(bound, 6) for bound in found]


def effect_lines(effects: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Return effects as cells of a table: cell, rows, seeds, before, after, difference, verdict."""
    return [
        [
            f"{e['experiment']} / {e['model']} / {e['regime']}",
            e["rows"],
            ", ".join(map(str, e["seeds"])),
            _shown(e["before"], e["before_interval"]),
            _shown(e["after"], e["after_interval"]),
            _shown(e["difference"], e["difference_interval"], sign="+"),
            verdict(e),
        ]
        for e in effects
    ]


#: Heads of the columns of :func:`effect_lines`.
EFFECT_COLUMNS = ("run", "rows", "seeds", "AUPR before", "AUPR after", "difference", "did it help?")


def verdict(effect: dict[str, Any]) -> str:
    """Return in words whether the change of rows helped: yes, no, or what cannot be said."""
    bounds = effect["difference_interval"]
    if effect.get("collapsed_before"):
        return "cannot be said: collapsed before"
    if bounds is None:
        return "unknown: no interval"
    if bounds[0] > 0:
        return "yes"
    return "no, it is worse" if bounds[1] < 0 else "cannot be shown"


def _shown(value: float, bounds: Sequence[float] | None, sign: str = "") -> str:
    text = f"{value:{sign}.3f}"
    return text if bounds is None else f"{text} [{bounds[0]:{sign}.3f}, {bounds[1]:{sign}.3f}]"
