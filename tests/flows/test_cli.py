"""The command line as a user meets it: what it prints where, exit codes, errors in one line."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import shlex
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_origin

import pytest
import typer
import yaml
from pydantic import BaseModel
from run_tools import small_record

from flows.cli import main
from flows.commands import actions, app
from flows.output import console
from flows.output.console import BROKEN_PIPE, Console
from ssldata.base.errors import ConfigError, MissingInputError, UnreachableError
from ssldata.project.project_file import Project, json_schema, load_project
from ssldata.project.project_template import schema_page, template_text
from ssldata.simulation.clade import small_clade

ROOT = Path(__file__).resolve().parents[2]
HEAVY = (
    "tensorflow",
    "keras",
    "prefect",
    "pandas",
    "zarr",
    "numpy",
    "dask",
    "matplotlib",
    "rich.progress",
)


def all_commands() -> dict[str, Any]:
    """Every command, by the words that call it."""
    found: dict[str, Any] = {}

    def walk(words: list[str], command: Any) -> None:
        for name, child in getattr(command, "commands", {}).items():
            walk([*words, name], child)
        if not hasattr(command, "commands"):
            found[" ".join(words)] = command

    walk([], typer.main.get_command(app.app))
    return found


COMMANDS = all_commands()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small simulated project; the tests of this module may build into it."""
    folder = tmp_path_factory.mktemp("clade") / "project"
    small_clade(folder)
    return folder


@pytest.fixture
def untouched(tmp_path: Path) -> Path:
    """A small simulated project that nothing was built from."""
    small_clade(tmp_path / "project")
    return tmp_path / "project"


def files_below(folder: Path) -> dict[Path, int]:
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


# ---------------------------------------------------------------- help and start-up


