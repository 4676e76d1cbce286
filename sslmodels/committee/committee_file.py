"""The members of a committee that are no network, how they are combined, and their file."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.base.errors import InputError, MissingInputError
from ssldata.base.files import atomic_path
from sslmodels.baselines.em_motif import EmMotif
from sslmodels.baselines.gapped_kmer_svm import GappedKmerSvm
from sslmodels.committee.boosted_trees import BoostedTrees
from sslmodels.committee.committee import Combination

#: Members by name; the network has a file of its own.
NETWORK, MOTIF, GKM, CONSERVATION = "network", "motif", "gkm", "conservation"

_SETTINGS = "settings"
_CLASSES: dict[str, Any] = {MOTIF: EmMotif, GKM: GappedKmerSvm, CONSERVATION: BoostedTrees}


@dataclass(frozen=True)
class Committee:
    """What is known of a committee beside its network.

    Attributes
    ----------
    members
        Name → what scores sequences (``motif``, ``gkm``) or conservation (``conservation``); a
        member that could not be fitted is missing.
    groups
        Names of the target genomes, in groups of about the same distance; none: the committee
        sees no homologue.
    combined
        With everything known of a bin.
    alone
        With nothing but a sequence: no homologues, no conservation.
    size
        Bases of a bin, which motif and k-mers read.
    """

    members: dict[str, Any]
    groups: tuple[tuple[str, ...], ...]
    combined: Combination
    alone: Combination
    size: int

    @property
    def genomes(self) -> tuple[str, ...]:
        """Names of all target genomes, group by group."""
        return tuple(name for group in self.groups for name in group)

    @property
    def numbers(self) -> list[list[int]]:
        """The groups as numbers of :attr:`genomes`."""
        found, first = [], 0
        for group in self.groups:
            found.append(list(range(first, first + len(group))))
            first += len(group)
        return found


def save_committee(path: Path, committee: Committee) -> None:
    """Write a committee as an ``.npz`` file; equal committees give equal bytes."""
    arrays: dict[str, NDArray[Any]] = {}
    members = {}
    for name, member in committee.members.items():
        found, members[name] = member.to_arrays()
        arrays |= {f"{name}.{key}": value for key, value in found.items()}
    settings = {
        "members": members,
        "groups": [list(group) for group in committee.groups],
        "combined": committee.combined.as_dict(),
        "alone": committee.alone.as_dict(),
        "size": committee.size,
    }
    text = np.array(json.dumps(settings, sort_keys=True))
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **{_SETTINGS: text}, **arrays)


def load_committee(path: Path) -> Committee:
    """Read a committee; nothing in its file can run.

    Raises
    ------
    MissingInputError
        There is no such file.
    InputError
        It is damaged, or no committee.
    """
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        settings = json.loads(str(arrays.pop(_SETTINGS)))
        members = {}
        for name, of_member in settings["members"].items():
            own = {
                key.removeprefix(f"{name}."): value
                for key, value in arrays.items()
                if key.startswith(f"{name}.")
            }
            members[name] = _CLASSES[name].from_arrays(own, of_member)
        return Committee(
            members=members,
            groups=tuple(tuple(map(str, group)) for group in settings["groups"]),
            combined=Combination.from_dict(settings["combined"]),
            alone=Combination.from_dict(settings["alone"]),
            size=int(settings["size"]),
        )
    except FileNotFoundError:
        raise MissingInputError(f"{path}: no such file; train the run again") from None
    except (
        *(OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError),
        *(zipfile.BadZipFile, RecursionError),
    ) as exc:
        raise InputError(
            f"{path}: not a committee, or damaged ({exc}); train the run again with --replace"
        ) from exc
