"""The room of history: two centuries of quantization, one file per idea.

| file | idea | rows |
|---|---|---|
| `least_squares` | normal equations; the best scale for given codes | H1 |
| `integration` | Riemann sums and their orders of convergence | H2 |
| `sheppard` | what rounding does to moments | H3 |
| `pcm`, `companding`, `speech` | sample, quantize, code; logarithmic quantizers; something to say | H4 |
| `entropy`, `entropy_coded` | Shannon's entropy; uniform steps with a variable-rate code | H5 |
| `huffman`, `huffman_bytes` | the shortest prefix code, down to bytes | H6 |
| `sources`, `scalar_quantizer` | densities and the quantizers that are tried on them | H7 |
| `high_resolution`, `lloyd_max`, `lloyd_samples` | Bennett, Panter and Dite; Lloyd and Max | H7 |
| `rate_distortion`, `blahut_arimoto`, `ecsq` | Shannon's bound, and quantizers that pay for their bits | H8 |
| `vector_quantization`, `lattices` | several numbers at once | H9 |
| `dither` | noise that frees the error from the signal | H10 |
| `plane` (import it by name: it needs torch) | every quantizer of the library on one plane | H8 |
| `networks` (import it by name: it needs torch) | what quantizers find in trained networks | H11, H12 |
| `permutation`, `curvature` (the same) | networks up to the order of their units; steep and flat directions | H11 |
| `timeline` | who, when, what | |

Arrays are NumPy, float64; nothing but the modules marked so needs torch.
"""

from .blahut_arimoto import BlahutArimoto, blahut_arimoto, source_rate_distortion
from .companding import CompandedPCM, a_law, a_law_inverse, mu_law, mu_law_inverse
from .dither import Dither, DitheredError, conditional_error, dithered_quantize, schuchman
from .ecsq import ECSQ, ecsq, ecsq_samples, lower_envelope
from .entropy import code_entropy, cross_entropy, entropy, kl_divergence, pmf
from .entropy_coded import entropy_coded_uniform, entropy_coded_uniform_samples
from .high_resolution import (
    bennett_distortion,
    companded_levels,
    panter_dite,
    panter_dite_density,
    uniform_distortion,
)
from .huffman import HuffmanCode, canonical_codes, code_lengths, huffman_code
from .huffman_bytes import huffman_decode, huffman_encode
from .integration import RULES, convergence_order, left_sum, midpoint_sum, simpson_sum, trapezoid_sum
from .lattices import A2, D4, E8, Lattice, Z, ball_second_moment, granular_gain_db
from .least_squares import ScaleFit, normal_equations, optimal_scale, refine_scale
from .lloyd_max import lloyd_max, nearest_level, optimal_uniform
from .lloyd_samples import lloyd_samples, optimal_samples
from .pcm import PCM, bits_to_codes, codes_to_bits, sample, sine_snr_db, snr_db
from .rate_distortion import (
    SPACE_FILLING_GAP_BITS,
    SPACE_FILLING_GAP_DB,
    RatePoint,
    bernoulli_rate,
    gaussian_distortion,
    gaussian_rate,
    laplace_absolute_rate,
    shannon_lower_bound,
)
from .scalar_quantizer import ScalarQuantizer
from .sheppard import (
    Moments,
    central_moments,
    rounded_gaussian_moments,
    rounded_gaussian_variance,
    sheppard_correction,
)
from .sources import Source, as_source, from_pdf, gaussian, laplace, uniform
from .speech import synthetic_speech
from .timeline import Event, timeline
from .vector_quantization import VectorQuantizer, gaussian_shape_gain_db, kmeans, lbg

__all__ = [
    "A2",
    "D4",
    "E8",
    "ECSQ",
    "PCM",
    "RULES",
    "SPACE_FILLING_GAP_BITS",
    "SPACE_FILLING_GAP_DB",
    "BlahutArimoto",
    "CompandedPCM",
    "Dither",
    "DitheredError",
    "Event",
    "HuffmanCode",
    "Lattice",
    "Moments",
    "RatePoint",
    "ScalarQuantizer",
    "ScaleFit",
    "Source",
    "VectorQuantizer",
    "Z",
    "a_law",
    "a_law_inverse",
    "as_source",
    "ball_second_moment",
    "bennett_distortion",
    "bernoulli_rate",
    "bits_to_codes",
    "blahut_arimoto",
    "canonical_codes",
    "central_moments",
    "code_entropy",
    "code_lengths",
    "codes_to_bits",
    "companded_levels",
    "conditional_error",
    "convergence_order",
    "cross_entropy",
    "dithered_quantize",
    "ecsq",
    "ecsq_samples",
    "entropy",
    "entropy_coded_uniform",
    "entropy_coded_uniform_samples",
    "from_pdf",
    "gaussian",
    "gaussian_distortion",
    "gaussian_rate",
    "gaussian_shape_gain_db",
    "granular_gain_db",
    "huffman_code",
    "huffman_decode",
    "huffman_encode",
    "kl_divergence",
    "kmeans",
    "laplace",
    "laplace_absolute_rate",
    "lbg",
    "left_sum",
    "lloyd_max",
    "lloyd_samples",
    "lower_envelope",
    "midpoint_sum",
    "mu_law",
    "mu_law_inverse",
    "nearest_level",
    "normal_equations",
    "optimal_samples",
    "optimal_scale",
    "optimal_uniform",
    "panter_dite",
    "panter_dite_density",
    "pmf",
    "refine_scale",
    "rounded_gaussian_moments",
    "rounded_gaussian_variance",
    "sample",
    "schuchman",
    "shannon_lower_bound",
    "sheppard_correction",
    "simpson_sum",
    "sine_snr_db",
    "snr_db",
    "source_rate_distortion",
    "synthetic_speech",
    "timeline",
    "trapezoid_sum",
    "uniform",
    "uniform_distortion",
]
