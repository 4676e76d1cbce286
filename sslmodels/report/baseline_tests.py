"""Paired tests of the regimes of a report against its baselines, over experiments.

Nothing is compared with a collapsed baseline, beside which any model looks good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

#: Line of results, of :func:`sslmodels.report.report_data.summarise`.
Line = Mapping[str, Any]

_BEST = "the best of each"
#: With fewer pairs no two-sided p of the test can be below .05.
_FEWEST_PAIRS = 6


def against_baselines(lines: Sequence[Line], baselines: Sequence[Line]) -> list[dict[str, Any]]:
    """Return what the page shows of every regime against the best baseline and against each.

    Each experiment gives one pair of numbers, the means over its seeds.

    Parameters
    ----------
    lines, baselines
        Results of the runs, and of the baselines.
    """
    found: list[dict[str, Any]] = []
    auprs: dict[str, dict[str, float]] = {_BEST: {}}
    collapsed: dict[str, set[str]] = {_BEST: set()}
    for line in baselines:
        value, best = float(line["aupr"][0]), auprs[_BEST]
        auprs.setdefault(line["regime"], {})[line["experiment"]] = value
        best[line["experiment"]] = max(value, best.get(line["experiment"], value))
        if line["collapsed"]:
            collapsed.setdefault(line["regime"], set()).add(line["experiment"])
    for experiment in auprs[_BEST]:
        of_all = [line for line in baselines if line["experiment"] == experiment]
        if max(of_all, key=lambda line: float(line["aupr"][0]))["collapsed"]:
            collapsed[_BEST].add(experiment)
    for model, regime in dict.fromkeys((line["model"], line["regime"]) for line in lines):
        of_regime = {
            line["experiment"]: float(line["aupr"][0])
            for line in lines
            if (line["model"], line["regime"]) == (model, regime)
        }
        first = True
        for over, values in auprs.items():
            shared = [name for name in of_regime if name in values]
            both = [name for name in shared if name not in collapsed.get(over, ())]
            if not shared:
                continue
            own, other = (np.array([of[name] for name in both]) for of in (of_regime, values))
            ratio = f"{own.mean() / other.mean():.2f} ×" if other.any() else "–"
            tested = len(both) >= _FEWEST_PAIRS and (own != other).any()
            p = f"{stats.wilcoxon(own - other).pvalue:.2g}" if tested else "–"
            found.append(
                {
                    "model": model,
                    "regime": regime,
                    "over": over,
                    "first": first,
                    "ratio": ratio,
                    "p": p,
                    "wins": int((own > other).sum()),
                    "n": len(both),
                    "collapsed": len(shared) - len(both),
                }
            )
            first = False
    return found
