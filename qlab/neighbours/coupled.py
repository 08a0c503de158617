"""Pruning, quantization and distillation together, or one after the other: the same network, bytes and epochs.

    prune, train, round     masks, ten epochs, then rounding to the nearest code
    prune, then quantize    masks, five epochs; learned steps (LSQ), five more
    quantize, then prune    learned steps, five epochs; masks, by the weights behind the codes; five more
    quantize, prune codes   the same, but the masks see the codes only, as somebody does who receives them
    together                masks and learned steps, ten epochs
    CLIP-Q                  pruned and quantized anew at every step, ten epochs; zeros may come back

each on labels, or under the network itself as it was (its recorded answers at T = 4, weight 0.9). The network is the
MLP of the zoo, pruned by the same share in every layer. The table is made by `make_coupled_table`.

Sources: Tung, Mori 2018, *CLIP-Q*; Han, Mao, Dally 2016, *Deep compression*; Gholami et al. 2021, section VI.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from qlab.calibration import MSE
from qlab.data import Images, load_test, load_train_subset
from qlab.grids import Symmetric
from qlab.hardware.record import read_as
from qlab.neighbours.clip_q import ClipQ
from qlab.neighbours.combine import compressed_bytes
from qlab.neighbours.distillation import distil_recorded
from qlab.neighbours.pruning import bake, prune
from qlab.network import Recipe, quantizable_layers, quantize
from qlab.qat.lsq import LSQ
from qlab.quantizer import Quantizer
from qlab.zoo import TrainingSettings, evaluate, load, predict

__all__ = ["ORDERS", "CoupledRun", "compress_in_order", "coupled_table", "run_coupled"]

PLACE = Path(__file__).with_name("coupled_table.csv")
ORDERS = (
    "prune, train, round",
    "prune, then quantize",
    "quantize, then prune",
    "quantize, prune codes",
    "together",
    "CLIP-Q",
)
"""What comes first."""
EPOCHS = 10


class CoupledRun(NamedTuple):
    """One line of the table.

    Attributes
    ----------
    order : str
        One of `ORDERS`.
    bits : int
    sparsity : float
        Asked for; quantizing adds zeros of its own.
    taught : int
        1 under the teacher, 0 on labels.
    seed : int
    nbytes : int
        As `compressed_bytes` counts.
    accuracy : float
        On the 10,000 test pictures, 0 … 1.

    Survey-map row: F3.
    """

    order: str
    bits: int
    sparsity: float
    taught: int
    seed: int
    nbytes: int
    accuracy: float


@cache
def _answers() -> Tensor:
    return predict(load("mlp"), load_train_subset())


def _fit(model: nn.Module, epochs: int, taught: bool, seed: int) -> nn.Module:
    settings = TrainingSettings(epochs, 64, 0.05, weight_decay=1e-4, augment=False, seed=seed)
    return distil_recorded(model, _answers(), load_train_subset(), settings, 4.0, 0.9 if taught else 0.0)


def _behind(model: nn.Module) -> nn.Module:
    """Return a quantized model with the weights that training has moved, in floating point."""
    plain = bake(model)
    for name, layer in quantizable_layers(model).items():
        original = layer.parametrizations.weight.original.detach()
        plain.get_submodule(name).weight = nn.Parameter(original.clone())
    return plain


def compress_in_order(
    order: str, bits: int, sparsity: float, taught: bool, seed: int = 0, epochs: int = EPOCHS
) -> nn.Module:
    """Return the MLP of the zoo pruned and quantized in one of the orders.

    Parameters
    ----------
    order : str
        One of `ORDERS`.
    bits : int
    sparsity : float
        Share of zeros in every layer.
    taught : bool
    seed : int
        Of the order of the pictures.
    epochs : int
        In all; two phases have half each.

    Raises
    ------
    ValueError
        If there is no such order.

    Survey-map row: F3.
    """
    if order not in ORDERS:
        raise ValueError(f"order must be one of {'; '.join(ORDERS)}, got {order!r}")
    model: nn.Module = load("mlp")
    core = Quantizer(Symmetric(bits), calibration=MSE())
    steps, half = Recipe(weight=LSQ(core)), epochs // 2
    if order == "CLIP-Q":
        return _fit(quantize(model, Recipe(weight=ClipQ(sparsity, bits))), epochs, taught, seed)
    if order.startswith("quantize"):
        model = _fit(quantize(model, steps), half, taught, seed)
        model = _behind(model) if order == "quantize, then prune" else bake(model)
    model = prune(model, sparsity, scope="layer")
    if order == "prune, train, round":
        return quantize(_fit(model, epochs, taught, seed), Recipe(weight=core))
    if order == "prune, then quantize":
        model = _fit(model, half, taught, seed)
    return _fit(quantize(model, steps), epochs if order == "together" else half, taught, seed)


def run_coupled(
    order: str, bits: int, sparsity: float, taught: int, seed: int, test: Images | None = None
) -> CoupledRun:
    """Make one line of the table.

    Survey-map row: F3.
    """
    model = compress_in_order(order, bits, sparsity, bool(taught), seed)
    accuracy = evaluate(model, load_test() if test is None else test)
    return CoupledRun(order, bits, sparsity, taught, seed, compressed_bytes(model), accuracy)


@cache
def coupled_table(path: Path = PLACE) -> tuple[CoupledRun, ...]:
    """Return the runs of the table that the package holds.

    Survey-map row: F3.
    """
    return read_as(path, CoupledRun)
