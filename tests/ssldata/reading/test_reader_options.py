"""What a reader can be asked for: encodings, shards, caches, states, weights; always the rows."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from small_store import LENGTH, write_store

from ssldata.base.errors import ConfigError, StoreError
from ssldata.genomes.onehot import one_hot
from ssldata.reading import chunk_cache, read_speed, reader
from ssldata.reading.chunk_cache import ChunkCache
from ssldata.reading.epoch_order import EpochOrder
from ssldata.reading.mixture import Mixture, Segment, mixture_of
from ssldata.reading.noisy_weights import Weights
from ssldata.reading.read_speed import bench, peak_memory, verdict_of
from ssldata.reading.read_window import loci_of
from ssldata.reading.reader import Encoding, TrainingReader, reading_errors, rows_dataset
from ssldata.store.chunk_reader import ChunkReader
from ssldata.store.store import Store

ROWS = {
    "reference": (0, 300, 30, 40),
    "homologs/a": (150, 0, 0, 0),
    "homologs/b": (90, 0, 5, 5),
}
BATCH = 16


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_store(tmp_path_factory.mktemp("reader") / "s.zarr", rows=ROWS)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_store(tmp_path_factory.mktemp("reader") / "s.zarr", rows=ROWS, codes=False)


@pytest.fixture
def many_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make windows so small that an epoch has many."""
    monkeypatch.setattr(reader, "WINDOW_CHUNKS", 6)


def mixture(**options: Any) -> Mixture:
    return Mixture(
        (Segment("homologs/a", 0, 150), Segment("homologs/b", 0, 90)),
        (Segment("reference", 0, 300),),
        **{"seed": 5, "redraw": True, **options},
    )


def read(store: Store, count: int, mix: Mixture | None = None, **options: Any) -> list[bytes]:
    """Return the bytes of the first batches, every part of them."""
    place = {k: options.pop(k) for k in ("start_epoch", "start_step") if k in options}
    data = TrainingReader(store, mix or mixture(), batch_size=BATCH, **options).dataset(**place)
    return [b"".join(part.numpy().tobytes() for part in batch) for batch in data.take(count)]


STEPS = mixture().steps(BATCH)


