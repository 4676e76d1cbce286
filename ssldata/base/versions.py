"""Which releases made a result."""

from __future__ import annotations

import platform
from importlib import metadata

_LIBRARIES = ("crosslabel", "numpy", "numcodecs", "zarr", "pyranges", "pyfaidx", "numba")


def library_versions(*more: str) -> dict[str, str]:
    """Return the versions of Python and of the libraries that decide bytes (and of `more`).

    No time and no path: equal inputs must give equal stores, wherever and whenever they are built.
    """
    versions = {"python": platform.python_version()}
    for name in (*_LIBRARIES, *more):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions
