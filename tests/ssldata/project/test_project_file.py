"""The project file: good ones are read whole, bad ones give one line."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
import yaml

from ssldata.base.errors import ConfigError, MissingInputError
from ssldata.project.project_file import dump_project, json_schema, load_project
from ssldata.project.sweeps_section import Sweeps

GOOD = """
name: tiny
reference: {name: ref, sequence: ref.fa}
experiments: [{name: TF, peaks: peaks.bed}]
genomes: [{name: rel, sequence: rel.fa, chain: rel.chain}]
split: {test: [chr2], validation: [chr3]}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "project.yaml"
    path.write_text(textwrap.dedent(text))
    return path


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    project = load_project(write(tmp_path, GOOD))
    assert project.reference.sequence == tmp_path.resolve() / "ref.fa"
    assert project.genomes[0].chain == tmp_path.resolve() / "rel.chain"
    assert project.store_path("TF") == tmp_path.resolve() / "store" / "TF.zarr"
    assert project.training.runs == tmp_path.resolve() / "runs"
    assert project.file == tmp_path.resolve() / "project.yaml"


def test_a_folder_stands_for_its_project_file(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    assert load_project(tmp_path).name == "tiny"


def test_resolved_text_reads_back_the_same(tmp_path: Path) -> None:
    project = load_project(write(tmp_path, GOOD))
    again = tmp_path / "again.yaml"
    again.write_text(dump_project(project))
    assert load_project(again).model_dump() == project.model_dump()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("windws: {size: 100}", ["unknown key 'windws'", "did you mean 'windows'?"]),
        ("windows: {sise: 100}", ["unknown key 'windows.sise'", "did you mean 'size'?"]),
        ("windows: {frobnicate: 1}", ["unknown key 'windows.frobnicate'", "size, context"]),
        ("windows: {mode: bins}", ["'windows.mode'", "'bins'", "'rebin' or 'lift-bins'"]),
        ("windows: {size: 200, context: 301}", ["windows", "context (301)"]),
        ("windows: {size: 0}", ["'windows.size'", "greater than 0"]),
        ("liftover: {gap: many}", ["'liftover.gap'", "'many'"]),
        ("split: {test: [chr2], validation: [chr2]}", ["chr2", "both test and validation"]),
        ("split: {test: []}", ["split.test"]),
        ("training: {experiments: [Nope]}", ["training.experiments", "'Nope'", "TF"]),
        ("training: {regimes: [magic]}", ["training.regimes[0]", "'magic'", "'two-stage'"]),
        ("genomes: []\ntraining: {regimes: [ssl]}", ["training.regimes", "ssl", "genomes"]),
        ("genomes: [{name: ref, sequence: a, chain: b}]", ["'ref' is the reference itself"]),
        (
            "experiments: [{name: TF, peaks: a}, {name: tf, peaks: b}]",
            ["experiments", "'tf' is used twice"],
        ),
        (
            "training: {per_model: {cnn-7k: {epoch: 3}}}",
            ["unknown key 'training.per_model.cnn-7k.epoch'", "did you mean 'epochs'?"],
        ),
        (
            "training: {sweeps: {per_model: {cnn-27k: {nearest: [0]}}}}",
            ["'training.sweeps.per_model.cnn-27k.nearest[0]'", "greater than or equal to 1"],
        ),
        (
            "training: {sweeps: {per_model: {deepbind: {nearest: [1]}}}}",
            ["training.sweeps.per_model: 'deepbind' is not in training.models"],
        ),
        ("name: ../evil", ["'name'", "letters, digits"]),
    ],
)
def test_wrong_keys_give_one_line(tmp_path: Path, change: str, words: list[str]) -> None:
    raw = yaml.safe_load(GOOD) | yaml.safe_load(change)
    path = write(tmp_path, yaml.safe_dump(raw))
    with pytest.raises(ConfigError) as caught:
        load_project(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    for word in words:
        assert word in message


BASE = """\
name: tiny
reference: {name: ref, sequence: ref.fa}
experiments: [{name: TF, peaks: peaks.bed}]
genomes: [{name: rel, sequence: rel.fa, chain: rel.chain}]
"""


NESTED = "training: {ssl_plus: {weighting: {identity_power: VALUE}}}"


@pytest.mark.parametrize(
    ("key", "section"),
    [
        ("windows.size", "windows: {size: VALUE}"),
        ("negatives.ratio", "negatives: {ratio: VALUE}"),
        ("training.seeds[1]", "training: {seeds: [0, VALUE]}"),
        ("training.nearest", "training: {nearest: VALUE}"),
        ("training.sweeps.noise_sd[0]", "training: {sweeps: {noise_sd: [VALUE]}}"),
        ("training.per_model.cnn-7k.epochs", "training: {per_model: {cnn-7k: {epochs: VALUE}}}"),
        ("training.learning_rate", "training: {learning_rate: VALUE}"),
        ("training.ssl_plus.weighting.identity_power", NESTED),
    ],
)
@pytest.mark.parametrize(
    "value",
    [
        "1_200",
        "1:40",
        "0200",
        "true",
        "+5",
        "'5'",
        ".nan",
        ".inf",
        "nan",
        "1e999",
        "５",
        "2020-01-01",
    ],
)
def test_numbers_are_numbers(tmp_path: Path, key: str, section: str, value: str) -> None:
    text = f"{BASE}split: {{test: [chr2]}}\n{section.replace('VALUE', value)}\n"
    with pytest.raises(ConfigError) as caught:
        load_project(write(tmp_path, text))
    assert f"project.yaml, line 6: key '{key}'" in str(caught.value)


@pytest.mark.parametrize("value", ["4e2", "2.0", str(2**63), str(10**30)])
def test_whole_numbers_have_no_fraction_and_64_bits(tmp_path: Path, value: str) -> None:
    text = f"{BASE}split: {{test: [chr2], seed: {value}}}\n"
    with pytest.raises(ConfigError, match=r"line 5: key 'split.seed' is '?[0-9]"):
        load_project(write(tmp_path, text))


@pytest.mark.parametrize("word", ["yes", "no", "On", "OFF", "True", "FALSE", "'no'"])
def test_truth_values_are_true_or_false(tmp_path: Path, word: str) -> None:
    text = f"{BASE}split: {{test: [c]}}\ntraining: {{model_options: {{m: {{a: [{word}]}}}}}}\n"
    with pytest.raises(ConfigError, match=r"line 6: key 'training.model_options': .*true or false"):
        load_project(write(tmp_path, text))
    # Where a truth value is expected there is no doubt.
    text = f"{BASE}split: {{test: [c]}}\nstore: {{codes: {word}}}\n"
    wanted = word.strip("'").lower() in {"yes", "on", "true"}
    assert load_project(write(tmp_path, text)).store.codes is wanted


def test_numbers_may_have_an_exponent(tmp_path: Path) -> None:
    text = f"{BASE}split: {{test: [c]}}\ntraining: {{learning_rate: 1e-3, batch_size: 64}}\n"
    assert load_project(write(tmp_path, text)).training.learning_rate == 0.001


def test_names_that_look_like_numbers_are_names(tmp_path: Path) -> None:
    text = """\
name: 1
reference: {name: 38, sequence: ref.fa, aliases: {1: chr1, 02: 2, 1.50: 3.10, on: 1:40}}
experiments: [{name: 7.0, peaks: peaks.bed}]
genomes: [{name: 01, sequence: rel.fa, chain: rel.chain, aliases: {4: 04}}]
split: {test: [4, 04, 1_200, 2020-01-01, Y], validation: [1e3]}
windows: {exclude: [0x10, 1.0]}
training: {experiments: [7.0], model_options: {cnn-7k: {dropout: 0.50, 1: [1, 2.50], pool: max}}}
"""
    project = load_project(write(tmp_path, text))
    assert (project.name, project.reference.name) == ("1", "38")
    assert project.reference.aliases == {"1": "chr1", "02": "2", "1.50": "3.10", "on": "1:40"}
    assert project.genomes[0].aliases == {"4": "04"}
    assert (project.experiments[0].name, project.genomes[0].name) == ("7.0", "01")
    assert project.split.test == ["4", "04", "1_200", "2020-01-01", "Y"]
    assert (project.split.validation, project.windows.exclude) == (["1e3"], ["0x10", "1.0"])
    options = project.training.model_options
    assert options == {"cnn-7k": {"dropout": 0.5, "1": [1, 2.5], "pool": "max"}}
    assert type(options["cnn-7k"]["dropout"]) is float
    again = tmp_path / "again.yaml"
    again.write_text(dump_project(project))
    assert load_project(again).model_dump() == project.model_dump()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("zarr.json", "a file of this name"),
        ("x" * 101, "at most 100 characters, this one 101"),
        ("a/b", "a name is letters"),
        ("é", "a name is letters"),
        ("null", "'genomes[0].name' is None"),
        ("[a]", "'genomes[0].name' is ['a']"),
        ("x" * 10_000, "at most 100 characters"),
    ],
)
def test_names_that_no_folder_can_have(tmp_path: Path, name: str, words: str) -> None:
    text = f"{GOOD.strip()}\n".replace("name: rel,", f"name: {name},")
    with pytest.raises(ConfigError) as caught:
        load_project(write(tmp_path, text))
    message = str(caught.value)
    assert words in message
    assert "project.yaml, line 4: " in message
    assert len(message) < 400


