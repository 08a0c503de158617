"""The shipped networks give the same answers in ONNX Runtime: counted, and every difference explained."""

import csv

import numpy as np
import pytest
import torch
from torch import nn

from qlab import Asymmetric, PerChannel, Quantizer, Recipe, Symmetric, quantize, zoo
from qlab.data import load_test
from qlab.integer import agreement, partings, session, stored_biases, to_onnx
from qlab.integer.agreement import PLACE, WAYS, agreement_table, exported
from qlab.network import quantizable_layers, stored_weight
from qlab.ptq import fold_batchnorm

pytestmark = pytest.mark.row("F1")
EXACT = ("fp32", "qdq", "qdq, fused, uint8", "program, integer", "program, qlinear", "program, qdq")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_the_table_holds_every_network_in_every_way_on_all_test_pictures():
    table = agreement_table()
    assert [(line.network, line.way) for line in table] == [(n, w) for n in zoo.names() for w in WAYS]
    assert all(line.pictures == 10_000 for line in table)
    with PLACE.open(encoding="utf-8") as file:
        assert all(line["commit"] and line["machine"] for line in csv.DictReader(file))


def test_what_the_table_says():
    for line in agreement_table():
        assert len(line.others.split()) == min(line.pictures - line.same, 40)
        if line.way in EXACT:
            assert line.same >= 9_998 and abs(line.ours - line.theirs) <= 2
        if line.way == "program, integer":
            assert line.same == 10_000 and line.largest == 0
        if line.way == "qdq, own biases":
            assert line.same >= 9_960


@pytest.mark.slow
@pytest.mark.parametrize("way", EXACT)
def test_the_mlp_gives_the_same_answers_on_all_pictures(way):
    found = agreement("mlp", way)
    assert found.pictures == 10_000 and found.same >= 9_999
    if way == "program, integer":
        assert found.largest == 0


@pytest.mark.slow
def test_the_convnet_gives_the_same_answers_on_all_pictures():
    assert agreement("convnet", "qdq").same >= 9_999


@pytest.mark.slow
@pytest.mark.parametrize("network", zoo.names())
@pytest.mark.parametrize("way", [w for w in EXACT if w != "program, integer"])
def test_every_network_gives_the_same_answers_on_a_part(network, way):
    images = load_test()[300:400]
    assert agreement(network, way, images).same >= 99


@pytest.mark.slow
@pytest.mark.parametrize("network", zoo.names())
def test_the_integer_form_is_equal_to_the_last_integer(network):
    found = agreement(network, "program, integer", load_test()[300:340])
    assert found.same == 40 and found.largest == 0


def test_biases_are_those_of_the_file():
    layer = nn.Linear(4, 3)
    x = torch.rand(16, 4, generator=torch.Generator().manual_seed(0))
    recipe = Recipe(Quantizer(Symmetric(8), PerChannel(0)), Quantizer(Asymmetric(8)))
    model = quantize(nn.Sequential(layer).eval(), recipe, [x]).requires_grad_(False)
    before = model[0].bias.clone()
    stored = stored_biases(model)[0].bias
    unit = stored_weight(model[0]).params.scale * model[0].activation_quantizer.params.scale
    assert torch.equal(model[0].bias, before) and not torch.equal(stored, before)
    assert ((stored - before).abs() <= 0.5001 * unit).all()
    assert torch.allclose(stored / unit, torch.round(stored / unit), atol=1e-3)
    answers = session(to_onnx(model, x)).run(None, {"input": x.numpy()})[0]
    assert np.allclose(answers, stored_biases(model)(x).numpy(), atol=1e-6)


def test_layers_without_codes_keep_their_biases():
    model = quantize(nn.Sequential(nn.Linear(4, 3)), Recipe(Quantizer(Symmetric(8))))
    assert torch.equal(stored_biases(model)[0].bias, model[0].bias)


