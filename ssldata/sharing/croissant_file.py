"""The Croissant description of a store, and the table of its sources.

Croissant: http://mlcommons.org/croissant/1.0
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ssldata.base.errors import ConfigError
from ssldata.rows.array_meanings import LIFTOVER_MEANINGS, ROW_MEANINGS
from ssldata.rows.splits import SPLIT_NAMES
from ssldata.store.root_metadata import HOMOLOGUES, REFERENCE
from ssldata.store.store import Store

CROISSANT, SOURCES = "croissant.json", "sources.csv"

_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "arrayShape": "cr:arrayShape",
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
    "isArray": "cr:isArray",
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


class Facts(NamedTuple):
    """What only the people behind a store know of it; a card keeps what an earlier one said.

    Attributes
    ----------
    licence
        Of the data, as an SPDX name or URL.
    published
        Date, as YYYY-MM-DD.
    cite
        How to cite it, in BibTeX.
    """

    licence: str | None = None
    published: str | None = None
    cite: str | None = None

    def or_else(self, earlier: Facts) -> Facts:
        """Return these facts, and those of `earlier` where there are none."""
        return Facts(*(new or old for new, old in zip(self, earlier, strict=True)))


NO_FACTS = Facts()


def checked_date(text: str | None) -> str | None:
    """Return a date that is YYYY-MM-DD.

    Raises
    ------
    ConfigError
        It is not.
    """
    if text is None:
        return None
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise ConfigError(f"{text!r}: no date; expected YYYY-MM-DD") from None


def facts_of(path: Path) -> Facts:
    """Return what the card in a folder says."""
    try:
        found = json.loads((path / CROISSANT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Facts()
    if not isinstance(found, dict):
        return Facts()
    values = (found.get(key) for key in ("license", "datePublished", "citeAs"))
    facts = Facts(*(value if isinstance(value, str) else None for value in values))
    made = facts.cite is not None and facts.cite.startswith("@misc{crosslabel-")
    return facts._replace(cite=None) if made else facts


def licence_of(path: Path) -> str | None:
    """Return the licence the card of a local store names, if it has one."""
    return facts_of(path).licence


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


def store_name(store: Store) -> str:
    """Return what a card calls a store."""
    return f"{store.attributes.get('name', 'crosslabel')}-{'-'.join(store.experiments)}"


def store_description(store: Store) -> str:
    """Return what a store is, in a sentence."""
    length = store.group(REFERENCE).length
    if "sequences" in store.attributes:
        return f"DNA sequences of {length} b labelled for {', '.join(store.experiments)}."
    genomes = len(store.genomes)
    return (
        f"DNA windows of {length} b labelled with peaks of {', '.join(store.experiments)} in "
        f"{store.attributes['reference']['name']}, and their homologues in {genomes} related "
        f"genome{'s' * (genomes != 1)}."
    )


def croissant(
    store: Store,
    *,
    facts: Facts = NO_FACTS,
    archive: tuple[str, str, int] | None = None,
    table: str | None = None,
) -> dict[str, Any]:
    """Describe a store in the Croissant format, version 1.0.

    The table of sources can be read by any reader of Croissant. Of rows, homologous rows and
    liftover the record sets give fields, types and meanings; their values are in Zarr arrays of
    those names, which Croissant cannot decode: read them with xarray or zarr.

    Parameters
    ----------
    store
        The store.
    facts
        Licence, date and citation.
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
    distribution: list[dict[str, Any]] = [
        {
            "@type": "cr:FileObject",
            "@id": SOURCES,
            "name": SOURCES,
            "description": "Source intervals in the labelled genome.",
            "contentUrl": SOURCES,
            "contentSize": f"{len(listing)} B",
            "encodingFormat": "text/csv",
            "sha256": hashlib.sha256(listing).hexdigest(),
        }
    ]
    tables = list(_row_tables(store))
    distribution += [one.files for one in tables]
    if archive is not None:
        name, digest, size = archive
        for item in distribution:
            item["containedIn"] = {"@id": name}
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
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": store_name(store),
        "description": store_description(store),
        "version": "1.0.0",
        "keywords": ["genomics", "regulatory DNA", "homologous sequences", "Zarr"],
        **({"license": facts.licence} if facts.licence else {}),
        **({"datePublished": facts.published} if facts.published else {}),
        "citeAs": facts.cite or _citation(store),
        "identifier": store.digest,
        "distribution": distribution,
        "recordSet": [_sources_records(store), *(one.records for one in tables)],
    }


