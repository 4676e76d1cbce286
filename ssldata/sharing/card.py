"""What travels with a store: a README dataset card, a croissant description, the sources as CSV.

Croissant: http://mlcommons.org/croissant/1.0
"""

from __future__ import annotations

import hashlib
import html
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from ssldata.base.files import write_text_atomic
from ssldata.rows.splits import SPLIT_NAMES
from ssldata.store.store import HOMOLOGUES, RANGES, REFERENCE, Store, open_store
from ssldata.store.store_writer import writer_lock

README, CROISSANT, SOURCES = "README.md", "croissant.json", "sources.csv"

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

_OF_SEQUENCES = """\
## How it was made

- Labelled sequences of {length} b from `{file}`; {used} of its {rows} are here.
- Split: {by}.
"""

_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def card_files(store: Store, *, licence: str | None = None) -> dict[str, str]:
    """Return the texts that travel with a store, by the name of their file.

    Parameters
    ----------
    store
        The store.
    licence
        Of the data, as an SPDX name or URL.
    """
    table = sources_csv(store)
    described = croissant(store, licence=licence, table=table)
    return {
        README: readme(store, licence=licence),
        CROISSANT: json.dumps(described, indent=2, ensure_ascii=False) + "\n",
        SOURCES: table,
    }


def sources_csv(store: Store) -> str:
    """Return the source intervals as CSV: one row per source, 0-based half-open."""
    sources = store.sources()
    names = [_cell(name) for name in store.source_contigs()["contigs"]]
    contigs = np.array(names, dtype=object)[sources["contig"]]
    labels = [_cell(f"label_{name}") for name in store.experiments]
    head = ",".join(["source", "contig", "start", "end", "score", "split", "locus", *labels])
    # Lists, not arrays: NumPy's numbers take several times as long to format.
    columns = [sources[key].tolist() for key in ("start", "end", "score", "split", "locus")]
    kinds, kind = np.unique(sources["label"], axis=0, return_inverse=True)
    texts = [",".join(map(str, label)) for label in kinds.tolist()]
    table = zip(range(len(contigs)), contigs.tolist(), *columns, kind.tolist(), strict=True)
    lines = (
        f"{i},{contig},{start},{end},{score:g},{SPLIT_NAMES[split]},{locus},{texts[label]}\n"
        for i, contig, start, end, score, split, locus, label in table
    )
    return "".join([f"{head}\n", *lines])


def _cell(name: str) -> str:
    """Return a name as one field of CSV, quoted where it must be."""
    return '"' + name.replace('"', '""') + '"' if re.search(r'[",\r\n]', name) else name


def croissant(
    store: Store,
    *,
    licence: str | None = None,
    archive: tuple[str, str, int] | None = None,
    table: str | None = None,
) -> dict[str, Any]:
    """Describe a store in the Croissant format, version 1.0.

    Croissant has no way to say what an array of a Zarr store holds, so it describes the files and
    the table of sources; the arrays are described in the README and in ``docs/store-format.md``.

    Parameters
    ----------
    store
        The store.
    licence
        Of the data.
    archive
        Name, sha256 and bytes of the zip the store is in: the description then stands beside it,
        otherwise it is for the files of the store itself.
    table
        What :func:`sources_csv` returns, if it is at hand.

    Returns
    -------
    dict
        JSON-LD.
    """
    listing = (sources_csv(store) if table is None else table).encode()
    listed: dict[str, Any] = {
        "@type": "cr:FileObject",
        "@id": SOURCES,
        "name": SOURCES,
        "description": "Source intervals in the labelled genome.",
        "contentUrl": SOURCES,
        "contentSize": f"{len(listing)} B",
        "encodingFormat": "text/csv",
        "sha256": hashlib.sha256(listing).hexdigest(),
    }
    distribution = [listed]
    if archive is not None:
        name, digest, size = archive
        listed["containedIn"] = {"@id": name}
        distribution.insert(
            0,
            {
                "@type": "cr:FileObject",
                "@id": name,
                "name": name,
                "description": "The store: Zarr version 3 in a zip whose members are not packed.",
                "contentUrl": name,
                "contentSize": f"{size} B",
                "encodingFormat": "application/zip",
                "sha256": digest,
            },
        )
    columns = {
        "source": (
            "sc:Integer",
            "Index of the interval: what the rows' column `source` refers to.",
        ),
        "contig": ("sc:Text", "Contig of the labelled genome."),
        "start": ("sc:Integer", "First base, 0-based."),
        "end": ("sc:Integer", "Base after the last."),
        "score": ("sc:Float", "Score of the peak."),
        "split": ("sc:Text", "train, validation or test."),
        "locus": ("sc:Integer", "Index of the merged peak; −1 for negatives."),
        **{f"label_{e}": ("sc:Integer", f"1: a peak of {e}.") for e in store.experiments},
    }
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": _name(store),
        "description": _description(store),
        "version": "1.0.0",
        "keywords": ["genomics", "regulatory DNA", "homologous sequences", "Zarr"],
        **({"license": licence} if licence else {}),
        "identifier": store.digest,
        "distribution": distribution,
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "sources",
                "name": "sources",
                "description": "One record per source interval.",
                "key": {"@id": "sources/source"},
                "field": [
                    {
                        "@type": "cr:Field",
                        "@id": f"sources/{column}",
                        "name": column,
                        "description": text,
                        "dataType": kind,
                        "source": {"fileObject": {"@id": SOURCES}, "extract": {"column": column}},
                    }
                    for column, (kind, text) in columns.items()
                ],
            }
        ],
    }


