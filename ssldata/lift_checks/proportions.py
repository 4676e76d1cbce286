"""Shares with their intervals."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

#: 97.5 % quantile of the normal distribution: intervals are of 95 %.
_Z = 1.959963984540054


class Share(NamedTuple):
    """A share of counted things, and the ends of its 95 % interval; None of nothing."""

    value: float | None
    low: float | None
    high: float | None


def share_of(hits: int, count: int, *, independent: int | None = None) -> Share:
    """Return `hits` of `count` with the interval of Wilson (1927, J. Am. Stat. Assoc. 22: 209).

    Parameters
    ----------
    hits, count
        Things that are so, and all things.
    independent
        How many of them are independent, where several belong together (rows of one locus): the
        interval is that of so many. Default: all.
    """
    if not count:
        return Share(None, None, None)
    p, n = hits / count, max(1, count if independent is None else min(independent, count))
    centre = (p + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * float(np.sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2)))
    # Rounding would leave ends of 1e-17 and 1 − 1e-16 at shares of 0 and 1.
    return Share(p, 0.0 if hits == 0 else centre - half, 1.0 if hits == count else centre + half)


def interval_text(share: Share, *, digits: int = 2) -> str:
    """Return a share as people read it: ``0.94 (0.91–0.96)``; a dash for none."""
    if share.value is None or share.low is None or share.high is None:
        return "–"
    return f"{share.value:.{digits}f} ({share.low:.{digits}f}–{share.high:.{digits}f})"
