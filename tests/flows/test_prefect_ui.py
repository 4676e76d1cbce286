"""What Prefect's pages show: names of runs, artifacts and assets, none of which can fail a run."""

from __future__ import annotations

import contextlib
import html
import logging
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.prefect_flows import prefect_runtime
from flows.prefect_flows.asset_lineage import Assets, Lineage
from ssldata.base.progress import NoProgress
from ssldata.project.project_file import Project, load_project

#: Any name: those of a project are letters and digits, but models and addresses are not.
NASTY = "<script>alert(1)</script> | `x` ![a](http://h/b) **b** {c} # &lt; https://e.org a@b.c"


@pytest.mark.parametrize(
    ("kind", "label", "name"),
    [
        ("train", "Reb1 / cnn-27k / ssl / seed 0", "train Reb1 cnn-27k ssl seed 0"),
        (
            "trained",
            "Reb1 / cnn-27k / ssl / seed 0 / nearest 3",
            "trained Reb1 cnn-27k ssl seed 0 nearest 3",
        ),
        ("evaluate", "Reb1 / cnn-27k / sl / seed 1", "evaluate Reb1 cnn-27k sl seed 1"),
        ("train", "8 runs on Dask", "train 8 runs on Dask"),
        ("build-reference", "Reb1 / sacCer3", "build Reb1 reference"),
        ("build-genome", "Reb1 / sacPar", "build Reb1 homologs/sacPar"),
        ("finish-store", "Reb1", "finish Reb1"),
        ("append-genome", "N44, attempt 2", "append N44, attempt 2"),
        ("call-peaks", "Reb1", "call peaks of Reb1"),
        ("report", "yeast", "report yeast"),
    ],
)
def test_names_of_tasks_say_what(kind: str, label: str, name: str) -> None:
    assert prefect_runtime.task_name(kind, label) == name


