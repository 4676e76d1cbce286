"""Files inside a page: figures and tables that a reader can save, as addresses of their content."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import pandas as pd

from sslmodels.report.svg_figures import file_svg

#: What an address may contain as it is; browsers keep spaces in the middle.
_SAFE = " /:;,=()*!?@'+$"


def data_address(text: str, kind: str) -> str:
    """Return an address that contains a text.

    Parameters
    ----------
    text
        The content.
    kind
        Its media type, such as ``text/csv``.
    """
    return f"data:{kind};charset=utf-8,{quote(text, safe=_SAFE)}"


def saved_svg(name: str, svg: str) -> dict[str, str]:
    """Return what a page needs to offer a figure: name of the file, address and kind."""
    address = data_address(file_svg(svg), "image/svg+xml")
    return {"file": f"{file_name(name)}.svg", "address": address, "kind": "SVG"}


def saved_csv(name: str, rows: Sequence[Mapping[str, Any]] | pd.DataFrame) -> dict[str, str]:
    """Return what a page needs to offer a table: name of the file, address and kind."""
    table = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows))
    text = table.to_csv(index=False, lineterminator="\n", float_format="%.6g")
    return {"file": f"{file_name(name)}.csv", "address": data_address(text, "text/csv")} | {
        "kind": "CSV"
    }


def file_name(text: str) -> str:
    """Return a text as the name of a file: letters, digits, dots, dashes and underscores."""
    return re.sub(r"[^\w.+-]+", "_", text).strip("._") or "file"
