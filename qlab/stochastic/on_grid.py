r"""Training with weights that live on a grid: no copy in floating point is kept beside them.

    w ← Q(w − ηg)         after every step;   r̃ = Q(r) rounds to nearest or stochastically

With w = S·k and a uniform grid, nearest rounding gives k back whenever |ηg| < S/2: the update is *lost*, this time and
every time. Stochastic rounding moves by one step with probability |ηg|/S (for |ηg| < S), so E[Q(w − ηg)] = w − ηg.
Source: Gupta, Agrawal, Gopalakrishnan, Narayanan 2015, *Deep Learning with Limited Numerical Precision*, section 3.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from qlab.network import quantizable_layers
from qlab.quantizer import Params, Quantizer
from qlab.rounding import Nearest

__all__ = ["OnGrid", "lost_by_nearest"]


def lost_by_nearest(update: Tensor, scale: float | Tensor) -> Tensor:
    """Return where |ηg| < S/2 and ηg ≠ 0: updates that nearest rounding throws away.

    Parameters
    ----------
    update : Tensor
        ηg, what is subtracted from weights that lie on the grid.
    scale : float or Tensor
        S.

    Examples
    --------
    >>> lost_by_nearest(torch.tensor([0.0, 0.04, -0.06]), 0.1)
    tensor([False,  True, False])

    References
    ----------
    Gupta et al. 2015, section 3.

    Survey-map row: G2.
    """
    return (update != 0) & (update.abs() < scale / 2)


@dataclass(eq=False)
class OnGrid:
    """What `qlab.zoo.train` calls after each step: ``train(grid.place(model), data, after_step=grid)``.

    Parameters
    ----------
    quantizers : mapping of layer name to (Quantizer, Params)
        Grid, S and Z of each weight, and how it is rounded: ``rounding=Stochastic(generator)`` or `Nearest`.
        `OnGrid.of` makes the mapping.

    Attributes
    ----------
    lost : list of float
        For each step from the second on: the share of weights that the optimizer changed and rounding put back.

    References
    ----------
    Gupta et al. 2015, section 3.

    Survey-map row: G2.
    """

    quantizers: Mapping[str, tuple[Quantizer, Params]]
    lost: list[float] = field(default_factory=list)
    _before: dict[str, Tensor] = field(default_factory=dict, repr=False)

    @staticmethod
    def of(model: nn.Module, quantizers: Mapping[str, Quantizer], headroom: float = 1.0) -> OnGrid:
        """Fix S and Z of the named layers by their weights as they are now, times `headroom` for what they will become.

        Raises
        ------
        ValueError
            If headroom is not positive, or a name is no linear or convolutional layer.
        """
        if not headroom > 0:
            raise ValueError(f"headroom must be positive, got {headroom}")
        layers = quantizable_layers(model)
        if odd := quantizers.keys() - layers.keys():
            raise ValueError(f"quantizers must name layers among {', '.join(layers)}, got {', '.join(sorted(odd))}")
        start = {name: q.calibrate(layers[name].weight) for name, q in quantizers.items()}
        return OnGrid({n: (q, Params(headroom * start[n].scale, start[n].zero_point)) for n, q in quantizers.items()})

    @torch.no_grad()
    def place(self, model: nn.Module) -> nn.Module:
        """Return a copy of `model` with the weights at their nearest levels: where training begins."""
        model = copy.deepcopy(model)
        layers = quantizable_layers(model)
        for name, (quantizer, params) in self.quantizers.items():
            weight = layers[name].weight
            weight.copy_(quantizer.with_(rounding=Nearest()).fake(weight, params))
        return model

    @torch.no_grad()
    def __call__(self, model: nn.Module, progress: float) -> None:
        """Round the weights of `model`, in place."""
        layers = quantizable_layers(model)
        asked = lost = 0
        for name, (quantizer, params) in self.quantizers.items():
            weight = layers[name].weight
            wanted = weight.clone()
            weight.copy_(quantizer.fake(weight, params))
            if name in self._before:
                changed = wanted != self._before[name]
                asked += int(changed.sum())
                lost += int((changed & (weight == self._before[name])).sum())
            self._before[name] = weight.clone()
        if asked:
            self.lost.append(lost / asked)
