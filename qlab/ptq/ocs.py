"""Outlier channel splitting: a channel that is too large becomes two halves, and the range shrinks without clipping.

    w·x = (w/2)·x + (w/2)·x                                     the function does not change
    w/n + S·(k/n − (n − 1)/(2n)),  k = 0 … n − 1                 n copies, shifted so that their codes add up to w's:
    Σ_k Int(·/S) = Int(w/S)                                      (Hermite's identity; n = 2: (w ∓ S/2)/2)

Source: Zhao, Hu, Dotzel, De Sa, Zhang 2019, *Improving neural network quantization without retraining using outlier
channel splitting*, section 3 (quantization-aware splitting, for n = 2).
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from qlab.network import quantizable_layers
from qlab.quantizer import Quantizer

__all__ = ["SplitInputs", "copies_of_inputs", "split_outliers", "split_weight"]


class SplitInputs(nn.Module):
    """Repeat channels of a layer's input: x ↦ x[:, index].

    Survey-map row: T6.
    """

    index: Tensor

    def __init__(self, index: Tensor) -> None:
        super().__init__()
        self.register_buffer("index", index)

    def forward(self, x: Tensor) -> Tensor:
        """Return the input with its repeated channels."""
        return x.index_select(1, self.index)


def copies_of_inputs(weight: Tensor, extra: int) -> Tensor:
    """Return how many copies each input channel gets: one more, `extra` times, to the channel that is largest then.

    Parameters
    ----------
    weight : Tensor, shape (outputs, inputs, …)
    extra : int
        Channels to add.

    Returns
    -------
    Tensor of integers, shape (inputs,)

    Examples
    --------
    >>> copies_of_inputs(torch.tensor([[8.0, 3.0, 1.0]]), 2)  # 8 → 4, 4 → 8/3 three times
    tensor([3, 1, 1])

    References
    ----------
    Zhao et al. 2019, section 3.4 (the channel with the largest value is split).

    Survey-map row: T6.
    """
    largest = weight.detach().transpose(0, 1).flatten(1).abs().amax(1)
    copies = torch.ones(len(largest), dtype=torch.int64)
    for _ in range(extra):
        copies[int((largest.cpu() / copies).argmax())] += 1
    return copies


def split_weight(weight: Tensor, copies: Tensor, step: Tensor | float = 0.0) -> Tensor:
    """Return the weight with input channel i in `copies[i]` parts that add up to it.

    Parameters
    ----------
    weight : Tensor, shape (outputs, inputs, …)
    copies : Tensor of integers, shape (inputs,)
    step : Tensor or float
        S of each output, shape (outputs,), or one for all; 0 splits into equal parts.

    Survey-map row: T6.
    """
    n = copies.repeat_interleave(copies).to(weight.device)
    k = torch.cat([torch.arange(int(c)) for c in copies]).to(weight.device)
    ones = [1] * (weight.dim() - 2)
    S = torch.as_tensor(step, dtype=weight.dtype, device=weight.device).reshape(-1, 1, *ones)
    shift = (k / n - (n - 1) / (2 * n)).to(weight.dtype).reshape(1, -1, *ones)
    parts = weight.repeat_interleave(copies.to(weight.device), 1) / n.reshape(1, -1, *ones)
    return parts + S * shift


@torch.no_grad()
def split_outliers(model: nn.Module, quantizer: Quantizer, share: float = 0.05) -> nn.Module:
    """Return a copy of `model` that computes the same, its largest input channels split; quantize it afterwards.

    Parameters
    ----------
    model : nn.Module
        In floating point; left as it is. Layers with groups keep their channels.
    quantizer : Quantizer
        With which the weights will be quantized: it gives the step S (per tensor, or per output channel).
    share : float
        Channels to add, as a share of the layer's input channels (rounded up), 0 to 1.

    Returns
    -------
    nn.Module
        Split layers are ``nn.Sequential(SplitInputs, layer)``: their names end in ``.1``.

    Raises
    ------
    ValueError
        If share is not between 0 and 1.

    References
    ----------
    Zhao et al. 2019, section 3.

    Survey-map row: T6.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must lie above 0 and up to 1, got {share}")
    model = copy.deepcopy(model)
    for name, layer in list(quantizable_layers(model).items()):
        if getattr(layer, "groups", 1) > 1:
            continue
        weight = layer.weight
        copies = copies_of_inputs(weight, math.ceil(share * weight.shape[1]))
        step = quantizer.calibrate(split_weight(weight, copies)).scale
        if step.numel() not in (1, len(weight)):
            raise ValueError(f"quantizer must have one scale per tensor or per output, got {quantizer.granularity}")
        split: Any = copy.copy(layer)
        split._parameters = dict(layer._parameters)
        split.weight = nn.Parameter(split_weight(weight, copies, step))
        if isinstance(layer, nn.Linear):
            split.in_features = int(copies.sum())
        else:
            split.in_channels = int(copies.sum())
        index = torch.arange(len(copies)).repeat_interleave(copies).to(weight.device)
        model.set_submodule(name, nn.Sequential(SplitInputs(index), split))
    return model
