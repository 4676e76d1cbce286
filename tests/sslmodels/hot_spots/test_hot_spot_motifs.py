"""Motifs in the hot spots of a model that has learnt the planted motif: runs, files, refusals."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from motif_tools import matrix_of, motif_model
from run_tools import put_model

from flows.cli import main
from ssldata.base.errors import ConfigError, MissingInputError
from ssldata.building.build_store import build_project
from ssldata.genomes.genome import open_genome
from ssldata.genomes.onehot import decode, encode, reverse_complement
from ssldata.project.project_file import load_project
from ssldata.simulation.clade import CONSENSUS, simulate_clade
from ssldata.store.store import REFERENCE, open_store
from sslmodels.baselines.meme_text import SequenceMotif, write_meme
from sslmodels.fit.training_loop import save_model
from sslmodels.hot_spots import hot_spot_motifs as module
from sslmodels.hot_spots.hot_spot_motifs import hot_spot_motifs
from sslmodels.hot_spots.hot_spot_options import HotSpotOptions, background_of
from sslmodels.hot_spots.hot_spot_windows import find_hot_spots, windows_of
from sslmodels.hot_spots.model_rows import open_model_rows
from sslmodels.hot_spots.motif_hits import hits_by_sequence, motif_hits
from sslmodels.interpretation.attribution import integrated_gradients
from sslmodels.runs import regimes

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "saved-models"
NAME = "<b>alpha</b>"
UNIFORM = np.full(4, 0.25)


def other_motifs(count: int) -> list[SequenceMotif]:
    rng = np.random.default_rng(0)
    return [SequenceMotif(f"other{i}", rng.dirichlet([0.2] * 4, 6 + i % 9)) for i in range(count)]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of two experiments in one store, with a complete run of both; MEME files."""
    folder = tmp_path_factory.mktemp("hot") / "joint"
    simulate_clade(folder, seed=1, contigs=4, contig_size=40_000, genomes=1, peaks=(120, 120))
    settings = yaml.safe_load((folder / "project.yaml").read_text())
    settings["store"] = {"joint": True}
    settings["training"] |= {"experiments": [], "outputs": "both", "epochs": 1, "batch_size": 32}
    (folder / "project.yaml").write_text(yaml.safe_dump(settings))
    loaded = load_project(folder)
    build_project(loaded)
    cell = {"experiment": "joint", "model": "deepbind", "regime": "sl", "seed": 0}
    run = regimes.train(loaded, **cell)
    model = motif_model(*CONSENSUS, length=200, sure=True)
    put_model(run, model)
    known = [*other_motifs(60), SequenceMotif("planted", matrix_of(CONSENSUS[0]), NAME, 100)]
    write_meme(folder / "known.meme", known)
    return folder


@pytest.fixture(scope="module")
def run(project: Path) -> Path:
    return project / "runs/joint/deepbind/sl/seed-0"


def asked(project: Path, **values) -> HotSpotOptions:
    return HotSpotOptions(known=project / "known.meme", **{"output": "alpha", **values})


@pytest.fixture(scope="module")
def result(project: Path, run: Path) -> dict:
    return hot_spot_motifs(run, asked(project))


# What is found ----------------------------------------------------------------------------------


def test_the_planted_motif_comes_first_in_class_1(result: dict) -> None:
    first = result["motifs"][0]
    assert (first["name"], first["rank"], result["output"]) == ("planted", 1, "alpha")
    assert first["share_1"] > 0.9
    assert first["share_0"] < 0.1
    assert first["bonferroni"] < 1e-6
    assert [one["rank"] for one in result["motifs"]] == list(range(1, 62))
    differences = [one["difference"] for one in result["motifs"]]
    assert differences == sorted(differences, reverse=True)
    assert first["threshold"] == pytest.approx(0.8 * first["largest_log_odds"], abs=1e-3)
    assert len({one["threshold"] for one in result["motifs"]}) > 50


