"""``crosslabel init --sequences``: a project file that fits the table."""

from __future__ import annotations

from pathlib import Path

import pytest
from planted_tables import LENGTH, planted_rows, write_table

from flows.cli import main
from ssldata.building.build_plan import plan_project
from ssldata.project.project_file import load_project


def test_the_project_fits_the_table(tmp_path: Path) -> None:
    table = write_table(tmp_path / "my table.csv", planted_rows(200))
    folder = tmp_path / "a" / "new"
    assert main(["init", str(folder), "--sequences", str(table), "-q"]) == 0
    project = load_project(folder)
    assert project.name == "new"
    assert project.windows.size == LENGTH
    section = project.experiments[0].sequences
    assert section is not None
    assert section.file.resolve() == table.resolve()
    assert project.training.both_strands
    assert plan_project(project).steps[0].rows == 200


@pytest.mark.parametrize(
    ("text", "message"),
    [("a,b\n1,2\n", "no column sequence, label"), ("", "is empty"), (None, "no such file")],
)
def test_other_tables_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, message: str
) -> None:
    table = tmp_path / "t.csv"
    if text is not None:
        table.write_text(text)
    assert main(["init", str(tmp_path / "p"), "--sequences", str(table)]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "p").exists()


def test_nothing_is_overwritten_and_one_kind_is_chosen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write_table(tmp_path / "t.csv", planted_rows(10))
    (tmp_path / "project.yaml").write_text("mine")
    assert main(["init", str(tmp_path), "--sequences", str(table)]) == 2
    assert "is not overwritten" in capsys.readouterr().err
    assert main(["init", str(tmp_path / "x"), "--sequences", str(table), "--simulated"]) == 2
    assert "choose one" in capsys.readouterr().err
