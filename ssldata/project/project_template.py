"""The commented project file of ``crosslabel init``, and the page that documents every key."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

from ssldata.base.errors import InputError
from ssldata.base.files import write_text_atomic
from ssldata.project.project_file import json_schema

#: Name of a project whose folder has a name that is not allowed.
_FALLBACK_NAME = "my-project"

_INTRODUCTION = """\
# The project file

One YAML file per project, `project.yaml`. `crosslabel init DIR` writes a commented one,
`crosslabel schema` prints the JSON schema, and every command checks the whole file before it
starts: an unknown, missing or contradictory key is reported in one line, with exit code 2.
Relative paths are relative to the folder of the file; `~`, `$NAME` and `${NAME}` are filled in.

Words are taken as they are written: a contig may be called `4`, `01` or `Y` without quotation
marks. Where a number is expected, it must be one: `1_200`, `1:40`, `0200`, `true` and text are
refused, with the line. Tags, keys that are no words, more than 64 levels, more than 50,000 words
(aliases expanded) and files above 1 MB are refused, too.

All text files (peaks, chains, FASTA, tables) follow one set of rules. Lines end in LF, CRLF or CR,
in any mixture; a byte order mark, and blanks and tabs at the end of a line, mean nothing. gzip,
bgzip, bzip2 and zip (of one file) are recognised by content; a file that is cut short or damaged is
refused, and so are xz, zstd, `.Z` and UTF-16, by name. In BED files, lines that begin with `#` or
with the words `track` or `browser` are skipped, and a row with fewer columns than the first is
refused. Column 10 is the summit wherever the first ten columns are those of narrowPeak, whatever
follows them (IDR appends its own).

This page is printed by `crosslabel schema --markdown`; a test keeps it in step with the code.

"""


def template_text(name: str = _FALLBACK_NAME) -> str:
    """Return the template of a project file as YAML text.

    Parameters
    ----------
    name
        Name of the project: letters, digits, ``.``, ``_`` and ``-``.
    """
    text = (resources.files("ssldata.project") / "project.template.yaml").read_text("utf-8")
    return text.replace("{name}", name, 1)


def new_project_file(directory: Path) -> tuple[Path, str]:
    """Return the path of a project file that is not there yet, and a name for the project.

    Raises
    ------
    InputError
        The folder has a project file already, or `directory` is a file.
    """
    path = directory / "project.yaml"
    if directory.exists() and not directory.is_dir():
        raise InputError(f"{directory}: expected a folder, found a file; name a new folder")
    if path.exists():
        raise InputError(f"{path}: exists already and is not overwritten; name a new folder")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", directory.resolve().name).strip("-._")[:100]
    return path, name or _FALLBACK_NAME


def write_template(directory: Path) -> Path:
    """Write ``project.yaml`` into a folder, created if missing, and return its path.

    Raises
    ------
    InputError
        As :func:`new_project_file`.
    """
    path, name = new_project_file(directory)
    write_text_atomic(path, template_text(name))
    return path


def schema_page() -> str:
    """Return the reference page of the project file in Markdown, made from its JSON schema."""
    schema = json_schema()
    definitions = schema["$defs"]
    lines = [
        *_INTRODUCTION.splitlines(),
        *_table("Top level", schema, definitions),
    ]
    for name, section in _sections(schema, definitions):
        lines += ["", *_table(f"`{name}`", definitions[section], definitions)]
    return "\n".join(lines) + "\n"


def _sections(schema: dict[str, Any], definitions: dict[str, Any]) -> list[tuple[str, str]]:
    """Return (dotted key, definition name) of every nested section, in the order of the file."""
    found: list[tuple[str, str]] = []
    for key, value in schema["properties"].items():
        section, many = _section_name(value)
        if section is None:
            continue
        dotted = f"{key}{many}"
        found.append((dotted, section))
        inner = _sections(definitions[section], definitions)
        found += [(f"{dotted}.{name}", target) for name, target in inner]
    return found


def _section_name(value: dict[str, Any]) -> tuple[str | None, str]:
    """Return the definition of a section, and what stands after the key if there are many."""
    many, options = "", value.get("anyOf", [value])  # or null
    if "items" in value:  # genomes may also be a mapping
        many, options = "[]", [value["items"]]
    elif isinstance(value.get("additionalProperties"), dict):
        many, options = ".NAME", [value["additionalProperties"]]
    target = next((option["$ref"] for option in options if "$ref" in option), None)
    return (target.rsplit("/", 1)[1] if target else None), many


def _table(title: str, section: dict[str, Any], definitions: dict[str, Any]) -> list[str]:
    lines = [f"## {title}", ""]
    if section.get("description") and title != "Top level":
        lines += [section["description"].replace("``", "`"), ""]
    lines += ["| key | value | default | meaning |", "|---|---|---|---|"]
    required = section.get("required", [])
    for key, value in section["properties"].items():
        default = "**required**" if key in required else _default(value)
        cells = (f"`{key}`", _kind(value, definitions), default, value.get("description", ""))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return lines


def _default(value: dict[str, Any]) -> str:
    if "default" not in value:
        # The schema lacks defaults made by a factory; all of ours are empty or sections.
        empty = {"array": "`[]`", "object": "`{}`"}
        return "`[]`" if "items" in value else empty.get(value.get("type", ""), "")
    return "" if _section_name(value)[0] else f"`{json.dumps(value['default'])}`"


def _kind(value: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Return in a few words which values a key may have."""
    if "anyOf" in value:
        return " or ".join(_kind(option, definitions) for option in value["anyOf"])
    if "enum" in value or "const" in value:
        return ", ".join(f"`{v}`" for v in value.get("enum", [value.get("const")]))
    section, many = _section_name(value)
    if section:
        return {"": "section", "[]": "list of sections", ".NAME": "mapping of sections"}[many]
    if value.get("type") == "array":
        return f"list of {_kind(value['items'], definitions)}"
    if value.get("type") == "object":
        return "mapping"
    if value.get("format") == "path":
        return "path"
    names = {"string": "text", "integer": "integer", "number": "number", "boolean": "true, false"}
    bounds = [
        f"{sign} {value[bound]}"
        for bound, sign in (
            ("minimum", "≥"),
            ("exclusiveMinimum", ">"),
            ("maximum", "≤"),
            ("exclusiveMaximum", "<"),
        )
        if bound in value
    ]
    return " ".join([names.get(value.get("type", ""), str(value.get("type", "any"))), *bounds])
