"""A tiny project with everything that the report of the paper shows, DNABERT-2 included."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import yaml
from dnabert2_tools import SMALL, tokenizer_text

from ssldata.project.project_file import Project, load_project
from ssldata.simulation.clade import simulate_clade

#: Experiments, fewest peaks first: whose peaks, and one in how many of them.
EXPERIMENTS = {"few": ("alpha", 2), "some": ("beta", 1), "many": ("alpha", 1)}

#: What stands beside the own results: as if published.
PUBLISHED = """experiment,model,regime,aupr
few,deepbind,sl,0.1
few,deepbind,ssl,0.4
few,deepbind,ssl-ns,0.5
few,dnabert2,sl,0.2
some,deepbind,sl,0.2
some,deepbind,ssl,0.4
some,deepbind,ssl-ns,0.35
some,dnabert2,sl,0.3
many,deepbind,sl,0.4
many,deepbind,ssl,0.6
many,deepbind,ssl-ns,0.6
many,dnabert2,sl,0.65
"""
PUBLISHED_COUNTS = """experiment,positives,pseudo_labelled
few,60,300
some,100,450
many,120,600
"""

#: Settings with which a run takes seconds.
TRAINING: dict[str, Any] = {
    "models": ["deepbind", "dnabert2"],
    "regimes": ["sl", "ssl", "ssl-ns"],
    "seeds": [0],
    "batch_size": 32,
    "epochs": 12,
    "patience": 12,
    "learning_rate": 3e-3,
    "finetune_learning_rate": 1e-3,
    "noisy_student": {"iterations": 2},
    "dnabert2": {"folder": "small-dnabert2", "pretrained": False, "lora": None, "tokens": 112},
    "published": "published.csv",
    "published_counts": "published-counts.csv",
    "sweeps": {"nearest": [2], "iterations": [1], "noise_sd": [0]},
}


def tokenizer_of_words() -> str:
    """Return a tokenizer of all words of two and four bases, nearly as short as the real one."""
    bases = "ACGT"
    pairs = ["".join(pair) for pair in product(bases, repeat=2)]
    words = ["".join(pair) for pair in product(pairs, repeat=2)]
    merges = [list(pair) for pair in pairs] + [[word[:2], word[2:]] for word in words]
    model = json.loads(tokenizer_text())["model"]
    special = [name for name in model["vocab"] if name.startswith("[")]
    vocabulary = [*special, *bases, *pairs, *words]
    model |= {"vocab": {name: i for i, name in enumerate(vocabulary)}, "merges": merges}
    return tokenizer_text(model=model)


def tiny_project(folder: Path, **training: Any) -> Project:
    """Write a simulated project of three experiments and six genomes; `training` changes its grid.

    DNABERT-2 has the sizes of :data:`dnabert2_tools.SMALL` and starts at random.
    """
    world = simulate_clade(
        folder,
        seed=4,
        contigs=6,
        contig_size=40_000,
        genomes=6,
        peaks=(200, 160),
        nearest=0.02,
        farthest=0.2,
    )
    raw = yaml.safe_load(world.project_file.read_text())
    narrow = gzip.decompress((folder / "peaks" / "beta.narrowPeak.gz").read_bytes())
    lines = {
        "alpha": (folder / "peaks" / "alpha.bed").read_bytes().splitlines(keepends=True),
        "beta": narrow.splitlines(keepends=True),
    }
    raw["experiments"] = []
    for name, (source, step) in EXPERIMENTS.items():
        path = f"peaks/{name}.{'bed' if source == 'alpha' else 'narrowPeak'}"
        (folder / path).write_bytes(b"".join(lines[source][::step]))
        raw["experiments"].append({"name": name, "peaks": path, "width": 200})
    raw["training"] = {**TRAINING, **training}
    (folder / "published.csv").write_text(PUBLISHED)
    (folder / "published-counts.csv").write_text(PUBLISHED_COUNTS)
    small = folder / "small-dnabert2"
    small.mkdir()
    (small / "config.json").write_text(json.dumps(replace(SMALL, vocab_size=320).as_dict()))
    (small / "tokenizer.json").write_text(tokenizer_of_words())
    world.project_file.write_text(yaml.safe_dump(raw, sort_keys=False))
    return load_project(folder)
