"""Products on packed weights against integers of unlimited size."""

import multiprocessing
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qlab.hardware import kernels
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
        codes = torch.ones(64, 512, dtype=torch.int64)
        assert pack_matrix(codes, bits).data.nbytes == 64 * 512 * bits // 8


@pytest.mark.row("C6")
@pytest.mark.parametrize("bits", [8, 4, 2, 1])
def test_weights_begin_and_end_with_a_cache_line(bits):
    packed = pack_matrix(torch.ones(5, 70, dtype=torch.int64), bits)
    assert packed.data.ctypes.data % 64 == 0
    assert packed.data.shape[0] % 4 == 0
    assert packed.data.shape[1] % 64 == 0


@pytest.mark.row("C6")
@pytest.mark.parametrize("name", ["avx2", "avx512"])
def test_a_change_of_the_tiles_reaches_the_compiled_kernels(name):
    """Numba compiles anew when the kernels' own file has changed, and does not see the file that they call."""
    folder = Path(kernels.__file__).parent
    found = f"TILES_SUM = 0x{zlib.crc32((folder / 'tiles.py').read_bytes()):08X}\n"
    assert found in (folder / f"{name}.py").read_text(encoding="utf-8"), f"write {found.strip()} into {name}.py"


@pytest.mark.row("C6")
def test_a_forked_process_multiplies_with_threads_of_its_own():
    """Threads do not survive a fork: a pool that the parent has started would never answer."""
    w, x = draw(np.random.default_rng(0), 4, 64, 70, 1)
    packed = pack_matrix(w, 4)
    expected = product(packed, x, "numba", threads=2)  # the parent's threads run
    pool = multiprocessing.get_context("fork").Pool(1)
    with pool:
        found = pool.apply_async(_child, (packed, x.numpy())).get(timeout=30)
    assert np.array_equal(found, expected.numpy())


def _child(packed, x):
    return product(packed, torch.from_numpy(x), "numba", threads=2).numpy()


@pytest.mark.row("C6")
def test_backends_are_offered_by_what_the_processor_has(monkeypatch):
    from qlab.hardware.kernels import products

    vector = {"avx2": True, "avx512bw": True, "avx512vnni": True, "avx512vpopcntdq": True}
    for missing, last in {"avx2": "numba", "avx512vnni": "avx2", "avx512vpopcntdq": "avx2", "none": "avx512"}.items():
        monkeypatch.setattr(products.llvm, "get_host_cpu_features", lambda m=missing: vector | {m: False})
        products.available.cache_clear()
        assert products.available()[-1] == last
    monkeypatch.undo()
    products.available.cache_clear()


@pytest.mark.slow
@pytest.mark.row("C6")
def test_a_small_measurement_names_every_kernel_and_its_limit():
    from qlab.hardware.kernels.measure import measure

    found = {s.kernel: s for s in measure(64, 512, 2, turns=3)}
    kernels = {f"{name} {b}" for name in ("int8", "int4", "int2", "binary") for b in available()[1:]}
    assert set(found) == kernels | {"fp32", "onnxruntime int8", "torch int8"}
    assert found["fp32"].ratio == 1
    assert {s.limit for s in found.values()} == {1, 4, 8, 16, 32}
    assert all(s.low <= s.ratio <= s.high and s.reading > 0 for s in found.values())
    times = {s: found["fp32"].milliseconds / s.milliseconds for s in found.values()}
    clear = [s for s in found.values() if max(times[s], 1 / times[s]) > 3]  # so small a product is slower when packed
    assert clear
    assert all((s.ratio > 1) == (times[s] > 1) for s in clear)


@pytest.mark.row("C6")
def test_what_was_recorded_reaches_the_targets():
    """Ratios to PyTorch's fp32 on one thread: 3, 5 and 18 for a vector, 6 for two matrices of bits."""
    from qlab.hardware.kernels.measure import recorded_speeds

    best: dict[tuple[str, int, int], float] = {}
    for s in next(iter(recorded_speeds().values())):
        if s.threads == 1:
            key = (s.kernel.split()[0], s.rows, s.batch)
            best[key] = max(best.get(key, 0.0), s.ratio)
    for rows in (4096, 8192):
        assert best["int8", rows, 1] >= 3
        assert best["int4", rows, 1] >= 5
        assert best["binary", rows, 1] >= 18
    assert best["binary", 1024, 1024] >= 6


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
