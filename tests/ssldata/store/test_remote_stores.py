"""One way to open a store wherever it is: each place validates and trains like the folder."""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import shutil
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import yaml
from small_store import edit_root
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from flows.cli import main
from ssldata.base.errors import MissingInputError, StoreError, UnreachableError
from ssldata.checking.validate import validate_store
from ssldata.reading.mixture import Mixture, Segment
from ssldata.sharing.publish_icechunk import publish
from ssldata.sharing.range_server import RangeServer
from ssldata.sharing.zip_store import share_zip
from ssldata.store.remote_stores import read_value, zarr_store
from ssldata.store.store import Store, open_store

BUCKET = "crosslabel-test"


@pytest.fixture(scope="module")
def folder(built_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a store and its zip."""
    folder = tmp_path_factory.mktemp("shared")
    shutil.copytree(built_world / "store" / "alpha.zarr", folder / "alpha.zarr")
    share_zip(folder / "alpha.zarr", folder / "alpha.zarr.zip")
    return folder


@contextlib.contextmanager
def serving(server: http.server.HTTPServer | RangeServer) -> Iterator[str]:
    with server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        host, port = server.server_address[:2]
        yield f"http://{host!s}:{port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def web(folder: Path) -> Iterator[str]:
    """Serve the folder as `crosslabel store serve` does."""
    with serving(RangeServer([folder / "alpha.zarr", folder / "alpha.zarr.zip"])) as url:
        yield url


@pytest.fixture(scope="module")
def bucket(folder: Path) -> Iterator[str]:
    """Serve the folder by the S3 protocol."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of moto's dependencies
        import boto3
        from moto.server import ThreadedMotoServer

        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        with pytest.MonkeyPatch.context() as patch:
            for key, value in {
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
                "AWS_REGION": "us-east-1",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_ENDPOINT_URL": endpoint,
                "AWS_ALLOW_HTTP": "true",
            }.items():
                patch.setenv(key, value)
            client = boto3.client("s3", endpoint_url=endpoint)
            client.create_bucket(Bucket=BUCKET)
            for file in folder.rglob("*"):
                if file.is_file():
                    client.upload_file(str(file), BUCKET, f"data/{file.relative_to(folder)}")
            client.close()
            yield f"s3://{BUCKET}/data"
        server.stop()


PLACES = ["zip", "http", "zip over http", "s3", "zip on s3", "icechunk", "icechunk on s3"]


@pytest.fixture(params=PLACES)
def location(request: pytest.FixtureRequest, folder: Path) -> str:
    """Return the same store in every kind of place."""
    kind = str(request.param)
    if kind == "zip":
        return str(folder / "alpha.zarr.zip")
    if kind == "icechunk":
        return str(publish(folder / "alpha.zarr", folder / "repository")["address"])
    base = request.getfixturevalue("web" if "http" in kind else "bucket")
    if kind == "icechunk on s3":
        return str(publish(folder / "alpha.zarr", f"{base}-repository")["address"])
    return f"{base}/alpha.zarr{'.zip' if 'zip' in kind else ''}"


def mixture_of(store: Store) -> Mixture:
    groups = ["reference", *(f"homologs/{genome}" for genome in store.genomes)]
    segments = [Segment(name, *store.group(name).ranges["positive"]) for name in groups]
    negative = Segment("reference", *store.group("reference").ranges["negative"])
    return Mixture((*segments,), (negative,), ratio=1.0, seed=3)


def epoch_of(store: Store) -> list[tuple[np.ndarray[Any, Any], ...]]:
    from ssldata.reading.reader import training_dataset

    dataset, steps = training_dataset(store, mixture_of(store), batch_size=16)
    return [tuple(part.numpy() for part in batch) for batch in dataset.take(steps)]


def test_every_place_opens_validates_and_gives_the_same_epoch(location: str, folder: Path) -> None:
    store, local = open_store(location), open_store(folder / "alpha.zarr")
    assert store.digest == local.digest
    assert store.genomes == local.genomes
    report = validate_store(store, deep=True)
    assert report.problems == []
    assert report.rows == validate_store(local, deep=True).rows
    batches, expected = epoch_of(store), epoch_of(local)
    assert len(batches) == len(expected) > 3
    for ours, theirs in zip(batches, expected, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert np.array_equal(a, b)


def trained_on(store: Store) -> list[np.ndarray[Any, Any]]:
    """Return the weights of a small model after one epoch from a store."""
    import keras

    from ssldata.reading.reader import training_dataset
    from sslmodels.models.model_builder import build_model

    keras.backend.clear_session()
    model = build_model("cnn-7k", length=store.group("reference").length, seed=4)
    model.compile("adam", "binary_crossentropy")
    dataset, steps = training_dataset(store, mixture_of(store), batch_size=16)
    model.fit(dataset, epochs=1, steps_per_epoch=steps, shuffle=False, verbose=0)
    return [np.array(weight) for weight in model.get_weights()]


@pytest.fixture(scope="module")
def trained_here(folder: Path) -> list[np.ndarray[Any, Any]]:
    return trained_on(open_store(folder / "alpha.zarr"))


def test_an_epoch_from_every_place_gives_the_same_weights(
    location: str, trained_here: list[np.ndarray[Any, Any]]
) -> None:
    found = trained_on(open_store(location))
    assert len(found) == len(trained_here) > 3
    for ours, theirs in zip(found, trained_here, strict=True):
        assert ours.tobytes() == theirs.tobytes()


def trained_by_command(project: Path, built: Path, *options: str) -> Path:
    """Train for one epoch, in a project without genomes, chains and peaks; return the run."""
    raw = yaml.safe_load((built / "project.yaml").read_text())
    raw["training"] = {"models": ["cnn-7k"], "regimes": ["sl"], "epochs": 1, "batch_size": 16}
    project.mkdir(exist_ok=True)
    (project / "project.yaml").write_text(yaml.safe_dump(raw))
    assert main(["train", str(project), "-e", "alpha", *options, "--quiet"]) == 0
    return project / "runs" / "alpha" / "cnn-7k" / "sl" / "seed-0"


@pytest.fixture(scope="module")
def near(built_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run on the project's own store."""
    project = tmp_path_factory.mktemp("near")
    shutil.copytree(built_world / "store", project / "store")
    return trained_by_command(project, built_world)


@pytest.mark.parametrize("location", ["http", "zip over http", "s3"], indirect=True)
def test_a_project_trains_on_a_store_far_away(
    location: str, near: Path, built_world: Path, tmp_path: Path
) -> None:
    far = trained_by_command(tmp_path, built_world, "--store", location)
    assert (far / "model.keras").read_bytes() == (near / "model.keras").read_bytes()
    record = json.loads((far / "run.json").read_text())
    assert (record["store"]["path"], record["store"]["relative"]) == (location, None)


def test_a_run_on_a_store_far_away_is_evaluated_there(
    web: str, near: Path, built_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    far = trained_by_command(tmp_path, built_world, "--store", f"{web}/alpha.zarr")
    values = []
    for run in (near, far):
        assert main(["evaluate", str(run), "--json"]) == 0
        values.append(json.loads(capsys.readouterr().out)[0] | {"run": None})
    assert values[0] == values[1]
    project = tmp_path / "project.yaml"
    project.write_text(project.read_text() + "windows: {size: 150}\n")
    command = ["train", str(tmp_path), "-e", "alpha", "--store", f"{web}/alpha.zarr"]
    assert main(command) == 2
    assert "set windows.size to" in capsys.readouterr().err


@pytest.mark.parametrize(
    "location", ["http", "zip over http", "s3", "icechunk on s3"], indirect=True
)
def test_the_commands_that_look_take_addresses(
    location: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    local = open_store(folder / "alpha.zarr")
    assert main(["store", "validate", location, "--deep", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["store"], report["digest"]) == (location, local.digest)
    assert report["rows"]["reference"]["sequences"] == local.group("reference").rows
    assert main(["store", "inspect", location, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)[0]
    assert shown["digest"] == local.digest
    assert [group["rows"] for group in shown["groups"]] == [
        local.group(name).rows for name in ("reference", *(f"homologs/{g}" for g in local.genomes))
    ]
    assert main(["store", "bench", location, "--seconds", "0.1", "--batch-size", "8"]) == 0
    said = capsys.readouterr()
    assert "through zarr-python" in said.out
    assert location in said.out
    assert said.err == ""


def test_xarray_reads_every_place(location: str, folder: Path) -> None:
    data = xr.open_zarr(zarr_store(location), group="homologs/relative1")
    local = open_store(folder / "alpha.zarr").homologues("relative1")
    assert data["sequence"].dims == ("row", "position", "base")
    assert (data["label"].to_numpy() == local.column("label")).all()
    assert (data["sequence"][5:9].to_numpy() == local.one_hot(5, 9)).all()


# -- what can be wrong with a place --------------------------------------------------------------


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture
def plain_server(folder: Path) -> Iterator[str]:
    """Serve the folder with Python's own server, which ignores ranges."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)) as url:
        yield url


def test_a_server_without_ranges_is_said(plain_server: str) -> None:
    store = open_store(f"{plain_server}/alpha.zarr")
    with pytest.raises(StoreError, match="does not answer range requests"):
        store.group("reference").codes(0, 4)
    with pytest.raises(StoreError, match="does not answer range requests"):
        open_store(f"{plain_server}/alpha.zarr.zip")


def test_a_store_without_consolidated_metadata_is_not_empty_but_wrong(
    folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder / "alpha.zarr", tmp_path / "bare.zarr")
    edit_root(tmp_path / "bare.zarr", lambda root: root.pop("consolidated_metadata"))
    with serving(RangeServer([tmp_path / "bare.zarr"])) as url:
        for place in (tmp_path / "bare.zarr", f"{url}/bare.zarr"):
            with pytest.raises(StoreError, match="looks empty from here"):
                open_store(place)


@pytest.mark.parametrize("address", ["{web}/none.zarr", "{web}/", "{bucket}/none", "{bucket}"])
def test_nothing_there(address: str, web: str, bucket: str) -> None:
    with pytest.raises(StoreError, match=r"not a crosslabel store \(nothing at its root\)"):
        open_store(address.format(web=web, bucket=bucket))


@pytest.mark.parametrize("address", ["{web}/none.zip", "{bucket}/none.zip", "{folder}/none.zip"])
def test_no_such_zip(address: str, web: str, bucket: str, folder: Path) -> None:
    with pytest.raises(MissingInputError, match=r"none\.zip: no such"):
        open_store(address.format(web=web, bucket=bucket, folder=folder))


def test_no_server_and_no_bucket(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnreachableError, match="cannot be read"):
        open_store("http://127.0.0.1:9/alpha.zarr")
    other = bucket.replace(BUCKET, "no-such-bucket")
    with pytest.raises((StoreError, UnreachableError), match="no-such-bucket") as caught:
        open_store(f"{other}/alpha.zarr")
    assert "\n" not in str(caught.value)
    assert "AWS_SKIP_SIGNATURE" not in str(caught.value)  # there are keys
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(UnreachableError, match=r"; set AWS_ACCESS_KEY_ID .* AWS_SKIP_SIGNATURE"):
        open_store(f"{bucket}/alpha.zarr")


class _Failing(_Quiet):
    """Answers 503 twice, then as it should."""

    left = 2

    def send_head(self) -> Any:
        if type(self).left:
            type(self).left -= 1
            self.send_error(503)
            return None
        return super().send_head()


def test_a_server_that_stumbles_is_asked_again(folder: Path) -> None:
    handler = functools.partial(_Failing, directory=str(folder))
    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)) as url:
        data = read_value(zarr_store(f"{url}/alpha.zarr"), "zarr.json")
    assert data == (folder / "alpha.zarr" / "zarr.json").read_bytes()


@pytest.mark.parametrize(
    ("byte_range", "part"),
    [
        (None, slice(None)),
        (RangeByteRequest(0, 5), slice(0, 5)),
        (RangeByteRequest(2, 10**9), slice(2, None)),
        (RangeByteRequest(4, 4), slice(4, 4)),
        (OffsetByteRequest(3), slice(3, None)),
        (SuffixByteRequest(4), slice(-4, None)),
    ],
)
def test_ranges_are_those_of_a_slice_everywhere(
    byte_range: ByteRequest | None, part: slice, location: str
) -> None:
    store = zarr_store(location)
    assert store.read_only
    key = "reference/label/c/0/0"
    whole = read_value(store, key)
    assert whole
    assert sync(store.getsize(key)) == len(whole)
    assert read_value(store, key, byte_range) == whole[part]
    assert read_value(store, "nothing/zarr.json", byte_range) in (None, b""[part])
    assert not sync(store.exists("nothing/zarr.json"))
    with pytest.raises((FileNotFoundError, KeyError)):
        sync(store.getsize("nothing/zarr.json"))


def test_nothing_can_be_written_to_any_place(location: str) -> None:
    store = zarr_store(location)
    before = read_value(store, "zarr.json")
    assert before
    value = default_buffer_prototype().buffer.from_bytes(b"x")
    for change in (lambda: store.set("zarr.json", value), lambda: store.delete("zarr.json")):
        with pytest.raises(Exception, match="read-only"):
            sync(change())
    assert read_value(store, "zarr.json") == before
