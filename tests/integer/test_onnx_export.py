"""Networks that qlab quantizes give the same answers in ONNX Runtime."""

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import nn

from qlab import Asymmetric, Codebook, PerBlock, PerChannel, Quantizer, Recipe, Symmetric, quantize
from qlab.integer import to_onnx
from qlab.ptq import fold_batchnorm

pytestmark = pytest.mark.row("F1")


class Small(nn.Module):
    """Every operation that the exporter knows, in few lines."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU6())
        self.inner = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.BatchNorm2d(8), nn.ReLU())
        self.pool, self.drop = nn.MaxPool2d(2), nn.Dropout(0.5)
        self.mean, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(8, 10)

    def forward(self, x):
        h = self.first(x)
        h = self.pool(torch.relu(h + self.inner(h)))
        return self.head(self.drop(torch.flatten(self.mean(h), 1)))


@pytest.fixture
def network():
    torch.manual_seed(0)
    net = Small()
    net(torch.randn(64, 1, 12, 12))  # BatchNorm statistics
    return fold_batchnorm(net.eval())


@pytest.fixture
def images():
    return torch.randn(64, 1, 12, 12, generator=torch.Generator().manual_seed(1))


def run(data, images, fused=True):
    options = ort.SessionOptions()
    if not fused:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"input": images.numpy()})[0])


def test_floating_point_network_is_the_same_function(network, images):
    torch.testing.assert_close(run(to_onnx(network, images), images), network(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("granularity", [PerChannel(0)])
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("activation", [Asymmetric(8), Symmetric(8, restricted=False)])
def test_unfused_graph_equals_simulation(network, images, granularity, bits, activation):
    recipe = Recipe(Quantizer(Symmetric(bits), granularity), Quantizer(activation))
    simulated = quantize(network, recipe, [images])
    # Run as written: float sums in another order may move a value over a rounding threshold, so a few codes may
    # differ by one; the answers may not differ by more than such a step does.
    out, expected = run(to_onnx(simulated, images), images, fused=False), simulated(images)
    assert (out - expected).abs().max() < 0.05 * expected.abs().max()
    assert (out - expected).abs().median() < 1e-3 * expected.abs().max()


def test_integer_kernels_choose_the_same_class(network, images):
    recipe = Recipe(Quantizer(Symmetric(7), PerChannel(0)), Quantizer(Asymmetric(8)))
    with pytest.raises(ValueError, match="4 or 8 bits"):
        to_onnx(quantize(network, recipe, [images]), images)
    recipe = Recipe(Quantizer(Symmetric(8), PerChannel(0)), Quantizer(Asymmetric(8)))
    simulated = quantize(network, recipe, [images])
    out = run(to_onnx(simulated, images), images)
    agreement = (out.argmax(1) == simulated(images).argmax(1)).float().mean()
    assert agreement >= 0.9


def test_the_weights_in_the_file_are_the_stored_codes(network, images, tmp_path):
    import onnx
    from onnx import numpy_helper

    from qlab.network import stored_weight

    simulated = quantize(network, Recipe(Quantizer(Symmetric(8), PerChannel(0)), Quantizer(Asymmetric(8))), [images])
    to_onnx(simulated, images, tmp_path / "net.onnx")
    tensors = {t.name: numpy_helper.to_array(t) for t in onnx.load(tmp_path / "net.onnx").graph.initializer}
    stored = stored_weight(simulated.head)
    np.testing.assert_array_equal(tensors["head.weight.codes"], stored.codes.numpy())
    np.testing.assert_array_equal(tensors["head.weight.scale"], stored.params.scale.numpy())
    # The input's zero point has ONNX's sign.
    z = simulated.first[0].activation_quantizer.zero_point
    assert tensors["first.0.input.zero_point"] == -int(z)
    # The bias is in units of the accumulator: int32 codes times S_a·S_W give it back to half a unit.
    scale = tensors["head.bias.scale"]
    np.testing.assert_array_less(
        abs(tensors["head.bias.codes"] * scale.astype(float) - simulated.head.bias.detach().numpy()), 0.51 * scale
    )
    assert [p.name for p in tmp_path.iterdir()] == ["net.onnx"]


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (Recipe(Quantizer(Symmetric(8), PerBlock(1))), "per tensor or per channel"),
        (Recipe(Quantizer(Codebook((-1.0, 1.0)))), "Symmetric"),
        (Recipe(None, Quantizer(Asymmetric(8)), dynamic=True), "static"),
        (Recipe(None, Quantizer(Asymmetric(4))), "all codes"),
    ],
)
def test_what_cannot_be_exported_is_named(network, images, recipe, message):
    with pytest.raises(ValueError, match=message):
        to_onnx(quantize(network, recipe, [images]), images)


def test_training_mode_and_unknown_modules_are_refused(network, images):
    with pytest.raises(ValueError, match="eval mode"):
        to_onnx(network.train(), images)
    with pytest.raises(ValueError, match="Sigmoid"):
        to_onnx(nn.Sequential(nn.Conv2d(1, 1, 1), nn.Sigmoid()).eval(), images)
