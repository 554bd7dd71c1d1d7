"""The steps of an LSTM that wait for each other, compiled: forward through the frames, and back.

What does not wait, the products with the inputs and those of the weights' gradients, are large matrix products and
stay PyTorch's (`asr/nn/lstm.py`). Here is what is left: in each step the product of a few rows with the recurrent
matrix, and the gates. One call computes one direction of some utterances, on one thread, from the first real frame of
each to its last: directions and utterances do not wait for each other, and padding is not computed.

No fast mathematics here: how it rounds depends on what else is compiled with a function, so that a process that has
just compiled would train another model than one that finds the result of that.

Numbers are float32, or bfloat16 in uint16, with sums in float32 either way. Matrices are in panels (`lstm_panels.py`),
of which a step of a product takes one row, or two of bfloat16, as the instruction VDPBF16PS does, and so do tiles
(`amx.py`). `G` is 4 gates, in PyTorch's order: input, forget, cell, output.
"""

from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import extending, njit, types
from numba.core import cgutils

from asr.nn.kernels import amx
from asr.nn.kernels.lstm_gates import LANES, BFloat, gates_at, gradients_at
from asr.nn.kernels.lstm_panels import lay_out, lay_out_transposed

intrinsic: Any = extending.intrinsic  # whose own types leave out the arguments of what it makes
_FEATURES = llvmlite.binding.get_host_cpu_features()
_SIDE = 4 if _FEATURES.get("avx512f") else 1  # panels side by side, and
_ROWS = 6  # rows below each other, whose sums fit in the registers: 24 of 32, or 6 of 16 pairs


def _tile(panels: int) -> Any:
    """Some rows of `a` times some panels of `w`, all sums in registers, for `rows` of 1 to `_ROWS`.

    `out[r, p, :] = sum over steps of a[r, step] * w[p, step, :]`. Arrays are flat; `_at` is where the tile begins.
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
    number = integer if bf16 else ir.FloatType()  # of `a` in one step: two rows of w take a pair of bfloat16
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
    while panel < panels:  # which stays in the first cache for all rows
        side = panel + _SIDE <= panels
        row = 0
        for tile in range(tiles, 0, -1):
            number = (rows - row + tile - 1) // tile  # evenly: a single row leaves most registers idle
            a_at, w_at = row * a.shape[1], panel * (w_flat.size // panels)
            out_at = row * out.shape[1] + panel * LANES
            if side:
                _tile_side(number, a_flat, a_at, a.shape[1], w_flat, w_at, steps, out_flat, out_at, out.shape[1])
            else:
                _tile_one(number, a_flat, a_at, a.shape[1], w_flat, w_at, steps, out_flat, out_at, out.shape[1])
            row += number
        panel += _SIDE if side else 1


def _multiply(a: Any, rows: int, w: Any, out: Any, tiles: bool) -> None:
    """What `multiply` compiles to, by the type of its numbers."""


@extending.overload(_multiply)
def _choose(a: Any, rows: Any, w: Any, out: Any, tiles: Any) -> Any:
    def by_vectors(a: Any, rows: Any, w: Any, out: Any, tiles: Any) -> None:
        _multiply_vectors(a, rows, w, out)

    def by_tiles(a: Any, rows: Any, w: Any, out: Any, tiles: Any) -> None:
        if tiles and a.shape[1] % amx.IN_TILE == 0 and w.shape[0] % 2 == 0:
            amx.multiply(a, rows, w, out)
        else:
            _multiply_vectors(a, rows, w, out)

    return by_tiles if amx.HAS_AMX and a.dtype == types.uint16 else by_vectors


@njit(cache=True, nogil=True)
def multiply(a: Any, rows: int, w: Any, out: Any, tiles: bool) -> None:
    """`out[:rows] = a[:rows] @ matrix`, of the panels `w` of the matrix; by `tiles` if they are permitted."""
    _multiply(a, rows, w, out, tiles)


@njit(cache=True, nogil=True)
def _zeros(rows: int, columns: int, like: Any) -> Any:
    """A matrix that begins with a line of the cache, as tiles take twice as long to read what lies across two."""
    zeros = np.zeros(rows * columns + 64 // like.itemsize, like.dtype)
    first = -zeros.ctypes.data % 64 // like.itemsize
    return zeros[first : first + rows * columns].reshape(rows, columns)


@njit(cache=True, nogil=True)
def forward(
    x: Any, bias: Any, matrix: Any, lengths: Any, rows: Any, back: bool, w: Any, tiles: bool, cells: Any, hidden: Any
) -> None:
    """Runs one direction of the utterances `rows`, longest first.

    `x (B, S, G * H)`, what the inputs give, becomes the gates, `cells` and `hidden` `(B, S, H)` are written: zeros in
    padding. `bias (G * H)` and the recurrent `matrix (G * H, H)` are float32; `w` is room for its panels, `tiles` as in
    `multiply`.
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
    """Runs one direction of the utterances `rows`, longest first, back from its last step to the first.

    `gates (B, S, G * H)` become the gradients of what the inputs give, zeros in padding; `above (B, S, H)` are the
    gradients of `hidden`, and those of the bias are added to `bias (G * H)`, float32. The rest is as in `forward`.
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
            number += 1  # its sums are still zeros
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
