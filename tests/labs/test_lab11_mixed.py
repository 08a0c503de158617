"""Lab 11's right solutions agree with the library; see test_checks.py for what all labs owe."""

from itertools import product

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from qlab import zoo
from qlab.course.check import CheckFailed, check
from qlab.course.checks import lab11_mixed as lab
from qlab.data import load_calibration
from qlab.mixed import (
    Budget,
    assignment_space,
    distance,
    ground_truth,
    hessian_product,
    hutchinson_traces,
    integer_program,
    pareto_front,
    perturb,
)
from qlab.mixed.assignment import BITS

ALL = [*lab.EXERCISES, *lab.QUESTIONS]
CASES = [(e, m) for e in ALL for m in e.mistakes]


def test_there_are_enough_of_them():
    assert len(CASES) >= 110
    assert all(len(e.mistakes) >= 3 for e in ALL)


@pytest.mark.row("M3")
def test_bytes_agree_with_the_library():
    space = assignment_space(zoo.build("convnet"), (1, 28, 28))
    sizes = [layer.parameters for layer in space.layers]
    for choice in np.random.default_rng(0).integers(0, 5, (20, 5)):
        bits = [BITS[b] for b in choice]
        ours = lab.ASSIGNMENT_BYTES.solution(sizes, [16, 32, 64, 64, 10], bits)
        assert ours == space.total(space.nbytes, choice)


@pytest.mark.slow
@pytest.mark.row("M1")
def test_sensitivity_agrees_with_pytorch_and_the_library():
    z, changed = lab.SENSITIVITY.cases[1]
    ours = lab.SENSITIVITY.solution(z, changed)
    for i, j in product(*map(range, ours.shape)):
        theirs = F.kl_div(changed[i, j].log_softmax(1), z.softmax(1), reduction="batchmean")
        assert float(ours[i, j]) == pytest.approx(float(theirs))
    model = zoo.load("mlp")
    space = assignment_space(model, (1, 28, 28), (2, 4))
    kept = []
    table = perturb(
        model,
        load_calibration(16).tensors()[0],
        space,
        lambda a, b: kept.append((a, b)) or float(lab.SENSITIVITY.solution(a, b[None, None])),
    )
    changed = torch.stack([b for _, b in kept]).reshape(3, 2, 16, 10)
    torch.testing.assert_close(
        lab.SENSITIVITY.solution(kept[0][0], changed).double(), torch.from_numpy(table), rtol=1e-3, atol=1e-6
    )


@pytest.mark.row("M2")
def test_curvature_agrees_with_the_library():
    model = zoo.load("mlp")
    x, labels = load_calibration(8).tensors()
    weights, product_ = hessian_product(model, x, labels, ["5"])

    def loss(w):
        return F.cross_entropy(torch.func.functional_call(model, {"5.weight": w}, (x,)), labels)

    v = torch.randn(weights[0].shape, generator=torch.Generator().manual_seed(1))
    w = weights[0].clone().requires_grad_()
    torch.testing.assert_close(lab.HESSIAN_PRODUCT.solution(loss, w, v), product_([v])[0], rtol=1e-4, atol=1e-6)
    coins = 2.0 * torch.randint(2, (60, *v.shape), generator=torch.Generator().manual_seed(2)) - 1
    mean, error = lab.TRACE.solution(lambda v: product_([v])[0], coins)
    theirs = hutchinson_traces(model, x, labels, 60)
    assert abs(mean - theirs.mean[2]) < 5 * (error + theirs.error[2])


@pytest.mark.row("M3")
@pytest.mark.parametrize("seed", range(5))
def test_optimum_agrees_with_the_integer_program(seed):
    harm, cost, limit = lab._instance(seed, 6, 4, 0.4)
    ours = lab.ALLOCATE.solution(harm, cost, limit)
    assert tuple(ours) == integer_program(harm, [Budget(cost, limit)])
    greedy = lab.GREEDY.solution(harm, cost, limit)
    assert lab._total(cost, greedy) <= limit
    assert lab._total(harm, ours) <= lab._total(harm, greedy)


