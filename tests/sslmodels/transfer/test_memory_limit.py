"""The limit of memory: it holds, it is refused where it cannot, and decides no result."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import feature_tools
import numpy as np
import pytest
from feature_tools import planted, recovered, write_features, write_large_planted

from ssldata.base.errors import ConfigError
from ssldata.store.feature_store import open_features
from sslmodels.transfer.feature_table import working_set
from sslmodels.transfer.fit_transfer import TransferRequest, fit_transfer
from sslmodels.transfer.lasso_kernels import compile_kernels
from sslmodels.transfer.memory_limit import free_memory, parse_memory, peak_bytes


def test_sizes_of_memory() -> None:
    assert [parse_memory(text) for text in ("400MB", "1.5GB", "7kB", "9B")] == [
        400_000_000,
        1_500_000_000,
        7_000,
        9,
    ]
    with pytest.raises(ConfigError, match="not a size"):
        parse_memory("much")


def test_wider_features_leave_less_and_too_little_is_refused(tmp_path: Path) -> None:
    made = planted(600, 40, chosen=2)
    store = open_features(write_features(tmp_path / "f.zarr", made.values))
    limit = peak_bytes() + 10**9
    few, many = (free_memory(limit, working_set(store, n, resamples=5)) for n in (10, 40))
    assert limit > few > many > 0
    with pytest.raises(ConfigError, match=r"--memory 1MB: the program takes .*; give at least"):
        free_memory(1_000_000, working_set(store, 40, resamples=5))


def test_only_results_that_lacked_memory_depend_on_it(tmp_path: Path) -> None:
    made = planted(600, 30, chosen=3)
    features = write_features(tmp_path / "f.zarr", made.values, label=made.labels)

    def fitted(memory: int) -> str:
        request = TransferRequest(
            features=features, out=tmp_path / "out", models=("l1",), resamples=0, memory=memory
        )
        return str(fit_transfer(request)["status"])

    much = 20 * 10**9
    assert fitted(much) == "written"
    assert fitted(2 * much) == "unchanged"
    assert fitted(much // 2) == "unchanged"
    path = tmp_path / "out" / "transfer.json"
    record = json.loads(path.read_text())
    assert "cut_by_memory" not in record
    path.write_text(json.dumps({**record, "cut_by_memory": much}))
    assert fitted(much) == "unchanged"
    assert fitted(2 * much) == "written"
    assert fitted(much) == "unchanged"


def fitted_apart(features: Path, out: Path, memory: int, models: str) -> dict:
    command = [sys.executable, feature_tools.__file__, str(features), str(out), str(memory)]
    done = subprocess.run([*command, models], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def check_recovered(found: dict, truth: list[int]) -> None:
    assert not found["models"]["l1"]["notes"]
    precision, recall = recovered(found["used"], np.array(truth))
    assert precision >= 0.9
    assert recall >= 0.9


def stored_bytes(store: Path) -> int:
    return sum(f.stat().st_size for f in store.rglob("*") if f.is_file())


def test_the_smallest_limit_that_is_named_holds(tmp_path: Path) -> None:
    """Of a store of several times what that limit leaves beside the program."""
    features = tmp_path / "f.zarr"
    truth = write_large_planted(str(features), 6000, 2500)
    compile_kernels()  # kept on disk: both processes then load it, and are of one size
    refused = fitted_apart(features, tmp_path / "out", 50_000_000, "l1")["refused"]
    named = re.search(r"give at least (\d+)MB", refused)
    assert named is not None
    memory = 1_000_000 * int(named[1])
    found = fitted_apart(features, tmp_path / "out", memory, "l1")
    assert found["peak"] < memory
    assert stored_bytes(features) > 2.5 * found["free"]
    check_recovered(found, truth)


@pytest.mark.slow
def test_a_store_of_a_gigabyte_in_450_megabytes(tmp_path: Path) -> None:
    features = tmp_path / "f.zarr"
    truth = write_large_planted(str(features), 12_000, 21_907)
    assert stored_bytes(features) > 900_000_000
    found = fitted_apart(features, tmp_path / "out", 450_000_000, "l1")
    assert found["peak"] < 450_000_000
    check_recovered(found, truth)
