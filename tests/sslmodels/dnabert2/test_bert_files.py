"""Where DNABERT-2 comes from: folders, a Hugging Face cache, servers on loopback, nowhere."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from checkpoint_tools import write_bin
from dnabert2_tools import SMALL, backbone_parameters, noise, tokenizer_text
from huggingface_hub import constants, file_download

from ssldata.base.errors import (
    ConfigError,
    FetchError,
    InputError,
    MissingInputError,
    UnreachableError,
)
from ssldata.genomes.onehot import encode
from sslmodels.dnabert2 import bert_files, hub_download
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


HUB_PATH = f"/{REPOSITORY}/resolve/main"


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the user's caches or leaves loopback; nobody waits for a server that broke."""
    monkeypatch.setenv("CROSSLABEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 2**16)
    monkeypatch.setattr(file_download.time, "sleep", lambda _seconds: None)


def put(folder: Path, files: dict[str, bytes] = FILES) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


class Server:
    """Serves `files` below /model/ and, as the Hub does, below /zhihan1996/…/resolve/main/.

    Knows ranges and entity tags; can cut, and announce checksums. As the Hub does, it sends the
    commit, and redirects large files to another host, the tag and size of the file in that answer.
    """

    def __init__(self) -> None:
        self.files = dict(FILES)
        self.announced: dict[str, str] = {}
        self.sizes: dict[str, int] = {}  # wrong ones, in answers to HEAD
        self.cuts: list[int] = []  # bytes of body to send in the next answers, then hang up
        self.heads: list[str] = []
        self.gets: list[tuple[str, str | None]] = []
        self.others: list[str] = []  # requests of anything but the files
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self):
                self.answer(None)

            def do_GET(self):
                self.answer(self.headers.get("Range"))

            def answer(self, wanted):
                get = self.command == "GET"
                place, _, name = self.path.rpartition("/")
                if place not in {"/model", HUB_PATH, "/storage"}:
                    outer.others.append(self.path)
                if get:
                    outer.gets.append((name, wanted))
                elif place != "/storage":
                    outer.heads.append(name)
                body = outer.files.get(name)
                if body is None:
                    self.send_response(404)
                    self.send_header("X-Error-Code", "EntryNotFound")
                    self.end_headers()
                    return
                redirected = place == HUB_PATH and name.startswith("pytorch")
                tag = f'"{digest(body)[:8]}"'
                start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
                self.send_response(302 if redirected else 206 if start else 200)
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
                if redirected:
                    self.send_header("Location", f"{outer.storage}/storage/{name}")
                    self.send_header("X-Linked-Size", str(len(body)))
                    self.send_header(
                        "X-Linked-ETag", f'"{outer.announced.get(name, digest(body))}"'
                    )
                elif name in outer.announced:
                    self.send_header("X-Linked-ETag", f'"{outer.announced[name]}"')
                if place == HUB_PATH:
                    self.send_header("X-Repo-Commit", "c" * 40)
                body = b"" if redirected else body[start:]
                self.send_header("ETag", tag)
                size = len(body) if get else outer.sizes.get(name, len(body))
                self.send_header("Content-Length", str(size))
                self.end_headers()
                if get:
                    cut = outer.cuts.pop(0) if outer.cuts and name.startswith("pytorch") else None
                    self.wfile.write(body[:cut])

            def log_message(self, *_args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        port = self._server.server_address[1]
        self.host = f"http://127.0.0.1:{port}"
        self.storage = f"http://localhost:{port}"  # another host than the one above
        self.url = f"{self.host}/model"

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
def test_where_that_cache_is(variables, expected):
    """In a process of its own: the library reads the environment when it is imported."""
    script = (
        "import sys; from sslmodels.dnabert2.bert_files import find_dnabert2\n"
        "try: find_dnabert2(offline=True)\n"
        "except OSError as exc: print(exc)"
    )
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "XDG_", "HUGGING"))}
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        capture_output=True,
        text=True,
        env={**clean, **variables},
    )
    assert f"nor in the Hugging Face cache {expected};" in done.stdout


def test_download_once(server: Server):
    found = find_dnabert2(server.url + "/")
    assert found.origin == "url"
    assert found.weights.read_bytes() == FILES["pytorch_model.bin"]
    names = ["config.json", "tokenizer.json", "model.safetensors", "pytorch_model.bin"]
    assert server.heads == names
    assert [name for name, _ in server.gets] == [name for name in names if name in FILES]
    server.heads.clear()
    server.gets.clear()
    again = find_dnabert2(server.url, offline=True)
    assert (again.weights, again.origin) == (found.weights, "cache")
    assert not server.heads + server.gets + server.others
    assert not list(found.config.parent.glob("*.part*"))


def test_the_hub(server: Server, monkeypatch: pytest.MonkeyPatch):
    """As huggingface.co: redirects large files to another host, announces their checksums."""
    monkeypatch.setattr(constants, "ENDPOINT", server.host)
    reported: list[tuple[str, float | None]] = []
    received: list[float] = []

    class Reporter:
        @contextlib.contextmanager
        def task(self, description: str, total: float | None = None):
            reported.append((description, total))
            yield received.append

    found = find_dnabert2(progress=Reporter())
    assert found.origin == "url"
    assert found.sha256 == {name: digest(data) for name, data in FILES.items()}
    assert find_dnabert2(offline=True).origin == "cache"
    assert reported == [(f"Downloading {name}", len(data)) for name, data in FILES.items()]
    assert sum(received) == sum(len(data) for data in FILES.values())
    assert not server.others  # no telemetry, no other question about this machine
    server.announced["pytorch_model.bin"] = "1" * 64
    found.weights.unlink()
    with pytest.raises(FetchError, match=r"expected sha256 1111.*thrown away"):
        find_dnabert2()


