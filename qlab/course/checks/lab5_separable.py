"""Lab 5, what a separable convolution costs: right solutions, and the mistakes that people make.

    parameters = C_out·(C_in/g)·k²,    MACs = parameters·H_out·W_out,    separable / standard = 1/C_out + 1/k²

Survey-map row: B2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from qlab.course.check import Exercise, Mistake, question

__all__ = [
    "BYTES_MOVED",
    "CHANNEL_SQNR",
    "CODES_IN_REACH",
    "EXERCISES",
    "INTENSITY",
    "MACS",
    "MAC_RATIO",
    "OUTPUT_SIZE",
    "PARAMETERS",
    "QUESTIONS",
    "SEPARABLE",
    "SEPARABLE_MACS",
    "TIME_BOUND",
    "TIME_RATIO",
]


# (a) Output size


def _output_size(size: int, kernel: int, stride: int, padding: int) -> int:
    return (size + 2 * padding - kernel) // stride + 1


OUTPUT_SIZE = Exercise(
    "output_size",
    _output_size,
    [
        (28, 3, 1, 1),
        (28, 3, 1, 0),
        (28, 3, 2, 1),
        (29, 5, 2, 2),
        (15, 5, 3, 1),
        (7, 1, 1, 0),
        (10, 1, 2, 0),
        (8, 8, 1, 0),
    ],
    [
        Mistake(
            "the first place is not counted",
            "the kernel stands somewhere before it moves for the first time: count places, not moves.",
            lambda size, kernel, stride, padding: (size + 2 * padding - kernel) // stride,
        ),
        Mistake(
            "the padding is on one side only",
            "zeros are added on both sides of the picture.",
            lambda size, kernel, stride, padding: (size + padding - kernel) // stride + 1,
        ),
        Mistake(
            "the padding is left out",
            "with padding 1, a 28-wide picture is 30 wide for the kernel.",
            lambda size, kernel, stride, padding: (size - kernel) // stride + 1,
        ),
        Mistake(
            "the stride is left out",
            "with stride 2 the kernel skips every other place.",
            lambda size, kernel, stride, padding: size + 2 * padding - kernel + 1,
        ),
        Mistake(
            "the kernel's own width is left out",
            "the kernel must stay inside: its left edge cannot go further than its width before the end.",
            lambda size, kernel, stride, padding: (size + 2 * padding - 1) // stride + 1,
        ),
        Mistake(
            "it is rounded up",
            "a last step that would leave the picture is not taken: round down, before you add 1.",
            lambda size, kernel, stride, padding: math.ceil((size + 2 * padding - kernel) / stride) + 1,
        ),
        Mistake(
            "1 is added before the division",
            "divide the way that the kernel can go by the stride, round down, then add the place where it began.",
            lambda size, kernel, stride, padding: (size + 2 * padding - kernel + 1) // stride,
        ),
        Mistake(
            "it is not rounded",
            "there is no half a place: use //, which rounds down.",
            lambda size, kernel, stride, padding: (size + 2 * padding - kernel) / stride + 1,
        ),
        Mistake(
            "the size is divided by the stride, and no more",
            "that is right only for kernels with just enough padding. Count the places: from where to where can the "
            "kernel go?",
            lambda size, kernel, stride, padding: size // stride,
        ),
    ],
)


# (b) Parameters


def _parameters(c_in: int, c_out: int, kernel: int, groups: int) -> int:
    return c_out * (c_in // groups) * kernel**2


PARAMETERS = Exercise(
    "parameters",
    _parameters,
    [(3, 16, 3, 1), (64, 128, 3, 1), (64, 64, 3, 64), (64, 128, 1, 1), (32, 48, 5, 4), (8, 24, 3, 8)],
    [
        Mistake(
            "the groups are left out",
            "with g groups, a filter sees only C_in/g of the input channels.",
            lambda c_in, c_out, kernel, groups: c_out * c_in * kernel**2,
        ),
        Mistake(
            "the groups divide twice",
            "inputs *and* outputs are split, but there are g such parts. In all, one division by g remains.",
            lambda c_in, c_out, kernel, groups: (c_out // groups) * (c_in // groups) * kernel**2,
        ),
        Mistake(
            "the groups multiply",
            "groups cut connections: there are fewer weights, not more.",
            lambda c_in, c_out, kernel, groups: c_out * c_in * groups * kernel**2,
        ),
        Mistake(
            "the kernel is not squared",
            "a k×k kernel has k² weights for every channel it sees.",
            lambda c_in, c_out, kernel, groups: c_out * (c_in // groups) * kernel,
        ),
        Mistake(
            "there is only one filter",
            "every output channel has a filter of its own.",
            lambda c_in, c_out, kernel, groups: (c_in // groups) * kernel**2,
        ),
        Mistake(
            "a filter sees only one input channel",
            "a filter covers k×k places in *all* input channels of its group, with different weights in each.",
            lambda c_in, c_out, kernel, groups: c_out * kernel**2,
        ),
        Mistake(
            "biases are counted as well",
            "here we count weights only. A bias per output channel is small change.",
            lambda c_in, c_out, kernel, groups: c_out * (c_in // groups) * kernel**2 + c_out,
        ),
        Mistake(
            "inputs and outputs are added",
            "each output channel has weights for each input channel: multiply.",
            lambda c_in, c_out, kernel, groups: (c_out + c_in // groups) * kernel**2,
        ),
    ],
)


# (c) Multiply–accumulates


def _macs(c_in: int, c_out: int, kernel: int, groups: int, size: int, stride: int, padding: int) -> int:
    return _parameters(c_in, c_out, kernel, groups) * _output_size(size, kernel, stride, padding) ** 2


MACS = Exercise(
    "macs",
    _macs,
    [
        (64, 128, 3, 1, 28, 1, 1),
        (64, 64, 3, 64, 28, 1, 1),
        (64, 128, 1, 1, 28, 1, 0),
        (16, 32, 3, 1, 28, 2, 1),
        (32, 48, 5, 4, 15, 3, 1),
        (1, 8, 3, 1, 10, 1, 0),
    ],
    [
        Mistake(
            "the places of the input are counted",
            "a filter is applied once for every place of the *output*; stride and padding change how many these are.",
            lambda c_in, c_out, kernel, groups, size, stride, padding: (
                _parameters(c_in, c_out, kernel, groups) * size**2
            ),
        ),
        Mistake(
            "one row of the output is counted",
            "the output has height *and* width.",
            lambda c_in, c_out, kernel, groups, size, stride, padding: (
                _parameters(c_in, c_out, kernel, groups) * _output_size(size, kernel, stride, padding)
            ),
        ),
        Mistake(
            "multiplications and additions are counted apart",
            "that is the number of operations. A MAC is one multiplication together with its addition.",
            lambda *case: 2 * _macs(*case),
        ),
        Mistake(
            "the groups are left out",
            "with g groups, a filter sees only C_in/g of the input channels: your `parameters` knows it already.",
            lambda c_in, c_out, kernel, groups, size, stride, padding: _macs(
                c_in, c_out, kernel, 1, size, stride, padding
            ),
        ),
        Mistake(
            "the stride is left out",
            "with stride 2, there are a quarter of the places: hand the stride on to `output_size`.",
            lambda c_in, c_out, kernel, groups, size, stride, padding: _macs(
                c_in, c_out, kernel, groups, size, 1, padding
            ),
        ),
        Mistake(
            "the padding is left out",
            "padding makes room for more places: hand it on to `output_size`.",
            lambda c_in, c_out, kernel, groups, size, stride, padding: _macs(
                c_in, c_out, kernel, groups, size, stride, 0
            ),
        ),
        Mistake(
            "the places are not counted",
            "this is the number of parameters. A convolution uses each of them at every place of the output.",
            lambda c_in, c_out, kernel, groups, size, stride, padding: _parameters(c_in, c_out, kernel, groups),
        ),
        Mistake(
            "the output channels come twice",
            "`parameters` has counted the filters of all output channels already: only the places are missing.",
            lambda c_in, c_out, *rest: _macs(c_in, c_out, *rest) * c_out,
        ),
    ],
)


# (d) The separable twin


def _separable_macs(c_in: int, c_out: int, kernel: int, size: int, stride: int, padding: int) -> int:
    out = _output_size(size, kernel, stride, padding)
    return _macs(c_in, c_in, kernel, c_in, size, stride, padding) + _macs(c_in, c_out, 1, 1, out, 1, 0)


SEPARABLE_MACS = Exercise(
    "separable_macs",
    _separable_macs,
    [(64, 128, 3, 28, 1, 1), (16, 32, 3, 28, 2, 1), (32, 8, 5, 15, 3, 1), (12, 12, 3, 10, 1, 0), (8, 24, 7, 14, 2, 3)],
    [
        Mistake(
            "the second layer works on the input's size",
            "the 1×1 convolution sees what the depthwise one has put out, which stride and padding have made smaller.",
            lambda c_in, c_out, kernel, size, stride, padding: (
                _macs(c_in, c_in, kernel, c_in, size, stride, padding) + _macs(c_in, c_out, 1, 1, size, 1, 0)
            ),
        ),
        Mistake(
            "the stride is used twice",
            "only the depthwise layer takes steps. The 1×1 layer goes to every place that is left.",
            lambda c_in, c_out, kernel, size, stride, padding: (
                _macs(c_in, c_in, kernel, c_in, size, stride, padding)
                + _macs(c_in, c_out, 1, 1, _output_size(size, kernel, stride, padding), stride, 0)
            ),
        ),
        Mistake(
            "the padding is used twice",
            "padding makes room for a large kernel. A 1×1 kernel needs none, and with it the output would grow.",
            lambda c_in, c_out, kernel, size, stride, padding: (
                _macs(c_in, c_in, kernel, c_in, size, stride, padding)
                + _macs(c_in, c_out, 1, 1, _output_size(size, kernel, stride, padding), 1, padding)
            ),
        ),
        Mistake(
            "the first layer has no groups",
            "depthwise means that every channel is filtered by itself: as many groups as channels.",
            lambda c_in, c_out, kernel, size, stride, padding: (
                _macs(c_in, c_in, kernel, 1, size, stride, padding)
                + _macs(c_in, c_out, 1, 1, _output_size(size, kernel, stride, padding), 1, 0)
            ),
        ),
        Mistake(
            "the first layer has as many outputs as the second",
            "the depthwise layer filters C_in channels and puts out C_in. The 1×1 layer makes C_out of them.",
            lambda c_in, c_out, kernel, size, stride, padding: (
                c_out * kernel**2 * _output_size(size, kernel, stride, padding) ** 2
                + _macs(c_in, c_out, 1, 1, _output_size(size, kernel, stride, padding), 1, 0)
            ),
        ),
        Mistake(
            "the channels are mixed with large kernels",
            "the second layer mixes channels at one place: its kernel is 1×1.",
            lambda c_in, c_out, kernel, size, stride, padding: (
                _macs(c_in, c_in, kernel, c_in, size, stride, padding)
                + c_in * c_out * kernel**2 * _output_size(size, kernel, stride, padding) ** 2
            ),
        ),
        Mistake(
            "only the depthwise layer is counted",
            "it filters each channel, but nothing mixes them yet. That is the job of the second layer.",
            lambda c_in, c_out, kernel, size, stride, padding: _macs(c_in, c_in, kernel, c_in, size, stride, padding),
        ),
        Mistake(
            "only the 1×1 layer is counted",
            "it mixes channels, but somebody has to look at the neighbourhood: the depthwise layer.",
            lambda c_in, c_out, kernel, size, stride, padding: _macs(
                c_in, c_out, 1, 1, _output_size(size, kernel, stride, padding), 1, 0
            ),
        ),
        Mistake(
            "the two layers are multiplied",
            "they work one after the other: their costs add up.",
            lambda c_in, c_out, kernel, size, stride, padding: (
                _macs(c_in, c_in, kernel, c_in, size, stride, padding)
                * _macs(c_in, c_out, 1, 1, _output_size(size, kernel, stride, padding), 1, 0)
            ),
        ),
        Mistake(
            "this is the standard convolution",
            "count two layers: a depthwise one (groups = C_in), then a 1×1 one.",
            lambda c_in, c_out, kernel, size, stride, padding: _macs(c_in, c_out, kernel, 1, size, stride, padding),
        ),
    ],
)


MAC_RATIO = Exercise(
    "mac_ratio",
    lambda c_out, kernel: 1 / c_out + 1 / kernel**2,
    [(128, 3), (16, 5), (4, 3), (1000, 7)],
    [
        Mistake(
            "it is upside down",
            "the separable one is the cheaper one: its share of the standard one's MACs is below 1.",
            lambda c_out, kernel: 1 / (1 / c_out + 1 / kernel**2),
        ),
        Mistake(
            "the kernel is not squared",
            "divide C_in·k² + C_out·C_in by C_out·C_in·k², term by term.",
            lambda c_out, kernel: 1 / c_out + 1 / kernel,
        ),
        Mistake(
            "the two shares are multiplied",
            "the two layers' costs add up, and so do their shares.",
            lambda c_out, kernel: 1 / c_out / kernel**2,
        ),
        Mistake(
            "the denominators are added",
            "1/a + 1/b is not 1/(a + b).",
            lambda c_out, kernel: 1 / (c_out + kernel**2),
        ),
        Mistake(
            "only the 1×1 layer's share is counted",
            "1/k² is the share of the 1×1 layer. What of the depthwise layer?",
            lambda c_out, kernel: 1 / kernel**2,
        ),
        Mistake(
            "only the depthwise layer's share is counted",
            "1/C_out is the share of the depthwise layer. What of the 1×1 layer?",
            lambda c_out, kernel: 1 / c_out,
        ),
        Mistake(
            "the division drops the fraction",
            "// is a division of whole numbers, and 1 // 9 is 0. Use /.",
            lambda c_out, kernel: 1 // c_out + 1 // kernel**2,
        ),
    ],
)


# (e) Bytes, intensity, time


def _bytes(c_in: int, c_out: int, kernel: int, groups: int, size: int, stride: int, padding: int) -> int:
    out = _output_size(size, kernel, stride, padding)
    return 4 * (_parameters(c_in, c_out, kernel, groups) + c_in * size**2 + c_out * out**2)


def _parts(
    use: Callable[[int, int, int], float],
) -> Callable[[int, int, int, int, int, int, int], float]:
    """A number made from the numbers of weights, inputs and outputs."""

    def solution(c_in: int, c_out: int, kernel: int, groups: int, size: int, stride: int, padding: int) -> float:
        out = _output_size(size, kernel, stride, padding)
        return use(_parameters(c_in, c_out, kernel, groups), c_in * size**2, c_out * out**2)

    return solution


def _swapped_sizes(c_in: int, c_out: int, kernel: int, groups: int, size: int, stride: int, padding: int) -> int:
    return 4 * (_parameters(c_in, c_out, kernel, groups) + (c_in + c_out) * size**2)


def _one_channel(c_in: int, c_out: int, kernel: int, groups: int, size: int, stride: int, padding: int) -> int:
    out = _output_size(size, kernel, stride, padding)
    return 4 * (_parameters(c_in, c_out, kernel, groups) + size**2 + out**2)


def _rows_only(c_in: int, c_out: int, kernel: int, groups: int, size: int, stride: int, padding: int) -> int:
    out = _output_size(size, kernel, stride, padding)
    return 4 * (_parameters(c_in, c_out, kernel, groups) + c_in * size + c_out * out)


def _every_tap(c_in: int, c_out: int, kernel: int, groups: int, size: int, stride: int, padding: int) -> int:
    out = _output_size(size, kernel, stride, padding)
    return 4 * (_parameters(c_in, c_out, kernel, groups) + c_in * kernel**2 * out**2 + c_out * out**2)


BYTES_MOVED = Exercise(
    "bytes_moved",
    _bytes,
    [
        (64, 128, 3, 1, 28, 1, 1),
        (64, 64, 3, 64, 28, 1, 1),
        (64, 128, 1, 1, 28, 1, 0),
        (16, 32, 3, 1, 28, 2, 1),
        (32, 48, 5, 4, 15, 3, 1),
    ],
    [
        Mistake(
            "numbers are counted, not bytes",
            "a number in fp32 has 32 bits. How many bytes is that?",
            _parts(lambda w, i, o: w + i + o),
        ),
        Mistake(
            "bits are counted, not bytes",
            "a byte has 8 bits: a number in fp32 has 4 bytes, not 32.",
            _parts(lambda w, i, o: 32 * (w + i + o)),
        ),
        Mistake(
            "the weights are left out",
            "they have to be read, too.",
            _parts(lambda w, i, o: 4 * (i + o)),
        ),
        Mistake(
            "the input is left out",
            "what the layer computes on has to be read first.",
            _parts(lambda w, i, o: 4 * (w + o)),
        ),
        Mistake(
            "the output is left out",
            "writing is moving, too.",
            _parts(lambda w, i, o: 4 * (w + i)),
        ),
        Mistake(
            "only the weights are counted",
            "activations are moved as well: the input is read, the output written. Which is the larger part here?",
            _parts(lambda w, i, o: 4 * w),
        ),
        Mistake(
            "the output has the input's size",
            "stride and padding change the height and width of the output: use `output_size`.",
            _swapped_sizes,
        ),
        Mistake(
            "the pictures have one channel",
            "the input has C_in channels of size × size numbers, the output C_out.",
            _one_channel,
        ),
        Mistake(
            "the pictures have one row",
            "a channel has height times width numbers.",
            _rows_only,
        ),
        Mistake(
            "the input is read anew at each place",
            "that is what would happen without any cache. We count the least: everything moved once.",
            _every_tap,
        ),
    ],
)

INTENSITY = Exercise(
    "intensity",
    lambda macs, moved: 2 * macs / moved,
    [(1000, 500), (57_802_752, 897_024), (451_584, 403_712)],
    [
        Mistake(
            "a MAC is counted as one operation",
            "a multiply–accumulate is a multiplication and an addition: two operations.",
            lambda macs, moved: macs / moved,
        ),
        Mistake(
            "it is upside down",
            "intensity is operations for each byte: how much work is done with what was fetched.",
            lambda macs, moved: moved / (2 * macs),
        ),
        Mistake(
            "it is upside down, and a MAC is one operation",
            "intensity is operations for each byte, and a MAC is two operations.",
            lambda macs, moved: moved / macs,
        ),
        Mistake(
            "the operations are halved",
            "one MAC is two operations, not half of one.",
            lambda macs, moved: macs / 2 / moved,
        ),
        Mistake(
            "the division drops the fraction",
            "// rounds down. Intensities between whole numbers are worth telling apart: use /.",
            lambda macs, moved: 2 * macs // moved,
        ),
    ],
)


def _roofline(combine: Callable[[float, float], float], per_mac: int = 2) -> Callable[[int, int, float, float], float]:
    return lambda macs, moved, peak, bandwidth: combine(per_mac * macs / peak, moved / bandwidth)


TIME_BOUND = Exercise(
    "time_bound",
    _roofline(max),
    [
        (57_802_752, 897_024, 8e10, 2e10),
        (451_584, 403_712, 8e10, 2e10),
        (10**6, 10**6, 1e10, 1e10),
        (10**6, 3 * 10**6, 1e10, 1e10),
        (10**6, 15 * 10**5, 1e10, 1e10),
    ],
    [
        Mistake(
            "the two times are added",
            "arithmetic and moving go on side by side. Who waits for whom?",
            _roofline(lambda compute, move: compute + move),
        ),
        Mistake(
            "the shorter of the two times is taken",
            "the layer is ready when both are done, so the *longer* one decides.",
            _roofline(min),
        ),
        Mistake(
            "a MAC is counted as one operation",
            "peak is in operations per second, and a multiply–accumulate is two operations.",
            _roofline(max, per_mac=1),
        ),
        Mistake(
            "only the arithmetic is looked at",
            "that is the flat part of the roof. If bytes come too slowly, the units wait.",
            _roofline(lambda compute, move: compute),
        ),
        Mistake(
            "only the moving is looked at",
            "that is the slanted part of the roof. If there is much to compute, memory waits.",
            _roofline(lambda compute, move: move),
        ),
        Mistake(
            "a rate is returned, not a time",
            "min(peak, bandwidth · intensity) is in operations per second. How long do the operations take?",
            lambda macs, moved, peak, bandwidth: min(peak, bandwidth * 2 * macs / moved),
        ),
        Mistake(
            "a MAC is counted as one operation in the intensity",
            "operations per byte: a multiply–accumulate is two operations there, too.",
            lambda macs, moved, peak, bandwidth: 2 * macs / min(peak, bandwidth * macs / moved),
        ),
        Mistake(
            "peak and bandwidth are exchanged",
            "operations are divided by operations per second, bytes by bytes per second.",
            lambda macs, moved, peak, bandwidth: max(2 * macs / bandwidth, moved / peak),
        ),
        Mistake(
            "it is a mean of the two times",
            "neither makes the other faster: the longer one decides.",
            _roofline(lambda compute, move: (compute + move) / 2),
        ),
    ],
)


# (f) The pair in PyTorch


def _separable(conv: nn.Conv2d) -> nn.Sequential:
    c = conv.in_channels
    first = nn.Conv2d(c, c, conv.kernel_size, conv.stride, conv.padding, groups=c, bias=False)  # type: ignore[arg-type]
    return nn.Sequential(first, nn.Conv2d(c, conv.out_channels, 1, bias=conv.bias is not None))


def _pair(
    groups: Callable[[int], int] = lambda c: c,
    first_out: Callable[[nn.Conv2d], int] = lambda conv: conv.in_channels,
    first_stride: bool = True,
    second_stride: bool = False,
    padding: bool = True,
    second_kernel: bool = False,
    biases: tuple[bool | None, bool | None] = (False, None),
) -> Callable[[nn.Conv2d], nn.Sequential]:
    """A pair that may go wrong in many ways; a bias of None is as the convolution's own."""

    def solution(conv: nn.Conv2d) -> nn.Sequential:
        c, middle = conv.in_channels, first_out(conv)
        own = conv.bias is not None
        first, second = (own if b is None else b for b in biases)
        k, s, p = int(conv.kernel_size[0]), int(conv.stride[0]), int(conv.padding[0])
        a = nn.Conv2d(c, middle, k, s if first_stride else 1, p if padding else 0, groups=groups(c), bias=first)
        b = nn.Conv2d(
            middle,
            conv.out_channels,
            k if second_kernel else 1,
            s if second_stride else 1,
            p if second_kernel else 0,
            bias=second,
        )
        return nn.Sequential(a, b)

    return solution


