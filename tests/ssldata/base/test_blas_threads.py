from __future__ import annotations

import numpy as np
import scipy.linalg.blas  # noqa: F401 - another BLAS than numpy's
from threadpoolctl import threadpool_info

from ssldata.base.blas_threads import one_blas_thread


def _blas_threads() -> list[int]:
    return [found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas"]


def test_every_blas_has_one_thread_inside_and_as_many_as_before_outside() -> None:
    np.ones(8) @ np.ones(8)
    before = _blas_threads()
    assert before
    with one_blas_thread():
        assert _blas_threads() == [1] * len(before)
    assert _blas_threads() == before
