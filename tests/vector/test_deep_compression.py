"""Deep Compression: k-means against scikit-learn, gradients by hand, indices by definition, and files that decode."""

import gzip
import struct
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from torch import nn

from qlab import zoo
from qlab.data import load_test, load_train_subset
from qlab.history.lloyd_samples import optimal_samples
from qlab.neighbours import prune, sparsity
from qlab.vector import (
    deep_compression,
    file_sizes,
    from_bytes,
    from_relative,
    index_entropy,
    into,
    part_sizes,
    read_file,
    share,
    share_weights,
    shared_of,
    streams,
    to_bytes,
    to_relative,
    write_file,
)
from qlab.zoo import TrainingSettings

pytestmark = pytest.mark.row("V1")


def small(p=0.7, bits=2):
    return share_weights(prune(zoo.build("convnet", width=4), p), bits).eval()


@pytest.mark.parametrize("bits", [1, 3])
def test_sharing_is_scikit_learns_kmeans_from_the_same_start(bits):
    w = torch.randn(40, 30, generator=torch.Generator().manual_seed(bits))
    centroids, codes = share(w, bits)
    start = np.linspace(w.min(), w.max(), 1 << bits)[:, None]
    peer = KMeans(1 << bits, init=start, n_init=1, max_iter=5000, tol=0).fit(w.double().reshape(-1, 1).numpy())
    assert np.allclose(centroids, np.sort(peer.cluster_centers_.ravel()), atol=1e-5)
    assert torch.equal(
        codes.flatten() - 1, torch.from_numpy(peer.cluster_centers_.ravel().argsort().argsort()[peer.labels_])
    )


def test_sharing_is_near_the_optimum_and_leaves_zeros():
    w = torch.randn(300, generator=torch.Generator().manual_seed(0))
    w[::3] = 0
    centroids, codes = share(w, 2)
    shared = torch.cat([torch.zeros(1), centroids])[codes]
    assert (shared[::3] == 0).all() and (codes[::3] == 0).all()
    kept = w[w != 0].double().numpy()
    best = float(np.mean((kept - optimal_samples(kept, 4)(kept)) ** 2))
    mine = float((w - shared).square().sum() / len(kept))
    assert best * 0.999 <= mine <= 1.5 * best


@pytest.mark.parametrize("start", ["linear", "density", "forgy"])
def test_every_start_ends_where_centroids_are_means(start):
    w = torch.randn(500, generator=torch.Generator().manual_seed(1))
    centroids, codes = share(w, 3, start, seed=2)
    means = torch.stack([w[codes == k].mean() for k in range(1, 9)])
    assert torch.allclose(centroids, means, atol=1e-6)
    assert torch.equal((w[:, None] - centroids).abs().argmin(1) + 1, codes)


def test_fewer_values_than_centroids_and_what_is_refused():
    centroids, codes = share(torch.tensor([0.0, 2.0, 2.0, -1.0]), 4)
    assert centroids.tolist() == [-1, 2] and codes.tolist() == [0, 2, 2, 1]
    with pytest.raises(ValueError, match="nothing is left to share"):
        share(torch.zeros(3), 2)
    with pytest.raises(ValueError, match="start must be one of"):
        share(torch.ones(3), 2, "best")
    with pytest.raises(ValueError, match="bits must be an integer from 1 to 8, got 9"):
        share(torch.ones(3), 9)
    with pytest.raises(ValueError, match="NaN"):
        share(torch.tensor([1.0, float("nan")]), 1)
    with pytest.raises(ValueError, match="bits must name layers"):
        share_weights(zoo.build("convnet", width=4), {"nine": 3})


