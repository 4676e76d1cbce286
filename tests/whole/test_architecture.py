"""Rules of the code base that no other tool checks: one test for each rule.

``docs/architecture.md`` states the rules; its tables of folders and of late imports are read here.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest
from module_page import PAGE as MODULE_PAGE
from module_page import module_page

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "architecture.md"
#: Top to bottom: a package imports those below it.
PACKAGES = ("flows", "sslmodels", "ssldata")
MAX_BYTES = 4_000_000

#: Outside library → the modules that import it.
OWNERS = {
    "Bio": ("ssldata.lift_checks.effective_size",),
    "dask": ("ssldata.building.dask_pool",),
    "distributed": ("ssldata.building.dask_pool",),
    "filelock": ("ssldata.base.locks",),
    "google_crc32c": ("ssldata.store.compression",),
    "h5py": ("sslmodels.models.saved_model",),
    "huggingface_hub": ("sslmodels.dnabert2.hub_download",),
    "icechunk": ("ssldata.store.icechunk_repository",),
    "jinja2": ("sslmodels.report.report_page", "ssldata.store_card.card_page"),
    "lightgbm": ("sslmodels.transfer.boosted_features",),
    "logomaker": ("sslmodels.interpretation.logos",),
    "llvmlite": ("ssldata.genomes.prefetch",),
    "mlflow": ("sslmodels.runs.trackers",),
    "numcodecs": ("ssldata.store.compression",),
    "pooch": ("ssldata.project.fetch",),
    "prefect": ("flows.prefect_flows.*",),
    "pyarrow": (
        *("ssldata.sharing.export", "sslmodels.prediction.score_files"),
        "sslmodels.variants.variant_output",
    ),
    "pyBigWig": ("sslmodels.prediction.bigwig_file",),
    "pydantic": (
        *("ssldata.project.project_file", "ssldata.project.section"),
        "ssldata.arrivals.genome_registry",
        *(
            "ssldata.project.sequences_section",
            "ssldata.project.sweeps_section",
            "ssldata.project.training_section",
            "flows.prefect_flows.*",
        ),
    ),
    "pyfaidx": ("ssldata.genomes.fasta",),
    "pysam": ("sslmodels.variants.variant_rows", "ssldata.peak_calling.read_files"),
    "pyranges": ("ssldata.rows.intervals",),
    "rich": ("flows.output.*", "flows.commands.actions"),
    "safetensors": ("sslmodels.checkpoints.tensor_files",),
    "starlette": ("ssldata.sharing.range_server",),
    "tensorflow": ("sslmodels.*", "ssldata.reading.reader", "ssldata.sharing.export"),
    "keras": ("sslmodels.*",),
    "threadpoolctl": ("ssldata.base.one_thread",),
    "tokenizers": ("ssldata.reading.tokens",),
    "typer": ("flows.commands.*", "flows.check_commands.*", "flows.options.*"),
    "uvicorn": ("ssldata.sharing.range_server",),
    "wandb": ("sslmodels.runs.trackers",),
    "zarr": (
        *("ssldata.store.store", "ssldata.store.store_writer", "ssldata.store.remote_stores"),
        *("ssldata.store.checked_store", "ssldata.sharing.publish_icechunk"),
        *("sslmodels.prediction.score_files", "ssldata.store.feature_store"),
    ),
}


class Import(NamedTuple):
    """One imported module: `late` by a function, `typed` by type checkers alone."""

    name: str
    line: int
    late: bool
    typed: bool


def imports_of(text: str, known: frozenset[str]) -> Iterator[Import]:
    """Yield the modules that a source text imports; `known` are the modules of this project."""

    def walk(node: ast.AST, late: bool, typed: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (Import(a.name, child.lineno, late, typed) for a in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert not child.level, f"line {child.lineno}: a relative import"
                base = child.module or ""
                for alias in child.names:
                    # `from flows.output import tables` imports a module.
                    whole = f"{base}.{alias.name}"
                    yield Import(whole if whole in known else base, child.lineno, late, typed)
            else:
                function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                checking = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
                yield from walk(child, late or function, typed or checking)

    yield from walk(ast.parse(text), False, False)


@cache
def sources() -> dict[str, Path]:
    """Return every module of the product, folders (``__init__``) by their own name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports() -> dict[str, list[Import]]:
    """Return the imports of every module."""
    known = frozenset(sources())
    return {n: list(imports_of(p.read_text("utf-8"), known)) for n, p in sources().items()}


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(sources()[name].read_text("utf-8"))


