"""A user's own architecture: ``my_package.module:function`` in the project file.

The function is imported and run: it is trusted as the project file is.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib
import importlib.util
import inspect
import sys
import sysconfig
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any, Literal

from ssldata.base.errors import ConfigError
from ssldata.base.files import digest_of


def is_own(name: str) -> bool:
    """Return whether a model name stands for a user's function."""
    return ":" in name


def folder_name(name: str) -> str:
    """Return the name of a model's run folder, without colons, which some file systems refuse."""
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
        The name has another form, the module cannot be imported, or it has no such function.
    """
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute.isidentifier():
        raise ConfigError(f"model {name!r}: expected my_package.module:function")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        module = importlib.import_module(module_name)
    except Exception as exc:  # the user's module may raise anything
        raise ConfigError(
            f"model {name!r}: the module cannot be imported ({type(exc).__name__}: {exc}); "
            "install it, or run crosslabel in the folder that holds it"
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
    """Return what a user's model reads of a row: its attribute ``reads``, by default the bin.

    Raises
    ------
    ConfigError
        The attribute has another value, or the function cannot be imported.
    """
    found = getattr(load_function(name), "reads", "bin")
    if found == "bin":
        return "bin"
    if found == "context":
        return "context"
    raise ConfigError(
        f"model {name!r}: its attribute 'reads' is {found!r}; expected bin or context"
    )


def source_digest(name: str) -> str:
    """Return a digest of a user's function: a change of its code makes its runs stale.

    Its code is the file that defines it and the user's own modules that this file imports, directly
    or indirectly: those of the same package, and those beside it, unless they are installed.
    """
    function = inspect.unwrap(load_function(name))
    defined = inspect.isfunction(function) or inspect.isclass(function)
    first = function.__module__ if defined else name.partition(":")[0]
    files: dict[str, Path] = {}
    waiting = [first]
    while waiting:
        module = waiting.pop()
        path = _file_of(module)
        if path is not None and module not in files:
            files[module] = path
            waiting += [found for found in _imported(module, path) if _is_beside(found, first)]
    digests = {
        module: hashlib.sha256(path.read_bytes()).hexdigest() for module, path in files.items()
    }
    if first not in digests:
        return "unknown"
    return digest_of(digests) if len(digests) > 1 else digests[first]


def _spec(module: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(module)
    except (ImportError, AttributeError, ValueError):  # not the name of a module
        return None


def _file_of(module: str) -> Path | None:
    """Return the file of a module; None if it has none or does not exist."""
    spec = _spec(module)
    path = Path(spec.origin) if spec is not None and spec.origin else None
    return path if path is not None and path.is_file() else None


def _imported(module: str, path: Path) -> set[str]:
    """Return the names that a file imports; some may be functions rather than modules."""
    if path.suffix != ".py":
        return set()
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            with contextlib.suppress(ImportError):  # beyond the package: the import fails anyway
                base = importlib.util.resolve_name(base, package)
                found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return found


def _is_beside(module: str, first: str) -> bool:
    """Return whether a module is the user's own, as `first` is, without importing anything."""
    top, own = module.partition(".")[0], first.partition(".")[0]
    if top == own:
        return True
    folder = _folder_of(own)
    installed = {Path(sysconfig.get_path(key)) for key in ("stdlib", "purelib", "platlib")}
    return folder is not None and folder not in installed and _folder_of(top) == folder


def _folder_of(top: str) -> Path | None:
    """Return the folder that holds a top-level module or package."""
    spec = _spec(top)
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).parent
    return Path(spec.origin).parent if spec.has_location and spec.origin else None