def test_unsigned_weights_are_the_same_numbers():
    import onnx
    from onnx import numpy_helper

    model, x = exported("mlp")[1], load_test()[:50].tensors()[0]
    read = {}
    for unsigned in (False, True):
        data = to_onnx(model, x, unsigned_weights=unsigned)
        read[unsigned] = {t.name: numpy_helper.to_array(t) for t in onnx.load_from_string(data).graph.initializer}
    for name in quantizable_layers(model):
        signed, other = (read[k][f"{name}.weight.codes"] for k in (False, True))
        zero = read[True][f"{name}.weight.zero_point"]
        assert other.dtype == zero.dtype == np.uint8 and zero.shape == read[True][f"{name}.weight.scale"].shape
        assert np.array_equal(other.astype(int) - zero[:, None], signed)
    answers = [session(to_onnx(model, x, unsigned_weights=u)).run(None, {"input": x.numpy()})[0] for u in (False, True)]
    assert np.array_equal(*answers)


def test_four_bit_weights_stay_signed():
    recipe = Recipe(Quantizer(Symmetric(4), PerChannel(0)), Quantizer(Asymmetric(8)))
    x = torch.rand(8, 4, generator=torch.Generator().manual_seed(0))
    model = quantize(nn.Sequential(nn.Linear(4, 3)).eval(), recipe, [x])
    assert to_onnx(model, x, unsigned_weights=True) == to_onnx(model, x)


@pytest.mark.slow
def test_codes_part_first_next_to_ties_as_far_as_the_biases_moved():
    model, x = exported("resnet")[1], load_test()[:100].tensors()[0]
    found = partings(model, x)
    assert {p.layer for p in found} == {*quantizable_layers(model)}
    first = next(p for p in found if p.differ)
    moved = (model.get_submodule("0").bias - stored_biases(model).get_submodule("0").bias).abs().max().detach()
    step = model.get_submodule(first.layer).activation_quantizer.params.scale
    assert found[0].differ == 0 and first.most == 1
    assert first.tie <= (moved / step).item() + 1e-3
    closer = partings(stored_biases(model), x)
    assert sum(p.differ for p in closer) < 0.3 * sum(p.differ for p in found)


def test_partings_see_a_planted_difference():
    torch.manual_seed(0)
    x = torch.rand(64, 6)
    recipe = Recipe(Quantizer(Symmetric(8), PerChannel(0)), Quantizer(Asymmetric(8)))
    model = quantize(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).eval(), recipe, [x])
    assert [p.differ for p in partings(stored_biases(model), x)] == [0, 0]
    data = to_onnx(model, x)
    with torch.no_grad():
        model[0].bias += 3 * model[2].activation_quantizer.params.scale
    first, second = partings(model, x, data)
    assert (first.layer, first.differ) == ("0", 0)
    assert second.layer == "2" and second.differ > 0.3 * second.codes and second.most in (3, 4)


def test_unknown_ways_are_refused():
    with pytest.raises(ValueError, match="way must be one of 'fp32'"):
        agreement("mlp", "tflite", load_test()[:1])


@pytest.mark.slow
def test_torchaos_int8_weights_have_another_scale_than_ours():
    """What the chapter says of them: half a code more range, and −128 in use."""
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    model = fold_batchnorm(zoo.load("mlp"))
    original = model.get_submodule("3").weight.detach().clone()
    quantize_(model, Int8WeightOnlyConfig())
    theirs = model.get_submodule("3").weight
    scale = original.abs().amax(1, keepdim=True) / 127.5
    assert torch.allclose(theirs.scale, scale, rtol=1e-5)
    assert (theirs.qdata != torch.round(original / scale).clamp(-128, 127)).double().mean() < 1e-3
    assert (theirs.qdata != stored_weight(exported("mlp")[1].get_submodule("3")).codes).double().mean() > 0.05


@pytest.mark.parametrize("outputs", [3, 4])  # an odd and an even number of weights
def test_four_bit_weights_take_half_a_byte_each(outputs):
    import onnx
    from onnx import numpy_helper

    recipe = Recipe(Quantizer(Symmetric(4), PerChannel(0)), Quantizer(Asymmetric(8)))
    x = torch.rand(8, 5, generator=torch.Generator().manual_seed(0))
    model = quantize(nn.Sequential(nn.Linear(5, outputs)).eval(), recipe, [x])
    proto = onnx.load_from_string(to_onnx(model, x))
    tensor = next(t for t in proto.graph.initializer if t.name == "0.weight.codes")
    assert len(tensor.raw_data) == (5 * outputs + 1) // 2
    assert np.array_equal(numpy_helper.to_array(tensor).astype(int), stored_weight(model[0]).codes.numpy())
