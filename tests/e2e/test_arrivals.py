"""Genomes that arrive, end to end on loopback: server, worker and deployments, all in tmp.

With ``CROSSLABEL_E2E_OUT`` naming a folder, the times and the event log are written there.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
import yaml

from ssldata.arrivals.arrival_state import ArrivalState
from ssldata.building.build_store import build_project
from ssldata.project.project_file import load_project
from ssldata.simulation.clade import small_clade
from ssldata.store.store import read_root_attributes
from ssldata.store.store_history import history_of
from ssldata.store.store_writer import writer_lock

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
#: Seconds after which a step is taken for hanging.
HANGS = 900


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def until(what: str, happened: Callable[[], Any]) -> Any:
    """Wait until something happened, and return it."""
    end = time.monotonic() + HANGS
    while not (found := happened()):
        assert time.monotonic() < end, f"never happened: {what}"
        time.sleep(0.5)
    return found


class System:
    """A project, and the services that look after it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.project = folder, folder / "project"
        self.held, self.incoming = folder / "held", self.project / "incoming"
        self.url = f"http://127.0.0.1:{free_port()}/api"
        self.times: list[tuple[str, float]] = []
        self.services: list[subprocess.Popen[bytes]] = []
        python = Path(sys.executable).parent
        self.environment = {
            **os.environ,
            "PATH": f"{python}{os.pathsep}{os.environ['PATH']}",
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_API_URL": self.url,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{folder}/prefect.db",
        }

    # -- services

    def prefect(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "prefect", *arguments]
        done = subprocess.run(
            command, cwd=self.project, env=self.environment, capture_output=True, timeout=HANGS
        )
        assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()

    def start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            service = subprocess.Popen(
                [sys.executable, "-m", "prefect", *arguments],
                cwd=self.project,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.services.append(service)
        return service

    def start_worker(self) -> subprocess.Popen[bytes]:
        return self.start("worker", "worker", "start", "--pool", "crosslabel")

    def kill(self, service: subprocess.Popen[bytes]) -> None:
        """SIGKILL of a service and of all it has started; a flow run has a session of its own."""
        with contextlib.suppress(psutil.NoSuchProcess):
            known = psutil.Process(service.pid)
            for process in [known, *known.children(recursive=True)]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        service.wait(60)

    def stop(self) -> None:
        for service in reversed(self.services):
            for _ in range(2):  # a worker goes on after the first
                if service.poll() is None:
                    service.terminate()
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        service.wait(5)
            self.kill(service)

    # -- the project

    def make(self) -> None:
        small_clade(self.project, genomes=6, seed=3)
        self.held.mkdir()
        self.incoming.mkdir()
        file = self.project / "project.yaml"
        project = yaml.safe_load(file.read_text())
        for genome in project["genomes"][2:]:
            for key in ("sequence", "chain"):
                path = self.project / genome[key]
                shutil.move(path, self.held / path.name)
                genome[key] = path.name
            genome["sha256"] = {
                key: hashlib.sha256((self.held / genome[key]).read_bytes()).hexdigest()
                for key in ("sequence", "chain")
            }
            (self.held / f"{genome['name']}.yaml").write_text(yaml.safe_dump(genome))
        project["genomes"] = project["genomes"][:2]
        project["training"] |= {
            "experiments": ["alpha"],
            "models": ["cnn-7k"],
            "regimes": ["ssl"],
            "seeds": [0],
            "epochs": 1,
            "baselines": [],
        }
        file.write_text(yaml.safe_dump(project, sort_keys=False))

    def deploy(self) -> None:
        """Deploy prefect.yaml with the settings that a user would change."""
        settings = yaml.safe_load((ROOT / "prefect.yaml").read_text())
        for deployment in settings["deployments"]:
            if deployment["name"] == "watch-genomes":
                deployment["schedules"][0]["interval"] = 30  # a look takes ten seconds of two cores
            if deployment["name"] == "train":
                deployment["triggers"][0]["enabled"] = True
        file = self.project / "my-prefect.yaml"
        file.write_text(yaml.safe_dump(settings))
        self.prefect("--no-prompt", "deploy", "--all", "--prefect-file", file.name)

    def drop(self, name: str) -> None:
        """Put a genome into the registry, file by file, each renamed when it is whole."""
        entry = yaml.safe_load((self.held / f"{name}.yaml").read_text())
        for file in (entry["sequence"], entry["chain"], f"{name}.yaml"):
            shutil.copyfile(self.held / file, self.incoming / f"{file}.partial")
            (self.incoming / f"{file}.partial").rename(self.incoming / file)
        self.mark(f"dropped {name}")

    def mark(self, what: str) -> None:
        self.times.append((what, time.time()))

    def has(self, name: str, store: str) -> bool:
        root = read_root_attributes(self.project / "store" / f"{store}.zarr") or {"ledger": {}}
        return bool(root["ledger"].get(f"homologs/{name}", {}).get("status") == "complete")

    def appended(self, name: str) -> None:
        until(f"{name} in the stores", lambda: self.has(name, "alpha") and self.has(name, "beta"))
        self.mark(f"{name} in the stores")

    def attempts(self, name: str) -> list[Any]:
        memory = ArrivalState(load_project(self.project)).read()
        return [attempt for attempt in memory.attempts.values() if attempt.name == name]

    def evaluated(self, name: str) -> None:
        def found() -> bool:
            history = history_of(self.project / "store" / "alpha.zarr")
            return any(name in entry["rows"] for entry in history)

        until(f"{name} compared", found)
        self.mark(f"{name} trained, evaluated and compared")

    # -- what Prefect knows

    def post(self, path: str, body: dict[str, Any]) -> Any:
        answer = requests.post(f"{self.url}{path}", json=body, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def runs(self, flow: str) -> list[dict[str, Any]]:
        flows = {"name": {"any_": [f"crosslabel-{flow}"]}}
        found: list[dict[str, Any]] = self.post("/flow_runs/filter", {"flows": flows})
        return found

    def completed(self, flow: str) -> list[dict[str, Any]]:
        return [run for run in self.runs(flow) if run["state_type"] == "COMPLETED"]

    def events(self) -> list[dict[str, Any]]:
        names = ["genome.arrived", "dataset.updated", "dataset.validated", "runs.trained"]
        body = {"filter": {"event": {"name": names}}, "limit": 50}
        found: list[dict[str, Any]] = self.post("/events/filter", body)["events"]
        return sorted(found, key=lambda event: event["occurred"])

    def polls(self, number: int) -> None:
        """Wait until the sensor has looked that many times more."""
        before = len(self.completed("watch-genomes"))
        until("polls", lambda: len(self.completed("watch-genomes")) >= before + number)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        start = self.times[0][1]
        with (folder / "arrivals-times.csv").open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["seconds", "what"])
            writer.writerows((f"{at - start:.1f}", what) for what, at in self.times)
        with (folder / "arrivals-events.csv").open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["occurred", "event", "resource", "attempt"])
            for event in self.events():
                attempt = event["payload"].get("attempt", "")
                resource = event["resource"]["prefect.resource.id"]
                writer.writerow([event["occurred"], event["event"], resource, attempt])


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    made = System(tmp_path)
    try:
        made.make()
        yield made
    finally:
        made.stop()
        if out := os.environ.get("CROSSLABEL_E2E_OUT"):
            for log in tmp_path.glob("*.log"):
                shutil.copy(log, Path(out) / log.name)


