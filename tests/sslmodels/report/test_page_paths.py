"""A report shows no path above its project, whatever its texts hold."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st

from sslmodels.report.page_paths import RelativePaths
from sslmodels.report.saved_data import file_name, saved_csv

PART = st.text("abcXYZ09_-", min_size=1, max_size=6)


def test_paths_below_the_project_are_relative_and_others_names(tmp_path: Path) -> None:
    root, other = tmp_path / "my project", tmp_path / "elsewhere/big genome.fa"
    shorten = RelativePaths(root, [other])
    assert shorten(root / "store/a.zarr") == "store/a.zarr"
    assert shorten(f"see {root}: done") == "see .: done"
    assert shorten(f"cannot read {other}, line 3") == "cannot read …/big genome.fa, line 3"
    assert shorten(f"{root}2/x") != "2/x"  # another folder
    assert shorten("https://example.org/a/b and 1/2") == "https://example.org/a/b and 1/2"


@given(st.lists(PART, min_size=2, max_size=5))
def test_no_absolute_path_remains(parts: list[str]) -> None:
    shown = RelativePaths(Path("/data/project"))(f"in /{'/'.join(parts)} of it")
    assert shown == f"in …/{parts[-1]} of it"


def test_a_saved_table_is_what_it_was() -> None:
    saved = saved_csv(
        "AUPR of a/b", [{"name": 'x,"y"', "aupr": 0.25}, {"name": "<b>#%", "aupr": 1}]
    )
    head, _, content = saved["address"].partition(",")
    assert head == "data:text/csv;charset=utf-8"
    assert unquote(content) == 'name,aupr\n"x,""y""",0.25\n<b>#%,1\n'
    assert not set('"<>#&') & set(content)  # an attribute can hold it
    assert saved["file"] == "AUPR_of_a_b.csv"
    assert file_name("…") == "file"
