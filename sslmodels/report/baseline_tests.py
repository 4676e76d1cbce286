"""Paired tests of the regimes of a report against its baselines, over experiments.

Nothing is compared with a collapsed baseline, beside which any model looks good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from sslmodels.report.number_text import span
from sslmodels.report.report_gains import ratio_interval

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
    compared: dict[str, dict[str, Line]] = {_BEST: {}}
    for line in baselines:
        compared.setdefault(line["regime"], {})[line["experiment"]] = line
        best = compared[_BEST].setdefault(line["experiment"], line)
        if line["aupr"][0] > best["aupr"][0]:
            compared[_BEST][line["experiment"]] = line
    found: list[dict[str, Any]] = []
    for model, regime in dict.fromkeys((line["model"], line["regime"]) for line in lines):
        own = [line for line in lines if (line["model"], line["regime"]) == (model, regime)]
        first = True
        for over, others in compared.items():
            pairs = [(line, others[e]) for line in own if (e := line["experiment"]) in others]
            if pairs:
                cell = {"model": model, "regime": regime, "over": over, "first": first}
                found.append(cell | _test(pairs))
                first = False
    return found


def _test(pairs: Sequence[tuple[Line, Line]]) -> dict[str, Any]:
    sound = [(line, other) for line, other in pairs if not other["collapsed"]]
    own, other = (np.array([float(line["aupr"][0]) for line in side]) for side in _sides(sound))
    ratio = "–"
    if other.any():
        ends = ratio_interval([(a.get("resamples"), b.get("resamples")) for a, b in sound])
        ratio = f"{own.mean() / other.mean():.2f} ×{span(ends, 2)}"
    tested = len(sound) >= _FEWEST_PAIRS and (own != other).any()
    return {
        "ratio": ratio,
        "p": f"{stats.wilcoxon(own - other).pvalue:.2g}" if tested else "–",
        "wins": int((own > other).sum()),
        "n": len(sound),
        "collapsed": len(pairs) - len(sound),
    }


def _sides(pairs: Sequence[tuple[Line, Line]]) -> tuple[list[Line], list[Line]]:
    return [line for line, _ in pairs], [other for _, other in pairs]
