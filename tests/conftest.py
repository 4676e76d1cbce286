"""Fixtures shared by all tests."""

from __future__ import annotations

import logging
import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Tests are never timed: a busy machine is not a bug.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# What else a machine's environment may say: settings of libraries (which Keras, whose server, what
# number of threads), proxies that would be asked for servers on loopback, colours and widths of a
# terminal. Tests are of the defaults, and say themselves what they change.
FOREIGN = re.compile(
    r"(AWS|DASK|HF|HUGGINGFACE|JAX|KERAS|MLFLOW|NUMBA|PREFECT|TF|WANDB|XLA)_.*"
    r"|(https?|all)_proxy|COLUMNS|LINES|TERMINAL_WIDTH|(NO|FORCE|PY)_COLORS?|(TTY|TYPER)_.*"
    r"|GITHUB_ACTIONS",  # which Typer takes for a terminal
    re.IGNORECASE,
)
for name in filter(FOREIGN.fullmatch, list(os.environ)):
    del os.environ[name]
os.environ["KERAS_HOME"] = os.devnull  # nor does the user's keras.json count

# TensorFlow talks a lot at import; the tests treat its words as noise. Set before it is imported.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

# Processes that tests start import this checkout and the tools of the tests, as the tests do.
TESTS = Path(__file__).resolve().parent
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(TESTS.parent), str(TESTS / "tools"), *filter(None, [os.environ.get("PYTHONPATH")])]
)

# A suite that a script starts in the background inherits an ignored Ctrl-C, and would hand it on to
# the commands that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

MIRROR = os.environ.get("CROSSLABEL_MIRROR", "")


def _has_mirror() -> bool:
    return bool(MIRROR) and (Path(MIRROR) / "yeast").is_dir()


def _leaves_out_real_data() -> bool:
    """Without the real data their tests are left out, and the summary says so; in CI they fail."""
    return not _has_mirror() and not os.environ.get("CI")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests on real data where there are none."""
    needing = [item for item in items if item.get_closest_marker("mirror")]
    if needing and _leaves_out_real_data():
        items[:] = [item for item in items if item not in needing]
        config.hook.pytest_deselected(items=needing)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say that tests were left out for want of the real data."""
    if _leaves_out_real_data():
        terminalreporter.write_line(
            "tests on real data were left out: set CROSSLABEL_MIRROR to the folder that holds "
            "yeast/, mammals/, …",
            yellow=True,
        )


@pytest.fixture(autouse=True)
def _warnings_are_heard() -> None:
    """Let tests see what the packages warn of: Prefect, once a test loaded it, mutes the root."""
    for name in ("ssldata", "sslmodels", "flows"):
        logging.getLogger(name).setLevel(logging.WARNING)


@pytest.fixture(scope="session")
def mirror() -> Path:
    """Return the folder of real data named by ``CROSSLABEL_MIRROR``; fail without it."""
    if not _has_mirror():
        pytest.fail(
            "this test needs the real data: set CROSSLABEL_MIRROR to the folder that holds yeast/, "
            f"mammals/, … (found {MIRROR!r}), or deselect with -m 'not mirror'",
            pytrace=False,
        )
    return Path(MIRROR).resolve()


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give the whole test session one cache of its own, never the user's."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CROSSLABEL_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def small_world(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> Path:
    """Return the folder of a small simulated project; not built, not to be written to."""
    from ssldata.simulation.clade import small_clade

    del own_cache  # the cache must be ours before anything is opened
    folder = tmp_path_factory.mktemp("world") / "small"
    small_clade(folder, seed=11)
    return folder


@pytest.fixture(scope="session")
def built_world(tmp_path_factory: pytest.TempPathFactory, small_world: Path) -> Path:
    """Return the folder of the small project with its stores built; not to be written to."""
    from ssldata.building.build_store import build_project
    from ssldata.project.project_file import load_project

    folder = tmp_path_factory.mktemp("built") / "small"
    shutil.copytree(small_world, folder)
    build_project(load_project(folder))
    return folder
