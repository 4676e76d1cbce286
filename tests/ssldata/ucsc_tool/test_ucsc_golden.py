"""The drop-in command against outputs of the real tool."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from ssldata.ucsc_tool import ucsc_command
from ssldata.ucsc_tool.ucsc_command import main

GOLDEN = Path(__file__).parents[2] / "golden" / "liftover"
CASES = json.loads((GOLDEN / "golden.json").read_text(encoding="utf-8"))
YEAST = {
    "default": [],
    "single01": ["-minMatch=0.1"],
    "single05": ["-minMatch=0.5"],
    "multi01": ["-minMatch=0.1", "-multiple"],
    "multi05": ["-minMatch=0.5", "-multiple", "-noSerial"],
}


@pytest.fixture(params=["strict", "compiled"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Read BED in either of the two ways."""
    compiled = request.param == "compiled"
    monkeypatch.setattr(ucsc_command, "compiled_pays", lambda _: compiled)
    return request.param


def write(path: Path, text: str, *, members: int = 1) -> Path:
    """Write a text file, compressed (in several members) when its name says so."""
    data = text.encode("utf-8")
    if path.suffix == ".gz":
        size = max(1, -(-len(data) // members))
        data = b"".join(gzip.compress(data[at : at + size]) for at in range(0, len(data), size))
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("compat", ["v491", "v492"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_golden(
    case: dict, compat: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    members = 3 if "multimember" in case["name"] else 1
    chain = write(tmp_path / case["chain_name"], case["chain"], members=members)
    bed = write(tmp_path / case["bed_name"], case["bed"])
    new, unmapped = tmp_path / "new.bed", tmp_path / "unmapped.bed"
    files = [str(path) for path in (bed, chain, new, unmapped)]
    code = main([*case["args"], *files, f"--compat={compat}"])
    expected = case[compat]
    if expected["rc"] != 0:
        assert code == 2
        message = capsys.readouterr().err
        assert message.count("\n") == 1
        assert message.startswith("crosslabel liftover: error: ")
        assert not new.exists()
        assert not unmapped.exists()
    else:
        assert code == 0
        assert new.read_bytes() == expected["mapped"].encode()
        assert unmapped.read_bytes() == expected["unmapped"].encode()


@pytest.mark.parametrize("mode", YEAST)
@pytest.mark.parametrize("genome", ["CBS432", "SK1"])
def test_yeast(genome: str, mode: str, tmp_path: Path) -> None:
    folder = GOLDEN / f"yeast_{genome}"
    new, unmapped = tmp_path / "new.bed", tmp_path / "unmapped.bed"
    chain = GOLDEN / "chains" / f"sacCer3To{genome}.over.chain.gz"
    files = [str(path) for path in (folder / "input.bed.gz", chain, new, unmapped)]
    assert main([*YEAST[mode], *files]) == 0
    for path, name in ((new, "mapped"), (unmapped, "unmapped")):
        expected = gzip.decompress((folder / f"{mode}.{name}.bed.gz").read_bytes())
        assert path.read_bytes() == expected
