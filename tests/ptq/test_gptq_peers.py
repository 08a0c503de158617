"""qlab's GPTQ against Brevitas' and torchao's, on the same layer and the same inputs: the same codes."""

import pytest
import torch

from qlab import zoo
from qlab.data import load_calibration
from qlab.granularity import PerChannel
from qlab.grids import Symmetric
from qlab.ptq.gptq import damped, gptq_codes
from qlab.ptq.moments import InputMoments, layer_inputs
from qlab.quantizer import Params, QuantizedTensor, Quantizer
from tests.ptq.gptq_peers import brevitas_codes, torchao_codes

pytestmark = pytest.mark.row("T10")


def problems():
    random = torch.Generator().manual_seed(0)
    mixed = torch.randn(96, 96, generator=random, dtype=torch.float64)
    x = torch.randn(512, 96, generator=random, dtype=torch.float64) @ mixed
    yield "random", torch.randn(48, 96, generator=random, dtype=torch.float64), x
    model = zoo.load("mlp").double()
    pictures = load_calibration(256).tensors()[0].double()
    with torch.no_grad():
        yield "mlp, second layer", model[3].weight.detach(), layer_inputs(model, "3", pictures)


PROBLEMS = {name: (weight, x) for name, weight, x in problems()}


def moments(x):
    A = (x.T @ x)[None] / len(x)
    return InputMoments(A, A, x.mean(0)[None], x.mean(0)[None], len(x))


def stored(weight, scale, grid):
    params = Params(scale, torch.zeros_like(scale))
    codes = torch.zeros(weight.shape, dtype=torch.int32)
    return QuantizedTensor(codes, params, grid, PerChannel(0), weight.dtype)


def loss(weight, scale, codes, H):
    e = weight - scale[:, None] * codes
    return float(((e @ H) * e).sum())


@pytest.mark.parametrize("bits", [3, 4, 8])
@pytest.mark.parametrize("name", PROBLEMS)
def test_codes_are_those_of_brevitas(name, bits):
    weight, x = PROBLEMS[name]
    q = Quantizer(Symmetric(bits), PerChannel(0))
    scale, theirs = brevitas_codes(weight, x, bits)
    assert torch.allclose(scale, q.calibrate(weight).scale)
    ours = gptq_codes(weight, q(weight), moments(x))
    nearest = q(weight).codes
    assert (theirs != nearest).double().mean() > 0.1  # it is not what rounding to nearest gives
    assert (ours != theirs).double().mean() < 2e-3
    H = moments(x).second[0]
    assert loss(weight, scale, ours, H) == pytest.approx(loss(weight, scale, theirs, H), rel=1e-3)
    assert loss(weight, scale, ours, H) < loss(weight, scale, nearest, H)


@pytest.mark.parametrize("name", PROBLEMS)
def test_codes_are_those_of_torchao(name):
    weight, x = PROBLEMS[name]
    x = x[:, x.square().mean(0).argsort(descending=True)]  # torchao keeps the order; this makes ours the same
    H = moments(x).second[0]
    scale, theirs = torchao_codes(weight, H)
    q = stored(weight, scale.double(), Symmetric(8, restricted=False))
    ours = gptq_codes(weight, q, moments(x))
    nearest = torch.round(weight / scale[:, None]).clamp(-128, 127)
    assert (theirs != nearest).double().mean() > 0.1
    assert (ours != theirs).double().mean() < 2e-3
    assert loss(weight, scale, ours, H) == pytest.approx(loss(weight, scale, theirs, H), rel=1e-3)


def test_damping_is_theirs():
    H = torch.diag(torch.tensor([4.0, 2.0, 0.0]))
    assert torch.allclose(damped(H, 0.01).diagonal(), torch.tensor([4.02, 2.02, 1.02]))
