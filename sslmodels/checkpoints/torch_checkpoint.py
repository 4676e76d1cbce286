"""Reads PyTorch's zip checkpoints (``pytorch_model.bin``) without PyTorch and without unpickling.

A pickle is a program: to load one from the internet is to run its author's code. Here an
interpreter walks its opcodes, knows the few that a state dict needs, treats every name as inert
text, and builds nothing but descriptions of tensors. Anything else is refused before it has any
effect. Tensor data are memory-mapped.

Format: PyTorch's serialisation notes (a zip archive of uncompressed records ``data.pkl``,
``data/<key>`` and ``byteorder``); opcodes: the ``pickletools`` module of the standard library.
"""

from __future__ import annotations

import math
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ssldata.base.errors import InputError, MissingInputError

#: Storage class of PyTorch → NumPy type; bfloat16, which NumPy lacks, is widened to float32.
_STORAGES = {
    "FloatStorage": "f4",
    "DoubleStorage": "f8",
    "HalfStorage": "f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}

#: A state dict's program takes about 100 bytes per tensor; one of this size is something else.
_MAX_PROGRAM = 64 * 2**20

#: Bytes of a zip entry's local header before its name (PKWARE APPNOTE 4.3.7).
_LOCAL_HEADER = struct.Struct("<26xHH")


@dataclass(frozen=True)
class _Name:
    """A global of the program: text, which is never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(frozen=True)
class _Storage:
    kind: str
    key: str
    count: int


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


_ORDERED_DICT = _Name("collections", "OrderedDict")
_TENSOR = _Name("torch._utils", "_rebuild_tensor_v2")
_PARAMETER = _Name("torch._utils", "_rebuild_parameter")
_KNOWN = {_ORDERED_DICT, _TENSOR, _PARAMETER, *(_Name("torch", name) for name in _STORAGES)}
_MARK = object()


class _Refused(Exception):
    """Why a program is not that of a plain state dict."""


def _counts(value: Any) -> tuple[int, ...]:
    """Return a tuple of non-negative integers, or refuse."""
    if not isinstance(value, tuple) or not all(type(v) is int and v >= 0 for v in value):
        raise _Refused("a tensor's shape or stride is not a tuple of counts")
    return value


class _Interpreter:
    """Walks a pickle program and returns the inert value it describes."""

    def __init__(self, program: bytes) -> None:
        self._program = program
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        try:
            for opcode, argument, position in pickletools.genops(self._program):
                if opcode.name == "STOP":
                    return self._pop()
                self._step(opcode.name, argument, position or 0)
        except _Refused:
            raise
        except (ValueError, IndexError, KeyError, TypeError, UnicodeDecodeError) as exc:
            raise _Refused(f"the program is damaged ({exc})") from exc
        raise _Refused("the program ends without a value")

    def _step(self, name: str, argument: Any, position: int) -> None:
        if name in _PUSH:
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name]())
        elif name in {"PROTO", "FRAME"}:
            pass
        elif name in {"BINPUT", "LONG_BINPUT", "PUT"}:
            self._memo[argument] = self._stack[-1]
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = self._stack[-1]
        elif name in {"BINGET", "LONG_BINGET", "GET"}:
            self._stack.append(self._memo[argument])
        elif name in _ACTIONS:
            _ACTIONS[name](self, argument)
        else:
            raise _Refused(f"opcode {name} at byte {position}, which no state dict needs")

    def _pop(self) -> Any:
        value = self._stack.pop()
        if value is _MARK:
            raise _Refused("the program is damaged (unbalanced stack)")
        return value

    def _pop_to_mark(self) -> list[Any]:
        values = []
        while (value := self._stack.pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    def _pop_tuple(self, count: int) -> None:
        values = [self._pop() for _ in range(count)]
        self._stack.append(tuple(values[::-1]))

    def _global(self, module: str, name: str) -> None:
        found = _Name(module, name)
        if found not in _KNOWN:
            raise _Refused(f"it refers to {found}, which is not part of a state dict")
        self._stack.append(found)

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        if not (isinstance(module, str) and isinstance(name, str)):
            raise _Refused("a global whose name is not text")
        self._global(module, name)

    def _set_items(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict) or len(values) % 2:
            raise _Refused("items are set on something other than a mapping")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if not isinstance(key, str | int):
                raise _Refused(f"a key is not a name but {type(key).__name__}")
            if key in target:
                raise _Refused(f"the name {key!r} occurs twice")
            target[key] = value

    def _append(self, values: list[Any]) -> None:
        if not isinstance(self._stack[-1], list):
            raise _Refused("values are appended to something other than a list")
        self._stack[-1].extend(values)

    def _build(self) -> None:
        self._pop()
        # The only state in a state dict is that of the mapping: versions of modules, not needed.
        if not isinstance(self._stack[-1], dict):
            raise _Refused("it sets the attributes of an object")

    def _storage(self) -> None:
        what = self._pop()
        if not (isinstance(what, tuple) and len(what) == 5 and what[0] == "storage"):
            raise _Refused("a reference to something other than a storage")
        _, kind, key, _, count = what
        if not (isinstance(kind, _Name) and kind.name in _STORAGES):
            raise _Refused("a storage of no known type")
        if not isinstance(key, str) or type(count) is not int or count < 0:
            raise _Refused("a storage without name or size")
        self._stack.append(_Storage(kind.name, key, count))

    def _reduce(self) -> None:
        arguments, function = self._pop(), self._pop()
        if not isinstance(arguments, tuple):
            raise _Refused("a call without arguments")
        if function == _ORDERED_DICT and not arguments:
            self._stack.append({})
        elif function == _TENSOR and len(arguments) in {6, 7}:
            storage, offset, shape, stride = arguments[:4]
            if not isinstance(storage, _Storage) or type(offset) is not int or offset < 0:
                raise _Refused("a tensor without a storage")
            self._stack.append(_Tensor(storage, offset, _counts(shape), _counts(stride)))
        elif function == _PARAMETER and len(arguments) == 3 and isinstance(arguments[0], _Tensor):
            self._stack.append(arguments[0])
        else:
            # Of anything but a name only the type is reported: the text of nested tuples can be
            # endless.
            called = function if isinstance(function, _Name) else type(function).__name__
            raise _Refused(f"a call of {called} that no state dict needs")


_PUSH = frozenset(
    (
        *("BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "BINFLOAT"),
        *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    )
)
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "MARK": lambda: _MARK,
}
_ACTIONS: dict[str, Callable[[_Interpreter, Any], None]] = {
    "TUPLE": lambda self, _: self._stack.append(tuple(self._pop_to_mark())),
    "TUPLE1": lambda self, _: self._pop_tuple(1),
    "TUPLE2": lambda self, _: self._pop_tuple(2),
    "TUPLE3": lambda self, _: self._pop_tuple(3),
    "APPEND": lambda self, _: self._append([self._pop()]),
    "APPENDS": lambda self, _: self._append(self._pop_to_mark()),
    "SETITEM": lambda self, _: self._set_items([self._pop(), self._pop()][::-1]),
    "SETITEMS": lambda self, _: self._set_items(self._pop_to_mark()),
    "GLOBAL": lambda self, argument: self._global(*argument.split(" ", 1)),
    "STACK_GLOBAL": lambda self, _: self._stack_global(),
    "BINPERSID": lambda self, _: self._storage(),
    "REDUCE": lambda self, _: self._reduce(),
    "BUILD": lambda self, _: self._build(),
}


class _Archive:
    """The records of a zip checkpoint, memory-mapped and checked against their CRC-32."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path = path
        self._bytes: NDArray[np.uint8] = np.memmap(path, np.uint8, "r")
        programs = [n for n in archive.namelist() if n == "data.pkl" or n.endswith("/data.pkl")]
        if len(programs) != 1:
            raise InputError(
                f"{path}: a zip file, but not a PyTorch checkpoint ({len(programs)} records "
                "data.pkl, expected 1)"
            )
        self._prefix = programs[0].removesuffix("data.pkl")
        self._entries = {info.filename: info for info in archive.infolist()}
        if len(self._entries) < len(archive.infolist()):
            raise InputError(f"{path}: holds a record twice, which PyTorch never writes")

    def record(self, name: str) -> NDArray[np.uint8]:
        """Return the bytes of a record."""
        info = self._entries.get(self._prefix + name)
        if info is None:
            raise InputError(f"{self._path}: record {name!r} is missing; download the file again")
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise InputError(
                f"{self._path}: record {name!r} is compressed, which PyTorch never writes"
            )
        header = self._bytes[info.header_offset : info.header_offset + _LOCAL_HEADER.size]
        if len(header) == _LOCAL_HEADER.size:
            first = info.header_offset + _LOCAL_HEADER.size + sum(_LOCAL_HEADER.unpack(header.data))
            data = self._bytes[first : first + info.file_size]
            if len(data) == info.file_size and zlib.crc32(data.data) == info.CRC:
                return data
        raise InputError(f"{self._path}: record {name!r} is damaged; download the file again")

    @property
    def order(self) -> Literal["<", ">"]:
        """Byte order of the tensors; old files, without the record, are little-endian."""
        if f"{self._prefix}byteorder" not in self._entries:
            return "<"
        text = self.record("byteorder").tobytes()
        if text not in {b"little", b"big"}:
            raise InputError(f"{self._path}: byte order {text!r}; expected 'little' or 'big'")
        return "<" if text == b"little" else ">"


def read_pytorch(path: Path) -> dict[str, NDArray[Any]]:
    """Return the tensors of a PyTorch checkpoint.

    Parameters
    ----------
    path
        A file written by ``torch.save(state_dict, path)``, PyTorch 1.6 or newer.

    Returns
    -------
    dict
        Name → array, in the file's order, read-only and memory-mapped; bfloat16 as float32.

    Raises
    ------
    MissingInputError
        No such file.
    InputError
        Not a zip checkpoint, damaged, or its program does more than describe tensors; no part of a
        refused program is run.
    """
    if not path.is_file():
        raise MissingInputError(f"{path}: no such checkpoint")
    try:
        with zipfile.ZipFile(path) as opened:
            archive = _Archive(path, opened)
    except (zipfile.BadZipFile, ValueError, OverflowError) as exc:
        if isinstance(exc, InputError):
            raise
        raise InputError(
            f"{path}: not a zip checkpoint of PyTorch ({exc}); files of PyTorch before 1.6 are "
            "bare pickles and are not read: save it again, or use model.safetensors"
        ) from exc
    try:
        tensors = _described(archive.record("data.pkl").tobytes())
    except _Refused as exc:
        raise InputError(
            f"{path}: refused without running any of it: {exc}; use model.safetensors, or a file "
            "you trust"
        ) from exc
    storages: dict[str, tuple[_Storage, NDArray[Any]]] = {}
    found = {}
    for name, tensor in tensors.items():
        try:
            found[name] = _array(path, archive, storages, name, tensor)
        except InputError as exc:
            if repr(name) in str(exc):
                raise
            raise InputError(f"{exc} (tensor {name!r})") from exc
    return found


def _described(program: bytes) -> dict[str, _Tensor]:
    """Return the tensors a program describes, or refuse."""
    if len(program) > _MAX_PROGRAM:
        raise _Refused(f"its program has {len(program)} bytes")
    found = _Interpreter(program).run()
    if not isinstance(found, dict):
        raise _Refused(f"it holds a {type(found).__name__}, not named tensors")
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, _Tensor):
            raise _Refused(
                f"{name!r} is not a named tensor; from a training checkpoint, save the model's "
                "state_dict alone"
            )
    return found


