"""Tutorial and how-to pages are run as they are written; the notebook too."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest
import yaml
from nbclient import NotebookClient
from page_blocks import Block, blocks_of, counts, run_page

from ssldata.simulation.clade import small_clade

ROOT = Path(__file__).parents[2]
#: Pages that run from top to bottom → how many of their blocks are run, only shown, compared. A
#: block that is added, or is no longer run, is to be counted here.
RUN_PAGES = {
    "docs/tutorial.md": {"run": 11, "not run": 1, "output": 5, "varies": 3},
    "docs/how-to/mammals.md": {"run": 1, "not run": 1, "output": 1, "shown": 1},
    "docs/how-to/zoonomia.md": {"run": 1, "output": 1},
}
#: All other pages with Python blocks, which tests/whole/test_docs.py runs in a small project.
PYTHON_PAGES = {
    "README.md": 2,
    "docs/api.md": 3,
    "docs/concepts.md": 2,
    "docs/faq.md": 1,
}
NOTEBOOK = ROOT / "examples" / "yeast" / "tour.ipynb"


def page_text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def a_checkout(folder: Path) -> Path:
    """The examples as they are in the repository, without data that was fetched or built."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "examples"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    return folder


@pytest.mark.parametrize("page", RUN_PAGES)
def test_every_block_is_accounted_for(page: str) -> None:
    assert counts(page_text(page)) == RUN_PAGES[page]
    fences = re.findall(r"^```", page_text(page), re.MULTILINE)
    assert len(fences) == 2 * len(blocks_of(page_text(page)))


def test_other_pages_do_not_lose_their_python() -> None:
    found = {
        page: sum(block.language == "python" for block in blocks_of(page_text(page)))
        for page in PYTHON_PAGES
    }
    assert found == PYTHON_PAGES


def test_comments_before_blocks_are_those_that_mean_something() -> None:
    known = r"(not run: .+|exit \d+: .+|output|output varies: .+|)"
    for page in RUN_PAGES:
        for block in blocks_of(page_text(page)):
            assert re.fullmatch(known, block.comment), (page, block.comment)


def test_a_line_that_was_not_printed_is_found(tmp_path: Path) -> None:
    page = "```sh\necho one   two\n```\n\n<!-- output -->\n```text\none two\n…\n```\n"
    run_page(page, tmp_path)
    with pytest.raises(AssertionError, match="not printed:\none three"):
        run_page(page.replace("one two\n…", "one three"), tmp_path)
    with pytest.raises(AssertionError, match="exit code 3"):
        run_page("```sh\nexit 3\n```\n", tmp_path)
    run_page("<!-- exit 3: meant -->\n```sh\nexit 3\n```\n", tmp_path)
    assert Block("sh", "", "not run: slow").kind == "not run"


@pytest.mark.parametrize("page", ["docs/how-to/mammals.md", "docs/how-to/zoonomia.md"])
def test_a_how_to_page_runs(page: str, tmp_path: Path, own_cache: Path) -> None:
    del own_cache
    run_page(page_text(page), a_checkout(tmp_path))


@pytest.mark.slow
@pytest.mark.mirror
def test_the_tutorial_runs(tmp_path: Path, own_cache: Path, mirror: Path) -> None:
    """From the download to the motif, on the real yeast data."""
    del own_cache, mirror
    run_page(page_text("docs/tutorial.md"), a_checkout(tmp_path))


# The notebook -----------------------------------------------------------------------------------


def test_the_notebook_is_without_outputs_and_parses() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) == 8
    for cell in code:
        assert not cell.outputs
        assert cell.execution_count is None
        ast.parse(cell.source)


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path, own_cache: Path) -> None:
    """In a small simulated project whose names are those of the yeast example."""
    del own_cache
    folder = tmp_path / "yeast"
    small_clade(folder, seed=5)
    path = folder / "project.yaml"
    text = path.read_text(encoding="utf-8").replace("name: alpha", "name: Reb1")
    settings = yaml.safe_load(text.replace("name: relative1", "name: CBS432"))
    settings.pop("training")
    path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    where = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=where).execute()
    figures = [
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    assert len(figures) == 3
