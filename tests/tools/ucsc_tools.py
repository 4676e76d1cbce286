"""The drop-in command on texts: what it writes, and the one line of a failure."""

from __future__ import annotations

from pathlib import Path

from chain_tools import CHAINS

from ssldata.ucsc_tool.ucsc_command import main


def lift(tmp_path: Path, bed: str | bytes, *options: str, chain: str = CHAINS) -> tuple[str, str]:
    """Run the command on a BED text; return the mapped and the unmapped text."""
    names = [tmp_path / name for name in ("old.bed", "c.chain", "new.bed", "lost.bed")]
    names[0].write_bytes(bed.encode() if isinstance(bed, str) else bed)
    names[1].write_text(chain)
    assert main([*options, *map(str, names)]) == 0
    return names[2].read_text(), names[3].read_text()


def failure(tmp_path: Path, capsys, bed: str, *options: str) -> str:
    """Run the command, which must fail; return its one line."""
    names = [tmp_path / name for name in ("old.bed", "c.chain", "new.bed", "lost.bed")]
    names[0].write_text(bed)
    names[1].write_text(CHAINS)
    assert main([*options, *map(str, names)]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert not names[2].exists()
    assert not names[3].exists()
    return message.strip().removeprefix("crosslabel liftover: error: ")
