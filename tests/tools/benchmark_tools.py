"""Results of a benchmark made by hand, the published ones, and what a figure must not do."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd

from ssldata.project.project_file import Project, load_project

EXAMPLE = Path(__file__).parents[2] / "examples" / "paper-hg38"


def results_of(values: dict[tuple[str, str, str], list[float]], **columns: object) -> pd.DataFrame:
    """Return results of the grid: (experiment, model, regime) → AUPRs of the seeds."""
    made = pd.DataFrame(
        {
            "experiment": experiment,
            "model": model,
            "regime": regime,
            "seed": seed,
            "sweep": "",
            "value": float("nan"),
            "aupr": aupr,
            "auroc": 0.5 + aupr / 2,
            "prevalence": 0.001,
            "collapsed": aupr < 0.002,
            "labelled": 100 * (1 + ord(experiment[0]) - ord("a")),
            "run": f"{experiment}/{model}/{regime}/{seed}",
        }
        for (experiment, model, regime), auprs in values.items()
        for seed, aupr in enumerate(auprs)
    )
    return made.assign(**columns)


def world(count: int = 8, *, gain: float = 1.5) -> pd.DataFrame:
    """Experiments a, b, … whose ssl is `gain` times sl."""
    values = {}
    for i in range(count):
        base = 0.1 + 0.02 * i
        values[chr(97 + i), "m", "sl"] = [base - 0.01, base + 0.01]
        values[chr(97 + i), "m", "ssl"] = [gain * base - 0.01, gain * base + 0.01]
    return results_of(values)


def published_project() -> Project:
    """Return the project of the published comparison, whose tables are those of the paper."""
    return load_project(EXAMPLE)


def groups(svg: str, kind: str) -> list[ElementTree.Element]:
    """Return the groups of an SVG that matplotlib named ``<kind>_<number>``."""
    found = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}g")
    return [g for g in found if re.fullmatch(rf"{kind}_\d+", g.get("id", ""))]


def corners(element: ElementTree.Element) -> np.ndarray:
    """Return the points of all paths below an element."""
    points = []
    for path in element.iter("{http://www.w3.org/2000/svg}path"):
        numbers = [float(x) for x in re.findall(r"-?\d+\.?\d*", path.get("d", ""))]
        points += list(zip(numbers[::2], numbers[1::2], strict=False))
    for use in element.iter("{http://www.w3.org/2000/svg}use"):
        points.append((float(use.get("x", 0)), float(use.get("y", 0))))
    return np.array(points)


def assert_legends_are_outside(svg: str) -> None:
    """Fail if a sign of a legend lies within the frame of any panel."""
    frames = []
    for axes in groups(svg, "axes"):
        points = corners(groups(ElementTree.tostring(axes, "unicode"), "patch")[0])
        frames.append((points.min(axis=0), points.max(axis=0)))
    legends = groups(svg, "legend")
    assert legends
    for legend in legends:
        for point in corners(legend):
            for low, high in frames:
                assert not ((point > low) & (point < high)).all()