def _pointwise_first(conv: nn.Conv2d) -> nn.Sequential:
    n = conv.out_channels
    k, s, p = int(conv.kernel_size[0]), int(conv.stride[0]), int(conv.padding[0])
    return nn.Sequential(
        nn.Conv2d(conv.in_channels, n, 1, bias=False),
        nn.Conv2d(n, n, k, s, p, groups=n, bias=conv.bias is not None),
    )


def _with_relu(conv: nn.Conv2d) -> nn.Sequential:
    first, second = _separable(conv)
    return nn.Sequential(first, nn.ReLU(), second)


def _with_batchnorm(conv: nn.Conv2d) -> nn.Sequential:
    first, second = _separable(conv)
    return nn.Sequential(first, nn.BatchNorm2d(conv.in_channels), nn.ReLU(), second)


def _three_by_three(conv: nn.Conv2d) -> nn.Sequential:
    c = conv.in_channels
    first = nn.Conv2d(c, c, 3, padding=1, groups=c, bias=False)
    return nn.Sequential(first, nn.Conv2d(c, conv.out_channels, 1, bias=conv.bias is not None))


def _seen(function: Callable[[nn.Conv2d], Any], conv: nn.Conv2d) -> dict[str, Any]:
    """What can be seen of a pair from outside, whatever its random weights."""
    pair = function(conv)
    if not isinstance(pair, nn.Sequential):
        raise TypeError(f"return an nn.Sequential of two layers, not {type(pair).__name__}")
    layers = [layer for layer in pair.modules() if isinstance(layer, nn.Conv2d)]
    x = torch.zeros(2, conv.in_channels, 12, 12)
    with torch.no_grad():
        y = pair(x)
    return {
        "layers": tuple(type(layer).__name__ for layer in pair),
        "shapes of the weights": tuple(tuple(layer.weight.shape) for layer in layers),
        "strides": tuple(tuple(layer.stride) for layer in layers),
        "has a bias": tuple(layer.bias is not None for layer in layers),
        "shape that comes out": tuple(y.shape),
    }


