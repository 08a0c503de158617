"""Rounding at random, and training with it. One file, one method.

| file | method | rows |
|---|---|---|
| `moments` | mean and variance of stochastic rounding, of sums and products | G1 |
| `parabola` | gradient descent on one number that lives on a grid | G2 |
| `on_grid` | a network whose weights live on a grid, with no copy in floating point | G2 |
| `grid_runs` | the MLP trained on a grid, with master copies, or with nothing rounded; a table of such runs | G2 |
| `binary` | stochastic binarization (BinaryConnect) | G3 |
| `quant_noise` | a random part of the weights is quantized in each pass | G3 |

The rounding itself is the core's `qlab.Stochastic`; its older cousin, dither, is `qlab.history.dither`.

Survey-map rows: G1, G2, G3.
"""

from qlab.stochastic.binary import StochasticBinary, clip_latent, hard_sigmoid
from qlab.stochastic.moments import dot_variance, sum_error, variance
from qlab.stochastic.on_grid import OnGrid, lost_by_nearest
from qlab.stochastic.parabola import descend, stall_distance, stationary_moments
from qlab.stochastic.quant_noise import QuantNoise

__all__ = [
    "OnGrid",
    "QuantNoise",
    "StochasticBinary",
    "clip_latent",
    "descend",
    "dot_variance",
    "hard_sigmoid",
    "lost_by_nearest",
    "stall_distance",
    "stationary_moments",
    "sum_error",
    "variance",
]
