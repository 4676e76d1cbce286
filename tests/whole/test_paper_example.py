"""The project of the published comparison, end to end on small stand-ins for its files.

`examples/paper-hg38` is used as it is; a mirror folder holds simulated files under the names of
its table of sources, in the formats of the real ones: UCSC 2bit and chain files, narrowPeak.
"""

from __future__ import annotations

import gzip
import json
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from flows.cli import main
from ssldata.building.build_inputs import open_inputs, open_target
from ssldata.genomes.genome import open_genome
from ssldata.project.project_file import Project, load_project
from ssldata.project.source_table import read_sources
from ssldata.project.training_section import REGIMES
from ssldata.simulation.clade import simulate_clade
from ssldata.simulation.truth import World
from ssldata.store.store import open_store
from sslmodels.models.layer_costs import multiply_adds
from sslmodels.models.model_settings import GENERAL, fit_settings

EXAMPLE = Path(__file__).parents[2] / "examples" / "paper-hg38"

#: By growing distance from human, as the ablation takes them.
GENOMES = [
    *("panTro6", "panPan2", "gorGor6", "ponAbe3", "nomLeu3"),
    *("macFas5", "papAnu4", "rheMac10", "saiBol1", "calJac3", "micMur2", "otoGar3"),
    *("equCab3", "felCat9", "susScr11", "oryCun2", "canFam3", "musFur1", "bosTau9"),
    *("mm10", "rn7", "monDom5"),
]
#: Series in GEO that the paper names.
SERIES = ("GSE31477", "GSE170139", "GSE104399", "GSE95899", "GSE170918")
EXPERIMENTS = [
    *("ATF3", "ETS1", "ANDR", "REST", "MAX", "P300", "RAD21", "CTCF", "H3K4me3", "POL2", "ATAC"),
]


