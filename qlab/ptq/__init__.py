"""Post-training quantization: passes from model to model that need no training. One file, one method.

| file | method | rows |
|---|---|---|
| `fold` | fold BatchNorm, and remember what it knew | T4, A2 |
| `graph` | which layers are linked; what BatchNorm says of their inputs | T5, T7, Z1 |
| `capped` | ReLU6 with a ceiling per channel, which equalization can pass through | T7, Z1 |
| `equalization` | cross-layer equalization, bias absorption | T7 |
| `moments` | a layer's input in two matrices, streamed | T8, T10 |
| `bias_correction` | empirical, and analytic without data | T5 |
| `adaround` | learned rounding, and the exhaustive judge of tiny layers | T8 |
| `adaquant` | weights and steps fitted to a layer's output | T9 |
| `brecq` | learned rounding of whole blocks | T9 |
| `reservoir` | a fair sample of a stream of pictures | T9 |
| `gptq` | OBQ and GPTQ | T10 |
| `ocs` | outlier channels split in halves | T6 |
| `codes` | weights with codes of their own | T8, T10 |
| `comparison` | the methods of rows T5 to T7 side by side; `comparison_table` holds what came out | T5, T6, T7 |
| `rounding_comparison` | the same for ways to round; `rounding_table` holds what came out | T8, T9, T10 |

Passes take a quantized network from `qlab.quantize`, the original, and batches; no pass changes its arguments.

Survey-map rows: T4, T5, T6, T7, T8, T9, T10.
"""

from qlab.ptq.adaquant import AdaQuantSettings, adaquant
from qlab.ptq.adaround import AdaRoundSettings, adaround, best_rounding
from qlab.ptq.bias_correction import correct_bias, correct_bias_from_statistics
from qlab.ptq.brecq import BrecqSettings, brecq
from qlab.ptq.capped import CappedReLU, relu6_to_capped
from qlab.ptq.codes import with_codes, with_stored
from qlab.ptq.equalization import absorb_bias, equalize, relu6_to_relu
from qlab.ptq.fold import Folded, fold_batchnorm
from qlab.ptq.gptq import gptq, obq_row
from qlab.ptq.graph import clipped_normal, input_statistics, linked_pairs
from qlab.ptq.moments import InputMoments, layer_moments
from qlab.ptq.ocs import split_outliers

__all__ = [
    "AdaQuantSettings",
    "AdaRoundSettings",
    "BrecqSettings",
    "CappedReLU",
    "Folded",
    "InputMoments",
    "absorb_bias",
    "adaquant",
    "adaround",
    "best_rounding",
    "brecq",
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
    "relu6_to_capped",
    "relu6_to_relu",
    "split_outliers",
    "with_codes",
    "with_stored",
]
