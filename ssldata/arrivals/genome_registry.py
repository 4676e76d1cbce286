"""The registry of arriving genomes: a YAML file with a list, or a folder with a YAML file for each.

One wrong entry is reported with its file and line and hides no other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from ssldata.base.errors import ConfigError, CrosslabelError, MissingInputError
from ssldata.base.files import digest_of, expanded
from ssldata.base.yaml_text import parse, read_text
from ssldata.project.project_file import checked_in
from ssldata.project.section import Name, Section

#: What stands for a chain file that is still to be made.
ALIGN = "align"
#: Files of a folder that are entries.
_SUFFIXES = (".yaml", ".yml")


def _hexadecimal(value: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", value):
        raise ValueError("a sha256 has 64 hexadecimal digits")
    return value.lower()


Sha256 = Annotated[str, AfterValidator(_hexadecimal)]


class Checksums(Section):
    """What the files must be."""

    sequence: Sha256 | None = Field(default=None, description="sha256 of the sequence file.")
    chain: Sha256 | None = Field(default=None, description="sha256 of the chain file.")


class ArrivingGenome(Section, title="Arriving genome"):
    """An entry of the registry. Relative paths are relative to the folder of its file."""

    name: Name = Field(description="Name of the assembly; names its group in every store.")
    sequence: Path = Field(description="FASTA or 2bit, plain or packed.")
    chain: Path = Field(
        description="UCSC chain file from the reference to this genome, or the word align: there "
        "is none yet, and the genome waits for it."
    )
    distance: Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="Substitutions per site from the reference, if known."
    )
    aliases: dict[str, str] = Field(
        default_factory=dict,
        description="Contig names of the chain that differ from the sequence, alias: name.",
    )
    sha256: Checksums = Field(
        default_factory=Checksums,
        description="Checksums of the files, which are then taken as soon as they agree.",
    )

    @property
    def needs_alignment(self) -> bool:
        """Whether there is no chain file yet."""
        return str(self.chain) == ALIGN

    @property
    def files(self) -> dict[str, Path]:
        """The files that must be there, by key."""
        return {"sequence": self.sequence, "chain": self.chain}


@dataclass(frozen=True)
class ListedGenome:
    """One entry of the registry, right or wrong.

    Attributes
    ----------
    where
        The file, with the number of the entry in a list.
    name
        Of the genome, as far as it can be read.
    genome
        The entry with absolute paths; None: it is wrong.
    problem
        What is wrong, in one line.
    written
        Digest of the entry as it is written.
    """

    where: str
    name: str
    genome: ArrivingGenome | None
    problem: str
    written: str


def read_arrivals(path: Path) -> list[ListedGenome]:
    """Return the entries of a registry, in order; of a folder, by name of file.

    In a folder files are left out whose names begin with a dot, or end in anything but ``.yaml``
    or ``.yml``, so that ``N44.yaml.partial`` can be written and then renamed.

    Raises
    ------
    MissingInputError
        Nothing is there.
    ConfigError
        The file is not YAML, or not a list. (In a folder, that is the problem of one entry.)
    """
    path = path.absolute()
    if path.is_dir():
        found = [
            entry
            for file in sorted(path.iterdir())
            if file.suffix in _SUFFIXES and not file.name.startswith(".")
            for entry in _in_folder(file)
        ]
    elif path.exists():
        found = list(_in_list(path))
    else:
        raise MissingInputError(
            f"{path}: no such registry of genomes; name a folder of YAML files, or a YAML file"
        )
    return list(_names_once(found))


def _in_folder(file: Path) -> Iterator[ListedGenome]:
    try:
        text = read_text(file)
        entry = parse(file, text)
    except FileNotFoundError:  # removed since the folder was listed
        return
    except CrosslabelError as exc:
        yield ListedGenome(str(file), file.stem, None, str(exc), digest_of(str(exc)))
        return
    except OSError as exc:
        problem = f"{file}: cannot be read ({exc.strerror})"
        yield ListedGenome(str(file), file.stem, None, problem, digest_of(problem))
        return
    yield _listed(file, text, entry, str(file), file.stem)


def _in_list(file: Path) -> Iterator[ListedGenome]:
    text = read_text(file)
    entries = parse(file, text)
    entries = [] if entries is None else entries
    if not isinstance(entries, list):
        raise ConfigError(
            f"{file}: expected a list of genomes (- name: …), found {type(entries).__name__}"
        )
    for number, entry in enumerate(entries):
        where = f"{file}, entry {number + 1}"
        yield _listed(file, text, entry, where, f"entry {number + 1}", number)


def _listed(file: Path, text: str, entry: Any, where: str, name: str, *within: int) -> ListedGenome:
    if isinstance(entry, dict) and isinstance(entry.get("name"), str):
        name = entry["name"]
    written = digest_of(entry)
    try:
        if not isinstance(entry, dict):
            found = "nothing" if entry is None else type(entry).__name__
            raise ConfigError(f"{where}: expected keys of a genome (name: …), found {found}")
        genome = checked_in(file, text, ArrivingGenome, entry, within=within)
        genome = _absolute(genome, file)
    except CrosslabelError as exc:
        return ListedGenome(where, name, None, str(exc), written)
    return ListedGenome(where, genome.name, genome, "", written)


def _absolute(genome: ArrivingGenome, file: Path) -> ArrivingGenome:
    try:
        paths = {
            key: path if key == "chain" and genome.needs_alignment else file.parent / expanded(path)
            for key, path in genome.files.items()
        }
    except ConfigError as exc:
        raise ConfigError(f"{file}: {exc}") from None
    return genome.model_copy(update=paths)


def _names_once(found: list[ListedGenome]) -> Iterator[ListedGenome]:
    """Yield the entries; of several with one name all but the first are wrong."""
    first: dict[str, str] = {}
    for entry in found:
        # Names become folders; two that differ only in case collide on some disks.
        key = entry.name.lower()
        if entry.genome is not None and key in first:
            problem = (
                f"{entry.where}: the name {entry.name!r} is used already, by {first[key]}; choose "
                "another name, or remove one of them"
            )
            yield replace(entry, genome=None, problem=problem)
            continue
        if entry.genome is not None:
            first[key] = entry.where
        yield entry


def registry_schema() -> dict[str, Any]:
    """Return the JSON schema of a registry: a list of genomes, or one genome (draft 2020-12)."""
    genome = ArrivingGenome.model_json_schema(ref_template="#/$defs/{model}")
    definitions = {**genome.pop("$defs", {}), "ArrivingGenome": genome}
    reference = {"$ref": "#/$defs/ArrivingGenome"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "crosslabel registry of genomes",
        "anyOf": [{"type": "array", "items": reference}, reference],
        "$defs": definitions,
    }
