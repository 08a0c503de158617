"""Vector quantization of weights, and weights that share values. One file, one method.

| file | method | rows |
|---|---|---|
| `shared` | weight sharing by k-means; centroids trained by summed gradients | V1 |
| `relative_index` | where the kept weights are: distances, and filler zeros | V1 |
| `compressed_file` | a file of Huffman codes that decodes exactly | V1 |
| `deep_compression` | prune, share, code; sizes beside gzip, xz and the entropy | V1 |
| `codewords` | blocks of weights as numbers of codewords, and the module that trains these | V2, V3 |
| `product` | product quantization | V2 |
| `activation_aware` | blocks are near if their outputs are near | V2 |
| `residual` | quantize what is left, again and again | V3 |
| `additive` | the codebooks of all stages fitted together | V3 |
| `comparison` | all of these on the same networks, and the table of the runs | V1, V2, V3 |

Vector quantization of densities (LBG, cells, gains) is in `qlab.history.vector_quantization`; codebooks for one tensor
at a time in `qlab.nonuniform.codebooks`.

Survey-map rows: V1, V2, V3.
"""

from qlab.vector.activation_aware import activation_aware, input_rows, second_moments, weighted_error
from qlab.vector.additive import additive_quantize
from qlab.vector.codewords import BlockCode, Codewords, blocks, codewords_of, with_codewords
from qlab.vector.compressed_file import from_bytes, into, part_sizes, read_file, streams, to_bytes, write_file
from qlab.vector.deep_compression import Sizes, deep_compression, file_sizes
from qlab.vector.product import product_quantize
from qlab.vector.relative_index import from_relative, index_entropy, to_relative
from qlab.vector.residual import residual_quantize
from qlab.vector.shared import SharedWeight, share, share_weights, shared_of

__all__ = [
    "BlockCode",
    "Codewords",
    "SharedWeight",
    "Sizes",
    "activation_aware",
    "additive_quantize",
    "blocks",
    "codewords_of",
    "deep_compression",
    "file_sizes",
    "from_bytes",
    "from_relative",
    "index_entropy",
    "input_rows",
    "into",
    "part_sizes",
    "product_quantize",
    "read_file",
    "residual_quantize",
    "second_moments",
    "share",
    "share_weights",
    "shared_of",
    "streams",
    "to_bytes",
    "to_relative",
    "weighted_error",
    "with_codewords",
    "write_file",
]
