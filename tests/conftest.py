"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# TensorFlow talks a lot at import; the tests treat its words as noise. Set before it is imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")


@pytest.fixture(scope="session")
def mirror() -> Path:
    """Return the folder of real data named by ``CROSSLABEL_MIRROR``; fail, never skip, without it."""
    value = os.environ.get("CROSSLABEL_MIRROR", "")
    folder = Path(value)
    if not value or not (folder / "yeast").is_dir():
        pytest.fail(
            "this test needs the real data: set CROSSLABEL_MIRROR to the folder that holds yeast/, "
            f"mammals/, … (found {value!r}), or deselect with -m 'not mirror'",
            pytrace=False,
        )
    return folder.resolve()


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the whole test session one cache of its own, never the user's."""
    folder = tmp_path_factory.getbasetemp() / "cache"
    folder.mkdir(exist_ok=True)
    monkeypatch.setenv("CROSSLABEL_CACHE", str(folder))
