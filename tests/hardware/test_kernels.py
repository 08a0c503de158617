"""Products on packed weights against integers of unlimited size."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qlab.hardware.kernels import available, pack_matrix, product
from qlab.hardware.kernels.weights import longest


def limits(bits: int) -> tuple[int, int]:
    return -(1 << bits - 1), (1 << bits - 1) - 1


def draw(rng: np.random.Generator, bits: int, rows: int, columns: int, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    if bits == 1:
        w, x = (rng.choice([-1, 1], shape) for shape in ((rows, columns), (batch, columns)))
    else:
        low, high = limits(bits)
        w, x = rng.integers(low, high + 1, (rows, columns)), rng.integers(-128, 128, (batch, columns))
    return torch.from_numpy(w), torch.from_numpy(x).to(torch.int8)


def reference(w: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """NumPy's 64-bit integers: no sum here comes near their range."""
    return torch.from_numpy(x.numpy().astype(np.int64) @ w.numpy().astype(np.int64).T)


@pytest.mark.slow
@pytest.mark.row("C6")
@pytest.mark.parametrize("bits", [8, 4, 2, 1])
@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 40),
    columns=st.integers(1, 600),
    batch=st.integers(1, 7),
    threads=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_backend_is_exact_for_every_shape(bits, rows, columns, batch, threads, seed):
    w, x = draw(np.random.default_rng(seed), bits, rows, columns, batch)
    packed = pack_matrix(w, bits)
    assert torch.equal(packed.codes(), w.to(torch.int32))
    for backend in available():
        assert torch.equal(product(packed, x, backend, threads).long(), reference(w, x)), backend


@pytest.mark.row("C6")
@pytest.mark.parametrize("bits", [4, *(pytest.param(b, marks=pytest.mark.slow) for b in (8, 2, 1))])
def test_a_small_product_by_the_plain_and_the_fast_path(bits):
    w, x = draw(np.random.default_rng(bits), bits, 5, 70, 3)
    packed = pack_matrix(w, bits)
    assert torch.equal(product(packed, x, "numpy").long(), reference(w, x))
    assert torch.equal(product(packed, x[0]), product(packed, x)[0])


@pytest.mark.slow
@pytest.mark.row("C6")
@pytest.mark.parametrize("bits", [8, 4, 2])
def test_the_worst_sums_of_the_longest_rows_do_not_overflow(bits):
    """Largest code beside largest activation, all along a row: 16 bits would saturate, 32 do not."""
    low, high = limits(bits)
    columns = min(longest(bits), 200_000)
    for code in (low, high):
        for activation in (-128, 127):
            w = torch.full((1, columns), code)
            x = torch.full((columns,), activation, dtype=torch.int8)
            for backend in available():
                assert product(pack_matrix(w, bits), x, backend).tolist() == [code * activation * columns], backend


@pytest.mark.slow
@pytest.mark.row("C6")
def test_onnx_runtime_agrees_where_it_does_not_saturate():
    import onnxruntime as ort
    from onnx import TensorProto, helper

    w, x = draw(np.random.default_rng(0), 4, 24, 96, 5)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.INT8, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.INT32, (5, 24))],
        [helper.make_tensor("w", TensorProto.INT8, (96, 24), w.T.to(torch.int8).numpy().tobytes(), raw=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 10
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": x.numpy()})
    assert torch.equal(product(pack_matrix(w, 4), x), torch.from_numpy(y))


@pytest.mark.row("C6")
def test_a_packed_matrix_takes_its_bits_and_no_more():
    for bits in (8, 4, 2, 1):
        codes = torch.ones(64, 256, dtype=torch.int64)
        assert pack_matrix(codes, bits).data.nbytes == 64 * 256 * bits // 8


@pytest.mark.row("C6")
def test_what_cannot_be_computed_is_refused_in_words():
    w = torch.ones(2, 3, dtype=torch.int64)
    packed, x = pack_matrix(w, 4), torch.ones(3, dtype=torch.int8)
    with pytest.raises(ValueError, match="one of 8, 4, 2, 1, got 3"):
        pack_matrix(w, 3)
    with pytest.raises(ValueError, match="must lie in -8 … 7, got 8 … 8"):
        pack_matrix(8 * w, 4)
    with pytest.raises(ValueError, match="−1 or \\+1"):
        pack_matrix(0 * w, 1)
    with pytest.raises(TypeError, match=r"tensor of integers, got torch\.float32"):
        pack_matrix(w.float(), 4)
    with pytest.raises(ValueError, match="matrix that is not empty"):
        pack_matrix(w[:0], 4)
    with pytest.raises(ValueError, match="at most 65793 columns"):
        pack_matrix(torch.ones(1, 65794, dtype=torch.int8), 8)
    with pytest.raises(TypeError, match=r"int8, got torch\.float32"):
        product(packed, x.float())
    with pytest.raises(ValueError, match=r"shape \(3,\) or \(batch, 3\), got \(2,\)"):
        product(packed, x[:2])
    with pytest.raises(ValueError, match="backend must be one of"):
        product(packed, x, "cuda")
    with pytest.raises(ValueError, match="threads must be at least 1"):
        product(packed, x, threads=0)
    with pytest.raises(ValueError, match="−1 and \\+1 only"):
        product(pack_matrix(w, 1), 2 * x)
