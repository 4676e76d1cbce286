"""How much of a result is the processor's: the demo trained with other instructions and threads.

    crosslabel fetch examples/yeast && crosslabel build examples/yeast
    python benchmarks/processors.py examples/yeast --out /tmp/processors

TensorFlow's kernels (oneDNN) use the widest vector instructions that the processor has, and add
numbers in another order for each width and number of threads. What a narrower processor would have
given is had here by ``ONEDNN_MAX_CPU_ISA``; ``TF_ENABLE_ONEDNN_OPTS=0`` leaves only Eigen. Every
setting trains the same run (same rows, order, initial weights) in a process of its own, and seeds
are varied under the default setting for comparison. Writes ``<out>/processors.csv`` and prints the
spread over settings beside that over seeds. Finished runs are not repeated.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import yaml

from ssldata.base.files import write_text_atomic

#: Name → environment, threads of TensorFlow.
SETTINGS: dict[str, tuple[dict[str, str], int]] = {
    "default, 2 threads": ({}, 2),
    "default, 1 thread": ({}, 1),
    "AVX, 2 threads": ({"ONEDNN_MAX_CPU_ISA": "AVX"}, 2),
    "SSE4.1, 2 threads": ({"ONEDNN_MAX_CPU_ISA": "SSE41"}, 2),
    "SSE4.1, 1 thread": ({"ONEDNN_MAX_CPU_ISA": "SSE41"}, 1),
    "Eigen, 2 threads": ({"TF_ENABLE_ONEDNN_OPTS": "0"}, 2),
    "Eigen, 1 thread": ({"TF_ENABLE_ONEDNN_OPTS": "0"}, 1),
}
EXPERIMENT, MODEL = "Reb1", "cnn-7k"


def project_of(source: Path, folder: Path) -> Path:
    """Write a project that reads the stores of `source` and has runs of its own; return it."""
    raw = yaml.safe_load((source / "project.yaml").read_text())
    at = source.resolve()
    raw.setdefault("store", {})["path"] = str(at / "store")
    raw["reference"]["sequence"] = str(at / raw["reference"]["sequence"])
    for entry in raw["experiments"]:
        entry["peaks"] = str(at / entry["peaks"])
    for entry in raw["genomes"]:
        entry["sequence"], entry["chain"] = (str(at / entry[k]) for k in ("sequence", "chain"))
    raw.pop("sources", None)
    folder.mkdir(parents=True, exist_ok=True)
    write_text_atomic(folder / "project.yaml", yaml.safe_dump(raw, sort_keys=False))
    return folder


def aupr(project: Path, regime: str, seed: int, setting: str) -> dict[str, object]:
    """Train and evaluate one run under a setting; return its row."""
    environment, threads = SETTINGS[setting]
    cell = ["--experiment", EXPERIMENT, "--model", MODEL, "--regime", regime, "--seed", str(seed)]
    run = project / "runs" / EXPERIMENT / MODEL / regime / f"seed-{seed}"
    if not (run / "evaluation" / "metrics.json").exists():
        # The interpreter that runs this has crosslabel; `--threads` is part of no digest.
        code = (
            f"from sslmodels.fit.threads import limit_threads; limit_threads({threads}); "
            "import sys; from flows.cli import main; sys.exit(main())"
        )
        for command in (["train", str(project), *cell], ["evaluate", str(project)]):
            subprocess.run(
                [sys.executable, "-c", code, *command],
                env={**os.environ, **environment, "TF_CPP_MIN_LOG_LEVEL": "3"},
                check=True,
                stdout=subprocess.DEVNULL,
            )
    record = json.loads((run / "run.json").read_text())
    numbers = json.loads((run / "evaluation" / "metrics.json").read_text())
    return {
        "regime": regime,
        "seed": seed,
        "setting": setting,
        "processor": record["machine"]["processor"]["model"],
        "aupr": numbers["aupr"],
        "auroc": numbers["auroc"],
        "steps": record["steps"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("project", type=Path, help="the yeast example, with its stores built")
    parser.add_argument("--out", type=Path, required=True, help="work folder")
    parser.add_argument("--regimes", nargs="+", default=["sl", "ssl", "ssl-ns"])
    parser.add_argument("--seeds", type=int, default=6, help="with the default setting, from 0")
    args = parser.parse_args()
    first = next(iter(SETTINGS))
    cells = [(name, 0) for name in SETTINGS] + [(first, seed) for seed in range(1, args.seeds)]
    rows = []
    for regime in args.regimes:
        for setting, seed in cells:
            name = setting.replace(", ", "-").replace(" ", "-")
            rows.append(aupr(project_of(args.project, args.out / name), regime, seed, setting))
            print(rows[-1], file=sys.stderr, flush=True)
            table = pd.DataFrame(rows).round(4)
            write_text_atomic(args.out / "processors.csv", table.to_csv(index=False))
    for regime, part in table.groupby("regime", sort=False):
        settings = part[part["seed"] == 0]["aupr"]
        seeds = part[part["setting"] == first]["aupr"]
        print(
            f"{regime}: settings, seed 0: {settings.min():.3f} to {settings.max():.3f}, "
            f"SD {settings.std():.3f} (n = {len(settings)}); "
            f"seeds, default: {seeds.min():.3f} to {seeds.max():.3f}, SD {seeds.std():.3f} "
            f"(n = {len(seeds)})"
        )


if __name__ == "__main__":
    main()
