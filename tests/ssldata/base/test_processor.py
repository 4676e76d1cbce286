import pytest

from ssldata.base.processor import described, processor

INTEL = """processor\t: 0
model name\t: Intel(R) Xeon(R) Platinum 8370C CPU @ 2.80GHz
flags\t\t: fpu sse4_1 avx fma avx2 avx512f avx512_vnni

processor\t: 1
model name\t: another
flags\t\t: fpu
"""
ARM = """processor\t: 0
Features\t: fp asimd evtstrm sve bf16
CPU implementer\t: 0x41
CPU part\t: 0xd40
"""


def test_the_first_processor_is_described_with_instructions_from_narrow_to_wide() -> None:
    model, instructions = described(INTEL)
    assert model == "Intel(R) Xeon(R) Platinum 8370C CPU @ 2.80GHz"
    assert instructions == ["sse4_1", "avx", "avx2", "fma", "avx512f", "avx512_vnni"]


def test_arm_has_no_name_but_numbers() -> None:
    assert described(ARM) == ("ARM implementer 0x41 part 0xd40", ["asimd", "bf16", "sve"])


@pytest.mark.parametrize("text", ["", "nothing\n", "flags\n", "model name\t:\n"])
def test_text_that_names_no_model(text: str) -> None:
    assert described(text) == (None, [])


def test_settings_that_limit_the_instructions_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    assert "ONEDNN_MAX_CPU_ISA" not in processor()
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert processor()["ONEDNN_MAX_CPU_ISA"] == "AVX2"


def test_a_system_without_cpuinfo_gives_the_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr("pathlib.Path.read_text", missing)
    monkeypatch.setattr("sys.platform", "freebsd14")
    found = processor()
    assert found["model"] == found["architecture"] != ""
    assert found["instructions"] == []
