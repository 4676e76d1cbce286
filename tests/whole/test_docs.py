"""What the pages show works as written: Python, commands, settings, names and links."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
import yaml
from chain_tools import CHAINS
from checkpoint_tools import write_bin
from dnabert2_tools import SMALL, write_model

import ssldata
import sslmodels
from flows.commands.app import app
from ssldata.building.build_store import build_project
from ssldata.project.project_file import Project, load_project
from ssldata.simulation.clade import small_clade
from ssldata.ucsc_tool.ucsc_command import parse_arguments
from sslmodels.sei.sei_tensors import SeiHead, sei_tensors

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

ROOT = Path(__file__).parents[2]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in sorted(
        [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
    )
}
FENCED = re.compile(r"^```(.*)\n((?s:.*?))^```$", re.MULTILINE)
every_page = pytest.mark.parametrize("page", PAGES)


def blocks(page: str, language: str) -> list[str]:
    """Return the fenced blocks of a language; blocks without one show commands and files."""
    return [code for name, code in FENCED.findall(PAGES[page]) if name == language]


def prose(page: str) -> str:
    return FENCED.sub("", PAGES[page])


# Python -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def project_of_the_pages(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> Path:
    """A small built project whose experiments and genomes have the names that the pages use."""
    del own_cache
    folder = tmp_path_factory.mktemp("pages") / "my-project"
    small_clade(folder, seed=5)
    path = folder / "project.yaml"
    text = path.read_text(encoding="utf-8")
    for old, new in (("alpha", "Reb1"), ("beta", "CTCF"), ("relative1", "CBS432")):
        text = re.sub(rf"(name: ){old}\b", rf"\g<1>{new}", text)
    settings = yaml.safe_load(text)
    settings["training"] = {"epochs": 1}
    path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    build_project(load_project(folder))
    return folder


def liftover_page(folder: Path) -> dict[str, Any]:
    (folder / "old-to-new.chain.gz").write_text(CHAINS)  # recognised by content
    return {}


def dnabert2_page(folder: Path) -> dict[str, Any]:
    write_model(folder / "DNABERT-2-117M", SMALL)  # the layout of the real one, small
    return {}


def sei_page(folder: Path) -> dict[str, Any]:
    (folder / "sei").mkdir()
    shapes = sei_tensors(head=SeiHead(profiles=50))  # the layout of the real one, fewer profiles
    empty = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    write_bin(folder / "sei" / "sei.pth", empty)
    return {}


#: Pages whose blocks tests/whole/test_tutorials.py runs from top to bottom.
RUN_PAGES = ("docs/tutorial.md", "docs/how-to/mammals.md", "docs/how-to/zoonomia.md")

#: Page → files that its blocks read beside the project, and names that its reader is assumed to
#: have. Every other page must run with the project alone.
CONTEXTS: Mapping[str, Callable[[Path], dict[str, Any]]] = {
    "docs/liftover.md": liftover_page,
    "docs/dnabert2.md": dnabert2_page,
    "docs/sei.md": sei_page,
}


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page, "python") and page not in RUN_PAGES]
)
def test_python_runs(
    page: str, project_of_the_pages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The blocks of a page run one after the other, in a copy of the project."""
    folder = Path(shutil.copytree(project_of_the_pages, tmp_path / "my-project"))
    (folder / "my-project").symlink_to(folder)  # the pages name it from the folder above, too
    monkeypatch.chdir(folder)
    names = {"__name__": "__page__", **CONTEXTS.get(page, lambda _: {})(folder)}
    for number, code in enumerate(blocks(page, "python"), start=1):
        exec(compile(code, f"{page}, block {number}", "exec"), names)


def test_the_batches_of_the_readme_are_rows(
    project_of_the_pages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project_of_the_pages)
    names: dict[str, Any] = {}
    exec("".join(blocks("README.md", "python")), names)
    codes, label, weight = next(iter(names["dataset"]))
    assert codes.shape[0] > 0
    assert codes.shape[1:] == (200,)
    assert label.shape == (codes.shape[0], 1)
    assert weight.shape == label.shape[:1]
    assert "position" in names["rows"].sizes


@every_page
def test_no_code_hides_from_these_tests(page: str) -> None:
    """Blocks are fenced, in a language that is tested; Python is marked as such."""
    known = {"python", "yaml", "sh", "text"} if page in RUN_PAGES else {"", "python", "yaml"}
    assert {name for name, _ in FENCED.findall(PAGES[page])} <= known
    assert PAGES[page].count("```") == 2 * len(FENCED.findall(PAGES[page]))
    assert not re.findall(r"^(?: {4}|\t)(?![-*|\d])\S.*$", prose(page), re.MULTILINE)
    for code in blocks(page, ""):
        assert not re.search(r"^(import|from) \w|^\w+ = \w+\(", code, re.MULTILINE), code


# Commands ---------------------------------------------------------------------------------------


def commands(page: str) -> list[tuple[str, bool]]:
    """Return the lines of commands in the blocks of a page, and those within its sentences.

    The flag: whether it stands in a block, where it is to be complete.
    """
    shown = "".join([*blocks(page, ""), *blocks(page, "sh")]).replace("\\\n", " ")
    lines = [(part, True) for line in shown.splitlines() for part in re.split(r" && | \| ", line)]
    # Within a sentence a bar separates alternatives.
    codes = re.findall(r"`([^`\n]+)`", prose(page))
    return lines + [(re.split(r" \\?\| ", code)[0], False) for code in codes]


