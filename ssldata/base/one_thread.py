"""One thread for numerical libraries.

OpenBLAS splits sums over a few ten thousand numbers among all cores, and its threads, like those of
OpenMP, wait for each other by spinning. Where work comes in thousands of small pieces, that gains
next to nothing on an idle machine, and on one where something else runs it took eleven times the
processor time (35.7 instead of 3.2 CPU s for a gapped k-mer machine on 3,000 rows, load 12 on 2
cores).
"""

from __future__ import annotations

from threadpoolctl import threadpool_limits


def one_thread() -> threadpool_limits:
    """Return a context in which BLAS and OpenMP have one thread each."""
    return threadpool_limits(limits=1)
