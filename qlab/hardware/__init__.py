"""What low precision costs and saves on hardware: counting, modelling energy, measuring time.

Survey-map rows: C1, C4, C7.
"""

from qlab.hardware.cost import LayerCost, layer_costs
from qlab.hardware.energy import Energy, network_energy
from qlab.hardware.timing import Ratio, Timings, compare, machine

__all__ = ["Energy", "LayerCost", "Ratio", "Timings", "compare", "layer_costs", "machine", "network_energy"]
