"""Where DNABERT-2 comes from: folders, a Hugging Face cache, a server on loopback, nowhere."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from dnabert2_tools import SMALL, noise, tokenizer_text, write_bin

from ssldata.base.errors import (
    ConfigError,
    FetchError,
    InputError,
    MissingInputError,
    UnreachableError,
)
from ssldata.genomes.onehot import encode
from sslmodels.dnabert2 import bert_files
from sslmodels.dnabert2.bert_config import LoraOptions
from sslmodels.dnabert2.bert_files import REPOSITORY, find_dnabert2
from sslmodels.dnabert2.bert_model import DnabertMaskedLm
from sslmodels.dnabert2.bert_options import DnabertOptions, options_from
from sslmodels.dnabert2.lora import load_adapter, save_adapter
from sslmodels.dnabert2.pretrained import build_dnabert2, encoding_of

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

FILES = {
    "config.json": json.dumps(SMALL.as_dict()).encode(),
    "tokenizer.json": tokenizer_text().encode(),
    "pytorch_model.bin": bytes(range(256)) * 500,
}


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the user's caches or leaves loopback."""
    monkeypatch.setenv("CROSSLABEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(bert_files, "PUBLIC_URL", "http://127.0.0.1:9/nowhere")


def put(folder: Path, files: dict[str, bytes] = FILES) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


class Server:
    """Serves `files` below /model/; knows ranges and entity tags; can cut and announce."""

    def __init__(self) -> None:
        self.files = dict(FILES)
        self.announced: dict[str, str] = {}
        self.cuts: list[int] = []  # bytes of body to send in the next answers, then hang up
        self.requests: list[tuple[str, str | None]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                name, wanted = self.path.removeprefix("/model/"), self.headers.get("Range")
                outer.requests.append((name, wanted))
                body = outer.files.get(name)
                if body is None:
                    self.send_error(404)
                    return
                tag = f'"{digest(body)[:8]}"'
                start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
                if start and self.headers.get("If-Range") == tag:
                    if start >= len(body):
                        self.send_error(416)
                        return
                    body = body[start:]
                    self.send_response(206)
                else:
                    self.send_response(200)
                self.send_header("ETag", tag)
                if name in outer.announced:
                    self.send_header("X-Linked-ETag", f'"{outer.announced[name]}"')
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                cut = outer.cuts.pop(0) if outer.cuts and name.startswith("pytorch") else None
                self.wfile.write(body[:cut])

            def log_message(self, *_args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/model"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    with contextlib.closing(Server()) as running:
        yield running


def test_a_folder(tmp_path: Path):
    folder = put(tmp_path / "model")
    found = find_dnabert2(folder)
    assert (found.config, found.tokenizer) == (folder / "config.json", folder / "tokenizer.json")
    assert found.weights == folder / "pytorch_model.bin"
    assert found.origin == "folder"
    assert found.sha256 == {name: digest(data) for name, data in FILES.items()}
    put(folder, {"model.safetensors": b"x"})
    assert find_dnabert2(folder).weights == folder / "model.safetensors"
    assert find_dnabert2(folder / "pytorch_model.bin").weights == folder / "pytorch_model.bin"
    assert find_dnabert2(str(folder), weights=False).weights is None


def test_weights_in_several_files(tmp_path: Path):
    folder = put(tmp_path / "model")
    (folder / "pytorch_model.bin").rename(folder / "part.bin")
    index = folder / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "part.bin", "b": "other.bin"}}))
    with pytest.raises(MissingInputError, match=r"other\.bin: no such file, which .*index\.json"):
        find_dnabert2(folder)
    (folder / "other.bin").write_bytes(b"other")
    found = find_dnabert2(folder)
    assert found.weights == index
    # A change of any part is another model.
    assert found.sha256["other.bin"] == digest(b"other")
    assert found.sha256["part.bin"] == digest(FILES["pytorch_model.bin"])


def test_folders_that_lack_something(tmp_path: Path):
    with pytest.raises(MissingInputError, match="no such folder"):
        find_dnabert2(tmp_path / "none")
    folder = put(tmp_path / "model", {"config.json": b"{}"})
    with pytest.raises(MissingInputError, match=r"tokenizer\.json, model\.safetensors or pytorch"):
        find_dnabert2(folder)


def test_checksums_the_caller_gives(tmp_path: Path):
    folder = put(tmp_path / "model")
    right = digest(FILES["pytorch_model.bin"])
    assert find_dnabert2(folder, sha256={"pytorch_model.bin": right}).weights
    with pytest.raises(FetchError, match=f"expected sha256 {'0' * 64}, found {right}"):
        find_dnabert2(folder, sha256={"pytorch_model.bin": "0" * 64})
    with pytest.raises(ConfigError, match="64 hexadecimal digits"):
        find_dnabert2(folder, sha256={"pytorch_model.bin": "abc"})
    with pytest.raises(ConfigError, match=r"model\.safetensors: no such file is used"):
        find_dnabert2(folder, sha256={"model.safetensors": right})
    assert find_dnabert2(folder, weights=False, sha256={"pytorch_model.bin": right})


