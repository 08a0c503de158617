"""The neighbours of quantization: other ways to make a network smaller, and what they do together.

| file | idea | rows |
|---|---|---|
| `separable` | depth-wise separable convolution | B2 |
| `low_rank` | truncated SVD of linear and convolutional layers | B3 |
| `blocks` | residual and inception blocks; scales at sums and concatenations | B4 |
| `search`, `search_space` | architecture search under a byte or latency budget, against random search | B5, B6 |
| `search_table`, `make_search_table` | the whole space, trained once | B5 |
| `random_search` | what random search finds, exactly; the Pareto front | B5 |
| `pruning`, `saliency`, `obs`, `sparse` | masks; optimal brain damage and surgery; sparse products | B7 |
| `structured` | whole filters, really removed | B8 |
| `distillation` | the teacher's soft probabilities | B9 |
| `combine` | prune, distil, quantize: every byte counted | B10 |
| `combinations`, `combinations_table`, `make_combinations_table` | each alone and all together, at equal bytes | B10 |
| `clip_q` | pruned and quantized anew at every step | F3 |
| `coupled`, `make_coupled_table` | orders of pruning, quantization and distillation, and the table of the runs | F3 |
| `codesign` | network, bits and arithmetic unit together, or in turn | F2 |
| `half` | fp16, bf16 and loss scaling | B11 |
| `neuroscience`, `noisy_network` | relay chains and noisy wires | B12 |
"""

from qlab.neighbours.blocks import (
    AlignmentError,
    Inception,
    Residual,
    concat_scales,
    gradient_by_depth,
    stack,
    sum_scales,
)
from qlab.neighbours.combine import (
    Compressed,
    LayerBytes,
    bits_for_bytes,
    compress,
    compressed_bytes,
    decode_sparse,
    encode_sparse,
    layer_bytes,
    sparsity_for_bytes,
    storage_bytes,
)
from qlab.neighbours.distillation import (
    Distillation,
    distil,
    distil_recorded,
    distillation_loss,
    soft_cross_entropy,
    soft_labels,
)
from qlab.neighbours.half import (
    FORMATS,
    HalfFormat,
    LossScale,
    emulate_half,
    gradients,
    half_step,
    lost_updates,
    signal_gradients,
    underflow,
)
from qlab.neighbours.low_rank import (
    break_even_rank,
    low_rank,
    low_rank_layer,
    rank_for_energy,
    singular_values,
    truncated_svd,
)
from qlab.neighbours.neuroscience import (
    Noise,
    Sensory,
    Synaptic,
    Thermal,
    analog_chain,
    analog_information,
    analog_rms,
    chain_error,
    chain_information,
    discrete_chain,
    evenly_spaced,
    relay_error,
    transition_matrix,
)
from qlab.neighbours.noisy_network import NoisyWire, noisy_network
from qlab.neighbours.obs import (
    Surgery,
    input_hessian,
    obs_saliency,
    optimal_brain_surgeon,
    prune_obs,
    prune_obs_path,
    surgery_path,
)
from qlab.neighbours.pruning import Mask, bake, magnitude, mask_of, prune, sparsity, with_masks
from qlab.neighbours.random_search import pareto_front, random_search_ranks
from qlab.neighbours.saliency import hessian_diagonal, optimal_brain_damage
from qlab.neighbours.search import (
    SearchResult,
    Trial,
    all_candidates,
    candidate_bytes,
    candidate_latency,
    search,
    tabular,
    tabular_test,
)
from qlab.neighbours.search_space import SPACE, Candidate, build_candidate, train_candidate, trained_accuracy
from qlab.neighbours.separable import nearest_separable, separable_like, separable_ratio
from qlab.neighbours.sparse import SparseTime, csr_bytes, random_sparse, sparse_against_dense, to_csr
from qlab.neighbours.structured import Channels, filter_saliency, prunable, prune_filters, remove_filters

__all__ = [
    "FORMATS",
    "SPACE",
    "AlignmentError",
    "Candidate",
    "Channels",
    "Compressed",
    "Distillation",
    "HalfFormat",
    "Inception",
    "LayerBytes",
    "LossScale",
    "Mask",
    "Noise",
    "NoisyWire",
    "Residual",
    "SearchResult",
    "Sensory",
    "SparseTime",
    "Surgery",
    "Synaptic",
    "Thermal",
    "Trial",
    "all_candidates",
    "analog_chain",
    "analog_information",
    "analog_rms",
    "bake",
    "bits_for_bytes",
    "break_even_rank",
    "build_candidate",
    "candidate_bytes",
    "candidate_latency",
    "chain_error",
    "chain_information",
    "compress",
    "compressed_bytes",
    "concat_scales",
    "csr_bytes",
    "decode_sparse",
    "discrete_chain",
    "distil",
    "distil_recorded",
    "distillation_loss",
    "emulate_half",
    "encode_sparse",
    "evenly_spaced",
    "filter_saliency",
    "gradient_by_depth",
    "gradients",
    "half_step",
    "hessian_diagonal",
    "input_hessian",
    "layer_bytes",
    "lost_updates",
    "low_rank",
    "low_rank_layer",
    "magnitude",
    "mask_of",
    "nearest_separable",
    "noisy_network",
    "obs_saliency",
    "optimal_brain_damage",
    "optimal_brain_surgeon",
    "pareto_front",
    "prunable",
    "prune",
    "prune_filters",
    "prune_obs",
    "prune_obs_path",
    "random_search_ranks",
    "random_sparse",
    "rank_for_energy",
    "relay_error",
    "remove_filters",
    "search",
    "separable_like",
    "separable_ratio",
    "signal_gradients",
    "singular_values",
    "soft_cross_entropy",
    "soft_labels",
    "sparse_against_dense",
    "sparsity",
    "sparsity_for_bytes",
    "stack",
    "storage_bytes",
    "sum_scales",
    "surgery_path",
    "tabular",
    "tabular_test",
    "to_csr",
    "train_candidate",
    "trained_accuracy",
    "transition_matrix",
    "truncated_svd",
    "underflow",
    "with_masks",
]
