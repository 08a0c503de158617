"""What low precision costs and saves on hardware: counting, modelling energy, measuring time.

Survey-map rows: C1, C4, C7.
"""

from qlab.hardware.cost import LayerCost, layer_costs, total_cost
from qlab.hardware.energy import Energy, network_energy
from qlab.hardware.roofline import (
    LayerPoint,
    Roofline,
    layer_points,
    measure_bandwidth,
    measure_peak,
    measure_roofline,
)
from qlab.hardware.timing import Ratio, Timings, compare, machine

__all__ = [
    "Energy",
    "LayerCost",
    "LayerPoint",
    "Ratio",
    "Roofline",
    "Timings",
    "compare",
    "layer_costs",
    "layer_points",
    "machine",
    "measure_bandwidth",
    "measure_peak",
    "measure_roofline",
    "network_energy",
    "total_cost",
]