SEPARABLE = Exercise(
    "separable",
    _separable,
    [
        (nn.Conv2d(6, 10, 3, padding=1, bias=False),),
        (nn.Conv2d(8, 12, 5, stride=2, padding=2),),
        (nn.Conv2d(4, 20, 3),),
        (nn.Conv2d(5, 3, 3, stride=3, padding=1, bias=False),),
    ],
    [
        Mistake(
            "the first layer mixes channels already",
            "without groups each filter sees all channels. Depthwise means groups = number of channels.",
            _pair(groups=lambda c: 1),
        ),
        Mistake(
            "the 1×1 layer comes first",
            "that is another design. Here the channels are filtered first, and mixed then.",
            _pointwise_first,
        ),
        Mistake(
            "both layers take steps",
            "two strides of 2 make a stride of 4. Only the first layer gets it.",
            _pair(second_stride=True),
        ),
        Mistake(
            "the wrong layer takes the steps",
            "if only the 1×1 layer skips places, most of what the depthwise layer computes is thrown away.",
            _pair(first_stride=False, second_stride=True),
        ),
        Mistake(
            "kernel, stride and padding are written as numbers",
            "they are different in each convolution: take them from `conv`.",
            _three_by_three,
        ),
        Mistake(
            "the stride is lost",
            "conv.stride has to be handed on to the depthwise layer.",
            _pair(first_stride=False),
        ),
        Mistake(
            "the padding is lost",
            "conv.padding has to be handed on to the depthwise layer, or the output shrinks.",
            _pair(padding=False),
        ),
        Mistake(
            "the second layer has a large kernel",
            "the second layer only mixes channels: its kernel is 1×1, and it needs no padding.",
            _pair(second_kernel=True),
        ),
        Mistake(
            "both layers have a bias",
            "PyTorch gives every layer a bias unless you say bias=False. Here only the second has one, if `conv` has.",
            _pair(biases=(True, True)),
        ),
        Mistake(
            "the second layer always has a bias",
            "it has one only if `conv` has: look whether conv.bias is None.",
            _pair(biases=(False, True)),
        ),
        Mistake(
            "the second layer never has a bias",
            "if `conv` has a bias, its twin needs one, too: look whether conv.bias is None.",
            _pair(biases=(False, False)),
        ),
        Mistake(
            "the first layer has the bias",
            "a bias belongs at the end, where the output channels are: in the second layer.",
            _pair(biases=(None, False)),
        ),
        Mistake(
            "both layers have a bias if the convolution has",
            "the depthwise layer needs none: what it would add, the second layer's bias can add as well.",
            _pair(biases=(None, None)),
        ),
        Mistake(
            "there is a ReLU in between",
            "trained networks have a BatchNorm and a ReLU there. Here we want the plain pair, to compare it with the "
            "plain convolution.",
            _with_relu,
        ),
        Mistake(
            "there are a BatchNorm and a ReLU in between",
            "trained networks have a BatchNorm and a ReLU there. Here we want the plain pair, to compare it with the "
            "plain convolution.",
            _with_batchnorm,
        ),
    ],
    use=_seen,
)


