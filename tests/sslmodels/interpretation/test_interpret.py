"""Interpretations of a model that has learnt the planted motif, and of one that has not."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from motif_tools import matrix_of, motif_model
from run_tools import put_model

from flows.cli import main
from ssldata.base.errors import ConfigError, InputError, MissingInputError
from ssldata.building.build_store import build_project
from ssldata.project.project_file import load_project
from ssldata.simulation.clade import CONSENSUS, simulate_clade
from sslmodels.baselines.meme_text import SequenceMotif, read_meme, write_meme
from sslmodels.evaluation.evaluate import evaluate_run
from sslmodels.interpretation.interpret import InterpretOptions, interpret_run
from sslmodels.models.model_builder import build_model
from sslmodels.report.report_page import write_report
from sslmodels.runs import regimes

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "saved-models"
NAME = "<b>alpha</b>"


@pytest.fixture(scope="module")
def project(built_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a complete run, and a MEME file; the run may be written to."""
    folder = tmp_path_factory.mktemp("interpreted") / "project"
    shutil.copytree(built_world, folder)
    loaded = load_project(folder)
    training = loaded.training.model_copy(update={"epochs": 1, "batch_size": 16})
    loaded = loaded.model_copy(update={"training": training})
    cell = {"experiment": "alpha", "model": "deepbind", "regime": "sl", "seed": 0}
    run = regimes.train(loaded, **cell)
    put_model(run, motif_model(CONSENSUS[0], length=200))
    evaluate_run(run)
    rng = np.random.default_rng(0)
    known = [SequenceMotif("planted", matrix_of(CONSENSUS[0]), NAME)]
    known += [SequenceMotif(f"other{i}", rng.dirichlet([0.2] * 4, 6 + i % 9)) for i in range(60)]
    write_meme(folder / "known.meme", known)
    return folder


@pytest.fixture(scope="module")
def run(project: Path) -> Path:
    return project / "runs/alpha/deepbind/sl/seed-0"


@pytest.fixture(scope="module")
def result(project: Path, run: Path) -> dict:
    return interpret_run(run, InterpretOptions(rows="test", known=project / "known.meme"))


def test_the_motif_of_the_model_is_found(run: Path, result: dict) -> None:
    found = result["experiments"]["alpha"]
    [motif] = found["motifs"]
    assert motif["matches"][0]["name"] == "planted"
    assert motif["matches"][0]["q"] < 1e-4
    assert motif["effect"]["mean"] > 2
    assert motif["positives"] > 5 * motif["negatives"]
    assert found["filters"][0]["name"] == "filter_3"
    assert found["filters"][0]["matches"][0]["name"] == "planted"
    [written] = read_meme(run / "interpretation" / "motifs.meme")
    np.testing.assert_allclose(written.matrix, motif["matrix"], atol=1e-3)
    assert written.sites == motif["sites"]
    arrays = np.load(run / "interpretation" / "contributions.npz")
    assert arrays["contributions"].shape == arrays["codes"].shape == (len(arrays["labels"]), 200)


def test_the_page_shows_names_as_text_and_loads_nothing(run: Path, result: dict) -> None:
    page = (run / "interpretation" / "index.html").read_text()
    assert "&lt;b&gt;alpha&lt;/b&gt;" in page
    assert NAME not in page
    assert result["experiments"]["alpha"]["motifs"][0]["consensus"] in page
    for outside in ("<script", "http://", "https://", "src="):
        # Namespaces of SVG are names, not addresses.
        assert outside not in page.replace("http://www.w3.org/", ""), outside


def test_the_report_has_a_tile_and_links(project: Path, run: Path, result: dict) -> None:
    path = project / "runs" / "report.html"
    write_report(path, title="t", project=load_project(project), run_folders=[run])
    text = path.read_text()
    motif = result["experiments"]["alpha"]["motifs"][0]
    assert "Top motif, alpha" in text
    assert f'alt="{motif["consensus"]}"' in text
    assert "like &lt;b&gt;alpha&lt;/b&gt; (q " in text
    assert text.count('<a href="alpha/deepbind/sl/seed-0/interpretation/index.html">') == 2
    assert (path.parent / "alpha/deepbind/sl/seed-0/interpretation/index.html").is_file()


