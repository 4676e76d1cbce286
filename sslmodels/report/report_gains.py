"""Gains: what a regime has over its control without homologues, and over the best baseline.

Ratios of AUPR, with the interval of the bootstrap over blocks of test bins where the evaluations
have one. Nothing is compared with a collapsed run: such a ratio says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslmodels.report.number_text import span
from sslmodels.runs.regime_table import LEADING, REGIME_TABLE
from sslmodels.scores.metric_intervals import interval

#: Line of results: those of :func:`sslmodels.report.report_data.summarise`.
Line = Mapping[str, Any]

#: Resamples of an AUPR (n,), and an interval.
Draws = NDArray[np.float64]
Span = tuple[float, float]

#: Name of what is compared with, where it is the best of several baselines.
BEST_BASELINE = "the best baseline"


@dataclass(frozen=True)
class Ratio:
    """One AUPR over another.

    Attributes
    ----------
    name
        The experiment, or how many experiments the means are of.
    aupr, base
        Mean AUPR over seeds, and that of what it is compared with.
    over
        What it is compared with.
    interval
        95 % interval of the ratio over blocks of test bins; None: unknown.
    aupr_interval, base_interval
        Those of the two numbers.
    runs
        Number of runs of either; the fewest of the experiments.
    """

    name: str
    aupr: float
    base: float
    over: str
    interval: tuple[float, float] | None
    runs: tuple[int, int]
    aupr_interval: tuple[float, float] | None = None
    base_interval: tuple[float, float] | None = None

    @property
    def ratio(self) -> float:
        """How many times as high."""
        return self.aupr / self.base

    @property
    def text(self) -> str:
        """The ratio with its interval."""
        return f"× {self.ratio:.2f}{span(self.interval, 2)}"


@dataclass(frozen=True)
class Gain:
    """What a regime of a model has over another, for each experiment and over all of them.

    Attributes
    ----------
    model, regime, over
        What is compared, and with what.
    lines
        One per experiment.
    mean
        Ratio of the means over the experiments.
    collapsed
        Experiments left out, because what they would be compared with collapsed.
    """

    model: str
    regime: str
    over: str
    lines: list[Ratio] = field(default_factory=list)
    mean: Ratio | None = None
    collapsed: tuple[str, ...] = ()

    @property
    def wins(self) -> int:
        """Number of experiments in which it is higher."""
        return sum(line.aupr > line.base for line in self.lines)

    @property
    def sentence(self) -> str:
        """The gain in one line."""
        named = f"{self.regime} over {self.over} ({self.model})"
        left_out = f"; not compared, collapsed: {', '.join(self.collapsed)}"
        if self.mean is None:
            return named + (left_out if self.collapsed else ": nothing to compare")
        return f"{named}: {self.mean.text}, {self.note}{left_out if self.collapsed else ''}"

    @property
    def note(self) -> str:
        """On how much it rests."""
        # Baselines have no seeds.
        sides = 1 if self.over == BEST_BASELINE else 2
        seeds = sorted({n for line in self.lines for n in line.runs[:sides]})
        number = (
            "one seed"
            if seeds == [1]
            else f"{' to '.join(map(str, seeds[:: len(seeds) - 1 or 1]))} seeds"
        )
        return f"{counted(len(self.lines), 'experiment')}, higher in {self.wins}; {number} each"


def counted(number: int, what: str) -> str:
    """Return a number of things in words."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def leading_gains(lines: Sequence[Line], baselines: Sequence[Line] = ()) -> list[Gain]:
    """Return the gains that a report leads with, of every model: over control and best baseline.

    Every leading regime is compared with its control, the best of them with the best baseline.

    Parameters
    ----------
    lines
        Of :func:`sslmodels.report.report_data.summarise`.
    baselines
        Lines of the same kind, whose ``regime`` is the name of the baseline; the best of an
        experiment is the one with the highest AUPR, which is kind to the baselines.
    """
    found = []
    for model in dict.fromkeys(line["model"] for line in lines):
        here = [line for line in lines if line["model"] == model]
        trained = {line["regime"] for line in here}
        compared = [r for r in LEADING if r in trained and REGIME_TABLE[r].control in trained]
        for regime in compared:
            control = REGIME_TABLE[regime].control
            found.append(_gain(here, regime, str(control), _of_regime(here, str(control))))
        leader = best_leading(here)
        if baselines and leader is not None:
            found.append(_gain(here, leader, BEST_BASELINE, _best(baselines)))
    return found