def is_folder(name: str) -> bool:
    return sources()[name].name == "__init__.py"


def folder_of(name: str) -> str:
    """Return ``package.folder`` of a module, or the module itself where it lies in no folder."""
    return ".".join(name.split(".")[:2])


def ours(name: str) -> bool:
    return name.split(".")[0] in PACKAGES


def folders_on_the_page() -> dict[str, str]:
    """Return folder → what the page says it owns, in the order of the page, top to bottom."""
    rows = re.findall(
        r"^\| `((?:flows|sslmodels|ssldata)/\w+)` \| (.+?) \|$", PAGE.read_text(), re.M
    )
    assert len(rows) == len(dict(rows)), "a folder stands twice on the page"
    return {path.replace("/", "."): owns for path, owns in rows}


def test_the_walker_sees_every_kind_of_import() -> None:
    text = (
        "import a.b\nfrom p import c, other\n"
        "if TYPE_CHECKING:\n    import h\n"
        "def f():\n    from i import j\n"
        "class K:\n    def g(self):\n        import l\n"
        "try:\n    import k\nexcept ImportError:\n    pass\n"
    )
    found = {(i.name, i.late, i.typed) for i in imports_of(text, frozenset({"p.c"}))}
    assert found == {
        ("a.b", False, False),
        ("p.c", False, False),
        ("p", False, False),
        ("h", False, True),
        ("i", True, False),
        ("l", True, False),
        ("k", False, False),
    }


def test_packages_import_only_those_below() -> None:
    wrong = [
        f"{name}:{i.line} imports {i.name}"
        for name, found in imports().items()
        for i in found
        if ours(i.name)
        and PACKAGES.index(i.name.split(".")[0]) < PACKAGES.index(name.split(".")[0])
    ]
    assert not wrong


def test_folders_import_only_those_below() -> None:
    """The order is that of the page. Top modules (``flows.cli``, the packages) stand above all."""
    order = [*folders_on_the_page()]
    wrong = []
    for name, found in imports().items():
        here = folder_of(name)
        for i in found:
            there = folder_of(i.name)
            if here not in order or not ours(i.name) or there == here:
                continue
            if there not in order or order.index(there) < order.index(here):
                wrong.append(f"{name}:{i.line} imports {i.name}")
    assert not wrong


def test_no_circle_of_files() -> None:
    """Not through late imports nor through those of type checkers either."""
    graph = {n: {i.name for i in found if ours(i.name)} - {n} for n, found in imports().items()}
    for name in sources():
        if is_folder(name):
            graph[name] = set()  # the packages name what is below them, see their tests
    TopologicalSorter(graph).prepare()


def test_no_strategy_can_draw_from_the_global_random_state() -> None:
    """Hypothesis' own check of it is off, because threads of other libraries can trip it."""
    using = [name for name, found in imports().items() for i in found if i.name == "random"]
    for path in sorted((ROOT / "tests").rglob("*.py")):
        tops = {i.name for i in imports_of(path.read_text("utf-8"), frozenset())}
        if {"random", "hypothesis"} <= tops:
            using.append(path.name)
    assert not using


def test_nothing_is_imported_by_name_to_hide_a_circle() -> None:
    text = {name: path.read_text("utf-8") for name, path in sources().items()}
    wrong = [
        name
        for name in text
        if re.search(r"import_module\(\s*[\"'](flows|sslmodels|ssldata)", text[name])
    ]
    assert not wrong