# (g) Fair timing


@dataclass(frozen=True)
class Day:
    """What goes wrong on a simulated machine.

    Attributes
    ----------
    cold : float
        Seconds that the first call of each function takes in addition.
    drift : float
        By how much each call is slower than the one before, as a fraction.
    interrupted : tuple of int
        Calls that take 30 times as long, because something else runs.
    """

    cold: float = 0.0
    drift: float = 0.0
    interrupted: tuple[int, ...] = ()

    def __repr__(self) -> str:
        troubles = ("cold starts", self.cold), ("drift", self.drift), ("interruptions", self.interrupted)
        return f"<a machine with {' and '.join(name for name, there in troubles if there)}>"


class Machine:
    """A simulated machine with an exact clock."""

    def __init__(self, seconds: dict[str, float], day: Day) -> None:
        self.seconds, self.day, self.now = seconds, day, 100.0
        self.calls: list[str] = []
        self.read = False

    def clock(self) -> float:
        """Return the time."""
        self.read = True
        return self.now

    def run(self, name: str) -> None:
        """Let time pass."""
        first_call = name not in self.calls
        self.calls.append(name)
        spent = self.seconds[name] * (1 + self.day.drift) ** len(self.calls)
        spent *= 30 if len(self.calls) in self.day.interrupted else 1
        self.now += spent + (self.day.cold if first_call else 0)


