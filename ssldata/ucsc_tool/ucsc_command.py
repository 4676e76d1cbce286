"""``crosslabel liftover OLD CHAIN NEW UNMAPPED``: a drop-in for the UCSC liftOver tool.

Same options (one dash, ``-name=value``), same bytes in both files. It starts fast: neither pandas
nor a framework is imported, and the compiled kernels only where the input is large enough.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import stat
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, Protocol

from ssldata.base.errors import ConfigError, CrosslabelError
from ssldata.base.files import atomic_path
from ssldata.base.text_file import read_bytes
from ssldata.chains.chain_index import load_chain
from ssldata.ucsc_tool.bed3_to_bed10 import lift_small
from ssldata.ucsc_tool.bed12 import lift_blocked
from ssldata.ucsc_tool.bed_rows import BedOptions, BedReader, Text

USAGE = """\
usage: crosslabel liftover OLD CHAIN NEW UNMAPPED [options]

Move the intervals of OLD (BED3 to BED12, and BED with further columns) through CHAIN (a UCSC
chain file from the old genome to the new one). What maps is written to NEW, the rest with its
reason to UNMAPPED: the same bytes as the UCSC liftOver tool writes. OLD and CHAIN may be
compressed; stdin and stdout may be given for file names.

options (of the UCSC tool, with its defaults):
  -minMatch=0.95     minimum fraction of bases that must map
  -minBlocks=1.0     BED12: minimum fraction of blocks that must map
  -fudgeThick        BED12: move unmapped thick ends to the closest mapped base
  -multiple          allow several output regions for an interval
  -noSerial          with -multiple: do not put a serial number in the 5th column
  -minChainT=0 -minChainQ=0   with -multiple: minimum size of a chain in the old, new genome
  -minSizeQ=0        with -multiple: minimum size of a region
  -minSizeT=0        accepted, without effect (as in the tool)
  -bedPlus=N         only the first N columns are BED, the others are copied (narrowPeak: 6)
  -tab               columns are separated by tabs only (with -bedPlus)
  -hasBin            the first column is a bin number (with -bedPlus)
  -ends=N            lift the first and last N bases and join them
  -preserveInput     put the old position before the name
options of crosslabel:
  --compat v491|v492 -multiple as before or since release 492 of December 2025 (default v492)
  --quiet            no summary on standard error
