"""The commands of the Dockerfile and of compose.yaml, run without Docker.

A folder takes the place of the root of all containers: absolute paths of commands, settings and
volumes lie below it. Each container has an address of its own in 127.0.0.0/8 (Linux), so ports are
those of compose.yaml. Packages are those of this environment; the project alone is installed, by
the lines of the Dockerfile. What it does not check: base images, Debian's packages, the networks
and limits of Docker.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import shlex
import shutil
import signal
import site
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import psutil
from container_tools import ROOT, Instruction, in_context, instructions

#: Marks every process of a system, whoever started it.
MARK = "CROSSLABEL_WITHOUT_DOCKER"
#: Seconds after which a step is taken for hanging.
HANGS = 1800
#: An absolute path, but for devices; not the path of an address.
_ABSOLUTE = re.compile(r"(?<![\w/:.$}-])/(?!dev/|usr/|bin/)(?=\w)")
#: Programs that change the machine: what they are asked for is noted.
_NOTED = ("apt-get", "groupadd", "useradd")


def own_programs() -> dict[str, str]:
    """Return console scripts of this environment, name → module:function."""
    return {point.name: point.value for point in entry_points(group="console_scripts")}


class Machine:
    """A folder as the root of containers."""

    def __init__(self, folder: Path, first_address: str) -> None:
        self.folder = folder
        self.root = folder / "root"
        self.net, _, last = first_address.rpartition(".")
        self._free = int(last)
        self.hosts: dict[str, str] = {}
        self.noted: list[list[str]] = []
        for name in ("tmp", "home", "var/lib/apt/lists"):
            (self.root / name).mkdir(parents=True)

    def moved(self, text: str) -> str:
        """Return a text with its absolute paths below the root."""
        return _ABSOLUTE.sub(f"{self.root}/", text)

    def address(self) -> str:
        """Return an address that no container has yet."""
        self._free += 1
        return f"{self.net}.{self._free}"

    def placed(self, text: str, address: str) -> str:
        """Return a text of a container: its paths, itself and others at their addresses."""
        text = re.sub(r"\b(?:127\.0\.0\.1|0\.0\.0\.0)\b", address, text)
        for host, where in self.hosts.items():
            text = re.sub(rf"(?<![\w.-]){re.escape(host)}(?=:\d)", where, text)
        return self.moved(text)

    # -- the Dockerfile

    def build(self, arguments: Mapping[str, str]) -> dict[str, str]:
        """Do what the Dockerfile says, and return the environment that its image has."""
        stubs = self.folder / "stubs"
        stubs.mkdir()
        for name in _NOTED:
            script = f'#!/bin/sh\nprintf "%s\\n" "{name} $*" >> {shlex.quote(str(stubs))}/noted\n'
            (stubs / name).write_text(script)
            (stubs / name).chmod(0o755)
        (stubs / "python").symlink_to(sys.executable)
        for stage in range(1, instructions()[-1].stage + 1):
            environment = {
                **outer_environment(),
                "PATH": f"{stubs}{os.pathsep}{os.environ['PATH']}",
                # setuptools is that of this environment.
                "PIP_NO_BUILD_ISOLATION": "0",
            }
            own: dict[str, str] = {}
            where = self.root
            for step in [i for i in instructions() if i.stage == stage]:
                where = self._step(step, where, environment, own, arguments)
        self.noted = [line.split() for line in (stubs / "noted").read_text().splitlines()]
        return own

    def _step(
        self,
        step: Instruction,
        where: Path,
        environment: dict[str, str],
        own: dict[str, str],
        arguments: Mapping[str, str],
    ) -> Path:
        if step.name == "ARG":
            name, _, default = step.value.partition("=")
            environment[name] = arguments.get(name, default.strip('"'))
        elif step.name == "ENV":
            for word in shlex.split(step.value):
                name, _, value = word.partition("=")
                value = self.moved(value).replace("$PATH", environment["PATH"])
                environment[name] = own[name] = value
        elif step.name == "WORKDIR":
            where = Path(self.moved(step.value))
            where.mkdir(parents=True, exist_ok=True)
        elif step.name == "COPY":
            self._copy(step.value, where)
        elif step.name == "RUN":
            command = ["sh", "-ec", self.moved(step.value)]
            done = subprocess.run(
                command, cwd=where, env=environment, capture_output=True, text=True, timeout=HANGS
            )
            assert done.returncode == 0, f"{step.value}\n{done.stdout}{done.stderr}"
            if "-m venv" in step.value:
                self._fill(Path(self.moved(step.value.split()[-1])))
        else:
            assert step.name in ("FROM", "USER", "CMD"), step.name
        return where

    def _copy(self, value: str, where: Path) -> None:
        *sources, target = value.split()
        if sources[0].startswith("--from="):
            assert sources[1:] == [target]  # both stages have the same root
            return
        for source in sources:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, where / target, ignore=_left_out, dirs_exist_ok=True)
            else:
                shutil.copy(ROOT / source, where / target)

    def _fill(self, environment: Path) -> None:
        """Give an environment the packages of this one, and their programs."""
        packages = next(environment.glob("lib/python*/site-packages"))
        for old in packages.glob("setuptools*"):  # that of Python 3.11 is older than ours must be
            shutil.rmtree(old)
        (packages / "others.pth").write_text("\n".join(site.getsitepackages()))
        for name, value in own_programs().items():
            module, _, function = value.partition(":")
            if name not in ("prefect", "dask"):
                continue
            script = environment / "bin" / name
            script.write_text(
                f"#!{environment}/bin/python\nimport sys\nfrom {module} import {function}\n"
                f"if __name__ == '__main__':\n    sys.exit({function}())\n"
            )
            script.chmod(0o755)

    # -- what is there afterwards

    def processes(self, container: str = "") -> Iterator[psutil.Process]:
        """Yield the processes that live, of one container or of all."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                where, _, name = process.environ().get(MARK, "").rpartition(":")
                mine = where == str(self.folder) and container in ("", name)
                if mine and process.status() != psutil.STATUS_ZOMBIE:
                    yield process


