"""After every epoch: whether it is the best, the learning rate is cut, the fit ends."""

from __future__ import annotations

from typing import NamedTuple

from sslmodels.fit.checkpoint import FitState
from sslmodels.fit.fit_options import FitOptions


class Verdict(NamedTuple):
    """What follows from an epoch: `best` weights to keep, a learning rate to `cut` by half."""

    best: bool
    cut: bool


def judge_epoch(state: FitState, value: float, options: FitOptions) -> Verdict:
    """Judge the epoch that `state` counts by the value of the monitored metric.

    ``state`` gets the best value, the epochs waited since, and whether the fit is finished: after
    ``options.patience`` epochs without improvement, or ``options.epochs``.
    """
    sign = 1 if options.monitor == "val_aupr" else -1
    best = state.best_epoch == 0 or sign * value > sign * state.best_value
    if best:
        state.best_epoch, state.best_value = state.epoch, value
        state.wait = state.plateau_wait = 0
    else:
        state.wait += 1
        state.plateau_wait += 1
    cut = bool(options.plateau_patience) and state.plateau_wait >= options.plateau_patience
    if cut:
        state.plateau_wait = 0
    state.finished = state.wait >= options.patience or state.epoch >= options.epochs
    return Verdict(best, cut)
