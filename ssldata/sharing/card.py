"""What travels with a store: a README dataset card, a croissant description, the sources as CSV.

What checks of the store found is kept in a file of its own beside them (:data:`FINDINGS`), with the
digest of the rows that were checked: it is believed for those rows alone.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssldata.base.files import write_text_atomic
from ssldata.sharing.croissant_file import (
    CROISSANT,
    NO_FACTS,
    SOURCES,
    Facts,
    croissant,
    facts_of,
    sources_csv,
    store_description,
    store_name,
)
from ssldata.store.store import HOMOLOGUES, RANGES, REFERENCE, Store, open_store
from ssldata.store.store_writer import writer_lock

README = "README.md"
#: What checks found, and the page that shows it: written by `crosslabel store card` alone.
FINDINGS, PAGE = "findings.json", "card.html"
#: Keys of :data:`FINDINGS`.
FOUND, OF_STORE = "findings", "store"

_MODES = {
    "rebin": "target genomes are tiled against the lifted peaks",
    "lift-bins": "every positive bin is lifted",
}

_README = """\
---
{front}
---

# {name}

{description}

| genome | train positives | train negatives | validation | test |
|---|---|---|---|---|
{rows}

{made}
{findings}
## Read it

```python
from ssldata.store import open_store

store = open_store("…")  # the folder, the zip, or the http(s):// or s3:// address of one
store.group("reference").codes(0, 64)

import xarray as xr

xr.open_zarr("…", group="reference")  # plain Zarr version 3; of a zip: zarr.storage.ZipStore("…")
```

`sources.csv` lists the source intervals, `croissant.json` describes the files, and the layout is
the crosslabel store format {format}.

## Identity

Digest of all rows: `{digest}`

{digests}
"""

_OF_PEAKS = """\
## How it was made

- Bins of {size} b, {length} b stored around each; positive when more than {overlap} is covered by
  peaks; {mode}.
- Negatives of pre-training: {negatives}.
- Split by the source interval in {reference}: {held}. A homologue of a held-out peak is never a
  training row.
- Liftover ({liftover}), positive sources with one homologue:
{lifted}
"""

_CHECKED = """
## What was checked

| | check | found |
|---|---|---|
{lines}

Why it matters and what to do about it: `card.html`, beside this file.
"""

_OF_SEQUENCES = """\
## How it was made

- Labelled sequences of {length} b from `{file}`; {used} of its {rows} are here.
- Split: {by}.
"""


def card_files(
    store: Store,
    *,
    facts: Facts = NO_FACTS,
    findings: Sequence[Mapping[str, Any]] = (),
) -> dict[str, str]:
    """Return the texts that travel with a store, by the name of their file.

    Parameters
    ----------
    store
        The store.
    facts
        Licence, date and citation.
    findings
        What checks of these rows found, as :func:`findings_of`.
    """
    table = sources_csv(store)
    described = croissant(store, facts=facts, table=table)
    return {
        README: readme(store, licence=facts.licence, findings=findings),
        CROISSANT: json.dumps(described, indent=2, ensure_ascii=False) + "\n",
        SOURCES: table,
    }


def findings_of(folder: Path, digest: str) -> list[dict[str, Any]]:
    """Return what the card in a folder says was found in the rows of this digest; else nothing."""
    try:
        record = json.loads((folder / FINDINGS).read_text(encoding="utf-8"))
        if record[OF_STORE] != digest:
            return []
        found = [dict(one) for one in record[FOUND]]
    except (OSError, ValueError, LookupError, TypeError):
        return []
    texts = ("check", "title", "mark", "summary")
    return found if all(isinstance(f.get(k), str) for f in found for k in texts) else []


def markdown_text(text: object) -> str:
    """Return text that Markdown shows as it is: no element, link, emphasis, table or new line."""
    shown = re.sub(r"([\\`*|\[\]])", r"\\\1", html.escape(str(text), quote=False))
    return " ".join(shown.split())


def readme(
    store: Store,
    *,
    licence: str | None = None,
    findings: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Return the dataset card, in Markdown with YAML front matter."""
    settings, ledger = store.attributes, store.ledger
    reference, tables = settings["reference"], settings.get("sequences")
    targets = [f"{HOMOLOGUES}/{genome}" for genome in store.genomes]
    groups = [REFERENCE, *targets]
    front = {
        "pretty_name": store_name(store),
        **({"license": licence} if licence else {}),
        "tags": ["biology", "genomics", "zarr", "croissant"],
        "size_categories": [_size_category(sum(int(ledger[name]["rows"]) for name in groups))],
    }
    return _README.format(
        front="\n".join(f"{key}: {json.dumps(value)}" for key, value in front.items()),
        name=markdown_text(store_name(store)),
        description=markdown_text(store_description(store)),
        rows="\n".join(_row(store, name) for name in groups),
        made=_made(store, targets).rstrip(),
        findings=_checked(findings),
        format=markdown_text(settings["format_version"]),
        digest=store.digest,
        digests="\n".join(
            f"- {markdown_text(what)}: `{markdown_text(value)}`"
            for what, value in (
                (f"sequence of {reference['name']}", reference["digest"]),
                *((f"peaks of {e}", p["sha256"]) for e, p in settings["peaks"].items()),
                *([("labelled sequences", tables["sha256"])] if tables else []),
                *((f"rows of {name}", ledger[name]["content"]) for name in groups),
            )
        ),
    )


