"""The recurrent steps of an LSTM on a CPU, compiled by numba: forward through the frames, and backward.

PyTorch computes the products of the inputs and the gradients of the weights, which are large matrix products
(`asr/nn/lstm.py`). In each step there remain the product of a few rows with the recurrent matrix, and the gates. One
call computes one direction of some utterances on one thread, from the first real frame of each utterance to its last.
So directions and utterances do not wait for each other, and padding is not computed.

The code is compiled without `fastmath`. With `fastmath`, rounding depends on what else is compiled with a function, so
a process that compiles would train a different model from a process that finds compiled code in the cache.

Numbers are float32, or bfloat16 in uint16; sums are float32. Matrices are in panels (`lstm_panels.py`). A step of a
product reads one row of a panel, or two rows of bfloat16, as the instruction VDPBF16PS and tiles (`amx.py`) do. `G` is
4 gates, in PyTorch's order: input, forget, cell, output.

Private functions of numba and llvmlite used here, beside those of `lstm_gates.py`, seen with numba 0.68 and llvmlite
0.50:

- `llvm.fma.v16f32` and `llvm.x86.avx512bf16.dpbf16ps.512` are intrinsics of LLVM 22. The second multiplies vectors
  `<32 x bfloat>`. If LLVM changes the operands, it refuses to verify the module: a RuntimeError in the first step.
- `zeros.ctypes.data` in compiled code is the address of an array.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import extending, njit, types
from numba.core import cgutils

from asr.nn.kernels import LANES, amx
from asr.nn.kernels.lstm_gates import BFloat, gates_at, gradients_at, intrinsic
from asr.nn.kernels.lstm_panels import lay_out, lay_out_transposed
from asr.nn.kernels.processor import HAS_AMX, HAS_AVX512

# The sums of `_ROWS` rows and `_SIDE` panels fit in registers: 24 of 32 with AVX-512, else 6 of 16 pairs.
_SIDE = 4 if HAS_AVX512 else 1  # panels in a block
_ROWS = 6  # most rows in a block


def _tile(panels: int) -> Any:
    """Create a function that multiplies 1 to `_ROWS` rows of `a` with `panels` panels of `w`, with sums in registers.

    It computes `out[r, p, :] = sum over steps of a[r, step] * w[p, step, :]`. Arrays are flat; the arguments ending in
    `_at` are the indices at which the block begins.
    """

    @intrinsic
    def tile(
        typing: Any, rows: Any, a: Any, a_at: Any, a_stride: Any, w: Any, w_at: Any, steps: Any,
        out: Any, out_at: Any, out_stride: Any,
    ) -> Any:  # fmt: skip
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
            rows, *values = (
                context.make_array(kind)(context, builder, value).data if isinstance(kind, types.Array) else value
                for kind, value in zip(signature.args, arguments, strict=True)
            )
            after = builder.append_basic_block("after")
            choose = builder.switch(rows, after)
            for number in range(1, _ROWS + 1):
                block = builder.append_basic_block(f"rows{number}")
                choose.add_case(ir.Constant(rows.type, number), block)
                builder.position_at_end(block)
                _generate_tile(builder, number, panels, a.dtype == types.uint16, *values)
                builder.branch(after)
            builder.position_at_end(after)
            return context.get_dummy_value()

        index = types.int64
        return types.void(index, a, index, index, w, index, index, out, index, index), generate

    return tile


def _generate_tile(
    builder: ir.IRBuilder, rows: int, panels: int, bf16: bool,
    a: Any, a_at: Any, a_stride: Any, w: Any, w_at: Any, steps: Any, out: Any, out_at: Any, out_stride: Any,
) -> None:  # fmt: skip
    index, integer = ir.IntType(64), ir.IntType(32)
    sums_type = ir.VectorType(ir.FloatType(), LANES)
    number = integer if bf16 else ir.FloatType()  # a step reads a pair of bfloat16 or a float32 of each row
    in_step = ir.Constant(index, 2 if bf16 else 1)
    column = ir.VectorType(number, LANES)

    def at(array: Any, start: Any, times: int, stride: Any, kind: ir.Type) -> Any:
        place = builder.add(start, builder.mul(ir.Constant(index, times), stride))
        return builder.bitcast(builder.gep(array, [place]), kind.as_pointer())

    panel = builder.mul(builder.mul(steps, in_step), ir.Constant(index, LANES))
    before, loop = builder.block, builder.append_basic_block("step")
    builder.branch(loop)
    builder.position_at_end(loop)
    step = builder.phi(index)
    sums = [builder.phi(sums_type) for _ in range(rows * panels)]
    step.add_incoming(ir.Constant(index, 0), before)
    following = builder.add(step, ir.Constant(index, 1))
    step.add_incoming(following, loop)
    a_step = builder.add(a_at, builder.mul(step, in_step))
    w_step = builder.add(w_at, builder.mul(step, builder.mul(in_step, ir.Constant(index, LANES))))
    columns = [builder.load(at(w, w_step, p, panel, column), align=2 if bf16 else 4) for p in range(panels)]
    totals = []
    for row in range(rows):
        one = builder.load(at(a, a_step, row, a_stride, number), align=2 if bf16 else 4)
        first = builder.insert_element(ir.Constant(column, ir.Undefined), one, ir.Constant(integer, 0))
        everywhere = ir.Constant(ir.VectorType(integer, LANES), [0] * LANES)
        factor = builder.shuffle_vector(first, first, everywhere)
        for p in range(panels):
            total = sums[row * panels + p]
            totals.append(_multiply_add(builder, total, factor, columns[p], bf16))
            total.add_incoming(ir.Constant(sums_type, [0.0] * LANES), before)
            total.add_incoming(totals[-1], loop)
    done = builder.append_basic_block("sums")
    builder.cbranch(builder.icmp_signed("<", following, steps), loop, done)
    builder.position_at_end(done)
    for place, total in enumerate(totals):
        row, p = divmod(place, panels)
        start = builder.add(out_at, ir.Constant(index, p * LANES))
        builder.store(total, at(out, start, row, out_stride, sums_type), align=4)


def _multiply_add(builder: ir.IRBuilder, total: Any, a: Any, b: Any, bf16: bool) -> Any:
    if bf16:
        name, kind = "llvm.x86.avx512bf16.dpbf16ps.512", ir.VectorType(BFloat(), 2 * LANES)
        arguments = [total, builder.bitcast(a, kind), builder.bitcast(b, kind)]
    else:
        name, arguments = f"llvm.fma.v{LANES}f32", [a, b, total]
    function_type = ir.FunctionType(total.type, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, function_type, name), arguments)


_tile_side, _tile_one = _tile(_SIDE), _tile(1)


@njit(cache=True, nogil=True)
def _multiply_vectors(a: Any, rows: int, w: Any, out: Any) -> None:
    panels, steps = w.shape[:2]
    a_flat, w_flat, out_flat = a.reshape(-1), w.reshape(-1), out.reshape(-1)
    tiles = (rows + _ROWS - 1) // _ROWS
    panel = 0
    while panel < panels:  # a panel stays in the first-level cache for all rows
        side = panel + _SIDE <= panels
        row = 0
        for tile in range(tiles, 0, -1):
            number = (rows - row + tile - 1) // tile  # spread rows evenly; a block of one row leaves registers idle
            a_at, w_at = row * a.shape[1], panel * (w_flat.size // panels)
            out_at = row * out.shape[1] + panel * LANES
            if side:
                _tile_side(number, a_flat, a_at, a.shape[1], w_flat, w_at, steps, out_flat, out_at, out.shape[1])
            else:
                _tile_one(number, a_flat, a_at, a.shape[1], w_flat, w_at, steps, out_flat, out_at, out.shape[1])
            row += number
        panel += _SIDE if side else 1


def _multiply(a: Any, rows: int, w: Any, out: Any, tiles: bool) -> None:
    """Stand for one of the functions of `_choose` in compiled code, by the type of the numbers."""


@extending.overload(_multiply)
def _choose(a: Any, rows: Any, w: Any, out: Any, tiles: Any) -> Any:
    def by_vectors(a: Any, rows: Any, w: Any, out: Any, tiles: Any) -> None:
        _multiply_vectors(a, rows, w, out)

    def by_tiles(a: Any, rows: Any, w: Any, out: Any, tiles: Any) -> None:
        if tiles and a.shape[1] % amx.IN_TILE == 0 and w.shape[0] % 2 == 0:
            amx.multiply(a, rows, w, out)
        else:
            _multiply_vectors(a, rows, w, out)

    return by_tiles if HAS_AMX and a.dtype == types.uint16 else by_vectors


@njit(cache=True, nogil=True)
def multiply(a: Any, rows: int, w: Any, out: Any, tiles: bool) -> None:
    """Compute `out[:rows] = a[:rows] @ matrix` from the panels `w` of the matrix; `tiles` permits AMX."""
    _multiply(a, rows, w, out, tiles)


@njit(cache=True, nogil=True)
def _zeros(rows: int, columns: int, like: Any) -> Any:
    """Allocate a matrix of zeros at the start of a cache line; tiles read twice as slowly across two lines."""
    zeros = np.zeros(rows * columns + 64 // like.itemsize, like.dtype)
    first = -zeros.ctypes.data % 64 // like.itemsize
    return zeros[first : first + rows * columns].reshape(rows, columns)


@njit(cache=True, nogil=True)
def forward(
    x: Any, bias: Any, matrix: Any, lengths: Any, rows: Any, back: bool, w: Any, tiles: bool, cells: Any, hidden: Any
) -> None:
    """Run one direction of the utterances with indices `rows`, the longest utterance first.

    The gates overwrite `x (B, S, G * H)`, the products of the inputs. Memory and outputs are written to `cells` and
    `hidden`, both `(B, S, H)`, with zeros in padding. `bias (G * H)` and the recurrent `matrix (G * H, H)` are float32.
    `w` is memory for the panels of the matrix; `tiles` is as in `multiply`.
    """
    lay_out_transposed(matrix, w)
    size = hidden.shape[2]
    cell = np.zeros((len(rows), size), np.float32)
    h = _zeros(len(rows), size, x)
    recurrent = _zeros(len(rows), 4 * size, bias)
    for row in rows:
        hidden[row, lengths[row] :] = 0
        cells[row, lengths[row] :] = 0
    number = len(rows)
    for step in range(lengths[rows[0]]):
        while lengths[rows[number - 1]] <= step:
            number -= 1
        if step:
            multiply(h, number, w, recurrent, tiles)
        for place in range(number):
            row = rows[place]
            frame = lengths[row] - 1 - step if back else step
            for k in range(0, size, LANES):
                gates_at(
                    k, size, x[row, frame], recurrent[place], bias, cell[place],
                    cells[row, frame], hidden[row, frame], h[place],
                )  # fmt: skip


@njit(cache=True, nogil=True)
def backward(
    gates: Any, matrix: Any, lengths: Any, rows: Any, back: bool, w: Any, tiles: bool, cells: Any, above: Any, bias: Any
) -> None:
    """Run one direction of the utterances with indices `rows` from the last step to the first.

    The gradients of the products of the inputs overwrite `gates (B, S, G * H)`, with zeros in padding. `above (B, S,
    H)` are the gradients of `hidden`. The gradients of the bias are added to `bias (G * H)`, float32. All other
    arguments are as in `forward`.
    """
    lay_out(matrix, w)
    size = cells.shape[2]
    cell = np.zeros((len(rows), size), np.float32)
    a = _zeros(len(rows), 4 * size, gates)
    recurrent = _zeros(len(rows), size, bias)
    nothing = np.zeros(size, gates.dtype)
    for row in rows:
        gates[row, lengths[row] :] = 0
    number = 0
    for step in range(lengths[rows[0]] - 1, -1, -1):
        while number < len(rows) and lengths[rows[number]] > step:
            number += 1  # the sums of an utterance that begins here are still zeros
        for place in range(number):
            row = rows[place]
            frame = lengths[row] - 1 - step if back else step
            before = cells[row, frame + 1 if back else frame - 1] if step else nothing
            for k in range(0, size, LANES):
                gradients_at(
                    k, size, gates[row, frame], cells[row, frame], before, above[row, frame],
                    recurrent[place], cell[place], bias, a[place],
                )  # fmt: skip
        if step:
            multiply(a, number, w, recurrent, tiles)