def test_genomes_arrive_with_no_hand_on_them(system: System) -> None:
    build_project(load_project(system.project))
    command = [sys.executable, "-m", "flows.cli", "train", str(system.project), "-q"]
    subprocess.run([*command, "-e", "alpha", "--seed", "0"], check=True, timeout=HANGS)
    subprocess.run(
        [sys.executable, "-m", "flows.cli", "evaluate", str(system.project), "-q"], check=True
    )
    port = system.url.split(":")[2].split("/")[0]
    system.mark("start")
    system.start("server", "server", "start", "--host", "127.0.0.1", "--port", port)

    def healthy() -> bool:
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{system.url}/health", timeout=5).ok
        return False

    until("server", healthy)
    system.prefect("work-pool", "create", "crosslabel", "--type", "process")
    system.deploy()
    worker = system.start_worker()
    system.mark("server, deployments and worker are up")

    # One genome, appended, validated, trained on and evaluated. Its schedule found it.
    system.drop("relative3")
    system.appended("relative3")
    system.evaluated("relative3")
    assert system.completed("validate-store")
    assert all(run["auto_scheduled"] for run in system.completed("watch-genomes"))

    # The same again.
    appends = len(system.runs("append-genome"))
    system.drop("relative3")
    system.polls(3)
    assert len(system.runs("append-genome")) == appends == 1

    # Two at once, and a corrupt one.
    (system.incoming / "broken.fa.gz").write_bytes(
        (system.held / "relative3.fa.gz").read_bytes()[:4000]
    )
    broken = {"name": "broken", "sequence": "broken.fa.gz", "chain": "simrefToRelative3.chain"}
    (system.incoming / "broken.yaml").write_text(json.dumps(broken))
    system.drop("relative4")
    system.drop("relative5")
    system.appended("relative4")
    system.appended("relative5")
    until("a refusal", lambda: [a for a in system.attempts("broken") if a.status == "refused"])
    system.mark("broken refused")

    # The worker and its run are killed when the genome is in one store of two.
    with writer_lock(system.project / "store" / "beta.zarr"):
        system.drop("relative6")
        until("the first store", lambda: system.has("relative6", "alpha"))
        system.kill(worker)
        system.mark("worker killed in mid-append")
        assert not system.has("relative6", "beta")
        assert [attempt.status for attempt in system.attempts("relative6")] == ["appending"]
    system.start_worker()
    system.appended("relative6")
    until("its end", lambda: [a for a in system.attempts("relative6") if a.status == "done"])
    system.evaluated("relative6")

    done = {run["parameters"]["name"] for run in system.completed("append-genome")}
    assert done == {"relative3", "relative4", "relative5", "relative6"}
    keys = [
        (run["parameters"]["digest"], run["parameters"]["attempt"])
        for run in system.completed("append-genome")
    ]
    assert len(set(keys)) == len(keys)
    assert [a.number for a in system.attempts("relative6")] == [2]
    if out := os.environ.get("CROSSLABEL_E2E_OUT"):
        system.save(Path(out))