@pytest.mark.usefixtures("many_windows")
@pytest.mark.parametrize(
    "options",
    [
        {"direct": False},
        {"threads": 4},
        {"threads": 1},
        pytest.param({"small": 0}, id="nothing kept"),
        pytest.param({"small": 10**9}, id="all kept"),
    ],
)
def test_how_it_is_read_changes_nothing(
    store: Store, bare: Store, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    expected = read(store, 3 * STEPS)
    if "small" in options:
        monkeypatch.setattr(chunk_cache, "SMALL_BYTES", options["small"])
        options = {}
    assert read(store, 3 * STEPS, **options) == expected
    assert read(bare, 3 * STEPS, **options) == expected


@pytest.mark.usefixtures("many_windows")
def test_every_row_once_per_epoch(store: Store) -> None:
    got: Counter[bytes] = Counter()
    data = TrainingReader(store, mixture(), batch_size=BATCH, threads=3).dataset()
    codes = [batch[0].numpy() for batch in data.take(2 * STEPS)]
    for name, count in (("homologs/a", 150), ("homologs/b", 90)):
        got.update(row.tobytes() for row in store.group(name).codes(0, count))
    for part in (codes[:STEPS], codes[STEPS:]):
        found = Counter(row.tobytes() for row in np.concatenate(part))
        assert all(found[row] == times for row, times in got.items() if row != bytes([4] * LENGTH))


def test_one_homologue_per_locus_from_a_store(store: Store) -> None:
    segments = mixture().positives
    loci = loci_of(store, segments)
    assert [len(x) for x in loci] == [150, 90]
    mix = mixture(loci=loci)
    made = TrainingReader(store, mix, batch_size=BATCH)
    assert made.mixture.positive_rows == 75  # two rows per locus in a; those of b are among them
    weights = Weights({s.group: x.astype(np.float32) for s, x in zip(segments, loci, strict=True)})
    made = TrainingReader(store, mix, batch_size=BATCH, weights=weights)
    parts = [(y.numpy()[:, 0], w.numpy()) for _, y, w in made.dataset().take(made.steps_per_epoch)]
    label, drawn = (np.concatenate(x) for x in zip(*parts, strict=True))
    assert sorted(drawn[label == 1]) == list(range(75))


# -- encodings -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "uint8"])
def test_one_hot_of_any_type(store: Store, dtype: str) -> None:
    codes = next(iter(TrainingReader(store, mixture(), batch_size=BATCH).dataset()))[0].numpy()
    encoding = Encoding(kind="onehot", dtype=dtype)
    data = TrainingReader(store, mixture(), batch_size=BATCH, encoding=encoding).dataset()
    assert data.element_spec[0].shape.as_list() == [BATCH, LENGTH, 4]
    hot = next(iter(data))[0]
    assert hot.dtype == tf.as_dtype(dtype)
    assert (tf.cast(hot, "float32").numpy() == one_hot(codes)).all()
    assert (codes == 4).any()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_n_as_quarters(store: Store, dtype: str) -> None:
    codes = next(iter(TrainingReader(store, mixture(), batch_size=BATCH).dataset()))[0].numpy()
    encoding = Encoding(kind="onehot", dtype=dtype, unknown=0.25)
    data = TrainingReader(store, mixture(), batch_size=BATCH, encoding=encoding).dataset()
    hot = tf.cast(next(iter(data))[0], "float32").numpy()
    assert (hot[codes == 4] == 0.25).all()
    assert (hot[codes < 4] == one_hot(codes)[codes < 4]).all()


def three_letters(codes: np.ndarray) -> np.ndarray:
    return codes.reshape(len(codes), -1, 3).astype(np.int32) @ np.array([25, 5, 1], np.int32)


def test_tokens_of_a_callers_tokenizer(store: Store) -> None:
    plain = TrainingReader(store, mixture(), batch_size=BATCH).dataset().take(5)
    encoding = Encoding(kind="tokens", tokenizer=three_letters)
    data = TrainingReader(store, mixture(), batch_size=BATCH, encoding=encoding).dataset()
    assert data.element_spec[0].shape.as_list() == [BATCH, LENGTH // 3]
    for (codes, *_), (tokens, *_) in zip(plain, data.take(5), strict=True):
        assert (tokens.numpy() == three_letters(codes.numpy())).all()


def test_a_tokenizer_of_changing_width_is_refused(store: Store) -> None:
    encoding = Encoding(kind="tokens", tokenizer=lambda codes: codes[:, : len(codes)])
    made = TrainingReader(store, mixture(), batch_size=BATCH, encoding=encoding)
    with pytest.raises(ConfigError, match="pad and cut every row to one width"):
        made.window(0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "letters"}, "expected codes, onehot or tokens"),
        ({"kind": "tokens"}, "'tokens' needs a tokenizer"),
        ({"tokenizer": three_letters}, "the others take none"),
        ({"dtype": "float64"}, "expected float32"),
        ({"kind": "onehot", "unknown": 0.5}, "0.25 of floats"),
        ({"kind": "onehot", "unknown": 0.25, "dtype": "uint8"}, "0.25 of floats"),
    ],
)
def test_wrong_encodings(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Encoding(**options)


def test_shapes_are_static_where_batches_are_whole(store: Store) -> None:
    def shapes(batch: int, **options: Any) -> list[list[int | None]]:
        data = TrainingReader(store, mixture(), batch_size=batch, **options).dataset()
        return [spec.shape.as_list() for spec in data.element_spec]

    assert shapes(16) == [[16, LENGTH], [16, 1], [16]]  # 480 rows
    assert shapes(7) == [[None, LENGTH], [None, 1], [None]]
    assert shapes(7, drop_remainder=True) == [[7, LENGTH], [7, 1], [7]]
    made = TrainingReader(store, mixture(), batch_size=7, drop_remainder=True)
    assert made.steps_per_epoch == 68
    assert {len(batch[0]) for batch in made.dataset().take(140)} == {7}


# -- shards --------------------------------------------------------------------------------------


def test_shards_together_are_the_epoch(store: Store) -> None:
    def rows(**options: Any) -> Counter[bytes]:
        made = TrainingReader(store, mixture(), batch_size=BATCH, **options)
        data = made.dataset().take(made.steps_per_epoch)
        return Counter(row.tobytes() for batch in data for row in batch[0].numpy())

    parts = [rows(num_shards=7, shard=i) for i in range(7)]
    assert [part.total() for part in parts] == [68, 69, 68, 69, 68, 69, 69]
    assert sum(parts, Counter()) == rows()


# -- states --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("many_windows")
@pytest.mark.parametrize("used", [0, 1, 7, STEPS, 2 * STEPS + 11])
@pytest.mark.parametrize(
    "options",
    [{}, {"num_shards": 2, "shard": 1}, {"encoding": Encoding(kind="onehot"), "threads": 3}],
    ids=["plain", "shard", "one-hot"],
)
def test_a_fresh_reader_continues_from_its_state(
    store: Store, used: int, options: dict[str, Any]
) -> None:
    mix = mixture()
    weights = Weights({"homologs/a": np.full(150, 0.5, np.float32)}, noise_sd=0.1, seed=2)
    first = TrainingReader(store, mix, batch_size=BATCH, weights=weights, **options)
    state = json.loads(json.dumps(first.state(used)))
    assert all(type(value) is int for value in state.values())
    fresh = TrainingReader(store, mix, batch_size=BATCH, weights=weights, **options)
    whole = [[p.numpy().tobytes() for p in b] for b in first.dataset().take(used + STEPS)]
    rest = [[p.numpy().tobytes() for p in b] for b in fresh.restore(state).take(STEPS)]
    assert rest == whole[used:]


def test_a_state_of_another_order_is_refused(store: Store, bare: Store) -> None:
    state = TrainingReader(store, mixture(), batch_size=BATCH).state(3)
    assert TrainingReader(bare, mixture(), batch_size=BATCH).state(3) == state  # equal content
    for other in (mixture(seed=6), mixture(ratio=0.5), mixture(balance="none")):
        with pytest.raises(ConfigError, match="of another store, mixture or batch size"):
            TrainingReader(store, other, batch_size=BATCH).restore(state)
    with pytest.raises(ConfigError, match="another store, mixture"):
        TrainingReader(store, mixture(), batch_size=BATCH + 1).restore(state)

    def some(first: int) -> TrainingReader:
        chosen = Segment("homologs/a", 0, 150, np.arange(first, 150, 2))
        return TrainingReader(store, Mixture((chosen,), mixture().negatives), batch_size=BATCH)

    with pytest.raises(ConfigError, match="another store, mixture"):
        some(0).restore(some(1).state(3))

    def of_loci(*first: int) -> TrainingReader:
        loci = tuple(np.arange(n) + x for n, x in zip((150, 90), first, strict=True))
        return TrainingReader(store, mixture(loci=loci), batch_size=BATCH)

    assert of_loci(0, 150).steps_per_epoch == of_loci(0, 200).steps_per_epoch
    with pytest.raises(ConfigError, match="another store, mixture"):
        of_loci(0, 150).restore(of_loci(0, 200).state(3))


def test_a_state_of_other_chunks_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal rows in other chunks, as in a store that was copied into others, come otherwise."""
    state = TrainingReader(store, mixture(), batch_size=BATCH).state(3)
    monkeypatch.setattr(reader, "WINDOW_CHUNKS", 6)
    with pytest.raises(ConfigError, match="another store, mixture"):
        TrainingReader(store, mixture(), batch_size=BATCH).restore(state)


def test_an_epoch_without_a_batch_is_refused(store: Store) -> None:
    rows = mixture().rows
    TrainingReader(store, mixture(), batch_size=rows, drop_remainder=True)
    with pytest.raises(ConfigError, match=f"no batch of {rows + 1} rows in an epoch of {rows}"):
        TrainingReader(store, mixture(), batch_size=rows + 1, drop_remainder=True)
    with pytest.raises(ConfigError, match="lower the batch size or the number of shards"):
        TrainingReader(store, mixture(), batch_size=1, num_shards=rows + 1)


VICTIM = """
import hashlib, json, sys, time
sys.path.insert(0, sys.argv[3])
from test_reader_options import BATCH, mixture, reader
from ssldata.store.store import open_store
reader.WINDOW_CHUNKS = 6
made = reader.TrainingReader(open_store(sys.argv[1]), mixture(), batch_size=BATCH, threads=2)
with open(sys.argv[2], "a") as log:
    for done, batch in enumerate(made.dataset(), start=1):
        parts = b"".join(part.numpy().tobytes() for part in batch)
        digest = hashlib.sha256(parts).hexdigest()
        log.write(json.dumps({"state": made.state(done), "digest": digest}) + "\\n")
        log.flush()
        time.sleep(0.01)
"""


def killed_after(path: Path, log: Path, batches: int) -> list[Any]:
    """Run a reading process, kill it with SIGKILL once it logged so many batches."""
    command = [sys.executable, "-c", VICTIM, str(path), str(log), str(Path(__file__).parent)]
    process = subprocess.Popen(command, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})
    try:
        limit = time.monotonic() + 900
        while not log.exists() or log.read_bytes().count(b"\n") < batches:
            assert process.poll() is None, "the reading process ended by itself"
            assert time.monotonic() < limit, "the reading process is too slow"
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL
    lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


@pytest.mark.usefixtures("many_windows")
def test_a_killed_reader_goes_on_where_it_was(store: Store, tmp_path: Path) -> None:
    killed = killed_after(Path(store.location), tmp_path / "log", STEPS + 8)
    cut = killed[STEPS + 4]["state"]
    assert (cut["epoch"], cut["step"]) == (1, 5)
    data = TrainingReader(store, mixture(), batch_size=BATCH).restore(cut)
    rest = [b"".join(part.numpy().tobytes() for part in b) for b in data.take(2 * STEPS - 5)]
    expected = [hashlib.sha256(part).hexdigest() for part in read(store, 3 * STEPS)]
    got = [line["digest"] for line in killed[: STEPS + 5]]
    assert got + [hashlib.sha256(part).hexdigest() for part in rest] == expected


# -- cache ---------------------------------------------------------------------------------------


def test_a_chunk_in_use_is_never_overwritten(store: Store) -> None:
    group = store.group("reference")
    cache = ChunkCache(store, budget=0)
    with cache.chunk("reference", 0) as first:
        kept = first.copy()
        for number in range(1, 40):
            with cache.chunk("reference", number % 37) as other:
                number = number % 37
                end = min(8, group.rows - 8 * number)
                assert (other[:end] == group.codes(8 * number, 8 * number + end)).all()
        assert (first == kept).all()


def test_a_chunk_that_fails_is_tried_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = ChunkCache(store, budget=10**6)
    with monkeypatch.context() as patch:
        patch.setattr(cache.reader("reference"), "decode", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError), cache.chunk("reference", 2):
            pass
    with cache.chunk("reference", 2) as codes:
        assert (codes == store.group("reference").codes(16, 24)).all()


@pytest.mark.usefixtures("many_windows")
@pytest.mark.parametrize(("small", "times"), [(0, 3), (10**9, 1)], ids=["streamed", "kept"])
def test_every_chunk_is_decoded_once_an_epoch(
    store: Store, monkeypatch: pytest.MonkeyPatch, small: int, times: int
) -> None:
    monkeypatch.setattr(chunk_cache, "SMALL_BYTES", small)
    decoded: Counter[tuple[str, int]] = Counter()
    genuine = ChunkReader.decode

    def counted(self: Any, number: int, out: np.ndarray) -> None:
        decoded[self.group.name, number] += 1
        genuine(self, number, out)

    monkeypatch.setattr(ChunkReader, "decode", counted)
    mix = mixture(ratio=1.25)  # all 300 negatives
    made = TrainingReader(store, mix, batch_size=BATCH)
    windows = len(
        EpochOrder(
            mix,
            0,
            batch_size=BATCH,
            chunks=dict.fromkeys(ROWS, 8),
            window_rows=8 * reader.WINDOW_CHUNKS,
        )
    )
    assert windows > 5
    for number in range(3 * windows):
        made.window(number)
    chunks = {"homologs/a": 19, "homologs/b": 12, "reference": 38}
    for name, count in chunks.items():
        found = [n for (group, _), n in decoded.items() if group == name]
        assert len(found) == count
        # The run of negatives begins in the middle of a chunk and ends there, so twice once.
        assert sum(found) <= times * (count + 1)


def test_damage_is_told_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "s.zarr"
    made = write_store(path, rows=ROWS)
    file = path / "homologs" / "a" / "sequence_codes" / "c" / "0" / "0"
    file.write_bytes(file.read_bytes()[:-9])
    data = TrainingReader(made, mixture(), batch_size=BATCH).dataset()
    with pytest.raises(StoreError, match="the index of the shard is damaged"), reading_errors():
        next(iter(data))
    rows = rows_dataset(made, "homologs/a", 0, 9, batch_size=3)
    with pytest.raises(StoreError, match="the index of the shard is damaged"), reading_errors():
        next(iter(rows))
    with pytest.raises(tf.errors.InvalidArgumentError), reading_errors():
        tf.reshape(tf.zeros(3), (2, 2))


# -- rows in order -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "end"), [(0, 370), (3, 5), (7, 9), (300, 300), (8, 16), (13, 99)]
)
@pytest.mark.parametrize("batch", [1, 7, 64])
def test_ranges_of_rows(store: Store, first: int, end: int, batch: int) -> None:
    data = rows_dataset(store, "reference", first, end, batch_size=batch, context=20)
    parts = [part.numpy() for part in data]
    got = np.concatenate([np.empty((0, 20), np.uint8), *parts])
    assert (got == store.group("reference").codes(first, end)[:, 2:22]).all()
    assert {len(part) for part in parts[:-1]} <= {batch}


# -- measuring -----------------------------------------------------------------------------------


def test_bench_reports_speed_and_waiting(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock of its own: a batch takes 0.1 s, as one-hot 0.2 s, a step 0.02 s more."""
    now = 0.0

    def wait(seconds: float) -> None:
        nonlocal now
        now += seconds

    class Slow(TrainingReader):
        def __init__(self, *args: Any, encoding: Encoding, **options: Any) -> None:
            super().__init__(*args, encoding=encoding, **options)
            self.seconds = 0.2 if encoding.kind == "onehot" else 0.1

        def dataset(self) -> Any:
            for batch in super().dataset():
                wait(self.seconds)
                yield batch

    clock = SimpleNamespace(perf_counter=lambda: now, process_time=lambda: now / 2)
    monkeypatch.setattr(read_speed, "time", clock)
    monkeypatch.setattr(read_speed, "TrainingReader", Slow)
    report = bench(store, batch_size=BATCH, seconds=2.5, train=lambda batch: wait(0.02))
    assert report.rows == 480
    assert report.direct
    assert report.codes_per_s == pytest.approx(BATCH / 0.1)
    assert report.onehot_per_s == pytest.approx(BATCH / 0.2)
    assert report.codes_per_cpu_s == pytest.approx(2 * BATCH / 0.1)
    assert report.onehot_per_cpu_s == pytest.approx(2 * BATCH / 0.2)
    assert report.step_ms == pytest.approx(120)
    assert report.waiting_ms == pytest.approx(100)
    assert report.verdict == "data-bound"
    json.dumps(report.as_dict())
    slow = bench(store, batch_size=BATCH, seconds=2.5, train=lambda batch: wait(5.0))
    assert slow.verdict == "model-bound"
    assert bench(store, batch_size=BATCH, seconds=0.1).verdict is None


def test_speed_is_of_the_rows_there_are(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of more rows than an epoch has holds an epoch."""

    class Clock:
        now = 0.0

        def perf_counter(self) -> float:
            self.now += 1
            return self.now

        process_time = perf_counter

    monkeypatch.setattr(read_speed, "time", Clock())
    report = bench(store, batch_size=10_000, seconds=5)
    # 30 batches of 480 rows, from the first look at each clock to the last.
    assert (report.codes_per_s, report.codes_per_cpu_s) == (14_400 / 6, 14_400 / 6)


def test_verdicts() -> None:
    assert verdict_of(10.0, 0.4) == "model-bound"
    assert verdict_of(10.0, 0.6) == "data-bound"


def test_a_store_without_training_rows(tmp_path: Path) -> None:
    empty = write_store(tmp_path / "s.zarr", rows={"reference": (0, 9, 2, 2)})
    with pytest.raises(StoreError, match="no rows to train on"):
        mixture_of(empty)


def test_memory_is_counted(store: Store) -> None:
    assert 0 <= peak_memory(store, batch_size=BATCH) < 400


def test_order_of_the_dataset_is_that_of_sampling(store: Store) -> None:
    made = TrainingReader(store, mixture(), batch_size=BATCH)
    chunks = dict.fromkeys(ROWS, 8)
    order = EpochOrder(
        mixture(), 1, batch_size=BATCH, chunks=chunks, window_rows=8 * reader.WINDOW_CHUNKS
    )
    data = made.dataset(start_epoch=1)
    codes = np.concatenate([batch[0].numpy() for batch in data.take(STEPS)])
    flat = []
    for number in range(len(order)):
        window = order.window(number)
        rows = [store.group(p.group).take_codes(p.rows) for p in window.pieces]
        flat.append(np.concatenate(rows)[window.order])
    assert (codes == np.concatenate(flat)).all()
