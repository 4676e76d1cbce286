"""TensorBoard files and trackers: every epoch once, also of a run that was cut."""

from __future__ import annotations

import re
import sys
import types
from collections import defaultdict
from pathlib import Path

import pytest
import tensorflow as tf

from ssldata.base.errors import ConfigError
from sslmodels.runs.run_folder import RunFolder
from sslmodels.runs.run_logs import RunLogs
from sslmodels.runs.trackers import Description, tracked

EPOCHS = [{"epoch": number, "loss": 1 / number, "val_aupr": 0.5} for number in (1, 2, 3)]


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Tag → (step, value) of the event files, as they were written."""
    found = defaultdict(list)
    for path in sorted(folder.iterdir()):
        for raw in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(raw)
            for value in event.summary.value:
                assert value.metadata.plugin_data.plugin_name == "scalars"
                found[value.tag].append((event.step, float(tf.make_ndarray(value.tensor))))
    return found


def test_event_files_hold_every_epoch_once(tmp_path: Path):
    """The second opening is a run that went on from its first epoch, after it had logged three."""
    logs = RunLogs(tmp_path)
    for known in (0, 1):
        with logs.phase(1, "pre-train") as log:
            log(EPOCHS[:known])
            for count in range(known + 1, 4):
                log(EPOCHS[:count])
    found = scalars(tmp_path / "01-pre-train")
    assert found["loss"] == [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3))]
    assert found["val_aupr"] == [(1, 0.5), (2, 0.5), (3, 0.5)]
    assert "epoch" not in found


def told(folder: Path) -> Description:
    return Description(
        project="yeast",
        name="Reb1 cnn-7k sl seed 0",
        digest="d" * 64,
        store_digest="s" * 64,
        settings={
            "format": 3,
            "seed": 0,
            "training": {"augment": {"mutation": 0.1}},
            "content": {},
        },
        folder=RunFolder(folder / "run"),
        runs=folder,
    )


class FakeMlflow:
    """What of MLflow is used, in memory. Made after mlflow-skinny 3.17."""

    def __init__(self) -> None:
        self.experiments: dict[str, str] = {}
        self.runs: list[types.SimpleNamespace] = []
        self.uri = ""

    def modules(self) -> dict[str, types.ModuleType]:
        entities = types.ModuleType("mlflow.entities")
        entities.Param = lambda key, value: (key, value)
        entities.Metric = lambda key, value, timestamp, step: (key, value, step)
        tracking = types.ModuleType("mlflow.tracking")
        tracking.MlflowClient = self.client
        mlflow = types.ModuleType("mlflow")
        mlflow.entities, mlflow.tracking = entities, tracking
        return {"mlflow": mlflow, "mlflow.entities": entities, "mlflow.tracking": tracking}

    def client(self, uri: str) -> FakeMlflow:
        self.uri = uri
        return self

    def get_experiment_by_name(self, name):
        number = self.experiments.get(name)
        return number and types.SimpleNamespace(experiment_id=number)

    def create_experiment(self, name):
        self.experiments[name] = "1"
        return "1"

    def search_runs(self, experiments, query):
        assert experiments == ["1"]
        digest = re.fullmatch(
            "tags.digest = '([^']*)' and attributes.status != 'FINISHED'", query
        ).group(1)
        return [
            run
            for run in self.runs
            if run.status != "FINISHED" and run.data.tags["digest"] == digest
        ]

    def create_run(self, experiment, *, tags, run_name):
        assert experiment == "1"
        data = types.SimpleNamespace(tags=tags)
        run = types.SimpleNamespace(data=data, name=run_name, status="RUNNING", metrics=[])
        run.info = types.SimpleNamespace(run_id=len(self.runs))
        self.runs.append(run)
        return run

    def update_run(self, number, *, status):
        self.runs[number].status = status

    def log_batch(self, number, *, params=(), metrics=()):
        if params:
            self.runs[number].params = dict(params)
        self.runs[number].metrics += metrics

    def get_metric_history(self, number, key):
        return [metric for metric in self.runs[number].metrics if metric[0] == key]

    def set_terminated(self, number, status):
        self.runs[number].status = status


@pytest.fixture
def mlflow(monkeypatch):
    fake = FakeMlflow()
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name, module in fake.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    return fake


def cut_and_continued(folder: Path, tracker: str) -> None:
    """Two epochs, an interruption, and the run again from its first epoch on."""

    def run(counts: tuple[int, ...], ending: type[BaseException] | None = None) -> None:
        with (
            tracked([tracker], told(folder)) as runs,
            RunLogs(folder / "logs", runs).phase(0, "train") as log,
        ):
            for count in counts:
                log(EPOCHS[:count])
            if ending:
                raise ending

    with pytest.raises(KeyboardInterrupt):
        run((1, 2), KeyboardInterrupt)
    run((1, 2, 3))


def test_mlflow_run_is_continued(mlflow, tmp_path: Path):
    # The name of a folder may hold the quotes of a query.
    folder = tmp_path / "it's"
    with pytest.raises(KeyboardInterrupt), tracked(["mlflow"], told(tmp_path)):
        raise KeyboardInterrupt
    cut_and_continued(folder, "mlflow")
    assert mlflow.uri == f"sqlite:///{folder / 'mlflow.db'}"
    other, run = mlflow.runs
    assert other.status == "KILLED"  # as this one, but of another folder
    assert run.status == "FINISHED"
    assert run.name == "Reb1 cnn-7k sl seed 0"
    assert run.params == {"seed": "0", "training.augment.mutation": "0.1"}
    tags = run.data.tags
    assert (tags["digest"], tags["store_digest"]) == ("d" * 64, "s" * 64)
    assert run.metrics == [
        (f"train/{key}", record[key], record["epoch"])
        for record in EPOCHS
        for key in ("loss", "val_aupr")
    ]


def test_finished_mlflow_run_is_not_reopened(mlflow, tmp_path: Path):
    for _ in range(2):
        with tracked(["mlflow"], told(tmp_path)):
            pass
    assert [run.status for run in mlflow.runs] == ["FINISHED", "FINISHED"]


def test_failure_of_a_tracker_is_one_line(mlflow, tmp_path: Path, monkeypatch):
    def refuse(*arguments, **options):
        raise RuntimeError("no route to host\nmore of it")

    monkeypatch.setattr(mlflow, "log_batch", refuse)
    with (
        pytest.raises(
            ConfigError,
            match=r"^training.trackers: mlflow failed \(RuntimeError: no route to host\); ",
        ),
        tracked(["mlflow"], told(tmp_path)),
    ):
        pass


def test_failed_training_is_told(mlflow, tmp_path: Path):
    with pytest.raises(ConfigError, match="diverged"), tracked(["mlflow"], told(tmp_path)):
        raise ConfigError("diverged")
    assert mlflow.runs[0].status == "FAILED"


def test_wandb_run_is_continued(tmp_path: Path, monkeypatch):
    """A fake made after wandb 0.31."""
    started, logged, ended = [], [], []

    class Run:
        def define_metric(self, name, *, step_metric):
            assert (name, step_metric) == ("train/*", "train/epoch")

        def log(self, values):
            logged.append(values)

        def finish(self, *, exit_code):
            ended.append(exit_code)

    def init(**options):
        started.append(options)
        return Run()

    wandb = types.ModuleType("wandb")
    wandb.init, wandb.Settings = init, dict
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    cut_and_continued(tmp_path, "wandb")
    assert started[0]["id"] == started[1]["id"]
    assert started[0]["mode"] == "offline"
    assert started[0]["config"]["training.augment.mutation"] == "0.1"
    assert started[0]["config"]["digest"] == "d" * 64
    assert [values["train/epoch"] for values in logged] == [1, 2, 3]
    assert logged[1]["train/loss"] == 0.5
    assert ended == [1, 0]


@pytest.mark.parametrize("tracker", ["mlflow", "wandb"])
def test_missing_extra_is_named(tracker: str, tmp_path: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, tracker, None)
    with (
        pytest.raises(ConfigError, match=rf"{tracker} is not installed: .*crosslabel\[{tracker}\]"),
        tracked([tracker], told(tmp_path)),
    ):
        pass
