"""Made-up runs of a small project, and what a test reads of the report's page."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from run_tools import small_record

from ssldata.project.project_file import Project
from sslmodels.evaluation.resamples_file import write_resamples
from sslmodels.report.report_page import write_report
from sslmodels.scores.metric_intervals import blocks_of_bins, resampled
from sslmodels.scores.metrics import pr_curve, summary

VOID = {"meta", "link", "br", "hr", "img", "input", "path", "use", "rect"}


class Page(HTMLParser):
    """Collects text, tags and links, and checks that tags are closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.open: list[str] = []
        self.loaded: list[str] = []
        self.ids: list[str] = []
        self.rows: list[list[str]] = []
        self.hidden = 0
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "srcset", "data"):
                self.loaded.append(value or "")
            if name.startswith("on") or tag == "script":
                raise AssertionError(f"script in the page: {tag} {name}")
            if name == "id" and tag in ("h2", "section"):
                self.ids.append(value or "")
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            assert "url(" not in data
            assert "@import" not in data
            return
        self.words.append(data)
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def make_run(
    project: Project,
    regime: str,
    seed: int,
    *,
    shift: float,
    experiment: str = "alpha",
    resamples: bool = True,
) -> Path:
    """Write a run folder as training and evaluation do, from scores drawn around `shift`."""
    folder = project.training.runs / experiment / "cnn-7k" / regime / f"seed-{seed}"
    (folder / "evaluation").mkdir(parents=True)
    rng = np.random.default_rng(seed)
    labels = (np.arange(2000) % 50 == 0).astype(np.int8)
    scores = rng.normal(size=2000) + shift * labels
    cell = {"experiment": experiment, "model": "cnn-7k", "regime": regime, "seed": seed}
    metrics = {**cell, **summary(labels, scores)}
    (folder / "evaluation" / "metrics.json").write_text(json.dumps(metrics))
    if resamples:
        blocks = blocks_of_bins(np.zeros(2000), np.arange(2000))
        found = resampled(labels, scores, blocks, resamples=100)
        write_resamples(folder / "evaluation", {"": found})
    curve = pr_curve(labels, scores)
    lines = [f"pr,0,{x},{y},," for x, y in zip(curve.x, curve.y, strict=True)]
    head = "curve,threshold,recall,precision,false_positive_rate,true_positive_rate"
    roc = ["roc,0,,,0,0", "roc,0,,,1,1"]
    (folder / "evaluation" / "curves.csv").write_text("\n".join([head, *lines, *roc]) + "\n")
    phases = ["train"] if regime == "sl" else ["pre-train", "fine-tune"]
    rows = [f"{phase},{e},0.{9 - e},0.{8 - e},0.{e},0.001" for phase in phases for e in (1, 2, 3)]
    head = "phase,epoch,loss,val_loss,val_aupr,learning_rate"
    (folder / "history.csv").write_text("\n".join([head, *rows]) + "\n")
    record = small_record(**cell, parameters=6869, steps=1234, wall_s=75.2)
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def page_of(project: Project, folders: list[Path], **options: Any) -> Page:
    path = project.training.runs / "report.html"
    given = {"title": "A & B <i>", **options}
    assert write_report(path, project=project, run_folders=folders, **given) == path
    return Page(path.read_text(encoding="utf-8"))