def _on_machine(function: Callable[..., float], first: float, second: float, turns: int, day: Day) -> float:
    machine = Machine({"first": first, "second": second}, day)
    answer = function(lambda: machine.run("first"), lambda: machine.run("second"), turns, machine.clock)
    if answer is not None and not machine.read:
        raise ValueError("the clock was never read: use clock(), which you are given, not a clock of your own")
    return answer


Timer = Callable[[Any, Any, int, Any], float]


def _timer(
    combine: Callable[[list[float], list[float]], float],
    warm: tuple[bool, bool] = (True, True),
    interleaved: bool = True,
    more: int = 0,
) -> Timer:
    def solution(first: Any, second: Any, turns: int, clock: Any) -> float:
        def once(run: Callable[[], None]) -> float:
            start = clock()
            run()
            return clock() - start

        for run, wanted in zip((first, second), warm, strict=True):
            if wanted:
                run()
        if interleaved:
            pairs = [(once(first), once(second)) for _ in range(turns + more)]
            return combine([a for a, _ in pairs], [b for _, b in pairs])
        a = [once(first) for _ in range(turns)]
        return combine(a, [once(second) for _ in range(turns)])

    return solution


def _median_ratio(a: list[float], b: list[float]) -> float:
    return median(x / y for x, y in zip(a, b, strict=True))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


