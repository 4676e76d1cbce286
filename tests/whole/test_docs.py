"""What the README shows works as written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"


def test_python_of_the_readme_runs(
    built_world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    stores = sorted((built_world / "store").glob("*.zarr"))
    genomes = sorted(p.name for p in (stores[0] / "homologs").iterdir() if p.is_dir())
    code = "".join(blocks).replace("Reb1.zarr", stores[0].name).replace("CBS432", genomes[0])
    monkeypatch.chdir(built_world)
    names: dict[str, object] = {}
    exec(compile(code + "\nfirst = next(iter(dataset))\n", str(README), "exec"), names)
    codes, label, weight = names["first"]  # type: ignore[misc]
    assert codes.shape[0] > 0
    assert codes.shape[1:] == (200,)
    assert label.shape[1:] == (1,)
    assert weight.shape == label.shape[:1]
    assert "position" in names["rows"].sizes  # type: ignore[attr-defined]


@pytest.mark.parametrize("page", sorted([README, *(README.parent / "docs").glob("*.md")]))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_page_on_architecture_names_every_module() -> None:
    text = (README.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    modules = {
        path.stem
        for package in ("ssldata", "sslmodels", "flows")
        for path in (README.parent / package).glob("*.py")
    } - {"__init__"}
    assert modules == set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
