"""The identity of a run is what it was when the golden file was written, for every regime."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dnabert2_tools import SMALL, write_model

from ssldata.base.files import digest_of
from ssldata.building.build_store import build_project
from ssldata.project.project_file import Project, load_project
from ssldata.project.training_section import REGIMES
from ssldata.store.published_weights import publish_weights
from ssldata.store.store import open_store
from sslmodels.runs.run_identity import run_identity

#: Digests computed by release 0.9, and the identities of a project that changes every setting;
#: later ones for "length", "dnabert2" and "dnabert2 options", whose models got own defaults.
GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "run_identity.json"

AUGMENT = {"mutation": 0.1, "shift": 3, "finetuning": True}
WEIGHTING = {"distance_scale": 0.1, "identity_power": 2.0}
SAMPLING = {"genomes": "distance", "halving": 0.2, "one_per_locus": True, "balance": "none"}
STUDENT = {"iterations": 2, "noise_sd": 0.3, "calibration": "platt", "student": "teacher"}
PLUS = {
    "ratio": 3.0,
    "redraw": False,
    "labelled": False,
    "one_per_locus": True,
    "reverse_complement": False,
    "weighting": WEIGHTING,
    "validation_negatives": 7.0,
}

GENERAL_RATES = {"learning_rate": 1e-3, "finetune_learning_rate": 5e-4}

#: Name → changed settings of the project, and of the cell.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "defaults": ({}, {}),
    "seed": ({}, {"seed": 5}),
    "length": ({}, {"model": "deepsea"}),
    "own model": ({}, {"model": "own_identity:small"}),
    "dnabert2": ({}, {"model": "dnabert2"}),
    "dnabert2 options": (
        {"training": {"dnabert2": {"lora": None, "pooling": "mean", "tokens": 9}}},
        {"model": "dnabert2"},
    ),
    # Rates of the releases before models had defaults of their own: identities as they were then.
    "length, general rates": ({"training": GENERAL_RATES}, {"model": "deepsea"}),
    "dnabert2, general rates": ({"training": GENERAL_RATES}, {"model": "dnabert2"}),
    "joint": ({}, {"experiment": "joint"}),
    "output of a joint store": ({}, {"experiment": "beta"}),
    "fit": (
        {
            "training": {
                "batch_size": 7,
                "epochs": 9,
                "patience": 2,
                "plateau_patience": 1,
                "monitor": "val_aupr",
                "learning_rate": 0.01,
                "finetune_learning_rate": 0.02,
                "validation_negatives": 2.0,
            }
        },
        {},
    ),
    "negatives": ({"negatives": {"ratio": 2.0, "redraw": True, "seed": 4, "source": "both"}}, {}),
    "steps of the control": ({"training": {"two_stage_steps": "own"}}, {}),
    "nearest": ({"training": {"nearest": 1}}, {}),
    "labelled peaks": ({"training": {"labelled_peaks": 5}}, {}),
    "strands": ({"training": {"both_strands": True}}, {}),
    "augment": ({"training": {"augment": AUGMENT}}, {}),
    "noise": ({"training": {"augment": {"noise": 0.2}}}, {}),
    "precision": ({"training": {"precision": "mixed_bfloat16", "jit_compile": True}}, {}),
    "devices": ({"training": {"devices": 2}}, {}),
    "model options": ({"training": {"model_options": {"cnn-7k": {"filters": 8}}}}, {}),
    "weighting": ({"training": {"weighting": WEIGHTING}}, {}),
    "published weights": ({"training": {"weights": "golden"}}, {}),
    "genomes alike": ({"training": {"sampling": {"genomes": "genomes"}}}, {}),
    "sampling": ({"training": {"sampling": SAMPLING}}, {}),
    "noisy student": ({"training": {"noisy_student": STUDENT}}, {}),
    "homolog sampling": ({"training": {"homolog_sampling": {"rate": 0.5, "steps": "ssl"}}}, {}),
    "plus": ({"training": {"ssl_plus": PLUS}}, {}),
    "everything": (
        {
            "training": {
                "nearest": 2,
                "labelled_peaks": 4,
                "both_strands": True,
                "augment": AUGMENT,
                "weighting": WEIGHTING,
                "weights": "golden",
                "sampling": SAMPLING,
                "noisy_student": STUDENT,
                "homolog_sampling": {"steps": "ssl"},
                "ssl_plus": PLUS,
            },
            "negatives": {"ratio": 3.0},
        },
        {},
    ),
}

OWN = "def small(sequence, seeds, outputs):\n    return sequence\n"


def merged(settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return settings | {
        key: merged(settings.get(key) or {}, value) if isinstance(value, dict) else value
        for key, value in changes.items()
    }


@pytest.fixture(scope="module")
def projects(
    built_world: Path, small_world: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[bool, Project]:
    """The built project with a store per experiment, and with a joint one."""
    folder = tmp_path_factory.mktemp("identity")
    joint = merged(load_project(small_world).model_dump(), {"store": {"joint": True}})
    joint["store"]["path"] = folder / "joint"
    single = load_project(built_world).model_dump()
    single["store"]["path"] = folder / "single"
    (folder / "own_identity.py").write_text(OWN)
    model = write_model(folder / "dnabert2", SMALL)
    made = {}
    for is_joint, settings in ((False, single), (True, joint)):
        settings["training"]["dnabert2"]["folder"] = model
        settings["training"]["runs"] = folder / "runs"
        made[is_joint] = Project.model_validate(settings)
        build_project(made[is_joint])
    path = made[False].store_path("alpha")
    store = open_store(path)
    arrays = {
        f"homologs/{g}": np.full(store.homologues(g).rows, 0.5, np.float32) for g in store.genomes
    }
    contents = {group: store.ledger[group]["content"] for group in arrays}
    publish_weights(path, "golden", arrays, contents=contents, provenance={"run": "x"})
    return made


def identities(
    projects: dict[bool, Project], monkeypatch: pytest.MonkeyPatch
) -> dict[str, dict[str, Any]]:
    """Return the identity of every case and regime, without the digests of files."""
    monkeypatch.chdir(projects[False].training.runs.parent)
    monkeypatch.syspath_prepend(".")
    found = {}
    for name, (changes, cell) in CASES.items():
        cell = {"experiment": "alpha", "model": "cnn-7k", "seed": 0, **cell}
        base = projects[cell["experiment"] != "alpha"]
        project = Project.model_validate(merged(base.model_dump(), changes))
        store = open_store(project.store_path(cell["experiment"]))
        for regime in REGIMES:
            identity = run_identity(project, store, regime=regime, **cell)
            content = {group: store.ledger[group]["content"] for group in identity["content"]}
            assert identity["content"] == content
            identity["content"] = sorted(content)
            options = identity["training"]
            if "dnabert2" in options:
                options["dnabert2"]["files"] = sorted(options["dnabert2"]["files"])
            if "weights" in options:
                options["weights"] = sorted(options["weights"])
            found[f"{name}, {regime}"] = identity
    return found


def test_identities_are_those_of_the_release_before(projects, monkeypatch):
    found = identities(projects, monkeypatch)
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    everything = {key: one for key, one in found.items() if key.startswith("everything")}
    assert everything == golden["identities"]
    digests = {key: digest_of(identity) for key, identity in found.items()}
    assert digests == golden["digests"]
    assert set(digests) == {f"{case}, {regime}" for case in CASES for regime in REGIMES}
    assert len(set(digests.values())) > len(CASES), "the cases must be able to differ"


def test_one_device_is_the_default(projects):
    store = open_store(projects[False].store_path("alpha"))
    settings = merged(projects[False].model_dump(), {"training": {"devices": 1}})
    cell = {"experiment": "alpha", "model": "cnn-7k", "regime": "sl", "seed": 0}
    same, changed = (
        run_identity(project, store, **cell)
        for project in (projects[False], Project.model_validate(settings))
    )
    assert changed == same