def test_home_and_variables_in_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DATA", str(tmp_path / "data"))
    monkeypatch.setenv("N", "1")
    monkeypatch.delenv("NOT_SET", raising=False)
    (tmp_path / "data").mkdir()
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "list.yaml").write_text(
        "- {name: rel, sequence: ~/rel.fa, chain: $DATA/rel$N.chain}\n"
    )
    text = (
        GOOD.replace("ref.fa", "~/ref.fa")
        .replace("peaks.bed", "'${DATA}/peaks_${N}.bed'")
        .replace("[{name: rel, sequence: rel.fa, chain: rel.chain}]", "{registry: $HOME/list.yaml}")
    )
    write(tmp_path, text + "store: {path: a$N}\n")
    project = load_project("$DATA/../project.yaml")
    assert project.reference.sequence == tmp_path / "home" / "ref.fa"
    assert project.experiments[0].peaks == tmp_path / "data" / "peaks_1.bed"
    assert project.genomes[0].sequence == tmp_path / "home" / "rel.fa"
    assert project.genomes[0].chain == tmp_path / "data" / "rel1.chain"
    assert project.genomes_file == tmp_path / "home" / "list.yaml"
    assert project.store.path == tmp_path.resolve() / "a1"
    for path in ("$NOT_SET/x", "${NOT_SET}/x", "~nobody-of-this-name/x"):
        write(tmp_path, GOOD.replace("ref.fa", f"'{path}'"))
        with pytest.raises(ConfigError) as caught:
            load_project(tmp_path)
        assert str(tmp_path) in str(caught.value)
        assert path in str(caught.value)
        assert "NOT_SET is not set" in str(caught.value) or "no user" in str(caught.value)


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    raw = yaml.safe_load(GOOD)
    del raw["reference"]["sequence"]
    with pytest.raises(ConfigError, match=r"key 'reference.sequence' is missing"):
        load_project(write(tmp_path, yaml.safe_dump(raw)))