def _citation(store: Store) -> str:
    """Return an entry of BibTeX that names a store by what identifies it."""
    title = re.sub(r"[{}\\]", "", store_name(store))
    return (
        f"@misc{{crosslabel-{store.digest[:12]}, title = {{{title}}}, "
        f"note = {{crosslabel store, digest {store.digest}}}}}"
    )


def _sources_records(store: Store) -> dict[str, Any]:
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


class _RowTable(NamedTuple):
    """One kind of rows: its files and its records."""

    files: dict[str, Any]
    records: dict[str, Any]


def _row_tables(store: Store) -> Iterator[_RowTable]:
    """Yield the kinds of rows of a store; all genomes have the same fields."""
    rows = ROW_MEANINGS
    where = store.attributes["reference"]["name"]
    yield _row_table(
        store, "rows", REFERENCE, REFERENCE, f"Rows of {where}, the labelled genome.", rows
    )
    if not store.genomes:
        return
    first = f"{HOMOLOGUES}/{store.genomes[0]}"
    named = f"Target genomes, each in a folder of its name: {', '.join(store.genomes)}."
    yield _row_table(
        store, "homologous_rows", first, f"{HOMOLOGUES}/*", f"Pseudo-labelled rows. {named}", rows
    )
    text = f"What became of each source interval in a genome. {named}"
    yield _row_table(
        *(store, "liftover", f"{first}/liftover", f"{HOMOLOGUES}/*/liftover", text),
        LIFTOVER_MEANINGS,
    )


def _row_table(
    store: Store,
    name: str,
    group: str,
    folder: str,
    text: str,
    meanings: Mapping[str, Mapping[str, Any]],
) -> _RowTable:
    """Describe the arrays of a group; `folder` is the pattern of all groups like it."""
    files = f"{name}-files"
    nodes = {array: store.nodes.get(f"{group}/{array}") for array in meanings}
    return _RowTable(
        {
            "@type": "cr:FileSet",
            "@id": files,
            "name": files,
            "description": f"Chunks of the Zarr arrays of {folder}.",
            "encodingFormat": "application/octet-stream",
            "includes": f"{folder}/*/c/**",
        },
        {
            "@type": "cr:RecordSet",
            "@id": name,
            "name": name,
            "description": f"{text} The field x is the Zarr array {folder}/x, one value per record "
            "along its first axis.",
            "field": [
                _field(f"{name}/{array}", files, node, meanings[array])
                for array, node in nodes.items()
                if node is not None
            ],
        },
    )


def _field(
    name: str, files: str, node: Mapping[str, Any], meaning: Mapping[str, Any]
) -> dict[str, Any]:
    """Describe one array: its type, its shape without the row, its meaning."""
    words = [str(meaning["long_name"])]
    if "flag_values" in meaning:
        flags = zip(meaning["flag_values"], meaning["flag_meanings"].split(), strict=True)
        words.append(", ".join(f"{value} {word}" for value, word in flags))
    elif meaning["units"] != "1":
        words.append(f"in {meaning['units']}")
    words += [str(meaning["comment"])] if "comment" in meaning else []
    kind = str(node["data_type"])
    wide = [str(size) for size in node["shape"][1:]]
    array = {"isArray": True, "arrayShape": ",".join(wide)} if wide else {}
    rows = name.startswith(("rows/", "homologous_rows/")) and name.endswith("/source")
    return {
        "@type": "cr:Field",
        "@id": name,
        "name": name.rpartition("/")[2],
        "description": "; ".join(words) + ".",
        "dataType": f"cr:{kind.title().replace('Uint', 'UInt')}",
        **array,
        "source": {"fileSet": {"@id": files}, "extract": {"fileProperty": "content"}},
        **({"references": {"field": {"@id": "sources/source"}}} if rows else {}),
    }
