"""The project file: good ones are read whole, bad ones give one line."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
import yaml

from ssldata.base.errors import ConfigError, MissingInputError
from ssldata.project.project_file import dump_project, json_schema, load_project

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
