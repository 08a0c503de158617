"""Make the times of layers again: ``python -m qlab.hardware.make_layer_times`` (about 2 minutes).

Networks: the four of the zoo in several widths, at batch 1 and 64, and EfficientNet-Lite0 at batch 1, all with random
weights and BatchNorm folded: times do not depend on the numbers. Layers of equal MACs: the experiments behind the
guidelines G1 and G2 of Ma et al. 2018 (*ShuffleNet V2*), a depthwise against a dense convolution, and one fully
connected layer's worth of arithmetic as a convolution. One thread; layers of a network take turns.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from qlab.hardware.cost import layer_costs
from qlab.hardware.layer_times import PLACE
from qlab.hardware.record import commit
from qlab.hardware.roofline import Roofline, measure_bandwidth, measure_peak
from qlab.hardware.timing import compare, machine
from qlab.network import quantizable_layers
from qlab.ptq import fold_batchnorm
from qlab.zoo import build
from qlab.zoo.efficientnet import efficientnet_lite0

WIDTHS: Mapping[str, tuple[dict[str, Any], ...]] = {
    "mlp": tuple({"hidden": h} for h in ((64,), (128, 64), (256, 128), (512, 256), (1024, 512), (300, 300, 300))),
    "convnet": tuple({"width": w} for w in (4, 8, 12, 16, 24, 32)),
    "resnet": tuple({"width": w} for w in (4, 8, 12, 16, 24, 32)),
    "separable": tuple(
        {"width": w, "expand": e} for w, e in ((8, 3), (8, 6), (16, 2), (16, 4), (16, 6), (24, 3), (24, 6), (32, 4))
    ),
}
BATCHES = (1, 64)
COUNTED = ("parameters", "macs", "inputs", "outputs")


def equal_macs() -> dict[str, list[tuple[str, nn.Module, tuple[int, ...]]]]:
    """Return groups of (name, layer, shape of one input); within a group all layers have as many MACs.

    Survey-map row: C7.
    """

    def one(a: int, b: int) -> tuple[str, nn.Module, tuple[int, ...]]:
        return f"{a} → {b}", nn.Conv2d(a, b, 1, bias=False), (a, 28, 28)

    def grouped(channels: int, groups: int) -> tuple[str, nn.Module, tuple[int, ...]]:
        return f"g = {groups}", nn.Conv2d(channels, channels, 1, groups=groups, bias=False), (channels, 28, 28)

    return {
        "dense or depthwise": [
            ("dense, 24 channels", nn.Conv2d(24, 24, 3, padding=1, bias=False), (24, 28, 28)),
            ("depthwise, 576 channels", nn.Conv2d(576, 576, 3, padding=1, groups=576, bias=False), (576, 28, 28)),
        ],
        "G1: channels in and out": [one(96, 96), one(48, 192), one(24, 384), one(16, 576), one(8, 1152)],
        "G2: groups": [grouped(64, 1), grouped(128, 4), grouped(256, 16), grouped(512, 64)],
        "weights used often, or once": [
            ("1×1, 28×28 pixels", nn.Conv2d(72, 64, 1, bias=False), (72, 28, 28)),
            ("1×1, 7×7 pixels", nn.Conv2d(288, 256, 1, bias=False), (288, 7, 7)),
            ("fully connected", nn.Linear(3136, 1152, bias=False), (3136,)),
        ],
    }


def convolution_peak(turns: int = 9) -> float:
    """Return GFLOP/s of one core in a large 3×3 convolution, the median over the turns.

    PyTorch hands matrix products and convolutions to different libraries, and one of them may be the faster: a roof
    that is to bound both is the higher of this and `measure_peak`.

    Survey-map rows: C4, C7.
    """
    layer, x = nn.Conv2d(128, 128, 3, padding=1, bias=False), torch.ones(16, 128, 28, 28)
    with torch.no_grad():
        seconds = compare({"conv": lambda: layer(x)}, turns, threads=1).median("conv")
    return 2e-9 * 128 * 128 * 9 * x[:, 0].numel() / seconds


def kind(layer: nn.Module) -> str:
    """Return linear, depthwise, grouped, 1×1 or dense.

    Survey-map row: C7.
    """
    if not isinstance(layer, nn.Conv2d):
        return "linear"
    if layer.groups > 1:
        return "depthwise" if layer.groups == layer.in_channels else "grouped"
    return "1×1" if layer.kernel_size == (1, 1) else "dense"


def _inputs(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(layer: nn.Module, args: tuple[Tensor, ...]) -> None:
            found[name] = args[0].clone()

        return hook

    hooks = [layer.register_forward_pre_hook(keep(name)) for name, layer in quantizable_layers(model).items()]
    model(x)
    for hook in hooks:
        hook.remove()
    return found


def _quartiles(run: Mapping[str, Callable[[], object]], turns: int) -> dict[str, dict[str, float]]:
    """Return low, median and high of each; short ones run several times in a turn, for the clock's sake."""
    repeats = {}
    for name, job in run.items():
        job()
        start = time.perf_counter()
        job()
        repeats[name] = max(1, min(50, round(5e-4 / (time.perf_counter() - start))))

    def several(name: str) -> Callable[[], None]:
        def go() -> None:
            for _ in range(repeats[name]):
                run[name]()

        return go

    times = compare({name: several(name) for name in run}, turns, threads=1, clock=time.thread_time)
    found = {}
    for name in run:
        low, median, high = np.quantile(times.seconds[name] / repeats[name], [0.25, 0.5, 0.75])
        found[name] = {"low": float(f"{low:.5g}"), "median": float(f"{median:.5g}"), "high": float(f"{high:.5g}")}
    return found