def test_a_key_given_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD + "name: other\n")
    with pytest.raises(ConfigError, match=r"line 7: not valid YAML: key 'name' is given twice"):
        load_project(path)


def test_broken_yaml_names_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"line 3: not valid YAML"):
        load_project(write(tmp_path, "name: a\nsplit: [\n}"))


def test_sweeps_of_a_model_replace_those_of_all() -> None:
    settings = {
        "models": ["cnn-7k"],
        "nearest": [1, 2],
        "noise_sd": [0.0, 0.3],
        "per_model": {"deepbind": {"nearest": [3]}, "cnn-7k": {"noise_sd": []}},
    }
    sweeps = Sweeps.model_validate(settings)
    found = {
        model: [sweeps.values(key, model) for key in ("nearest", "noise_sd", "iterations")]
        for model in ("cnn-7k", "deepbind", "cnn-27k")
    }
    assert found == {
        "cnn-7k": [[1, 2], [], []],
        "deepbind": [[3], [], []],  # not among `models`, so nothing but its own
        "cnn-27k": [[], [], []],
    }
    for_all = Sweeps(nearest=[1, 2])
    assert for_all.values("nearest", "anything") == [1, 2]


def test_a_list_is_not_a_project(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a mapping of keys, found list"):
        load_project(write(tmp_path, "- a"))


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="crosslabel init"):
        load_project(tmp_path / "nothing.yaml")


def test_unknown_experiment_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no experiment 'X'; there are TF"):
        load_project(write(tmp_path, GOOD)).experiment("X")


def test_schema_describes_every_section() -> None:
    schema = json_schema()
    assert set(schema["properties"]) >= {"reference", "experiments", "genomes", "windows", "split"}
    assert schema["additionalProperties"] is False
