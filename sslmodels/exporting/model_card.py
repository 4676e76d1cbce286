"""The model card: what a model was made from, what it reached, and what it is for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ssldata.base.errors import CrosslabelError
from ssldata.base.versions import VERSION
from ssldata.base.yaml_text import parse, read_text
from ssldata.store.store import HOMOLOGUES, REFERENCE, open_store
from sslmodels.evaluation.evaluation_status import read_metrics
from sslmodels.runs.run_folder import RunFolder, complete_record, store_place
from sslmodels.scores.metric_intervals import BLOCK
from sslmodels.scores.metrics import by_experiment

_CARD = """\
---
{front}
---

# {title}

Probability that a bin of {size} b is covered by a peak{context}.
One output per experiment: {outputs}.

## Use

{use}
{committee}
Input: one-hot float32 (batch, {length}, 4), channels A, C, G, T; N is four zeros. Output: float32
(batch, {count}).{strands}

The probabilities are those of training, with {ratio:g} times as many negatives as positives; they
rank sequences, and are not the share of bound sequences in a genome.

## Intended use

Ranking sequences, and variants within them, by how likely the experiment would show a peak there,
in {reference} and genomes like it, for research. Not for decisions about patients: the model sees
{length} b and none of the state of a cell.

## How it was made

- Architecture `{model}`, {parameters:,} parameters; regime `{regime}`, seed {seed};
  crosslabel {version}.
- Labelled genome {reference}; homologues from {genomes}.
- Split: test {test}; validation {validation}. Nothing lifted from a held-out peak was trained on.

## Metrics

{metrics}

## Data

{digests}

Licence: {licence}
"""

_COMMITTEE = """
**These files are the network alone**, one member of a committee. The metrics below are those of the
whole: motif, gapped k-mers and conservation are in `committee.npz` (NumPy arrays, and settings as
JSON), and scoring places with their homologues needs crosslabel and the genomes.
"""

_USE = {
    "model.keras": """\
model = keras.saving.load_model("model.keras")  # Keras 3
model.predict(one_hot)""",
    "saved_model": """\
model = tensorflow.saved_model.load("saved_model")
model.serve(one_hot)""",
    "model.onnx": """\
session = onnxruntime.InferenceSession("model.onnx")
session.run(None, {"one_hot": one_hot})[0]""",
}


def model_card(run: Path, files: Sequence[str], *, licence: str | None = None) -> str:
    """Return the card of a run's model, in Markdown with YAML front matter.

    Parameters
    ----------
    run
        A complete run. Without an evaluation the card says that there are no metrics.
    files
        Names of the exported files, which the card shows how to load.
    licence
        Of the model, as an SPDX name or URL.

    Raises
    ------
    MissingInputError, ConfigError
        There is no run, or it is not complete.
    InputError
        Its evaluation is damaged.
    """
    record, folder = complete_record(run), RunFolder(run)
    config = parse(folder.config, read_text(folder.config))
    identity = record["identity"]
    outputs = identity.get("outputs") or [record["experiment"]]
    genomes = [name.split("/")[1] for name in identity["content"] if name != REFERENCE]
    split = config["split"]
    size, length = config["windows"]["size"], record["length"]
    both = identity["training"].get("both_strands", False)
    front = {
        "library_name": "keras",
        **({"license": licence} if licence else {}),
        "tags": ["biology", "genomics", "regulatory-dna"],
    }
    return _CARD.format(
        front="\n".join(f"{key}: {json.dumps(value)}" for key, value in front.items()),
        title=f"{record['experiment']}, {record['model']}, {record['regime']}",
        size=size,
        context=f", from the {length} b around it" if length > size else "",
        length=length,
        outputs=", ".join(outputs),
        count=len(outputs),
        use="\n\n".join(f"```python\n{_USE[name]}\n```" for name in files),
        committee=_COMMITTEE if folder.committee.is_file() else "",
        strands=" A sequence and its reverse complement are averaged inside the model."
        if both
        else "",
        ratio=identity["negatives"]["ratio"],
        reference=config["reference"]["name"],
        model=record["model"],
        parameters=record["parameters"],
        regime=record["regime"],
        seed=record["seed"],
        version=record["machine"]["versions"].get("crosslabel", VERSION),
        genomes=", ".join(genomes) or "no other genome",
        test=", ".join(split["test"]),
        validation=", ".join(split["validation"]) or "a share of the training loci",
        metrics="\n".join(_metrics(folder)),
        digests="\n".join(_digests(folder, record)),
        licence=licence or "not stated; that of the data applies to what was made from it.",
    )


def _metrics(folder: RunFolder) -> Iterator[str]:
    """Yield the lines of the table of metrics."""
    result = read_metrics(folder.path)
    if result is None:
        yield "Not evaluated."
        return
    yield (
        "Every bin of the test contigs; 95 % intervals from a bootstrap over blocks of consecutive "
        f"bins ({BLOCK}, fewer where the test is small)."
    )
    yield ""
    yield "| experiment | AUPR | × prevalence | AUROC | positive bins | bins |"
    yield "|---|---|---|---|---|---|"
    for one in by_experiment(result):
        spans = one.get("intervals", {})  # not in evaluations of releases before them
        aupr, auroc = (
            f"{one[key]:.3f}" + (" ({:.3f} to {:.3f})".format(*spans[key]) if key in spans else "")
            for key in ("aupr", "auroc")
        )
        yield (
            f"| {one['experiment']} | {aupr} | {one['lift']:.1f} | {auroc} | "
            f"{one['positives']:,} | {one['rows']:,} |"
        )


def _digests(folder: RunFolder, record: Mapping[str, Any]) -> Iterator[str]:
    """Yield the digests of what the model was made from; of the inputs, where the store is."""
    yield f"- run: `{record['digest']}`"
    yield f"- weights: `{record['weights_sha256']}`"
    for name, content in record["identity"]["content"].items():
        yield f"- rows of {name.removeprefix(f'{HOMOLOGUES}/')}: `{content}`"
    try:
        settings = open_store(store_place(folder, record)).attributes
    except CrosslabelError:
        return
    yield f"- sequence of {settings['reference']['name']}: `{settings['reference']['digest']}`"
    for name, peaks in settings["peaks"].items():
        yield f"- peaks of {name}: `{peaks['sha256']}`"
