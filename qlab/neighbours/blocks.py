"""Blocks that a network is built of, and what their sums and concatenations ask of a quantizer.

    residual     h ↦ relu( h + F(h) )                     dL/dh = dL/dh′·(I + F′(h)): the gradient has a way around F
    inception    h ↦ [ F_1(h), F_3(h), F_5(h), P(h) ]     kernels of several sizes side by side

Integers can be added, or put side by side in one tensor, only if they count the same unit:

    S_a·q_a + S_b·q_b = S·(q_a + q_b)     only if S_a = S_b = S

so the branches either share one scale, or one is rescaled and rounded a second time.

Sources: He et al. 2016, *Deep residual learning*; Szegedy et al. 2015, *Going deeper with convolutions*; Jacob et al.
2018, appendix A.2 and A.3 (addition and concatenation); Gholami et al. 2021, section I.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from qlab.calibration import Fixed
from qlab.granularity import PerTensor
from qlab.grids import Symmetric
from qlab.network import sqnr_db
from qlab.quantizer import Quantizer

__all__ = ["AlignmentError", "Inception", "Residual", "concat_scales", "gradient_by_depth", "stack", "sum_scales"]


def _conv_bn_relu(a: int, b: int, kernel: int) -> nn.Sequential:
    conv = nn.Conv2d(a, b, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(b), nn.ReLU())


class Residual(nn.Module):
    """h ↦ relu(h + F(h)), F two 3×3 convolutions with BatchNorm.

    Parameters
    ----------
    channels : int

    References
    ----------
    He et al. 2016, figure 2 and equation 1.

    Survey-map row: B4.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        last = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.body = nn.Sequential(_conv_bn_relu(channels, channels, 3), last, nn.BatchNorm2d(channels))
        self.relu = nn.ReLU()

    def forward(self, h: Tensor) -> Tensor:
        """Return relu(h + F(h)), in the shape of `h`."""
        return self.relu(h + self.body(h))


class Inception(nn.Module):
    """h ↦ [1×1 | 1×1 → 3×3 | 1×1 → 5×5 | pool → 1×1], a quarter of the channels each.

    Parameters
    ----------
    in_channels, out_channels : int
        out_channels a multiple of 4.

    References
    ----------
    Szegedy et al. 2015, figure 2(b).

    Survey-map row: B4.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        if out_channels < 4 or out_channels % 4:
            raise ValueError(f"out_channels must be a multiple of 4, got {out_channels}")
        a, b = in_channels, out_channels // 4
        self.branches = nn.ModuleList(
            [
                _conv_bn_relu(a, b, 1),
                nn.Sequential(_conv_bn_relu(a, b, 1), _conv_bn_relu(b, b, 3)),
                nn.Sequential(_conv_bn_relu(a, b, 1), _conv_bn_relu(b, b, 5)),
                nn.Sequential(nn.MaxPool2d(3, 1, padding=1), _conv_bn_relu(a, b, 1)),
            ]
        )

    def forward(self, h: Tensor) -> Tensor:
        """Return the branches' outputs, concatenated along the channels."""
        return torch.cat([branch(h) for branch in self.branches], 1)


@dataclass(frozen=True)
class AlignmentError:
    """What joining quantized tensors costs, as SQNR in dB of the result.

    Attributes
    ----------
    scales : tuple of float
        S of every branch, from its own range.
    separate : float
        Every branch on its own scale, joined as real numbers: what quantization alone costs. No integer unit does it.
    unaligned : float
        Codes joined as if they counted the same unit (the first branch's): wrong unless the scales are equal.
    rescaled : float
        Every branch's codes rounded a second time onto one common scale.
    shared : float
        All branches quantized on that common scale to begin with.

    Survey-map row: B4.
    """

    scales: tuple[float, ...]
    separate: float
    unaligned: float
    rescaled: float
    shared: float


