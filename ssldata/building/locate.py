"""Resolve the path given to a command: a project with all its stores, or one store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ssldata.base.errors import MissingInputError, StoreError
from ssldata.project.project_file import Project, load_project
from ssldata.store.remote_stores import is_url
from ssldata.store.store import read_root_attributes

_PROJECT_FILE = "project.yaml"
#: How far above a store its project file is looked for.
_LEVELS = 3


@dataclass(frozen=True)
class Place:
    """The stores a command works on, and the project they belong to, if there is one.

    Attributes
    ----------
    stores
        Absolute paths of stores that exist.
    project
        The project whose file was given or found above the store.
    unbuilt
        Stores of the project that were never built; only when the project was given.
    is_project
        Whether the project was given, not one of its stores.
    """

    stores: list[Path]
    project: Project | None
    unbuilt: list[Path]
    is_project: bool


def names_project(path: Path) -> bool:
    """Return whether a path is a project file or the folder of one; a zip is a store."""
    return (path / _PROJECT_FILE).is_file() or (path.is_file() and path.suffix.lower() != ".zip")


def find_place(path: Path) -> Place:
    """Return the stores that a path stands for: all those of a project, or one to write to.

    Parameters
    ----------
    path
        A project file, a folder that holds ``project.yaml``, or a store. The project of a store is
        looked for in the folders above it.

    Raises
    ------
    CrosslabelError
        Nothing is there, no store of the project was built, or the store is a zip or an address.
    """
    if names_project(path):
        project = load_project(path)
        places = stores_of(project)
        built = [place for place in places if read_root_attributes(place) is not None]
        if not built:
            raise MissingInputError(
                f"{project.store.path}: no store here; run `crosslabel build {path}` first"
            )
        return Place(built, project, [place for place in places if place not in built], True)
    if path.is_file() or is_url(path):
        raise StoreError(
            f"{path}: a zip or an address is read-only; give the project or the folder of a store"
        )
    if not path.exists():
        raise MissingInputError(f"{path}: no such store or project")
    if read_root_attributes(path) is None:
        raise StoreError(f"{path}: neither a crosslabel store nor a project")
    # Absolute, for workers in other folders.
    return Place([path.absolute()], project_above(path), [], False)


def stores_of(project: Project) -> list[Path]:
    """Return where the stores of a project are, or will be."""
    return list(dict.fromkeys(project.store_path(e.name) for e in project.experiments))


def project_above(path: Path) -> Project | None:
    """Return the project a store belongs to, if its file is in one of the folders above.

    A store that lies elsewhere and is linked into the project's folder is found as well.

    Raises
    ------
    CrosslabelError
        A project file was found and is wrong.
    """
    lexical, real = path.absolute().parents[:_LEVELS], path.resolve().parents[:_LEVELS]
    for folder in dict.fromkeys([*lexical, *real]):
        if (folder / _PROJECT_FILE).is_file():
            project = load_project(folder)
            if path.resolve() in [place.resolve() for place in stores_of(project)]:
                return project
    return None