TIME_RATIO = Exercise(
    "time_ratio",
    _timer(_median_ratio),
    [
        (0.004, 0.002, 1, Day(cold=0.05)),
        (0.001, 0.004, 1, Day(cold=0.02)),
        (0.003, 0.003, 9, Day(drift=0.06)),
        (0.002, 0.005, 9, Day(cold=0.02, interrupted=(5, 12))),
        (0.006, 0.002, 7, Day(cold=0.01, interrupted=(3, 4, 13))),
        (0.001, 0.003, 15, Day(cold=0.02, drift=0.03, interrupted=(8, 19))),
    ],
    [
        Mistake(
            "the ratio is upside down",
            "how many times as long the *first* takes: if it takes twice as long, the answer is 2.",
            _timer(lambda a, b: _median_ratio(b, a)),
        ),
        Mistake(
            "there is no warm-up",
            "the first call of each is slow: memory is fetched, kernels are chosen. Run each once beforehand.",
            _timer(_median_ratio, warm=(False, False)),
        ),
        Mistake(
            "the warm-up is counted",
            "the turn in which everything is still cold is not one of the turns: forget its times.",
            _timer(_median_ratio, warm=(False, False), more=1),
        ),
        Mistake(
            "only the first is warmed up",
            "each function has a first call of its own.",
            _timer(_median_ratio, warm=(True, False)),
        ),
        Mistake(
            "only the second is warmed up",
            "each function has a first call of its own.",
            _timer(_median_ratio, warm=(False, True)),
        ),
        Mistake(
            "all turns of one come before all turns of the other",
            "machines drift: what runs later meets another machine. Let the two take turns.",
            _timer(_median_ratio, interleaved=False),
        ),
        Mistake(
            "all turns of one come before all turns of the other, and their medians are compared",
            "machines drift: what runs later meets another machine. Let the two take turns.",
            _timer(lambda a, b: median(a) / median(b), interleaved=False),
        ),
        Mistake(
            "all turns of one come before all turns of the other, and their means are compared",
            "two things: let the two take turns, because machines drift; and take the median, because one interruption "
            "spoils a mean.",
            _timer(lambda a, b: _mean(a) / _mean(b), interleaved=False),
        ),
        Mistake(
            "the mean of the ratios is taken",
            "one interruption, and the mean is far off. The median does not mind.",
            _timer(lambda a, b: _mean([x / y for x, y in zip(a, b, strict=True)])),
        ),
        Mistake(
            "the total times are compared",
            "a total holds every interruption. Take a ratio in each turn, then their median.",
            _timer(lambda a, b: sum(a) / sum(b)),
        ),
        Mistake(
            "the smallest ratio is taken",
            "it is small because the *second* was interrupted just then. Take the median.",
            _timer(lambda a, b: min(x / y for x, y in zip(a, b, strict=True))),
        ),
        Mistake(
            "the largest ratio is taken",
            "it is large because the *first* was interrupted just then. Take the median.",
            _timer(lambda a, b: max(x / y for x, y in zip(a, b, strict=True))),
        ),
        Mistake(
            "the difference is returned",
            "how many *times* as long: divide.",
            _timer(lambda a, b: median(x - y for x, y in zip(a, b, strict=True))),
        ),
        Mistake(
            "the second time holds the first",
            "read the clock right before and right after each call: the second starts where the first has ended.",
            _timer(lambda a, b: median(x / (x + y) for x, y in zip(a, b, strict=True))),
        ),
        Mistake(
            "a time is returned, not a ratio",
            "divide the first's time by the second's, turn by turn.",
            _timer(lambda a, b: median(a)),
        ),
    ],
    tolerance=0.045,
    use=_on_machine,
)


