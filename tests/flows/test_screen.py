"""Log files, names in progress bars, completion, and ``python -m flows``."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows.cli import main
from flows.output.console import _shortened
from ssldata.project.project_template import write_template

TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"


def test_a_log_file_has_the_command_what_was_shown_and_the_error(tmp_path: Path) -> None:
    log = tmp_path / "new/folder/x.log"
    assert main(["model", "list", "--log-file", str(log), "-q"]) == 0
    first = log.read_text()
    assert re.match(rf"{TIME} INFO crosslabel: crosslabel model list --log-file \S+ -q\n", first)
    assert "cnn-27k" in first  # although nothing was to be shown
    assert main(["plan", str(tmp_path / "none"), "--log-file", str(log)]) == 2
    both = log.read_text()
    assert both.startswith(first)
    assert re.search(rf"{TIME} ERROR crosslabel: error: .*no such project file", both)


def test_a_log_file_that_cannot_be_written_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["model", "list", "--log-file", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"crosslabel: error: --log-file .*name another file\n", err)


@pytest.mark.parametrize("room", [8, 20, 70])
def test_a_long_name_loses_its_middle(room: int) -> None:
    name = "alpha: sequences of homologs/relative1"
    short = _shortened(name, room)
    assert len(short) <= room
    assert short == name if len(name) <= room else "…" in short
    assert (short[0], short[-1]) == (name[0], name[-1])


def test_the_shell_completes_experiments_of_the_project(tmp_path: Path) -> None:
    write_template(tmp_path / "p")
    (tmp_path / "p/project.yaml").write_text(
        "experiments: [{name: Reb1, peaks: a}, {name: Rap1, peaks: b}, {name: Abf1, peaks: c}]\n"
    )
    environment = {
        **os.environ,
        "_CROSSLABEL_COMPLETE": "complete_bash",
        "COMP_WORDS": f"crosslabel train {tmp_path / 'p'} --experiment R",
        "COMP_CWORD": "4",
    }
    command = [sys.executable, "-m", "flows"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["Reb1", "Rap1"]
    environment["COMP_WORDS"] = f"crosslabel train {tmp_path / 'none'} --experiment R"
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("", "")


def test_a_first_interrupt_ends_work_that_does_not_listen() -> None:
    """Code that swallows KeyboardInterrupt is ended all the same, with one line and code 130."""
    code = (
        "import sys, time\nimport flows.cli as cli\n"
        "def deaf(arguments):\n"
        "    print('ready', flush=True)\n"
        "    while True:\n"
        "        try:\n            time.sleep(600)\n"
        "        except KeyboardInterrupt:\n            pass\n"
        "cli._dispatch = deaf\nsys.exit(cli.main())\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    # A second one ends it at once; the first alone after some seconds.
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 130
    assert err == "crosslabel: interrupted; the same command continues where it stopped\n"