def _array(
    path: Path,
    archive: _Archive,
    storages: dict[str, tuple[_Storage, NDArray[Any]]],
    name: str,
    tensor: _Tensor,
) -> NDArray[Any]:
    storage = tensor.storage
    if storage.key not in storages:
        storages[storage.key] = (storage, _storage_array(path, archive, storage))
    known, values = storages[storage.key]
    last = tensor.offset + sum(
        (size - 1) * step for size, step in zip(tensor.shape, tensor.stride, strict=False)
    )
    empty = 0 in tensor.shape
    if (
        known != storage
        or len(tensor.shape) != len(tensor.stride)
        or (not empty and last >= len(values))
    ):
        raise InputError(
            f"{path}: tensor {name!r} of shape {tensor.shape} lies outside its storage of "
            f"{len(values)} numbers; download the file again"
        )
    if math.prod(tensor.shape) > len(values):
        # Repeated numbers would let a small file claim any amount of memory.
        raise InputError(
            f"{path}: tensor {name!r} of shape {tensor.shape} repeats the {len(values)} numbers of "
            "its storage; save it with .contiguous()"
        )
    if empty:
        return np.empty(tensor.shape, values.dtype)
    return np.lib.stride_tricks.as_strided(
        values[tensor.offset :],
        tensor.shape,
        [step * values.itemsize for step in tensor.stride],
        writeable=False,
    )


def _storage_array(path: Path, archive: _Archive, storage: _Storage) -> NDArray[Any]:
    kind = _STORAGES[storage.kind]
    stored = np.dtype("u2" if kind == "bfloat16" else kind).newbyteorder(archive.order)
    data = archive.record(f"data/{storage.key}")
    if len(data) != storage.count * stored.itemsize:
        raise InputError(
            f"{path}: storage {storage.key!r} has {len(data)} bytes, expected {storage.count} × "
            f"{stored.itemsize}; download the file again"
        )
    values = data.view(stored)
    return widen(values) if kind == "bfloat16" else values


def widen(bfloat16: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return bfloat16 numbers, given as their bits, as float32: they are its upper half."""
    return (bfloat16.astype(np.uint32) << np.uint32(16)).view(np.float32)