@pytest.mark.slow
def test_a_centroids_gradient_is_the_sum_over_its_weights():
    model = small()
    plain = into(model_state(model), zoo.build("convnet", width=4))
    x, y = load_test()[:8].tensors()
    for m in (model, plain.eval()):
        nn.functional.cross_entropy(m(x), y).backward()
    for shared, layer in zip(layers(model), layers(plain), strict=True):
        part = shared_of(shared)
        by_hand = [layer.weight.grad[part.codes == k + 1].sum() for k in range(len(part.centroids))]
        assert torch.allclose(part.centroids.grad, torch.stack(by_hand), atol=1e-5)


def test_the_mean_gradient_is_projected_descent_on_the_weights():
    """Nearest point of the shared weights to w − η·g, for given codes: C_k − η·mean of g over the weights of k."""
    model = share_weights(prune(zoo.build("mlp", hidden=(6,)), 0.5), 2, gradient="mean")
    plain = into(model_state(model), zoo.build("mlp", hidden=(6,)))
    x, y = load_test()[:8].tensors()
    for m in (model, plain):
        nn.functional.cross_entropy(m(x), y).backward()
    part, layer = shared_of(model[1]), plain[1]
    moved = layer.weight.detach() - 0.1 * layer.weight.grad
    nearest = torch.stack([moved[part.codes == k + 1].mean() for k in range(4)])
    assert torch.allclose(part.centroids.detach() - 0.1 * part.centroids.grad, nearest, atol=1e-6)
    with pytest.raises(ValueError, match="gradient must be"):
        share_weights(plain, 2, gradient="median")


def layers(model):
    return [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


def model_state(model):
    return from_bytes(to_bytes(model))


def test_the_figure_of_the_paper():
    """Han 2016, figure 2, spans of 3 bits: weights at 1, 4, 15 (counted from 1) have distances 1, 3, 8 + 3."""
    distances, fillers = to_relative(np.array([1, 4, 15]) - 1, bits=3)
    assert distances.tolist() == [1, 3, 8, 3]
    assert fillers.tolist() == [False, False, True, False]


@given(st.sets(st.integers(0, 3000), max_size=60), st.integers(1, 10))
def test_positions_come_back(positions, bits):
    p = sorted(positions)
    distances, fillers = to_relative(p, bits)
    assert from_relative(distances, fillers).tolist() == p
    assert distances.size == 0 or (distances.min() >= 1 and distances.max() <= 1 << bits)
    assert (~fillers).sum() == len(p)
    assert fillers.sum() == sum((b - a - 1) >> bits for a, b in zip([-1, *p], p, strict=False))


@pytest.mark.parametrize("wrong", [[3, 3], [-1, 2], [[1, 2]]])
def test_positions_that_are_none_are_refused(wrong):
    with pytest.raises(ValueError, match="increasing integers from 0"):
        to_relative(wrong, 3)
    with pytest.raises(ValueError, match="at least 1"):
        from_relative([0, 2], [False, False])
    with pytest.raises(ValueError, match="as many"):
        from_relative([1, 2], [False])


def test_the_entropy_of_distances_is_that_of_a_coin():
    from qlab.history.entropy import code_entropy

    rng = np.random.default_rng(0)
    d, _ = to_relative(np.flatnonzero(rng.random(200_000) < 0.1), 12)
    assert code_entropy(d) == pytest.approx(index_entropy(0.1), abs=0.03)
    assert index_entropy(1.0) == 0
    with pytest.raises(ValueError, match="share"):
        index_entropy(0)


@pytest.mark.parametrize("index_bits", [2, 5, 16])
def test_a_file_decodes_to_the_last_bit(tmp_path, index_bits):
    model = small()
    size = write_file(model, tmp_path / "net.qdc", index_bits)
    assert [f.name for f in tmp_path.iterdir()] == ["net.qdc"]
    assert size == len(to_bytes(model, index_bits)) == sum(part_sizes(model, index_bits).values())
    back = read_file(tmp_path / "net.qdc", zoo.build("convnet", width=4, seed=5)).eval()
    for a, b in zip(layers(model), layers(back), strict=True):
        assert torch.equal(a.weight, b.weight)
    x = load_test()[:20].tensors()[0]
    assert torch.equal(model(x), back(x))


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(st.floats(0, 0.97), st.integers(1, 6), st.integers(1, 9), st.integers(0, 99))
def test_any_sparsity_any_bits_decode(p, bits, index_bits, seed):
    net = nn.Sequential(nn.Linear(17, 9), nn.Linear(9, 4))
    with torch.no_grad():
        for t in net.parameters():
            t.copy_(torch.randn(t.shape, generator=torch.Generator().manual_seed(seed)))
    model = share_weights(prune(net, p, scope="layer"), bits)
    back = into(from_bytes(to_bytes(model, index_bits)), net)
    assert all(torch.equal(a.weight, b.weight) for a, b in zip(layers(model), layers(back), strict=True))


def test_every_damaged_byte_and_every_cut_is_noticed():
    data = to_bytes(share_weights(prune(nn.Sequential(nn.Linear(12, 5)), 0.5), 1))
    for i in range(len(data)):
        with pytest.raises(ValueError, match=r"damaged|must begin"):
            from_bytes(data[:i] + bytes([data[i] ^ 16]) + data[i + 1 :])
        with pytest.raises(ValueError, match=r"must begin|whole file|cut short"):
            from_bytes(data[:i])
    with pytest.raises(ValueError, match="cut short"):
        from_bytes(data + b"more")


def sealed(body):
    return b"QDC1" + struct.pack("<I", zlib.crc32(body)) + body


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"\1\0\0\0", "ends at byte"),
        (b"\0\0\0\0rest", "4 bytes follow"),
        (b"\1\0\0\0\1\0\0\0a\0\1\3\0\0\0\xff", "type's number"),
        (b"\1\0\0\0\1\0\0\0a\1\1\3\0\0\0", "ends at byte"),
    ],
)
def test_contents_that_contradict_themselves_are_refused(body, words):
    with pytest.raises(ValueError, match=words):
        from_bytes(sealed(body))