def test_folders_state_what_they_import() -> None:
    """``Imports: …`` of every ``__init__``: folders of its package, then packages below."""
    for folder in folders_on_the_page():
        package = folder.split(".")[0]
        inside, below = set(), set()
        for name, found in imports().items():
            if folder_of(name) != folder:
                continue
            for i in found:
                top, *rest = i.name.split(".")
                if top in PACKAGES and top != package:
                    below.add(top)
                elif top == package and rest and rest[0] != folder.split(".")[1]:
                    inside.add(rest[0])
        expected = ", ".join([*sorted(below), *sorted(inside)]) or "nothing of ours"
        text = re.sub(r"\n(?=[a-z])", " ", ast.get_docstring(tree(folder)) or "")  # long lists
        assert f"\nImports: {expected}." in text, f"{folder}: expected 'Imports: {expected}.'"


def test_the_page_has_every_folder() -> None:
    """Whole paths, and the words of the folder's own docstring."""
    expected = {
        name: (ast.get_docstring(tree(name)) or "").splitlines()[0]
        for name in sources()
        if is_folder(name) and "." in name
    }
    assert folders_on_the_page() == expected


def test_the_page_of_modules_is_up_to_date() -> None:
    assert MODULE_PAGE.read_text("utf-8") == module_page(), "run `make modules`"


def test_every_library_has_an_owner() -> None:
    wrong = []
    for name, found in imports().items():
        for i in found:
            top = i.name.split(".")[0]
            if top in OWNERS and not any(fnmatchcase(name, owner) for owner in OWNERS[top]):
                wrong.append(f"{name}:{i.line} imports {top}, which is that of {OWNERS[top]}")
    assert not wrong


def test_no_owner_is_listed_in_vain() -> None:
    used = {(i.name.split(".")[0], name) for name, found in imports().items() for i in found}
    idle = [
        (library, owner)
        for library, owners in OWNERS.items()
        for owner in owners
        if not any(top == library and fnmatchcase(name, owner) for top, name in used)
    ]
    assert not idle


def late_imports_on_the_page() -> list[tuple[list[str], list[str]]]:
    """Return the rows of the table of late imports: patterns of modules, patterns of imports."""
    section = PAGE.read_text("utf-8").partition("## Late imports")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line[:3] == "| `"]
    assert all(len(row) == 3 and row[2] for row in rows), "where, what, and why"
    return [
        (re.findall(r"`([^`]+)`", where), re.findall(r"`([^`]+)`", what)) for where, what, _ in rows
    ]


def test_late_imports_are_listed_with_their_reason() -> None:
    """Both ways: every import inside a function has its row, and every row its import."""
    rows = late_imports_on_the_page()
    used: Counter[tuple[int, str, str]] = Counter()
    missing = []
    for name, found in imports().items():
        for i in (i for i in found if i.late):
            hits = [
                (number, where, what)
                for number, (wheres, whats) in enumerate(rows)
                for where in wheres
                for what in whats
                if fnmatchcase(name, where) and fnmatchcase(i.name, what)
            ]
            used.update(hits)
            if not hits:
                missing.append(f"{name}:{i.line} imports {i.name}")
    assert not missing, "no row of docs/architecture.md, Late imports, allows these"
    for number, (wheres, whats) in enumerate(rows):
        for where in wheres:
            assert any(used[number, where, what] for what in whats), f"idle: {where}"
        for what in whats:
            assert any(used[number, where, what] for where in wheres), f"idle: {what} for {wheres}"


