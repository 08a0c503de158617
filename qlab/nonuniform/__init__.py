"""Non-uniform quantization: levels that are optimized for the data. One file, one method.

| file | method | rows |
|---|---|---|
| `codebooks` | levels by k-means, and at quantiles | Q9 |
| `binary_codes` | W ≈ Σ αᵢbᵢ: the two easy halves of the problem | Q10 |
| `sketching` | greedy, refined, and shifted signs | Q10 |
| `multi_bit` | alternating least squares | Q10 |
| `sum_of_signs` | any of these in a recipe, for whole networks | Q10 |
| `lq_nets` | LQ-Nets: a basis learned while training | Q9, Q10 |

Rule-based levels (powers of two and their sums) are grids of the core, `qlab.powers_of_two`; NF4 is `qlab.grids.NF4`;
Lloyd–Max for densities is in `qlab.history.lloyd_max`.

Survey-map rows: Q9, Q10.
"""

from qlab.nonuniform.binary_codes import BinaryCodes, best_alphas, best_codes
from qlab.nonuniform.codebooks import kmeans_codebook, quantile_codebook
from qlab.nonuniform.lq_nets import LQ
from qlab.nonuniform.multi_bit import alternating
from qlab.nonuniform.sketching import greedy, shifted_signs
from qlab.nonuniform.sum_of_signs import SumOfSigns

__all__ = [
    "LQ",
    "BinaryCodes",
    "SumOfSigns",
    "alternating",
    "best_alphas",
    "best_codes",
    "greedy",
    "kmeans_codebook",
    "quantile_codebook",
    "shifted_signs",
]