def test_foreign_files_and_other_networks_are_refused(tmp_path):
    path = tmp_path / "net.qdc"
    path.write_bytes(gzip.compress(b"a network"))
    with pytest.raises(ValueError, match=r"not a file of qlab\.vector"):
        read_file(path, zoo.build("convnet", width=4))
    write_file(small(), path)
    with pytest.raises(ValueError, match=r"they differ at 0\.weight"):
        read_file(path, zoo.build("convnet", width=8))
    with pytest.raises(ValueError, match="call share_weights first"):
        to_bytes(zoo.build("convnet", width=4))


@pytest.mark.slow
def test_huffmans_streams_lie_within_a_bit_of_the_entropy():
    model = small(0.8, 3)
    sizes, parts = file_sizes(zoo.build("convnet", width=4), model), part_sizes(model)
    coded = parts["codes"] + parts["distances"]
    n = sum(len(streams(shared_of(layer), 5).codes) for layer in layers(model))
    assert sizes.entropy <= coded <= sizes.entropy + 2 * n / 8 + 10
    assert sizes.file == len(to_bytes(model)) and sizes.fp32 > sizes.fp32_gzip > 0


@pytest.mark.slow
def test_the_whole_of_it_keeps_zeros_and_learns():
    data = load_train_subset()[:1000]
    settings = TrainingSettings(epochs=1, lr=0.02, augment=False)
    mlp = zoo.load("mlp")
    before = {k: v.clone() for k, v in mlp.state_dict().items()}
    model = deep_compression(mlp, 0.9, 3, data, settings)
    assert sparsity(model) == pytest.approx(0.9, abs=1e-3)
    assert all(len(shared_of(layer).centroids) <= 8 for layer in layers(model))
    test = load_test()[:1000]
    assert zoo.evaluate(model, test) > zoo.evaluate(deep_compression(mlp, 0.9, 3), test) + 0.02
    assert all(torch.equal(v, before[k]) for k, v in mlp.state_dict().items())
    assert len(to_bytes(model, 6)) < 20_000
