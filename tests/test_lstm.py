"""The compiled LSTM steps give the outputs and gradients of PyTorch's LSTM on packed sequences."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import DEVICES, REPOSITORY
from oracles import packed_reference, randomise, run_packed
from torch import Tensor, nn

from asr.nn.kernels import amx, lstm_kernel, processor
from asr.nn.lstm import train_lstm
from asr.nn.rnn import RNNLayer

LENGTHS = torch.tensor([23, 7, 1, 22, 7, 3, 12])
needs_bf16 = pytest.mark.skipif(not processor.HAS_BF16, reason="this processor has no bfloat16 products")
needs_amx = pytest.mark.skipif(not amx.permitted(), reason="this processor has no tiles")
CUDA = DEVICES[1]
WHERE = [  # device, precision
    pytest.param("cpu", torch.float32),
    pytest.param("cpu", torch.bfloat16, marks=needs_bf16),
    pytest.param("cuda", torch.float32, marks=CUDA.marks),
    pytest.param("cuda", torch.bfloat16, marks=CUDA.marks),
]


def layer_of(hidden: int, *, bidirectional: bool = True) -> RNNLayer:
    layer = RNNLayer(input_size=12, hidden_size=hidden, bidirectional=bidirectional)
    randomise(layer, 0, 0.3)
    return layer


def gradients(rnn: nn.Module, outputs: Tensor, x: Tensor) -> tuple[Tensor, ...]:
    """Return the gradients of a weighted sum of outputs by inputs and weights."""
    weights = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(1)).to(outputs.device)
    return torch.autograd.grad((outputs.float() * weights).sum(), [x, *rnn.parameters()])


def apart(found: Tensor, expected: Tensor) -> float:
    return float(((found.float().cpu() - expected).norm() / expected.norm()).detach())


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("hidden", [16, 48, 80, 128])  # panels side by side, alone, and both
@pytest.mark.parametrize(("device", "precision"), WHERE)
@pytest.mark.parametrize("repeats", [1, 4])  # 28 utterances take two programs on a GPU
def test_outputs_and_gradients_are_those_of_packed_sequences(
    hidden: int, bidirectional: bool, device: str, precision: torch.dtype, repeats: int
) -> None:
    layer, lengths = layer_of(hidden, bidirectional=bidirectional), LENGTHS.repeat(repeats)
    x = torch.randn(len(lengths), 25, 12, generator=torch.Generator().manual_seed(2), requires_grad=True)
    reference = packed_reference(layer)
    expected = run_packed(reference, x, lengths)
    expected_gradients = gradients(reference, expected, x)
    layer.to(device)
    with torch.autocast(device, torch.bfloat16, enabled=precision == torch.bfloat16):
        outputs, state = layer(there := x.detach().to(device).requires_grad_(), lengths.to(device))
    assert state is None and outputs.dtype == precision, "PyTorch's own was taken"
    tolerance = 3e-6 if precision == torch.float32 else 2e-2
    assert apart(outputs, expected) < tolerance
    assert not outputs[1, 7:].any(), "padding"
    names = ["x", *(name for name, _ in layer.named_parameters())]
    for name, *pair in zip(names, gradients(layer, outputs, there), expected_gradients, strict=True):
        assert apart(*pair) < tolerance, name


def test_the_lstm_of_torch_gives_the_same_outputs_and_gradients() -> None:
    ours, theirs = layer_of(32), RNNLayer(input_size=12, hidden_size=32, kernels="torch")
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(len(LENGTHS), 25, 12, requires_grad=True)
    mask = (torch.arange(25) < LENGTHS[:, None])[:, :, None]
    outputs, state = theirs(x, LENGTHS)
    assert state is not None, "our steps were taken"
    expected, state = ours(x, LENGTHS)
    assert state is None, "our steps were not taken"
    assert apart(expected, outputs * mask) < 3e-6
    for pair in zip(gradients(ours, expected * mask, x), gradients(theirs, outputs * mask, x), strict=True):
        assert apart(*pair) < 3e-6


def test_no_two_gradients_share_memory() -> None:
    """Gradient clipping scales each gradient in place: a shared one would be scaled twice."""
    layer = layer_of(32)
    layer(torch.randn(len(LENGTHS), 25, 12), LENGTHS)[0].sum().backward()
    places = [parameter.grad.data_ptr() for parameter in layer.parameters()]
    assert len(set(places)) == len(places)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_neither_batch_nor_order_nor_threads_matter(threads: int) -> None:
    layer = layer_of(32)
    x = torch.randn(len(LENGTHS), 25, 12)
    before = torch.get_num_threads()
    together, _ = layer(x, LENGTHS)
    try:
        torch.set_num_threads(threads)
        backwards, _ = layer(x.flip(0), LENGTHS.flip(0))
        for row, length in enumerate(LENGTHS.tolist()):
            alone, _ = layer(x[row : row + 1, :length], LENGTHS[row : row + 1])
            torch.testing.assert_close(together[row, :length], alone[0], atol=1e-6, rtol=0)
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(together, backwards.flip(0), atol=1e-6, rtol=0)


def test_the_same_bits_every_time(device: torch.device) -> None:
    layer = layer_of(64).to(device)
    x = torch.randn(len(LENGTHS), 25, 12, device=device, requires_grad=True)
    first, second = (gradients(layer, layer(x, LENGTHS.to(device))[0], x) for _ in range(2))
    assert all(map(torch.equal, first, second))


def test_a_process_that_compiles_computes_what_one_does_that_finds_the_code(tmp_path: Path) -> None:
    program = (
        "import hashlib, torch; from asr.nn.rnn import RNNLayer; torch.manual_seed(0); "
        "layer = RNNLayer(input_size=8, hidden_size=64); lengths = torch.tensor([40, 31, 7]); "
        "x = torch.randn(3, 40, 8, requires_grad=True); (layer(x, lengths)[0] ** 2).sum().backward(); "
        "parts = [p.grad.numpy().tobytes() for p in [x, *layer.parameters()]]; "
        "print(hashlib.sha256(b''.join(parts)).hexdigest())"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    first, second = (
        subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
        for _ in range(2)
    )
    assert list(tmp_path.rglob("lstm_kernel.backward*")), "nothing was kept"
    assert first.stdout == second.stdout


def test_training_and_evaluation_are_one_model() -> None:
    layer = layer_of(32)
    x = torch.randn(len(LENGTHS), 25, 12)
    mask = (torch.arange(25) < LENGTHS[:, None])[:, :, None]
    trained, _ = layer(x, LENGTHS)
    layer.eval()
    evaluated, state = layer(x, LENGTHS)
    torch.testing.assert_close(trained * mask, evaluated * mask, atol=1e-5, rtol=0)
    assert state is not None


def test_a_processor_that_llvm_does_not_know_has_no_features(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> None:
        raise RuntimeError("failed to get host cpu features.")

    monkeypatch.setattr("llvmlite.binding.get_host_cpu_features", unknown)
    assert processor._host_features() == {}


def test_gradients_can_be_taken_once() -> None:
    layer = layer_of(16)
    outputs = train_lstm(torch.randn(2, 5, 12), torch.tensor([5, 2]), [layer.forward_rnn])  # type: ignore[list-item]
    outputs.sum().backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="once"):
        outputs.sum().backward()


@pytest.mark.parametrize("tiles", [False, pytest.param(True, marks=needs_amx)])
@pytest.mark.parametrize("size", [48, 64])  # tiles take 32
@pytest.mark.parametrize("rows", [*range(1, 14), 16, 17, 32, 33, 50])
@pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.bfloat16, marks=needs_bf16)])
def test_the_product_of_panels(rows: int, size: int, tiles: bool, dtype: torch.dtype) -> None:
    generator = np.random.default_rng(rows)
    a, matrix = generator.normal(size=(rows, size)), generator.normal(size=(size, 6 * 16))
    in_step = 2 if dtype == torch.bfloat16 else 1
    panels = matrix.reshape(size // in_step, in_step, 6, 16).transpose(2, 0, 3, 1)  # (panels, steps, 16, in_step)
    a, panels = torch.tensor(a).to(dtype), torch.tensor(np.ascontiguousarray(panels)).to(dtype).flatten(2)
    out = np.full((rows + 1, 96), 7.0, np.float32)
    as_numbers = [x.view(torch.uint16).numpy() if in_step == 2 else x.numpy() for x in (a, panels)]
    lstm_kernel.multiply(as_numbers[0], rows, as_numbers[1], out, tiles)
    tolerance = 1e-4 if dtype == torch.float32 else 0.2
    np.testing.assert_allclose(out[:rows], a.double().numpy() @ matrix, atol=tolerance)
    assert (out[rows] == 7).all(), "rows that were not asked for"


def test_the_steps_of_a_gpu_are_those_of_a_cpu() -> None:
    """Run by Triton's interpreter, which needs no GPU, in a process of its own: it is chosen when kernels are made."""
    pytest.importorskip("triton", reason="no Triton, which comes with PyTorch on Linux")
    program = (
        "import torch; from asr.nn.kernels import lstm_cpu, lstm_cuda; "
        "torch.manual_seed(0); lengths = torch.tensor([5, 3, 1]); "
        "gates, above = torch.randn(3, 5, 2 * 4 * 48), torch.randn(3, 5, 2 * 48); other = gates.clone(); "
        "biases, matrices = torch.randn(2, 4 * 48), list(torch.randn(2, 4 * 48, 48) / 5); "
        "ours = lstm_cuda.forward_steps(gates, biases, matrices, lengths); "
        "theirs = lstm_cpu.forward_steps(other, biases, matrices, lengths); "
        "torch.testing.assert_close(ours, theirs); "
        "ours = lstm_cuda.backward_steps(gates, matrices, lengths, ours[0], above); "
        "theirs = lstm_cpu.backward_steps(other, matrices, lengths, theirs[0], above); "
        "torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5); "
        "torch.testing.assert_close(gates, other, atol=1e-5, rtol=1e-5)"
    )
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    subprocess.run([sys.executable, "-c", program], env=environment, cwd=REPOSITORY, check=True)
