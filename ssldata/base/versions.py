"""Which releases made a result."""

from __future__ import annotations

import platform
from importlib import metadata

_LIBRARIES = ("crosslabel", "numpy", "numcodecs", "zarr", "pyranges", "pyfaidx", "numba")


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


#: The release of crosslabel.
VERSION = _version("crosslabel")


def library_versions(*more: str) -> dict[str, str]:
    """Return the versions of Python and of the libraries that decide bytes (and of `more`).

    No time and no path: equal inputs must give equal stores, wherever and whenever they are built.
    """
    names = (*_LIBRARIES, *more)
    return {"python": platform.python_version(), **{name: _version(name) for name in names}}
