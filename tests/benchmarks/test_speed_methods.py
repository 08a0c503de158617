"""No method slower than another library's on the same layer with the same iterations: ratios inside one process.

One thread; both sides do the same number of steps on the same numbers. Targets are read off the table; what is asserted
leaves room for a noisy machine.
"""

import time

import numpy as np
import pytest
import torch
from brevitas.inject.enum import LearnedRoundImplType
from brevitas_examples.common.learned_round.learned_round_method import (
    MSELoss,
    RoundRegularisationLoss,
    insert_learned_round_quantizers,
    return_learned_round_quantizers,
)
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from qlab import PerChannel, Quantizer, Symmetric
from qlab.hardware import compare, machine
from qlab.history import kmeans, lloyd_samples
from qlab.ptq import AdaQuantSettings, AdaRoundSettings
from qlab.ptq.adaquant import adaquant_weight
from qlab.ptq.adaround import adaround_codes
from qlab.ptq.gptq import gptq_codes
from qlab.ptq.moments import InputMoments
from qlab.qat import LSQ
from tests.ptq.gptq_peers import brevitas_codes, brevitas_layer, torchao_codes

pytestmark = pytest.mark.slow
D, ROWS, STEPS = 768, 2048, 20


@pytest.fixture(scope="module")
def layer():
    random = torch.Generator().manual_seed(0)
    mix = torch.eye(D) + 0.1 * torch.randn(D, D, generator=random)
    return torch.randn(D, D, generator=random), torch.randn(ROWS, D, generator=random) @ mix


def moments(x):
    A = (x.T @ x).double()[None] / len(x)
    mean = x.double().mean(0)[None]
    return InputMoments(A, A, mean, mean, len(x))


def lines(table, timings, title, pairs):
    table(f"{title} ({machine()})")
    for ours, theirs in pairs:
        table(f"  {ours:>16} / {theirs:<22} {timings.ratio(ours, theirs)!s:<24} target: at most 1")


@pytest.mark.row("T10")
def test_gptq(layer, table, benchmark):
    """768×768 from the inputs to the codes, with the clock of the thread: other programs on the core do not count.

    torchao has eight bits only and computes in float32, where factorizations take half the time of ours in float64.
    """
    weight, x = layer
    stored = Quantizer(Symmetric(4), PerChannel(0))(weight)

    def run():
        return compare(
            {
                "GPTQ": lambda: gptq_codes(weight, stored, moments(x)),
                "Brevitas": lambda: brevitas_codes(weight, x, 4),
                "torchao, 8 bits": lambda: torchao_codes(weight, x.T @ x / len(x)),
            },
            turns=7,
            warmup=1,
            threads=1,
            clock=time.thread_time,
        )

    t = benchmark.pedantic(run, rounds=1)
    lines(table, t, f"GPTQ, {D}×{D}", [("GPTQ", "Brevitas"), ("GPTQ", "torchao, 8 bits")])
    table(f"  {'':>16}   cost per weight: {1e9 * t.median('GPTQ') / weight.numel():.0f} ns")
    assert t.ratio("GPTQ", "Brevitas").median < 1
    assert t.ratio("GPTQ", "torchao, 8 bits").median < 1


def learned_by_brevitas(weight, x, kind):
    """Learn roundings as Brevitas does: its modules and losses, all inputs in every step, Adam."""
    layer = brevitas_layer(weight, 4)
    with torch.no_grad():
        layer(x[:1])
        target = x @ weight.T
    insert_learned_round_quantizers(layer, kind)
    layer.train()
    values = [r.value for r in return_learned_round_quantizers(layer)]
    losses = [MSELoss(layer)]
    if kind == LearnedRoundImplType.HARD_SIGMOID:
        losses.append(RoundRegularisationLoss(layer, max_count=STEPS))
    optimizer = torch.optim.Adam(values, lr=0.03)
    for _ in range(STEPS):
        found = layer(x)
        loss = sum(part(found, target) for part in losses)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@pytest.mark.row("T8", "T9")
