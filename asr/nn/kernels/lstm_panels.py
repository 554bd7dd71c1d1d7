"""Matrices in panels of 16 columns, for the products in the steps of an LSTM; numba compiles the code.

A matrix `(rows, columns)` becomes `(columns / 16, rows, 16)`, so that a row of a panel is one vector. In bfloat16 each
step of a product reads two rows, which are interleaved: `(columns / 16, rows / 2, 16, 2)`.

Private functions of numba and llvmlite: see `lstm_gates.py`.
"""

from typing import Any

from llvmlite import ir
from numba import njit, types

from asr.nn.kernels import LANES
from asr.nn.kernels.lstm_gates import Emitter, intrinsic, round_to_bfloat16

_INDEX, _PAIR = ir.IntType(64), ir.IntType(32)


@njit(cache=True, nogil=True)
def lay_out(matrix: Any, w: Any) -> None:
    """Write the panels of a float32 matrix `(rows, columns)` into `w`."""
    rows, columns = matrix.shape
    flat, numbers = w.reshape(-1), matrix.reshape(-1)
    in_step = rows // w.shape[1]
    for row in range(0, rows, in_step):
        for column in range(0, columns, LANES):
            _set_rows(flat, column * rows + row * LANES, numbers, row * columns + column, columns)


@njit(cache=True, nogil=True)
def lay_out_transposed(matrix: Any, w: Any) -> None:
    """Write the panels of the transpose of a float32 matrix `(columns, rows)` into `w`."""
    columns, rows = matrix.shape
    flat, numbers = w.reshape(-1), matrix.reshape(-1)
    in_step = rows // w.shape[1]
    for column in range(columns):
        first = (column - column % LANES) * rows + column % LANES * in_step
        for row in range(0, rows, LANES):
            _set_column(flat, first + row * LANES, numbers, column * rows + row)


@intrinsic
def _set_rows(typing: Any, w: Any, at: Any, matrix: Any, place: Any, columns: Any) -> Any:
    """Write 16 numbers of a matrix row, from `place` on, into a row of a panel.

    For bfloat16, also write the 16 numbers of the next row, interleaved with the first ones.
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        emit = Emitter(context, builder, signature, arguments)
        _, at, _, place, columns = arguments
        numbers = emit.load(2, place)
        if w.dtype == types.uint16:
            below = emit.load(2, builder.add(place, columns))
            turns = [lane + LANES * part for lane in range(LANES) for part in (0, 1)]
            numbers = builder.shuffle_vector(numbers, below, ir.Constant(ir.VectorType(_PAIR, 2 * LANES), turns))
            numbers = round_to_bfloat16(builder, numbers)
        to = builder.bitcast(builder.gep(emit.arrays[0], [at]), numbers.type.as_pointer())
        builder.store(numbers, to, align=w.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(w, types.int64, matrix, types.int64, types.int64), generate


@intrinsic
def _set_column(typing: Any, w: Any, at: Any, matrix: Any, place: Any) -> Any:
    """Write 16 numbers of the matrix, from `place` on, into a column of a panel."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        emit = Emitter(context, builder, signature, arguments)
        _, at, _, place = arguments
        numbers = emit.load(2, place)
        if w.dtype == types.uint16:
            numbers = builder.bitcast(round_to_bfloat16(builder, numbers), ir.VectorType(_PAIR, LANES // 2))
        to = builder.bitcast(builder.gep(emit.arrays[0], [at]), numbers.type.element.as_pointer())
        for row in range(numbers.type.count):
            number = builder.extract_element(numbers, ir.Constant(_PAIR, row))
            builder.store(number, builder.gep(to, [ir.Constant(_INDEX, row * LANES)]), align=w.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(w, types.int64, matrix, types.int64), generate