def words_of(command: str, program: str) -> list[str] | None:
    """Return the words after the name of a program; None: the line runs something else."""
    found = re.match(rf"(?:[A-Z_]+=\S+ )*{program}(?= |$)(.*)", command)
    # An apostrophe in a comment is no quote.
    return None if found is None else shlex.split(re.sub(r"\s#.*", "", found[1]))


def check_command(words: list[str], *, complete: bool) -> None:
    """Check subcommand, options, and the number of arguments."""
    if words[:1] == ["liftover"]:
        if complete or len(words) > 2:
            parse_arguments([word for word in words[1:] if word != "…"])
        return
    command: Any = typer.main.get_command(app)
    rest = [word for word in words if word != "…"]
    if rest[:1] in ([], ["COMMAND"]):  # the program itself, or any command
        return
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        assert rest[0] in command.commands, f"no command {rest[0]}"
        command = command.commands[rest.pop(0)]
    options = {
        name: option
        for option in command.params
        if option.param_type_name == "option"
        for name in (*option.opts, *option.secondary_opts)
    } | {"--help": None, "-h": None}
    given, arguments = set(), []
    while rest:
        word, _, value = rest.pop(0).partition("=")
        if not word.startswith("-"):
            arguments.append(word)
            continue
        assert word in options, f"no option {word}"
        option = options[word]
        given.add(option)
        if option is not None and not option.is_flag and not option.count:
            value = value or (rest.pop(0) if rest else "")
            assert not complete or value, f"{word} without a value"
    wanted = [param for param in command.params if param.param_type_name == "argument"]
    assert any(param.nargs < 0 for param in wanted) or len(arguments) <= len(wanted), arguments
    if complete and not hasattr(command, "commands") and None not in given:
        needed = [param for param in command.params if param.required and param not in given]
        missing = [param for param in needed if param.param_type_name == "option"]
        assert not missing, f"needs {missing}"
        assert len(arguments) >= len([param for param in needed if param in wanted])


@every_page
def test_commands_and_options_exist(page: str) -> None:
    for line, complete in commands(page):
        words = words_of(line, "crosslabel")
        if words is not None:
            try:
                check_command(words, complete=complete)
            except Exception as exc:
                raise AssertionError(f"{line}: {exc}") from exc


@every_page
def test_benchmarks_and_make_targets_exist(page: str) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for line, _ in commands(page):
        for target in words_of(line, "make") or []:
            assert target in targets, line
        words = words_of(line, "python") or []
        if words and words[0].startswith("benchmarks/"):
            source = (ROOT / words[0]).read_text(encoding="utf-8")
            for module in re.findall(r"^from (\w+) import", source, re.MULTILINE):
                beside = ROOT / "benchmarks" / f"{module}.py"
                source += beside.read_text(encoding="utf-8") if beside.is_file() else ""
            for option in words:
                assert not option.startswith("--") or f'"{option}"' in source, (line, option)


# Settings, names, links -------------------------------------------------------------------------


def merged(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{key: merged(old.get(key), value) for key, value in new.items()}}
    return new


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "yaml")])
def test_settings_are_those_of_a_project_file(
    page: str, project_of_the_pages: Path, tmp_path: Path
) -> None:
    whole = yaml.safe_load((project_of_the_pages / "project.yaml").read_text("utf-8"))
    registry = project_of_the_pages / "genomes.yaml"
    registry.write_text(yaml.safe_dump(whole["genomes"]), encoding="utf-8")
    shown = [yaml.safe_load(code) for code in blocks(page, "yaml")]
    for number, settings in enumerate(shown):
        if page == "docs/deployments.md":
            assert set(settings) <= set(yaml.safe_load((ROOT / "prefect.yaml").read_text("utf-8")))
            continue
        assert set(settings) <= set(Project.model_fields)
        path = project_of_the_pages / f"shown-{number}.yaml"
        path.write_text(yaml.safe_dump(merged(whole, settings)), encoding="utf-8")
        load_project(path)


def exists(dotted: str) -> bool:
    """Whether a dotted name is a module, or a name within one."""
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:count])
        if path.is_dir() or path.with_suffix(".py").is_file():
            found = import_module(".".join(parts[:count]))
            for name in parts[count:]:
                if not hasattr(found, name):
                    return False
                found = getattr(found, name)
            return True
    return False


@every_page
def test_modules_and_files_that_a_page_names_exist(page: str) -> None:
    for code in re.findall(r"`([^`\n]+)`", prose(page)):
        for name in re.findall(r"\b(?:ssldata|sslmodels|flows)(?:\.\w+)+(?![\w/])", code):
            assert name.endswith(".py") or exists(name), name
        for path in re.findall(r"^(?:ssldata|sslmodels|flows|tests|benchmarks)/[\w./-]+$", code):
            assert (ROOT / path).exists(), path


@every_page
def test_names_of_the_public_surface_exist(page: str) -> None:
    for package, alias in ((ssldata, "sd"), (sslmodels, "sm")):
        for name in re.findall(rf"\b{alias}\.(\w+)", PAGES[page]):
            assert name in package.__all__, f"{alias}.{name}"


@every_page
def test_links_between_pages_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", PAGES[page]):
        if "://" not in target:
            assert ((ROOT / page).parent / target).exists(), target