def markdown_text(text: object) -> str:
    """Return text that Markdown shows as it is: no element, link, emphasis, table or new line."""
    shown = re.sub(r"([\\`*|\[\]])", r"\\\1", html.escape(str(text), quote=False))
    return " ".join(shown.split())


def _name(store: Store) -> str:
    return f"{store.attributes.get('name', 'crosslabel')}-{'-'.join(store.experiments)}"


def _description(store: Store) -> str:
    length = store.group(REFERENCE).length
    if "sequences" in store.attributes:
        return f"DNA sequences of {length} b labelled for {', '.join(store.experiments)}."
    genomes = len(store.genomes)
    return (
        f"DNA windows of {length} b labelled with peaks of {', '.join(store.experiments)} in "
        f"{store.attributes['reference']['name']}, and their homologues in {genomes} related "
        f"genome{'s' * (genomes != 1)}."
    )


def readme(store: Store, *, licence: str | None = None) -> str:
    """Return the dataset card, in Markdown with YAML front matter."""
    settings, ledger = store.attributes, store.ledger
    reference, tables = settings["reference"], settings.get("sequences")
    targets = [f"{HOMOLOGUES}/{genome}" for genome in store.genomes]
    groups = [REFERENCE, *targets]
    front = {
        "pretty_name": _name(store),
        **({"license": licence} if licence else {}),
        "tags": ["biology", "genomics", "zarr", "croissant"],
        "size_categories": [_size_category(sum(int(ledger[name]["rows"]) for name in groups))],
    }
    return _README.format(
        front="\n".join(f"{key}: {json.dumps(value)}" for key, value in front.items()),
        name=markdown_text(_name(store)),
        description=markdown_text(_description(store)),
        rows="\n".join(_row(store, name) for name in groups),
        made=_made(store, targets).rstrip(),
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


def write_card(path: Path, *, licence: str | None = None) -> list[Path]:
    """Write the card into the folder of a local store and return the files that changed.

    Without `licence` the one of an earlier card is kept.
    """
    changed = []
    open_store(path)  # where there is no store, no lock is made
    with writer_lock(path):
        licence = licence or licence_of(path)
        for name, text in card_files(open_store(path), licence=licence).items():
            file = path / name
            if not file.is_file() or file.read_text(encoding="utf-8") != text:
                write_text_atomic(file, text)
                changed.append(file)
    return changed


def licence_of(path: Path) -> str | None:
    """Return the licence the card of a local store names, if it has one."""
    try:
        value = json.loads((path / CROISSANT).read_text(encoding="utf-8")).get("license")
    except (OSError, ValueError):
        return None
    return value if isinstance(value, str) else None