def test_again_it_is_only_read(project: Path, run: Path, result: dict, capsys) -> None:
    folder = run / "interpretation"
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert {path.name for path in before} == {
        *("alpha.svg", "contributions.npz", "filters.meme", "index.html"),
        *("interpretation.json", "motifs.meme"),
    }
    command = ["model", "interpret", str(run), "--motifs", str(project / "known.meme")]
    assert main([*command, "--json"]) == 0
    [shown] = json.loads(capsys.readouterr().out)
    assert shown["experiments"] == result["experiments"]
    assert shown["page"] == str(folder / "index.html")
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert main(command) == 0
    assert result["experiments"]["alpha"]["motifs"][0]["consensus"] in capsys.readouterr().out


def test_a_model_that_knows_nothing_has_no_motif(project: Path, run: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(run, project / "runs/alpha/deepbind/sl/seed-1"))
    put_model(other, build_model("deepbind", length=200, seed=3))
    found = interpret_run(other, InterpretOptions(count=20, seed=1))
    assert found["experiments"]["alpha"]["motifs"] == []
    assert found["experiments"]["alpha"]["pair"] is None
    assert not list((other / "interpretation").glob("*.svg"))  # of the model that was there
    assert "No motif." in (other / "interpretation" / "index.html").read_text()
    write_report(
        tmp_path / "report.html", title="t", project=load_project(project), run_folders=[other]
    )
    assert "nothing is more frequent in positive rows" in (tmp_path / "report.html").read_text()


def test_every_output_of_a_joint_run_has_its_motifs(tmp_path: Path) -> None:
    folder = tmp_path / "joint"
    simulate_clade(folder, seed=1, contigs=4, contig_size=40_000, genomes=1, peaks=(120, 120))
    settings = yaml.safe_load((folder / "project.yaml").read_text())
    settings["store"] = {"joint": True}
    settings["training"] |= {"experiments": [], "outputs": "both", "epochs": 1, "batch_size": 32}
    (folder / "project.yaml").write_text(yaml.safe_dump(settings))
    loaded = load_project(folder)
    build_project(loaded)
    cell = {"experiment": "joint", "model": "deepbind", "regime": "sl", "seed": 0}
    run = regimes.train(loaded, **cell)
    put_model(run, motif_model(*CONSENSUS, length=200))
    evaluate_run(run)
    found = interpret_run(run)["experiments"]
    assert list(found) == ["alpha", "beta"]
    first = [found[name]["filters"][0]["name"] for name in found]
    assert first == ["filter_3", "filter_4"]
    motifs = [f"{name}_{one['name']}" for name in found for one in found[name]["motifs"]]
    assert "alpha_motif_1" in motifs
    assert [one.name for one in read_meme(run / "interpretation" / "motifs.meme")] == motifs
    names = set(np.load(run / "interpretation" / "contributions.npz"))
    assert {"alpha_codes", "beta_contributions"} <= names
    write_report(tmp_path / "report.html", title="t", project=loaded, run_folders=[run])
    text = (tmp_path / "report.html").read_text()
    assert "Top motif, alpha" in text
    assert "Top motif, beta" in text


def test_what_cannot_be_interpreted_is_refused(
    project: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "logomaker", None)
        with pytest.raises(ConfigError, match=r"pip install 'crosslabel\[interpret\]'"):
            interpret_run(run)
    with pytest.raises(MissingInputError, match="not a run folder"):
        interpret_run(tmp_path)
    with pytest.raises(MissingInputError, match=r"none\.meme: cannot be read"):
        interpret_run(run, InterpretOptions(known=tmp_path / "none.meme"))
    (tmp_path / "empty.meme").write_text("MEME version 4\n")
    with pytest.raises(InputError, match=r"empty\.meme: no motif"):
        interpret_run(run, InterpretOptions(known=tmp_path / "empty.meme"))
    tokens = Path(shutil.copytree(run, project / "runs/alpha/deepbind/sl/seed-2"))
    put_model(tokens, GOLDEN / "dnabert2.keras")
    with pytest.raises(ConfigError, match="reads tokens; motifs are found in models that read"):
        interpret_run(tokens)