def twobit(genome: dict[str, np.ndarray]) -> bytes:
    """Write base codes as UCSC 2bit, with soft-masked runs as the real ones have."""
    codes = np.array([2, 1, 3, 0, 0], np.uint8)  # A C G T N; unknown bases are written as T
    records = []
    for bases in genome.values():
        unknown = np.flatnonzero(np.diff(np.concatenate(([0], bases == 4, [0]))))
        starts, sizes = unknown[::2], unknown[1::2] - unknown[::2]
        packed = np.zeros(-(-len(bases) // 4) * 4, np.uint8)
        packed[: len(bases)] = codes[bases]
        four = packed.reshape(-1, 4)
        body = (four[:, 0] << 6) | (four[:, 1] << 4) | (four[:, 2] << 2) | four[:, 3]
        records.append(
            struct.pack("<I", len(bases))
            + struct.pack(f"<I{2 * len(starts)}I", len(starts), *starts, *sizes)
            + struct.pack("<3I", 1, len(bases) // 3, len(bases) // 5)
            + struct.pack("<I", 0)
            + body.tobytes()
        )
    at = 16 + sum(1 + len(name) + 4 for name in genome)
    index = b""
    for name, record in zip(genome, records, strict=True):
        index += bytes([len(name)]) + name.encode() + struct.pack("<I", at)
        at += len(record)
    return struct.pack("<4I", 0x1A412743, 0, len(genome), 0) + index + b"".join(records)


def packed(path: Path, names: tuple[str, ...]) -> bytes:
    """Read a FASTA file and return it as 2bit, its contigs named anew."""
    genome = open_genome(path)
    return twobit({new: genome.codes(old) for new, old in zip(names, genome.names, strict=True)})


def narrowpeak(world: World, count: int, rng: np.random.Generator, *, encode: bool) -> bytes:
    """Return peaks as macs3 writes them, or as ENCODE hands them out.

    macs3: by contig and start, a line for each summit of a peak, scores above 1000, other contigs
    than chromosomes. ENCODE: strongest first, no names, scores up to 1000, columns of −1.
    """
    lines = (world.folder / "peaks" / "beta.narrowPeak.gz").read_bytes()
    rows = [line.split("\t") for line in gzip.decompress(lines).decode().splitlines()]
    for contig in ("M", "1_random"):  # left out by the project; must do no harm
        rows.insert(0, [contig, "100", "400", ".", "900", ".", "20.0", "-1", "-1", "150"])
    chosen = np.sort(rng.permutation(len(rows) - 2)[: count - 2] + 2)
    kept = [rows[i] for i in [0, 1, *chosen]]
    if encode:
        made = [["chr" + r[0], r[1], r[2], ".", r[4], ".", r[6], "-1", "4.2", r[9]] for r in kept]
    else:
        kept.sort(key=lambda r: ("chr" + r[0], int(r[1])))
        made = []
        for number, r in enumerate(kept, start=1):
            common = ["chr" + r[0], r[1], r[2]]
            rest = [str(3 * int(r[4])), ".", r[6], "31.5", "28.1"]
            made.append([*common, f"GM12878_peak_{number}a", *rest, r[9]])
            if number % 5 == 0:
                made.append([*common, f"GM12878_peak_{number}b", *rest, str(int(r[9]) // 2)])
    return "".join("\t".join(row) + "\n" for row in made).encode()


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a mirror folder with a small file for every row of the table of sources."""
    folder = tmp_path_factory.mktemp("paper")
    world = simulate_clade(
        folder / "world",
        seed=5,
        contigs=10,
        contig_size=12_000,
        genomes=len(GENOMES),
        peaks=(60, 160),
        nearest=0.01,
        farthest=0.3,
    )
    simulated = load_project(world.project_file)
    files = {"genomes/hg38.2bit": packed(simulated.reference.sequence, world.reference.contigs)}
    for name, target, leaf in zip(GENOMES, simulated.genomes, world.genomes, strict=True):
        # At UCSC a chain and its genome spell contigs alike.
        files[f"genomes/{name}.2bit"] = packed(target.sequence, leaf.chain_contigs)
        text = target.chain.read_bytes()
        text = gzip.decompress(text) if target.chain.suffix == ".gz" else text
        chain = f"hg38To{name[0].upper()}{name[1:]}.over.chain.gz"
        files[f"chains/{chain}"] = gzip.compress(text, mtime=0)
    rng = np.random.default_rng(1)
    for number, name in enumerate(EXPERIMENTS):
        peaks = narrowpeak(world, 60 + 7 * number, rng, encode=name in ("CTCF", "ATAC"))
        files[f"peaks/{name}.narrowPeak.gz"] = gzip.compress(peaks, mtime=0)
    for path, data in files.items():
        (folder / "mirror" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "mirror" / path).write_bytes(data)
    return folder / "mirror"


@pytest.fixture
def example(tmp_path: Path, stand_ins: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the project, as it is, whose files come from the mirror."""
    monkeypatch.setenv("CROSSLABEL_MIRROR", str(stand_ins))
    shutil.copytree(EXAMPLE, tmp_path / "paper-hg38")
    return tmp_path / "paper-hg38"


def override(folder: Path, experiments: list[str], **training: object) -> Project:
    """Keep some experiments and change settings of training, and nothing else."""
    path = folder / "project.yaml"
    raw = yaml.safe_load(path.read_text())
    raw["experiments"] = [e for e in raw["experiments"] if e["name"] in experiments]
    raw["training"].update(training)
    path.write_text(yaml.safe_dump(raw, sort_keys=False))
    return load_project(path)


def override_section(folder: Path, section: str, **settings: object) -> None:
    """Change settings of a section of the project file."""
    path = folder / "project.yaml"
    raw = yaml.safe_load(path.read_text())
    raw[section] |= settings
    path.write_text(yaml.safe_dump(raw, sort_keys=False))


# What the folder says -----------------------------------------------------------------------------


def test_the_project_is_the_published_one() -> None:
    project = load_project(EXAMPLE)
    assert [e.name for e in project.experiments] == EXPERIMENTS
    assert [g.name for g in project.genomes] == GENOMES
    assert project.split.test == ["chr8", "chr9"]
    assert (project.windows.size, project.windows.context, project.windows.mode) == (
        200,
        1000,
        "rebin",
    )
    lifted = project.liftover
    assert (lifted.mode, lifted.min_match, lifted.gap) == ("ucsc-multiple", 0.1, 20)
    assert project.negatives.half_covered == "negative"
    assert (project.negatives.source, project.negatives.ratio) == ("reference", 1.0)
    assert project.training.seeds == [0, 1, 2]
    assert set(project.training.regimes) == {"sl", "ssl", "ssl-ns", "two-stage"}
    values = project.training.sweeps.values
    of_models = {
        (key, model): values(key, model)
        for key in ("nearest", "labelled_peaks", "iterations", "noise_sd")
        for model in project.training.models
        if values(key, model)
    }
    assert of_models == {
        ("nearest", "deepbind"): [5, 10, 15, 20, 22],
        ("nearest", "dnabert2"): [5, 22],
        ("iterations", "cnn-27k"): [1, 2, 3, 4, 5],
        ("noise_sd", "cnn-27k"): [0, 0.05, 0.1, 0.2],
    }
    fitted = {model: fit_settings(project.training, model) for model in project.training.models}
    assert (fitted["dnabert2"].learning_rate, fitted["dnabert2"].batch_size) == (3e-5, 32)
    assert fitted["cnn-27k"] == GENERAL
    student = project.training.noisy_student
    assert (student.iterations, student.noise_sd) == (5, 0.1)


def test_what_the_paper_decides_is_named_and_not_left_to_defaults() -> None:
    """Another default of a release must not change the paper's project."""
    raw = yaml.safe_load((EXAMPLE / "project.yaml").read_text())
    assert raw["liftover"] == {"mode": "ucsc-multiple", "min_match": 0.1, "gap": 20}
    assert raw["negatives"] == {"half_covered": "negative"}
    assert raw["windows"] == {"size": 200, "context": 1000, "mode": "rebin"}


def test_no_text_calls_another_liftover_mode_the_papers() -> None:
    root = EXAMPLE.parents[1]
    files = [root / "README.md"]
    for folder in ("docs", "examples", "ssldata", "sslmodels", "flows"):
        files += [
            path
            for path in (root / folder).rglob("*")
            if path.suffix in (".md", ".py", ".yaml", ".html")
        ]
    assert len(files) > 200
    claim = re.compile(r"\bblocks\b[^.;|\n]{0,60}\((?:as in )?the paper", re.IGNORECASE)
    found = [f"{f}: {x[0]}" for f in files for x in claim.finditer(f.read_text(encoding="utf-8"))]
    assert found == []
    assert claim.search("blocks                        # blocks (the paper), ucsc, ucsc-multiple")
    template = (root / "ssldata" / "project" / "project.template.yaml").read_text(encoding="utf-8")
    assert "ucsc-multiple (the paper)" in template


def test_genomes_are_listed_by_growing_distance() -> None:
    """The ablation takes the nearest ones: by distance, which must not contradict the list."""
    project = load_project(EXAMPLE)
    distances = [g.distance for g in project.genomes]
    assert None not in distances
    assert distances == sorted(distances)
    nearest = {
        count: {g.name for g in project.genomes[:count]}
        for count in project.training.sweeps.values("nearest", "deepbind")
    }
    apes = {"panTro6", "panPan2", "gorGor6", "ponAbe3", "nomLeu3"}
    monkeys = {"macFas5", "papAnu4", "rheMac10", "saiBol1", "calJac3"}
    assert (nearest[5], nearest[10]) == (apes, apes | monkeys)
    assert set(GENOMES) - nearest[20] == {"rn7", "monDom5"}
    by_name = {g.name: g.distance for g in project.genomes}
    # Human and chimpanzee differ in one base of eighty; opossum is nearly saturated.
    assert by_name["panTro6"] == pytest.approx(0.0125, abs=0.005)
    assert 0.4 < by_name["mm10"] < 0.7 < by_name["monDom5"] < 1.1


def test_the_series_of_the_paper_are_named() -> None:
    for file in ("project.yaml", "README.md"):
        text = (EXAMPLE / file).read_text(encoding="utf-8")
        assert [s for s in SERIES if s not in text] == []
        assert "macs3" in text
        assert "hg38" in text


def test_half_covered_bins_of_the_example_are_training_negatives(
    example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every kept bin of the training contigs is there: the paper leaves none out."""
    assert main(["fetch", str(example), "-q"]) == 0
    project = load_project(example)
    rows = open_inputs(project, "CTCF").reference_rows()
    first, end = rows.ranges["negative"]
    covered = rows.rows.coverage[first:end].any(axis=1)
    assert covered.any()
    assert not rows.rows.label[first:end].any()
    assert rows.counts["partial_left_out"] == rows.counts["negatives_left_out"] == 0
    override_section(example, "negatives", half_covered="leave-out")
    fewer = open_inputs(load_project(example), "CTCF").reference_rows()
    assert len(rows.rows) - len(fewer.rows) == covered.sum() == fewer.counts["partial_left_out"]
    capsys.readouterr()


def test_published_tables_are_whole() -> None:
    project = load_project(EXAMPLE)
    assert project.training.published is not None
    aupr = pd.read_csv(project.training.published)
    assert list(dict.fromkeys(aupr["experiment"])) == EXPERIMENTS
    assert len(aupr) == 6 * len(EXPERIMENTS)
    assert not aupr.duplicated(["experiment", "model", "regime"]).any()
    assert set(aupr["regime"]) <= set(REGIMES)
    best = aupr.set_index(["experiment", "model", "regime"])["aupr"]
    assert best["CTCF", "dnabert2", "sl"] == 0.308
    assert best["CTCF", "cnn-27k", "ssl-ns"] == 0.4844
    assert project.training.published_counts is not None
    counts = pd.read_csv(project.training.published_counts, index_col="experiment")
    assert list(counts.index) == EXPERIMENTS
    assert counts.loc["CTCF"].tolist() == [75_082, 1_245_195]


def test_sources_name_every_input_and_nothing_else() -> None:
    project = load_project(EXAMPLE)
    assert project.sources is not None
    sources = {EXAMPLE.resolve() / s.path: s for s in read_sources(project.sources)}
    needed = {project.reference.sequence, *(e.peaks for e in project.experiments)}
    needed |= {path for g in project.genomes for path in (g.sequence, g.chain)}
    assert set(sources) == needed
    host = "https://hgdownload.soe.ucsc.edu/goldenPath"
    assert sources[project.reference.sequence].url == f"{host}/hg38/bigZips/hg38.2bit"
    for genome in project.genomes:
        name = genome.name
        chain = f"hg38To{name[0].upper()}{name[1:]}.over.chain.gz"
        assert sources[genome.sequence].url == f"{host}/{name}/bigZips/{name}.2bit"
        assert sources[genome.chain].url == f"{host}/hg38/liftOver/{chain}"
    # Nothing unconfirmed is given out as known.
    assert {s.sha256 for s in sources.values()} == {""}
    assert {sources[e.peaks].url for e in project.experiments} == {""}


# What `plan` says without the files ---------------------------------------------------------------


def test_plan_reckons_without_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "paper")
    assert main(["plan", str(tmp_path / "paper"), "--json", "--gflops", "1000"]) == 2
    out, err = capsys.readouterr()
    assert "missing input" in err
    value = json.loads(out)
    assert len(value["missing"]) == 1 + 2 * len(GENOMES) + len(EXPERIMENTS)
    steps = {(s["store"], s["group"]): s for s in value["steps"]}
    reference = steps["CTCF", "reference"]
    # chr8 and chr9, then chr10, by their lengths; the published positives; the pool.
    test = 145_138_636 // 200 + 138_394_717 // 200
    assert reference["test"] == test
    assert reference["rows"] == 75_082 + test + 133_797_422 // 200 + 2_000_000
    assert reference["bytes"] == pytest.approx(reference["rows"] * 527, rel=0.01)
    lifted = sum(s["rows"] for (store, _), s in steps.items() if store == "CTCF")
    assert lifted - reference["rows"] == pytest.approx(1_245_195, abs=11)
    assert all(s["assumed"] for s in value["steps"])
    assert len(value["assumptions"]) == 2
    # 4 regimes × 11 experiments × 3 seeds, and what the sweeps have beside them.
    hours = {m["model"]: m for m in value["hours"]["models"]}
    assert {name: m["runs"] for name, m in hours.items()} == {
        **dict.fromkeys(hours, 132),
        "deepbind": 132 + 33 * 4,
        "dnabert2": 132 + 33 * 1,
        "cnn-27k": 132 + 33 * (4 + 3),
    }
    epoch = 2 * (75_082 + 1_245_195)  # the rows of ssl for CTCF; a lower bound of all
    work = 6 * 3 * 20 * epoch * multiply_adds("deepsea", size=200, stored=1000)
    assert work / 1e12 / 3600 < hours["deepsea"]["hours"] < 11 * 10 * work / 1e12 / 3600

    assert main(["plan", str(tmp_path / "paper")]) == 2
    out, _ = capsys.readouterr()
    assert "22 genomes" in out
    assert "training positives as published (table_1_counts.csv)" in out
    assert "3 to 20 epochs per phase" in out
    assert "dnabert2 is fitted with batch_size 32, epochs 3, learning_rate 3e-05" in out
    assert value["settings"]["deepsea"]["from"]["learning_rate"] == "model"
    assert out.count("missing: ") == 3  # folders, not 56 files
    assert main(["plan", str(tmp_path / "paper"), "-v"]) == 2
    out, _ = capsys.readouterr()
    assert out.count("missing: ") == len(value["missing"])
    assert not (tmp_path / "paper" / "store").exists()


def test_without_counts_or_for_other_models_nothing_is_made_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "paper")
    override(tmp_path / "paper", EXPERIMENTS, models=["cnn-7k", "dnabert2"], sweeps={})
    assert main(["plan", str(tmp_path / "paper")]) == 2
    assert "not estimated" in capsys.readouterr().out
    override(tmp_path / "paper", EXPERIMENTS, published_counts=None)
    assert main(["plan", str(tmp_path / "paper"), "--json"]) == 2
    value = json.loads(capsys.readouterr().out)
    assert (value["hours"], value["assumptions"]) == (None, [])
    assert {step["rows"] for step in value["steps"]} == {None}


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("hg38.chrom.sizes", "chr1\t10\nchr1\t20\n", "line 2: contig 'chr1' occurs twice"),
        ("hg38.chrom.sizes", "chr1 10\n", "line 1: expected a contig"),
        ("published/table_1_counts.csv", "experiment,n\n", "line 1: expected the columns"),
        (
            "published/table_1_counts.csv",
            "experiment,positives,pseudo_labelled\nATF3,many,1\n",
            "line 2: positives is 'many', expected a whole number",
        ),
    ],
)
def test_wrong_tables_of_the_estimate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, text: str, message: str
) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "paper")
    (tmp_path / "paper" / file).write_text(text)
    assert main(["plan", str(tmp_path / "paper")]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


# With the files -----------------------------------------------------------------------------------


def test_fetch_and_plan(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", str(example), "--json"]) == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert {f["status"] for f in files} == {"mirror"}
    lock = pd.read_csv(example / "SOURCES.lock.tsv", sep="\t")
    assert len(lock) == len(files) == 1 + 2 * len(GENOMES) + len(EXPERIMENTS)
    project = load_project(example)
    for number, name in enumerate(EXPERIMENTS):
        peaks = open_inputs(project, name).peaks[name]
        assert len(peaks.intervals) >= 60 + 7 * number

    assert main(["plan", str(example), "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert (value["missing"], value["assumptions"]) == ([], [])
    assert len(value["steps"]) == len(EXPERIMENTS) * (1 + len(GENOMES))
    rows = {(s["store"], s["group"].removeprefix("homologs/")): s["rows"] for s in value["steps"]}
    for experiment in EXPERIMENTS:
        assert min(rows[experiment, name] for name in GENOMES) > 20
    # Nearly all peaks have a homologue in chimpanzee, fewer in opossum.
    inputs = open_inputs(project, "CTCF")
    sources = inputs.reference_rows().sources
    near, far = (
        open_target(project, name, reference=inputs.genome).lift(sources)[0].mapped.mean()
        for name in ("panTro6", "monDom5")
    )
    assert near > 0.9 > far
    assert value["hours"]["models"][0]["runs"] == 132


def check_store(project: Project, name: str) -> None:
    """What every store of the project must be, whatever its peaks."""
    store = open_store(project.store_path(name))
    assert sorted(store.genomes) == sorted(GENOMES)
    reference = store.group("reference")
    assert reference.length == 1000
    test = reference.column("contig")[slice(*reference.ranges["test"])]
    assert {reference.attributes()["contigs"][i] for i in test} == {"chr8", "chr9"}
    identity = pd.Series(
        {name: float(np.nanmean(store.homologues(name).column("identity"))) for name in GENOMES}
    )
    assert identity["panTro6"] > 0.95
    assert identity["monDom5"] < 0.85
    ranks = identity.rank(ascending=False).to_numpy()
    assert np.corrcoef(ranks, np.arange(len(GENOMES)))[0, 1] > 0.95  # listed nearest first


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_all_stores(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", str(example), "-q"]) == 0
    assert main(["build", str(example), "-q"]) == 0
    project = load_project(example)
    for name in EXPERIMENTS:
        check_store(project, name)
    assert main(["store", "validate", str(project.store_path("ATAC")), "-q"]) == 0
    capsys.readouterr()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_from_files_to_the_report(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two experiments, a small grid, every sweep, and the page; training is cut short."""
    project = override(
        example,
        ["ATF3", "CTCF"],
        models=["deepbind", "cnn-7k"],
        regimes=["sl", "ssl", "ssl-ns"],
        seeds=[0, 1],
        batch_size=32,
        epochs=2,
        noisy_student={"iterations": 2},
        sweeps={
            "models": ["deepbind"],
            "nearest": [5, 22],
            "labelled_peaks": [20, 40],
            "iterations": [1, 2],
            "noise_sd": [0, 0.1],
        },
    )
    assert main(["fetch", str(example), "-q"]) == 0
    # Prefect closes pytest's captured streams when it sets up logging: a process of its own.
    command = [sys.executable, "-m", "flows.cli", "run", str(example), "--report", "paper", "-q"]
    subprocess.run(command, check=True, cwd=EXAMPLE.parent.parent)
    capsys.readouterr()
    check_store(project, "CTCF")
    page = project.training.runs / "paper"
    drawn = {path.stem for path in page.glob("*.svg")}
    assert drawn == {
        "figure_1_counts",
        "figure_1_genomes",
        "figure_2_aupr_increase",
        "figure_s1_auroc_increase",
        "figure_s2_genomes",
        "figure_s3_gain",
        "figure_s2_genomes_auroc",
        "figure_s5_noisy_student",
        "figure_s5_scatter",
        "figure_s6_iterations",
        "figure_s6_noise",
        "figure_learning_curves",
        "figure_published",
    }
    written = {path.stem for path in page.glob("*.csv")}
    assert written - drawn == {
        "figure_s3_gain_lines",
        "figure_s5_scatter_lines",
        "runs",
        "table_1_counts",
        "table_2_aupr",
        "table_ensembles",
        "table_increase_aupr",
        "table_increase_auroc",
        "table_published",
        "table_s1_counts",
        "table_s2_auroc",
        "tests_2_aupr",
        "tests_best_baseline",
        "tests_each_baseline",
        "tests_published",
        "tests_s2_auroc",
    }
    assert drawn <= written
    published = pd.read_csv(page / "table_published.csv")
    assert set(published["experiment"]) == {"ATF3", "CTCF"}
    assert set(published["model"]) == {"cnn-7k"}
    counted = pd.read_csv(page / "table_1_counts.csv", index_col="experiment")
    assert counted.loc["CTCF", "published_pseudo_labelled"] == 1_245_195
    assert counted.loc["CTCF", "pseudo_labelled"] > 10 * counted.loc["CTCF", "positives"]
    ablation = pd.read_csv(page / "figure_s2_genomes.csv")
    assert sorted(set(ablation["value"])) == [0, 5, 22]
    assert set(ablation.loc[ablation["value"] == 0, "regime"]) == {"sl"}
    by_genome = pd.read_csv(page / "table_s1_counts.csv")
    assert list(dict.fromkeys(by_genome["genome"])) == ["hg38", *GENOMES]
