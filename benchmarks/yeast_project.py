"""What the benchmarks on yeast factors share: the project file and the command line.

``benchmarks/human_ctcf.py`` uses the settings of training and the command line too.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from ssldata.base.files import write_text_atomic
from ssldata.building.build_store import build_project
from ssldata.project.project_file import Project, load_project
from sslmodels.fit.threads import limit_threads

FACTORS = ("Reb1", "Abf1", "Fkh1", "Mcm1", "Rap1", "Ume6", "Swi4", "Ste12")
GENOMES = ("CBS432", "N44", "YPS138", "UWOPS919171")
REGIMES = ("sl", "two-stage", "ssl", "ssl-plus", "ssl-ns")
#: The peak files number their contigs; the genome uses Roman numerals.
ROMAN = (
    *("I", "II", "III", "IV", "V", "VI", "VII", "VIII"),
    *("IX", "X", "XI", "XII", "XIII", "XIV", "XV", "XVI"),
)


SPLIT = {"test": ["chrIV", "chrXV"], "validation": ["chrXII"]}


def project_text(
    data: Path,
    models: list[str],
    seeds: int,
    iterations: int,
    *,
    split: dict[str, list[str]] = SPLIT,
    exclude: Sequence[str] = ("*_*", "chrM"),
) -> str:
    """Return the project file."""
    folder = data.resolve() / "yeast"
    return yaml.safe_dump(
        {
            "name": "yeast8",
            "reference": {
                "name": "sacCer3",
                "sequence": str(folder / "genomes/sacCer3.2bit"),
                "aliases": {f"chr{n}": f"chr{roman}" for n, roman in enumerate(ROMAN, start=1)},
            },
            "experiments": [
                {"name": name, "peaks": str(folder / f"peaks/{name}_CX.bed"), "width": 200}
                for name in FACTORS
            ],
            "genomes": [
                {
                    "name": name,
                    "sequence": str(folder / f"genomes/{name}.genome.fa.gz"),
                    "chain": str(folder / f"chains/sacCer3To{name}.over.chain.gz"),
                    "distance": 0.12,
                }
                for name in GENOMES
            ],
            "windows": {"exclude": list(exclude)},
            "split": split,
            "training": training_section(models, seeds, iterations),
        },
        sort_keys=False,
    )


def training_section(models: list[str], seeds: int, iterations: int) -> dict[str, Any]:
    """Return the section ``training``, the same on whatever data; all else is as by default."""
    return {
        "models": models,
        "regimes": list(REGIMES),
        "seeds": list(range(seeds)),
        "batch_size": 64,
        "epochs": 60,
        "patience": 8,
        "learning_rate": 1e-3,
        "finetune_learning_rate": 5e-4,
        "noisy_student": {"iterations": iterations},
    }


def command_line(
    description: str, *, seeds: int, model: str | None = None
) -> argparse.ArgumentParser:
    """Return the options that all have, with their defaults; `model`: of --model, if there is."""
    parser = argparse.ArgumentParser(description=description)
    mirror = os.environ.get("CROSSLABEL_MIRROR")
    parser.add_argument("--data", type=Path, default=mirror and Path(mirror), help="holds the data")
    parser.add_argument("--out", type=Path, required=True, help="work folder")
    if model is not None:
        parser.add_argument("--model", default=model)
    parser.add_argument("--seeds", type=int, default=seeds, help="how many, from 0")
    parser.add_argument("--threads", type=int, default=0, help="of TensorFlow; 0: its choice")
    return parser


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Read the command line, and let TensorFlow compute with as many threads as it says."""
    args = parser.parse_args()
    if args.data is None:
        parser.error("--data: name the folder that holds the data")
    if args.threads:
        limit_threads(args.threads)
    return args


def built(out: Path, text: str, experiments: Sequence[str] | None = None) -> Project:
    """Write a project file into a folder, and build its stores."""
    out.mkdir(parents=True, exist_ok=True)
    write_text_atomic(out / "project.yaml", text)
    project = load_project(out)
    build_project(project, experiments=experiments)
    return project
