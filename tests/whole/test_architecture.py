"""Rules of the code base that no other tool checks: who imports what, sizes, docstrings."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("ssldata", "sslmodels", "flows")
MAX_LINES = 500
MAX_BYTES = 4_000_000

#: A package may import these.
ALLOWED = {
    "ssldata": {"ssldata"},
    "sslmodels": {"sslmodels", "ssldata"},
    "flows": {"flows", "sslmodels", "ssldata"},
}

#: Outside library → the modules that own it; where a job is split over files, all its files.
OWNERS = {
    "zarr": (
        *("ssldata.store.store", "ssldata.store.store_writer", "ssldata.store.remote_stores"),
        *("ssldata.store.icechunk_repository", "ssldata.sharing.publish_icechunk"),
    ),
    "icechunk": ("ssldata.store.icechunk_repository",),
    # The reader decodes whole chunks itself: three times as fast as through zarr.
    "numcodecs": (
        "ssldata.store.shard_writer",
        "ssldata.store.column_writer",
        "ssldata.store.chunk_reader",
    ),
    "llvmlite": ("ssldata.genomes.prefetch",),
    "pyranges": ("ssldata.rows.intervals",),
    "pyfaidx": ("ssldata.genomes.genome", "ssldata.genomes.fasta"),
    "pooch": ("ssldata.project.fetch",),
    "pydantic": (
        *(
            "ssldata.project.project_file",
            "ssldata.project.section",
            "ssldata.project.training_section",
        ),
        *("flows.prefect_flows.project_flows", "flows.prefect_flows.store_flows"),
    ),
    "distributed": ("ssldata.building.dask_pool",),
    "dask": ("ssldata.building.dask_pool",),
    "jinja2": ("sslmodels.report.report_page",),
    "tokenizers": ("ssldata.reading.tokens",),
    "safetensors": ("sslmodels.dnabert2.bert_weights",),
    "pyarrow": ("ssldata.sharing.export",),
    "mlflow": ("sslmodels.runs.trackers",),
    "wandb": ("sslmodels.runs.trackers",),
    "prefect": (
        "flows.prefect_flows.project_flows",
        "flows.prefect_flows.store_flows",
        "flows.prefect_flows.prefect_runtime",
    ),
    "typer": (
        *(
            "flows.commands.app",
            "flows.commands.shared_options",
            "flows.commands.store_commands",
            "flows.commands.reader_commands",
        ),
        *("flows.commands.model_commands", "flows.commands.weights_commands"),
    ),
    "rich": (
        *(
            "flows.output.console",
            "flows.output.tables",
            "flows.commands.actions",
            "flows.output.plan_view",
        ),
        *("flows.output.store_view", "flows.output.run_view"),
    ),
}


class Import(NamedTuple):
    """One imported name."""

    name: str
    line: int
    runs_on_import: bool

    @property
    def top(self) -> str:
        return self.name.split(".")[0]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def package_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).parts[:-1])


SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
each_source = pytest.mark.parametrize("path", SOURCES, ids=module_name)


def imports_of(text: str, package: str) -> Iterator[Import]:
    """Yield every import of a module in `package`, those inside functions too."""

    def walk(node: ast.AST, runs: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (Import(alias.name, child.lineno, runs) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = child.module or ""
                if child.level:
                    parts = package.split(".")
                    parts = parts[: len(parts) - (child.level - 1)]
                    base = ".".join([*parts, base]).rstrip(".")
                yield Import(base, child.lineno, runs)
                # `from flows import steps` imports a module.
                yield from (
                    Import(f"{base}.{alias.name}", child.lineno, runs) for alias in child.names
                )
            else:
                function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
                typing = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
                yield from walk(child, runs and not function and not typing)

    yield from walk(ast.parse(text), True)


def imports(path: Path) -> list[Import]:
    return list(imports_of(path.read_text(encoding="utf-8"), package_of(path)))


def test_the_walker_sees_every_kind_of_import() -> None:
    text = (
        "import a.b\nfrom . import c\nfrom .d import e\nfrom ..f import g\n"
        "if TYPE_CHECKING:\n    import h\n"
        "def f():\n    from i import j\n"
        "try:\n    import k\nexcept ImportError:\n    pass\n"
    )
    found = {item.name: item.runs_on_import for item in imports_of(text, "p.q")}
    assert found == {
        "a.b": True,
        "p.q": True,
        "p.q.c": True,
        "p.q.d": True,
        "p.q.d.e": True,
        "p.f": True,
        "p.f.g": True,
        "h": False,
        "i": False,
        "i.j": False,
        "k": True,
    }


def test_all_packages_are_checked() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in SOURCES} == set(PACKAGES)
    assert len(SOURCES) > 20


@each_source
def test_imports_follow_the_data(path: Path) -> None:
    package = package_of(path).split(".")[0]
    wrong = [i for i in imports(path) if i.top in PACKAGES and i.top not in ALLOWED[package]]
    assert not wrong, f"{package} must not import these"


@each_source
def test_every_library_has_an_owner(path: Path) -> None:
    name = module_name(path)
    wrong = [i for i in imports(path) if i.top in OWNERS and name not in OWNERS[i.top]]
    assert not wrong, f"{name}: {[(i.name, i.line, OWNERS[i.top]) for i in wrong]}"


#: Modules of flows that `crosslabel --help` imports.
LIGHT = (
    "cli",
    "commands",
    "console",
    "options",
    "store_commands",
    "reader_commands",
    "model_commands",
    "_tensorflow",
)


@each_source
def test_keras_and_tensorflow_stay_where_models_are(path: Path) -> None:
    name = module_name(path)
    found = [i for i in imports(path) if i.top in ("tensorflow", "keras")]
    assert not found or name.startswith("sslmodels.") or name == "ssldata.reading.reader"


def test_the_command_line_starts_light() -> None:
    """What `crosslabel --help` imports: typer and our own small modules."""
    light = {"__future__", "contextlib", "errno", "json", "logging", "os", "re", "sys", "time"}
    light |= {
        "threading",
        "traceback",
        "warnings",
        "tempfile",
        "collections",
        "pathlib",
        "typing",
        "typer",
    }
    for name in LIGHT:
        found = {i.top for i in imports(ROOT / "flows" / f"{name}.py") if i.runs_on_import}
        assert found <= light | {"flows", "ssldata"}, name
    ours = {
        i.name
        for name in LIGHT
        for i in imports(ROOT / "flows" / f"{name}.py")
        if i.runs_on_import and i.top == "ssldata"
    }
    assert ours <= {"ssldata.base.errors", "ssldata.base.errors.CrosslabelError"}


@each_source
def test_files_stay_readable(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= MAX_LINES, f"{lines} lines; split it"


@each_source
def test_public_things_have_docstrings(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), "the module says nothing about itself"
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    # A private class is nobody's interface.
    classes = [n for n in tree.body if isinstance(n, ast.ClassDef) and not n.name.startswith("_")]
    missing = [
        f"{node.name} (line {node.lineno})"
        for holder in (tree, *classes)
        for node in holder.body
        if isinstance(node, kinds)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
        and "overload" not in {ast.unparse(d).split(".")[-1] for d in node.decorator_list}
    ]
    assert not missing


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
