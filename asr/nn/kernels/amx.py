"""Products of bfloat16 matrices on the matrix unit of Intel's server processors (AMX), in code that numba compiles.

The unit has eight registers, called tiles, of up to 16 rows of 64 bytes. One instruction multiplies a tile of 16 rows
of `a` with a tile of 32 rows and 16 columns, and adds the product to a tile of float32 sums. Vector code needs a
hundred instructions or more for such a product. Sources: Intel, Intrinsics Guide; Linux,
Documentation/arch/x86/xstate.rst.

Private functions of numba and llvmlite used here, seen with numba 0.68 and llvmlite 0.50:

- `numba.core.cgutils.get_or_insert_function` declares an LLVM intrinsic in a module.
- `context.make_array(kind)(context, builder, array).data` is the address of an array's data in compiled code.
- `context.get_dummy_value()` is the value of a function that returns nothing.
- `types.Literal.literal_value`, with `prefer_literal=True`, passes the tile number at compile time.
- `IntType.as_pointer` and `builder.bitcast` build typed pointers, which llvmlite 0.50 still accepts beside opaque ones.
- `llvm.x86.tile…` and `llvm.x86.tdpbf16ps` are intrinsics of LLVM 22; LLVM renames its intrinsics at times.

If one of them changes, the first training step in bf16 on such a processor raises numba's TypingError or
LoweringError, or an AttributeError. `training.kernels=torch` uses none of this code.
"""

import ctypes
import sys
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import extending, njit, types
from numba.core import cgutils

from asr.nn.kernels.processor import HAS_AMX

intrinsic: Any = extending.intrinsic  # numba's type annotations omit the arguments of the created function
_ARCH_PRCTL, _ASK, _TILES = 158, 0x1023, 18  # system call; ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
_ROWS = 16  # rows in a tile
IN_TILE = 32  # bfloat16 numbers in a row of a tile


@cache
def permitted() -> bool:
    """Ask Linux for permission to use tiles in all threads of this process; return whether it is granted.

    Compiled code takes the answer as an argument, because numba caches the code for processes without permission too.
    """
    if not HAS_AMX or sys.platform != "linux":
        return False
    return int(ctypes.CDLL(None, use_errno=True).syscall(_ARCH_PRCTL, _ASK, _TILES)) == 0


def _emit(builder: ir.IRBuilder, name: str, *arguments: Any) -> None:
    kinds = [argument.type for argument in arguments]
    function = ir.FunctionType(ir.VoidType(), kinds)
    builder.call(cgutils.get_or_insert_function(builder.module, function, f"llvm.x86.{name}"), arguments)


def _number(tile: Any) -> ir.Constant:
    return ir.Constant(ir.IntType(8), tile.literal_value)


def _address(context: Any, builder: ir.IRBuilder, kind: Any, array: Any, index: Any) -> Any:
    place = builder.gep(context.make_array(kind)(context, builder, array).data, [index])
    return builder.bitcast(place, ir.IntType(8).as_pointer())


@intrinsic
def _configure(typing: Any, config: Any) -> Any:
    """Set the rows and the bytes per row of each tile from the 64 bytes of `config`, and clear the tiles."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        start = ir.Constant(ir.IntType(64), 0)
        _emit(builder, "ldtilecfg", _address(context, builder, signature.args[0], arguments[0], start))
        return context.get_dummy_value()

    return types.void(config), generate


@intrinsic
def _release(typing: Any) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        _emit(builder, "tilerelease")
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic(prefer_literal=True)
def _zero(typing: Any, tile: Any) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        _emit(builder, "tilezero", _number(tile))
        return context.get_dummy_value()

    return types.void(tile), generate


def _access(name: str) -> Any:
    """Create a function that copies the rows of a tile from or to a flat array, from `index` on.

    `stride` is the number of bytes from one row to the next.
    """

    @intrinsic(prefer_literal=True)
    def access(typing: Any, tile: Any, array: Any, index: Any, stride: Any) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
            place = _address(context, builder, signature.args[1], *arguments[1:3])
            _emit(builder, name, _number(tile), place, arguments[3])
            return context.get_dummy_value()

        return types.void(tile, array, types.int64, types.int64), generate

    return access


_load, _store = _access("tileloadd64"), _access("tilestored64")


@intrinsic(prefer_literal=True)
def _multiply_add(typing: Any, sums: Any, a: Any, b: Any) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        _emit(builder, "tdpbf16ps", _number(sums), _number(a), _number(b))
        return context.get_dummy_value()

    return types.void(sums, a, b), generate


@njit(cache=True, nogil=True)
def multiply(a: Any, rows: int, w: Any, out: Any) -> None:
    """Compute `out[:rows] = a[:rows] @ matrix` from the panels `w` of a matrix; its rows are a multiple of 32.

    `a (R, K)` and `w (panels, K / 2, 32)` are bfloat16 in uint16; `out (R, panels * 16)` is float32. The layout of
    panels is described in `asr/nn/kernels/lstm_panels.py`.
    """
    panels, size, columns = w.shape[0], a.shape[1], out.shape[1]
    a_flat, w_flat, out_flat = a.reshape(-1), w.reshape(-1), out.reshape(-1)
    panel_size = w_flat.size // panels
    config = np.zeros(64, np.uint8)
    config[0] = 1  # palette 1, the only one that exists
    config[16:32:2] = 64  # bytes in a row of each tile
    row = 0
    while row < rows:
        above, below = min(_ROWS, rows - row), min(_ROWS, max(0, rows - row - _ROWS))
        for tile in range(8):  # tiles 0 to 3 hold sums, 4 and 5 rows of `a`, 6 and 7 the matrix
            config[48 + tile] = _ROWS if tile >= 6 else above if below == 0 or tile in (0, 1, 4) else below
        _configure(config)
        a_at, a_below = row * size, (row + _ROWS) * size
        for panel in range(0, panels - 1, 2):
            _zero(0)
            _zero(1)
            w_at = panel * panel_size
            out_at = row * columns + panel * _ROWS
            if below == 0:
                for k in range(0, size, IN_TILE):
                    _load(4, a_flat, a_at + k, 2 * size)
                    _load(6, w_flat, w_at + k * _ROWS, 64)
                    _multiply_add(0, 4, 6)
                    _load(7, w_flat, w_at + panel_size + k * _ROWS, 64)
                    _multiply_add(1, 4, 7)
            else:
                _zero(2)
                _zero(3)
                for k in range(0, size, IN_TILE):
                    _load(4, a_flat, a_at + k, 2 * size)
                    _load(6, w_flat, w_at + k * _ROWS, 64)
                    _multiply_add(0, 4, 6)
                    _load(7, w_flat, w_at + panel_size + k * _ROWS, 64)
                    _multiply_add(1, 4, 7)
                    _load(5, a_flat, a_below + k, 2 * size)
                    _multiply_add(2, 5, 6)
                    _multiply_add(3, 5, 7)
                _store(2, out_flat, out_at + _ROWS * columns, 4 * columns)
                _store(3, out_flat, out_at + _ROWS * columns + _ROWS, 4 * columns)
            _store(0, out_flat, out_at, 4 * columns)
            _store(1, out_flat, out_at + _ROWS, 4 * columns)
        row += 2 * _ROWS
    _release()
