"""Training in eight bits: forward, backward and update. One file, one idea.

| file | idea | rows |
|---|---|---|
| `formats` | a tensor rounded to int8 or to an 8-bit float, with one scale of its own | F4 |
| `layers` | a layer whose three products, forward and backward, see rounded factors | F4 |
| `accumulate` | sums kept in few bits: swamping, and chunks against it | F4 |
| `runs` | a network trained from nothing, one protection removed at a time; the table of the runs | F4 |

Weights that live on a grid, without a copy in floating point, are `qlab.stochastic.OnGrid`; fp16 and its loss scale,
`qlab.neighbours.half`.

Survey-map row: F4.
"""

from qlab.training.accumulate import accumulate, keep_bits
from qlab.training.formats import Float8, Format, Integer
from qlab.training.layers import Formats, quantize_training, round_backward, round_forward

__all__ = [
    "Float8",
    "Format",
    "Formats",
    "Integer",
    "accumulate",
    "keep_bits",
    "quantize_training",
    "round_backward",
    "round_forward",
]
