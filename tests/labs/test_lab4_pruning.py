"""Lab 4's right solutions agree with the library; see test_checks.py for what all labs owe."""

import numpy as np
import pytest
import torch

from qlab import PerChannel, Quantizer, Symmetric, zoo
from qlab.course.check import CheckFailed, check
from qlab.course.checks import lab4_pruning as lab
from qlab.neighbours import compress, csr_bytes, magnitude, mask_of, optimal_brain_surgeon, prune, storage_bytes
from qlab.network import quantizable_layers

ALL = [*lab.EXERCISES, *lab.QUESTIONS]
CASES = [(e, m) for e in ALL for m in e.mistakes]


def test_there_are_enough_of_them():
    assert len(CASES) >= 80
    assert all(len(e.mistakes) >= 2 for e in ALL)


@pytest.mark.row("B7")
def test_the_masks_are_the_librarys():
    net = zoo.build("mlp", hidden=(12, 7))
    weights = {name: layer.weight.detach() for name, layer in quantizable_layers(net).items()}
    for p in (0.0, 0.37, 0.9):
        for scope, masks in (
            ("global", lab.GLOBAL_MASKS.solution(weights, p)),
            ("layer", {name: lab.MAGNITUDE_MASK.solution(w, p) for name, w in weights.items()}),
        ):
            pruned = prune(net, p, scope=scope)
            for name, layer in quantizable_layers(pruned).items():
                assert torch.equal(mask_of(layer), masks[name])
    assert magnitude(net).keys() == weights.keys()


@pytest.mark.row("B7")
def test_bytes_are_the_librarys():
    for n, k, b in ((1000, 123, 5), (64, 64, 8), (9, 0, 32)):
        assert lab.BITMAP_BYTES.solution(n, k, b) == storage_bytes(n, k, b)["bitmap"]
    for rows, k, v, i in ((100, 2500, 32, 32), (7, 40, 8, 16)):
        assert lab.CSR_BYTES.solution(rows, k, v, i) == csr_bytes(rows, k, v, i)


@pytest.mark.row("B7")
def test_surgery_is_the_librarys():
    for w, H in lab.OBS_STEP.cases:
        q, new = lab.OBS_STEP.solution(w, H)
        done = optimal_brain_surgeon(w[None], H, 1 / len(w))
        torch.testing.assert_close(new, done.weight[0])
        assert done.mask[0].tolist() == [i != q for i in range(len(w))]
        assert torch.linalg.eigvalsh(H).min() > 0.01


@pytest.mark.row("B7")
def test_compressed_weights_and_bytes_are_the_librarys():
    net = zoo.build("mlp", hidden=(12, 7))
    weights = {name: layer.weight.detach() for name, layer in quantizable_layers(net).items()}
    for p, bits in ((0.0, 8), (0.6, 4), (0.9, 5)):
        found, size = lab.COMPRESS.solution(weights, p, bits)
        theirs = compress(net, p, Quantizer(Symmetric(bits), PerChannel(0)))
        for name, layer in quantizable_layers(theirs.model).items():
            torch.testing.assert_close(found[name], layer.weight.detach())
        assert all(entry.format in ("dense", "bitmap") for entry in theirs.layers)
        assert size == sum(entry.nbytes for entry in theirs.layers)


def test_other_right_solutions_pass():
    def by_topk(w, sparsity):
        mask = torch.zeros(w.numel())
        mask[w.abs().flatten().topk(w.numel() - round(sparsity * w.numel())).indices] = 1
        return mask.reshape(w.shape)

    check(lab.MAGNITUDE_MASK, by_topk)

    def by_threshold(weights, sparsity):
        sizes = np.sort(np.concatenate([w.abs().numpy().ravel() for w in weights.values()]))
        count = round(sparsity * len(sizes))
        return {name: w.abs() > float(sizes[count - 1]) for name, w in weights.items()}

    check(lab.GLOBAL_MASKS, by_threshold)

    def by_solving(w, H):
        columns = torch.linalg.solve(H, torch.eye(len(w), dtype=w.dtype))
        q = int(torch.argmin(w.square() / columns.diagonal()))
        new = w - columns[:, q] * (w[q] / columns[q, q])
        return q, new

    check(lab.OBS_STEP, by_solving)


def test_a_mask_that_is_no_mask_is_told_so():
    with pytest.raises(CheckFailed, match="True where a weight stays"):
        check(lab.MAGNITUDE_MASK, lambda w, sparsity: w.abs() - 1)
    with pytest.raises(CheckFailed, match=r"must be a torch\.Tensor"):
        check(lab.MAGNITUDE_MASK, lambda w, sparsity: [True] * w.numel())