def test_every_case_has_one_best_answer():
    for harm, cost, limit in lab.ALLOCATE_CASES:
        if harm.size > 24:
            continue
        fits = [b for b in product(range(harm.shape[1]), repeat=len(harm)) if lab._total(cost, b) <= limit]
        harms = sorted(lab._total(harm, b) for b in fits)
        assert len(harms) == 1 or harms[1] > harms[0] + 1e-6
        assert lab._total(harm, lab.ALLOCATE.solution(harm, cost, limit)) == pytest.approx(harms[0])


@pytest.mark.row("M5")
def test_front_and_distance_agree_with_the_library():
    truth = ground_truth("mlp")
    assert lab.PARETO_FRONT.solution(truth.nbytes, -truth.accuracy) == (
        pareto_front(truth.nbytes, -truth.accuracy).tolist()
    )
    limit = truth.space.budget(3)
    ours = lab.LOST.solution(truth.nbytes, truth.accuracy, limit, truth.index((0, 1, 0)))
    assert ours == pytest.approx(distance(truth, (0, 1, 0), limit).lost)


def test_other_right_solutions_pass():
    check(lab.ASSIGNMENT_BYTES, lambda n, c, b: int(sum(-(-x * z // 8) + 4 * y for x, y, z in zip(n, c, b))))  # noqa: B905

    def by_rows(logits, changed):
        p = logits.log_softmax(1)
        return [
            [F.kl_div(z.log_softmax(1), p, reduction="batchmean", log_target=True).item() for z in row]
            for row in changed
        ]

    check(lab.SENSITIVITY, by_rows)
    check(lab.HESSIAN_PRODUCT, lambda loss, w, v: torch.autograd.functional.hvp(loss, w.detach(), v)[1])

    def with_numpy(product_, vectors):
        t = [float(v @ product_(v)) for v in vectors]
        return np.mean(t), np.std(t, ddof=1) / np.sqrt(len(t))

    check(lab.TRACE, with_numpy)
    check(lab.ALLOCATE, lambda harm, cost, limit: integer_program(harm, [Budget(cost, limit)]))

    def backwards(harm, cost, limit):
        """A table over whole costs, walked back."""
        cost, limit = cost.astype(int), int(limit)
        best = np.full((len(harm) + 1, limit + 1), np.inf)
        best[0] = 0.0
        for k in range(len(harm)):
            for b in range(harm.shape[1]):
                price = cost[k, b]
                if price <= limit:
                    best[k + 1, price:] = np.minimum(best[k + 1, price:], best[k, : limit + 1 - price] + harm[k, b])
        chosen, left = [], limit
        for k in reversed(range(len(harm))):
            fits = [b for b in range(harm.shape[1]) if cost[k, b] <= left]
            b = min(fits, key=lambda b: best[k, left - cost[k, b]] + harm[k, b])
            chosen.append(b)
            left -= cost[k, b]
        return chosen[::-1]

    check(lab.ALLOCATE, backwards)
    check(lab.PARETO_FRONT, pareto_front)
    check(lab.LOST, lambda cost, accuracy, limit, i: max(a for a, c in zip(accuracy, cost) if c <= limit) - accuracy[i])  # noqa: B905


@pytest.mark.slow
def test_what_goes_wrong_in_other_ways_is_answered_in_words():
    cases = [
        (lab.SENSITIVITY, lambda logits, changed: 1.0, "return a table"),
        (lab.SENSITIVITY, lambda logits, changed: changed.mul_(0), "changed its argument changed"),
        (lab.HESSIAN_PRODUCT, lambda loss, w, v: (v,), "returns a tuple: take its first entry"),
        (lab.HESSIAN_PRODUCT, lambda loss, w, v: 0.0, "return a tensor"),
        (lab.TRACE, lambda product_, vectors: 1.0, "return two numbers"),
        (lab.GREEDY, lambda harm, cost, limit: None, "nothing here yet"),
        (lab.GREEDY, lambda harm, cost, limit: 3, "return a list with the index"),
        (lab.ALLOCATE, lambda harm, cost, limit: harm.sort() or [0], "changed its argument harm"),
        (lab.ALLOCATE, lambda harm, cost, limit: [0.5] * len(harm), "indices are whole numbers"),
    ]
    for exercise, wrong, words in cases:
        with pytest.raises(CheckFailed, match=words):
            check(exercise, wrong)