# (h) Ranges of channels


def _weights(seed: int, *shape: int) -> Tensor:
    """Random filters, the channels of which have very different ranges."""
    generator = torch.Generator().manual_seed(seed)
    gain = 2.0 ** torch.linspace(0, -5, shape[0])[torch.randperm(shape[0], generator=generator)]
    w = torch.randn(*shape, generator=generator) * gain.reshape(-1, *[1] * (len(shape) - 1))
    return torch.where(w > 0, 0.8 * w, w)  # the largest weights are negative


def _in_reach(
    w: Tensor,
    bits: int,
    top: Callable[[int], float] = lambda bits: 2 ** (bits - 1) - 1,
    reach: Callable[[Tensor], Tensor] = lambda w: w.abs().flatten(1).amax(1),
    whole: Callable[[Tensor], Tensor] = torch.round,
    count: Callable[[Tensor], Tensor] = lambda m: 2 * m + 1,
) -> Tensor:
    r = reach(w)
    return count(whole(r / (r.max() / top(bits)))).long()


def _shared_axis(w: Tensor) -> Tensor:
    return w.abs().amax(0).flatten()


CODES_IN_REACH = Exercise(
    "codes_in_reach",
    _in_reach,
    [
        (torch.tensor([[[[0.1, -1.0]]], [[[0.45, 0.2]]], [[[-0.03, 0.01]]], [[[0.0, 0.0]]]]), 4),
        (_weights(0, 6, 1, 3, 3), 8),
        (_weights(1, 12, 1, 3, 3), 4),
        (_weights(2, 5, 7, 3, 3), 6),
    ],
    [
        Mistake(
            "every channel gets a scale of its own",
            "then every channel would reach all codes. Here there is one scale, from the largest weight of the tensor.",
            lambda w, bits: torch.full((len(w),), 2**bits - 1),
        ),
        Mistake(
            "the codes on one side of zero are counted",
            "from −m to m.",
            lambda w, bits: _in_reach(w, bits, count=lambda m: m),
        ),
        Mistake(
            "zero is not counted",
            "from −m to m: how many whole numbers are that, 0 included?",
            lambda w, bits: _in_reach(w, bits, count=lambda m: 2 * m),
        ),
        Mistake(
            "zero is counted on one side only",
            "0 … m are m + 1 codes. And the negative ones?",
            lambda w, bits: _in_reach(w, bits, count=lambda m: m + 1),
        ),
        Mistake(
            "it is cut, not rounded",
            "int(), // and floor drop the fraction. The quantizer rounds to the nearest code.",
            lambda w, bits: _in_reach(w, bits, whole=torch.floor),
        ),
        Mistake(
            "it is rounded up",
            "the quantizer rounds to the nearest code, not to the next one.",
            lambda w, bits: _in_reach(w, bits, whole=torch.ceil),
        ),
        Mistake(
            "the largest weights are taken, not the largest magnitudes",
            "the largest weight of a channel may be a negative one: take |w| first.",
            lambda w, bits: _in_reach(w, bits, reach=lambda w: w.flatten(1).amax(1)),
        ),
        Mistake(
            "the scale has twice as many steps",
            "symmetric codes of b bits go from −(2^(b−1) − 1) to 2^(b−1) − 1: half of the codes for each side.",
            lambda w, bits: _in_reach(w, bits, top=lambda bits: 2**bits - 1),
        ),
        Mistake(
            "the scale has one step too many",
            "the largest magnitude gets the code 2^(b−1) − 1, so that is what you divide it by.",
            lambda w, bits: _in_reach(w, bits, top=lambda bits: 2 ** (bits - 1)),
        ),
        Mistake(
            "the ranges are taken over the wrong axes",
            "w has the shape (C_out, C_in/g, k, k): keep axis 0, take the maximum over all others.",
            lambda w, bits: _in_reach(w, bits, reach=_shared_axis),
        ),
        Mistake(
            "the ranges are taken over the input channels only",
            "w has the shape (C_out, C_in/g, k, k): keep axis 0, take the maximum over all others.",
            lambda w, bits: _in_reach(w, bits, reach=lambda w: w.abs().amax(1).flatten()),
        ),
        Mistake(
            "the codes that occur are counted",
            "with nine weights a channel can use nine codes at most. The question is how many lie in its reach.",
            lambda w, bits: torch.tensor(
                [len(set(torch.round(c / (w.abs().max() / (2 ** (bits - 1) - 1))).flatten().tolist())) for c in w]
            ),
        ),
    ],
)


