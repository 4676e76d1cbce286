"""The page of every command and option, made from the Typer app of ``crosslabel``."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import typer

from flows.commands.app import app
from ssldata.ucsc_tool.ucsc_command import USAGE

HEAD = """# Every command and option

Made from the program when this site was built; `crosslabel COMMAND --help` prints the same. What \
the commands are for, exit codes and environment variables: [the command line](../cli.md).
"""
#: Options of nearly every command, listed once.
SHARED = ("verbose", "quiet", "as_json")


def commands() -> Iterator[tuple[str, Any]]:
    """Yield the name of every command, as it is typed after ``crosslabel``, and its definition."""

    def walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        inner = getattr(command, "commands", None)
        if inner is None:
            yield " ".join(words), command
        else:
            for name, part in inner.items():
                yield from walk(part, (*words, name))

    yield from walk(typer.main.get_command(app), ())


def option_names(option: Any) -> list[str]:
    """Return all names of an option, the long ones first."""
    return sorted((*option.opts, *option.secondary_opts), key=lambda name: -len(name))


def _value(option: Any) -> str:
    """Return what stands after the name of an option in its line, for example ``FILE``."""
    if option.is_flag or option.count:
        return ""
    # The types of options are kept differently in the releases of Typer; the help has them in all.
    record = option.get_help_record(_context())
    value = re.sub(r"^(?:-[\w-]+(?:, | / )?)+", "", record[0])
    value = re.sub(r"^[<\[]|[>\]]$", "", value.strip())
    names = {"int": "N", "integer": "N", "float": "X", "str": "TEXT", "path": "PATH"}
    kind = re.sub(r"^list\[(.+)\]$", r"\1", value).lower().split(" ")[0]
    return names.get(kind, value)


@cache
def _context() -> Any:
    return typer.main.get_command(app).make_context("crosslabel", ["plan"], resilient_parsing=True)


def _default(option: Any) -> str:
    if option.is_flag or option.count or option.default in (None, "", [], ()):
        return "**required**" if option.required else ""
    if callable(option.default):
        return ""
    values = option.default if isinstance(option.default, (list, tuple)) else [option.default]
    return ", ".join(f"`{value}`" for value in values)


def _cell(text: str | None) -> str:
    return re.sub(r"\s+", " ", text or "").replace("|", "\\|").strip()


def _rows(command: Any) -> list[str]:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [
        p
        for p in command.params
        if p.param_type_name == "option" and p.name not in (*SHARED, "help") and not p.hidden
    ]
    lines: list[str] = []
    if arguments:
        lines += ["| argument | meaning |", "|---|---|"]
        lines += [
            f"| `{a.metavar or a.name.upper()}` | "
            f"{_cell(a.help)}{'' if a.required else ' (may be left out)'} |"
            for a in arguments
        ]
        lines.append("")
    if options:
        lines += ["| option | meaning | default |", "|---|---|---|"]
        for option in options:
            names = ", ".join(f"`{name}`" for name in option_names(option))
            value = _cell(_value(option))
            shown = f"{names} `{value}`" if value else names
            lines.append(f"| {shown} | {_cell(option.help)} | {_cell(_default(option))} |")
        lines.append("")
    return lines


def _text(command: Any) -> list[str]:
    """Return the help of a command as Markdown, its example as a block."""
    lines = []
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(command.help or "")):
        example = re.fullmatch(r"Example: `(.+)`", paragraph.replace("\n", " ").strip())
        lines += ["```", example[1], "```", ""] if example else [paragraph, ""]
    return lines


def command_page() -> str:
    """Return the Markdown of the page."""
    lines = [HEAD]
    lines += ["## Options of every command", "", "| option | meaning |", "|---|---|"]
    found = dict(commands())
    for name in SHARED:
        option = next(p for p in found["plan"].params if p.name == name)
        shown = ", ".join(f"`{word}`" for word in option_names(option))
        lines.append(f"| {shown} | {_cell(option.help)} |")
    lines += ["| `--help`, `-h` | Print the short form of this page and end. |", ""]
    lines += ["`crosslabel --version` prints the version.", ""]
    for name, command in found.items():
        lines += [f"## crosslabel {name}", ""]
        if name == "liftover":  # it parses its own options, those of the UCSC tool
            lines += ["```", USAGE.rstrip(), "```", ""]
            continue
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        words = " ".join(
            f"{a.metavar or a.name.upper()}" if a.required else f"[{a.metavar or a.name.upper()}]"
            for a in arguments
        )
        lines += ["```", f"crosslabel {name} {words} [OPTIONS]".replace("  ", " "), "```", ""]
        lines += [*_text(command), *_rows(command)]
    return "\n".join(lines)
