"""A user's own architecture: ``my_package.module:function`` in the project file.

The function is imported and run: it is trusted as the project file is.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from ssldata.errors import ConfigError


def is_own(name: str) -> bool:
    """Return whether a model name stands for a user's function."""
    return ":" in name


def folder_name(name: str) -> str:
    """Return what the run folder of a model is called: no colon, which some disks refuse."""
    return name.replace(":", ".")


def load_function(name: str) -> Callable[..., Any]:
    """Import a user's function.

    Parameters
    ----------
    name
        ``package.module:function``, found as Python finds modules, or in the working directory.

    Raises
    ------
    ConfigError
        The name is not of that form, the module cannot be imported, or it has no such function.
    """
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute.isidentifier():
        raise ConfigError(f"model {name!r}: expected my_package.module:function")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        module = importlib.import_module(module_name)
    except Exception as exc:  # whatever the user's module does when it is imported
        raise ConfigError(
            f"model {name!r}: the module cannot be imported ({type(exc).__name__}: {exc}); "
            "install it, or start crosslabel in the folder that holds it"
        ) from exc
    function = getattr(module, attribute, None)
    if not callable(function):
        known = [k for k, v in vars(module).items() if inspect.isfunction(v) and k[0] != "_"]
        raise ConfigError(
            f"model {name!r}: {module_name} has no function {attribute!r}; "
            f"there are {', '.join(sorted(known)) or 'none'}"
        )
    return function


def reads(name: str) -> Literal["bin", "context"]:
    """Return what a user's model reads of a row: its attribute ``reads``, else the bin.

    Raises
    ------
    ConfigError
        It is something else, or the function cannot be imported.
    """
    found = getattr(load_function(name), "reads", "bin")
    if found == "bin":
        return "bin"
    if found == "context":
        return "context"
    raise ConfigError(f"model {name!r}: its attribute 'reads' is {found!r}; bin or context")


def source_digest(name: str) -> str:
    """Return a digest of the file a user's function is in: a change makes its runs stale."""
    path = inspect.getsourcefile(inspect.unwrap(load_function(name)))
    if path is None or not Path(path).is_file():
        return "unknown"
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