def _checked(findings: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of what checks found, or nothing where none were made."""
    lines = [
        f"| **{one['mark'].upper()}** | {markdown_text(one['title'])} "
        f"| {markdown_text(one['summary'])} |"
        for one in findings
    ]
    return _CHECKED.format(lines="\n".join(lines)) if lines else ""


def _made(store: Store, targets: list[str]) -> str:
    """Return what the card says about how the rows were made."""
    settings = store.attributes
    length = store.group(REFERENCE).length
    if table := settings.get("sequences"):
        return _OF_SEQUENCES.format(
            length=length,
            file=table["file"].replace("`", "'"),
            used=f"{store.ledger[REFERENCE]['rows']:,}",
            rows=f"{table['counts'].get('sequences', 0):,}",
            by=markdown_text(table["splits"]["by"]),
        )
    windows = settings["windows"]
    return _OF_PEAKS.format(
        size=windows["size"],
        length=length,
        overlap=f"{windows['min_overlap']:.0%}",
        mode=_MODES.get(windows["mode"], "?"),
        liftover=markdown_text(settings["liftover"]["mode"]),
        lifted="\n".join(_lifted(store, name) for name in targets),
        reference=markdown_text(settings["reference"]["name"]),
        held=markdown_text(_held_out(settings["split"])),
        negatives=markdown_text(settings["negatives"]["source"]),
    )


def _row(store: Store, name: str) -> str:
    """Return one line of the card's table: rows of a genome per range."""
    ranges = store.ledger[name]["ranges"]
    cells = [f"{ranges[key][1] - ranges[key][0]:,}" for key in RANGES]
    genome = store.attributes["reference"]["name"] if name == REFERENCE else name.split("/", 1)[1]
    return f"| {' | '.join([markdown_text(genome), *cells])} |"


def _lifted(store: Store, name: str) -> str:
    """Return one line of the card: how the positive sources lifted to a genome."""
    counts = store.ledger[name].get("liftover", {})
    share = counts.get("mapped", 0) / max(1, sum(counts.values()))
    shown = [f"{markdown_text(key.replace('_', ' '))} {count:,}" for key, count in counts.items()]
    return f"  - {markdown_text(name.split('/', 1)[1])}: {share:.0%} ({', '.join(shown)})"


def _held_out(split: dict[str, Any]) -> str:
    validation = ", ".join(split["validation"])
    if not validation:
        validation = f"{split['validation_fraction']:.0%} of the loci, seed {split['seed']}"
    return f"test {', '.join(split['test'])}; validation {validation}"


def _size_category(rows: int) -> str:
    """Return the size bracket that dataset hubs use."""
    if rows < 1000:
        return "n<1K"
    for limit, name in ((10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M")):
        if rows < limit:
            return name
    return "1M<n<10M" if rows < 10**7 else "10M<n<100M"


def write_card(path: Path, *, facts: Facts = NO_FACTS) -> list[Path]:
    """Write the card into the folder of a local store and return the files that changed.

    Facts that are not given are those of an earlier card. What was found in other rows is deleted.
    """
    open_store(path)  # where there is no store, no lock is made
    with writer_lock(path):
        store = open_store(path)
        findings = findings_of(path, store.digest)
        known = facts.or_else(facts_of(path))
        changed = write_texts(path, card_files(store, facts=known, findings=findings))
        if not findings:
            for name in (FINDINGS, PAGE):
                (path / name).unlink(missing_ok=True)
    return changed


def write_texts(folder: Path, texts: Mapping[str, str]) -> list[Path]:
    """Write the files whose text is another one than before, and return them."""
    changed = []
    for name, text in texts.items():
        file = folder / name
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            write_text_atomic(file, text)
            changed.append(file)
    return changed
