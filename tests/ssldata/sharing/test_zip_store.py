"""What is shared: zips of equal bytes, and the card."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
import random
import shutil
import warnings
import xml.etree.ElementTree
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import xarray as xr
import yaml
import zarr
from markdown_it import MarkdownIt
from small_store import edit_root

from ssldata.base.errors import CrosslabelError, InputError, StoreError
from ssldata.building.add_remove_genomes import remove_genome, yank_genome
from ssldata.checking.validate import validate_store
from ssldata.sharing.card import card_files, write_card
from ssldata.sharing.croissant_file import Facts, croissant, facts_of
from ssldata.sharing.zip_store import share_zip
from ssldata.store.store import open_store


@pytest.fixture
def path(built_world: Path, tmp_path: Path) -> Path:
    """Return a store of its own."""
    path = tmp_path / "alpha.zarr"
    shutil.copytree(built_world / "store" / "alpha.zarr", path)
    return path


# -- zip -----------------------------------------------------------------------------------------


def test_equal_stores_give_equal_zips(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "renamed.zarr"
    shutil.copytree(path, other)
    for file in other.rglob("*"):
        file.touch()
    (other / "reference" / "zarr.json.77.partial").write_text("x")
    (path.parent / "alpha.zarr.lock").touch()
    first = share_zip(path, tmp_path / "a.zip")
    second = share_zip(other, tmp_path / "b.zip")
    assert first["sha256"] == second["sha256"]
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    digest = hashlib.sha256((tmp_path / "a.zip").read_bytes()).hexdigest()
    assert (tmp_path / "a.zip.sha256").read_text() == f"{digest}  a.zip\n"
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.testzip() is None
        assert {m.compress_type for m in archive.infolist()} == {zipfile.ZIP_STORED}
        names = archive.namelist()
    assert len(names) == len(set(names)) == first["files"]
    assert not [name for name in names if ".partial" in name or ".lock" in name]
    assert {"zarr.json", "README.md", "croissant.json", "sources.csv"} <= set(names)


def test_a_zip_holds_the_store(path: Path, tmp_path: Path) -> None:
    share_zip(path, tmp_path / "a.zip")
    inside, outside = open_store(tmp_path / "a.zip"), open_store(path)
    assert inside.digest == outside.digest
    assert validate_store(inside, deep=True).valid
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        archive.extractall(tmp_path / "unpacked.zarr")
    assert validate_store(open_store(tmp_path / "unpacked.zarr"), deep=True).valid


def test_plain_zarr_and_xarray_read_the_zip(path: Path, tmp_path: Path) -> None:
    share_zip(path, tmp_path / "a.zip")
    with zarr.storage.ZipStore(tmp_path / "a.zip", mode="r") as store:
        data = xr.open_zarr(store, group="reference")
        codes = data["sequence_codes"].to_numpy()
    assert (codes == open_store(path).group("reference").codes(0, len(codes))).all()


def test_yanked_genomes_stay_at_home(path: Path, tmp_path: Path) -> None:
    yank_genome(path, "relative2", reason="not for others")
    shared = share_zip(path, tmp_path / "a.zip")
    assert shared["left_out"] == ["homologs/relative2"]
    store = open_store(tmp_path / "a.zip")
    assert store.genomes == ["relative1", "relative3"]
    assert "homologs/relative2" not in store.ledger
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert not [name for name in archive.namelist() if "relative2" in name]


def test_a_zip_is_not_written_into_its_store(path: Path) -> None:
    with pytest.raises(InputError, match="inside the store"):
        share_zip(path, path / "a.zip")


def test_nothing_is_made_where_no_store_is(path: Path, tmp_path: Path) -> None:
    none = tmp_path / "none" / "a.zarr"
    share_zip(path, tmp_path / "a.zip")
    before = sorted(tmp_path.iterdir())
    for act in (
        lambda: share_zip(none, tmp_path / "b.zip"),
        lambda: write_card(none),
        lambda: share_zip(tmp_path / "a.zip", tmp_path / "b.zip"),
    ):
        with pytest.raises(CrosslabelError):
            act()
    assert sorted(tmp_path.iterdir()) == before


def test_zips_that_are_no_stores(path: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path / "zarr.json", "zarr.json")
    with pytest.raises(StoreError, match=r"zarr\.json is compressed in the zip"):
        open_store(packed)
    share_zip(path, tmp_path / "whole.zip")
    cut = tmp_path / "cut.zip"
    cut.write_bytes((tmp_path / "whole.zip").read_bytes()[:-50])
    with pytest.raises(StoreError, match="not a zip, or cut short"):
        open_store(cut)
    nested = tmp_path / "nested.zip"
    with zipfile.ZipFile(nested, "w") as archive:
        archive.write(path / "zarr.json", "alpha.zarr/zarr.json")
    with pytest.raises(StoreError, match="not a crosslabel store"):
        open_store(nested)


# -- card ----------------------------------------------------------------------------------------


def test_the_card_travels_with_the_store_and_stays_current(path: Path) -> None:
    assert write_card(path) == []
    text = (path / "README.md").read_text()
    front = yaml.safe_load(text.split("---")[1])
    assert "genomics" in front["tags"]
    store = open_store(path)
    assert store.digest in text
    for genome in store.genomes:
        assert genome in text
    remove_genome(path, "relative3")
    assert "relative3" not in (path / "README.md").read_text()
    assert open_store(path).digest in (path / "README.md").read_text()
    report = validate_store(open_store(path))
    assert report.warnings == []
    (path / "README.md").write_text(text)
    assert [w.check for w in validate_store(open_store(path)).warnings] == ["card"]


def test_the_licence_is_kept(path: Path, tmp_path: Path) -> None:
    write_card(path, facts=Facts("CC-BY-4.0"))
    yank_genome(path, "relative1")
    for file in (path / "croissant.json", path / "README.md"):
        assert "CC-BY-4.0" in file.read_text()
    share_zip(path, tmp_path / "a.zip")
    described = json.loads((tmp_path / "a.zip.croissant.json").read_text())
    assert described["license"] == "CC-BY-4.0"


@pytest.mark.parametrize(
    "name",
    ["<script>alert(1)</script>", '"><img src=x>', "{{7*7}}", "a|b`c`*d*[e](f)", "two\n\n# lines"],
)
def test_names_in_the_card_are_text_whatever_they_are(name: str, path: Path) -> None:
    """As a page shows it that lets HTML in Markdown through."""

    def rename(root: dict[str, Any], used: str) -> None:
        ours = root["attributes"]["crosslabel"]
        ours["name"] = ours["reference"]["name"] = used
        ours["experiments"] = [used]
        ours["split"]["test"] = [used]
        ours["peaks"] = {used: {"sha256": "0", "counts": {}}}
        ours["ledger"] = {
            f"homologs/{used}" if key == "homologs/relative1" else key: entry
            for key, entry in ours["ledger"].items()
        }
        ours["ledger"][f"homologs/{used}"]["liftover"] = {used: 3}

    def rendered(used: str) -> tuple[list[str], str]:
        edit_root(path, lambda root: rename(root, used))
        files = card_files(open_store(path), facts=Facts(used))
        assert json.loads(files["croissant.json"])["license"] == used
        assert next(csv.reader(io.StringIO(files["sources.csv"])))[-1] == f"label_{used}"
        _, front, body = files["README.md"].split("---\n", 2)
        assert yaml.safe_load(front)["license"] == used
        tree = xml.etree.ElementTree.fromstring(
            f"<page>{MarkdownIt('commonmark', {'html': True}).enable('table').render(body)}</page>"
        )
        return [element.tag for element in tree.iter()], " ".join("".join(tree.itertext()).split())

    shutil.copy(path / "zarr.json", path / "kept")
    plain = rendered("relative1")
    shutil.copy(path / "kept", path / "zarr.json")
    shown = rendered(name)
    assert shown[0] == plain[0]
    assert " ".join(name.split()) in shown[1]


def test_sources_as_a_table(path: Path) -> None:
    store = open_store(path)
    rows = list(csv.DictReader(io.StringIO(card_files(store)["sources.csv"])))
    sources = store.sources()
    assert [int(row["start"]) for row in rows] == sources["start"].tolist()
    assert {row["split"] for row in rows} == {"train", "validation", "test"}
    assert [int(row["label_alpha"]) for row in rows] == sources["label"][:, 0].tolist()


@pytest.fixture
def quiet_croissant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return mlcroissant, whose own dependencies warn of their future."""
    # Read when it is imported. In the user's cache, what was unpacked before is found by its path.
    monkeypatch.setenv("CROISSANT_CACHE", str(tmp_path / "croissant"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlcroissant

        logging.getLogger("absl").setLevel(logging.ERROR)
        yield mlcroissant


def test_croissant_is_valid_and_its_records_are_the_sources(
    path: Path, tmp_path: Path, quiet_croissant: Any
) -> None:
    """Without a warning, once its makers say what only they can say: licence and date."""
    write_card(path, facts=Facts("CC-BY-4.0", "2026-11-28"))
    share_zip(path, tmp_path / "a.zip", licence="https://creativecommons.org/licenses/by/4.0/")
    for file in (tmp_path / "a.zip.croissant.json", path / "croissant.json"):
        dataset = quiet_croissant.Dataset(jsonld=str(file))
        issues = dataset.metadata.issues
        assert not issues.errors, file
        assert not issues.warnings, file
        records = list(dataset.records("sources"))
        starts = open_store(path).sources()["start"].tolist()
        assert [record["sources/start"] for record in records] == starts


def test_croissant_describes_every_array_of_rows(path: Path) -> None:
    store = open_store(path)
    described = {one["@id"]: one for one in croissant(store)["recordSet"]}
    for name, group in (
        ("rows", "reference"),
        ("homologous_rows", "homologs/relative1"),
        ("liftover", "homologs/relative1/liftover"),
    ):
        fields = {field["name"]: field for field in described[name]["field"]}
        arrays = {
            key.rpartition("/")[2]: node
            for key, node in store.nodes.items()
            if key.rpartition("/")[0] == group and node["node_type"] == "array"
        }
        assert set(fields) == set(arrays)
        for array, field in fields.items():
            assert field["dataType"].lower() == f"cr:{arrays[array]['data_type']}"
            wide = arrays[array]["shape"][1:]
            assert field.get("arrayShape", "") == ",".join(map(str, wide))
            assert field.get("isArray", False) == bool(wide)
    split = next(one for one in described["rows"]["field"] if one["name"] == "split")
    assert "0 train, 1 validation, 2 test" in split["description"]


def test_what_the_makers_said_is_kept_and_a_made_citation_is_not(path: Path) -> None:
    made = croissant(open_store(path))["citeAs"]
    assert open_store(path).digest in made
    write_card(path, facts=Facts(cite="@article{us, year = {2026}}", published="2026-11-28"))
    yank_genome(path, "relative1")
    found = json.loads((path / "croissant.json").read_text())
    assert (found["citeAs"], found["datePublished"]) == (
        "@article{us, year = {2026}}",
        "2026-11-28",
    )
    assert facts_of(path) == Facts(None, "2026-11-28", "@article{us, year = {2026}}")
    assert facts_of(path / "nowhere") == Facts()


def test_croissant_names_every_field_of_the_table(path: Path) -> None:
    store = open_store(path)
    header = card_files(store)["sources.csv"].splitlines()[0].split(",")
    fields = croissant(store)["recordSet"][0]["field"]
    assert [field["source"]["extract"]["column"] for field in fields] == header


def test_the_example_on_the_card_imports(path: Path) -> None:
    line = next(
        row for row in (path / "README.md").read_text().splitlines() if "import open" in row
    )
    found: dict[str, Any] = {}
    exec(line, found)
    assert found["open_store"] is open_store


def test_no_damage_to_a_zip_is_a_bug(path: Path, tmp_path: Path) -> None:
    """Cut anywhere, or bytes of its directory changed: one line, or the same store."""
    share_zip(path, tmp_path / "a.zip")
    data, rng = (tmp_path / "a.zip").read_bytes(), random.Random(0)
    expected = open_store(tmp_path / "a.zip").group("reference").column("start").tobytes()
    start = int.from_bytes(data[-6:-2], "little")  # of the directory
    told = 0
    for number in range(200):
        changed = bytearray(data)
        if number % 4 == 0:
            del changed[rng.randrange(len(data)) :]
        else:
            area = range(len(data) - 22, len(data)) if number % 4 == 1 else range(start, len(data))
            changed[rng.choice(area)] = rng.choice([0, 255, rng.randrange(256)])
        (tmp_path / "b.zip").write_bytes(changed)
        try:
            rows = open_store(tmp_path / "b.zip").group("reference")
            assert rows.column("start").tobytes() == expected
        except CrosslabelError as exc:
            told += "\n" not in str(exc)
    assert told > 50
