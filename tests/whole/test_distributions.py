"""sdist and wheel: built, compared with what is tracked, installed and used."""

from __future__ import annotations

import os
import re
import site
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def tracked(*folders: str) -> set[str]:
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", *folders]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True)
    return {name for name in listed.stdout.split("\0") if name}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the sdist, and the wheel from it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_sdist_has_all_that_is_tracked(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    made = {name for name in names - tracked() if ".egg-info/" not in name}
    assert tracked() - names == set()
    assert made == {"PKG-INFO", "setup.cfg"}


def test_the_wheel_has_code_templates_examples_and_pages(built: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    shipped = tracked("examples", "docs", "prefect.yaml")
    code = tracked("ssldata", "sslmodels", "flows")
    assert names == code | {f"ssldata/shipped/{name}" for name in shipped}


@pytest.mark.slow
def test_an_installed_copy_works(built: Path, tmp_path: Path) -> None:
    """With the packages of this environment, but none of the clone's files."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    wheel = next(built.glob("*.whl"))
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    subprocess.run([*install, "--no-deps", "--no-index", str(wheel)], check=True, env=environment)
    packages = next((tmp_path / "env").glob("lib/python*/site-packages"))
    (packages / "others.pth").write_text("\n".join(site.getsitepackages()))
    program = str(tmp_path / "env" / "bin" / "crosslabel")

    def crosslabel(*words: str, code: int = 0) -> str:
        done = subprocess.run(
            [program, *words], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == code, done.stderr
        return done.stdout

    assert crosslabel("--version") == f"crosslabel {PROJECT['version']}\n"
    for name in (path.name for path in (ROOT / "examples").iterdir() if path.is_dir()):
        assert name in crosslabel("init", "--example", "list")
        crosslabel("init", "--example", name, name)
    assert str(packages) in crosslabel("docs", "--json")
    assert crosslabel("docs", "install") == (ROOT / "docs" / "install.md").read_text("utf-8")
    crosslabel("init", "--deployments", ".")
    assert (tmp_path / "prefect.yaml").read_bytes() == (ROOT / "prefect.yaml").read_bytes()
    crosslabel("plan", "yeast", code=2)  # inputs are missing, and only they
    crosslabel("init", "template")
    crosslabel("init", "--simulated", "toy")
    assert "alpha" in crosslabel("plan", "toy")


def test_the_page_lists_the_extras() -> None:
    page = (ROOT / "docs" / "install.md").read_text("utf-8")
    section = page.partition("## Extras")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `([\w-]+)` \|", section, re.MULTILINE)
    extras = PROJECT["optional-dependencies"]
    assert sorted(listed) == sorted(extras)
    joined = re.findall(r"\[(.+)\]", extras["all"][0])[0].split(",")
    row = next(line for line in section.splitlines() if line.startswith("| `all`"))
    assert re.findall(r"`([\w-]+)`", row)[1:] == joined


def test_the_version_is_the_same_everywhere() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert cited["version"] == PROJECT["version"]
