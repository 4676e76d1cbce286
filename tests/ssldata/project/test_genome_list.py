"""The registry of genomes: edits of one entry that leave every other line alone."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ssldata.base.errors import ConfigError, MissingInputError
from ssldata.project.genome_list import enter_genome, read_registry, strike_genome
from ssldata.project.project_file import load_project

PROJECT = """\
# my project
name: p
reference: {name: ref, sequence: ref.fa}   # labelled
genomes: # relatives
  - name: near      # a comment
    sequence: near.fa
    chain: near.chain
    # a comment inside

  # a comment between
  - name: far
    sequence: far.fa
    chain: far.chain

# windows follow
split: {test: [chr1]}
"""

LISTS = {
    "block": "# all genomes\n- name: near\n  sequence: near.fa\n  chain: near.chain\n",
    "flow": "[{name: near, sequence: near.fa, chain: near.chain}]\n",
    "empty list": "[]\n",
    "empty file": "",
    "comment only": "# nothing yet\n",
    "no newline at the end": "- name: near\n  sequence: near.fa\n  chain: near.chain",
    "in a project": PROJECT,
    "project with an empty list": "name: p\ngenomes: []   # none yet\nsplit: {test: [a]}\n",
    "project with null": "name: p\ngenomes:\nsplit: {test: [a]}\n",
    "project without the key": "name: p\n",
    "project with a flow list": "genomes: [{name: near, sequence: a, chain: b}]\nname: p\n",
    "wide indent": "genomes:\n      - name: near\n        sequence: a\n        chain: b\nname: p\n",
    "no indent": "genomes:\n- name: near\n  sequence: a\n  chain: b\nname: p\n",
}


def genomes_of(path: Path) -> list[dict[str, str]]:
    value = yaml.safe_load(path.read_text())
    return (value.get("genomes") if isinstance(value, dict) else value) or []


def entry(folder: Path, name: str, **more: object) -> dict[str, object]:
    return {
        "name": name,
        "sequence": str(folder / f"{name}.2bit"),
        "chain": f"/elsewhere/{name}.chain",
        **more,
    }


@pytest.mark.parametrize("text", LISTS.values(), ids=LISTS.keys())
def test_enter_replace_and_strike(text: str, tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    before = genomes_of(path)
    assert enter_genome(path, entry(tmp_path, "new", distance=0.1))
    added = {
        "name": "new",
        "sequence": "new.2bit",
        "chain": "/elsewhere/new.chain",
        "distance": 0.1,
    }
    assert genomes_of(path) == [*before, added]
    assert not enter_genome(path, entry(tmp_path, "new", distance=0.1))
    with pytest.raises(ConfigError, match="another genome 'new'"):
        enter_genome(path, entry(tmp_path, "new", distance=0.2))
    assert enter_genome(path, entry(tmp_path, "new", distance=0.2), replace=True)
    assert genomes_of(path) == [*before, added | {"distance": 0.2}]
    for kept in [line for line in text.splitlines() if line.lstrip().startswith("#")]:
        assert kept in path.read_text().splitlines()
    for name in [item["name"] for item in genomes_of(path)]:
        assert strike_genome(path, name)
    assert genomes_of(path) == []
    assert not strike_genome(path, "new")
    assert enter_genome(path, entry(tmp_path, "again"))
    assert [item["name"] for item in genomes_of(path)] == ["again"]


def test_an_edit_leaves_every_other_line_alone(tmp_path: Path) -> None:
    path = tmp_path / "project.yaml"
    path.write_text(PROJECT)
    enter_genome(path, entry(tmp_path, "new"))
    strike_genome(path, "new")
    assert path.read_text() == PROJECT


def test_an_edit_keeps_the_ends_of_lines(tmp_path: Path) -> None:
    path = tmp_path / "project.yaml"
    path.write_bytes(PROJECT.replace("\n", "\r\n").encode())
    enter_genome(path, entry(tmp_path, "new"))
    assert path.read_bytes().count(b"\r\n") == path.read_bytes().count(b"\n") > PROJECT.count("\n")
    strike_genome(path, "new")
    assert path.read_bytes() == PROJECT.replace("\n", "\r\n").encode()


def test_numbers_and_names_of_other_genomes_stay_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "genomes.yaml"
    text = "- {name: 01, sequence: a, chain: b, distance: 0.10, aliases: {1: chr1, 2: 1:40}}\n"
    path.write_text(text)
    enter_genome(path, entry(tmp_path, "new"))
    assert path.read_text().startswith(text)
    assert strike_genome(path, "new")
    assert path.read_text() == text
    assert strike_genome(path, "01")


@given(
    edits=st.lists(
        st.tuples(st.sampled_from(["enter", "strike", "replace"]), st.sampled_from("abcd")),
        max_size=12,
    ),
    start=st.sampled_from(sorted(LISTS)),
)
@settings(max_examples=60, deadline=None)
def test_any_sequence_of_edits_keeps_the_list(
    edits: list[tuple[str, str]], start: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("edits") / "file.yaml"
    path.write_text(LISTS[start])
    names = [item["name"] for item in genomes_of(path)]
    for number, (what, name) in enumerate(edits):
        if what == "strike":
            assert strike_genome(path, name) == (name in names)
            names = [other for other in names if other != name]
        elif what == "replace" or name not in names:
            assert enter_genome(path, entry(path.parent, name, distance=number), replace=True)
            names += [] if name in names else [name]
        assert [item["name"] for item in genomes_of(path)] == names


def test_editors_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "genomes.yaml"
    path.write_text("[]\n")
    context = multiprocessing.get_context("spawn")
    names = ["a", "b", "c", "d"]
    entries = [entry(tmp_path, name) for name in names]
    processes = [context.Process(target=enter_genome, args=(path, new)) for new in entries]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert sorted(item["name"] for item in genomes_of(path)) == names


def test_a_project_reads_its_registry(small_world: Path, tmp_path: Path) -> None:
    raw = yaml.safe_load((small_world / "project.yaml").read_text())
    inline = load_project(small_world)
    shared = tmp_path / "shared"
    shared.mkdir()
    for genome in inline.genomes:
        genome_entry = genome.model_dump(mode="json", exclude_defaults=True)
        path = shared / "genomes.yaml"
        path.touch()
        enter_genome(path, genome_entry)
    copy = small_world / "with-registry.yaml"
    raw["genomes"] = {"registry": str(path)}
    copy = tmp_path / "project.yaml"
    for section in (raw["reference"], *raw["experiments"]):
        for key in ("sequence", "peaks"):
            if key in section:
                section[key] = str(small_world / section[key])
    copy.write_text(yaml.safe_dump(raw))
    project = load_project(copy)
    assert project.genomes == inline.genomes
    assert project.genomes_file == path
    assert inline.genomes_file == inline.file


@pytest.mark.parametrize(
    ("genomes", "words"),
    [
        ({"registry": "none.yaml"}, ["none.yaml", "no such registry"]),
        ({"registry": "bad.yaml"}, ["bad.yaml, line 1: key 'chain' is missing"]),
        ({"registry": "text.yaml"}, ["text.yaml", "expected a list"]),
        ({"list": "x"}, ["genomes", "registry: FILE"]),
    ],
)
def test_bad_registries_are_one_line(
    genomes: dict[str, str], words: list[str], small_world: Path, tmp_path: Path
) -> None:
    raw = yaml.safe_load((small_world / "project.yaml").read_text())
    raw["genomes"] = genomes
    (tmp_path / "project.yaml").write_text(yaml.safe_dump(raw))
    (tmp_path / "bad.yaml").write_text("- {name: x, sequence: y}\n")
    (tmp_path / "text.yaml").write_text("just words\n")
    with pytest.raises((ConfigError, MissingInputError)) as caught:
        load_project(tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_registry_paths_are_relative_to_the_registry(tmp_path: Path) -> None:
    path = tmp_path / "genomes.yaml"
    path.write_text("- {name: a, sequence: s/a.fa, chain: /c/a.chain}\n")
    assert read_registry(path) == [
        {"name": "a", "sequence": str(tmp_path / "s" / "a.fa"), "chain": "/c/a.chain"}
    ]