class Container:
    """One container of a service."""

    def __init__(
        self,
        machine: Machine,
        service: Mapping[str, Any],
        name: str,
        image: Mapping[str, str],
        folder: str,
    ) -> None:
        self.machine, self.service, self.name = machine, service, name
        self.address = machine.address()
        self.where = Path(machine.moved(folder))
        home = machine.root / "home" / name
        home.mkdir()
        given = {
            key: machine.hosts.get(str(value)) or machine.placed(str(value), self.address)
            for key, value in service.get("environment", {}).items()
        }
        self.environment = {
            **outer_environment(),
            **image,
            "HOME": str(home),
            "TMPDIR": str(machine.root / "tmp"),
            MARK: f"{machine.folder}:{name}",
            **given,
        }
        for volume in service.get("volumes", []):
            source, target, *_ = volume.split(":")
            inside = Path(machine.moved(target))
            inside.parent.mkdir(parents=True, exist_ok=True)
            if source.startswith("./"):
                inside.symlink_to(ROOT / source)
            else:
                assert inside.is_dir(), f"{target}: not in the image, so root would own the volume"
        self.log = machine.folder / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def words(self, command: list[Any]) -> list[str]:
        """Return a command as it is run here."""
        return [self.machine.placed(str(word), self.address) for word in command]

    def start(self, command: list[str] | None = None) -> None:
        """Start the command of the service, or another in its place."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command or self.words(self.service["command"]),
                cwd=self.where,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def run(self, *command: str) -> str:
        """Run a command in it, as `docker compose exec`, and return what it printed."""
        done = subprocess.run(
            self.words(list(command)),
            cwd=self.where,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=HANGS,
        )
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def is_healthy(self) -> bool:
        """Run the check of the service."""
        check = self.words(self.service["healthcheck"]["test"])
        assert check[0] == "CMD"
        done = subprocess.run(check[1:], cwd=self.where, env=self.environment, capture_output=True)
        return done.returncode == 0

    def stop(self) -> str:
        """End it as Docker does, and return the signal that ended its command."""
        assert self.process is not None
        if self.process.poll() is not None:
            ended = "none"
        else:
            self.process.send_signal(signal.SIGTERM)
            period = str(self.service.get("stop_grace_period", "10s"))
            try:
                self.process.wait(int(period.removesuffix("s")))
                ended = "SIGTERM"
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(60)
                ended = "SIGKILL"
        # With its command a container ends, and all that it started.
        for process in self.machine.processes(self.name):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
                process.wait(60)
        return ended


def _left_out(folder: str, names: list[str]) -> set[str]:
    """Return what .dockerignore leaves out of a folder of the clone."""
    below = Path(folder).relative_to(ROOT)
    return {name for name in names if not in_context((below / name).as_posix())}


def outer_environment() -> dict[str, str]:
    """Return what containers get of the environment of the tests: no packages, no settings."""
    hidden = ("PYTHONPATH", "CROSSLABEL_CACHE", "CROSSLABEL_MIRROR", "VIRTUAL_ENV", "HOME")
    return {name: value for name, value in os.environ.items() if name not in hidden}


def until(what: str, happened: Callable[[], Any], living: Container | None = None) -> None:
    """Wait until something happened; a container that should live meanwhile must do so."""
    end = time.monotonic() + HANGS
    while not happened():
        if living is not None and living.process is not None:
            code = living.process.poll()
            assert code is None, f"{living.name} ended ({code}):\n{living.log.read_text()[-4000:]}"
        assert time.monotonic() < end, f"never happened: {what}"
        time.sleep(0.5)


def postgres_program(name: str) -> str:
    """Return the path of a program of Postgres."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    path = os.pathsep.join([*map(str, places), os.environ["PATH"]])
    found = shutil.which(name, path=path)
    assert found, f"{name} is not on this machine; install Postgres (Debian: postgresql)"
    return found


def as_postgres(command: list[str]) -> list[str]:
    """Return a command run by the user `postgres` where we are root, which Postgres refuses."""
    if getpass.getuser() != "root":
        return command
    return ["runuser", "-u", "postgres", "--", *command]
