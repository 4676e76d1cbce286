from __future__ import annotations

import numpy as np
import sklearn.ensemble  # noqa: F401 - loads OpenMP, and the BLAS of SciPy
from threadpoolctl import threadpool_info

from ssldata.base.one_thread import one_thread


def _threads() -> dict[str, int]:
    return {found["filepath"]: found["num_threads"] for found in threadpool_info()}


def test_every_library_has_one_thread_inside_and_as_many_as_before_outside() -> None:
    np.ones(8) @ np.ones(8)
    before = _threads()
    kinds = {found["user_api"] for found in threadpool_info()}
    assert kinds >= {"blas", "openmp"}
    with one_thread():
        assert set(_threads().values()) == {1}
    assert _threads() == before