def test_safetensors_come_first(server: Server):
    server.files["model.safetensors"] = b"safe"
    assert find_dnabert2(server.url).weights.name == "model.safetensors"
    assert "pytorch_model.bin" not in server.heads + [name for name, _ in server.gets]


def test_what_was_damaged_in_the_cache_is_downloaded_again(server: Server):
    found = find_dnabert2(server.url)
    found.weights.write_bytes(b"damaged")
    assert find_dnabert2(server.url).weights.read_bytes() == FILES["pytorch_model.bin"]


def test_a_cut_transfer_is_continued_at_once(server: Server):
    server.cuts = [100_000]
    found = find_dnabert2(server.url)
    assert server.gets[-2:] == [("pytorch_model.bin", None), ("pytorch_model.bin", "bytes=65536-")]
    assert found.weights.read_bytes() == FILES["pytorch_model.bin"]


#: The server hangs up until the library gives up.
BROKEN = [100_000, *[0] * 5]


def test_a_cut_download_is_continued(server: Server):
    server.cuts = list(BROKEN)
    with pytest.raises(UnreachableError, match="the connection broke; what was received is kept"):
        find_dnabert2(server.url)
    before = len(server.gets)
    found = find_dnabert2(server.url)
    assert server.gets[before:] == [("pytorch_model.bin", "bytes=65536-")]
    assert found.weights.read_bytes() == FILES["pytorch_model.bin"]


def test_a_download_of_a_file_that_changed_starts_over(server: Server):
    server.cuts = list(BROKEN)
    with pytest.raises(UnreachableError):
        find_dnabert2(server.url)
    server.files["pytorch_model.bin"] = b"new" * 30_000
    found = find_dnabert2(server.url)
    assert found.weights.read_bytes() == b"new" * 30_000
    assert not list(found.weights.parent.glob("*.part"))


def test_a_part_longer_than_the_file(server: Server):
    server.cuts = list(BROKEN)
    with pytest.raises(UnreachableError):
        find_dnabert2(server.url)
    part = next(Path(bert_files.cache_dir("dnabert2")).glob("*/*.part"))
    part.write_bytes(b"x" * 999_999)
    assert find_dnabert2(server.url).weights.read_bytes() == FILES["pytorch_model.bin"]


def test_a_part_that_is_whole_is_not_downloaded_again(server: Server):
    server.cuts = list(BROKEN)
    with pytest.raises(UnreachableError):
        find_dnabert2(server.url)
    part = next(Path(bert_files.cache_dir("dnabert2")).glob("*/*.part"))
    part.write_bytes(FILES["pytorch_model.bin"])
    before = len(server.gets)
    assert find_dnabert2(server.url).weights.read_bytes() == FILES["pytorch_model.bin"]
    assert len(server.gets) == before


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


def test_a_download_of_another_size_is_thrown_away(server: Server):
    server.sizes["pytorch_model.bin"] = 5
    with pytest.raises(FetchError, match=r"expected 5 bytes, received .*thrown away"):
        find_dnabert2(server.url)
    assert not list(bert_files.cache_dir("dnabert2").rglob("pytorch*"))
    server.sizes.clear()
    assert find_dnabert2(server.url).weights


def test_without_the_library_a_folder_can_be_named(tmp_path: Path):
    script = (
        "import sys; sys.modules['huggingface_hub'] = None\n"
        "from sslmodels.dnabert2.bert_files import find_dnabert2\n"
        "print(find_dnabert2(sys.argv[1]).origin)\n"
        "try: find_dnabert2()\n"
        "except ValueError as exc: print(exc)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(put(tmp_path / "model"))],
        check=True,
        capture_output=True,
        text=True,
    )
    origin, message = done.stdout.splitlines()
    assert origin == "folder"
    assert "install crosslabel[dnabert2], or name a folder" in message


def test_a_host_without_the_files(server: Server):
    server.files.pop("pytorch_model.bin")
    with pytest.raises(UnreachableError, match=r"pytorch_model\.bin is not available \(HTTP 404\)"):
        find_dnabert2(server.url)


@pytest.mark.parametrize("how", ["argument", "environment", "no network"])
def test_offline_says_what_to_do(how, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    if how == "environment":
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UnreachableError) as caught:
        find_dnabert2(offline=how == "argument")
    message = str(caught.value)
    assert ("cannot connect" if how == "no network" else "not tried: offline") in message
    assert str(tmp_path / "hub") in message
    assert "on a machine with internet access, download config.json, tokenizer.json" in message
    assert "468 MB" in message
    assert caught.value.exit_code == 3


def test_a_full_disk(server: Server, monkeypatch: pytest.MonkeyPatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(hub_download.os, "fsync", full)
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
    assert built.report.parameters == backbone_parameters(SMALL)
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