def test_classes_and_completeness_are_counted(project: Path, result: dict) -> None:
    group = open_store(project / "store/joint.zarr").group(REFERENCE)
    start, stop = group.ranges["test"]
    labels = group.column("label")[start:stop, 0]
    for value in (0, 1):
        found = result["classes"][str(value)]
        assert found["rows"] == int((labels == value).sum())
        assert found["rows"] >= found["confident"] >= found["apart"] >= found["sequences"] > 0
        assert found["hot_spots"] >= found["with_hot_spots"]
    assert result["completeness"]["median_share"] < 0.05
    # Nothing speaks against the motif: a sequence without one has no slope anywhere.
    assert result["classes"]["0"]["hot_spots"] == 0
    [note] = result["notes"]
    assert "of class 0, 141 of 141 sequences have no hot spot" in note
    assert "--towards positive" in note
    assert sum(result["background"]) == pytest.approx(1, abs=1e-5)
    assert result["background"] == result["background"][::-1]


def test_files_hold_the_hot_spots_and_where_they_lie(
    project: Path, run: Path, result: dict
) -> None:
    folder = run / "hot-spots"
    table = pd.read_csv(folder / "hot_spots.tsv", sep="\t")
    bed = pd.read_csv(folder / "hot_spots.bed", sep="\t", header=None)
    arrays = np.load(folder / "hot_spots.npz")
    count = sum(result["classes"][value]["hot_spots"] for value in "01")
    assert len(table) == len(bed) == len(arrays["codes"]) == count
    assert arrays["attributions"].shape == (*arrays["codes"].shape, 4)
    assert arrays["hits"].shape == (count, 61)
    assert arrays["motifs"][-1] == "planted"
    loaded = load_project(project)
    genome = open_genome(loaded.reference.sequence)
    for line, length, codes in zip(
        table.itertuples(), arrays["length"], arrays["codes"], strict=True
    ):
        assert line.end - line.start == length
        assert line.start <= line.peak < line.end
        contig = genome.names.index(line.contig)
        read = genome.gather(np.array([contig]), np.array([line.start]), int(length))
        assert decode(read[0]) == line.bases == decode(codes[:length])
    assert sorted(zip(bed[0], bed[1], bed[2], strict=True)) == sorted(
        zip(table.contig, table.start, table.end, strict=True)
    )
    assert set(bed[5]) == {"+"}
    assert bed[4].between(800, 1000).all()
    # The largest attribution of a window is at its peak.
    highest = arrays["attributions"].max(axis=(1, 2))
    np.testing.assert_allclose(highest, table.score, rtol=1e-4)
    motifs = pd.read_csv(folder / "motifs.tsv", sep="\t")
    assert motifs["name"].tolist() == [one["name"] for one in result["motifs"]]


def test_the_page_shows_both_ways_and_loads_nothing(run: Path, result: dict) -> None:
    page = (run / "hot-spots" / "index.html").read_text()
    assert "&lt;b&gt;alpha&lt;/b&gt;" in page
    assert NAME not in page
    assert "More often in class 1" in page
    assert "61 motifs tested" in page
    for outside in ("<script", "http://", "https://", "src="):
        # Namespaces of SVG are names, not addresses.
        assert outside not in page.replace("http://www.w3.org/", ""), outside


def test_again_it_is_only_read(project: Path, run: Path, result: dict, capsys) -> None:
    folder = run / "hot-spots"
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert {path.name for path in before} == {
        *("index.html", "hot_spots.json", "motifs.tsv"),
        *("hot_spots.bed", "hot_spots.tsv", "hot_spots.npz"),
    }
    command = ["model", "hot-spots", str(run), "--motifs", str(project / "known.meme")]
    command += ["--output", "alpha"]
    assert main([*command, "--json"]) == 0
    [shown] = json.loads(capsys.readouterr().out)
    assert shown["motifs"] == result["motifs"]
    assert shown["page"] == str(folder / "index.html")
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert main(command) == 0
    assert str(folder / "index.html") in capsys.readouterr().out


# The level, strands -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scanned() -> tuple[np.ndarray, np.ndarray, list[SequenceMotif]]:
    """Sequences of which a third hold the motif, their hits (n, 61), and the motifs."""
    rng = np.random.default_rng(7)
    codes = rng.integers(0, 4, (300, 200)).astype(np.uint8)
    site = encode(CONSENSUS[0].translate(str.maketrans("RYSWKMN", "ACCATCG")))
    for row in range(100):
        start = int(rng.integers(20, 160))
        codes[row, start : start + len(site)] = site if row % 2 else reverse_complement(site)
    model = motif_model(CONSENSUS[0], length=200, sure=True)
    motifs = [*other_motifs(60), SequenceMotif("planted", matrix_of(CONSENSUS[0]), sites=100)]
    return codes, hits_of(model, codes, motifs), motifs


