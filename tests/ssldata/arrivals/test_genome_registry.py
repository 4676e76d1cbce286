"""Registries: folders and lists, and entries that are wrong in every way."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssldata.arrivals.genome_registry import read_arrivals, registry_schema
from ssldata.base.errors import ConfigError, MissingInputError

GOOD = "name: N44\nsequence: N44.fa.gz\nchain: N44.chain\ndistance: 0.1\n"


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(GOOD)
    (tmp_path / "a.yml").write_text("{name: A, sequence: a.2bit, chain: align}")
    for name in (".c.yaml", "d.yaml.partial", "e.yaml.tmp", "README.md"):
        (tmp_path / name).write_text("junk: [")
    first, second = read_arrivals(tmp_path)
    assert first.genome is not None
    assert first.genome.needs_alignment
    assert second.genome is not None
    assert second.genome.chain == tmp_path / "N44.chain"
    assert (second.name, second.where, second.problem) == ("N44", str(tmp_path / "b.yaml"), "")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "found nothing"),
        ("[1]", "found list"),
        ("name: 'x", "line 1: not valid YAML"),
        (GOOD + "chian: x\n", r"line 5: unknown key 'chian'; did you mean 'chain'\?"),
        (GOOD + "unknown: x\n", "allowed here: name, sequence, chain, distance, aliases, sha256"),
        (GOOD.replace("0.1", "-1"), "line 4: key 'distance'"),
        (GOOD.replace("0.1", "'1'"), "line 4: key 'distance'"),
        (GOOD + "sha256: {chain: 12}\n", "line 5: key 'sha256.chain': a sha256 has 64"),
        (GOOD.replace("N44\n", "../N44\n", 1), "line 1: key 'name'"),
        (GOOD.replace("N44.fa.gz", "$NO_SUCH_VARIABLE/x"), "NO_SUCH_VARIABLE is not set"),
        ("name: N44\n", "key 'sequence' is missing"),
        ("name: N44\nname: N45\n", "line 2: .* given twice"),
    ],
)
def test_a_wrong_entry_hides_no_other(text: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text)
    (tmp_path / "b.yaml").write_text("{name: other, sequence: a, chain: b}")
    wrong, right = read_arrivals(tmp_path)
    assert wrong.genome is None
    assert re.search(problem, wrong.problem), wrong.problem
    assert "a.yaml" in wrong.problem
    assert "\n" not in wrong.problem
    assert right.genome is not None


def test_a_list(tmp_path: Path) -> None:
    path = tmp_path / "genomes.yaml"
    path.write_text(
        "- {name: a, sequence: a, chain: b}\n- {name: b}\n- {name: A, sequence: a, chain: b}\n- 7\n"
    )
    first, second, third, fourth = read_arrivals(path)
    assert first.genome is not None
    assert "line 2" in second.problem
    assert "'A' is used already" in third.problem
    assert "found int" in fourth.problem
    for text in ("a: b", "- ["):
        path.write_text(text)
        with pytest.raises(ConfigError):
            read_arrivals(path)
    with pytest.raises(MissingInputError):
        read_arrivals(tmp_path / "none")


@given(st.binary(max_size=200))
def test_any_bytes_are_an_entry_or_a_line(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "a.yaml").write_bytes(data)
    (entry,) = read_arrivals(folder)
    assert (entry.genome is None) == bool(entry.problem)


def test_the_schema_names_every_key() -> None:
    genome = registry_schema()["$defs"]["ArrivingGenome"]
    assert set(genome["required"]) == {"name", "sequence", "chain"}
    assert genome["additionalProperties"] is False