@torch.no_grad()
def time_network(model: nn.Module, shape: tuple[int, ...], batch: int, turns: int) -> dict[str, Any]:
    """Return the quartiles of a network, and of each of its layers with its counts.

    Parameters
    ----------
    model : nn.Module
        In eval mode.
    shape : tuple of int
        Of one input.
    batch, turns : int

    Survey-map row: C7.
    """
    x = torch.randn(batch, *shape, generator=torch.Generator().manual_seed(0))
    modules, inputs = quantizable_layers(model), _inputs(model, x)

    def runner(name: str) -> Callable[[], object]:
        return lambda: modules[name](inputs[name])

    run: dict[str, Callable[[], object]] = {name: runner(name) for name in inputs}
    times = _quartiles({**run, "": lambda: model(x)}, turns)
    layers = [
        {"name": c.name, "kind": kind(modules[c.name]), "batch": batch, **times[c.name]}
        | {key: getattr(c, key) for key in COUNTED}
        for c in layer_costs(model, shape)
    ]
    return {"batch": batch, **times[""], "layers": layers}


def networks() -> Iterator[tuple[str, str, nn.Module, tuple[int, ...], int, int]]:
    """Yield name, family, network, shape of one input, batch and turns of all that is recorded.

    Survey-map row: C7.
    """
    for family, variants in WIDTHS.items():
        for options in variants:
            sizes = [n for value in options.values() for n in (value if isinstance(value, tuple) else (value,))]
            name = f"{family} {'-'.join(map(str, sizes))}"
            model = fold_batchnorm(build(family, **options).eval())
            for batch in BATCHES:
                yield name, family, model, (1, 28, 28), batch, 51
    yield "EfficientNet-Lite0", "efficientnet", fold_batchnorm(efficientnet_lite0().eval()), (3, 224, 224), 1, 51


@torch.no_grad()
def main() -> None:
    """Measure all, and replace the file."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    tiny, one = nn.Linear(1, 1, bias=False), torch.ones(1, 1)
    roofs = [Roofline(measure_peak(), measure_bandwidth()) for _ in range(3)]
    bandwidths = np.median([[rate for _, rate in r.bandwidths] for r in roofs], axis=0)
    sizes = [size for size, _ in roofs[0].bandwidths]
    content: dict[str, Any] = {
        "machine": machine(),
        "commit": commit(),
        "roofline": {
            "peak": round(max(float(np.median([r.peak for r in roofs])), convolution_peak()), 2),
            "product": round(float(np.median([r.peak for r in roofs])), 2),
            "bandwidths": [[size, round(float(rate), 3)] for size, rate in zip(sizes, bandwidths, strict=True)],
        },
        "call": _quartiles({"call": lambda: tiny(one)}, 99)["call"]["median"],
    }
    jobs = list(networks())
    content["networks"] = [
        {"name": name, "family": family, **time_network(model, shape, batch, turns)}
        for name, family, model, shape, batch, turns in tqdm(jobs)
    ]
    content["equal_macs"] = {}
    for group, members in equal_macs().items():
        models = {name: nn.Sequential(layer).eval() for name, layer, _ in members}
        xs = {name: torch.randn(1, *shape) for name, _, shape in members}

        def runner(name: str, models: Any = models, xs: Any = xs) -> Callable[[], object]:
            return lambda: models[name](xs[name])

        times = _quartiles({name: runner(name) for name in models}, 51)
        content["equal_macs"][group] = [
            {"name": name, "kind": kind(layer), "batch": 1, **times[name]}
            | {key: getattr(layer_costs(models[name], shape)[0], key) for key in COUNTED}
            for name, layer, shape in members
        ]
    temporary = PLACE.with_name(PLACE.name + ".tmp")
    temporary.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    os.replace(temporary, PLACE)


if __name__ == "__main__":
    main()
