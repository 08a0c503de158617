"""Post-training quantization: passes from model to model that need no training. One file, one method.

Survey-map rows: T4, A2.
"""

from qlab.ptq.fold import fold_batchnorm

__all__ = ["fold_batchnorm"]
