"""The Prefect flow: the same bytes as single steps, resumable, and errors as plain as theirs."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import inspect
import io
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from absl import logging as absl_logging
from kill_tools import start

from flows.cli import main
from flows.commands import app, store_commands
from flows.prefect_flows import prefect_runtime
from flows.steps.pipeline import Options, Pipeline
from flows.steps.quiet_tensorflow import muted_import
from ssldata.base.cache_folder import cache_dir
from ssldata.base.errors import ClusterError, ConfigError, MissingInputError, RunsFailedError
from ssldata.building.add_remove_genomes import remove_genome
from ssldata.genomes.genome import Genome
from ssldata.project.project_file import load_project
from ssldata.simulation.clade import small_clade
from ssldata.store.store import open_store

# Keras reads variables in a way that NumPy 2 is to forbid one day.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

ROOT = Path(__file__).resolve().parents[2]
TRAINING: dict[str, Any] = {
    "experiments": ["alpha"],
    "models": ["cnn-7k"],
    "regimes": ["sl", "ssl-ns"],
    "epochs": 2,
    "patience": 2,
    "noisy_student": {"iterations": 1},
}


def make_project(folder: Path, **training: Any) -> Path:
    small_clade(folder)
    file = folder / "project.yaml"
    project = yaml.safe_load(file.read_text())
    project["training"] |= {**TRAINING, **training}
    file.write_text(yaml.safe_dump(project))
    return folder


@pytest.fixture(scope="session")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One Prefect backend for all tests of this file: starting one takes ten seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(tmp_path_factory.mktemp("prefect")))
        for name in ("PREFECT_LOGGING_LEVEL", "PREFECT_SERVER_LOGGING_LEVEL"):
            patch.setenv(name, "CRITICAL")
        patch.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
        # Prefect sets up logging again when it is imported and thereby closes every handler there
        # is; that of TensorFlow would close pytest's captured stderr with itself.
        absl_logging.get_absl_handler().python_handler.stream = sys.__stderr__
        prefect_runtime.prepare()
        from prefect.testing.utilities import prefect_test_harness

        with prefect_test_harness(server_startup_timeout=900):
            yield


@pytest.fixture(scope="module")
def by_steps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project done with the single-step commands."""
    folder = make_project(tmp_path_factory.mktemp("steps") / "project")
    assert main(["build", str(folder), "-q"]) == 0
    for regime in TRAINING["regimes"]:
        arguments = ["train", str(folder), "-e", "alpha", "-r", regime, "--seed", "0", "-q"]
        assert main(arguments) == 0
    assert main(["evaluate", str(folder), "-q"]) == 0
    return folder


def run_command(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=1500,
    )


@pytest.fixture(scope="module")
def by_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The same project done by `crosslabel run`, with a backend of its own, as users have it."""
    folder = make_project(tmp_path_factory.mktemp("run") / "project")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("PREFECT")]:
            patch.delenv(name)
        patch.setenv("CROSSLABEL_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        done = run_command("run", str(folder), "--json")
    # Nothing but the result on stdout, nothing at all on stderr.
    assert (done.returncode, done.stderr) == (0, "")
    return folder, json.loads(done.stdout)


def processes_of(session: int) -> dict[int, str]:
    """Return the processes of a session that still run, with their commands."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1], ids=["here", "on-a-worker"])
