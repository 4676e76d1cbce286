"""Two proportions compared: z tests, exact ones where counts are small, and intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import false_discovery_control, fisher_exact, norm

Floats = NDArray[np.float64]

#: Share of the intervals that hold the true difference.
LEVEL = 0.95

#: Fewer expected hits, or misses, in a class: the normal approximation is off (Cochran 1954).
FEWEST_EXPECTED = 5

COLUMNS = [
    *("share_1", "share_0", "difference", "low", "high"),
    *("z", "test", "p", "bonferroni", "bh"),
]


def proportion_tests(
    hits_1: NDArray[Any], count_1: int, hits_0: NDArray[Any], count_0: int
) -> pd.DataFrame:
    """Compare shares of two classes, a line for each pair of numbers of hits.

    Parameters
    ----------
    hits_1, count_1
        Sequences of class 1 with a hit (tests,), and all of them.
    hits_0, count_0
        The same of class 0.

    Returns
    -------
    pandas.DataFrame
        Columns share_1, share_0, difference (1 − 0), low and high (its 95 % interval: Newcombe
        1998, from Wilson's of both shares), z (pooled variance; 0 where all or no sequences have a
        hit), test (``z``, or ``exact``: Fisher's, where fewer than five hits or misses are expected
        in a class), p (two-sided), bonferroni and bh (p corrected over the lines by Bonferroni, and
        by Benjamini and Hochberg 1995). All are NaN, and test is empty, where a class has no
        sequence.
    """
    one, zero = np.asarray(hits_1, np.float64), np.asarray(hits_0, np.float64)
    made = pd.DataFrame(np.nan, index=range(len(one)), columns=COLUMNS).astype({"test": object})
    made["test"] = ""
    for name, hits, count in (("share_1", one, count_1), ("share_0", zero, count_0)):
        made[name] = hits / count if count else np.nan
    if not (count_1 and count_0 and len(one)):
        return made
    made["difference"] = made["share_1"] - made["share_0"]
    made["low"], made["high"] = _interval(one, count_1, zero, count_0)
    total = count_1 + count_0
    pooled = (one + zero) / total
    spread = np.sqrt(pooled * (1 - pooled) * (1 / count_1 + 1 / count_0))
    z = np.divide(made["difference"].to_numpy(), spread, out=np.zeros_like(one), where=spread > 0)
    expected = np.minimum(pooled, 1 - pooled) * min(count_1, count_0)
    exact = expected < FEWEST_EXPECTED
    p = 2 * norm.sf(np.abs(z))
    for i in np.flatnonzero(exact):
        table = [[one[i], count_1 - one[i]], [zero[i], count_0 - zero[i]]]
        p[i] = fisher_exact(np.array(table, np.int64)).pvalue
    made["z"], made["p"], made["test"] = z, np.minimum(p, 1.0), np.where(exact, "exact", "z")
    made["bonferroni"] = np.minimum(made["p"] * len(made), 1.0)
    made["bh"] = false_discovery_control(made["p"].to_numpy())
    return made


def _interval(one: Floats, count_1: int, zero: Floats, count_0: int) -> tuple[Floats, Floats]:
    """Return both ends of the interval of a difference of shares."""
    share_1, share_0 = one / count_1, zero / count_0
    (low_1, high_1), (low_0, high_0) = _wilson(one, count_1), _wilson(zero, count_0)
    difference = share_1 - share_0
    low = difference - np.hypot(share_1 - low_1, high_0 - share_0)
    return low, difference + np.hypot(high_1 - share_1, share_0 - low_0)


def _wilson(hits: Floats, count: int) -> tuple[Floats, Floats]:
    """Return both ends of Wilson's interval of a share."""
    z = float(norm.ppf((1 + LEVEL) / 2))
    middle = (hits + z**2 / 2) / (count + z**2)
    half = z / (count + z**2) * np.sqrt(hits * (count - hits) / count + z**2 / 4)
    return middle - half, middle + half