def hits_of(model, codes, motifs) -> np.ndarray:
    spots = find_hot_spots(integrated_gradients(model, codes).matrix)
    found = motif_hits(windows_of(codes, spots), motifs, UNIFORM)
    return hits_by_sequence(found, spots.sequence, len(codes))


def ranked(hits, labels, motifs) -> list[dict]:
    found = module.tested_motifs(motifs, hits, labels, background=UNIFORM, match=0.8)
    return [values for values, _ in found]


def test_enriched_in_one_class_is_depleted_in_the_other(scanned) -> None:
    _, hits, motifs = scanned
    labels = np.arange(300) < 100
    first = ranked(hits, labels, motifs)[0]
    assert (first["name"], first["hits_1"]) == ("planted", 100)
    assert first["share_0"] < 0.1
    assert first["bonferroni"] < 1e-20
    last = ranked(hits, ~labels, motifs)[-1]
    assert (last["name"], last["rank"]) == ("planted", 61)
    assert last["difference"] == -first["difference"]
    assert last["p"] == pytest.approx(first["p"])


def test_shuffled_labels_find_nothing_beyond_the_level(scanned) -> None:
    """Of 200 shufflings, in at most 5 % is any motif found; single tests keep their level, too."""
    _, hits, motifs = scanned
    rng = np.random.default_rng(8)
    found, small, planted = 0, [], 0
    for _ in range(200):
        lines = ranked(hits, rng.permutation(300) < 100, motifs)
        found += any(one["bonferroni"] < 0.05 for one in lines)
        planted += any(one["name"] == "planted" and one["p"] < 0.05 for one in lines)
        small += [one["p"] < 0.05 for one in lines]
    assert found <= 0.05 * 200 + 3 * np.sqrt(0.05 * 0.95 * 200)
    assert np.mean(small) < 0.06
    assert planted <= 0.05 * 200 + 3 * np.sqrt(0.05 * 0.95 * 200)


def test_both_strands_are_found_equally(scanned) -> None:
    codes, hits, motifs = scanned
    assert hits[:100, -1].all()  # half of them on the other strand
    model = motif_model(CONSENSUS[0], length=200, sure=True)
    rows = slice(60, 140)
    other = hits_of(model, reverse_complement(codes[rows]), motifs)
    np.testing.assert_array_equal(other[:, -1], hits[rows, -1])
    # Windows of an even width lie one base to the left of their peak, on either strand.
    assert (other != hits[rows]).mean() < 0.02


# What is said, and what is refused ---------------------------------------------------------------


def test_too_few_sequences_are_said_in_words(project: Path, run: Path, tmp_path: Path) -> None:
    found = hot_spot_motifs(run, asked(project, count=4), folder=tmp_path / "few")
    assert [one["count_1"] for one in found["motifs"]] == [4] * 61
    assert {one["test"] for one in found["motifs"]} == {"exact"}
    assert "and 4 that do not overlap are looked at" in found["notes"][0]
    none = hot_spot_motifs(run, asked(project, confidence=0.99999), folder=tmp_path / "none")
    assert "no motif can be tested; lower --confidence" in " ".join(none["notes"])
    assert {one["p"] for one in none["motifs"]} == {None}
    page = (tmp_path / "none" / "index.html").read_text()
    assert "no motif can be tested" in page
    assert "<strong>No motif</strong>" in page
    assert len(pd.read_csv(tmp_path / "none" / "motifs.tsv", sep="\t")) == 61
    command = ["model", "hot-spots", str(run), "--motifs", str(project / "known.meme")]
    command += ["--output", "alpha", "--confidence", "0.99999", "--to", str(tmp_path / "none")]
    assert main(command) == 0


