"""What compiled loops ask of the processor that Numba has no word for."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


@intrinsic
def prefetch(_context: Any, data: Any, index: Any) -> tuple[Any, Any]:
    """Have one byte of an array and its neighbours fetched into the cache, without waiting.

    For loops over places far apart: while one is worked on, the next ones are on their way. A
    place outside the array, or not mapped, does no harm. Callable from compiled code only, as
    ``prefetch(data, index)``.

    https://llvm.org/docs/LangRef.html#llvm-prefetch-intrinsic
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        byte, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
        call = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        place = builder.bitcast(builder.gep(array.data, [arguments[1]]), byte)
        # To be read, kept close, data and not instructions.
        builder.call(call, [place, flag(0), flag(3), flag(1)])
        return context.get_dummy_value()

    return types.void(data, index), generate
