"""Checkpoints of Sei, read strictly: every tensor is accounted for, or nothing is loaded.

Layouts: one file (``sei.pth`` of the authors), or the trunk and the head in files of their own;
PyTorch's zip format or safetensors; names bare or with the prefix of the wrapper that was saved.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ssldata.base.errors import InputError, MissingInputError
from sslmodels.checkpoints.load_report import listed
from sslmodels.checkpoints.tensor_files import read_tensors
from sslmodels.sei.sei_tensors import SeiHead, SeiSizes, Shapes, parameter_count, sei_tensors

#: What wrappers put before the names: DataParallel, and the wrapper that averages both strands.
PREFIXES = ("module.model.", "model.", "module.", "")

#: Endings of files of weights.
SUFFIXES = (".pth", ".pt", ".bin", ".safetensors")

#: Which head to load: the one that the files hold, none, or one that they must hold.
HeadChoice = Literal["auto", "none", "full", "low-rank"]

#: First dense layer of a head → its kind.
_KINDS = {"classifier.": "full", "loraw": "low-rank"}


@dataclass(frozen=True, kw_only=True)
class SeiReport:
    """What was loaded from a checkpoint.

    Attributes
    ----------
    paths
        The files.
    loaded
        Names of the tensors loaded.
    ignored
        Tensors of a head that was not asked for.
    parameters
        How many numbers were loaded.
    """

    paths: tuple[Path, ...]
    loaded: tuple[str, ...]
    ignored: tuple[str, ...]
    parameters: int

    def __str__(self) -> str:
        return (
            f"{', '.join(map(str, self.paths))}: {len(self.loaded)} tensors loaded "
            f"({self.parameters:,} parameters), {len(self.ignored)} of the head ignored"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON-able values."""
        return {
            "paths": [str(path) for path in self.paths],
            "loaded": len(self.loaded),
            "ignored": list(self.ignored),
            "parameters": self.parameters,
        }


@dataclass(frozen=True, kw_only=True)
class SeiTensors:
    """The tensors of a checkpoint that fit a network, by their bare names.

    Attributes
    ----------
    values
        Name → array in PyTorch's layout, memory-mapped where the file allows.
    head
        The head they belong to; None: the trunk alone.
    report
        What was found.
    """

    values: Mapping[str, NDArray[Any]]
    head: SeiHead | None
    report: SeiReport


def sei_files(path: Path | str | Sequence[Path | str]) -> tuple[Path, ...]:
    """Return the files of a checkpoint.

    Parameters
    ----------
    path
        A file, several files that belong together, or a folder: that of ``sei.pth``, else of
        ``sei_trunk.pth`` and, if it is there, ``sei_head.pth`` (or .pt, .bin, .safetensors).

    Raises
    ------
    MissingInputError
        No such file, or a folder without them.
    InputError
        A folder with one file in two formats.
    """
    if not isinstance(path, Path | str):
        if not path:
            raise MissingInputError("Sei: no file of weights was named")
        return tuple(one for part in path for one in sei_files(part))
    path = Path(path)
    if not path.is_dir():
        if not path.is_file():
            raise MissingInputError(f"{path}: no such checkpoint of Sei")
        return (path,)
    found = {stem: _one_in(path, stem) for stem in ("sei", "sei_trunk", "sei_head")}
    if found["sei"] is not None:
        return (found["sei"],)
    if found["sei_trunk"] is None:
        raise MissingInputError(
            f"{path}: no weights of Sei; expected sei.pth, or sei_trunk.pth and sei_head.pth"
        )
    return tuple(one for one in (found["sei_trunk"], found["sei_head"]) if one is not None)


def _one_in(folder: Path, stem: str) -> Path | None:
    found = [folder / f"{stem}{end}" for end in SUFFIXES if (folder / f"{stem}{end}").is_file()]
    if len(found) > 1:
        raise InputError(
            f"{folder}: holds {' and '.join(one.name for one in found)}; keep one of them, or name "
            "the file"
        )
    return found[0] if found else None


def read_sei(
    path: Path | str | Sequence[Path | str],
    *,
    head: HeadChoice = "auto",
    profiles: int | None = None,
    sizes: SeiSizes | None = None,
) -> SeiTensors:
    """Return the tensors of a checkpoint after checking all of them.

    Parameters
    ----------
    path
        As of :func:`sei_files`.
    head
        ``auto``: the head that the files hold, or none; ``none``: the trunk alone, a head in the
        files is ignored; ``full``, ``low-rank``: this one, which must be there.
    profiles
        Outputs the head must have; None: as many as it has.
    sizes
        Sizes of the trunk; the published ones by default.

    Raises
    ------
    MissingInputError
        No such file.
    InputError
        Damaged, or its tensors are not those of the network; every one is named, with its file.
    """
    paths = sei_files(path)
    sizes = sizes or SeiSizes()
    found, places = _read(paths)
    where = ", ".join(map(str, paths))
    kind = _kind_of(found)
    if head in ("full", "low-rank") and kind != head:
        raise InputError(
            f"{where}: holds {'no head' if kind is None else f'a {kind} head'}, expected a {head} "
            "one; name the file of the head too, or choose head: none"
        )
    chosen = None if kind is None or head == "none" else _head_of(found, kind, profiles)
    expected = sei_tensors(sizes, chosen)
    ignored = [n for n in found if head == "none" and n not in expected and n.startswith(_HEADS)]
    problems = _problems(expected, found, places, ignored)
    if problems:
        raise InputError(
            f"{where}: not the weights of a Sei with {_words(chosen)}, nothing was loaded: "
            f"{'; '.join(problems)}; download the file again, or save the model's state_dict as "
            "its authors do"
        )
    report = SeiReport(
        paths=paths,
        loaded=tuple(expected),
        ignored=tuple(ignored),
        parameters=parameter_count(expected),
    )
    return SeiTensors(values={n: found[n] for n in expected}, head=chosen, report=report)