def start(code: str) -> str:
    """Run Python code in a process of its own; return what it printed."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout


def test_help_is_instant_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom flows.cli import main\nassert main(['--help']) == 0\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules], len(sys.modules))"
    )
    heavy, _, modules = start(code).splitlines()[-1].rpartition(" ")
    assert heavy == "[]"
    # What a start costs, counted so that a busy machine cannot change it: 338 are .16 s.
    assert int(modules) < 450


@pytest.mark.parametrize("words", sorted(COMMANDS))
def test_every_command_teaches(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = COMMANDS[words].help
    assert "Example: `crosslabel " + words in text
    assert len(text.split("Example:")[0]) > 60
    if words != "liftover":  # which prints its own help
        assert main([*words.split(), "--help"]) == 0
        assert "Example: crosslabel" in capsys.readouterr().out


def test_the_page_of_the_command_line_names_every_command_and_option() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for words, command in COMMANDS.items():
        section = page.split(f"## crosslabel {words}\n")
        assert len(section) == 2, f"docs/cli.md has no section 'crosslabel {words}'"
        body = section[1].split("\n## ")[0]
        for parameter in command.params:
            if parameter.param_type_name != "option":
                continue
            option = max(parameter.opts, key=len)
            common = option in ("--verbose", "--quiet", "--json", "--log-file", "--help")
            assert option in (page if common else body), f"{words}: {option}"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"crosslabel \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_liftover_parses_its_own_options(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    stub = types.ModuleType("ssldata.ucsc_tool.ucsc_command")
    stub.main = lambda argv, *, own_process: seen.append(argv) or 7  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ssldata.ucsc_tool.ucsc_command", stub)
    assert main(["liftover", "-minMatch=0.1", "a", "b", "c", "d"]) == 7
    assert seen == [["-minMatch=0.1", "a", "b", "c", "d"]]


def test_liftover_starts_without_the_rest() -> None:
    code = (
        "import sys\nfrom flows.cli import main\nassert main(['liftover', '--help']) == 0\n"
        "print([m for m in ('typer', 'pandas', 'zarr', 'tensorflow') if m in sys.modules])"
    )
    lines = start(code).splitlines()
    assert lines[0].startswith("usage: crosslabel liftover")
    assert lines[-1] == "[]"


# ---------------------------------------------------------------- errors


def fails_with(monkeypatch: pytest.MonkeyPatch, error: BaseException, *arguments: str) -> int:
    def broken(_: Path) -> None:
        raise error

    monkeypatch.setattr("ssldata.project.project_file.load_project", broken)
    return main(["plan", "x", *arguments])


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ConfigError("a: key 'b' is 1"), 2, "crosslabel: error: a: key 'b' is 1\n"),
        (MissingInputError("x.fa: gone"), 2, "crosslabel: error: x.fa: gone\n"),
        (UnreachableError("offline"), 3, "crosslabel: error: offline\n"),
        (
            KeyboardInterrupt(),
            130,
            "crosslabel: interrupted; the same command continues where it stopped\n",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "/d/x"),
            2,
            (
                "crosslabel: error: No space left on device: /d/x; make room, "
                "the same command continues where it stopped\n"
            ),
        ),
        (
            OSError(errno.EFBIG, "File too large", "/d/x"),
            2,
            (
                "crosslabel: error: File too large: /d/x; make room, "
                "the same command continues where it stopped\n"
            ),
        ),
        (
            FileExistsError(errno.EEXIST, "File exists", "/d/x"),
            2,
            "crosslabel: error: File exists: /d/x\n",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied"),
            2,
            "crosslabel: error: Permission denied: while writing\n",
        ),
        (
            RuntimeError("Symlink loop from '/d/x'"),
            2,
            "crosslabel: error: Too many levels of symbolic links: /d/x\n",
        ),
    ],
)
def test_errors_of_the_user_are_one_line(
    error: BaseException,
    code: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert fails_with(monkeypatch, error) == code
    out, err = capsys.readouterr()
    assert (out, err) == ("", line)


def test_very_verbose_shows_the_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fails_with(monkeypatch, ConfigError("wrong"), "-v", "-v") == 2
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.endswith("crosslabel: error: wrong\n")


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("oops"), RuntimeError("oops"), OSError("oops"), OSError(22, "oops")]
)
def test_a_bug_keeps_its_traceback_and_says_so(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fails_with(monkeypatch, error) == 1
    err = capsys.readouterr().err
    assert type(error).__name__ in err
    assert "oops" in err
    assert "please report" in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["plan"], "Missing argument 'PROJECT'; see `crosslabel plan --help`"),
        (["plan", "x", "--foo"], "No such option: --foo"),
        (["nothing"], "No such command 'nothing'"),
        (["train", "x", "--seed", "a"], "Invalid value for '--seed'"),
        (["build", "x", "--workers", "-1"], "Invalid value for '--workers'"),
    ],
)
def test_wrong_usage_is_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("crosslabel: error: ")
    assert err.count("\n") == 1
    assert said in err
    assert "--help`" in err


def test_a_closed_pipe_is_quiet() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "flows.cli", "schema"]
    with os.fdopen(writer) as stdout:
        done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(
    "words",
    [
        ["plan", "PATH"],
        ["evaluate", "PATH"],
        ["store", "validate", "PATH"],
        ["store", "diff", "PATH", "PATH"],
        ["store", "add", "PATH", "--name", "x", "--sequence", "PATH", "--chain", "PATH"],
    ],
)
def test_home_and_variables_in_options(
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NAME", "here")
    monkeypatch.delenv("NOT_SET", raising=False)
    for path, found in (
        ("~/$NAME/x", f"{tmp_path}/here/x"),
        ("a/${NOT_SET}", "a/${NOT_SET}: the variable NOT_SET is not set"),
    ):
        assert main([word.replace("PATH", path) for word in words]) == 2
        assert found in capsys.readouterr().err


def test_no_project_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(tmp_path)]) == 2
    assert "crosslabel init DIR" in capsys.readouterr().err


# ---------------------------------------------------------------- init and schema


def keys(model: type[BaseModel], prefix: str = "") -> dict[str, Any]:
    """Every key of the schema, dotted, with its default (PydanticUndefined when required)."""
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        inner = [
            candidate
            for candidate in (field.annotation, *getattr(field.annotation, "__args__", ()))
            if isinstance(candidate, type) and issubclass(candidate, BaseModel)
        ]
        default = field.get_default(call_default_factory=True)
        # A mapping of sections is empty in the template, which cannot know the names, and a
        # section that may be left out is null.
        if inner and get_origin(field.annotation) is not dict and default is not None:
            found |= keys(inner[0], f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = default
    return found


def flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, item in value.items():
        section = item[0] if isinstance(item, list) and item and isinstance(item[0], dict) else item
        if isinstance(section, dict) and section:
            found |= flat(section, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = section
    return found


def test_the_template_has_every_key_at_its_default() -> None:
    written = flat(yaml.safe_load(template_text()))
    schema = keys(Project)
    assert set(written) == set(schema)
    needed = {"name", "reference.name", "reference.sequence", "split.test", "split.validation"}
    needed |= {f"experiments.{key}" for key in ("name", "peaks")}
    needed |= {f"genomes.{key}" for key in ("name", "sequence", "chain")}
    for key in set(schema) - needed:
        default = schema[key]
        assert written[key] == (str(default) if isinstance(default, Path) else default), key


@pytest.mark.parametrize("name", ["yeast", "my project!", "...", "Ünï"])
def test_init_writes_a_valid_project(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", str(tmp_path / name), "--json"]) == 0
    written = Path(json.loads(capsys.readouterr().out)["project"])
    project = load_project(tmp_path / name)
    assert written == project.file
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", project.name)


def test_init_never_overwrites(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "project.yaml").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for arguments in (
        [str(tmp_path)],
        [str(tmp_path / "file")],
        [str(tmp_path), "--simulated"],
        [str(tmp_path / "file"), "--simulated"],
    ):
        assert main(["init", *arguments]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert (tmp_path / "project.yaml").read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "project.yaml"]


def test_init_simulated_is_ready_to_plan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "--simulated", "--seed", "3", str(tmp_path / "sim")]) == 0
    assert "next: crosslabel run" in capsys.readouterr().out
    assert load_project(tmp_path / "sim").genomes


def test_schema_is_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == json_schema()
    assert main(["schema", "--markdown"]) == 0
    assert capsys.readouterr().out == schema_page()


def test_the_page_of_the_project_file_is_current() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert page == schema_page(), "run `crosslabel schema --markdown > docs/configuration.md`"
    for key in keys(Project):
        assert f"| `{key.rsplit('.', 1)[-1]}` |" in page


# ---------------------------------------------------------------- plan, build, inspect


def test_plan_writes_nothing(untouched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files_below(untouched)
    for arguments in (["plan"], ["build", "--dry-run"], ["run", "--dry-run"]):
        assert main([*arguments, str(untouched), "--json"]) == 0
        out, err = capsys.readouterr()
        value = json.loads(out)
        assert err == ""
        assert {step["status"] for step in value["steps"]} == {"missing"}
        assert value["missing"] == []
    first = {"run": "alpha/cnn-7k/sl/seed-0", "status": "missing", "reasons": []}
    assert value["runs"][0] == first
    of_alpha = {"baseline": "alpha/baselines/motif", "status": "unknown", "reasons": []}
    assert value["baselines"][0] == of_alpha
    assert files_below(untouched) == before


def test_plan_lists_what_is_missing(untouched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gone = load_project(untouched).genomes[0].chain
    gone.unlink()
    assert main(["plan", str(untouched)]) == 2
    out, err = capsys.readouterr()
    assert f"missing: {gone}\n" in out
    assert err.count("\n") == 1
    assert str(gone) in err
    for command in ("build", "run"):
        assert main([command, str(untouched)]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert str(gone) in err
    assert not (untouched / "store").exists()


def test_build_then_nothing_to_do(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", str(project), "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    first = json.loads(out)
    assert [store["store"] for store in first] == ["alpha", "beta"]
    before = files_below(project / "store")

    # The folder and the file mean the same, and an unchanged project costs nothing.
    assert main(["build", str(project / "project.yaml"), "--json"]) == 0
    second = json.loads(capsys.readouterr().out)
    assert {step["status"] for store in second for step in store["steps"]} == {"unchanged"}
    assert [s["digest"] for s in second] == [s["digest"] for s in first]
    content = {p: t for p, t in files_below(project / "store").items() if p.suffix != ".lock"}
    assert content == {p: t for p, t in before.items() if p.suffix != ".lock"}

    assert main(["plan", str(project)]) == 0
    assert "nothing to do" in capsys.readouterr().out

    assert main(["store", "inspect", str(project), "--json"]) == 0
    stores = json.loads(capsys.readouterr().out)
    assert [s["digest"] for s in stores] == [s["digest"] for s in first]
    assert main(["store", "inspect", str(project / "store" / "alpha.zarr")]) == 0
    assert re.search(r"reference +complete +\w{12} +[\d,]+ ", capsys.readouterr().out)
    alpha, packed = project / "store" / "alpha.zarr", project / "alpha.zip"
    assert main(["store", "share", str(alpha), "--zip", str(packed), "--quiet"]) == 0
    capsys.readouterr()
    assert main(["store", "inspect", str(packed), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["digest"] == first[0]["digest"]


def test_output_goes_where_it_should(untouched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = ["build", str(untouched), "-e", "beta"]
    assert main([*base, "-v"]) == 0
    out, err = capsys.readouterr()
    assert "beta" in out
    assert "alpha" not in out
    assert "mapped" in out
    # One plain line per finished task, no control characters: this is no terminal.
    assert re.search(r"^crosslabel: .*liftover.* \(\d+\.\d s\)$", err, flags=re.MULTILINE)
    assert "\x1b" not in out + err
    assert main([*base, "-q"]) == 0
    assert capsys.readouterr() == ("", "")
    assert main([*base, "-q", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["store"] == "beta"


def test_ways_to_run_a_build_exclude_each_other(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["build", str(project), "--workers", "2", "--dask-scheduler", "tcp://h:1"]
    assert main(arguments) == 2
    assert "--workers and --dask-scheduler exclude each other" in capsys.readouterr().err
    arguments = ["run", str(project), "--train-workers", "2", "--scheduler-file", "s.json"]
    assert main(arguments) == 2
    assert "--train-workers and --scheduler-file exclude each other" in capsys.readouterr().err


def test_no_such_scheduler(untouched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["build", str(untouched), "--scheduler-file", str(untouched / "none.json")]
    assert main(arguments) == 2
    assert capsys.readouterr().err.endswith("none.json: no such scheduler file\n")


# ---------------------------------------------------------------- train and evaluate


def test_train_asks_for_what_is_ambiguous(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(project), "-e", "alpha"]) == 2
    assert "--regime is needed: the project has sl, ssl, ssl-ns" in capsys.readouterr().err
    assert main(["train", str(project), "--regime", "magic"]) == 2
    assert "there are sl, ssl, ssl-ns, two-stage" in capsys.readouterr().err
    assert main(["train", str(project), "-r", "sl", "-e", "gamma"]) == 2
    assert "no experiment 'gamma'; there are alpha, beta" in capsys.readouterr().err


def test_run_folders(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    small_clade(tmp_path / "p")
    runs = tmp_path / "p" / "runs"
    folders = [runs / "a" / "m" / regime / "seed-0" for regime in ("sl", "ssl")]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps(small_record()))
    cut = runs / "a" / "m" / "ssl" / "seed-1"
    cut.mkdir()
    (cut / "run.json").write_text(json.dumps(small_record(status="training")))
    damaged = runs / "a" / "m" / "ssl" / "seed-2"
    damaged.mkdir()
    (damaged / "run.json").write_text('{"status": "complete"}')
    earlier = folders[0] / "earlier" / "1"
    earlier.mkdir(parents=True)
    (earlier / "run.json").write_text(json.dumps(small_record()))
    assert actions.run_folders([folders[1]]) == [folders[1]]
    for path in (runs, tmp_path / "p", tmp_path / "p" / "project.yaml", runs / "a"):
        assert actions.run_folders([path]) == folders
    assert actions.run_folders([folders[1], runs]) == [folders[1], folders[0]]
    assert actions.run_folders([runs / "a" / "m" / "sl"]) == [folders[0]]
    assert "seed-1: not complete, left out" in caplog.text
    assert "seed-2/run.json: not the record of a run, or damaged (no digest)" in caplog.text
    # Named on its own it is not left out: evaluating it says what is wrong.
    assert actions.run_folders([cut]) == [cut]
    with pytest.raises(MissingInputError, match="no complete run here"):
        actions.run_folders([tmp_path / "nowhere"])


# ---------------------------------------------------------------- the console


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_bars_and_a_line_per_outermost_task() -> None:
    stream = Terminal()
    shown = Console(stream=stream)
    with shown.task("outer", 2) as advance:
        with shown.task("inner") as inner:
            inner(3)
        advance(1)
        shown.note("a note")
        advance(1)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert re.search(r"✓ outer \(\d+\.\d s\)", text)
    assert "✓ inner" not in text
    assert "crosslabel: a note" in text


@pytest.mark.parametrize(
    ("verbosity", "stream", "expected"),
    [
        (-1, Terminal, ""),
        (0, io.StringIO, ""),
        (1, io.StringIO, "crosslabel: work (2.3 s)\n"),
    ],
)
def test_progress_is_quiet_where_it_should_be(
    verbosity: int,
    stream: Callable[[], io.StringIO],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = iter([5.0, 7.31])
    monkeypatch.setattr(console, "time", types.SimpleNamespace(monotonic=lambda: next(times)))
    out = stream()
    with Console(verbosity=verbosity, stream=out).task("work", 1) as advance:
        advance(1)
    assert out.getvalue() == expected


def test_a_failed_task_is_not_reported_as_done() -> None:
    out = Terminal()
    with pytest.raises(ValueError, match="no"), Console(stream=out).task("work"):
        raise ValueError("no")
    assert "✓" not in out.getvalue()


def test_warnings_of_the_libraries_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    import logging
    import warnings

    for verbosity, expected in (
        (0, "crosslabel: warning: 3 peaks left out\n"),
        (-1, ""),
    ):
        with Console(verbosity=verbosity).warnings_as_lines():
            logging.getLogger("ssldata.building.build_store").warning("%d peaks left out", 3)
            logging.getLogger("ssldata.building.build_store").info("not said")
            warnings.simplefilter("always")
            warnings.warn("of some package", DeprecationWarning, stacklevel=1)
        assert capsys.readouterr().err == expected


# ---------------------------------------------------------------- what it is started with

#: Standard streams that are closed, full, or that nobody reads.
STREAMS = {
    "no stdout": (">&-", {}),
    "no stderr": ("2>&-", {}),
    "none": ("<&- >&- 2>&-", {}),
    "full stdout": ("> /dev/full", {}),
    "full stderr": ("2> /dev/full", {}),
    "no reader": ("| true", {}),
    "no reader of either": ("2>&1 | true", {}),
    "one line read": ("| head -1 > /dev/null", {}),
    "C": ("", {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
    "dumb, no home": ("", {"TERM": "dumb", "HOME": "", "PYTHONIOENCODING": "ascii"}),
}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param(["--version"], 0, marks=pytest.mark.slow),
        (["--help"], 0),
        pytest.param(["schema"], 0, marks=pytest.mark.slow),
        (["plan", "--no-such-option"], 2),
        pytest.param(["plan", "nowhere"], 2, marks=pytest.mark.slow),
        pytest.param(["store", "inspect", "naïve.zarr"], 2, marks=pytest.mark.slow),
        pytest.param(["store", "inspect", "{world}"], 0, marks=pytest.mark.slow),
        (["liftover", "a.bed", "nowhere.chain", "b.bed", "unmapped"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_every_command_with_every_kind_of_stream(
    arguments: list[str], code: int, built_world: Path, tmp_path: Path
) -> None:
    """One line or none, never a traceback, and the exit code: that of the command where it can."""
    words = [word.format(world=built_world) for word in arguments]
    command = shlex.join([sys.executable, "-m", "flows.cli", *words])
    started = {}
    for name, (redirection, variables) in STREAMS.items():
        script = f"set -o pipefail; {command} {redirection}"
        environment = {key: value for key, value in (os.environ | variables).items() if value}
        started[name] = subprocess.Popen(
            ["bash", "-c", script],
            env=environment,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    done = {name: process.communicate(timeout=900)[1] for name, process in started.items()}
    for name, process in started.items():
        said = done[name].decode(errors="replace")
        assert "Traceback" not in said, (name, said)
        assert "Exception ignored" not in said, (name, said)
        expected = {code}
        if "reader" in name or "one line" in name:
            expected |= {BROKEN_PIPE}  # or it was done before the reader went
        if name == "full stdout" and code == 0:
            expected = {2}
            assert said.startswith("crosslabel: error: No space left on device")
        assert process.returncode in expected, (name, said)
        assert said.count("\n") <= 1, (name, said)
    assert list(tmp_path.iterdir()) == []


def test_names_of_many_lines_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", str(tmp_path / "two\nlines\x1b[2J")]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert r"two\nlines\x1b[2J" in err


def test_the_end_of_a_file_is_no_interrupt(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An EOFError is a bug, not Ctrl-C, and so is EPIPE of something that is not stdout."""
    for error in (EOFError("no data left"), OSError(errno.EPIPE, "Broken pipe")):

        def fail(*_: Any, error: Exception = error, **__: Any) -> None:
            raise error

        monkeypatch.setattr("ssldata.project.project_file.load_project", fail)
        assert main(["plan", "project"]) == 1
        assert "this is a bug" in capsys.readouterr().err