def sum_scales(tensors: Sequence[Tensor], bits: int = 8) -> AlignmentError:
    """Return what adding quantized tensors costs, with and without a common scale.

    The branches carry `bits`-bit codes; their sum is kept in a wider integer, so that only alignment is compared.

    Parameters
    ----------
    tensors : sequence of Tensor
        Two or more of one shape: the branches of a residual block.
    bits : int

    Raises
    ------
    ValueError
        If there are fewer than two, or shapes differ.

    References
    ----------
    Jacob et al. 2018, appendix A.2.

    Survey-map row: B4.
    """
    if len({t.shape for t in tensors}) != 1:
        raise ValueError(f"tensors must have one shape to be added, got {[tuple(t.shape) for t in tensors]}")
    return _join(tensors, bits, lambda parts: torch.stack(parts).sum(0))


def concat_scales(tensors: Sequence[Tensor], bits: int = 8, dim: int = 1) -> AlignmentError:
    """Return what concatenating quantized tensors into one tensor with one scale costs.

    Parameters
    ----------
    tensors : sequence of Tensor
        Two or more: the branches of an inception block.
    bits : int
    dim : int

    References
    ----------
    Jacob et al. 2018, appendix A.3.

    Survey-map row: B4.
    """
    return _join(tensors, bits, lambda parts: torch.cat(parts, dim))


def _join(tensors: Sequence[Tensor], bits: int, join: Callable[[list[Tensor]], Tensor]) -> AlignmentError:
    if len(tensors) < 2:
        raise ValueError(f"tensors must be two or more branches, got {len(tensors)}")
    own = Quantizer(Symmetric(bits), PerTensor())
    reach = max(float(t.detach().abs().max()) for t in tensors)
    common = own.with_(calibration=Fixed(-reach, reach))
    exact = join([t.detach() for t in tensors])
    stored = [own(t) for t in tensors]
    values = [s.dequantize() for s in stored]
    first = float(stored[0].params.scale)
    return AlignmentError(
        scales=tuple(float(s.params.scale) for s in stored),
        separate=sqnr_db(exact, join(values)),
        unaligned=sqnr_db(exact, first * join([s.codes.to(exact.dtype) for s in stored])),
        rescaled=sqnr_db(exact, join([common.fake(v) for v in values])),
        shared=sqnr_db(exact, join([common.fake(t.detach()) for t in tensors])),
    )


def stack(depth: int, width: int = 64, residual: bool = False, gain: float = 2**0.5, seed: int = 0) -> list[nn.Module]:
    """Return `depth` layers h ↦ relu(Wh), or h ↦ h + W₂·relu(W₁h)/depth, with Gaussian weights of variance gain²/width.

    In a plain stack every layer multiplies the gradient's norm by gain/√2 on average: √2 (He et al. 2015) keeps it,
    anything else makes it vanish or explode with depth. Around a residual block the gradient passes whatever the gain.

    Parameters
    ----------
    depth, width : int
    residual : bool
    gain : float
    seed : int

    Survey-map row: B4.
    """
    if depth < 1 or width < 1:
        raise ValueError(f"depth and width must be at least 1, got {depth} and {width}")
    generator = torch.Generator().manual_seed(seed)

    def linear(g: float) -> nn.Linear:
        layer = nn.Linear(width, width, bias=False)
        with torch.no_grad():
            layer.weight.copy_(g * torch.randn(width, width, generator=generator) / width**0.5)
        return layer

    if residual:
        return [_Skip(nn.Sequential(linear(gain), nn.ReLU(), linear(gain / depth))) for _ in range(depth)]
    return [nn.Sequential(linear(gain), nn.ReLU()) for _ in range(depth)]


class _Skip(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, h: Tensor) -> Tensor:
        return h + self.body(h)


def gradient_by_depth(layers: Sequence[nn.Module], x: Tensor, gradient: Tensor) -> Tensor:
    """Return ‖dL/dh_i‖ before every layer and at the end, for a given gradient dL/dh at the end.

    Parameters
    ----------
    layers : sequence of nn.Module
        Applied one after the other.
    x : Tensor
        Input h_0.
    gradient : Tensor
        dL/dh at the output, in its shape.

    Returns
    -------
    Tensor, shape (depth + 1,)
        Entry i is the norm at the input of layer i.

    Survey-map row: B4.
    """
    h = [x.detach().requires_grad_()]
    for layer in layers:
        h.append(layer(h[-1]))
    grads = torch.autograd.grad(h[-1], h, gradient)
    return torch.stack([g.norm() for g in grads])
