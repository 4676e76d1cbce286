"""The card of a store as one HTML page that loads nothing: for people, in two minutes.

Bars are inline SVG between text of the page, so that names and numbers keep their size on a phone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup, escape

from ssldata.sharing.croissant_file import Facts, store_description, store_name
from ssldata.store.store import HOMOLOGUES, RANGES, REFERENCE, Store
from ssldata.store_card.all_checks import CHAPTERS, is_unmade
from ssldata.store_card.basic_checks import counts
from ssldata.trust.findings import MARKS, Finding, FindingTable, by_chapter, worst

#: What a mark is called where there is room for a word.
_SAID = {"pass": "passed", "note": "note", "warn": "warning", "fail": "failure"}
_RANGE_TITLES = {
    "positive": "training positives",
    "negative": "training negatives",
    "validation": "validation",
    "test": "test",
}
#: More bars than these are a table.
_MOST_BARS = 40
_HEX = 12


def card_page(store: Store, findings: Sequence[Finding], *, facts: Facts) -> str:
    """Return the page.

    Parameters
    ----------
    store
        The store.
    findings
        What checks of it found.
    facts
        Licence, date and citation.
    """
    chapters = by_chapter(findings)
    titles = {chapter.name: chapter for chapter in CHAPTERS}
    return (
        _environment()
        .get_template("card.html.j2")
        .render(
            style=Markup(_asset("card.css")),
            name=store_name(store),
            description=store_description(store),
            facts=facts,
            worst=worst(findings),
            tally=_tally(findings),
            serious=[one for mark in ("fail", "warn") for one in findings if one.mark == mark],
            unmade=[
                titles[one.chapter].title if one.chapter in titles else one.chapter
                for one in findings
                if is_unmade(one)
            ],
            chapters=[
                {
                    "name": name,
                    "title": titles[name].title if name in titles else name,
                    "page": titles[name].page if name in titles else "trust.md",
                    "mark": worst(found),
                    "made": not all(is_unmade(one) for one in found),
                    "findings": found,
                }
                for name, found in chapters.items()
            ],
            tiles=_tiles(store, facts),
            ranges=_RANGE_TITLES,
            rows=_rows(store),
            made=_made(store),
            inputs=_inputs(store),
            digest=store.digest,
            format=store.attributes["format_version"],
            genomes=store.genomes,
            reference=store.attributes["reference"]["name"],
            experiments=store.experiments,
        )
    )


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_asset),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(bars=_bars, anchor=_anchor)
    environment.filters.update(value=shown_value, numeric=_is_number, coded=_coded)
    return environment


def _asset(name: str) -> str:
    return (resources.files("ssldata.store_card") / "templates" / name).read_text("utf-8")


def _anchor(check: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in check)


def _coded(text: str) -> Markup:
    """Return a sentence as HTML, with what stands between backticks as code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # one backtick is without its partner
        return escape(text)
    code, plain = Markup("<code>{}</code>"), Markup("{}")
    return Markup("").join((code if i % 2 else plain).format(one) for i, one in enumerate(parts))


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def shown_value(value: object) -> str:
    """Return a value as a table shows it: thousands apart, three figures, a dash for none."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def _tally(findings: Sequence[Finding]) -> str:
    """Return how many findings have each mark, the most serious first: ``1 warning, 3 passed``."""
    found = {mark: sum(one.mark == mark for one in findings) for mark in reversed(MARKS)}
    words = [
        f"{count} {_SAID[mark]}{'s' * (count != 1 and mark != 'pass')}"
        for mark, count in found.items()
        if count
    ]
    return ", ".join(words) or "nothing was checked"


def _bars(table: FindingTable) -> list[dict[str, Any]] | None:
    """Return the bars of a table that asks for them: name, value and share of the longest.

    None where it asks for none, or a value cannot be a length.
    """
    if table.plot is None or not 0 < len(table.rows) <= _MOST_BARS:
        return None
    names, values = (table.columns.index(column) for column in table.plot)
    lengths = [row[values] for row in table.rows]
    if not all(_is_number(one) for one in lengths):
        return None
    numbers = [math.nan if one is None else float(one) for one in lengths]
    finite = [one for one in numbers if math.isfinite(one)]
    if not finite or min(finite) < 0:
        return None
    top = max(finite) or 1.0
    return [
        {
            "name": shown_value(row[names]),
            "value": shown_value(row[values]),
            "length": round(100 * number / top, 1) if math.isfinite(number) else 0,
        }
        for row, number in zip(table.rows, numbers, strict=True)
    ]


def _tiles(store: Store, facts: Facts) -> list[tuple[str, str, str]]:
    """Return (what, value, note) of the numbers at the top."""
    found = dict(counts(store))
    rows = sum(sum(one.values()) for one in found.values())
    labelled = next(iter(found.values()))
    pseudo = sum(one["positive"] for one in list(found.values())[1:])
    length = store.group(REFERENCE).length
    tiles = [
        ("rows", f"{rows:,}", f"of {length:,} b, from {len(found)} genomes"),
        ("labelled training positives", f"{labelled['positive']:,}", f"of {next(iter(found))}"),
    ]
    if store.genomes:
        times = pseudo / max(1, labelled["positive"])
        tiles.append(
            ("pseudo-positives", f"{pseudo:,}", f"homologues; {times:.1f} × the labelled ones")
        )
    tiles.append(("licence", facts.licence or "not stated", "of the data"))
    return tiles


def _rows(store: Store) -> list[dict[str, Any]]:
    """Return a line for each genome: rows of each range, and their shares as parts of one bar."""
    lines = []
    for genome, found in counts(store):
        total = sum(found.values())
        first = 0.0
        parts = []
        for name in RANGES:
            share = 100 * found[name] / max(1, total)
            parts.append((name, round(first, 2), round(share, 2)))
            first += share
        lines.append({"genome": genome, "counts": found, "total": total, "parts": parts})
    return lines


def _made(store: Store) -> list[tuple[str, str]]:
    """Return how the rows were made, as (word, text)."""
    settings, length = store.attributes, store.group(REFERENCE).length
    if table := settings.get("sequences"):
        used = f"{store.ledger[REFERENCE]['rows']:,} of {table['counts'].get('sequences', 0):,}"
        return [
            ("Rows", f"labelled sequences of {length:,} b; {used} in the table are here"),
            ("Split", str(table["splits"]["by"])),
        ]
    windows, split = settings["windows"], settings["split"]
    mode = {
        "rebin": "peaks are lifted, and the target genome is tiled against them",
        "lift-bins": "every positive bin is lifted",
    }.get(windows["mode"], str(windows["mode"]))
    validation = ", ".join(split["validation"]) or (
        f"{split['validation_fraction']:.0%} of the loci (seed {split['seed']})"
    )
    context = f", stored with their surroundings: {length:,} b" if length != windows["size"] else ""
    covered = f"{windows['min_overlap']:.0%}"
    return [
        (
            "Bins",
            f"{windows['size']:,} b{context}; positive when more than {covered} of it is covered",
        ),
        ("Homologues", f"{mode}; liftover mode {settings['liftover']['mode']}"),
        ("Negatives", f"of pre-training: {settings['negatives']['source']}"),
        ("Test", f"contigs {', '.join(split['test']) or 'none'}, and everything lifted from them"),
        ("Validation", validation),
    ]


def _inputs(store: Store) -> list[dict[str, Any]]:
    """Return a line for each genome: its inputs, its liftover, and what built it."""
    lines, reference = [], store.attributes["reference"]
    for genome in (REFERENCE, *store.genomes):
        group = genome if genome == REFERENCE else f"{HOMOLOGUES}/{genome}"
        entry = store.ledger[group]
        inputs: Mapping[str, Any] = entry.get("inputs", {})
        provenance: Mapping[str, Any] = entry.get("provenance", {})
        lifted: Mapping[str, int] = entry.get("liftover", {})
        total = sum(lifted.values())
        lines.append(
            {
                "genome": reference["name"] if genome == REFERENCE else genome,
                "distance": provenance.get("distance"),
                "mapped": lifted.get("mapped", 0) / total if total else None,
                "sequence": str(inputs.get("sequence", store.attributes["reference"]["digest"]))[
                    :_HEX
                ],
                "chain": str(inputs.get("chain", "–"))[:_HEX],
                "rows": str(entry["content"])[:_HEX],
                "release": str(provenance.get("crosslabel", "–")),
            }
        )
    return lines
