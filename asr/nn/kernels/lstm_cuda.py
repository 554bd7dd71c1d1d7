"""The recurrent steps of an LSTM on a GPU: all frames of a layer in one Triton kernel.

cuDNN starts several kernels in every step. Batches of speech are small, so the CPU takes longer to start these kernels
than the GPU takes to run them. Here, a team of programs computes all frames of some utterances in one direction. Each
program computes some of the units; their columns of the recurrent matrix stay in the cache. In every frame the programs
of a team wait for each other once, so that each can read the outputs of all. Teams do not wait for each other.

All programs must run at once, or a team would wait for ever. So there are no more programs than multiprocessors, unless
each program is a team of its own (after Diamos et al. 2016, https://proceedings.mlr.press/v48/diamos16.html). Work that
needs no waiting is done in large products (`asr/nn/lstm.py`).

`G` is 4 gates in PyTorch's order: input, forget, cell, output. `R` is the number of utterances of a team.

Behaviour of Triton that is not documented and used here, seen with Triton 3.6:

- `tl.debug_barrier` synchronises the threads of a program and makes their writes visible to each other.
- `tl.atomic_add` is ordered as acquire and release between programs, so that `_meet` publishes the writes before it.

If one of them changes, training on a GPU gives wrong numbers or hangs; tests/test_lstm.py compares it with nn.LSTM.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from asr.features import frame_mask

HAS_BF16 = torch.cuda.is_bf16_supported(including_emulation=False)
_ROWS = 16  # utterances of a team: the smallest matrix that a matrix unit multiplies
_LEAST_UNITS = 32  # hidden units of a program; with fewer, waiting takes longer than computing


def forward_steps(gates: Tensor, biases: Tensor, matrices: list[Tensor], lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the memory cells and outputs `(B, S, D * H)` of all directions, with zeros in padding.

    `gates (B, S, D * G * H)` contain the products of the inputs; the function overwrites them with the gates.
    `biases (D, G * H)` and the recurrent `matrices (G * H, H)`, one for each direction, are float32.
    """
    batch, size, _ = gates.shape
    directions, hidden_size = len(matrices), matrices[0].shape[1]
    gates.masked_fill_(~frame_mask(lengths, size)[:, :, None], 0)
    cells = gates.new_zeros(batch, size, directions * hidden_size, dtype=torch.float32)
    hidden = gates.new_zeros(batch, size, directions * hidden_size)
    transposed = torch.stack(matrices).to(gates.dtype).transpose(1, 2).contiguous()  # (D, H, G * H)
    grid, arrivals = _teams(gates, directions, hidden_size)
    _forward[grid](
        gates, biases, transposed, lengths, cells, hidden, arrivals, batch, size,
        H=hidden_size, D=directions, R=_ROWS, **_blocks(gates.dtype, hidden_size, grid[2], inputs=hidden_size, most=64),
        num_stages=3,
    )  # fmt: skip
    return cells, hidden


def backward_steps(gates: Tensor, matrices: list[Tensor], lengths: Tensor, cells: Tensor, above: Tensor) -> Tensor:
    """Overwrite `gates` with the gradients of the products of the inputs; return the gradients of the biases.

    `above (B, S, D * H)` are the gradients of the outputs. The gradients of the biases are `(D, G * H)`, float32. All
    other arguments are as in `forward_steps`.
    """
    batch, size, _ = gates.shape
    directions, (inputs, hidden_size) = len(matrices), matrices[0].shape
    memory = cells.new_zeros(batch, directions * hidden_size)  # gradient of the memory in the current frame
    grid, arrivals = _teams(gates, directions, hidden_size)
    _backward[grid](
        gates, torch.stack(matrices).to(gates.dtype), lengths, cells, above, memory, arrivals, batch, size,
        H=hidden_size, D=directions, R=_ROWS, **_blocks(gates.dtype, hidden_size, grid[2], inputs=inputs, most=128),
        num_stages=4,
    )  # fmt: skip
    return gates.sum((0, 1), dtype=torch.float32).view(directions, -1)


