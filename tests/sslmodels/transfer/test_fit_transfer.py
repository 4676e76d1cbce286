"""``crosslabel transfer``: labels, splits, subsets, files, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import feature_tools
import numpy as np
import pandas as pd
import pytest
from feature_tools import planted, recovered, write_features

from flows.cli import main
from ssldata.base.errors import ConfigError, InputError, StoreError
from ssldata.store.feature_store import open_features
from sslmodels.scores.metrics import summary
from sslmodels.transfer import boosted_features, fit_transfer
from sslmodels.transfer.feature_subsets import chosen_columns, target_kind
from sslmodels.transfer.fit_transfer import TransferRequest
from sslmodels.transfer.row_labels import LabelOptions, labelled_rows


@pytest.fixture(scope="module")
def made() -> feature_tools.Planted:
    return planted(1200, 40, chosen=4, seed=2)


@pytest.fixture
def features(tmp_path: Path, made: feature_tools.Planted) -> Path:
    names = np.array([f"chr{n % 4}:{100 * n}-{100 * n + 100}" for n in range(1200)], object)
    return write_features(
        tmp_path / "f.zarr",
        made.values,
        name=names,
        contig=np.array([f"chr{n % 4}" for n in range(1200)], object),
        start=100 * np.arange(1200),
        end=100 * np.arange(1200) + 100,
        label=made.labels,
    )


def run(features: Path, out: Path, **options: object) -> dict:
    settings = {"resamples": 5, **options}
    return fit_transfer.fit_transfer(TransferRequest(features=features, out=out, **settings))


def test_the_command_writes_everything_once(
    features: Path, tmp_path: Path, made: feature_tools.Planted, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["transfer", str(features), "--out", str(out), "--bootstrap", "5", "--search", "1"]
    command += ["--models", "logistic,l1,lightgbm", "--json"]
    assert main([*command, "--dry-run"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert planned["status"] == "to do"
    assert planned["columns"] == 40
    assert not out.exists()
    assert main(command) == 0
    captured = capsys.readouterr()
    record = json.loads(captured.out)
    assert record["status"] == "written"
    assert set(record["files"]) == {
        *("metrics.json", "predictions.csv", "index.html", "lightgbm.txt"),
        *("logistic.npz", "l1.npz", "coefficients-logistic.csv", "coefficients-l1.csv"),
        *("importances-lightgbm.csv", "top-logistic.svg", "top-l1.svg", "top-lightgbm.svg"),
    }
    # Metrics are those of the predictions, and of coefficients that are written.
    predicted = pd.read_csv(out / "predictions.csv")
    test = predicted[predicted["split"] == "test"]
    for name in ("logistic", "l1", "lightgbm"):
        found = record["metrics"][name]["test"]
        expected = summary(test["label"].to_numpy(), test[name].to_numpy())
        assert found["auroc"] == pytest.approx(expected["auroc"])
        assert found["intervals"]["auroc"][0] <= found["auroc"] <= found["intervals"]["auroc"][1]
    assert record["metrics"]["l1"]["test"]["auroc"] > 0.85
    table = pd.read_csv(out / "coefficients-l1.csv")
    used = [int(name[1:]) for name in table[table["coefficient"] != 0]["feature"]]
    assert min(recovered(used, made.truth)) >= 0.75
    assert (table["low"] <= table["high"]).sum() >= len(used)
    splits = pd.read_csv(out / "importances-lightgbm.csv")
    assert {int(name[1:]) for name in splits["feature"][:4]} == set(made.truth.tolist())
    assert len(record["models"]["lightgbm"]["search"]) == 2
    page = (out / "index.html").read_text()
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "logistic regression, L1" in page
    before = {f: f.stat().st_mtime_ns for f in out.iterdir()}
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "unchanged"
    assert {f: f.stat().st_mtime_ns for f in out.iterdir()} == before
    assert main([*command, "--seed", "1"]) == 2
    assert "--replace" in capsys.readouterr().err
    # A file that was changed is made again, to the same bytes.
    (out / "metrics.json").write_text("{}")
    assert main(command) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["status"] == "written"
    assert again["files"] == record["files"]


def test_splits(features: Path) -> None:
    store = open_features(features)
    at_random = labelled_rows(store, LabelOptions(seed=4))
    assert at_random.split_by == "random"
    assert 80 < at_random.of("test").sum() < 160
    assert (at_random.split != labelled_rows(store, LabelOptions(seed=5)).split).any()
    by_contig = LabelOptions(validation_contigs=("chr1",), test_contigs=("chr3",))
    found = labelled_rows(store, by_contig)
    contig = store.coordinate("contig")
    assert set(contig[found.of("test")]) == {"chr3"}
    assert set(contig[found.of("validation")]) == {"chr1"}
    with pytest.raises(ConfigError, match=r"no row of .* is on this contig"):
        labelled_rows(store, LabelOptions(validation_contigs=("chr1",), test_contigs=("chr9",)))
    with pytest.raises(ConfigError, match="for validation and for testing"):
        labelled_rows(store, LabelOptions(validation_contigs=("chr1",), test_contigs=("chr1",)))


def test_labels_of_a_table(features: Path, tmp_path: Path, made: feature_tools.Planted) -> None:
    store = open_features(features)
    table = tmp_path / "labels.csv"
    names = store.coordinate("name")
    lines = [f">{name},{1 - label}\n" for name, label in zip(names, made.labels, strict=True)]
    table.write_text("header,label\n" + "".join(reversed(lines)))
    found = labelled_rows(store, LabelOptions(labels=str(table)))
    np.testing.assert_array_equal(found.labels, 1 - made.labels)
    table.write_text("header,label\n" + "".join(lines[:-2]))
    with pytest.raises(InputError, match=r"no label for 2 of the 1,200 rows"):
        labelled_rows(store, LabelOptions(labels=str(table)))
    table.write_text("header,label\n" + "".join(lines) + lines[0].replace(",1", ",x"))
    if ",x" not in table.read_text():
        table.write_text("header,label\n" + "".join(lines) + lines[0].replace(",0", ",x"))
    with pytest.raises(InputError, match=r"line 1202: label 'x'"):
        labelled_rows(store, LabelOptions(labels=str(table)))
    with pytest.raises(ConfigError, match="neither a file nor a coordinate"):
        labelled_rows(store, LabelOptions(labels="lable"))


def test_one_class_is_refused(tmp_path: Path, made: feature_tools.Planted) -> None:
    split = np.array(["train", "validation", "test"] * 400, object)
    labels = np.where(split == "validation", 0, made.labels).astype(np.int8)
    path = write_features(tmp_path / "f.zarr", made.values, label=labels, split=split)
    with pytest.raises(InputError, match="the validation rows have 0 positives and 400 negatives"):
        run(path, tmp_path / "out")
    assert not (tmp_path / "out" / "transfer.json").exists()


def test_both_strands_of_a_locus_are_judged_by_their_mean(
    tmp_path: Path, made: feature_tools.Planted
) -> None:
    rng = np.random.default_rng(0)
    values = np.repeat(made.values, 2, axis=0)
    values += rng.normal(0, 0.05, values.shape).astype(np.float32)
    path = write_features(
        tmp_path / "f.zarr",
        values,
        label=np.repeat(made.labels, 2),
        locus=np.repeat(np.arange(1200), 2),
    )
    record = run(path, tmp_path / "out", models=("logistic",))
    assert record["strand_rows"]
    for count in record["rows"].values():
        assert count["rows"] == 2 * count["loci"]
    assert record["metrics"]["logistic"]["test"]["rows"] == record["rows"]["test"]["loci"]
    assert len(pd.read_csv(tmp_path / "out" / "predictions.csv")) == 1200
    labels = np.repeat(made.labels, 2)
    labels[7] = 1 - labels[7]
    other = write_features(
        tmp_path / "g.zarr", values, label=labels, locus=np.repeat(np.arange(1200), 2)
    )
    with pytest.raises(InputError, match="locus 3: its strands have two labels"):
        run(other, tmp_path / "other")


def test_subsets_of_the_columns(tmp_path: Path) -> None:
    names = [
        "HepG2 | ZNF274 | ENCODE",
        "K562 | H3K4me3 | R",
        "K562 | DNase | R",
        "A | ATAC-seq | C",
    ]
    kinds = [target_kind(name) for name in names]
    assert kinds == ["tf", "histone", "accessibility", "accessibility"]
    assert target_kind("HeLa | CENPA | x") == "histone"
    numbers, shown = chosen_columns(names, patterns=["K562*"])
    assert (numbers.tolist(), shown) == ([1, 2], names[1:3])
    assert chosen_columns(names, kind="accessibility")[0].tolist() == [2, 3]
    listed = tmp_path / "target.names"
    listed.write_text("\n".join(names) + "\n")
    columns = ["p1", "p2", "p3", "p4"]
    assert chosen_columns(columns, kind="tf", targets=listed)[1] == names[:1]
    with pytest.raises(ConfigError, match="name the list of targets"):
        chosen_columns(columns, kind="tf")
    with pytest.raises(InputError, match="4 targets, s has 3 columns"):
        chosen_columns(columns[:3], targets=listed, where="s")
    with pytest.raises(ConfigError, match=r"--features zz\*"):
        chosen_columns(columns, patterns=["p1", "zz*"])


def test_what_is_in_the_way_stays(features: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(StoreError, match=r"thesis\.txt"):
        run(features, out, models=("logistic",))
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]


def test_lightgbm_without_its_package_or_memory(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_features(features)
    labelled = labelled_rows(store, LabelOptions())
    with pytest.raises(ConfigError, match=r"lightgbm: keeps all training rows in memory"):
        boosted_features.fit_boosted(
            store,
            np.arange(40),
            labelled,
            seed=0,
            search=0,
            resamples=0,
            memory=50_000,
            progress=fit_transfer.NoProgress(),
        )
    monkeypatch.setitem(__import__("sys").modules, "lightgbm", None)
    with pytest.raises(ConfigError, match=r"pip install 'crosslabel\[transfer\]'"):
        run(features, tmp_path / "out", models=("lightgbm",))
    with pytest.raises(ConfigError, match="no such model"):
        run(features, tmp_path / "out", models=("forest",))
