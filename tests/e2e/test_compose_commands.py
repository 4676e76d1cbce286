"""Every command of compose.yaml, and of the Dockerfile, run without Docker on loopback.

Commands, settings and checks are read from the files, and those that a user calls from
``docs/install.md``; ``tests/tools/without_docker.py`` says what stands for Docker. With
``CROSSLABEL_E2E_OUT`` naming a folder, the logs and the times are written there.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from container_tools import ROOT, instructions, services
from distributed import Client
from without_docker import (
    HANGS,
    Container,
    Machine,
    as_postgres,
    outer_environment,
    postgres_program,
    until,
)

pytestmark = pytest.mark.slow

#: A word with what a URL, a shell and SQL take for their own.
PASSWORD = "p@ss'w:or/d %"


def said_on_the_page() -> list[list[str]]:
    """Return the commands of docs/install.md that are called in the worker."""
    page = (ROOT / "docs" / "install.md").read_text("utf-8")
    begin = "docker compose exec worker "
    lines = page.replace("\\\n", " ").splitlines()
    return [
        shlex.split(line.removeprefix(begin), comments=True)
        for line in lines
        if line.startswith(begin)
    ]


class Compose:
    """What `docker compose up` and `down` do."""

    def __init__(self, folder: Path) -> None:
        self.database = Path(tempfile.mkdtemp(prefix="crosslabel-postgres-"))
        number = os.getpid()
        self.machine = Machine(folder, f"127.{64 + number % 128}.{number // 128 % 256}.1")
        self.services = services(POSTGRES_PASSWORD=PASSWORD, DASK_MEMORY="2GB")
        self.containers: dict[str, Container] = {}
        self.times: list[tuple[str, float]] = [("start", time.time())]
        self.image: dict[str, str] = {}

    def mark(self, what: str) -> None:
        self.times.append((what, time.time()))

    def build(self) -> None:
        service = self.services["worker"]
        arguments = {**service["build"]["args"]}
        if os.getuid():  # `install --owner` is for root
            arguments |= {"USER_ID": str(os.getuid()), "GROUP_ID": str(os.getgid())}
        self.image = self.machine.build(arguments)
        self.mark("image")

    def up(self) -> None:
        waits = {name: service.get("depends_on", {}) for name, service in self.services.items()}
        for name in TopologicalSorter(waits).static_order():
            service = self.services[name]
            for other, wait in waits[name].items():
                if wait["condition"] == "service_completed_successfully":
                    process = self.containers[other].process
                    assert process is not None
                    code = process.wait(HANGS)
                    assert code == 0, self.containers[other].log.read_text()
                    self.mark(f"{other}: completed")
            replicas = int(service.get("deploy", {}).get("replicas", 1))
            for number in range(1, replicas + 1):
                label = name if replicas == 1 else f"{name}-{number}"
                made = self.postgres(service) if name == "postgres" else self.ours(service, label)
                self.containers[label] = made
                self.machine.hosts.setdefault(name, made.address)
                if "healthcheck" in service:
                    until(f"{label} is healthy", made.is_healthy, made)
                    self.mark(f"{label}: healthy")

    def ours(self, service: dict[str, Any], label: str) -> Container:
        folder = [i.value for i in instructions() if i.name == "WORKDIR"][-1]
        made = Container(self.machine, service, label, self.image, folder)
        made.start()
        return made

    def postgres(self, service: dict[str, Any]) -> Container:
        """Set a database up as the image does, and start it."""
        tools = str(Path(postgres_program("initdb")).parent)
        image = {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
        given = {**service, "volumes": []}
        made = Container(self.machine, given, "postgres", image, "/tmp")
        settings = made.environment
        data, password = self.database / "data", self.database / "password"
        password.write_text(PASSWORD)
        if not os.getuid():
            for path in (self.database, password):
                shutil.chown(path, "postgres", "postgres")
        how = [f"--username={settings['POSTGRES_USER']}", f"--pwfile={password}"]
        command = [f"{tools}/initdb", f"--pgdata={data}", "--auth=scram-sha-256", *how]
        subprocess.run(
            as_postgres(command), check=True, capture_output=True, cwd="/", env=outer_environment()
        )
        options = [f"listen_addresses={made.address}", "unix_socket_directories="]
        words = [word for option in options for word in ("-c", option)]
        made.where = Path("/")
        made.start(as_postgres([f"{tools}/postgres", "-D", str(data), *words]))
        until("the database answers", made.is_healthy, made)
        self.query(made, f"CREATE DATABASE {settings['POSTGRES_DB']}", "postgres")
        return made

    def query(self, postgres: Container, text: str, database: str) -> str:
        user = postgres.environment["POSTGRES_USER"]
        where = ["--host", postgres.address, "--username", user, "--dbname", database]
        done = subprocess.run(
            [postgres_program("psql"), "--no-psqlrc", "-At", *where, "--command", text],
            env={**postgres.environment, "PGPASSWORD": PASSWORD},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def down(self) -> dict[str, str]:
        """Stop the containers, those first that wait for others, and return what ended each."""
        ended = {name: made.stop() for name, made in reversed(self.containers.items())}
        shutil.rmtree(self.database, ignore_errors=True)
        self.mark("stopped")
        return ended

    def get(self, path: str) -> Any:
        address = self.containers["server"].address
        answer = requests.get(f"http://{address}:4200/api{path}", timeout=60)
        answer.raise_for_status()
        return answer.json()

    def post(self, path: str, body: dict[str, Any]) -> Any:
        address = self.containers["server"].address
        answer = requests.post(f"http://{address}:4200/api{path}", json=body, timeout=60)
        answer.raise_for_status()
        return answer.json()


@pytest.fixture
def compose(tmp_path: Path) -> Iterator[Compose]:
    made = Compose(tmp_path)
    try:
        yield made
    finally:
        made.down()
        for process in list(made.machine.processes()):
            with contextlib.suppress(Exception):
                process.kill()
        if out := os.environ.get("CROSSLABEL_E2E_OUT"):
            Path(out).mkdir(parents=True, exist_ok=True)
            for log in tmp_path.glob("*.log"):
                shutil.copy(log, Path(out) / log.name)
            lines = [f"{at - made.times[0][1]:.1f},{what}" for what, at in made.times]
            (Path(out) / "times.csv").write_text("\n".join(["seconds,what", *lines, ""]))


def computed(address: str) -> dict[str, int]:
    """Return how many tasks of each kind the Dask workers have computed, by name of function."""

    def prefixes(dask_scheduler: Any) -> dict[str, int]:
        found = dask_scheduler.task_prefixes
        return {name: int(prefix.state_counts["memory"]) for name, prefix in found.items()}

    with Client(f"tcp://{address}:8786", timeout="30s") as client:
        counted: dict[str, int] = client.run_on_scheduler(prefixes)
    return counted


@pytest.mark.timeout(7200)
def test_every_command_does_its_work(compose: Compose) -> None:
    compose.build()
    noted = [" ".join(words[:2]) for words in compose.machine.noted]
    for expected in ("apt-get update", "apt-get install", "groupadd --non-unique"):
        assert expected in noted
    compose.up()
    worker, root = compose.containers["worker"], compose.machine.root

    # The image's copy of crosslabel is used, not the clone; and its default command.
    place = worker.run("python", "-c", "import flows; print(flows.__file__)").strip()
    assert Path(place).is_relative_to(root / "opt")
    (default,) = [i.value for i in instructions() if i.name == "CMD"]
    assert "Usage: crosslabel" in worker.run(*json.loads(default))

    # All of prefect.yaml is deployed, and kept in Postgres.
    known = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    names = {deployment["name"] for deployment in compose.post("/deployments/filter", {})}
    assert names == {deployment["name"] for deployment in known}
    database = compose.containers["postgres"]
    assert compose.query(database, "SELECT count(*) FROM deployment", "prefect") == str(len(known))

    # Deployed again, the pool keeps what somebody set.
    worker.run("prefect", "work-pool", "set-concurrency-limit", "crosslabel", "7")
    again = compose.containers["deployments"]
    again.start()
    assert again.process is not None
    assert again.process.wait(HANGS) == 0, again.log.read_text()
    assert compose.get("/work_pools/crosslabel")["concurrency_limit"] == 7
    compose.mark("deployed again")

    # The calls of the page: a simulated project, run on the Dask workers to its end.
    make, run = said_on_the_page()
    worker.run(*make)
    project = root / "projects" / make[-1]
    file = project / "project.yaml"
    settings = yaml.safe_load(file.read_text())
    settings["training"] |= {"regimes": ["sl", "ssl"], "epochs": 1}
    del settings["training"]["noisy_student"]
    file.write_text(yaml.safe_dump(settings, sort_keys=False))
    compose.mark("project")
    print(worker.run(*run))
    compose.mark("deployment has run")
    (done,) = compose.post("/flow_runs/filter", {"flows": {"name": {"any_": ["crosslabel-run"]}}})
    assert done["state_name"] == "Completed"
    found = project.glob("runs/**/metrics.json")
    scores = [path for path in found if "baselines" not in path.parts]
    assert len(scores) == 2, scores
    counted = computed(compose.containers["dask-scheduler"].address)
    print(counted)
    assert counted.get("fill_shard", 0) > 0
    assert counted.get("_after", 0) == 2  # a run each

    ended = compose.down()
    print(ended)
    assert ended["deployments"] == "none"
    left = [process.cmdline() for process in compose.machine.processes()]
    assert left == []
    for container in compose.containers.values():
        for port in (4200, 5432, 8080, 8786, 8787, 8789):
            with socket.socket() as asking:
                assert asking.connect_ex((container.address, port)) != 0, (container.name, port)
    unfinished = [p for place in ("projects", "cache") for p in (root / place).rglob("*.partial")]
    assert unfinished == []
    assert not compose.database.exists()
