"""What a report found, in a few plain sentences that follow from its numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from ssldata.project.training_section import Regime
from sslmodels.report.number_text import span
from sslmodels.report.report_gains import (
    BEST_BASELINE,
    Gain,
    best_gain,
    best_leading,
    counted,
)
from sslmodels.runs.regime_table import LEADING, REGIME_TABLE
from sslmodels.scores.metrics import COLLAPSED_BELOW

#: Line of results, of :func:`sslmodels.report.report_data.summarise`.
Line = Mapping[str, Any]

#: With fewer positives in the test its results are called uncertain: at a recall of one half, 50
#: positives leave a 95 % margin of 14 points (binomial), about the differences between regimes.
FEW_POSITIVES = 50


def recall_margin(positives: int) -> float:
    """Return the 95 % margin of a recall of one half, from so many positives (0 to 1)."""
    return min(0.5, 1.96 * math.sqrt(0.25 / positives)) if positives else 0.5


def findings(
    lines: Sequence[Line],
    baselines: Sequence[Line],
    gains: Sequence[Gain],
    test_positives: Mapping[str, int],
) -> list[str]:
    """Return what was found: at most four sentences or pairs of them.

    Parameters
    ----------
    lines, baselines
        Results of the runs, and of the baselines.
    gains
        Of :func:`sslmodels.report.report_gains.leading_gains`.
    test_positives
        Experiment → number of positive test bins.
    """
    found = [_ranking(lines, baselines)]
    if lines:
        found += [_homologues(lines, gains), _against_baselines(gains)]
    found.append(_cautions(lines, test_positives))
    return [sentence for sentence in found if sentence]


def _ranking(lines: Sequence[Line], baselines: Sequence[Line]) -> str:
    """Return how well the test was ranked by the best of the runs."""
    if not lines:
        more = " The baselines below are models without a network." if baselines else ""
        return f"No network has been evaluated yet, so there is nothing to compare.{more}"
    experiments = list(dict.fromkeys(line["experiment"] for line in lines))
    best: dict[str, Line] = {}
    for line in lines:
        held = best.get(line["experiment"])
        learnt = not line["lift"] or line["lift"][0] >= COLLAPSED_BELOW
        if learnt and (held is None or line["aupr"][0] > held["aupr"][0]):
            best[line["experiment"]] = line
    if not best:
        return (
            f"No network has learnt to find the peaks: the AUPR of each is below "
            f"{COLLAPSED_BELOW:g} times that of guessing."
        )
    if len(experiments) == 1:
        line = best[experiments[0]]
        base = f"{line['prevalence'][0]:.3g}" if line["prevalence"] else "unknown"
        return (
            f"The best network for {line['experiment']} ({line['model']}, trained as "
            f"{line['regime']}) ranks the peaks of the test with an AUPR of "
            f"{line['aupr'][0]:.3f}{span(line['interval'], 3)}{_lift(line)}; guessing would "
            f"give {base}."
        )
    shown = "; ".join(
        f"{line['experiment']} {line['aupr'][0]:.3f}{span(line['interval'], 3)} "
        f"({line['regime']}{_lift(line)})"
        for line in list(best.values())[:4]
    )
    more = " …" if len(best) > 4 else ""
    return (
        f"For {len(best)} of {counted(len(experiments), 'experiment')} a network ranks the peaks "
        f"of the test at least {COLLAPSED_BELOW:g} times better than guessing. Best AUPR: "
        f"{shown}{more}."
    )


def _lift(line: Line) -> str:
    return f", {line['lift'][0]:.1f} times better than guessing" if line["lift"] else ""


def _homologues(lines: Sequence[Line], gains: Sequence[Gain]) -> str:
    """Return whether homologues helped, by the best regime that has its control beside it."""
    over_control = [gain for gain in gains if gain.over != BEST_BASELINE]
    gain = best_gain(over_control)
    if gain is not None and gain.mean is not None:
        compared = sum(one.mean is not None for one in over_control)
        chosen = (
            f"; of {compared} such comparisons the one with the highest AUPR on the test, which is "
            "kind to it"
        )
        what = (
            f"{gain.regime} has {gain.mean.text} the AUPR of {gain.over}, which is the same "
            f"training without them ({gain.note}{chosen if compared > 1 else ''})"
        )
        leader = best_leading([line for line in lines if line["model"] == gain.model])
        if leader != gain.regime and leader not in [one.regime for one in over_control]:
            what += (
                f"; {leader} has the highest AUPR, but its control "
                f"({REGIME_TABLE[cast('Regime', leader)].control}) was not evaluated"
            )
        words = (
            "Homologues help in this test",
            "Homologues do harm in this test",
            "No gain from homologues can be shown, since the interval includes 1",
            "Whether homologues help is uncertain, since no interval is known",
        )
        return f"{_verdict(gain, words)}: {what}."
    if any(gain.collapsed for gain in over_control):
        gain = next(gain for gain in over_control if gain.collapsed)
        return (
            f"What homologues bring cannot be said: {gain.over}, the training without them, "
            f"collapsed ({', '.join(gain.collapsed)}), and any model looks good beside it."
        )
    trained = [line["regime"] for line in lines]
    using = next((regime for regime in LEADING if regime in trained), None)
    if using is None:
        return "No regime that uses homologues was evaluated, so nothing is known of their effect."
    return (
        f"What homologues bring cannot be read from these runs: {using} would have to be compared "
        f"with {REGIME_TABLE[using].control}, the same training without them, which was not "
        f"evaluated (add {REGIME_TABLE[using].control} to training.regimes). More than sl is not "
        "enough: the other regimes train for longer."
    )


def _against_baselines(gains: Sequence[Gain]) -> str:
    """Return whether the networks beat the baselines."""
    over_best = [gain for gain in gains if gain.over == BEST_BASELINE]
    gain = best_gain(over_best) or next(iter(over_best), None)
    if gain is None:
        return ""
    if gain.mean is None:
        if not gain.collapsed:
            return ""
        return (
            "The networks are not compared with the baselines, which all collapsed: any model "
            "looks good beside them."
        )
    names = sorted({line.over for line in gain.lines})
    of = names[0] if len(names) == 1 else "of each experiment"
    words = (
        "The network is better than simple models in this test",
        "The network is worse than simple models in this test",
        "The network cannot be told apart from simple models, since the interval includes 1",
        "Whether the network is better than simple models is uncertain, since no interval is known",
    )
    return (
        f"{_verdict(gain, words)}: {gain.regime} has {gain.mean.text} the AUPR of the best "
        f"baseline ({of})."
    )


def _verdict(gain: Gain, words: tuple[str, str, str, str]) -> str:
    """Return the words for an interval above 1, below it, around it, and for none."""
    interval = gain.mean.interval if gain.mean is not None else None
    if interval is None:
        return words[3]
    # As the interval is printed: "help … [1.00, 1.09]" would contradict itself.
    low, high = (round(end, 2) for end in interval)
    return words[0] if low > 1 else words[1] if high < 1 else words[2]


def _cautions(lines: Sequence[Line], test_positives: Mapping[str, int]) -> str:
    """Return what makes the numbers uncertain, in one sentence; "": nothing does."""
    said = []
    none = [name for name, count in test_positives.items() if count == 0]
    if none:
        said.append(
            f"{', '.join(none)} has no positive in the test and cannot be evaluated (choose other "
            "contigs for split.test)"
        )
    few = {name: n for name, n in test_positives.items() if 0 < n < FEW_POSITIVES}
    if few:
        least = min(few.values())
        named = ", ".join(f"{name} {count}" for name, count in few.items())
        said.append(
            f"the test has few positives ({named}; fewer than {FEW_POSITIVES}): of "
            f"{counted(least, 'peak')}, the share that is found is known to "
            f"± {100 * recall_margin(least):.0f} percentage points at best"
        )
    seeds = {seed for line in lines for seed, _ in line["auprs"]}
    if len(seeds) == 1:
        said.append(
            f"there is one seed ({min(seeds)}): every number is of a single training, and another "
            "could give another order"
        )
    elif any(line["n"] == 1 for line in lines):
        said.append("some networks were trained with one seed only")
    collapsed, runs = (sum(line[key] for line in lines) for key in ("collapsed", "n"))
    if collapsed:
        said.append(
            f"{collapsed} of {counted(runs, 'run')} collapsed (AUPR below {COLLAPSED_BELOW:g} "
            "times that of guessing)"
        )
    return f"To be read with caution: {'; '.join(said)}." if said else ""