def snapshot(tmp_path: Path, revision: str, files: dict[str, bytes]) -> Path:
    """Lay out a revision as Hugging Face's tools do: links to blobs named by their checksum."""
    model = tmp_path / "hub" / f"models--{REPOSITORY.replace('/', '--')}"
    folder = model / "snapshots" / revision
    folder.mkdir(parents=True)
    (model / "blobs").mkdir(exist_ok=True)
    for name, data in files.items():
        blob = model / "blobs" / digest(data)
        blob.write_bytes(data)
        (folder / name).symlink_to(blob)
    return folder


def test_hugging_face_cache(tmp_path: Path):
    snapshot(tmp_path, "aaa", FILES)
    main = snapshot(tmp_path, "bbb", {**FILES, "pytorch_model.bin": b"other"})
    refs = main.parent.parent / "refs"
    refs.mkdir()
    (refs / "main").write_text("bbb")
    found = find_dnabert2()
    assert (found.weights, found.origin) == (main / "pytorch_model.bin", "huggingface cache")
    (main / "pytorch_model.bin").unlink()  # a cut download of main: the other revision is whole
    assert find_dnabert2().weights == main.parent / "aaa" / "pytorch_model.bin"
    assert find_dnabert2(weights=False).config == main / "config.json"


def test_a_damaged_hugging_face_cache_is_noticed(tmp_path: Path):
    folder = snapshot(tmp_path, "aaa", FILES)
    (folder / "pytorch_model.bin").resolve().write_bytes(b"damaged")
    with pytest.raises(FetchError, match="expected sha256"):
        find_dnabert2()


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"HF_HUB_CACHE": "/a"}, "/a"),
        ({"HUGGINGFACE_HUB_CACHE": "/b", "HF_HOME": "/c"}, "/b"),
        ({"HF_HOME": "/c", "XDG_CACHE_HOME": "/d"}, "/c/hub"),
        ({"XDG_CACHE_HOME": "/d"}, "/d/huggingface/hub"),
        ({"HOME": "/e"}, "/e/.cache/huggingface/hub"),
    ],
)
def test_where_that_cache_is(variables, expected, monkeypatch: pytest.MonkeyPatch):
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert bert_files.huggingface_cache() == Path(expected)


def test_download_once(server: Server):
    found = find_dnabert2(server.url + "/")
    assert found.origin == "url"
    assert found.weights.read_bytes() == FILES["pytorch_model.bin"]
    names = [name for name, _ in server.requests]
    assert names == ["config.json", "tokenizer.json", "model.safetensors", "pytorch_model.bin"]
    server.requests.clear()
    again = find_dnabert2(server.url, offline=True)
    assert (again.weights, again.origin) == (found.weights, "cache")
    assert not server.requests
    assert not list(found.config.parent.glob("*.part*"))


def test_safetensors_come_first(server: Server):
    server.files["model.safetensors"] = b"safe"
    assert find_dnabert2(server.url).weights.name == "model.safetensors"
    assert "pytorch_model.bin" not in [name for name, _ in server.requests]


def test_what_was_damaged_in_the_cache_is_downloaded_again(server: Server):
    found = find_dnabert2(server.url)
    found.weights.write_bytes(b"damaged")
    assert find_dnabert2(server.url).weights.read_bytes() == FILES["pytorch_model.bin"]


def test_a_cut_download_is_continued(server: Server):
    server.cuts = [100_000]
    with pytest.raises(UnreachableError, match="the connection broke; what came is kept"):
        find_dnabert2(server.url)
    found = find_dnabert2(server.url)
    assert server.requests[-1] == ("pytorch_model.bin", "bytes=65536-")
    assert found.weights.read_bytes() == FILES["pytorch_model.bin"]


def test_a_download_of_a_file_that_changed_starts_anew(server: Server):
    server.cuts = [100_000]
    with pytest.raises(UnreachableError):
        find_dnabert2(server.url)
    server.files["pytorch_model.bin"] = b"new" * 30_000
    assert find_dnabert2(server.url).weights.read_bytes() == b"new" * 30_000


def test_a_part_longer_than_the_file(server: Server):
    server.cuts = [100_000]
    with pytest.raises(UnreachableError):
        find_dnabert2(server.url)
    part = next(Path(bert_files.cache_dir("dnabert2")).glob("*/*.part"))
    part.write_bytes(b"x" * 999_999)
    assert find_dnabert2(server.url).weights.read_bytes() == FILES["pytorch_model.bin"]


@pytest.mark.parametrize("who", ["host", "caller"])
def test_a_wrong_download_is_thrown_away(server: Server, who):
    if who == "host":
        server.announced["pytorch_model.bin"] = "1" * 64
    expected = {"pytorch_model.bin": "1" * 64} if who == "caller" else None
    with pytest.raises(FetchError, match=r"expected sha256 1111.*thrown away"):
        find_dnabert2(server.url, sha256=expected)
    assert not list(bert_files.cache_dir("dnabert2").rglob("pytorch*"))
    server.announced["pytorch_model.bin"] = digest(FILES["pytorch_model.bin"])
    assert find_dnabert2(server.url).weights