def _teams(gates: Tensor, directions: int, hidden_size: int) -> tuple[tuple[int, int, int], Tensor]:
    """Choose the grid: directions, teams per direction, and programs per team; also allocate a counter for each team.

    The grid has as many programs per team as can run at once.
    """
    teams, at_once = -(-len(gates) // _ROWS), 1
    if gates.device.type == "cuda":
        at_once = torch.cuda.get_device_properties(gates.device).multi_processor_count
    numbers = (number for number in range(hidden_size // _LEAST_UNITS, 1, -1) if hidden_size % (16 * number) == 0)
    programs = next((number for number in numbers if directions * teams * number <= at_once), 1)
    return (directions, teams, programs), torch.zeros(directions * teams, dtype=torch.int32, device=gates.device)


def _blocks(dtype: torch.dtype, hidden_size: int, programs: int, *, inputs: int, most: int) -> dict[str, int]:
    """Choose the sizes of the matrix blocks that a program loads at once, so that they fit the memory of small GPUs."""
    own = hidden_size // programs
    units = min(
        own & -own, most if dtype == torch.bfloat16 else most // 2
    )  # the largest power of two that divides `own`, limited
    size = 64 * most if dtype == torch.bfloat16 else 16 * most
    return {
        "PROGRAMS": programs,
        "UNITS": units,
        "K": min(inputs & -inputs, size // units),
        "num_warps": 4 if units <= 32 else 8,
    }


@triton.jit
def _meet(arrivals, number):
    """Wait until the programs of a team have arrived `number` times; then each sees the writes of all."""
    tl.debug_barrier()
    arrived = tl.atomic_add(arrivals, 1) + 1
    while arrived < number:
        arrived = tl.atomic_add(arrivals, 0)
    tl.debug_barrier()


@triton.jit
def _tanh(x):
    return 2 * tl.sigmoid(2 * x) - 1


@triton.jit(do_not_specialize=["batch", "size"])
def _forward(
    gates, biases, matrix, lengths, cells, hidden, arrivals, batch, size,
    H: tl.constexpr, D: tl.constexpr, R: tl.constexpr, PROGRAMS: tl.constexpr, UNITS: tl.constexpr, K: tl.constexpr,
):  # fmt: skip
    """Run one program of a team: `forward_steps` for `H / PROGRAMS` units, `UNITS` units and `K` inputs at once."""
    direction = tl.program_id(0)
    arrivals += direction * tl.num_programs(1) + tl.program_id(1)
    first = tl.program_id(2) * (H // PROGRAMS)
    rows = tl.program_id(1) * R + tl.arange(0, R)
    length = tl.load(lengths + rows, mask=rows < batch, other=0).to(tl.int32)
    matrix += direction * H * 4 * H
    biases += direction * 4 * H
    step = 0
    while step < tl.max(length, 0):
        running = (step < length)[:, None]
        frame = tl.where(direction == 1, length - 1 - step, step)
        before = tl.where(direction == 1, frame + 1, frame - 1)
        here = (rows * size + frame) * D + direction
        there = (rows * size + before) * D + direction
        for block in range(0, H // PROGRAMS, UNITS):
            units = first + block + tl.arange(0, UNITS)[None, :]
            i = tl.zeros((R, UNITS), tl.float32)
            f = tl.zeros((R, UNITS), tl.float32)
            g = tl.zeros((R, UNITS), tl.float32)
            o = tl.zeros((R, UNITS), tl.float32)
            for k in range(0, H, K):
                inputs = k + tl.arange(0, K)
                h = tl.load(hidden + there[:, None] * H + inputs[None, :], mask=running & (step > 0), other=0.0)
                w = matrix + inputs[:, None] * (4 * H) + units
                i = tl.dot(h, tl.load(w), i, input_precision="ieee")
                f = tl.dot(h, tl.load(w + H), f, input_precision="ieee")
                g = tl.dot(h, tl.load(w + 2 * H), g, input_precision="ieee")
                o = tl.dot(h, tl.load(w + 3 * H), o, input_precision="ieee")
            x = gates + here[:, None] * (4 * H) + units
            b = biases + units
            i = tl.sigmoid(i + tl.load(b) + tl.load(x, mask=running, other=0.0).to(tl.float32))
            f = tl.sigmoid(f + tl.load(b + H) + tl.load(x + H, mask=running, other=0.0).to(tl.float32))
            g = _tanh(g + tl.load(b + 2 * H) + tl.load(x + 2 * H, mask=running, other=0.0).to(tl.float32))
            o = tl.sigmoid(o + tl.load(b + 3 * H) + tl.load(x + 3 * H, mask=running, other=0.0).to(tl.float32))
            c = tl.load(cells + there[:, None] * H + units, mask=running & (step > 0), other=0.0)
            c = f * c + i * g
            tl.store(x, i.to(x.dtype.element_ty), mask=running)
            tl.store(x + H, f.to(x.dtype.element_ty), mask=running)
            tl.store(x + 2 * H, g.to(x.dtype.element_ty), mask=running)
            tl.store(x + 3 * H, o.to(x.dtype.element_ty), mask=running)
            tl.store(cells + here[:, None] * H + units, c, mask=running)
            tl.store(hidden + here[:, None] * H + units, (o * _tanh(c)).to(x.dtype.element_ty), mask=running)
        step += 1
        _meet(arrivals, PROGRAMS * step)


@triton.jit(do_not_specialize=["batch", "size"])
def _backward(
    gates, matrix, lengths, cells, above, memory, arrivals, batch, size,
    H: tl.constexpr, D: tl.constexpr, R: tl.constexpr, PROGRAMS: tl.constexpr, UNITS: tl.constexpr, K: tl.constexpr,
):  # fmt: skip
    """Run one program of a team: `backward_steps` for `H / PROGRAMS` units; `memory (B, D * H)` starts with zeros."""
    direction = tl.program_id(0)
    arrivals += direction * tl.num_programs(1) + tl.program_id(1)
    first = tl.program_id(2) * (H // PROGRAMS)
    rows = tl.program_id(1) * R + tl.arange(0, R)
    length = tl.load(lengths + rows, mask=rows < batch, other=0).to(tl.int32)
    matrix += direction * 4 * H * H
    last = tl.max(length, 0)
    step = last - 1
    while step >= 0:
        running = (step < length)[:, None]
        followed = (step + 1 < length)[:, None]
        frame = tl.where(direction == 1, length - 1 - step, step)
        before = tl.where(direction == 1, frame + 1, frame - 1)
        after = tl.where(direction == 1, frame - 1, frame + 1)
        here = (rows * size + frame) * D + direction
        there = (rows * size + before) * D + direction
        ahead = (rows * size + after) * D + direction
        for block in range(0, H // PROGRAMS, UNITS):
            units = first + block + tl.arange(0, UNITS)[None, :]
            h = tl.zeros((R, UNITS), tl.float32)  # the gradient of this frame's outputs
            for k in range(0, 4 * H, K):
                outputs = k + tl.arange(0, K)
                a = tl.load(gates + ahead[:, None] * (4 * H) + outputs[None, :], mask=followed, other=0.0)
                w = tl.load(matrix + outputs[:, None] * H + units)
                h = tl.dot(a, w, h, input_precision="ieee")
            h += tl.load(above + here[:, None] * H + units, mask=running, other=0.0).to(tl.float32)
            x = gates + here[:, None] * (4 * H) + units
            i = tl.load(x, mask=running, other=0.0).to(tl.float32)
            f = tl.load(x + H, mask=running, other=0.0).to(tl.float32)
            g = tl.load(x + 2 * H, mask=running, other=0.0).to(tl.float32)
            o = tl.load(x + 3 * H, mask=running, other=0.0).to(tl.float32)
            y = _tanh(tl.load(cells + here[:, None] * H + units, mask=running, other=0.0))
            c = tl.load(cells + there[:, None] * H + units, mask=running & (step > 0), other=0.0)
            m = memory + (rows[:, None] * D + direction) * H + units
            dc = tl.load(m, mask=running, other=0.0) + h * o * (1 - y * y)
            tl.store(m, dc * f, mask=running)
            tl.store(x, (dc * g * i * (1 - i)).to(x.dtype.element_ty), mask=running)
            tl.store(x + H, (dc * c * f * (1 - f)).to(x.dtype.element_ty), mask=running)
            tl.store(x + 2 * H, (dc * i * (1 - g * g)).to(x.dtype.element_ty), mask=running)
            tl.store(x + 3 * H, (h * y * o * (1 - o)).to(x.dtype.element_ty), mask=running)
        _meet(arrivals, PROGRAMS * (last - step))
        step -= 1
