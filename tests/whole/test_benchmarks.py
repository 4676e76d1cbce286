"""The scripts in benchmarks/ still fit the code that they measure; they are run by hand."""

from __future__ import annotations

import ast
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
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


def loaded(name: str) -> ModuleType:
    spec = spec_from_file_location(name, FOLDER / f"{name}.py")
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
    found = loaded("build_meter").found
    names = [name for functions in stages.values() for name in functions]
    assert len(names) > 15
    for name in names:
        owner, last, function = found(name)
        assert callable(function)
        assert getattr(owner, last) is function


def test_the_table_of_factors_has_seeds_intervals_and_tests() -> None:
    project = loaded("yeast_project")
    rows = [
        ("A", "sl-plus", 0, 0.2), ("A", "sl-plus", 1, 0.4), ("A", "ssl-plus", 0, 0.6),
        ("B", "sl-plus", 0, 0.1), ("B", "ssl-plus", 0, 0.2), ("C", "ssl-plus", 0, 0.9),
    ]  # fmt: skip
    results = pd.DataFrame(rows, columns=["experiment", "regime", "seed", "aupr"])
    results.insert(1, "model", "m")
    values = {("A", "sl-plus"): 0.3, ("A", "ssl-plus"): 0.6, ("B", "sl-plus"): 0.1}
    values |= {("B", "ssl-plus"): 0.2}
    noise = np.linspace(0.9, 1.1, 41)
    resamples = {(e, "m", r): mean * noise for (e, r), mean in values.items()}
    table = project.factor_table(results, resamples)
    assert list(table["sl-plus"]) == ["0.300 ± 0.141", "0.100", "–", "0.200 [0.181, 0.219]"]
    assert list(table["ssl-plus"])[2:] == ["0.900", "0.400 [0.362, 0.438]"]
    assert table.index[-1] == "mean of 2"
    pairs = [("ssl-plus", "sl-plus"), ("ssl-plus", "not trained")]
    compared = project.compared_factors(results, resamples, pairs)
    (row,) = compared.to_dict("records")
    assert (row["n"], row["wins"], row["p"]) == (2, 2, 0.5)
    assert (row["ratio"], row["low"], row["high"]) == pytest.approx((2, 2, 2))
    assert (row["difference"], row["difference_low"]) == pytest.approx((0.2, 0.181))
    (line,) = project.comparison_lines(compared)
    assert "ssl-plus / sl-plus = 2.000 [2.000, 2.000], higher in 2 of 2" in line
    # Without resamples of one evaluation there is no interval, and everything else.
    del resamples["B", "m", "sl-plus"]
    assert project.factor_table(results, resamples)["sl-plus"].iloc[-1] == "0.200"
    (row,) = project.compared_factors(results, resamples, pairs).to_dict("records")
    assert np.isnan(row["low"])
    assert row["ratio"] == pytest.approx(2)
