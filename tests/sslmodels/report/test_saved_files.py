"""What a reader can save from the page: every file has its name and its content."""

from __future__ import annotations

import re
from html import unescape
from io import StringIO
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import pandas as pd
import pytest
from headless_browser import CHROMIUM, HeadlessBrowser
from report_tools import make_run, page_of

from ssldata.project.project_file import Project


@pytest.fixture
def page(project: Project) -> Path:
    """Return a page with gains, a collapsed run and one that is not evaluated."""
    shifts = {"sl": 0.0, "two-stage": 1.2, "ssl": 1.8}
    folders = [
        make_run(project, regime, seed, shift=shift)
        for regime, shift in shifts.items()
        for seed in (0, 1)
    ]
    page_of(project, folders)
    return project.training.runs / "report.html"


def offered(page: Path) -> dict[str, str]:
    """Return name and content of every file that a page offers."""
    html = page.read_text(encoding="utf-8")
    links = re.findall(r'<a download="([^"]*)" href="data:([^,"]*),([^"]*)"', html)
    files = {unescape(name): unquote(unescape(text)) for name, _, text in links}
    assert len(files) == len(links) == html.count(" download=")
    kinds = {Path(unescape(name)).suffix: kind for name, kind, _ in links}
    assert kinds == {
        ".csv": "text/csv;charset=utf-8",
        ".svg": "image/svg+xml;charset=utf-8",
    }
    return files


def test_every_table_and_figure_is_offered_with_its_content(page: Path, project: Project) -> None:
    files = offered(page)
    html = page.read_text(encoding="utf-8")
    curves = "precision_recall_alpha_cnn-7k"
    trained = [f"alpha_cnn-7k_{r}_seed_{s}" for r in ("sl", "two-stage", "ssl") for s in (0, 1)]
    stores = [f"{what}_{store}.csv" for store in ("alpha", "beta") for what in ("liftover", "rows")]
    assert set(files) == {
        *("results.csv", "gains.csv", "runs.csv", "training_curves.csv", *stores),
        *(f"{curves}.csv", f"{curves}.svg", *(f"training_{name}.svg" for name in trained)),
    }
    # As many figures as there are on the page, each a drawing of its own, in colours of its own.
    drawings = {text for name, text in files.items() if name.endswith(".svg")}
    assert len(drawings) == html.count("<svg")
    for text in drawings:
        assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
        assert "currentColor" not in text
        assert "var(" not in text
    results = pd.read_csv(StringIO(files["results.csv"])).set_index("regime")
    assert list(results.index) == ["sl", "two-stage", "ssl"]
    assert results["collapsed"].tolist() == [2, 0, 0]
    for metric in ("aupr", "auroc"):
        mean, low, high = (results[f"{metric}{end}"] for end in ("", "_low", "_high"))
        assert (low <= mean).all()
        assert (mean <= high).all()
        for regime in results.index:
            text = f"{mean[regime]:.3f} ± {results[f'{metric}_sd'][regime]:.3f}"
            ends = f"[{low[regime]:.3f}, {high[regime]:.3f}]"
            assert re.search(rf"{text}(</span>)?<span class=\"ends\"> {re.escape(ends)}", html)
    gains = pd.read_csv(StringIO(files["gains.csv"]))
    assert gains[["regime", "over"]].to_numpy().tolist() == [["ssl", "two-stage"]]
    genomes = pd.read_csv(StringIO(files["liftover_alpha.csv"]))["genome"]
    assert genomes.tolist() == [genome.name for genome in project.genomes]


needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not on this machine")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@needs_chromium
def test_a_browser_saves_them_and_shows_the_page_at_every_width(page: Path, tmp_path: Path) -> None:
    """Clicks every link to a file, then measures tables on a desktop, a phone and paper."""
    files = offered(page)
    with HeadlessBrowser(tmp_path / "browser") as browser:
        browser.open(page, width=1280)
        for name in files:
            browser.value(f'document.querySelector(`a[download="{name}"]`).click()')
        browser.wait_for_downloads(len(files))
        saved = {path.name: path.read_text("utf-8") for path in browser.saved.iterdir()}
        assert saved == files

        wide = "document.documentElement.scrollWidth"
        tables = "[...document.querySelectorAll('.scroll')].filter(e => e.offsetParent)"
        too_wide = f"{tables}.filter(e => e.scrollWidth > e.clientWidth)"
        label = ".map(e => e.getAttribute('aria-label'))"
        assert browser.value(wide) <= 1280
        assert browser.value(too_wide + label) == []
        for width in (390, 500):
            browser.open(page, width=width)
            assert browser.value(wide) <= width
            hint = "getComputedStyle(e, '::before').content.includes('swipe')"
            assert browser.value(f"{too_wide}.filter(e => !({hint})){label}") == []
            assert "Table of results" in browser.value(too_wide + label)

        colours = (
            "[getComputedStyle(document.body).color,"
            " getComputedStyle(document.querySelector('section')).backgroundColor]"
        )
        shades = {}
        for dark, media in ((False, "screen"), (True, "screen"), (True, "print")):
            browser.open(page, width=1280, dark=dark, media=media)
            found = [re.findall(r"\d+", text)[:3] for text in browser.value(colours)]
            shades[dark, media] = [sum(map(int, rgb)) / 3 for rgb in found]
        # Ink and card: dark on light, light on dark, and dark on white on paper whatever the theme.
        assert shades[False, "screen"][0] < 60 < 240 < shades[False, "screen"][1]
        assert shades[True, "screen"][1] < 60 < 200 < shades[True, "screen"][0]
        assert shades[True, "print"] == [0, 255]