_HEADS = tuple(_KINDS)


def _words(head: SeiHead | None) -> str:
    if head is None:
        return "no head"
    kind = "a full head" if head.rank is None else f"a head of rank {head.rank}"
    return f"{kind} for {head.profiles:,} profiles"


def _read(paths: Sequence[Path]) -> tuple[dict[str, NDArray[Any]], dict[str, Path]]:
    """Return the tensors of all files by their bare names, and the file of each."""
    found: dict[str, NDArray[Any]] = {}
    places: dict[str, Path] = {}
    for path in paths:
        tensors = read_tensors(path)
        prefix = _prefix_of(tensors)
        for full, value in tensors.items():
            # A name without the prefix of the others stays as it is: it is unexpected.
            name = full.removeprefix(prefix)
            if name in found:
                raise InputError(
                    f"{path}: tensor {full!r} occurs twice, also in {places[name]}; name each file "
                    "once, and only files that belong together"
                )
            found[name], places[name] = value, path
    return found, places


def _prefix_of(names: Iterable[str]) -> str:
    """Return the prefix that most names have, the longest that fits each."""
    votes = dict.fromkeys(PREFIXES, 0)
    for name in names:
        votes[next(prefix for prefix in PREFIXES if name.startswith(prefix))] += 1
    return max(votes, key=lambda prefix: votes[prefix])


def _kind_of(names: Iterable[str]) -> str | None:
    """Return the kind of head that names belong to; None: no head."""
    names = list(names)
    return next(
        (kind for start, kind in _KINDS.items() if any(name.startswith(start) for name in names)),
        None,
    )


def _head_of(found: Mapping[str, NDArray[Any]], kind: str, profiles: int | None) -> SeiHead:
    """Return the head that the shapes of most tensors say, so that one wrong tensor stands out."""
    # Any sizes will do to learn where each number stands: 2 profiles, rank 3, 5 features.
    pattern = SeiHead(profiles=2, rank=None if kind == "full" else 3).tensors(5)
    votes: dict[int, list[int]] = {2: [], 3: []}
    for name, shape in pattern.items():
        if name in found and found[name].ndim == len(shape):
            for size, of_what in zip(found[name].shape, shape, strict=True):
                votes.get(of_what, []).append(size)
    count = profiles or _most(votes[2])
    return SeiHead(profiles=count, rank=None if kind == "full" else _most(votes[3]))


def _most(values: Sequence[int]) -> int:
    return max(values, key=values.count, default=1)


def _problems(
    expected: Shapes,
    found: Mapping[str, NDArray[Any]],
    places: Mapping[str, Path],
    ignored: Iterable[str],
) -> list[str]:
    """Return what is wrong with the tensors found, each of them by name and file."""

    def at(name: str) -> str:
        return f"{name} {found[name].shape} in {places[name].name}"

    shared = [name for name in expected if name in found]
    fitting = [name for name in shared if found[name].shape == expected[name]]
    turned = [n for n in shared if n not in fitting and _is_turned(found[n].shape, expected[n])]
    # PyTorch writes parameters in the order of their axes; a transposed view of a square matrix
    # has the right shape and would be loaded as another matrix.
    turned += [n for n in fitting if not found[n].flags.c_contiguous]
    other = [n for n in shared if n not in fitting and n not in turned]
    left = set(ignored)
    return [
        *listed("missing", (f"{n} {expected[n]}" for n in expected if n not in found)),
        *listed("unexpected", (at(n) for n in found if n not in expected and n not in left)),
        *listed("transposed", (f"{at(n)}, expected {expected[n]}" for n in turned)),
        *listed("of another shape", (f"{at(n)}, expected {expected[n]}" for n in other)),
        *listed("not finite floating-point numbers", (at(n) for n in _not_numbers(found, fitting))),
    ]


def _is_turned(shape: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    return len(shape) > 1 and sorted(shape) == sorted(expected)


def _not_numbers(found: Mapping[str, NDArray[Any]], names: Iterable[str]) -> Iterator[str]:
    for name in names:
        value = found[name]
        if value.dtype.kind != "f" or not all(_finite_parts(value)):
            yield name


def _finite_parts(value: NDArray[Any]) -> Iterator[bool]:
    """Yield whether each part of an array is finite as float32; all of it at once may be 2 GB."""
    flat = value.reshape(-1)
    with np.errstate(over="ignore"):
        for first in range(0, flat.size, 1 << 22):
            part = flat[first : first + (1 << 22)].astype(np.float32, copy=False)
            yield bool(np.isfinite(part).all())
