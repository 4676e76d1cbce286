"""The examples of docs/liftover.md run, and its table says what we answer."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from chain_tools import CHAINS, index_of

from ssldata.liftover.lift import lift
from ssldata.liftover.lift_result import LiftOptions, Status

PAGE = (Path(__file__).parents[3] / "docs" / "liftover.md").read_text(encoding="utf-8")

#: The intervals of the table, all on tA.
INTERVALS = {
    "inside a block": (110, 190),
    "across a gap of the old genome": (190, 260),
    "one end inside a gap": (150, 240),
    "wholly inside a gap": (205, 245),
    "across 40 bases inserted in the new genome": (280, 350),
    "reversed, with a gap on either side": (1095, 1165),
    "half on each of two contigs": (2050, 2150),
    "4 bases on A, 96 on B": (2096, 2196),
    "across a gap that another chain fills": (3050, 3350),
    "from a block into that fill": (3090, 3160),
    "aligned twice, 390 bases apart": (5000, 5100),
    "mostly beyond the last block": (390, 450),
}


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    (tmp_path / "old-to-new.chain.gz").write_text(CHAINS)  # recognised by content
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(blocks) == 4
    names: dict[str, object] = {}
    for block in blocks[:3]:  # tests/whole/test_docs.py runs the last, on Dask, too
        exec(block, names)
    out = capsys.readouterr().out
    assert out.startswith("{'mapped': 1, 'deleted': 2}\n['qA', None, None]\n")
    assert "[1050]" in out


@pytest.mark.parametrize("name", INTERVALS)
def test_the_table(name: str) -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| {name} |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    index = index_of(CHAINS)
    start, end = INTERVALS[name]
    for column, mode in enumerate(("blocks", "ucsc", "ucsc-multiple"), start=1):
        options = LiftOptions(mode=mode, min_match=0.1)
        found = lift(index, ["tA"], [start], [end], options=options)
        answer = Status(found.status[0]).name.lower()
        if answer == "mapped":
            contig = index.query_names[found.contig[0]].removeprefix("q")
            answer = f"{contig}:{found.start[0]}-{found.end[0]}"
            if found.strand[0] < 0:
                answer += " −"
        assert cells[column] == answer
