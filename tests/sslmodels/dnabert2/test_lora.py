"""Adapters of DNABERT-2: what trains, merging, files of adapters, fine-tuning and resuming."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from dnabert2_tools import (
    SMALL,
    backbone_parameters,
    classifier_parameters,
    fill,
    noise,
    random_ids,
)

from ssldata.base.errors import ConfigError, InputError, MissingInputError
from sslmodels.checkpoints.tensor_files import write_safetensors
from sslmodels.dnabert2.bert_config import LORA_TARGETS, DnabertConfig, LoraOptions
from sslmodels.dnabert2.bert_model import DnabertClassifier
from sslmodels.dnabert2.bert_weights import (
    base_digest,
    checkpoint_tensors,
    load_checkpoint,
    save_checkpoint,
)
from sslmodels.dnabert2.lora import (
    ADAPTER_CONFIG,
    ADAPTER_FILE,
    load_adapter,
    merge_lora,
    read_adapter_options,
    save_adapter,
    unmerge_lora,
    without_lora,
)
from sslmodels.fit.fit_options import Batches, FitOptions, Validation
from sslmodels.fit.training_loop import fit, save_model, weights_digest
from sslmodels.models.model_builder import load_model

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

LORA = LoraOptions(rank=2, alpha=8.0)
IDS = random_ids(6, 14, seed=3)


def classifier(
    *, config=SMALL, seed: int = 0, lora: LoraOptions | None = LORA, **options
) -> DnabertClassifier:
    """A classifier on the same base weights whatever the seed."""
    options.setdefault("train_pooler", True)
    model = DnabertClassifier(config, lora=lora, seed=seed, **options)
    fill(model.backbone.tensors(), noise)
    return model


def loud_head(model: DnabertClassifier) -> None:
    pooler = model.pooler.tensors() if model.pooler else []
    fill(pooler + model.head.tensors(), noise)


def adapted(**options) -> DnabertClassifier:
    """A classifier whose adapters are not zero, and whose head is not near zero."""
    model = classifier(**options)
    loud_head(model)
    for linear in model.backbone.linears():
        if linear.lora is not None:
            linear.lora_b.assign(0.5 * noise(linear.checkpoint, tuple(linear.lora_b.shape)))
    return model


def values(model) -> dict[str, np.ndarray]:
    found = {v.path: np.array(keras.ops.convert_to_numpy(v.value)) for v in model.weights}
    assert len(found) == len(model.weights)
    return found


def predict(model) -> np.ndarray:
    return keras.ops.convert_to_numpy(model(IDS))


def compile_model(model) -> None:
    # Compiling takes seconds and makes no difference here.
    model.compile(
        optimizer=keras.optimizers.Adam(1e-2), loss="binary_crossentropy", run_eagerly=True
    )


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (("Wqkv",), 294_912),
        (("attention.output.dense",), 147_456),
        (("wo",), 368_640),
        (("gated_layers",), 663_552),
    ],
)
def test_adapter_sizes_at_full_width(targets, expected):
    # One layer of the twelve, few words: adapters depend on neither.
    config = DnabertConfig(num_hidden_layers=1, vocab_size=8)
    model = DnabertClassifier(config, pooling="mean", lora=LoraOptions(targets=targets), seed=0)
    trained = sum(int(np.prod(v.shape)) for v in model.backbone.trainable_variables)
    assert 12 * trained == expected
    assert model.lora.scale == 4.0


def test_adapters_start_as_the_plain_model():
    plain = classifier(lora=None)
    model = classifier()
    loud_head(model)
    loud_head(plain)
    np.testing.assert_array_equal(predict(model), predict(plain))
    a = [keras.ops.convert_to_numpy(x.lora_a.value) for x in model.backbone.linears() if x.lora]
    assert all(0 < np.abs(value).max() <= 24**-0.5 for value in a)
    assert not np.array_equal(*a)


def one_step(model: DnabertClassifier) -> set[str]:
    """Do one step on IDS and return the parameters that changed."""
    before = values(model)
    compile_model(model)
    model.train_on_batch(IDS, np.array([[0], [1]] * 3, np.float32))
    after = values(model)
    return {name for name in before if not np.array_equal(before[name], after[name])}


@pytest.mark.parametrize("train_pooler", [True, False])
def test_a_step_changes_adapters_and_head_alone(train_pooler):
    model = adapted(train_pooler=train_pooler, lora=replace(LORA, targets=("Wqkv", "wo")))
    base = base_digest(model)
    changed = one_step(model)
    trained = {name for name in values(model) if "lora" in name or "classifier" in name}
    if train_pooler:
        trained |= {name for name in values(model) if "pooler" in name}
    assert len(trained) == 2 * 2 * 2 + 2 + 2 * train_pooler
    assert changed == trained
    assert base_digest(model) == base


@pytest.mark.parametrize("pooling", ["cls", "mean", "max"])
def test_full_fine_tuning_changes_everything(pooling):
    model = classifier(lora=None, pooling=pooling, train_pooler=None)
    unchanged = set(values(model)) - one_step(model)
    assert not unchanged


@pytest.mark.parametrize("targets", [("Wqkv",), LORA_TARGETS])
def test_merged_is_unmerged(targets):
    model = adapted(lora=replace(LORA, targets=targets))
    before, scores = values(model), predict(model)
    merge_lora(model)
    merged = predict(model)
    np.testing.assert_allclose(merged, scores, atol=2e-6)
    with pytest.raises(ConfigError, match="merged adapters cannot be trained"):
        model(IDS, training=True)
    unmerge_lora(model)
    np.testing.assert_array_equal(predict(model), scores)
    for name, value in values(model).items():
        np.testing.assert_array_equal(value, before[name])
    plain = classifier(lora=None)
    loud_head(plain)
    assert np.abs(predict(plain) - scores).max() > 1e-3  # the adapters mattered


def test_merged_prediction_uses_the_merged_matrix():
    model = adapted()
    model.supports_jit = False
    expected = model.predict(IDS, verbose=0)  # compiled before merging
    merge_lora(model)
    for linear in model.backbone.linears():
        if linear.lora:
            linear.merged = keras.ops.zeros_like(linear.merged)
    assert np.abs(model.predict(IDS, verbose=0) - expected).max() > 1e-5
    unmerge_lora(model)
    np.testing.assert_array_equal(model.predict(IDS, verbose=0), expected)


def test_merged_for_good(tmp_path: Path):
    model = adapted()
    plain = without_lora(model)
    assert plain.lora is None
    assert plain.count_params() == classifier_parameters(SMALL, 1)
    np.testing.assert_allclose(predict(plain), predict(model), atol=2e-6)
    save_checkpoint(model, tmp_path / "model.safetensors")
    loaded = classifier(lora=None, seed=7)
    load_checkpoint(loaded, tmp_path / "model.safetensors")
    np.testing.assert_array_equal(predict(loaded), predict(plain))
    with pytest.raises(ConfigError, match="no LoRA adapters"):
        merge_lora(plain)


def test_saved_whole_while_merged(tmp_path: Path):
    model = adapted()
    scores = predict(model)
    merge_lora(model)
    save_model(model, tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(predict(again), scores)
    assert len(again.trainable_variables) == len(model.trainable_variables)


@pytest.mark.parametrize(
    "options", [{"train_pooler": False}, {"train_pooler": True}, {"pooling": "mean"}]
)
def test_adapter_files(options, tmp_path: Path):
    if "pooling" in options:
        options = {**options, "train_pooler": None}
    model = adapted(seed=1, outputs=2, **options)
    one = np.array([[0, 1], [1, 0]] * 3, np.float32)
    compile_model(model)
    model.train_on_batch(IDS, one)
    save_adapter(model, tmp_path / "adapter")
    size = (tmp_path / "adapter" / ADAPTER_FILE).stat().st_size
    assert size < 4 * backbone_parameters(SMALL) / 3
    assert read_adapter_options(tmp_path / "adapter") == LORA
    again = classifier(seed=2, outputs=2, **options)
    assert not np.array_equal(predict(again), predict(model))
    load_adapter(again, tmp_path / "adapter")
    np.testing.assert_array_equal(predict(again), predict(model))
    save_adapter(again, tmp_path / "again")
    for name in (ADAPTER_FILE, ADAPTER_CONFIG):
        first = (tmp_path / "adapter" / name).read_bytes()
        assert first == (tmp_path / "again" / name).read_bytes()


def test_an_adapter_loaded_into_a_merged_model_counts(tmp_path: Path):
    save_adapter(adapted(seed=1), tmp_path)
    model = classifier(seed=2)
    merge_lora(model)
    load_adapter(model, tmp_path)
    np.testing.assert_allclose(predict(model), predict(adapted(seed=1)), atol=2e-6)


def test_names_of_adapter_files(tmp_path: Path):
    save_adapter(adapted(), tmp_path)
    from safetensors.numpy import load_file

    found = {name: value.shape for name, value in load_file(tmp_path / ADAPTER_FILE).items()}
    prefix = "base_model.model.bert.encoder.layer.1.attention.self.Wqkv"
    assert found[f"{prefix}.lora_A.weight"] == (2, 24)
    assert found[f"{prefix}.lora_B.weight"] == (72, 2)
    assert found["base_model.model.classifier.weight"] == (1, 24)
    assert found["base_model.model.bert.pooler.dense.weight"] == (24, 24)
    assert len(found) == 4 + 4


def test_adapters_that_do_not_fit(tmp_path: Path):
    save_adapter(adapted(), tmp_path / "good")
    other = classifier()
    other.backbone.embeddings.words.assign(np.zeros((64, 24), np.float32))
    with pytest.raises(InputError, match="trained on other weights"):
        load_adapter(other, tmp_path / "good")
    with pytest.raises(InputError, match=r"rank=2.* the model has .*rank=4"):
        load_adapter(classifier(lora=replace(LORA, rank=4)), tmp_path / "good")
    with pytest.raises(InputError, match=r"classifier\.bias .*expected \(3,\)"):
        load_adapter(classifier(outputs=3), tmp_path / "good")
    with pytest.raises(InputError, match=r"missing, unexpected .*pooler"):
        load_adapter(classifier(pooling="mean", train_pooler=None), tmp_path / "good")
    with pytest.raises(ConfigError, match="no LoRA adapters"):
        load_adapter(classifier(lora=None), tmp_path / "good")
    with pytest.raises(MissingInputError, match="no such file"):
        load_adapter(classifier(), tmp_path / "none")
    save_adapter(adapted(pooling="mean", train_pooler=None), tmp_path / "mean")
    with pytest.raises(InputError, match="saved with pooling mean, the model has max"):
        load_adapter(classifier(pooling="max", train_pooler=None), tmp_path / "mean")
    (tmp_path / "good" / ADAPTER_FILE).unlink()
    with pytest.raises(MissingInputError, match=ADAPTER_FILE):
        load_adapter(classifier(), tmp_path / "good")
    (tmp_path / "good" / ADAPTER_CONFIG).write_text(json.dumps({"r": 2}))
    with pytest.raises(InputError, match="not the description"):
        load_adapter(classifier(), tmp_path / "good")


def test_an_adapter_without_its_base_is_refused(tmp_path: Path):
    model = adapted()
    save_adapter(model, tmp_path)
    from safetensors.numpy import load_file

    head = {"pooling": "cls", "activation": "sigmoid"}
    write_safetensors(tmp_path / ADAPTER_FILE, load_file(tmp_path / ADAPTER_FILE), head)
    with pytest.raises(InputError, match="base unknown"):
        load_adapter(classifier(), tmp_path)


# A task that can be learned: is token 9 in the row?


def task(seed: int, rows: int = 192) -> tuple[np.ndarray, np.ndarray]:
    ids = np.random.default_rng(seed).integers(10, 64, (rows, 10)).astype(np.int32)
    ids[::2, 4] = 9
    return ids, (ids == 9).any(1).astype(np.float32)[:, None]


def batches() -> Batches:
    import tensorflow as tf

    ids, labels = task(1)
    weights = np.ones(len(ids), np.float32)
    steps = 12

    def open_at(step: int):
        data = tf.data.Dataset.from_tensor_slices((ids, labels, weights)).batch(16)
        return data.repeat().skip(step % steps)

    return Batches(open=open_at, steps_per_epoch=steps)


def learner() -> DnabertClassifier:
    config = replace(SMALL, num_hidden_layers=1)
    model = classifier(config=config, pooling="mean", train_pooler=None, lora=LoraOptions(), seed=1)
    model.supports_jit = False  # compiling by XLA takes longer than this training
    return model


def learn(path: Path | None, epochs: int) -> tuple[DnabertClassifier, list[float]]:
    model = learner()
    held = task(2)
    options = FitOptions(learning_rate=1e-2, epochs=epochs, patience=50, checkpoint_seconds=0)
    result = fit(
        model,
        batches(),
        Validation(codes=held[0], labels=held[1]),
        options=options,
        checkpoint=path,
        identity="x",
    )
    return model, [record["loss"] for record in result.history]


class Killed(Exception):
    pass


@pytest.mark.slow
def test_fine_tuning_learns_on_a_frozen_base_and_resumes_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    base = base_digest(learner())
    model, losses = learn(None, 6)
    assert losses[-1] < 0.8 * losses[0]
    assert base_digest(model) == base
    untouched = checkpoint_tensors(model.backbone, adapters=False)
    for name, value in untouched.items():
        np.testing.assert_array_equal(value, noise(name, value.shape))
    # The same training, killed after a few epochs and continued.
    from sslmodels.fit import callback

    write, count = callback.write_checkpoint, iter(range(99))

    def write_and_die(*args, **kwargs):
        write(*args, **kwargs)
        if next(count) == 2:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(callback, "write_checkpoint", write_and_die)
        with pytest.raises(Killed):
            learn(tmp_path / "fit.npz", 6)
    resumed, again = learn(tmp_path / "fit.npz", 6)
    assert again == losses
    assert weights_digest(resumed) == weights_digest(model)
    # And what the run folder keeps predicts the same.
    save_model(resumed, tmp_path / "model.keras")
    held = task(2)[0]
    kept = load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(kept(held)), keras.ops.convert_to_numpy(model(held))
    )
