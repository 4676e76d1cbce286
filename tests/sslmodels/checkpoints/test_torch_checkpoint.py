"""PyTorch files without unpickling: what is read, and everything that is refused and never run."""

from __future__ import annotations

import base64
import os
import pickle
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from checkpoint_tools import dict_program, integers, tensor_program, text, write_zip
from hypothesis import given, settings
from hypothesis import strategies as st

from ssldata.base.errors import InputError, MissingInputError
from sslmodels.checkpoints.torch_checkpoint import read_pytorch

# A file written by torch.save of PyTorch 2.15: an ordered mapping with a transposed view, a view
# into another tensor's storage, half precision, bfloat16, integers, flags, a Parameter, a tied
# tensor and the _metadata of a module.
GENUINE = (
    "c-p0w-EZ4e7{*UNnxt-5wsxfrA04a=Qo6SJb_VT|dBqGoSnCNX+D+spZW7_feeIJXK$9v#%eX5DaXIalzkoY"
    "b@gGcLhzsrz6s~|Pxa54euI;W3?JS+1G(OMoeNKGdM_y7QQG^l+bm$sDW2l*(YiL-TU4P$@r4e-J@U<DP*G<"
    "FF>$q)pY~hyG&@H{O*sfy%(3A?HRJD)5)(x%Qfp8t0R=qV_>*BUy3pGn$>9&nV4eK4-v}zk!0V1hXHBJOJS*"
    "bO3h;oS_8>WVD^DhPHtA@y$G{mYAGS}C;5LaRt63Yrw!b)Tt`jv<h+6LkC7Bw+|VNiuLRe>zVme#S?O<QlkP"
    ">WP+?N?YdyDNt7mUxPl$iUeaL!YDQh!Wn0VI@Q>jBxaM45KPMU5(OBY8Hku4sCIZSs3T~<T5q31<xp<EqIn|"
    "pTqFH3KLA*(u`HO;4^fCeC67Cf#GuSBEf|*Tx2`lf=P;diQ_I|cv*#4s$sHlWff9Bn8bd-Owk2SF<>5E<-ln"
    "Nc$orcIB*ujoC<070PAMAgCXN%-ZVQ+mzQO{0^|rUgdtCOQ&XH%z)(~{Wcyq-v?i4N)=blIF;^I-2(NKluRF"
    "HpsjUT$yNaQ#LWMng@{_~0BTf~$r>*H&w*-)U4@HFQoWAJL-=K7v)8E8!Lxs2Qv47tF3=|b^GUvEWj?6o)Gu"
    "^xJZnd9$Q6q4Twg=o|i<hdjZD9E>sO$)D=$1{I0&XiI+qPF`my~$o;-lQ})5JI(OGmceFdC(;H@j+DYZ|UOA"
    "Xz$hxC1kk`t6@Te?m7#$I;YLG|#9`Yt=NP-R!LC9V|<w$F=tVx{7&fp!@;+L62SdSObG7N)4=hh;@_Zge)Os"
    "v@tex%Gg@?B^e{DV#hN2(e?dQnoG-4`P9api&HnRl0RjHDr9Vu@t{l{slV=B7$-NzdpOFtjxw?|gHBO@|N5)"
    "!e5mj#;ml{9`Fw@?N`|KYPSgDB;VbF-%F5CxI&S}EUb8~RCK(S{ow1$0FHW}q+{yP}Lc6rqr{7d}XqQEM)ar"
    "9<<z*>^?(CK;Odp<@966c3!1QtF4rQ$WxMxyPq6g!e%P7jy!jqlA5Uc#%<oDIy{nL-)Ze>xHB8WY|O?GA}Wo"
    "J3|sJDNCJZM63LuLMnHjoo&<%jp1@AdYdL?R0ywgFqW+9ZKK(&&prt=*8N+-Z!YOW9(nm>0!dp_tAWL{UtqG"
    "o^H~m`fM3`FysN&S$S=M3K6@_uIxlDdHo=T!zA|!yKR9U>-Q+-18n36ne9F*eCipf*zCNLA^IRM}7K-j{Z<y"
    "2NB-n9P}a7DDow4Q0Yy$exLH|C_2d5pv)UUep#yTK$Z#0ym{i6?RsR{pv)T$foib>SuQB^CW2q~l}DBj%Df@"
    "qm;K<86@oHv2m58?@dH^gDD$?gU-qR(CI)5ReiMAMpSbLZ!{+UPr2nKO(9ylQq{L#EorM#T8CNtEm}eq<{x`"
    "87sxg+Ymz-0{-%t8tTr<Sh^R@p0jW>Vm"
)

# Sixty pairs, each of the one before it twice: its text would have 2⁶⁰ parts.
ENDLESS = b")" + b"".join(b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(60))
DEEP = b")" + b"\x85" * 20_000

# A little program that would make a file, were it run.
SENTINEL = "ran"


@pytest.fixture
def genuine(tmp_path: Path) -> Path:
    path = tmp_path / "genuine.bin"
    path.write_bytes(zlib.decompress(base64.b85decode(GENUINE)))
    return path


