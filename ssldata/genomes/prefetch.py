"""Prefetching for compiled loops: a processor instruction that Numba does not offer."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


@intrinsic
def prefetch(_context: Any, data: Any, index: Any) -> tuple[Any, Any]:
    """Start fetching the cache line that holds ``data[index]``, without waiting for it.

    For loops over scattered positions: while one is processed, the next ones are being fetched.
    A position outside the array or not mapped is harmless. To be called from compiled code only,
    as ``prefetch(data, index)``.

    https://llvm.org/docs/LangRef.html#llvm-prefetch-intrinsic
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        byte, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
        call = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        place = builder.bitcast(builder.gep(array.data, [arguments[1]]), byte)
        # Arguments: for reading, highest locality, data cache.
        builder.call(call, [place, flag(0), flag(3), flag(1)])
        return context.get_dummy_value()

    return types.void(data, index), generate