def test_learned_rounding(layer, table, benchmark):
    """Twenty steps of Adam from 2,048 inputs. Ours never sees them again after their moments; Brevitas sees all of them
    in every step. With a quarter of them, its steps cost about what ours cost.
    """
    weight, x = layer
    stored = Quantizer(Symmetric(4), PerChannel(0))(weight)
    round_up, anywhere = LearnedRoundImplType.HARD_SIGMOID, LearnedRoundImplType.IDENTITY

    def run():
        return compare(
            {
                "AdaRound": lambda: adaround_codes(weight, stored, moments(x), AdaRoundSettings(STEPS)),
                "AdaQuant": lambda: adaquant_weight(weight, stored, moments(x), AdaQuantSettings(STEPS)),
                "Brevitas": lambda: learned_by_brevitas(weight, x, round_up),
                "Brevitas, identity": lambda: learned_by_brevitas(weight, x, anywhere),
                "Brevitas, 512 inputs": lambda: learned_by_brevitas(weight, x[:512], round_up),
            },
            turns=3,
            warmup=1,
            threads=1,
        )

    t = benchmark.pedantic(run, rounds=1)
    pairs = [("AdaRound", "Brevitas"), ("AdaRound", "Brevitas, 512 inputs"), ("AdaQuant", "Brevitas, identity")]
    lines(table, t, f"learned rounding, {D}×{D}, {STEPS} steps", pairs)
    for name in ("AdaRound", "AdaQuant"):
        cost = 1e9 * t.median(name) / weight.numel() / STEPS
        table(f"  {name:>16}   cost per weight and step: {cost:.0f} ns")
    assert t.ratio("AdaRound", "Brevitas").median < 1
    assert t.ratio("AdaQuant", "Brevitas, identity").median < 1


@pytest.mark.row("T2")
def test_learned_step(table, benchmark):
    """LSQ forward and backward on 4 M weights of one scale, against PyTorch's own kernel and Brevitas' quantizer."""
    random = torch.Generator().manual_seed(0)
    x, up = (torch.randn(2048, 2048, generator=random) for _ in range(2))
    quantizer = Quantizer(Symmetric(4))
    module = LSQ(quantizer).module(quantizer.calibrate(x), x)
    ours, leaf = x.clone().requires_grad_(), x.clone().requires_grad_()
    scale, zero = quantizer.calibrate(x).scale.clone().requires_grad_(), torch.zeros(1)
    low, high = quantizer.grid.code_range
    factor = (x.numel() * high) ** -0.5

    def pytorch():
        y = torch._fake_quantize_learnable_per_tensor_affine(leaf, scale, zero, low, high, factor)
        return torch.autograd.grad(y, [leaf, scale], up)

    layer = brevitas_layer(x, 4).train()
    layer.quant_weight()  # fixes the scales

    def run():
        return compare(
            {
                "LSQ": lambda: torch.autograd.grad(module(ours), [ours, module.scale], up),
                "PyTorch's kernel": pytorch,
                "Brevitas": lambda: torch.autograd.grad(layer.quant_weight().value, list(layer.parameters()), up),
            },
            turns=7,
            warmup=1,
            threads=1,
        )

    t = benchmark.pedantic(run, rounds=1)
    lines(table, t, "learned step, 2048×2048, forward and backward", [("LSQ", "PyTorch's kernel"), ("LSQ", "Brevitas")])
    assert t.ratio("LSQ", "PyTorch's kernel").median < 1.6
    assert t.ratio("LSQ", "Brevitas").median < 1.2


@pytest.mark.row("Q9", "H9")
def test_kmeans(table, benchmark):
    """The same start, the same number of iterations, no early end. In one dimension ours sorts once."""
    random = np.random.default_rng(0)
    vectors, numbers = random.standard_normal((200_000, 4)), random.laplace(size=500_000)
    start, levels = vectors[:256], np.linspace(-3, 3, 16)

    def theirs(x, start, steps):
        return KMeans(len(start), init=start, n_init=1, max_iter=steps, tol=0, algorithm="lloyd").fit(x)

    def run():
        with threadpool_limits(1):
            return compare(
                {
                    "vectors": lambda: kmeans(vectors, start, tolerance=0, steps=10),
                    "sklearn, vectors": lambda: theirs(vectors, start, 10),
                    "numbers": lambda: lloyd_samples(numbers, 16, levels, steps=10),
                    "sklearn, numbers": lambda: theirs(numbers[:, None], levels[:, None], 10),
                },
                turns=5,
                warmup=1,
            )

    t = benchmark.pedantic(run, rounds=1)
    pairs = [("vectors", "sklearn, vectors"), ("numbers", "sklearn, numbers")]
    lines(table, t, "k-means, 200,000 × 4 and 500,000 × 1, 10 iterations", pairs)
    assert t.ratio("vectors", "sklearn, vectors").median < 1.6
    assert t.ratio("numbers", "sklearn, numbers").median < 1
