"""Learned quantizers against finite differences of what they define, PyTorch's own kernels, and closed forms."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qlab import zoo
from qlab.data import load_calibration
from qlab.granularity import PerChannel, PerTensor
from qlab.grids import E4M3, Asymmetric, Symmetric
from qlab.network import Recipe, network_bytes, quantize, report, stored_weight
from qlab.qat import DSQ, LSQ, PACT, QIL, DoReFaActivation, DoReFaWeight, LSQPlus, Relaxed, pact_penalty
from qlab.qat.dorefa import quantize_k
from qlab.qat.lsq import staircase
from qlab.quantizer import Params, Quantizer

SEEDS = st.integers(0, 10_000)


def params(scale, zero_point=0):
    s = torch.as_tensor(scale, dtype=torch.float64).reshape(-1)
    return Params(s, torch.full(s.shape, zero_point, dtype=torch.int32))


def numeric(function, at, h=1e-6):
    """The derivative of `function` by central differences."""
    return (function(at + h) - function(at - h)) / (2 * h)


@pytest.mark.row("T2")
@given(SEEDS, st.integers(2, 6))
@settings(max_examples=20, deadline=None)
def test_the_gradient_of_the_step_is_that_of_the_staircase_with_its_residue_held(seed, bits):
    """LSQ defines ∂r̃/∂S by taking Int(t) = t + residue, the residue constant: differentiate that numerically."""
    g = torch.Generator().manual_seed(seed)
    r = torch.randn(50, generator=g, dtype=torch.float64)
    up = torch.randn(50, generator=g, dtype=torch.float64)
    grid = Symmetric(bits)
    low, high = grid.code_range
    s0 = 0.5
    step = LSQ(Quantizer(grid), gradient_scale=False).module(params(s0), r)
    (step(r) * up).sum().backward()
    residue = torch.round((r / s0).clamp(low, high)) - (r / s0).clamp(low, high)

    def held(s):
        return float((s * ((r / s).clamp(low, high) + residue) * up).sum())

    assert float(step.scale.grad) == pytest.approx(numeric(held, s0), rel=1e-4, abs=1e-6)


@pytest.mark.row("T2")
@pytest.mark.parametrize("granularity", [PerTensor(), PerChannel(0), PerChannel(1)], ids=repr)
@pytest.mark.parametrize("grid", [Symmetric(4), Asymmetric(3)], ids=repr)
def test_the_fast_staircase_is_the_equations(grid, granularity):
    g = torch.Generator().manual_seed(2)
    x, up = (torch.randn(6, 40, generator=g, dtype=torch.float64) for _ in range(2))
    quantizer = Quantizer(grid, granularity)
    module = LSQ(quantizer, gradient_scale=False).module(quantizer.calibrate(0.6 * x), x).double()
    fast, plain = x.clone().requires_grad_(), x.clone().requires_grad_()
    S, Z = module.scale.detach().clone().requires_grad_(), module.zero_point[:, None]
    found = module(fast)
    wanted = module.unrows(staircase(module.rows(plain), S[:, None], module.q_min + Z, module.q_max + Z), x)
    torch.testing.assert_close(found, wanted)
    for want, have in zip(
        torch.autograd.grad(wanted, [plain, S], up), torch.autograd.grad(found, [fast, module.scale], up), strict=True
    ):
        torch.testing.assert_close(have, want)
    assert (fast.detach() - found.detach()).abs().max() > 0.5 * S.max()  # some are clipped


@pytest.mark.row("T2")
@pytest.mark.parametrize("grid", [Symmetric(4), Asymmetric(3), Symmetric(2, signed=False)])
def test_the_step_agrees_with_pytorchs_learnable_kernel(grid):
    x = torch.randn(200, generator=torch.Generator().manual_seed(1))
    scale, zero_point = 0.3, -2 if grid.has_zero_point else 0
    # PyTorch calls a value inside while its *rounded* code is; the paper asks for r/S itself. Leave that half step out.
    t, (q_min, q_max) = x / scale - zero_point, grid.code_range
    x = x[~((t < q_min) & (t > q_min - 0.5)) & ~((t > q_max) & (t < q_max + 0.5))].requires_grad_()
    module = LSQ(Quantizer(grid), gradient_scale=True).module(
        Params(torch.tensor([scale]), torch.tensor([zero_point], dtype=torch.int32)), x
    )
    mine = module(x)
    mine.square().sum().backward()
    x_peer = x.detach().clone().requires_grad_()
    s_peer = torch.tensor([scale], requires_grad=True)
    low, high = grid.code_range
    factor = (x.numel() * high) ** -0.5
    peer = torch._fake_quantize_learnable_per_tensor_affine(
        x_peer, s_peer, torch.tensor([float(-zero_point)]), low, high, factor
    )
    peer.square().sum().backward()
    torch.testing.assert_close(mine, peer, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(x.grad, x_peer.grad, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(module.scale.grad, s_peer.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.row("T2")
def test_lsq_plus_learns_its_offset_only_from_what_is_clipped():
    """Inside, r̃ does not depend on β (straight through); clipped, it moves with β one to one."""
    module = LSQPlus(Quantizer(Asymmetric(2)), gradient_scale=False).module(params(1.0, -1), torch.zeros(1))
    x = torch.tensor([-5.0, 0.2, 0.9, 7.0, 8.0], dtype=torch.float64)
    y = module(x)
    assert y.tolist() == [-1.0, 0.0, 1.0, 2.0, 2.0]
    y.sum().backward()
    assert float(module.offset.grad) == pytest.approx(3.0)  # −5, 7 and 8
    # scale: residue inside; q_min = 0 and q_max = 3 outside
    assert float(module.scale.grad) == pytest.approx((1 - 1.2) + (2 - 1.9) + 0 + 3 + 3)


@pytest.mark.row("T2")
@given(SEEDS, st.integers(2, 6))
@settings(max_examples=20, deadline=None)
def test_step_and_offset_of_lsq_plus_have_the_gradients_of_their_formula(seed, bits):
    """r̃ = S·(clip((r − β)/S) + residue) + β, the residue held: differentiated numerically by S and by β."""
    g = torch.Generator().manual_seed(seed)
    r, up = (torch.randn(50, generator=g, dtype=torch.float64) for _ in range(2))
    grid = Asymmetric(bits)
    low, high = grid.code_range
    s0, b0 = 0.4, -0.8  # β = S·Z
    module = LSQPlus(Quantizer(grid), gradient_scale=False).module(params(s0, -2), None).double()
    (module(r) * up).sum().backward()
    at = ((r - b0) / s0).clamp(low, high)
    residue = torch.round(at) - at

    def held(s, beta):
        return float(((s * (((r - beta) / s).clamp(low, high) + residue) + beta) * up).sum())

    assert float((module(r) * up).sum().detach()) == pytest.approx(held(s0, b0), rel=1e-9)
    assert float(module.scale.grad) == pytest.approx(numeric(lambda s: held(s, b0), s0), rel=1e-4, abs=1e-6)
    assert float(module.offset.grad) == pytest.approx(numeric(lambda b: held(s0, b), b0), rel=1e-4, abs=1e-6)


@pytest.mark.row("T2")
@given(SEEDS, st.integers(2, 6), st.booleans())
@settings(max_examples=20, deadline=None)
def test_the_clip_of_pact_has_the_gradient_of_its_formula(seed, bits, signed):
    """Rounding passes straight through, so α moves r̃ as it moves clip(x, 0, α), or clip(x, −α, α) where data are."""
    g = torch.Generator().manual_seed(seed)
    x, up = (torch.randn(50, generator=g, dtype=torch.float64) for _ in range(2))
    module = PACT(bits).module(params(2.0 / 255, -128 if signed else 0), None).double()
    alpha = float(module.alpha.detach())
    (module(x) * up).sum().backward()

    def clipped(a):
        return float((x.clamp(-a if signed else 0, a) * up).sum())

    assert float(module.alpha.grad) == pytest.approx(numeric(clipped, alpha), rel=1e-4, abs=1e-6)


@pytest.mark.row("T2")
def test_each_channel_has_a_step_of_its_own_and_gradients_stay_in_their_channel():
    w = torch.randn(3, 20, generator=torch.Generator().manual_seed(0))
    module = LSQ(Quantizer(Symmetric(3), PerChannel(0))).module(
        Params(torch.tensor([0.2, 0.3, 0.4]), torch.zeros(3, dtype=torch.int32)), w
    )
    module(w)[1].square().sum().backward()
    assert module.scale.grad[1] != 0
    assert module.scale.grad[[0, 2]].tolist() == [0, 0]


@pytest.mark.row("T2")
def test_the_gradient_scale_of_activations_counts_features_not_pictures():
    grads = []
    for pictures in (1, 8):
        x = torch.linspace(0, 3, 16)[None].expand(pictures, 16)
        module = LSQ(Quantizer(Asymmetric(2))).module(
            Params(torch.tensor([0.7]), torch.zeros(1, dtype=torch.int32)), None
        )
        module(x).sum().backward()
        grads.append(float(module.scale.grad))
    assert grads[1] == pytest.approx(8 * grads[0], rel=1e-5)


@pytest.mark.row("T2")
def test_pact_clips_at_alpha_and_alphas_gradient_counts_what_is_clipped():
    start = Params(torch.tensor([2.0 / 255]), torch.zeros(1, dtype=torch.int32))
    module = PACT(2).module(start, None)
    assert module.alpha.item() == pytest.approx(2.0)
    x = torch.tensor([-1.0, 0.2, 0.9, 1.9, 2.5, 30.0], requires_grad=True)
    y = module(x)
    # levels 0, 2/3, 4/3, 2
    torch.testing.assert_close(y.detach(), torch.tensor([0, 0, 2 / 3, 2, 2, 2]))
    y.sum().backward()
    assert module.alpha.grad.item() == pytest.approx(2)
    assert x.grad.tolist() == [0, 1, 1, 1, 0, 0]


@pytest.mark.row("T2")
def test_pact_on_signed_data_clips_on_both_sides():
    start = Params(torch.tensor([4.0 / 255]), torch.tensor([-128], dtype=torch.int32))
    module = PACT(3).module(start, None)
    y = module(torch.tensor([-9.0, 9.0, 0.0]))
    assert y[0] == -y[1] == -module.alpha
    assert y[2] == 0


@pytest.mark.row("T2")
def test_the_penalty_of_pact_is_the_sum_of_squares():
    network = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    quantized = quantize(network, Recipe(activation=PACT(4)), [torch.rand(8, 4)])
    alphas = [m.alpha for m in quantized.modules() if hasattr(m, "alpha")]
    assert len(alphas) == 2
    assert float(pact_penalty(quantized, 0.1)) == pytest.approx(0.1 * sum(float(a) ** 2 for a in alphas), rel=1e-5)
    assert float(pact_penalty(network)) == 0


@pytest.mark.row("T2")
def test_dorefas_levels_and_gradient_are_the_papers():
    assert quantize_k(torch.linspace(0, 1, 7), 1).tolist() == [0, 0, 0, 0, 1, 1, 1]  # 0.5 to even
    w = torch.tensor([-2.0, -0.1, 0.3, 1.0])
    module = DoReFaWeight(2).module(None, w)
    squeezed = torch.tanh(w) / (2 * torch.tanh(torch.tensor(2.0))) + 0.5
    torch.testing.assert_close(module(w), 2 * torch.round(3 * squeezed) / 3 - 1)
    w.requires_grad_()
    module(w).sum().backward()  # d/dw of 2·(tanh(w)/(2·max) + 1/2) − 1; the largest also moves the denominator
    top = torch.tanh(torch.tensor(2.0))
    slope = (1 - torch.tanh(w.detach()) ** 2) / top
    torch.testing.assert_close(w.grad[1:], slope[1:])


@pytest.mark.row("T2")
def test_dorefas_single_bit_is_the_mean_times_the_sign():
    w = torch.tensor([[-3.0, 1.0], [0.0, -2.0]])
    module = DoReFaWeight(1).module(None, w)
    assert module(w).tolist() == [[-1.5, 1.5], [1.5, -1.5]]
    assert module.stored(w).dequantize().tolist() == [[-1.5, 1.5], [1.5, -1.5]]
    assert module.stored(w).codes.tolist() == [[0, 1], [1, 0]]


@pytest.mark.row("T2")
def test_dorefas_activations_stay_in_zero_to_one():
    module = DoReFaActivation(2).module(Params(torch.ones(1), torch.zeros(1, dtype=torch.int32)), None)
    x = torch.tensor([-1.0, 0.2, 0.6, 5.0], requires_grad=True)
    y = module(x)
    torch.testing.assert_close(y.detach(), torch.tensor([0, 1 / 3, 2 / 3, 1.0]))
    y.sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 0]


@pytest.mark.row("T2")
@given(SEEDS)
@settings(max_examples=15, deadline=None)
def test_the_interval_of_qil_has_the_gradients_of_its_formula(seed):
    g = torch.Generator().manual_seed(seed)
    w = torch.randn(40, generator=g, dtype=torch.float64)
    up = torch.randn(40, generator=g, dtype=torch.float64)
    module = QIL(3).module(Params(torch.tensor([2.0 / 255]), torch.zeros(1, dtype=torch.int32)), w).double()
    with torch.no_grad():
        module.center.fill_(0.9)
        module.width.fill_(0.7)
        module.gamma.fill_(1.3)

    def transformed(c, d, gamma):
        a, b = 1 / (2 * d), -c / (2 * d) + 0.5
        inner = torch.sign(w) * (a * w.abs() + b).clamp(min=0) ** gamma
        x = torch.where(w.abs() < c - d, 0, torch.where(w.abs() > c + d, torch.sign(w), inner))
        return float((x * up).sum())

    assert float((module.transform(w) * up).sum()) == pytest.approx(transformed(0.9, 0.7, 1.3), rel=1e-6)
    torch.testing.assert_close(module(w), torch.round(3 * module.transform(w)) / 3)
    (module(w) * up).sum().backward()
    expected = [
        numeric(lambda c: transformed(c, 0.7, 1.3), 0.9),
        numeric(lambda d: transformed(0.9, d, 1.3), 0.7),
        numeric(lambda k: transformed(0.9, 0.7, k), 1.3),
    ]
    found = [float(p.grad) for p in (module.center, module.width, module.gamma)]
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-4)


@pytest.mark.row("T2")
def test_the_interval_of_qil_can_be_slower_than_the_weights():
    w = torch.randn(40, generator=torch.Generator().manual_seed(0))
    grads = []
    for rate in (1.0, 0.01):
        module = QIL(3, rate=rate).module(Params(torch.tensor([2.0 / 255]), torch.zeros(1, dtype=torch.int32)), w)
        v = w.clone().requires_grad_()
        module(v).square().sum().backward()
        grads.append((v.grad, torch.stack([module.center.grad, module.width.grad, module.gamma.grad])))
    (fast_w, fast), (slow_w, slow) = grads
    torch.testing.assert_close(slow_w, fast_w)
    torch.testing.assert_close(slow, 0.01 * fast)
    assert fast.abs().max() > 1e-3
    with pytest.raises(ValueError, match="rate must be positive"):
        QIL(3, rate=0)


def edges():
    eight = Recipe(Quantizer(Symmetric(8), PerChannel(0)), Quantizer(Asymmetric(8)))
    return {"0": eight}


METHODS = {
    "LSQ": lambda: Recipe(LSQ(Quantizer(Symmetric(4), PerChannel(0))), LSQ(Quantizer(Asymmetric(4)))),
    "LSQ+": lambda: Recipe(LSQ(Quantizer(Symmetric(4))), LSQPlus(Quantizer(Asymmetric(4)))),
    "PACT": lambda: Recipe(DoReFaWeight(4), PACT(4)),
    "DoReFa": lambda: Recipe(DoReFaWeight(4), DoReFaActivation(4)),
    "QIL": lambda: Recipe(QIL(4), QIL(4)),
    "DSQ": lambda: Recipe(DSQ(Quantizer(Symmetric(4), PerChannel(0))), DSQ(Quantizer(Asymmetric(4)))),
    "Relaxed": lambda: Recipe(Relaxed(Quantizer(Symmetric(4), PerChannel(0)))),
}


@pytest.mark.row("T2", "T3")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["mlp", "convnet", "resnet", "separable"])
def test_every_method_goes_on_every_network_and_its_weights_are_really_codes(name, method):
    network = zoo.load(name)
    x = load_calibration(16).tensors()[0]
    before = copy.deepcopy(network.state_dict())
    quantized = quantize(network, METHODS[method](), [x])
    quantized(x).square().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in quantized.parameters() if p.grad is not None)
    for layer in [m for m in quantized.modules() if hasattr(m, "parametrizations")]:
        stored = stored_weight(layer)
        torch.testing.assert_close(stored.dequantize().reshape(layer.weight.shape), layer.weight, rtol=1e-4, atol=1e-6)
        low, high = stored.grid.code_range
        assert low <= int(stored.codes.min()) <= int(stored.codes.max()) <= high
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


@pytest.mark.row("T2")
def test_learned_steps_are_not_counted_twice():
    network = zoo.load("mlp")
    x = load_calibration(4).tensors()[0]
    fixed = quantize(network, Recipe(Quantizer(Symmetric(4), PerChannel(0))))
    learned = quantize(network, Recipe(LSQ(Quantizer(Symmetric(4), PerChannel(0)))), [x])
    assert network_bytes(fixed) == network_bytes(learned)
    assert [line.nbytes for line in report(fixed)] == [line.nbytes for line in report(learned)]


@pytest.mark.row("T2")
@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: LSQ(Quantizer(E4M3)).module(params(1.0), None), TypeError, "uniform grid"),
        (lambda: LSQ().module(None, None), ValueError, "calibrated range"),
        (lambda: LSQ().module(params(float("inf")), None), ValueError, "finite"),
        (lambda: LSQPlus(Quantizer(Symmetric(4))).module(params(1.0), None), TypeError, "Asymmetric"),
        (lambda: PACT(1), ValueError, "bits"),
        (lambda: PACT(4).module(params(1.0), torch.ones(2)), TypeError, "activations"),
        (lambda: DoReFaWeight(4).module(params(1.0), None), TypeError, "weights"),
        (lambda: DoReFaActivation(4).module(params(1.0), torch.ones(2)), TypeError, "activations"),
        (lambda: DoReFaWeight(0), ValueError, "bits"),
        (lambda: QIL(17), ValueError, "bits"),
    ],
)
def test_what_a_method_cannot_do_is_refused_with_its_name(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_step_that_training_throws_across_zero_still_gives_numbers():
    module = LSQ(Quantizer(Symmetric(4), PerTensor())).module(
        Params(torch.tensor([0.1]), torch.zeros(1, dtype=torch.int32)), torch.ones(3)
    )
    with torch.no_grad():
        module.scale.fill_(-0.5)
    assert torch.isfinite(module(torch.ones(3))).all()
