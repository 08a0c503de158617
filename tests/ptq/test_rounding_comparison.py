"""The comparison of ways to round: where it starts, what may move, and that its table is complete."""

import pytest
import torch

from qlab import zoo
from qlab.data import load_calibration
from qlab.network import quantizable_layers, stored_weight
from qlab.ptq import fold_batchnorm
from qlab.ptq.make_rounding_table import DRAWS, PICTURES, jobs
from qlab.ptq.rounding_comparison import METHODS, nearest
from qlab.ptq.rounding_table import ROUNDING


@pytest.mark.row("T8")
def test_start_is_the_nearest_code_and_the_ends_have_8_bits():
    model = fold_batchnorm(zoo.load("convnet"))
    start = nearest(model, 3)
    layers = list(quantizable_layers(model))
    for name in layers:
        stored = stored_weight(start.get_submodule(name))
        assert stored.grid.bits == (8 if name in (layers[0], layers[-1]) else 3)
        w, S = model.get_submodule(name).weight.detach(), stored.params.scale
        low, high = stored.grid.code_range
        torch.testing.assert_close(stored.codes.float(), (w / S).round().clamp(low, high))


@pytest.mark.slow
@pytest.mark.row("T8", "T9", "T10")
@pytest.mark.parametrize("method", [m for m in METHODS if m != "AdaQuant"])
def test_only_codes_differ_never_scales(method):
    model = fold_batchnorm(zoo.load("mlp"))
    start = nearest(model, 3)
    rounded = METHODS[method](start, model, [load_calibration(8).tensors()[0]])
    for name in quantizable_layers(model):
        before, after = (stored_weight(m.get_submodule(name)) for m in (start, rounded))
        assert torch.equal(before.params.scale, after.params.scale)
        if method.startswith(("AdaRound", "BRECQ")):
            assert int((before.codes.int() - after.codes.int()).abs().max()) <= 1


@pytest.mark.row("T9")
def test_table_is_complete():
    wanted = {job[1:] for job in jobs()}
    assert set(ROUNDING) == wanted
    for (network, method, _, _), values in ROUNDING.items():
        assert len(values) == (1 if method == "nearest" else DRAWS[network])
        assert all(0 < v <= PICTURES for v in values)
