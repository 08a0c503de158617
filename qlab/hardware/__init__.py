"""What low precision costs and saves on hardware: counting, modelling energy, measuring time.

| file | what it holds | source |
|---|---|---|
| `cost` | parameters, multiply–accumulates, bytes, bit operations of each layer | the survey, sections I and V |
| `energy` | energy and area of operations at 45 nm, and of a network | Horowitz 2014 |
| `multiplier` | a multiplier of AND gates and full adders, counted | the paper-and-pencil method |
| `processors` | peak throughput by precision; throughput and power from milliwatts to kilowatts | makers' figures |
| `roofline` | bandwidth and peak of this machine, and where layers stand | Williams et al. 2009 |
| `timing`, `record` | ratios of times that can be believed; tables that grow line by line | |
| `kernels` | products of packed 8-, 4-, 2- and 1-bit numbers | |
| `networks` | whole networks side by side in PyTorch, ONNX Runtime and our integers | |
| `report` | a page on your own machine: `python -m qlab.hardware report` | |
| `latency` | how long each layer takes at each number of bits, on this machine | HAWQ-V3 |
| `cost_models` | time predicted from MACs, BOPs, bytes, a roofline, a fit | Ma et al. 2018 |
| `scores` | order and size of a prediction: rank correlations, factor of error | Kendall 1938 |
| `layer_times` | times of layers and networks, recorded with their roofline | |

Survey-map rows: C1, C2, C3, C4, C5, C6, C7, W1.
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
