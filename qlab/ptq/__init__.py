"""Post-training quantization: passes from model to model that need no training. One file, one method.

| file | method | rows |
|---|---|---|
| `fold` | fold BatchNorm, and remember what it knew | T4, A2 |
| `graph` | which layers are linked; what BatchNorm says of their inputs | T5, T7, Z1 |
| `equalization` | cross-layer equalization, bias absorption | T7 |
| `moments` | a layer's input in two matrices, streamed | T8, T10 |
| `bias_correction` | empirical, and analytic without data | T5 |
| `adaround` | learned rounding, and the exhaustive judge of tiny layers | T8 |
| `gptq` | OBQ and GPTQ | T10 |
| `codes` | weights with codes of their own | T8, T10 |

Passes take a quantized network from `qlab.quantize`, the original, and batches; no pass changes its arguments.

Survey-map rows: T4, T5, T7, T8, T10.
"""

from qlab.ptq.adaround import AdaRoundSettings, adaround, best_rounding
from qlab.ptq.bias_correction import correct_bias, correct_bias_from_statistics
from qlab.ptq.codes import with_codes
from qlab.ptq.equalization import absorb_bias, equalize, relu6_to_relu
from qlab.ptq.fold import Folded, fold_batchnorm
from qlab.ptq.gptq import gptq, obq_row
from qlab.ptq.graph import clipped_normal, input_statistics, linked_pairs
from qlab.ptq.moments import InputMoments, layer_moments

__all__ = [
    "AdaRoundSettings",
    "Folded",
    "InputMoments",
    "absorb_bias",
    "adaround",
    "best_rounding",
    "clipped_normal",
    "correct_bias",
    "correct_bias_from_statistics",
    "equalize",
    "fold_batchnorm",
    "gptq",
    "input_statistics",
    "layer_moments",
    "linked_pairs",
    "obq_row",
    "relu6_to_relu",
    "with_codes",
]
