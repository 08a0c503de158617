"""Zero-shot quantization: no picture of the training data is seen. One file, one method.

| file | method | rows |
|---|---|---|
| `ranges` | ranges of activations from BatchNorm's β ± 6γ | Z1 |
| `dfq` | DFQ: equalize, absorb, quantize, correct | Z1 |
| `squant` | SQuant: flips that make rounding errors cancel | Z2 |
| `statistics` | what a network remembers of its data | Z3, Z4 |
| `zeroq` | ZeroQ: distilled inputs | Z3 |
| `generator` | a small conditional generator | Z4 |
| `gdfq` | GDFQ: generate and fine-tune | Z4 |
| `zaq` | ZAQ: an adversarial game | Z4 |
| `deepinversion` | DeepInversion: pictures of given classes | Z4 |
| `finetune` | fine-tuning on any pictures | Z4 |
| `ladder`, `ladder_table` | noise, distilled, generated, real: side by side | Z4 |
| `efficientnet_comparison` | the passes on EfficientNet-Lite0; `make_efficientnet_table` fills its table | T7, Z1 |

Level 1 (no data, no fine-tuning): `dfq`, `squant`. Level 2 (fine-tuning on made data): the others.

Survey-map rows: Z1, Z2, Z3, Z4.
"""

from qlab.zsq.deepinversion import InversionSettings, invert, jensen_shannon, total_variation
from qlab.zsq.dfq import DataFree, dfq, prepare
from qlab.zsq.finetune import finetune
from qlab.zsq.gdfq import Generated, GenerativeSettings, gdfq
from qlab.zsq.generator import Generator, make_generator, soft_cross_entropy
from qlab.zsq.ranges import input_ranges
from qlab.zsq.squant import flips, squant, squant_codes
from qlab.zsq.statistics import Match, statistics_loss, watch_statistics
from qlab.zsq.zaq import channel_relations, discrepancy, zaq
from qlab.zsq.zeroq import DistilSettings, distil, gaussian_inputs

__all__ = [
    "DataFree",
    "DistilSettings",
    "Generated",
    "GenerativeSettings",
    "Generator",
    "InversionSettings",
    "Match",
    "channel_relations",
    "dfq",
    "discrepancy",
    "distil",
    "finetune",
    "flips",
    "gaussian_inputs",
    "gdfq",
    "input_ranges",
    "invert",
    "jensen_shannon",
    "make_generator",
    "prepare",
    "soft_cross_entropy",
    "squant",
    "squant_codes",
    "statistics_loss",
    "total_variation",
    "watch_statistics",
    "zaq",
]