def best_leading(lines: Sequence[Line]) -> str | None:
    """Return the regime of a model that a report leads with: of `LEADING`, the best on the test.

    It is the one with the highest mean AUPR over experiments, among those that most experiments
    have; None: there is none of them.
    """
    auprs = {
        regime: [line["aupr"][0] for line in lines if line["regime"] == regime and line["aupr"]]
        for regime in LEADING
    }
    trained = [regime for regime in LEADING if auprs[regime]]
    return max(trained, key=lambda regime: (len(auprs[regime]), fmean(auprs[regime])), default=None)


def best_gain(gains: Iterable[Gain]) -> Gain | None:
    """Return the gain of the regime with the highest AUPR, among those of most experiments."""
    known = [(gain, gain.mean.aupr) for gain in gains if gain.mean is not None]
    best = max(known, key=lambda pair: (len(pair[0].lines), pair[1]), default=None)
    return None if best is None else best[0]


def _of_regime(lines: Iterable[Line], regime: str) -> Callable[[str], Line | None]:
    found = {line["experiment"]: line for line in lines if line["regime"] == regime}
    return found.get


def _best(baselines: Sequence[Line]) -> Callable[[str], Line | None]:
    def best(experiment: str) -> Line | None:
        here = [b for b in baselines if b["experiment"] == experiment and b["aupr"]]
        return max(here, key=lambda line: line["aupr"][0], default=None)

    return best


def _gain(
    lines: Sequence[Line], regime: str, over: str, base_of: Callable[[str], Line | None]
) -> Gain:
    pairs, collapsed = [], []
    for line in lines:
        base = base_of(line["experiment"]) if line["regime"] == regime else None
        if base is None or not line["aupr"] or not base["aupr"]:
            continue
        if base["collapsed"] or not base["aupr"][0] > 0:
            collapsed.append(line["experiment"])
        else:
            pairs.append((line, base))
    made = [
        _ratio(
            line["experiment"], [(line, base)], base["regime"] if over == BEST_BASELINE else over
        )
        for line, base in pairs
    ]
    mean = _ratio(f"mean of {len(pairs)}", pairs, over) if pairs else None
    return Gain(lines[0]["model"], regime, over, made, mean, tuple(collapsed))


def _ratio(name: str, pairs: Sequence[tuple[Line, Line]], over: str) -> Ratio:
    arrays = [(line.get("resamples"), base.get("resamples")) for line, base in pairs]
    return Ratio(
        name=name,
        aupr=fmean(line["aupr"][0] for line, _ in pairs),
        base=fmean(base["aupr"][0] for _, base in pairs),
        over=over,
        interval=ratio_interval(arrays),
        runs=(min(line["n"] for line, _ in pairs), min(base["n"] for _, base in pairs)),
        aupr_interval=_mean_interval([above for above, _ in arrays]),
        base_interval=_mean_interval([below for _, below in arrays]),
    )


def ratio_interval(arrays: Sequence[tuple[Draws | None, Draws | None]]) -> Span | None:
    """Return the interval of a ratio of means over experiments; None: one is unknown.

    Parameters
    ----------
    arrays
        For each experiment the resamples (n,) of the two AUPRs; line k is the same resample in all.
    """
    above, below = _mean_draws(a for a, _ in arrays), _mean_draws(b for _, b in arrays)
    if above is None or below is None or len(above) != len(below):
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        return interval(above / below)


def _mean_draws(arrays: Iterable[Draws | None]) -> Draws | None:
    """Return the resamples of a mean; None: one of them is unknown, or of other resamples."""
    every = list(arrays)
    known = [array for array in every if array is not None]
    if len(known) < len(every) or len({len(array) for array in known}) != 1:
        return None
    return np.asarray(np.mean(known, axis=0), np.float64)


def _mean_interval(arrays: Iterable[Draws | None]) -> Span | None:
    drawn = _mean_draws(arrays)
    return None if drawn is None else interval(drawn)