def test_genuine_file(genuine: Path):
    tensors = read_pytorch(genuine)
    expected = {
        "plain": np.arange(6, dtype=np.float32).reshape(2, 3) / 4,
        "transposed": np.arange(6, dtype=np.float64).reshape(2, 3).T,
        "part": np.array([2, 3, 4], np.float32),
        "half": np.array([0.5, -2], np.float16),
        "bf": np.array([1.5, -3], np.float32),
        "count": np.array(7),
        "flag": np.array([True, False]),
        "par": np.ones(2, np.float32),
        "tied": np.arange(6, dtype=np.float32).reshape(2, 3) / 4,
    }
    assert list(tensors) == list(expected)
    for name, value in expected.items():
        assert tensors[name].dtype == value.dtype, name
        np.testing.assert_array_equal(tensors[name], value, strict=True)
    assert not tensors["plain"].flags.writeable


class Attack:
    """Pickled as a call of any function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("nested", [True, False])
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path: Path, protocol, nested):
    sentinel = tmp_path / SENTINEL
    attack = Attack(os.mkdir, str(sentinel))
    program = pickle.dumps({"bert.weight": attack} if nested else attack, protocol)
    path = write_zip(tmp_path / "pytorch_model.bin", program, {})
    with pytest.raises(InputError, match=r"refused without running any of it"):
        read_pytorch(path)
    assert not sentinel.exists()
    pickle.loads(program)  # to be sure that it was an attack
    assert sentinel.exists()


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (b"cposix\nsystem\n(X\x02\x00\x00\x00id" + b"tR.", "posix.system"),
        (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.", "builtins.eval"),
        (b"(cposix\nsystem\nX\x02\x00\x00\x00ido.", "posix.system"),
        (b"(X\x02\x00\x00\x00idiposix\nsystem\n.", "opcode INST"),
        (b"ctorch.storage\n_load_from_bytes\n(C\x01ztR.", "_load_from_bytes"),
        (b"ccollections\nOrderedDict\n(ctorch\nFloatStorage\ntR.", "call of collections"),
        (b"ctorch\nFloatStorage\n}b.", "sets the attributes"),
        (b"ctorch\nFloatStorage\n)\x81.", "opcode NEWOBJ"),
        (b"ctorch\nFloatStorage\n)R.", "call of torch.FloatStorage"),
        (b"]K\x01R.", "a call without arguments"),
        (b"N.", "NoneType"),
        (b"}X\x01\x00\x00\x00aK\x01s.", "'a' is not a named tensor"),
        (b"}", "ends without a value|damaged"),
        (b"((.", "unbalanced|damaged"),
        (b"", "ends without|damaged"),
        (b"0.", "POP|damaged"),
        (b"K\x01K\x02s.", "damaged|other than a mapping"),
        (b"}(K\x01K\x02K\x03u.", "other than a mapping"),
        (b"K\x01K\x02a.", "other than a list"),
        (b"h\x05.", "damaged"),
        (b"X\x01\x00\x00\x00aQ.", "other than a storage"),
        (ENDLESS + b")R.", "a call of tuple"),
        (DEEP + b")R.", "a call of tuple"),
        (ENDLESS + b"X\x01\x00\x00\x00a\x93.", "name is not text"),
    ],
)
def test_programs_that_no_state_dict_needs(tmp_path: Path, program, reason):
    path = write_zip(tmp_path / "model.bin", program, {})
    with pytest.raises(InputError, match=f"refused without running any of it: .*({reason})"):
        read_pytorch(path)


def one(tmp_path: Path, program: bytes, data: bytes = b"\0" * 24) -> Path:
    return write_zip(tmp_path / "model.bin", dict_program({"w": program}), {"0": data})


def test_the_programs_of_these_tests_are_those_of_pytorch(tmp_path: Path):
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    path = one(tmp_path, tensor_program("0", (2, 3)), values.tobytes())
    np.testing.assert_array_equal(read_pytorch(path)["w"], values)


@pytest.mark.parametrize(
    "program",
    [
        tensor_program("0", (7,), count=6),
        tensor_program("0", (6,), offset=1),
        tensor_program("0", (2, 3), stride=(4, 1)),
        tensor_program("0", (2, 3), stride=(3,)),
    ],
    ids=["long", "offset", "stride", "axes"],
)
def test_tensors_outside_their_storage(tmp_path: Path, program):
    with pytest.raises(InputError, match=r"'w' of shape .* lies outside its storage of 6 numbers"):
        read_pytorch(one(tmp_path, program))


def test_a_small_file_cannot_claim_much_memory(tmp_path: Path):
    program = tensor_program("0", (10**9, 6), count=6, stride=(0, 1))
    with pytest.raises(InputError, match=r"repeats the 6 numbers .* \.contiguous\(\)"):
        read_pytorch(one(tmp_path, program))


def test_a_record_twice(tmp_path: Path):
    path = one(tmp_path, tensor_program("0", (2, 3)))
    with (
        zipfile.ZipFile(path, "a") as archive,
        pytest.warns(UserWarning, match="Duplicate name"),
    ):
        archive.writestr("archive/data/0", b"\1" * 24)
    with pytest.raises(InputError, match="holds a record twice"):
        read_pytorch(path)


@pytest.mark.parametrize("negative", ["shape", "stride", "offset"])
def test_negative_sizes(tmp_path: Path, negative):
    options = {"shape": (2,), "count": 6, "stride": (1,), "offset": 1}
    options[negative] = -1 if negative == "offset" else (-1,)
    with pytest.raises(InputError, match="refused"):
        read_pytorch(one(tmp_path, tensor_program("0", **options)))


def test_storage_of_another_size(tmp_path: Path):
    with pytest.raises(InputError, match="storage '0' has 24 bytes, expected 5 × 4"):
        read_pytorch(one(tmp_path, tensor_program("0", (5,))))


def test_missing_storage(tmp_path: Path):
    with pytest.raises(InputError, match="record 'data/1' is missing"):
        read_pytorch(one(tmp_path, tensor_program("1", (6,))))


def test_unknown_storage_type(tmp_path: Path):
    with pytest.raises(InputError, match=r"torch\.QuantStorage"):
        read_pytorch(one(tmp_path, tensor_program("0", (6,), storage="QuantStorage")))


def test_a_name_twice(tmp_path: Path):
    once = text("w") + tensor_program("0", (6,))
    program = b"\x80\x02}(" + once + once + b"u."
    with pytest.raises(InputError, match="'w' occurs twice"):
        read_pytorch(write_zip(tmp_path / "model.bin", program, {"0": b"\0" * 24}))


def test_a_shape_that_is_no_tuple_of_integers(tmp_path: Path):
    program = tensor_program("0", (2, 3)).replace(integers(2, 3), text("x"), 1)
    with pytest.raises(InputError, match="not a tuple of counts"):
        read_pytorch(one(tmp_path, program))


def test_big_endian(tmp_path: Path):
    path = tmp_path / "model.bin"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", dict_program({"w": tensor_program("0", (3,))}))
        archive.writestr("m/byteorder", "big")
        archive.writestr("m/data/0", struct.pack(">3f", 1, 2, 3))
    np.testing.assert_array_equal(read_pytorch(path)["w"], np.array([1, 2, 3], np.float32))


def test_damaged_data_are_noticed(genuine: Path):
    whole = bytearray(genuine.read_bytes())
    place = whole.index(np.float32(1.25).tobytes())  # the last number of "plain"
    whole[place] ^= 1
    genuine.write_bytes(whole)
    with pytest.raises(InputError, match="record 'data/0' is damaged"):
        read_pytorch(genuine)


def test_cut_file(genuine: Path):
    genuine.write_bytes(genuine.read_bytes()[:-200])
    with pytest.raises(InputError, match="not a zip checkpoint"):
        read_pytorch(genuine)


def test_compressed_records_and_foreign_zips(tmp_path: Path):
    program = dict_program({"w": tensor_program("0", (6,))})
    packed = write_zip(
        tmp_path / "a.bin", program, {"0": b"\0" * 24}, compression=zipfile.ZIP_DEFLATED
    )
    with pytest.raises(InputError, match="is compressed"):
        read_pytorch(packed)
    with zipfile.ZipFile(tmp_path / "b.bin", "w") as archive:
        archive.writestr("readme", "hello")
    with pytest.raises(InputError, match="not a PyTorch checkpoint"):
        read_pytorch(tmp_path / "b.bin")


def test_old_format_and_no_file(tmp_path: Path):
    (tmp_path / "old.bin").write_bytes(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.")
    with pytest.raises(InputError, match=r"before 1\.6"):
        read_pytorch(tmp_path / "old.bin")
    with pytest.raises(MissingInputError, match="no such checkpoint"):
        read_pytorch(tmp_path / "none.bin")


@given(
    program=st.binary(max_size=60)
    | st.lists(
        st.sampled_from(
            [
                b"(",
                b"}",
                b"]",
                b")",
                b"N",
                b"K\x01",
                b"t",
                b"u",
                b"s",
                b"e",
                b"a",
                b"R",
                b"Q",
                b"b",
                b"q\x00",
                b"h\x00",
                b"\x85",
                b"\x86",
                b"\x93",
                b"\x94",
                b"X\x01\x00\x00\x00a",
                b"ctorch\nFloatStorage\n",
                b"ccollections\nOrderedDict\n",
                b"0",
                b"2",
            ]
        ),
        max_size=20,
    ).map(lambda parts: b"".join(parts) + b".")
)
@settings(max_examples=300, deadline=None)
def test_any_program_gives_tensors_or_one_clear_error(tmp_path_factory, program):
    path = write_zip(tmp_path_factory.getbasetemp() / "fuzz.bin", program, {})
    caught = None
    try:
        found = read_pytorch(path)
    except InputError as exc:
        caught = str(exc)
    if caught is None:
        assert found == {}
    else:
        assert "refused without running any of it" in caught
        assert "\n" not in caught
