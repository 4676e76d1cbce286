"""Saturation mutagenesis against scoring every changed sequence in full; motifs of the yeast runs.

    python benchmarks/interpret.py --out /tmp/interpret

Writes ``<out>/saturation.csv``: seconds of CPU time for `--windows` windows of models with random
weights, of brute force (timed on `--brute` of them), and the largest difference of a probability.
Targets, for cnn-27k: ≥ 5 × as fast, differences ≤ 1e-5.

With ``--runs RUNS --motifs FILE.meme``, ``<out>/motifs.csv`` has the strongest motif of every run
below RUNS, for example those of ``benchmarks/yeast.py``, and ``<out>/<experiment>.svg`` its logo
and that of the best match; target: q < .01 for its own factor.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pandas as pd

from ssldata.base.files import write_text_atomic
from sslmodels.fit.threads import limit_threads
from sslmodels.interpretation.interpret import InterpretOptions, interpret_run
from sslmodels.interpretation.logos import draw_motif
from sslmodels.interpretation.saturation import CHANGES, brute_force, saturation
from sslmodels.models.model_builder import build_model
from sslmodels.report.svg_figures import file_svg, new_figure, page_svg

#: Model, both strands, bases, and the share of `--windows` and `--brute` that is timed.
MODELS = (
    ("cnn-27k", False, 200, 1.0),
    ("cnn-27k", True, 200, 1.0),
    ("deep-cnn-64", False, 1000, 0.02),
    ("deepsea", False, 1000, 0.02),
)


def timed(function: Any, *arguments: Any) -> tuple[Any, float]:
    """Return the result of a call and its seconds of CPU time."""
    started = time.process_time()
    result = function(*arguments)
    return result, time.process_time() - started


def saturation_row(
    name: str, both: bool, length: int, *, windows: int, brute: int
) -> dict[str, Any]:
    """Time one model."""
    model = build_model(name, length=length, seed=0, both_strands=both)
    codes = np.random.default_rng(0).integers(0, 4, (windows, length)).astype(np.uint8)
    saturation(model, codes[:1])  # compiles and traces
    model.predict_on_batch(codes[:1])
    found, fast = timed(saturation, model, codes)
    expected, slow = timed(brute_force, model, codes[:brute])
    slow *= windows / brute
    bases = (codes[:brute, :, None] + np.arange(1, CHANGES + 1)) % 4
    chosen = np.take_along_axis(found[:brute], bases[..., None], axis=2)
    return {
        "model": name,
        "both_strands": both,
        "length": length,
        "windows": windows,
        "cpu_s": round(fast, 2),
        "brute_force_cpu_s": round(slow, 2),
        "times_as_fast": round(slow / fast, 1),
        "largest_difference": float(np.abs(chosen - expected).max()),
    }


def motif_rows(runs: Path, known: Path, out: Path) -> list[dict[str, Any]]:
    """Interpret every run below a folder, and draw the logos."""
    rows = []
    for record in sorted(runs.glob("*/*/*/*/run.json")):
        result = interpret_run(record.parent, InterpretOptions(known=known))
        for experiment, found in result["experiments"].items():
            first = found["motifs"][0] if found["motifs"] else None
            match = first["matches"][0] if first else None
            if first:
                draw(out / f"{experiment}.svg", first, match)
            rows.append(
                {
                    "experiment": experiment,
                    **{key: result[key] for key in ("model", "regime", "seed")},
                    "motif": first["consensus"] if first else "",
                    "sites": first["sites"] if first else 0,
                    "positives": first["positives"] / found["positives"] if first else 0.0,
                    "negatives": first["negatives"] / found["negatives"] if first else 0.0,
                    "effect": first["effect"]["mean"] if first else 0.0,
                    "match": match["label"] if match else "",
                    "match_name": match["name"] if match else "",
                    "q": match["q"] if match else 1.0,
                }
            )
    return rows


def draw(path: Path, found: dict[str, Any], match: dict[str, Any]) -> None:
    """Draw the logo of a motif above that of its match, position over position."""
    matrix, known = np.array(found["matrix"]), np.array(match["matrix"])
    known = known[::-1, ::-1] if match["other_strand"] else known
    left = max(0, -match["offset"])
    width = max(left + len(matrix), left + match["offset"] + len(known))
    title = f"{match['label']} ({match['name']}), q {match['q']:.1e}"
    placed = (("found", matrix, left), (title, known, left + match["offset"]))
    with new_figure(size=(0.26 * width + 0.7, 2.5), salt=path.stem) as figure:
        for axes, (name, one, start) in zip(figure.subplots(2), placed, strict=True):
            whole = np.full((width, 4), 0.25)
            whole[start : start + len(one)] = one
            draw_motif(axes, whole)
            axes.set_title(name, fontsize=9, loc="left")
        write_text_atomic(path, file_svg(page_svg(figure)))


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the tables")
    parser.add_argument("--windows", type=int, default=1000)
    parser.add_argument("--brute", type=int, default=50, help="windows timed by brute force")
    parser.add_argument("--threads", type=int, default=1, help="of TensorFlow")
    parser.add_argument("--runs", type=Path, help="folder of runs to interpret")
    parser.add_argument("--motifs", type=Path, help="MEME file of known motifs")
    args = parser.parse_args()
    limit_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    if args.runs:
        table = pd.DataFrame(motif_rows(args.runs, args.motifs, args.out))
        write_text_atomic(args.out / "motifs.csv", table.to_csv(index=False))
        print(table.to_string())
        return
    rows = []
    for name, both, length, share in MODELS:
        counts = {"windows": args.windows, "brute": args.brute}
        counts = {key: max(1, round(share * count)) for key, count in counts.items()}
        rows.append(saturation_row(name, both, length, **counts))
        print(rows[-1], flush=True)
        write_text_atomic(args.out / "saturation.csv", pd.DataFrame(rows).to_csv(index=False))


if __name__ == "__main__":
    main()
