"""The energy of arithmetic and of memory at 45 nm, and what it makes of a network.

    E = Σ_layers MACs·(E_mult(b_w, b_a) + E_add) + bytes read·E_read per byte

A model, not a measurement: it says how the parts compare, and that memory far from the arithmetic dominates all.
Weights are read once for each batch, from DRAM unless the caller says from where (`READ_PJ`).

Source: Horowitz 2014, *Computing's energy problem (and what we can do about it)*, ISSCC, figure 1.1.9; Gholami et al.
2021, figure 7 (right).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from qlab.hardware.cost import LayerCost

__all__ = [
    "ADD_PJ",
    "ADD_UM2",
    "DRAM_PJ",
    "INSTRUCTION_PJ",
    "MULTIPLY_PJ",
    "MULTIPLY_UM2",
    "READ_PJ",
    "SRAM_PJ",
    "Energy",
    "mac_energy",
    "network_energy",
]

# Energy in pJ: Horowitz 2014, figure 1.1.9, as the survey's figure 7 prints it.
ADD_PJ = {"int8": 0.03, "int16": 0.05, "int32": 0.1, "fp16": 0.4, "fp32": 0.9}
MULTIPLY_PJ = {"int8": 0.2, "int32": 3.1, "fp16": 1.1, "fp32": 3.7}
# Area in µm² at 45 nm, from the same survey figure.
ADD_UM2 = {"int8": 36, "int16": 67, "int32": 137, "fp16": 1360, "fp32": 4184}
MULTIPLY_UM2 = {"int8": 282, "int32": 3495, "fp16": 1640, "fp32": 7700}
SRAM_PJ = 5.0  # a 32-bit read from 8 KB
DRAM_PJ = 640.0  # a 32-bit read; Horowitz gives 1.3–2.6 nJ per 64 bits, this is the lower end
INSTRUCTION_PJ = 70.0
"""What a processor spends on one instruction, its addition included (same figure): 25 pJ on reading it from its cache,
6 pJ on registers, nearly all of the rest on control."""
READ_PJ: Mapping[str, float] = MappingProxyType(
    {"SRAM 8 KB": 5.0, "SRAM 32 KB": 10.0, "SRAM 1 MB": 50.0, "DRAM, low": 650.0, "DRAM, high": 1300.0}
)
"""A 32-bit read, pJ: half of what Horowitz gives for 64 bits (10, 20, 100, and 1300 to 2600)."""


@dataclass(frozen=True)
class Energy:
    """Modelled energy of one inference, in picojoules.

    Attributes
    ----------
    arithmetic, weights, activations : float
        Multiply–accumulates; weights read once from DRAM; activations read and written once in SRAM.

    Survey-map row: C1.
    """

    arithmetic: float
    weights: float
    activations: float

    @property
    def total(self) -> float:
        """The sum, in picojoules."""
        return self.arithmetic + self.weights + self.activations


def mac_energy(weight_bits: float, activation_bits: float) -> float:
    """Return the energy of one multiply–accumulate, in picojoules.

    E_mult + E_add; at 32 bits in floating point, below that 0.2·b_w·b_a/64 + 0.1 (a sum in int32).

    Parameters
    ----------
    weight_bits, activation_bits : float
        Rounded to whole bits.

    Raises
    ------
    ValueError
        If bits are not positive.

    Examples
    --------
    >>> round(mac_energy(32, 32), 3), round(mac_energy(8, 8), 3), round(mac_energy(4, 8), 3)
    (4.6, 0.3, 0.2)

    Survey-map row: C1.
    """
    if not (weight_bits > 0 and activation_bits > 0):
        raise ValueError(f"bits must be positive, got {weight_bits} and {activation_bits}")
    if max(weight_bits, activation_bits) >= 32:
        return MULTIPLY_PJ["fp32"] + ADD_PJ["fp32"]
    # a b_w × b_a multiplier scales as the product of its widths
    return MULTIPLY_PJ["int8"] * round(weight_bits) * round(activation_bits) / 64 + ADD_PJ["int32"]


def network_energy(
    costs: Iterable[LayerCost],
    weight_bits: float = 32,
    activation_bits: float = 32,
    *,
    weight_read: float = DRAM_PJ,
    batch: int = 1,
) -> Energy:
    """Return the modelled energy of one inference.

    Assumptions: floating point at 32 bits, integers below; sums in int32 (or fp32); the energy of an integer
    multiplier grows as b_w·b_a (for 32×32 bits that gives 3.2 pJ; Horowitz has 3.1); every weight is read once for
    each batch, every activation written once and read once in SRAM.

    Parameters
    ----------
    costs : iterable of LayerCost
    weight_bits, activation_bits : float
        Stored bits per element; fractions (scales) count for memory, and the multiplier is the next whole one.
    weight_read : float
        Energy of reading 32 bits of weights, pJ; `READ_PJ` names some memories.
    batch : int
        Inputs that share one reading of the weights.

    Raises
    ------
    ValueError
        If bits or batch are not positive, or the energy of a read is negative or not finite.

    Examples
    --------
    >>> layer = LayerCost("fc", "Linear", parameters=20, macs=20, inputs=10, outputs=2)
    >>> energy = network_energy([layer], 8, 8, batch=4)  # 20·0.3, 20·8·640/32/4, 12·8·5/32
    >>> [round(part, 6) for part in (energy.arithmetic, energy.weights, energy.activations)]
    [6.0, 800.0, 15.0]

    Survey-map rows: C1, B1.
    """
    mac = mac_energy(weight_bits, activation_bits)
    if batch < 1:
        raise ValueError(f"batch must be at least 1, got {batch}")
    if not (math.isfinite(weight_read) and weight_read >= 0):
        raise ValueError(f"weight_read must be finite and not negative, got {weight_read}")
    costs = list(costs)
    return Energy(
        arithmetic=mac * sum(c.macs for c in costs),
        weights=weight_read / 32 * weight_bits * sum(c.parameters for c in costs) / batch,
        activations=SRAM_PJ / 32 * activation_bits * sum(c.inputs + c.outputs for c in costs),
    )
