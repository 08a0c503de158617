"""GPTQ as two other libraries run it, on one linear layer: for tests that compare codes and speed."""

import inspect

import torch
from brevitas.graph.gptq import gptq_mode
from brevitas.inject.enum import ScalingImplType
from brevitas.nn import QuantLinear
from brevitas.quant import Int8WeightPerChannelFloat
from torch import nn
from torchao.prototype.gptq import api as torchao_gptq
from torchao.quantization import Int8WeightOnlyConfig
from torchao.quantization.granularity import PerRow


class Weights(Int8WeightPerChannelFloat):
    """Symmetric, one scale per row from the largest weight, fixed once; −7 … 7 at four bits, as qlab's `Symmetric`."""

    scaling_impl_type = ScalingImplType.PARAMETER_FROM_STATS
    restrict_scaling_type = "fp"


def brevitas_layer(weight, bits):
    """Return a layer that Brevitas quantizes, in the weight's own precision."""
    outputs, d = weight.shape
    layer = QuantLinear(d, outputs, bias=False, weight_quant=Weights, weight_bit_width=bits).to(weight.dtype)
    layer.weight.data = weight.clone()
    return layer.eval()


def brevitas_codes(weight, x, bits, act_order=True, num_blocks=6):
    """Return (scales, codes) of Brevitas' GPTQ."""
    layer = brevitas_layer(weight, bits)
    with torch.no_grad():
        layer(x[:1])  # fixes the scales
        model = nn.Sequential(layer)
        with gptq_mode(model, act_order=act_order, num_blocks=num_blocks, dtype=weight.dtype) as gptq:
            gptq.model(x)
            gptq.update()
        found = layer.quant_weight()
    return found.scale.flatten(), torch.round(found.value / found.scale).to(torch.int32)


def torchao_codes(weight, H):
    """Return (scales, codes) of torchao's GPTQ with eight bits; it leaves columns in their order.

    The library runs it on CUDA only. Two lines say so, an assertion and a synchronization; they are left out here, and
    what remains is their code, in float32.
    """
    source = inspect.getsource(torchao_gptq.gptq_quantize)
    lines = [line for line in source.splitlines() if "cuda" not in line]
    assert len(source.splitlines()) - len(lines) == 2
    names = dict(vars(torchao_gptq))
    exec("\n".join(lines), names)
    config = torchao_gptq.GPTQConfig(
        step="convert",
        base_config=Int8WeightOnlyConfig(granularity=PerRow(), version=2),
        gptq_quantize_block_size=weight.shape[1],
    )
    found = names["gptq_quantize"](H.float().clone(), weight.float().clone(), config)
    return found.scale.flatten(), found.qdata.to(torch.int32)
