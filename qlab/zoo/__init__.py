"""The course's trained networks, with the data, the seed and the recipe that made them.

>>> from qlab import zoo
>>> zoo.names()
('mlp', 'convnet', 'resnet', 'separable')
>>> zoo.card("convnet").parameters
61050

Survey-map row: Q1.
"""

from qlab.zoo.efficientnet import load_efficientnet_lite0
from qlab.zoo.networks import NETWORKS, build, convnet, mlp, resnet, separable
from qlab.zoo.shelf import RECIPES, ModelCard, card, load, load_ensemble, names
from qlab.zoo.training import TrainingSettings, evaluate, predict, train

__all__ = [
    "NETWORKS",
    "RECIPES",
    "ModelCard",
    "TrainingSettings",
    "build",
    "card",
    "convnet",
    "evaluate",
    "load",
    "load_efficientnet_lite0",
    "load_ensemble",
    "mlp",
    "names",
    "predict",
    "resnet",
    "separable",
    "train",
]