def test_a_file_asks_about_the_rows_of_a_store(project: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.keras"
    save_model(motif_model(CONSENSUS[0], length=200, sure=True), file)
    store = str(project / "store/joint.zarr")
    with pytest.raises(ConfigError, match=r"mine\.keras: a model without its run has no rows"):
        open_model_rows(file)
    with pytest.raises(ConfigError, match="name a folder for the result with --to"):
        hot_spot_motifs(file, asked(project), store=store)
    options = asked(project, count=20, steps=5, towards="positive", windows="single")
    found = hot_spot_motifs(file, options, store=store, folder=tmp_path / "out")
    assert found["title"] == "mine"
    assert found["motifs"][0]["name"] == "planted"
    assert found["options"]["windows"] == "single"
    several = tmp_path / "several.keras"
    save_model(motif_model(*CONSENSUS, length=200, sure=True), several)
    with pytest.raises(ConfigError, match="has 2 outputs, whose names its run knows"):
        hot_spot_motifs(several, options, store=store, folder=tmp_path / "other")


def test_what_cannot_be_asked_is_refused(
    project: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = tmp_path / "refused"
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "logomaker", None)
        with pytest.raises(ConfigError, match=r"pip install 'crosslabel\[interpret\]'"):
            hot_spot_motifs(run, asked(project))
    with pytest.raises(ConfigError, match="several outputs; name one with --output: alpha, beta"):
        hot_spot_motifs(run, asked(project, output=None), folder=to)
    with pytest.raises(ConfigError, match="has no output 'gamma'; name one"):
        hot_spot_motifs(run, asked(project, output="gamma"), folder=to)
    with pytest.raises(ConfigError, match="leave out --store"):
        hot_spot_motifs(run, asked(project), store="elsewhere.zarr")
    with pytest.raises(MissingInputError, match=r"none\.meme: cannot be read"):
        hot_spot_motifs(run, HotSpotOptions(known=tmp_path / "none.meme"))
    with pytest.raises(MissingInputError, match="not a run folder"):
        hot_spot_motifs(tmp_path, asked(project))
    (run / "committee.npz").write_bytes(b"")
    try:
        committee = open_model_rows(run / "model.keras")  # its network alone
        assert committee.folder == run / "hot-spots"
        with pytest.raises(ConfigError, match=r"is that of a committee, .* name .*model\.keras"):
            open_model_rows(run)
    finally:
        (run / "committee.npz").unlink()
    tokens = Path(shutil.copytree(run, project / "runs/joint/deepbind/sl/seed-2"))
    put_model(tokens, GOLDEN / "dnabert2.keras")
    with pytest.raises(ConfigError, match="reads tokens; hot spots are found in models that read"):
        hot_spot_motifs(tokens, asked(project), folder=to)
    shutil.rmtree(tokens)
    assert not to.exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"confidence": 0.3}, "confidence: 0.3; expected at least 0.5"),
        ({"confidence": 1.0}, "confidence: 1; expected at least 0.5"),
        ({"hot": 1.2}, "hot: 1.2; expected a share between 0 and 1"),
        ({"match": 0.0}, "match: 0; expected a share"),
        ({"width": 0}, "width: 0; expected at least 1"),
        ({"rows": "train"}, "rows: 'train'; expected test or validation"),
        ({"towards": "both"}, "towards: 'both'; expected own or positive"),
        ({"background": [0.5, 0.5, 0, 0]}, "background: 0.5,0.5,0,0; expected measured, uniform"),
        ({"background": [0.3, 0.3, 0.3]}, "background: 0.3,0.3,0.3; expected"),
        ({"background": [0.3, 0.3, 0.3, 0.3]}, "that sum to 1"),
    ],
)
def test_options_that_mean_nothing_are_refused(values: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        HotSpotOptions(known=Path("known.meme"), **values)


def test_a_background_is_that_of_both_strands() -> None:
    assert background_of("measured") is None
    assert background_of("uniform") == [0.25] * 4
    given = HotSpotOptions(known=Path("k"), background=background_of("0.267,0.232,0.233,0.268"))
    assert given.frequencies() == pytest.approx([0.2675, 0.2325, 0.2325, 0.2675])
    with pytest.raises(ConfigError, match="background: some; expected measured, uniform"):
        background_of("some")


def test_attributions_that_do_not_add_up_are_mentioned() -> None:
    found = {"median_gap": 1.0, "largest_gap": 2.0, "median_share": 0.2}
    [note] = module._notes({}, {}, found, HotSpotOptions(known=Path("k")))
    assert "miss the difference of log-odds by 20% (median)" in note
    assert "--steps" in note
