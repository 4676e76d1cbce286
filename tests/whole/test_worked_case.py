"""`examples/introns` from peaks to page on a small genome with planted motifs; its parts apart."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import yaml
from twobit_tools import twobit

SCRIPT = Path(__file__).parents[2] / "examples" / "introns" / "run.py"
#: Bins of 200 b of each contig.
BINS = {"chrII": 360, "chrXII": 100, "chrIV": 120, "chrXV": 120}
#: Motif → the factors that bind it. Phd1 is never shown to the joint model.
BOUND = {"ACCGGGTAACTTGT": ("Abf1", "Reb1"), "TTGCATGCTAGGCA": ("Mcm1", "Sok2", "Phd1")}


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = spec_from_file_location("worked_case", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    # Dataclasses look their module up.
    import sys

    sys.modules["worked_case"] = module
    spec.loader.exec_module(module)
    return module


def planted(folder: Path, roman: list[str]) -> Path:
    """Write a genome and peaks: a factor binds every bin in which its motif was put."""
    rng = np.random.default_rng(5)
    contigs, peaks = {}, {name: [] for factors in BOUND.values() for name in factors}
    for number, name in enumerate((f"chr{one}" for one in roman), start=1):
        bins = BINS.get(name, 2)
        bases = rng.choice(list("ACGT"), 200 * bins)
        for at in range(bins if name in BINS else 0):
            motif = dict(enumerate(BOUND)).get(int(rng.integers(0, 6)))
            if motif is None:
                continue
            start = 200 * at + int(rng.integers(40, 140))
            bases[start : start + len(motif)] = list(motif)
            for factor in BOUND[motif]:
                peaks[factor].append(f"chr{number}\t{200 * at + 100}\t{200 * at + 101}\t.\t9\t.")
        contigs[name] = "".join(bases)
    for path, content in {
        "genomes/sacCer3.2bit": twobit(contigs),
        **{f"peaks/{k}_CX.bed": ("\n".join(v) + "\n").encode() for k, v in peaks.items()},
    }.items():
        (folder / "yeast" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "yeast" / path).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def results(example: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = planted(tmp_path_factory.mktemp("mirror"), example.ROMAN)
    out = tmp_path_factory.mktemp("introns")
    assert example.main(["--data", str(data), "--out", str(out), "--quick", "--threads", "0"]) == 0
    return out


@pytest.mark.slow
def test_features_of_factors_with_the_same_motif_beat_training_from_scratch(results: Path) -> None:
    table = pd.read_csv(results / "results.csv")
    assert set(table["task"]) == {"Reb1", "Sok2"}
    aupr = table[table["labelled"] == 10].pivot_table(index="task", columns="method", values="aupr")
    assert (aupr["frozen-l2"] > aupr["scratch"] + 0.3).all()
    assert (aupr["frozen-l1"] > aupr["scratch"] + 0.3).all()
    assert (aupr["fine-tuned"] > aupr["scratch"] + 0.1).all()


@pytest.mark.slow
def test_the_joint_model_sees_neither_targets_nor_their_paralogues(results: Path) -> None:
    project = yaml.safe_load((results / "joint" / "project.yaml").read_text("utf-8"))
    assert [one["name"] for one in project["experiments"]] == ["Abf1", "Mcm1"]


@pytest.mark.slow
def test_the_page_stands_alone_and_says_what_is_ahead(results: Path) -> None:
    page = (results / "index.html").read_text("utf-8")
    assert "“frozen features, L2” is ahead of “from scratch” with 10" in page
    assert "http" not in page.replace("http://www.w3.org", "")


@pytest.mark.slow
def test_what_is_finished_is_not_done_again(
    example: ModuleType, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (results / "results.csv").read_bytes()
    data = yaml.safe_load((results / "joint" / "project.yaml").read_text("utf-8"))
    mirror = Path(data["reference"]["sequence"]).parents[2]
    monkeypatch.setattr(example, "scores_of", None)
    assert (
        example.main(["--data", str(mirror), "--out", str(results), "--quick", "--threads", "0"])
        == 0
    )
    assert (results / "results.csv").read_bytes() == before


def bins(example: ModuleType) -> object:
    """Return bins of random sequence, a third of them for testing."""
    rng = np.random.default_rng(1)
    rows = 900
    split = np.array(["train", "validation", "test"], object)[np.arange(rows) % 3]
    return example.Bins(
        codes=rng.integers(0, 4, (rows, 200)).astype(np.uint8),
        features=rng.normal(size=(rows, 3)).astype(np.float32),
        names=["a", "b", "c"],
        labels=(rng.random(rows) < 0.1).astype(np.int8),
        split=split,
        blocks=np.arange(rows) // 30,
        digest="",
    )


def test_each_row_of_a_cell_has_the_scores_of_its_method(
    example: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bins(example)
    truth = made.labels[made.tested].astype(float)
    noise = np.random.default_rng(0).random(len(truth))
    joint = object()
    quality = {"frozen-l2": 5.0, "frozen-l1": 0.5, "fine-tuned": 0.3, "scratch": 0.1, "6-mers": -5}

    def scored(name: str) -> np.ndarray:
        return quality[name] * truth + noise

    def fitted(*_: object, joint: object = None) -> np.ndarray:
        return scored("scratch" if joint is None else "fine-tuned")

    monkeypatch.setattr(example, "frozen", lambda *_, penalty: scored(f"frozen-{penalty}"))
    monkeypatch.setattr(example, "fitted", fitted)
    monkeypatch.setattr(example, "words", lambda *_: scored("6-mers"))
    rows, resamples = example.cell(made, 10, 0, example.QUICK, joint)
    found = {row["method"]: row["aupr"] for row in rows}
    assert found["frozen-l2"] == pytest.approx(1)
    assert sorted(found, key=found.get, reverse=True) == list(quality)
    means = dict(zip(example.METHODS, np.nanmean(resamples, axis=1), strict=True))
    assert sorted(means, key=means.get, reverse=True) == list(quality)


def test_labelled_bins_are_nested_and_never_tested(example: ModuleType) -> None:
    made = bins(example)
    small, large = (example.chosen_bins(made, count, 3, 5) for count in (10, 20))
    every = example.chosen_bins(made, None, 3, 5)
    for part in ("train", "validation"):
        assert set(getattr(small, part)) < set(getattr(large, part)) <= set(getattr(every, part))
        assert set(made.split[getattr(every, part)]) == {part}
    assert made.labels[small.train].sum() == 8
    assert len(small.train) == 8 * 6
    assert made.labels[small.validation].sum() == 2
    other = example.chosen_bins(made, 10, 4, 5)
    assert set(other.train) != set(small.train)


def test_fine_tuning_starts_from_the_joint_network_except_for_its_output(
    example: ModuleType,
) -> None:
    from sslmodels.models.model_builder import build_model

    joint = build_model(example.MODEL, length=200, outputs=5, seed=9)
    tuned, scratch = example.network(0, joint), example.network(0)
    for layer in ("motifs", "hidden"):
        weights = [m.body.get_layer(layer).get_weights()[0] for m in (joint, tuned, scratch)]
        assert np.array_equal(weights[0], weights[1])
        assert not np.array_equal(weights[1], weights[2])
    heads = [m.body.layers[-1].get_weights()[0] for m in (tuned, scratch)]
    assert np.array_equal(*heads)


def test_data_without_the_peaks_is_an_error_of_one_line(
    example: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = example.main(["--data", str(tmp_path), "--out", str(tmp_path / "o"), "--threads", "0"])
    assert found == 2
    assert "Reb1_CX.bed: no such file" in capsys.readouterr().err