def test_importing_the_packages_is_cheap() -> None:
    code = (
        "import sys, ssldata, sslmodels\n"
        "heavy = {'numpy', 'pandas', 'numba', 'zarr', 'keras', 'tensorflow', 'prefect', 'typer'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "ssldata.open_store, ssldata.load_project, ssldata.lift, sslmodels.model_names\n"
        "print(sorted({'keras', 'tensorflow', 'prefect'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n[]\n"


def test_the_command_line_starts_light() -> None:
    """What ``crosslabel --help`` imports, in a process of its own."""
    code = (
        "import sys\nfrom flows.commands.app import invoke\n"
        "try:\n    invoke(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'numpy', 'pandas', 'numba', 'zarr', 'keras', 'tensorflow', 'prefect', 'dask'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


def test_no_two_modules_and_no_two_classes_share_a_name() -> None:
    modules = Counter(name.split(".")[-1] for name in sources() if not is_folder(name))
    classes = Counter(
        node.name
        for name in sources()
        for node in tree(name).body
        if isinstance(node, ast.ClassDef)
    )
    assert not [name for name, count in (modules + classes).items() if count > 1]


def test_public_things_have_docstrings() -> None:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    missing = []
    for name in sources():
        module = tree(name)
        if not ast.get_docstring(module):
            missing.append(name)
        # A private class is nobody's interface.
        classes = [
            n for n in module.body if isinstance(n, ast.ClassDef) and not n.name.startswith("_")
        ]
        for holder in (module, *classes):
            for node in holder.body:
                if not isinstance(node, kinds) or node.name.startswith("_"):
                    continue
                overload = any("overload" in ast.unparse(d) for d in node.decorator_list)
                if not overload and not ast.get_docstring(node):
                    missing.append(f"{name}.{node.name}")
    assert not missing


def test_public_functions_explain_their_parameters() -> None:
    """Four and more parameters: a section that names every one of them."""
    missing = []
    for name in sources():
        if name.startswith(("flows.commands.", "flows.check_commands.")):
            continue  # typer makes the help of every parameter from its annotation
        for holder in (tree(name), *(n for n in tree(name).body if isinstance(n, ast.ClassDef))):
            if isinstance(holder, ast.ClassDef) and holder.name.startswith("_"):
                continue
            for node in holder.body:
                if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
                    continue
                every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                names = [a.arg for a in every if a.arg not in ("self", "cls")]
                text = ast.get_docstring(node) or ""
                if len(names) >= 4:
                    _, found, section = text.partition("Parameters\n---")
                    missing += [
                        f"{name}.{node.name}: {argument}"
                        for argument in names
                        if not found or not re.search(rf"\b{argument}\b", section)
                    ]
    assert not missing


def test_tests_mirror_the_folders() -> None:
    folders = {n for n in sources() if is_folder(n) and n.count(".") == 1 and n[:5] != "flows"}
    tests = {
        ".".join(path.parent.relative_to(ROOT / "tests").parts)
        for package in ("ssldata", "sslmodels")
        for path in (ROOT / "tests" / package).rglob("test_*.py")
    }
    assert tests == folders


def tracked() -> list[Path]:
    """Files of the checkout; of an unpacked archive, those in the folders that matter."""
    if not (ROOT / ".git").exists():
        folders = (*PACKAGES, "tests", "docs", "examples", "benchmarks")
        found = (path for folder in folders for path in (ROOT / folder).rglob("*.*"))
        return [path for path in found if "__pycache__" not in path.parts]
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name]


def test_no_large_file_is_tracked() -> None:
    large = {str(p): p.stat().st_size for p in tracked() if p.is_file() and not p.is_symlink()}
    assert large
    assert not {name: size for name, size in large.items() if size > MAX_BYTES}


def test_no_path_of_a_developers_machine_is_tracked() -> None:
    needles = [b"/".join([b"", b"work", b"main"]), b"/".join([b"", b"work", b"shared"])]
    found = [
        str(path.relative_to(ROOT))
        for path in tracked()
        if path.is_file() and any(needle in path.read_bytes() for needle in needles)
    ]
    assert not found


@pytest.mark.parametrize("package", ["ssldata", "sslmodels"])
def test_the_public_surface_is_whole(package: str) -> None:
    """Names for type checkers, names that are loaded, and ``__all__`` agree."""
    module = __import__(package)
    typed = {
        alias.asname or alias.name
        for node in ast.walk(tree(package))
        if isinstance(node, ast.If)
        for child in node.body
        if isinstance(child, ast.ImportFrom)
        for alias in child.names
    }
    eager = {name for name in module.__all__ if name in vars(module) and name.endswith("Error")}
    assert typed | eager == set(module.__all__)
    assert all(hasattr(module, name) for name in module.__all__)
    assert set(module.__all__) <= set(dir(module))
    with pytest.raises(AttributeError, match="no attribute 'nothing_of_that_name'"):
        module.nothing_of_that_name  # noqa: B018
