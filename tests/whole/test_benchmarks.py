"""The scripts in benchmarks/ still fit the code that they measure; they are run by hand."""

from __future__ import annotations

import ast
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = sorted(FOLDER.glob("*.py"))


def tree_of(name: str) -> ast.Module:
    return ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))


def defined(name: str) -> set[str]:
    """Return the names at the top of a script."""
    found = set()
    for node in tree_of(name).body:
        if isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
        else:
            found.add(getattr(node, "name", ""))
    return found


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_what_a_script_imports_exists(script: Path) -> None:
    for node in ast.walk(tree_of(script.stem)):
        if not isinstance(node, ast.ImportFrom) or node.module is None:
            continue
        names = {alias.name for alias in node.names}
        if node.module.split(".")[0] in ("ssldata", "sslmodels", "flows"):
            module = import_module(node.module)
            assert [name for name in names if not hasattr(module, name)] == []
        # `liftover` is a library too, and only that is imported.
        elif (FOLDER / f"{node.module}.py").is_file() and node.module != "liftover":
            assert names <= defined(node.module)


def meter() -> ModuleType:
    spec = spec_from_file_location("build_meter", FOLDER / "build_meter.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_function_of_a_stage_exists() -> None:
    """A function that was renamed would be charged to no stage, or end the benchmark."""
    (stages,) = (
        ast.literal_eval(node.value)
        for node in tree_of("build").body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "STAGES"
    )
    found = meter().found
    names = [name for functions in stages.values() for name in functions]
    assert len(names) > 15
    for name in names:
        owner, last, function = found(name)
        assert callable(function)
        assert getattr(owner, last) is function