def test_a_killed_run_leaves_no_process_behind(
    workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither Prefect's backend nor workers; the same command then does the rest."""
    folder = make_project(tmp_path / "project", regimes=["sl"], epochs=1000, patience=1000)
    for name in [name for name in os.environ if name.startswith("PREFECT")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CROSSLABEL_CACHE", str(tmp_path / "cache"))
    command = [sys.executable, "-m", "flows.cli", "run", str(folder), "-q"]
    command += ["--train-workers", str(workers)]
    quiet: dict[str, Any] = dict.fromkeys(("stdout", "stderr"), subprocess.DEVNULL)
    with subprocess.Popen(command, cwd=ROOT, start_new_session=True, **quiet) as process:
        until = time.monotonic() + 600
        while not list(folder.glob("runs/*/*/*/*/history.csv")):
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.1)
        assert any("uvicorn" in command for command in processes_of(process.pid).values())
        process.kill()
    until = time.monotonic() + 60
    while left := processes_of(process.pid):
        assert time.monotonic() < until, left
        time.sleep(0.1)


def chunks(store: Path) -> dict[str, str]:
    """Every chunk file of a store with the hash of its bytes."""
    return {
        str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(store.rglob("*"))
        if path.is_file() and "/c/" in str(path)
    }


def records(folder: Path) -> dict[str, Any]:
    return {
        path.parent.relative_to(folder).as_posix(): json.loads(path.read_text())
        for path in sorted((folder / "runs").rglob("run.json"))
    }


def test_run_gives_the_bytes_of_the_single_steps(
    by_steps: Path, by_run: tuple[Path, dict[str, Any]]
) -> None:
    folder, result = by_run
    for experiment in ("alpha", "beta"):
        stores = [top / "store" / f"{experiment}.zarr" for top in (by_steps, folder)]
        first, second = map(chunks, stores)
        assert len(first) > 50
        assert first == second
        assert open_store(stores[0]).digest == open_store(stores[1]).digest

    assert len(result["runs"]) == 2
    assert [b["baseline"] for b in result["baselines"] if "aupr" in b] == [
        *("motif", "motif+hom", "kmer", "kmer+hom", "gkm", "gkm+hom")
    ]
    old, new = records(by_steps), records(folder)
    assert list(old) == list(new)
    for run, record in old.items():
        assert record["weights_sha256"] == new[run]["weights_sha256"]
        for name in ("model.keras", "history.csv", "evaluation/scores.csv.gz"):
            assert (by_steps / run / name).read_bytes() == (folder / run / name).read_bytes()
    folder_of_last = by_steps / "runs" / "alpha" / "cnn-7k" / "ssl-ns" / "seed-0"
    metrics = json.loads((folder_of_last / "evaluation" / "metrics.json").read_text())
    assert result["runs"][1]["aupr"] == metrics["aupr"]
    assert Path(result["report"]).read_text().startswith("<!doctype html>")


def test_running_again_does_nothing_and_starts_nothing_heavy(
    by_run: tuple[Path, dict[str, Any]],
) -> None:
    folder, result = by_run

    def stamps() -> dict[Path, int]:
        return {
            path: path.stat().st_mtime_ns
            for path in folder.rglob("*")
            if path.is_file() and path.suffix != ".lock" and path.name != "report.html"
        }

    before = stamps()
    page = Path(result["report"]).read_bytes()
    code = (
        "import json, sys\nfrom flows.cli import main\n"
        f"assert main(['run', {str(folder)!r}, '--json']) == 0\n"
        "print(json.dumps([m for m in ('tensorflow', 'keras', 'prefect') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    *shown, loaded = done.stdout.splitlines()
    assert loaded == "[]"
    again = json.loads("\n".join(shown))
    assert {s["status"] for store in again["stores"] for s in store["steps"]} == {"unchanged"}
    assert again["runs"] == result["runs"]
    assert again["baselines"] == result["baselines"]
    assert stamps() == before
    assert Path(again["report"]).read_bytes() == page


def test_a_task_is_a_genome_or_a_stage(by_run: tuple[Path, dict[str, Any]], backend: None) -> None:
    from prefect.client.orchestration import get_client

    folder, _ = by_run
    for path in folder.rglob("metrics.json"):
        path.unlink()  # something to do in every run
    with get_client(sync_client=True) as client:
        before = {run.id for run in client.read_task_runs()}
        assert main(["run", str(folder), "-q"]) == 0
        # Task runs are recorded from events, a moment after the flow ends.
        deadline = time.monotonic() + 600
        expected = 2 * (1 + 3 + 1) + 2 * 2 + 1 + 1  # genomes, runs, baselines, report
        while True:
            runs = [run for run in client.read_task_runs() if run.id not in before]
            if len(runs) >= expected or time.monotonic() > deadline:
                break
            time.sleep(0.2)
    assert len(runs) == expected
    names = {run.name for run in runs}
    assert {
        "build alpha reference",
        "build beta homologs/relative3",
        "evaluate alpha cnn-7k ssl-ns seed 0",
    } <= names


def test_a_flow_run_shows_its_results(by_run: tuple[Path, dict[str, Any]], backend: None) -> None:
    """Its name, its artifacts, and what was made of what; what was there already is not made."""
    from prefect.client.orchestration import get_client

    folder, _ = by_run
    for path in folder.glob("runs/alpha/*/ssl-ns/*/evaluation/metrics.json"):
        path.unlink()
    base, moment = f"crosslabel://{load_project(folder).name}", datetime.now(UTC).isoformat()
    wanted = {"event": {"prefix": ["prefect.asset."]}, "occurred": {"since": moment}}
    evaluated = f"{base}/runs/alpha/cnn-7k/ssl-ns/seed-0/evaluation"
    with get_client(sync_client=True) as client:
        before = {run.id for run in client.read_flow_runs()}
        assert main(["run", str(folder), "-q"]) == 0
        (run,) = [run for run in client.read_flow_runs() if run.id not in before]
        assert run.name == "run project"
        found = {a.key: a for a in client.read_artifacts() if a.flow_run_id == run.id}
        made: dict[str, set[str]] = {}
        deadline = time.monotonic() + 600
        while f"{base}/report" not in made and time.monotonic() < deadline:
            time.sleep(0.2)
            answer = client.request("POST", "/events/filter", json={"filter": wanted}).json()
            made = {
                event["resource"]["prefect.resource.id"]: {
                    related["prefect.resource.id"]
                    for related in event["related"]
                    if related.get("prefect.resource.role") == "asset"
                }
                for event in answer["events"]
                if event["event"] == "prefect.asset.materialization.succeeded"
            }
    names = ("aupr", "build-progress", "figures", "report", "train-progress")
    assert sorted(found) == [f"{name}-simulated" for name in names]
    rows = json.loads(found["aupr-simulated"].data)
    assert [row["regime"] for row in rows[:2]] == ["sl", "ssl-ns"]
    assert all(re.fullmatch(r"0\.\d+ to 0\.\d+", row["95 % interval"]) for row in rows)
    assert "](data:image/svg+xml;base64," in found["figures-simulated"].data
    assert found["train-progress-simulated"].data == 100.0
    assert set(made) == {evaluated, f"{base}/report"}
    assert evaluated in made[f"{base}/report"]
    assert made[evaluated] >= {evaluated.removesuffix("/evaluation")}


def test_every_genome_is_opened_once(
    small_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many experiments and genomes there are; the first reads megabytes of each."""
    project = load_project(shutil.copytree(small_world, tmp_path / "world"))
    opened, steps = Counter[Path](), []
    make = Genome.__init__

    def count(genome: Genome, path: Path, **options: Any) -> None:
        opened[path] += 1
        make(genome, path, **options)

    def step(kind: str, label: str, function: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        if not kind.startswith(("build", "finish")):
            raise ConfigError("only the build is looked at here")
        steps.append((kind, label))
        return function(*args, **kw)

    monkeypatch.setattr(Genome, "__init__", count)
    with pytest.raises(ConfigError, match="only the build"):
        Pipeline(project, Options(), step=step).run()
    assert opened == dict.fromkeys(
        [project.reference.sequence, *(genome.sequence for genome in project.genomes)], 1
    )
    targets = ("relative1", "relative2", "relative3")
    assert steps == [
        step
        for store in ("alpha", "beta")
        for step in (
            ("build-reference", f"{store} / simref"),
            *(("build-genome", f"{store} / {genome}") for genome in targets),
            ("finish-store", store),
        )
    ]


def test_a_run_that_fails_is_reported_and_stops_no_other(
    tmp_path: Path,
    backend: None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "broken_model.py").write_text("def make(sequence, seeds, outputs):\n    1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    models = ["broken_model:make", "deepbind"]
    folder = make_project(tmp_path / "project", models=models, regimes=["sl"])
    assert main(["run", str(folder), "-q"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    first, last = err.splitlines()
    assert first.startswith("crosslabel: error: alpha / broken_model:make / sl / seed 0: model")
    assert "ZeroDivisionError" in first
    assert last.startswith("crosslabel: error: 1 of 2 runs failed, see above")
    assert (folder / "runs" / "alpha" / "deepbind" / "sl" / "seed-0" / "evaluation").is_dir()
    assert (folder / "runs" / "report.html").is_file()


@pytest.mark.parametrize(
    "training", [{"models": ["cnn-7"]}, {"models": ["deepbind"], "model_options": {"cnn-7": {}}}]
)
def test_an_unknown_model_is_reported_before_anything_is_built(
    training: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_project(tmp_path / "project", **training)
    for arguments in (["run"], ["run", "--dry-run"], ["plan"], ["train", "-r", "sl"]):
        assert main([*arguments, str(folder)]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert "did you mean 'cnn-7k'?" in err
    assert not (folder / "store").exists()


def test_bad_input_is_reported_before_anything_is_written(
    tmp_path: Path, backend: None, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_project(tmp_path / "project")
    (folder / "peaks" / "alpha.bed").write_text("chr1\t50\t20\n")
    assert main(["run", str(folder)]) == 2
    err = capsys.readouterr().err
    assert "alpha.bed" in err
    assert err.count("\n") == 1
    assert not (folder / "store").exists()


def test_a_genome_is_added_and_the_same_flow_trains_on_it(
    tmp_path: Path,
    backend: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As deployments do it; what other settings made is refused in the words of the place."""
    from flows.prefect_flows.project_flows import run_project
    from flows.prefect_flows.store_flows import add

    folder = make_project(tmp_path / "project")
    genome = load_project(folder).genomes[-1]
    file = folder / "project.yaml"
    text = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump({**text, "genomes": text["genomes"][:-1]}))
    first = run_project(str(folder))
    add(str(folder), genome.name, str(genome.sequence), str(genome.chain), genome.distance)
    again = run_project(str(folder))
    old, new = ({run["regime"]: run["digest"] for run in value["runs"]} for value in (first, again))
    assert old["sl"] == new["sl"]
    assert old["ssl-ns"] != new["ssl-ns"]
    kept = folder / "runs" / "alpha" / "cnn-7k" / "ssl-ns" / "seed-0" / "earlier" / "1"
    assert json.loads((kept / "evaluation" / "metrics.json").read_text())["digest"] == old["ssl-ns"]
    assert f"+ {genome.name}" in (folder / "runs" / "report.html").read_text()
    assert run_project(str(folder)) == again  # nothing is left to do

    text = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump({**text, "training": {**text["training"], "epochs": 1}}))
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("flows.steps.pipeline")
    logger.addHandler(handler)
    with pytest.raises(RunsFailedError, match="2 of 2 runs failed, see above; once that is mended"):
        run_project(str(folder))
    logger.removeHandler(handler)
    assert len(lines) == 2
    for line in lines:
        assert "(training.epochs: 2 → 1); train again with replace=true or choose" in line
    assert main(["run", str(folder)]) == 2
    assert "train again with --replace or" in capsys.readouterr().err
    with pytest.raises(ConfigError, match=r"^workers and dask_scheduler exclude") as caught:
        run_project(str(folder), workers=1, dask_scheduler="tcp://x:1")
    assert "--" not in str(caught.value)


def test_the_private_backend_does_not_touch_the_users(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ("PREFECT_HOME", "PREFECT_API_URL", "PREFECT_LOGGING_LEVEL", "NO_PROXY", "no_proxy")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "example.org")
    prefect_runtime.prepare(verbosity=1)
    assert Path(os.environ["PREFECT_HOME"]).is_relative_to(cache_dir("prefect"))
    assert os.environ["PREFECT_LOGGING_LEVEL"] == "INFO"
    assert os.environ["NO_PROXY"] == "example.org,127.0.0.1,localhost"
    prefect_runtime.prepare(verbosity=1)
    assert os.environ["NO_PROXY"] == "example.org,127.0.0.1,localhost"

    monkeypatch.delenv("PREFECT_HOME")
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    monkeypatch.setenv("PREFECT_LOGGING_LEVEL", "DEBUG")
    prefect_runtime.prepare()
    assert "PREFECT_HOME" not in os.environ
    assert os.environ["PREFECT_LOGGING_LEVEL"] == "DEBUG"


def test_a_server_that_does_not_answer_is_one_line(backend: None) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    settings = temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"})
    expected = pytest.raises(ClusterError, match=r"^http://127.0.0.1:1/api: does not answer")
    with settings, expected, prefect_runtime.flow_settings():
        raise AssertionError("must not get here")


def test_a_server_that_goes_away_is_one_line(
    backend: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import httpx
    from prefect.client import orchestration
    from prefect.settings import PREFECT_API_URL, temporary_settings

    client = SimpleNamespace(hello=lambda: None)
    monkeypatch.setattr(orchestration, "get_client", lambda **_: contextlib.nullcontext(client))
    settings = temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"})
    expected = pytest.raises(ClusterError, match=r"^http://127.0.0.1:1/api: no longer answers")
    with settings, expected, prefect_runtime.flow_settings():
        raise httpx.ConnectError("Connection refused")


def test_ctrl_c_stays_one_when_the_backend_died_of_it_too() -> None:
    def unreachable(during: BaseException) -> None:
        try:
            raise during
        except BaseException:
            try:
                raise OSError("connection refused")
            except OSError as exc:
                raise RuntimeError("no backend") from exc

    with pytest.raises(KeyboardInterrupt), prefect_runtime.interrupts_first():
        unreachable(KeyboardInterrupt())
    with pytest.raises(RuntimeError, match="no backend"), prefect_runtime.interrupts_first():
        unreachable(ValueError("a bug"))


@pytest.mark.parametrize("fails", [False, True])
def test_the_start_up_lines_of_tensorflow_are_shown_only_when_it_fails(
    fails: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")

    def load() -> None:
        with muted_import():
            os.write(2, b"from compiled code\n")
            if fails:
                raise ImportError("broken")

    if fails:
        with pytest.raises(ImportError, match="broken"):
            load()
    else:
        load()
    os.write(2, b"after\n")
    assert capfd.readouterr().err == ("from compiled code\n" if fails else "") + "after\n"


@pytest.mark.slow
def test_an_interrupted_run_continues(by_steps: Path, tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project")
    with start("interrupted", stderr=subprocess.PIPE, folder=str(folder)) as process:
        _, err = process.communicate()
    assert process.returncode == 130
    assert err.splitlines()[-1].startswith("crosslabel: interrupted")
    done = run_command("run", str(folder), "-q")
    assert (done.returncode, done.stderr) == (0, "")
    old, new = records(by_steps), records(folder)
    assert {run: record["weights_sha256"] for run, record in old.items()} == {
        run: record["weights_sha256"] for run, record in new.items()
    }


def test_single_steps_do_not_import_prefect() -> None:
    code = (
        "import sys\nimport ssldata.building.build_store, ssldata.building.build_plan\n"
        "import ssldata.project.fetch, ssldata.store.store, sslmodels.runs.regimes\n"
        "import sslmodels.evaluation.evaluate, sslmodels.report.report_page\n"
        "import flows.commands.app, flows.commands.actions, flows.output.tables\n"
        "print('prefect' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "False", done.stderr


def deployments() -> dict[str, tuple[Any, dict[str, Any]]]:
    """The flow and the settings of every deployment of prefect.yaml, read by Prefect's loader."""
    from prefect.cli.deploy._config import _load_deploy_configs_and_actions
    from prefect.flows import load_flow_from_entrypoint
    from rich.console import Console

    output = io.StringIO()
    read, actions = _load_deploy_configs_and_actions(
        ROOT / "prefect.yaml", console=Console(file=output)
    )
    assert output.getvalue() == ""  # where it reports what it left out
    assert len(actions["pull"]) == 1
    return {d["name"]: (load_flow_from_entrypoint(d["entrypoint"]), d) for d in read}


#: Parameters a deployment still needs, and the command whose options it takes.
DEPLOYED = {
    "run": (set(), app.run),
    "build": (set(), app.build),
    "store-add": ({"name", "sequence", "chain"}, store_commands.add),
    "store-validate": ({"store"}, store_commands.validate),
}


#: Deployments without a command of the same options, and parameters they still need.
ARRIVALS: dict[str, set[str]] = {
    "watch-genomes": set(),
    "append-genome": set(),
    "validate-store": set(),
    "train": set(),
    "evaluate": set(),
    "publish": {"store", "target"},
    "peaks": {"name", "treatment"},
}


def test_deployments_take_the_options_of_the_commands(backend: None) -> None:
    from prefect.utilities.callables import parameter_schema
    from prefect.utilities.schema_tools import ValidationError, validate

    text = (ROOT / "prefect.yaml").read_text()
    assert not re.search(r"""[\s"':,\[][/~]""", text)  # no path of a machine
    read = deployments()
    assert list(read) == [*DEPLOYED, *ARRIVALS]
    for name in ARRIVALS:
        flow, settings = read.pop(name)
        schema = parameter_schema(flow).model_dump_for_openapi()
        given = dict(settings["parameters"])
        for trigger in settings.get("triggers", []):
            given |= trigger["parameters"]
        assert set(given) <= set(schema["properties"])
        assert set(schema["required"]) - set(given) == ARRIVALS[name]
    for name, (flow, settings) in read.items():
        needed, command = DEPLOYED[name]
        options = set(inspect.signature(command).parameters)
        options -= {"called", "verbose", "quiet", "as_json", "log_file", "dry_run"}
        renamed = {"place": "project", "location": "store"}
        schema = parameter_schema(flow).model_dump_for_openapi()
        assert set(schema["properties"]) == {renamed.get(option, option) for option in options}
        given = settings["parameters"]
        assert set(schema.get("required", ())) - set(given) == needed
        # As the server checks them when a run is asked for.
        values = given | dict.fromkeys(needed, "x")
        assert validate(values, schema, raise_on_error=True) == []
        for wrong in ({"workers": -1}, {"deep": 3, "replace": 3}, {"report": "p", "repair": "no"}):
            if set(wrong) & set(schema["properties"]):
                with pytest.raises(ValidationError, match=r"^.*'\w+'.*$"):
                    validate(values | wrong, schema, raise_on_error=True)
        if name != "store-validate":  # a writer
            limit = {"limit": 1, "collision_strategy": "ENQUEUE"}
            assert settings["concurrency_limit"].items() >= limit.items()


def test_what_triggers_render_is_what_the_flows_take(backend: None) -> None:
    """Rendered as by the server, of payloads as emitted; it refuses other types in silence."""
    from prefect.server.events.actions import RunDeployment
    from prefect.utilities.callables import parameter_schema
    from prefect.utilities.schema_tools import validate
    from prefect.utilities.schema_tools.hydration import HydrationContext, hydrate

    payload = {"project": "p", "registry": "r", "name": "n", "digest": "d", "attempt": "2"}
    seen = 0
    for flow, settings in deployments().values():
        for trigger in settings.get("triggers", []):
            given = copy.deepcopy(trigger["parameters"])
            RunDeployment._upgrade_v1_templates(given)
            context = {"event": SimpleNamespace(payload=payload)}
            how = HydrationContext(raise_on_error=True, render_jinja=True, jinja_context=context)
            rendered = hydrate(given, how)
            schema = parameter_schema(flow).model_dump_for_openapi()
            assert validate(rendered, schema, raise_on_error=True) == []
            seen += 1
    assert seen == 4


def test_the_form_of_every_deployment_describes_each_parameter(backend: None) -> None:
    """In words: a form shows neither reST nor what another function says."""
    from prefect.utilities.callables import parameter_schema

    for name, (flow, _) in deployments().items():
        fields = parameter_schema(flow).model_dump_for_openapi()["properties"]
        assert fields
        for parameter, field in fields.items():
            text = field.get("description", "")
            assert re.fullmatch(r"[A-Z][^`\n]{10,}", text), f"{name}: {parameter}: {text!r}"
            assert not re.search(r"^See |:\w+:|\*\*", text), f"{name}: {parameter}: {text!r}"
        assert "`" not in flow.description, name


def times(folder: Path) -> dict[Path, int]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {path: path.stat().st_mtime_ns for path in found}


@pytest.fixture
def world(built_world: Path, tmp_path: Path) -> Path:
    """A built project of its own."""
    return Path(shutil.copytree(built_world, tmp_path / "world"))


def test_a_genome_is_added_by_its_deployment_once(
    world: Path, built_world: Path, backend: None
) -> None:
    genome = load_project(world).genomes[-1].model_dump()
    files = {key: str(genome[key]) for key in ("name", "sequence", "chain")}
    remove_genome(world, files["name"])
    flows = {name: flow for name, (flow, _) in deployments().items()}
    with prefect_runtime.flow_settings():
        added = flows["store-add"](str(world), distance=genome["distance"], **files)
        assert {store["status"] for store in added["stores"]} == {"built"}
        for name in ("alpha", "beta"):
            ours, theirs = (top / "store" / f"{name}.zarr" for top in (world, built_world))
            assert chunks(ours) == chunks(theirs)
            assert open_store(ours).digest == open_store(theirs).digest
        before = times(world)
        again = flows["store-add"](str(world), **files)
        assert {store["status"] for store in again["stores"]} == {"unchanged"}
        stores = flows["build"](str(world))["stores"]
        assert {step["status"] for store in stores for step in store["steps"]} == {"unchanged"}
        assert times(world) == before


def test_a_mistake_fails_a_flow_with_its_line_and_no_traceback(
    world: Path, backend: None, caplog: pytest.LogCaptureFixture
) -> None:
    from prefect.exceptions import ParameterTypeError

    flows = {name: flow for name, (flow, _) in deployments().items()}
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        caplog.set_level(logging.ERROR, logger=name)
    wanted = {"project": str(world), "name": "new", "sequence": "no.fa", "chain": "no.chain"}
    before = times(world)
    with prefect_runtime.flow_settings():
        state = flows["store-add"](**wanted, return_state=True)
        assert state.is_failed()
        assert state.message.endswith("MissingInputError: no.fa: no such file")
        with pytest.raises(MissingInputError, match=r"^no.fa: no such file$"):
            state.result()
        assert {r.name for r in caplog.records} == {"prefect.flow_runs", "prefect.task_runs"}
        assert not [record for record in caplog.records if record.exc_info]
        with pytest.raises(ParameterTypeError, match="workers: Input should be greater"):
            flows["store-add"](**wanted, workers=-1)
        assert times(world) == before

        store = world / "store" / "alpha.zarr"
        assert flows["store-validate"](str(store))["valid"]
        label = next((store / "homologs").glob("*/label/c/0/0"))
        label.write_bytes(label.read_bytes()[::-1])
        state = flows["store-validate"](str(store), return_state=True)
        assert state.is_failed()
        assert f"{store}: WRONG, problems: " in state.message


def test_the_deployed_run_publishes_teacher_weights(
    by_run: tuple[Path, dict[str, Any]], backend: None
) -> None:
    folder, result = by_run
    with prefect_runtime.flow_settings():
        value = deployments()["run"][0](str(folder), publish_weights=True)
    assert value["runs"] == result["runs"]
    assert [weights["status"] for weights in value["weights"]] == ["published"]
