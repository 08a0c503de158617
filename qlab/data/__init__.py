"""Pictures to learn from and to be measured on: Fashion-MNIST, embedded in the package.

70,000 grey pictures of clothes, 28×28, ten classes (Xiao, Rasul, Vollgraf 2017; MIT licence, LICENSE.fashion-mnist).
The package holds all 10,000 test pictures and 6,000 of the training pictures; the full training set is read from
Debian's package `dataset-fashion-mnist` or downloaded, and its checksum verified.
Beside them sixteen real photographs without labels, for networks made on ImageNet (`real_photographs`, extra ``real``).

Survey-map row: Q1.
"""

from qlab.data.fashion_mnist import (
    CLASSES,
    MEAN,
    STD,
    Images,
    load_calibration,
    load_full_train,
    load_test,
    load_train_subset,
    read_idx,
)
from qlab.data.photographs import PHOTOGRAPHS, Photographs, real_photographs

__all__ = [
    "CLASSES",
    "MEAN",
    "PHOTOGRAPHS",
    "STD",
    "Images",
    "Photographs",
    "load_calibration",
    "load_full_train",
    "load_test",
    "load_train_subset",
    "read_idx",
    "real_photographs",
]