"""

#: Size of a BED file from which starting the compiled reader pays.
COMPILED_FROM_BYTES = 5_000_000


class BinaryWriter(Protocol):
    """Something that bytes are written to."""

    def write(self, data: bytes | memoryview, /) -> int:
        """Write bytes; return how many were accepted."""
        ...


#: Fields of the options by their names on the command line, those of the UCSC tool.
_FIELDS = {re.sub("_(.)", lambda found: found[1].upper(), f.name): f for f in fields(BedOptions)}
#: Types of their values; an option of type bool takes none.
_KINDS: dict[str, Any] = {name: type(field.default) for name, field in _FIELDS.items()}
_KINDS["quiet"] = bool
_OTHER_FORMATS = ("gff", "genePred", "sample", "pslT", "positions", "pslt", "chainTable")


def parse_arguments(arguments: list[str]) -> tuple[list[str], BedOptions, bool]:
    """Return the four file names, the options, and whether to be quiet.

    Raises
    ------
    ConfigError
        An unknown option, a value that does not fit, options that exclude each other, or not
        four file names.
    """
    files: list[str] = []
    found: dict[str, Any] = {}
    waiting = iter(arguments)
    for argument in waiting:
        if not argument.startswith("-") or argument == "-":
            files.append(argument)
            continue
        name, equals, value = argument.lstrip("-").partition("=")
        kind = _KINDS.get(name)
        if kind is bool:
            if equals:
                raise ConfigError(f"{argument}: this option has no value")
            found[name] = True
        elif kind is not None:
            if not equals:
                if not argument.startswith("--"):
                    raise ConfigError(f"{argument}: give the value as -{name}=VALUE")
                value = next(waiting, "")
            try:
                found[name] = kind(value)
            except ValueError:
                expected = "a whole number" if kind is int else "a number"
                raise ConfigError(f"-{name} needs {expected}, found {value!r}") from None
        elif name in _OTHER_FORMATS:
            raise ConfigError(
                f"{argument}: not supported; only BED is read (use the UCSC tool for "
                "gff, genePred, psl and positions)"
            )
        else:
            known = " ".join(f"-{key}" for key in _KINDS)
            raise ConfigError(f"{argument}: unknown option; known are {known}")
    quiet = bool(found.pop("quiet", False))
    options = BedOptions(**{_FIELDS[name].name: value for name, value in found.items()})
    check_options(options, set(found))
    if len(files) != 4:
        raise ConfigError(
            f"expected 4 file names (OLD CHAIN NEW UNMAPPED), found {len(files)}; "
            "see crosslabel liftover --help"
        )
    return files, options, quiet


def check_options(options: BedOptions, given: set[str]) -> None:
    """Refuse options that have no effect or exclude each other, as the UCSC tool does.

    Parameters
    ----------
    options
        All options.
    given
        Names of those on the command line.

    Raises
    ------
    ConfigError
    """
    if options.compat not in ("v491", "v492"):
        raise ConfigError(f"--compat must be v491 or v492, found {options.compat!r}")
    for name, field in _FIELDS.items():
        value = getattr(options, field.name)
        # NaN is not ≥ 0 either.
        if isinstance(value, (int, float)) and not value >= 0:
            raise ConfigError(f"-{name} must not be negative, found {value}")
    for name in ("minChainT", "minChainQ", "minSizeQ", "noSerial"):
        if name in given and not options.multiple:
            raise ConfigError(f"-{name} has a meaning only with -multiple")
    for name in ("tab", "hasBin"):
        if name in given and not options.bed_plus:
            raise ConfigError(f"-{name} can be used only with -bedPlus")
    if options.ends and options.multiple:
        raise ConfigError("-ends cannot be used with -multiple")


_STDIN = {"stdin", "-", "/dev/stdin"}
_STDOUT = {"stdout", "-", "/dev/stdout"}


def _identity(name: str, stream: set[str], descriptor: int) -> object:
    """Return what two names of one file share, however they are spelled; None for no file.

    Parameters
    ----------
    name
        As on the command line; links are followed.
    stream, descriptor
        Names of the standard stream, and its file descriptor: a shell may connect it to a file.
    """
    try:
        status = os.fstat(descriptor) if name in stream else Path(name).stat()
    except OSError:  # not there yet
        return os.path.realpath(name)
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None


def check_files(files: list[str]) -> None:
    """Refuse outputs that would overwrite each other or an input.

    Raises
    ------
    ConfigError
    """
    old, chain, new, unmapped = files
    outputs = {name: _identity(name, _STDOUT, 1) for name in (new, unmapped)}
    both_stdout = {new, unmapped} <= _STDOUT
    if outputs[new] is not None and outputs[new] == outputs[unmapped] and not both_stdout:
        raise ConfigError(f"NEW and UNMAPPED are the same file: {_named(new, unmapped)}")
    if {old, chain} <= _STDIN:
        raise ConfigError("OLD and CHAIN cannot both be standard input")
    for title, name in (("OLD", old), ("CHAIN", chain)):
        found = _identity(name, _STDIN, 0)
        for output, identity in outputs.items():
            if found is not None and found == identity:
                raise ConfigError(
                    f"{title} would be overwritten by its own result: {_named(name, output)}; "
                    "give another name for the output"
                )


def _named(*names: str) -> str:
    return " and ".join(dict.fromkeys(names))


@contextlib.contextmanager
def open_output(name: str) -> Iterator[BinaryWriter]:
    """Open a file for writing; it appears only when the block ends well.

    ``stdout`` and ``-`` are standard output. A name that ends in .gz is compressed. Devices and
    pipes are written directly; a link stays, and the file that it leads to is written.
    """
    path = Path(name)
    if name in _STDOUT:
        if sys.stdout is None:
            raise ConfigError(f"{name}: standard output is closed")
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    elif path.exists() and not path.is_file():
        with path.open("wb") as handle:
            yield handle
    else:
        target = Path(os.path.realpath(path))
        if not target.parent.is_dir():
            raise ConfigError(f"{name}: there is no folder {target.parent}")
        if target.is_symlink():
            raise ConfigError(f"{name}: a link that leads to itself")
        with atomic_path(target) as temporary, temporary.open("wb") as handle:
            if path.suffix == ".gz":
                with gzip.GzipFile("", "wb", 6, handle, mtime=0) as packed:
                    yield packed
            else:
                yield handle


def compiled_pays(data: bytes) -> bool:
    """Return whether the compiled reader is worth its start-up time, or is loaded anyway."""
    return len(data) >= COMPILED_FROM_BYTES or "numba" in sys.modules


def lift_file(data: bytes, chain: str, options: BedOptions, *, where: str) -> Iterator[Text]:
    """Lift the text of a BED file; yield the text of both outputs by rounds.

    Parameters
    ----------
    data
        The file, unpacked.
    chain
        Path of the chain file.
    options
        Of the command.
    where
        Name of the BED file in messages.
    """
    index = load_chain(chain)
    reader = BedReader(data, options=options, where=where)
    if reader.columns == 0:
        return
    if reader.bed_columns > 10:
        yield from lift_blocked(reader, index, options)
        return
    if compiled_pays(data):
        from ssldata.ucsc_tool import bulk_bed  # costs half a second

        if bulk_bed.can_read(reader, options):
            yield from bulk_bed.lift_regular(reader, index, options)
    yield from lift_small(reader, index, options)


def run(files: list[str], options: BedOptions) -> dict[str, int]:
    """Lift a file; return the number of intervals by outcome.

    Raises
    ------
    CrosslabelError
        Bad input; neither output is then written.
    """
    old, chain, new, unmapped = files
    check_files(files)
    data = read_bytes(old)
    counts: Counter[str] = Counter()
    with open_output(new) as mapped_file, open_output(unmapped) as unmapped_file:
        for text in lift_file(data, chain, options, where=old):
            mapped_file.write(text.mapped)
            unmapped_file.write(text.unmapped)
            counts.update(text.counts)
    return dict(counts)


@contextlib.contextmanager
def light_compiler(wanted: bool) -> Iterator[None]:
    """Let Numba start without SciPy, which it imports for linear algebra that we do not use.

    That halves the time to the first compiled call (0.15 s of CPU). Numba remembers that SciPy was
    missing, so this is for a process that does nothing else.
    """
    if not wanted or "numba" in sys.modules or "scipy" in sys.modules:
        yield
        return
    blocked: dict[str, Any] = {"scipy": None}
    sys.modules.update(blocked)
    try:
        yield
    finally:
        del sys.modules["scipy"]


def main(arguments: list[str] | None = None, *, own_process: bool = False) -> int:
    """Run the command; return its exit code: 0, or 2 with one line on standard error.

    Parameters
    ----------
    arguments
        Without the name of the command; default: those of the process.
    own_process
        The process does nothing else, so start-up may take shortcuts.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if any(argument in {"-h", "-help", "--help"} for argument in arguments):
        sys.stdout.write(USAGE)
        return 0
    if not arguments:
        sys.stderr.write(USAGE)
        return 2
    try:
        files, options, quiet = parse_arguments(arguments)
        with light_compiler(own_process):
            counts = run(files, options)
    except CrosslabelError as error:
        _say(f"crosslabel liftover: error: {error}")
        return error.exit_code
    except BrokenPipeError:  # the reader of standard output is gone
        # The interpreter flushes it once more at exit, which must not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except OSError as error:
        _say(f"crosslabel liftover: error: {error.filename or 'output'}: {error.strerror}")
        return 2
    if not quiet:
        total = sum(counts.values())
        rest = ", ".join(f"{count} {name}" for name, count in counts.items() if name != "mapped")
        _say(
            f"{counts.get('mapped', 0)} of {total} intervals mapped"
            + (f" ({rest})" if rest else "")
        )
    return 0


def _say(message: str) -> None:
    if sys.stderr is not None:  # else print would write to standard output
        print(message, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(own_process=True))