def test_a_host_without_the_files(server: Server):
    server.files.pop("pytorch_model.bin")
    with pytest.raises(UnreachableError, match=r"pytorch_model\.bin cannot be had \(HTTP 404\)"):
        find_dnabert2(server.url)


@pytest.mark.parametrize("how", ["argument", "environment", "no network"])
def test_offline_says_what_to_do(how, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    if how == "environment":
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UnreachableError) as caught:
        find_dnabert2(offline=how == "argument")
    message = str(caught.value)
    assert ("cannot connect" if how == "no network" else "not tried: offline") in message
    assert str(tmp_path / "hub") in message
    assert "on a machine that is online, download config.json, tokenizer.json" in message
    assert "468 MB" in message
    assert caught.value.exit_code == 3


def test_a_full_disk(server: Server, monkeypatch: pytest.MonkeyPatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bert_files.os, "fsync", full)
    with pytest.raises(FetchError, match=r"No space left on device\); make room"):
        find_dnabert2(server.url)


@pytest.fixture
def small_model(tmp_path: Path) -> Path:
    tensors = {t.name: noise(t.name, t.shape) for t in DnabertMaskedLm(SMALL).tensors()}
    folder = put(tmp_path / "small")
    write_bin(folder / "pytorch_model.bin", tensors)
    return folder


CODES = np.stack([encode("ACGTTNNACGCGCGAATAATGATTACGT"), encode("CGCGCGCGCGCGAATACGAAAACTTTTT")])


def test_from_files_to_predictions(small_model: Path, tmp_path: Path):
    built = build_dnabert2(length=28, outputs=2, seed=1, options=DnabertOptions(source=small_model))
    assert built.report is not None
    assert built.report.parameters == SMALL.backbone_parameters
    assert built.model.lora == LoraOptions()
    assert built.model.train_pooler
    scores = built.model(built.model.encoder(CODES))
    assert scores.shape == (2, 2)
    # Another user with the same weights needs the adapter alone.
    save_adapter(built.model, tmp_path / "adapter")
    other = build_dnabert2(
        length=28, outputs=2, seed=2, options=DnabertOptions(source=small_model)
    ).model
    load_adapter(other, tmp_path / "adapter")
    np.testing.assert_array_equal(other(other.encoder(CODES)), scores)


def test_random_weights_need_no_checkpoint(tmp_path: Path):
    files = {name: data for name, data in FILES.items() if name != "pytorch_model.bin"}
    options = DnabertOptions(
        source=put(tmp_path / "bare", files), pretrained=False, pooling="mean", lora=None
    )
    built = build_dnabert2(length=28, seed=1, options=options)
    assert built.report is None
    assert len(built.model.trainable_variables) == len(built.model.weights)
    assert built.model.encoder(CODES).shape == (2, 16)


def test_options_of_a_project_file(small_model: Path, tmp_path: Path):
    settings = {
        "folder": small_model,
        "url": None,
        "pooling": "mean",
        "lora": {"rank": 4, "alpha": 8, "dropout": 0, "targets": ["Wqkv", "wo"]},
        "tokens": 20,
    }
    options = options_from(settings)
    assert options.source == small_model
    assert options.lora == LoraOptions(rank=4, alpha=8, dropout=0, targets=("Wqkv", "wo"))
    identity = options.identity()
    assert json.loads(json.dumps(identity)) == identity
    assert sorted(identity["files"]) == ["config.json", "pytorch_model.bin", "tokenizer.json"]
    # The same files elsewhere are the same model, other options are not.
    moved = shutil.copytree(small_model, tmp_path / "moved")
    assert options_from({**settings, "folder": moved}).identity() == identity
    plain = options_from({**settings, "lora": None})
    assert plain.lora is None
    assert plain.identity() != identity
    address = options_from({**settings, "folder": None, "url": "http://127.0.0.1:9/x"})
    assert address.source == "http://127.0.0.1:9/x"


def test_how_the_reader_hands_rows_over(small_model: Path):
    built = build_dnabert2(length=28, seed=1, options=DnabertOptions(source=small_model))
    encoding = encoding_of(built.model)
    assert (encoding.kind, encoding.tokenizer) == ("tokens", built.model.encoder)
    assert encoding_of(object()).kind == "codes"
    assert built.model.score_batch == 8192 // 16


def test_files_that_do_not_belong_together(small_model: Path):
    wider = {**SMALL.as_dict(), "hidden_size": 48}
    (small_model / "config.json").write_text(json.dumps(wider))
    with pytest.raises(InputError, match=r"of another shape: .*expected \(64, 48\)"):
        build_dnabert2(length=28, seed=1, options=DnabertOptions(source=small_model))
    fewer = {**SMALL.as_dict(), "vocab_size": 8}
    (small_model / "config.json").write_text(json.dumps(fewer))
    with pytest.raises(ConfigError, match="use the tokenizer"):
        build_dnabert2(length=28, seed=1, options=DnabertOptions(source=small_model))
