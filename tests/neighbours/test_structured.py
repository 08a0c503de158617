"""Removed filters against the same network with those channels set to zero where they are read."""

import pytest
import torch
from torch import nn

from qlab import zoo
from qlab.hardware import layer_costs
from qlab.neighbours import filter_saliency, prunable, prune, prune_filters, remove_filters

NETWORKS = ["mlp", "convnet", "resnet", "separable"]


def trained_looking(name):
    """A network whose BatchNorms shift and scale, as after training."""
    net = zoo.build(name) if name == "mlp" else zoo.build(name, width=4)
    generator = torch.Generator().manual_seed(0)
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            for t in (m.weight.data, m.bias.data, m.running_mean):
                t.add_(0.3 * torch.randn(t.shape, generator=generator))
            m.running_var.mul_(1 + torch.rand(m.running_var.shape, generator=generator))
    return net.eval()


def silence(model, reader, lost, filters):
    """Set the lost channels to zero where `reader` reads them."""

    def hook(layer, args):
        x = args[0].clone()
        grouped = x.view(x.shape[0], filters, -1)
        grouped[:, lost] = 0
        return (grouped.reshape(x.shape),)

    return model.get_submodule(reader).register_forward_pre_hook(hook)


@pytest.mark.row("B8")
@pytest.mark.parametrize("name", NETWORKS)
def test_removing_equals_silencing(name):
    net = trained_looking(name)
    x = torch.randn(3, 1, 28, 28)
    generator = torch.Generator().manual_seed(1)
    groups = prunable(net)
    keep = {
        n: torch.randperm(g.filters, generator=generator)[: g.filters // 2].sort().values for n, g in groups.items()
    }
    small = remove_filters(net, keep)
    for n, g in groups.items():
        lost = [i for i in range(g.filters) if i not in keep[n]]
        for reader in g.readers:
            silence(net, reader, lost, g.filters)
    torch.testing.assert_close(small(x), net(x), rtol=1e-4, atol=1e-5)
    assert sum(c.macs for c in layer_costs(small, (1, 28, 28))) < sum(c.macs for c in layer_costs(net, (1, 28, 28)))


@pytest.mark.row("B8")
def test_who_can_be_pruned():
    resnet = prunable(zoo.build("resnet", width=2))
    assert set(resnet) == {f"{b}.body.0" for b in range(3, 8)}  # sums keep the rest
    separable = prunable(zoo.build("separable", width=2))
    assert separable["3.body.0"].alike == ("3.body.1", "3.body.3", "3.body.4")  # BatchNorm, depth-wise, BatchNorm
    convnet = prunable(zoo.build("convnet", width=2))
    assert convnet["10"].readers == ("15",)  # through pooling and flatten to the linear layer


@pytest.mark.row("B8")
def test_a_flattened_picture_gives_a_linear_layer_several_inputs_per_channel():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 9, 2)).eval()
    small = remove_filters(net, {"0": torch.tensor([1, 3])})
    assert small[3].in_features == 18
    x = torch.randn(2, 1, 5, 5)
    silence(net, "3", [0, 2], 4)
    torch.testing.assert_close(small(x), net(x))


@pytest.mark.row("B8")
def test_what_must_not_be_pruned():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Conv2d(1, 4, 1), nn.Linear(4, 4), nn.Conv2d(4, 4, 1)

        def forward(self, x):
            return self.c(self.c(self.b(self.a(x))))

    assert prunable(Odd()) == {}  # a linear layer on pictures' columns; a shared layer; the output


@pytest.mark.row("B8")
def test_the_weakest_filters_go():
    net = trained_looking("convnet")
    small = prune_filters(net, 0.5, p=2)
    norms = net[0].weight.detach().flatten(1).square().sum(1)
    kept = sorted(norms.topk(2).indices.tolist())
    assert torch.equal(small[0].weight, net[0].weight[kept])
    assert torch.equal(small[1].running_mean, net[1].running_mean[kept])
    torch.testing.assert_close(filter_saliency(net[0], 2), norms)
    assert [m.out_channels for m in small if isinstance(m, nn.Conv2d)] == [2, 4, 8, 8]
    least = prune_filters(net, 0.99)
    assert least[0].out_channels == 1
    assert least(torch.zeros(1, 1, 28, 28)).shape == (1, 10)


@pytest.mark.row("B8")
def test_bad_input():
    net = trained_looking("convnet")
    with pytest.raises(ValueError, match="cannot be removed"):
        remove_filters(net, {"15": torch.tensor([0])})
    for kept in ([0, 0], [9], [], [-1]):
        with pytest.raises(ValueError, match="different int64 indices from 0 to 3"):
            remove_filters(net, {"0": torch.tensor(kept, dtype=torch.int64)})
    with pytest.raises(ValueError, match="share must"):
        prune_filters(net, 1.0)
    with pytest.raises(ValueError, match="bake"):
        prune_filters(prune(net, 0.5), 0.5)
    with pytest.raises(ValueError, match="got none"):
        prune_filters(nn.Sequential(nn.Linear(2, 2)), 0.5)
    with pytest.raises(ValueError, match="p must be 1 or 2"):
        filter_saliency(net[0], 3)
