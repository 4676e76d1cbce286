"""DNABERT-2: sizes, goldens, an independent forward pass, masks, pooling, saved models."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from dnabert2_tools import (
    SMALL,
    _slopes,
    backbone_parameters,
    classifier_parameters,
    fill,
    formula,
    masked_lm_parameters,
    noise,
    random_ids,
    reference,
    tokenizer_text,
)
from hypothesis import given
from hypothesis import strategies as st

from ssldata.base.errors import ConfigError, InputError, MissingInputError
from ssldata.genomes.onehot import encode
from sslmodels.dnabert2.bert_config import DnabertConfig, LoraOptions, alibi_slopes, read_config
from sslmodels.dnabert2.bert_model import (
    DnabertBackbone,
    DnabertClassifier,
    DnabertMaskedLm,
    embed,
    mask_of,
    pool,
)

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

#: What the goldens' page asks for, on values of order 1.
TOLERANCE = 1e-4


def numpy(value) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(value))


def test_parameters_at_full_size():
    full = DnabertConfig()
    assert masked_lm_parameters(full) == 117_074_176
    assert backbone_parameters(full) == 116_477_952
    assert classifier_parameters(full, 2) == 117_070_082


@pytest.mark.slow
def test_the_full_model_has_the_published_number_of_parameters():
    assert DnabertMaskedLm(DnabertConfig()).count_params() == 117_074_176
    assert DnabertClassifier(DnabertConfig(), outputs=2).count_params() == 117_070_082


@pytest.mark.parametrize("outputs", [1, 3])
def test_the_models_have_the_parameters_that_are_computed(outputs):
    backbone = DnabertBackbone(SMALL)
    assert backbone.count_params() == backbone_parameters(SMALL)
    assert DnabertMaskedLm(SMALL).count_params() == masked_lm_parameters(SMALL)
    classifier = DnabertClassifier(SMALL, outputs=outputs)
    assert classifier.count_params() == classifier_parameters(SMALL, outputs)


@pytest.mark.mirror
@pytest.mark.parametrize("kind", ["BertForMaskedLM", "BertForSequenceClassification_2_labels"])
def test_names_and_shapes_at_full_depth_are_those_of_the_stock_model(kind, mirror: Path):
    listed = json.loads((mirror / "dnabert2" / "names.json").read_text())[kind]
    # Full depth and vocabulary at a sixteenth of the width: seconds instead of minutes.
    narrow = DnabertConfig(hidden_size=48, intermediate_size=192)
    masked = kind == "BertForMaskedLM"
    model = DnabertMaskedLm(narrow) if masked else DnabertClassifier(narrow, outputs=2)
    found = {tensor.name: tensor.shape for tensor in model.tensors()}
    expected = {
        name: tuple(size if size in {2, 4096} else size // 16 for size in shape)
        for name, shape in listed["state_dict"]
        if name not in listed.get("tied", {})
    }
    assert found == expected
    full = DnabertConfig()
    count = masked_lm_parameters(full) if masked else classifier_parameters(full, 2)
    assert count == listed["unique_parameters"]


@pytest.fixture(scope="module")
def golden(mirror: Path) -> dict[str, np.ndarray]:
    with np.load(mirror / "dnabert2" / "dnabert2_dev.npz") as bundle:
        return dict(bundle)


@pytest.fixture(scope="module")
def dev_config(mirror: Path) -> DnabertConfig:
    published = read_config(mirror / "dnabert2" / "config.json")
    assert published == DnabertConfig()
    return replace(published, hidden_size=48, num_hidden_layers=2, intermediate_size=96)


@pytest.mark.mirror
def test_the_formula_of_the_goldens(mirror: Path):
    checks = json.loads((mirror / "dnabert2" / "weight_check.json").read_text())
    for name, check in checks.items():
        value = formula(name, tuple(check["shape"]))
        np.testing.assert_allclose(value.ravel()[:4], check["first4"], rtol=1e-6)
        np.testing.assert_allclose(value.ravel()[-2:], check["last2"], rtol=1e-6)
        assert value.astype(np.float64).sum() == pytest.approx(check["sum_float64"], abs=1e-6)


@pytest.mark.mirror
def test_goldens(golden, dev_config):
    model = DnabertMaskedLm(dev_config)
    fill(model.tensors(), formula)
    ids, mask = golden["input_ids"], golden["attention_mask"]
    np.testing.assert_array_equal(numpy(mask_of(ids)), mask)
    states = [numpy(state) for state in model.backbone.hidden_states(ids)]
    for state, name in zip(states, ("embeddings_output", "hidden_1", "hidden_2"), strict=True):
        assert np.abs(state - golden[name]).max() < TOLERANCE, name
    assert np.abs(states[-1] - golden["final_hidden"]).max() < TOLERANCE
    assert (states[-1][mask == 0] == 0).all()
    assert np.abs(embed(model, ids, pooling="mean") - golden["masked_mean"]).max() < TOLERANCE
    scores = numpy(model(ids))[:, :3]
    assert np.abs(scores - golden["mlm_logits_first3"]).max() < TOLERANCE
    np.testing.assert_array_equal(alibi_slopes(12), golden["alibi_slopes"])


@pytest.mark.mirror
def test_golden_pooler(golden, dev_config):
    model = DnabertClassifier(dev_config)
    fill(model.tensors(), formula)
    first = embed(model, golden["input_ids"], pooling="cls")
    pooled = np.tanh(numpy(model.pooler(first)))
    assert np.abs(pooled - golden["pooler_output"]).max() < TOLERANCE


@pytest.mark.parametrize(
    ("heads", "width", "tokens"),
    [(1, 6, 17), (3, 24, 40), (5, 20, 33), (12, 48, 64), (16, 32, 9), (20, 40, 21), (6, 24, 530)],
)
def test_independent_forward_pass(heads, width, tokens):
    config = replace(SMALL, hidden_size=width, num_attention_heads=heads)
    model = DnabertBackbone(config)
    weights = fill(model.tensors(), noise)
    ids = random_ids(3, tokens, seed=heads)
    expected = reference(config, weights, ids)
    states = [numpy(state) for state in model.hidden_states(ids)]
    present = ids != 3
    assert np.abs(states[0] - expected[0])[present].max() < TOLERANCE
    for found, state in zip(states[1:], expected[1:], strict=True):
        assert np.abs(found - state).max() < TOLERANCE
        assert (found[~present] == 0).all()


def test_gaps_in_the_mask_keep_their_positions():
    model = DnabertBackbone(SMALL)
    weights = fill(model.tensors(), noise)
    ids = random_ids(1, 12)
    ids[0, [4, 5, 9]] = 3
    expected = reference(SMALL, weights, ids)[-1]
    assert np.abs(numpy(model(ids)) - expected).max() < TOLERANCE


@given(st.integers(1, 70))
def test_slopes(heads):
    np.testing.assert_allclose(alibi_slopes(heads), _slopes(heads), rtol=1e-6)


@pytest.mark.parametrize("pooling", ["cls", "mean", "max"])
def test_padding_and_neighbours_do_not_matter(pooling):
    model = DnabertClassifier(SMALL, pooling=pooling, seed=2)
    fill(model.tensors(), noise)
    ids = random_ids(4, 20)
    expected = numpy(model(ids))
    wide = np.pad(ids, ((0, 0), (0, 11)), constant_values=3)
    np.testing.assert_allclose(numpy(model(wide)), expected, atol=2e-6)
    np.testing.assert_allclose(numpy(model(ids[::-1]))[::-1], expected, atol=2e-6)
    for row in range(4):
        alone = ids[row : row + 1, : int((ids[row] != 3).sum())]
        np.testing.assert_allclose(numpy(model(alone))[0], expected[row], atol=2e-6)


def test_a_given_mask_wins_over_the_ids():
    model = DnabertBackbone(SMALL)
    fill(model.tensors(), noise)
    ids = random_ids(2, 10)
    mask = (ids != 3).astype(np.int32)
    other = np.where(ids == 3, 7, ids)
    np.testing.assert_allclose(numpy(model(other, mask)), numpy(model(ids)), atol=2e-6)


def test_pooling():
    hidden = np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.float32) - 2
    mask = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0]], np.float32)
    np.testing.assert_array_equal(numpy(pool(hidden, mask, "cls")), hidden[:, 0])
    mean, highest = numpy(pool(hidden, mask, "mean")), numpy(pool(hidden, mask, "max"))
    for row, size in ((0, 5), (1, 2)):
        np.testing.assert_allclose(mean[row], hidden[row, :size].mean(0), rtol=1e-6)
        np.testing.assert_array_equal(highest[row], hidden[row, :size].max(0))
    assert not mean[2].any()
    assert not highest[2].any()


def test_embeddings_do_not_depend_on_the_batches():
    model = DnabertBackbone(SMALL, seed=1)
    ids = random_ids(7, 15)
    whole = embed(model, ids, pooling="max")
    assert whole.shape == (7, 24)
    np.testing.assert_allclose(embed(model, ids, pooling="max", batch_size=3), whole, atol=2e-6)
    with pytest.raises(ConfigError, match="pooling 'min'"):
        embed(model, ids, pooling="min")


def test_weights_and_dropout_are_functions_of_the_seed_alone():
    ids = random_ids(2, 9)
    outputs = []
    for global_seed in (1, 2):
        keras.utils.set_random_seed(global_seed)
        outputs.append(numpy(DnabertClassifier(SMALL, seed=5)(ids, training=True)))
    np.testing.assert_array_equal(*outputs)
    model = DnabertClassifier(SMALL, seed=5)
    assert np.abs(numpy(model(ids)) - outputs[0]).max() > 1e-5  # dropout did something
    np.testing.assert_array_equal(numpy(model(ids)), numpy(model(ids)))
    other = DnabertClassifier(SMALL, seed=6)
    assert not np.array_equal(numpy(other(ids)), numpy(model(ids)))
    kernels = [linear.kernel for linear in model.backbone.linears()]
    assert len({numpy(kernel).ravel()[0] for kernel in kernels}) == len(kernels)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_lower_precision_stays_near(policy):
    ids = random_ids(3, 30)
    exact = DnabertClassifier(SMALL, pooling="mean")
    fill(exact.tensors(), noise)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        mixed = DnabertClassifier(SMALL, pooling="mean")
    finally:
        keras.config.set_dtype_policy(before)
    fill(mixed.tensors(), noise)
    found = numpy(mixed(ids))
    assert found.dtype == np.float32
    assert 0 < np.abs(found - numpy(exact(ids))).max() < 0.03


@pytest.mark.parametrize(("activation", "outputs"), [("sigmoid", 3), ("softmax", 3), ("linear", 2)])
def test_heads(activation, outputs):
    model = DnabertClassifier(SMALL, outputs=outputs, activation=activation)
    fill(model.tensors(), noise)
    found = numpy(model(random_ids(4, 8)))
    assert found.shape == (4, outputs)
    if activation == "softmax":
        np.testing.assert_allclose(found.sum(1), 1, rtol=1e-6)
    elif activation == "sigmoid":
        assert ((found > 0) & (found < 1)).all()
        assert np.abs(found.sum(1) - 1).max() > 0.01


FRESH = (
    "import sys, json, numpy as np\n"
    "from sslmodels.models.model_builder import load_model\n"
    "import sslmodels.dnabert2.bert_model\n"
    "from pathlib import Path\n"
    "folder = Path(sys.argv[1])\n"
    "model = load_model(folder / 'model.keras')\n"
    "ids = model.encoder(np.load(folder / 'codes.npy'))\n"
    "trained = sorted(v.path for v in model.trainable_variables)\n"
    "print(json.dumps([model.length, ids.tolist(), model.predict(ids, verbose=0).tolist(),\n"
    "                  len(trained)]))\n"
)


@pytest.mark.slow
def test_a_saved_model_reads_dna_in_a_fresh_process(tmp_path: Path):
    model = DnabertClassifier(
        SMALL,
        outputs=2,
        lora=LoraOptions(rank=2),
        train_pooler=False,
        tokenizer=tokenizer_text(),
        length=24,
        seed=3,
    )
    fill(model.tensors(), noise)
    for linear in model.backbone.linears():
        if linear.lora:
            linear.lora_b.assign(noise(linear.checkpoint, tuple(linear.lora_b.shape)))
    codes = np.stack([encode("ACGTTNNACGCGCGAATAATGATT"), encode("CGCGCGCGCGCGAATACGAAAACT")])
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "codes.npy", codes)
    done = subprocess.run(
        [sys.executable, "-c", FRESH, str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ,
    )
    length, ids, scores, trained = json.loads(done.stdout.splitlines()[-1])
    assert (length, trained) == (24, len(model.trainable_variables))
    np.testing.assert_array_equal(ids, model.encoder(codes))
    np.testing.assert_allclose(scores, model.predict(model.encoder(codes), verbose=0), rtol=1e-6)


@pytest.mark.parametrize("kind", [DnabertBackbone, DnabertMaskedLm])
def test_other_models_are_saved_too(kind, tmp_path: Path):
    model = kind(SMALL, seed=4)
    fill(model.tensors(), noise)
    model.save(tmp_path / "model.keras")
    ids = random_ids(2, 7)
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(numpy(again(ids)), numpy(model(ids)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"outputs": 0}, "at least 1"),
        ({"pooling": "first"}, "allowed: cls, mean, max"),
        ({"pooling": "mean", "train_pooler": True}, "has no pooler"),
        ({"lora": LoraOptions()}, "needs train_pooler"),
    ],
)
def test_contradictions(options, message):
    with pytest.raises(ConfigError, match=message):
        DnabertClassifier(SMALL, **options)


def test_a_tokenizer_larger_than_the_vocabulary():
    config = replace(SMALL, vocab_size=10)
    model = DnabertClassifier(config, tokenizer=tokenizer_text(), length=20)
    with pytest.raises(ConfigError, match="13 tokens, the model's vocab_size is 10"):
        _ = model.encoder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 25}, "not a multiple of num_attention_heads"),
        ({"num_hidden_layers": 0}, "positive integer"),
        ({"vocab_size": 4096.0}, "positive integer"),
        ({"hidden_dropout_prob": 1.0}, "0 <= rate < 1"),
        ({"layer_norm_eps": 0.0}, "expected > 0"),
    ],
)
def test_impossible_sizes(changes, message):
    with pytest.raises(ConfigError, match=message):
        replace(SMALL, **changes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"targets": ("query", "value")}, "Wqkv"),
        ({"targets": ()}, "expected different names"),
        ({"targets": ("wo", "wo")}, "expected different names"),
        ({"rank": 0}, "rank >= 1"),
        ({"alpha": 0}, "alpha > 0"),
        ({"dropout": 1.0}, "dropout < 1"),
    ],
)
def test_impossible_adapters(options, message):
    with pytest.raises(ConfigError, match=message):
        LoraOptions(**options)


def test_config_file(tmp_path: Path):
    path = tmp_path / "config.json"
    with pytest.raises(MissingInputError):
        read_config(path)
    described = {**SMALL.as_dict(), "hidden_act": "gelu", "pad_token_id": 0, "use_cache": True}
    path.write_text(json.dumps(described))
    assert read_config(path) == SMALL
    for text, message in (
        ("<html>", "not a JSON file"),
        ("[]", "JSON object"),
        ("{}", "hidden_size"),
        (json.dumps({**described, "hidden_act": "gelu_new"}), "hidden_act is 'gelu_new'"),
        (json.dumps({**described, "num_attention_heads": 5}), "not a multiple"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            read_config(path)
