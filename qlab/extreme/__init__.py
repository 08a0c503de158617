"""Binary and ternary networks: weights, and activations, of one bit or a little more. One file, one method.

| file | method | rows |
|---|---|---|
| `signs` | the sign, and what to pretend about its derivative | E1 |
| `bnn` | BNN: weights and activations ±1; BinaryConnect's deterministic form | E1 |
| `xnor_net` | BWN and XNOR-Net: scales of least squares, α and K | E2 |
| `xnor_product` | the product of signs by XOR and a count of ones | E2 |
| `twn` | TWN: −α, 0, α, threshold in closed form | E3 |
| `ttq` | TTQ: two trained levels and zero | E3 |
| `abc_net` | ABC-Net: several bases for weights and for activations | E4 |
| `horq` | HORQ: signs of activations, then of what is left | E4 |
| `exhaustive` | the exact optimum for tiny vectors | E3, E4 |
| `loss_aware` | LAB: the scale that costs the loss least | E5 |
| `bireal` | Bi-Real Net: a better derivative, shortcuts | E5 |
| `levels` | what the quantizers share | E1, E2, E3 |
| `comparison` | all of them on the same networks, and the table of the runs | E1 … E5 |

BinaryConnect with coins is `qlab.stochastic.StochasticBinary`; greedy and alternating sums of signs of finished weights
are in `qlab.nonuniform`; distillation is in `qlab.neighbours`. The entry points are those of `qlab.qat`:
``quantize(model, Recipe(BWN(), SignInput(), dynamic=True))``, then ``qlab.zoo.train``.

Survey-map rows: E1, E2, E3, E4, E5.
"""

from qlab.extreme.abc_net import ABCInput, ABCWeight, spread_levels
from qlab.extreme.bireal import approx_sign, real_shortcuts
from qlab.extreme.bnn import SignInput, SignWeight, clip_to_one, without_relu
from qlab.extreme.exhaustive import best_signs, best_ternary
from qlab.extreme.horq import HORQInput, residual_signs
from qlab.extreme.loss_aware import LossAware, loss_aware_scale
from qlab.extreme.signs import hard_tanh, sign
from qlab.extreme.ttq import TTQ
from qlab.extreme.twn import TWN, exact_threshold, ternary, twn_threshold
from qlab.extreme.xnor_net import BWN, XNORInput, input_scale, with_input_scales
from qlab.extreme.xnor_product import pack_signs, packed_matmul, unpack_signs, xnor_conv2d, xnor_linear

__all__ = [
    "BWN",
    "TTQ",
    "TWN",
    "ABCInput",
    "ABCWeight",
    "HORQInput",
    "LossAware",
    "SignInput",
    "SignWeight",
    "XNORInput",
    "approx_sign",
    "best_signs",
    "best_ternary",
    "clip_to_one",
    "exact_threshold",
    "hard_tanh",
    "input_scale",
    "loss_aware_scale",
    "pack_signs",
    "packed_matmul",
    "real_shortcuts",
    "residual_signs",
    "sign",
    "spread_levels",
    "ternary",
    "twn_threshold",
    "unpack_signs",
    "with_input_scales",
    "without_relu",
    "xnor_conv2d",
    "xnor_linear",
]
