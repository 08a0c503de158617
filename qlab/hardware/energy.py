"""The energy of arithmetic and of memory at 45 nm, and what it makes of a network.

    E = Σ_layers MACs·(E_mult(b_w, b_a) + E_add) + bytes read·E_read per byte

A model, not a measurement: it says how the parts compare, and that memory far from the arithmetic dominates all.

Source: Horowitz 2014, *Computing's energy problem (and what we can do about it)*, ISSCC, figure 1.1.9; Gholami et al.
2021, figure 7 (right).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from qlab.hardware.cost import LayerCost

__all__ = ["ADD_PJ", "ADD_UM2", "DRAM_PJ", "MULTIPLY_PJ", "MULTIPLY_UM2", "SRAM_PJ", "Energy", "network_energy"]

# Energy in pJ: Horowitz 2014, figure 1.1.9, as the survey's figure 7 prints it.
ADD_PJ = {"int8": 0.03, "int16": 0.05, "int32": 0.1, "fp16": 0.4, "fp32": 0.9}
MULTIPLY_PJ = {"int8": 0.2, "int32": 3.1, "fp16": 1.1, "fp32": 3.7}
# Area in µm² at 45 nm, from the same survey figure.
ADD_UM2 = {"int8": 36, "int16": 67, "int32": 137, "fp16": 1360, "fp32": 4184}
MULTIPLY_UM2 = {"int8": 282, "int32": 3495, "fp16": 1640, "fp32": 7700}
SRAM_PJ = 5.0  # a 32-bit read from 8 KB
DRAM_PJ = 640.0  # a 32-bit read; Horowitz gives 1.3–2.6 nJ per 64 bits, this is the lower end


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


def network_energy(costs: Iterable[LayerCost], weight_bits: float = 32, activation_bits: float = 32) -> Energy:
    """Return the modelled energy of one inference at batch size 1.

    Assumptions: floating point at 32 bits, integers below; sums in int32 (or fp32); the energy of an integer
    multiplier grows as b_w·b_a (for 32×32 bits that gives 3.2 pJ; Horowitz has 3.1); every weight is read once from
    DRAM, every activation written once and read once in SRAM.

    Parameters
    ----------
    costs : iterable of LayerCost
    weight_bits, activation_bits : float
        Stored bits per element; fractions (scales) count for memory, and the multiplier is the next whole one.

    Raises
    ------
    ValueError
        If bits are not positive.

    Survey-map rows: C1, B1.
    """
    if not (weight_bits > 0 and activation_bits > 0):
        raise ValueError(f"bits must be positive, got {weight_bits} and {activation_bits}")
    costs = list(costs)
    if max(weight_bits, activation_bits) >= 32:
        mac = MULTIPLY_PJ["fp32"] + ADD_PJ["fp32"]
    else:  # a b_w × b_a multiplier scales as the product of its widths
        mac = MULTIPLY_PJ["int8"] * round(weight_bits) * round(activation_bits) / 64 + ADD_PJ["int32"]
    return Energy(
        arithmetic=mac * sum(c.macs for c in costs),
        weights=DRAM_PJ / 32 * weight_bits * sum(c.parameters for c in costs),
        activations=SRAM_PJ / 32 * activation_bits * sum(c.inputs + c.outputs for c in costs),
    )