@pytest.mark.parametrize(
    ("template", "parameters", "name"),
    [
        ("run {project}", {"project": "projects/yeast/project.yaml"}, "run yeast"),
        ("run {project}", {"project": "projects/yeast/"}, "run yeast"),
        (
            "validate {store}",
            {"store": "s3://key:secret@b/p/Reb1.zarr?sig=1"},
            "validate Reb1.zarr",
        ),
        ("validate {store}", {"store": "https://user:secret@host"}, "validate host"),
        (
            "append {name} to {project}, attempt {attempt}",
            {"name": "N44", "project": "yeast", "attempt": 2},
            "append N44 to yeast, attempt 2",
        ),
        ("run {project}", {}, "run"),
    ],
)
def test_names_of_flow_runs_say_what_and_hold_no_password(
    template: str, parameters: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.runtime import flow_run

    monkeypatch.setattr(flow_run, "parameters", parameters, raising=False)
    assert prefect_runtime.run_name(template)() == name


def test_the_folder_a_run_is_named_after_is_that_of_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.runtime import flow_run

    (tmp_path / "yeast").mkdir()
    monkeypatch.chdir(tmp_path / "yeast")
    monkeypatch.setattr(flow_run, "parameters", {"project": "."}, raising=False)
    assert prefect_runtime.run_name("build {project}")() == "build yeast"


# Artifacts --------------------------------------------------------------------------------------


@given(st.lists(st.text(), min_size=1))
def test_keys_of_artifacts_are_valid(names: list[str]) -> None:
    from flows.prefect_flows.run_artifacts import artifact_key

    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", artifact_key(*names))


@given(st.text() | st.sampled_from([NASTY, "1. a", "- a", "    a", "===", "a\n---", "\\<b>"]))
def test_markdown_shows_a_text_as_it_is(text: str) -> None:
    """Whatever is in it: read back by a parser with tables, links and HTML."""
    from markdown_it import MarkdownIt

    from flows.prefect_flows.run_artifacts import as_text

    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    shown = parser.render(f"x {as_text(text)} x")
    assert shown.startswith("<p>x")
    inside = shown.removeprefix("<p>").removesuffix("</p>\n")
    assert "<" not in inside
    # NUL is replaced by all parsers.
    expected = " ".join(f"x {text} x".replace("\0", "\ufffd").split())
    assert " ".join(html.unescape(inside).split()) == expected


@pytest.fixture
def created(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """Kind and arguments of the artifacts that would be sent to Prefect."""
    from flows.prefect_flows import run_artifacts

    found: list[tuple[str, dict[str, Any]]] = []

    def creates(kind: str) -> Any:
        def create(*args: Any, **kw: Any) -> Any:
            found.append((kind, {**kw, "args": args}))
            return uuid4()

        return create

    for name in ("create_table", "create_markdown", "create_link", "create_progress"):
        monkeypatch.setattr(run_artifacts, f"{name}_artifact", creates(name))
    monkeypatch.setattr(run_artifacts, "update_progress_artifact", creates("update"))
    return found


def test_the_link_to_a_report_holds_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.prefect_flows.run_artifacts import FILES_URL, report_link

    monkeypatch.chdir(tmp_path)
    report = tmp_path / "my yeast" / "report.html"
    monkeypatch.delenv(FILES_URL, raising=False)
    assert report_link(report) == report.as_uri()
    monkeypatch.setenv(FILES_URL, "https://me:secret@host:8000/files/?token=1")
    assert report_link(report) == "https://host:8000/files/my%20yeast/report.html"
    assert report_link(Path("/elsewhere/report.html")).startswith("file:///")
    monkeypatch.setenv(FILES_URL, "javascript:alert(1)//")
    assert report_link(report) == report.as_uri()


def test_an_artifact_that_cannot_be_written_is_one_warning(
    built_world: Path,
    created: list[tuple[str, dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from flows.prefect_flows import run_artifacts
    from flows.steps.shown_results import ShownFigure, ShownResults

    project = load_project(built_world)
    row = {"experiment": NASTY, "AUPR": "0.300", "95 % interval": "0.2 to 0.4"}
    results = ShownResults([row], [ShownFigure(NASTY, NASTY, "<svg/>")])
    monkeypatch.setattr(run_artifacts, "shown_results", lambda *_: results)
    run_artifacts.show_results(project, [], built_world / "report.html")
    assert [kind for kind, _ in created] == ["create_table", "create_markdown", "create_markdown"]
    # Nothing but the figure itself is an image, and no HTML is left.
    markdown = created[1][1]["markdown"]
    assert re.findall(r"(?<!\\)!(?<!\\)\[", markdown) == ["!["]
    assert "<" not in markdown
    # Cells are read as HTML, with Markdown's links.
    cell = created[0][1]["table"][0]["experiment"]
    assert html.unescape(cell) == " ".join(NASTY.split())
    assert not set("<[") & set(cell)
    assert not caplog.records

    def unreachable(*_: Any, **__: Any) -> Any:
        raise ConnectionError("no server\nand more lines")

    monkeypatch.setattr(run_artifacts, "create_table_artifact", unreachable)
    run_artifacts.show_results(project, [], built_world / "report.html")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        "the results: not recorded by Prefect (ConnectionError: no server)"
    )

    caplog.clear()
    monkeypatch.setattr(run_artifacts, "update_progress_artifact", unreachable)
    monkeypatch.setattr(run_artifacts, "_BETWEEN_UPDATES", 0.0)
    with run_artifacts.ArtifactProgress(NoProgress(), "yeast").task("train", 3) as advance:
        for _ in range(3):
            advance(1)
    (record,) = caplog.records
    assert "progress of train" in record.getMessage()


def test_progress_is_that_of_the_work(
    created: list[tuple[str, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.prefect_flows import run_artifacts

    monkeypatch.setattr(run_artifacts, "_BETWEEN_UPDATES", 0.0)
    progress = run_artifacts.ArtifactProgress(NoProgress(), "My yeast")
    with progress.task("epochs", 10) as advance:  # of one run: not the work as a whole
        advance(10)
    with contextlib.suppress(ZeroDivisionError), progress.task("build", 4) as advance:
        advance(1)
        advance(1)
        raise ZeroDivisionError
    (first, start), *updates = created
    assert (first, start["progress"], start["key"]) == (
        "create_progress",
        0.0,
        "build-progress-my-yeast",
    )
    assert [(kind, kw["progress"]) for kind, kw in updates] == [("update", 25.0), ("update", 50.0)]
    assert updates[-1][1]["description"] == "My yeast: build, 2 of 4 groups of stores"


# Assets -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def project(built_world: Path) -> Project:
    return load_project(built_world)


def test_a_report_can_be_traced_to_its_genomes(project: Project, tmp_path: Path) -> None:
    from prefect.assets import Asset

    folder = tmp_path / "alpha" / "cnn-7k" / "ssl-ns" / "seed-0"
    (folder / "evaluation").mkdir(parents=True)
    (folder / "evaluation" / "metrics.json").touch()
    never = tmp_path / "alpha" / "cnn-7k" / "ssl" / "seed-0"
    lineage = Lineage(project)
    steps = [
        ("build-reference", "alpha / simref"),
        ("build-genome", "alpha / relative1"),
        ("finish-store", "alpha"),
        ("train", "alpha / cnn-7k / sl / seed 0"),
        ("train", "alpha / cnn-7k / ssl-ns / seed 0"),
        ("train", "2 runs on Dask"),
        ("evaluate", "alpha / cnn-7k / ssl-ns / seed 0"),
        ("report", project.name),
    ]
    sources: dict[str, list[str]] = {}
    for kind, label in steps:
        found = lineage.of_step(kind, label, {"run_folders": [folder, never]})
        for key in [*found.made, *found.of]:
            assert Asset(key=key).key == key  # Prefect's rules
            assert str(built := project.store.path.parent) not in key, built
        sources |= {key: list(found.of) for key in found.made}

    base = f"crosslabel://{project.name}"
    seen, left = set(), [f"{base}/report"]
    while left:
        key = left.pop()
        if key not in seen:
            seen.add(key)
            left += sources.get(key, [])
    assert {
        f"{base}/runs/alpha/cnn-7k/ssl-ns/seed-0/evaluation",
        f"{base}/runs/alpha/cnn-7k/sl/seed-0",  # its teacher
        f"{base}/stores/alpha/homologs/relative1",
        f"{base}/stores/alpha/reference",
        f"{base}/genomes/relative1",
        f"{base}/genomes/simref",
        f"{base}/experiments/alpha",
    } <= seen
    assert f"{base}/runs/alpha/cnn-7k/ssl/seed-0/evaluation" not in seen  # it does not exist
    of_sl = lineage.of_step("train", "alpha / cnn-7k / sl / seed 0", {}).of
    assert of_sl == [f"{base}/stores/alpha/reference"]  # which uses no homologue
    assert lineage.of_step("train", "2 runs on Dask", {}) == Assets()


def test_keys_of_any_model_are_valid(project: Project) -> None:
    from prefect.assets import Asset

    label = "alpha / my.own:model <x> `|` % / ssl / seed 0 / noise_sd 0.1"
    (key,) = Lineage(project).of_step("train", label, {}).made
    assert Asset(key=key).key.endswith("/my.own.model-x/ssl/seed-0/noise_sd-0.1")