def _sqnr(
    w: Tensor,
    w_hat: Tensor,
    reduce: Callable[[Tensor], Tensor] = lambda v: v.flatten(1).sum(1),
    factor: float = 10.0,
    log: Callable[[Tensor], Tensor] = torch.log10,
) -> Tensor:
    return factor * log(reduce(w**2) / reduce((w - w_hat) ** 2))


def _rounded(w: Tensor, step: float) -> tuple[Tensor, Tensor]:
    return w, torch.round(w / step) * step


CHANNEL_SQNR = Exercise(
    "channel_sqnr",
    _sqnr,
    [
        (torch.tensor([[[[3.0, 4.0]]], [[[1.0, -1.0]]]]), torch.tensor([[[[3.0, 3.0]]], [[[0.0, -1.0]]]])),
        _rounded(_weights(3, 6, 1, 3, 3), 0.05),
        _rounded(_weights(4, 4, 5, 3, 3), 0.2),
    ],
    [
        Mistake(
            "it is upside down",
            "signal over noise: the better, the larger.",
            lambda w, w_hat: -_sqnr(w, w_hat),
        ),
        Mistake(
            "20 is used instead of 10",
            "20·log10 belongs to a ratio of amplitudes. These are squares already.",
            lambda w, w_hat: _sqnr(w, w_hat, factor=20.0),
        ),
        Mistake(
            "the logarithm is the natural one",
            "decibels are counted with log10; torch.log is the natural logarithm.",
            lambda w, w_hat: _sqnr(w, w_hat, log=torch.log),
        ),
        Mistake(
            "the factor 10 is missing",
            "one decibel is the tenth part of a bel: 10·log10.",
            lambda w, w_hat: _sqnr(w, w_hat, factor=1.0),
        ),
        Mistake(
            "there is one number for all channels",
            "sum over all axes but the first: one number for each channel.",
            lambda w, w_hat: _sqnr(w, w_hat, reduce=lambda v: v.sum()),
        ),
        Mistake(
            "the sums run over the wrong axis",
            "w has the shape (C_out, C_in/g, k, k): keep axis 0, sum over all others.",
            lambda w, w_hat: _sqnr(w, w_hat, reduce=lambda v: v.sum(0).flatten()),
        ),
        Mistake(
            "the error is not squared",
            "errors of opposite sign would cancel: square them before you add.",
            lambda w, w_hat: 10 * torch.log10((w**2).flatten(1).sum(1) / (w - w_hat).flatten(1).sum(1)),
        ),
        Mistake(
            "magnitudes are added, not squares",
            "SQNR compares energies: squares of weights with squares of errors.",
            lambda w, w_hat: 10 * torch.log10(w.abs().flatten(1).sum(1) / (w - w_hat).abs().flatten(1).sum(1)),
        ),
        Mistake(
            "the signal is the quantized one",
            "the signal is what it should have been, w.",
            lambda w, w_hat: 10 * torch.log10((w_hat**2).flatten(1).sum(1) / ((w - w_hat) ** 2).flatten(1).sum(1)),
        ),
    ],
)


EXERCISES = [
    OUTPUT_SIZE,
    PARAMETERS,
    MACS,
    SEPARABLE_MACS,
    MAC_RATIO,
    BYTES_MOVED,
    INTENSITY,
    TIME_BOUND,
    SEPARABLE,
    TIME_RATIO,
    CODES_IN_REACH,
    CHANNEL_SQNR,
]


# (i) Questions

QUESTIONS = [
    question(
        "answer_1",
        9,
        {
            3: "a 3×3 kernel has how many weights?",
            64: "64 is the term that hardly matters: 1/64 beside 1/9.",
            1 / 9: "that is what is left. How many times cheaper does it get?",
            10: "with very many channels, 1/9 is all that is left of the sum. How many times cheaper is that?",
            81: "the kernel has k² = 9 weights; squared once is enough.",
        },
    ),
    question(
        "answer_2",
        "c",
        {
            "a": "MACs do not know where the data are. If a layer does few operations for each byte, something else "
            "sets the pace.",
            "b": "the depthwise layer is the one with few MACs. What does it have many of, in proportion?",
            "d": "it has fewer weights. Weights are not the largest part of what is moved here.",
        },
    ),
    question(
        "answer_3",
        "b",
        {
            "a": "a faster unit of arithmetic would only wait longer. What is it waiting for?",
            "c": "fewer MACs shorten the time only if arithmetic is the limit.",
        },
    ),
    question(
        "answer_4",
        17,
        {
            16: "from −8 to 8: count 0 as well.",
            8: "that is one side of zero.",
            9: "that is one side of zero, with 0 itself. And the negative codes?",
            15: "127/16 is 7.94: which whole number is nearest?",
            255: "that is what the widest channel reaches.",
        },
    ),
]
