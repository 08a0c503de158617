"""Quantization-aware training: quantizers with parameters, and an ordinary training loop. One file, one method.

| file | method | rows |
|---|---|---|
| `estimators` | straight through a staircase; slower gradients for a scale | T1, T2 |
| `dorefa` | fixed ranges, tanh | T2 |
| `pact` | learned clipping level of activations | T2 |
| `qil` | learned interval: prune below, clip above | T2 |
| `lsq` | learned step (LSQ), and offset (LSQ+) | T2 |
| `dsq` | a soft staircase that sharpens | T3 |
| `relaxed` | noise and a softmax over levels (Gumbel) | T3 |
| `proxquant` | a step towards the grid after each step | T3 |
| `sinreq` | a sine that is zero on the grid | T3 |
| `batchnorm` | freezing and re-estimating statistics | T4 |
| `oscillation` | weights that jump to and fro: counted, frozen, dampened | T4 |
| `apprentice` | a teacher in full precision, three orders of events | D1 |
| `attention_transfer` | where the teacher looks, at any width | D1 |
| `qkd` | study alone, study together, be taught | D1 |
| `learned_points` | the levels are learned, the weights stay | D1 |
| `comparison` | all of T2's on one network, and the table of the runs | T2 |
| `batchnorm_comparison` | all of T4's on one network, and the table of the runs | T4 |
| `without_ste` | all of T3's on one network, and the table of the runs | T3 |
| `distilled` | all of D1's on one student, and the table of the runs | D1 |

The entry points are two: ``quantize(model, Recipe(weight=LSQ(...), activation=LSQ(...)), batches)``, then
``qlab.zoo.train(quantized, data)``. The straight-through estimator itself is the core's `Quantizer.gradient`.

Survey-map rows: T1, T2, T3, T4, D1.
"""

from qlab.qat.apprentice import apprentice_loss
from qlab.qat.attention_transfer import AttentionTransfer, attention_distance, attention_map
from qlab.qat.batchnorm import (
    FrozenBatchNorm,
    LateFreeze,
    batchnorm_divergence,
    freeze_batchnorm,
    reestimate_batchnorm,
)
from qlab.qat.dorefa import DoReFaActivation, DoReFaWeight
from qlab.qat.dsq import DSQ, soft_staircase
from qlab.qat.estimators import slowed, through
from qlab.qat.learned_points import LearnedPoints
from qlab.qat.lsq import LSQ, LSQPlus
from qlab.qat.oscillation import OscillationTracker, dampening
from qlab.qat.pact import PACT, pact_penalty
from qlab.qat.proxquant import ProxQuant, prox_towards
from qlab.qat.qil import QIL
from qlab.qat.qkd import CoStudy, Pair, qkd
from qlab.qat.relaxed import Relaxed, level_probabilities
from qlab.qat.sinreq import ClipWeights, SinReQ, sine_penalty

__all__ = [
    "DSQ",
    "LSQ",
    "PACT",
    "QIL",
    "AttentionTransfer",
    "ClipWeights",
    "CoStudy",
    "DoReFaActivation",
    "DoReFaWeight",
    "FrozenBatchNorm",
    "LSQPlus",
    "LateFreeze",
    "LearnedPoints",
    "OscillationTracker",
    "Pair",
    "ProxQuant",
    "Relaxed",
    "SinReQ",
    "apprentice_loss",
    "attention_distance",
    "attention_map",
    "batchnorm_divergence",
    "dampening",
    "freeze_batchnorm",
    "level_probabilities",
    "pact_penalty",
    "prox_towards",
    "qkd",
    "reestimate_batchnorm",
    "sine_penalty",
    "slowed",
    "soft_staircase",
    "through",
]
