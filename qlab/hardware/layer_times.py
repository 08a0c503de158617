"""Times of layers and of whole networks in fp32, recorded on one core, with the roofline of the same minutes.

    seconds of a layer     = median over turns, by the thread's own clock, on the input that it gets in its network
    seconds of a network   = the same for all of it: layers, activations, pooling, additions

A recording does not change with the mood of the reader's computer, so what the course says of cost models rests on it;
`qlab.hardware.layer_points` measures the reader's own. ``python -m qlab.hardware.make_layer_times`` makes it again.

Source: Georges, Buytaert, Eeckhout 2007, *Statistically rigorous Java performance evaluation* (why quartiles).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qlab.hardware.cost import LayerCost
from qlab.hardware.cost_models import Job
from qlab.hardware.roofline import Roofline

__all__ = ["PLACE", "Recording", "Timed", "TimedNetwork", "recorded_times"]

PLACE = Path(__file__).with_name("layer_times.json")


@dataclass(frozen=True)
class Timed:
    """A layer and what it took.

    Attributes
    ----------
    job : Job
        Its `cost.kind` is linear, depthwise, 1×1, grouped or dense.
    low, median, high : float
        Seconds for the whole batch: quartiles over the turns.

    Survey-map row: C7.
    """

    job: Job
    low: float
    median: float
    high: float


@dataclass(frozen=True)
class TimedNetwork:
    """A network, what it took as a whole, and its layers one by one.

    Attributes
    ----------
    name : str
    family : str
        What it is a variant of.
    batch : int
    low, median, high : float
        Seconds for the whole batch, of the whole network: quartiles over the turns.
    layers : tuple of Timed
        Linear and convolutional ones; BatchNorm is folded.

    Survey-map row: C7.
    """

    name: str
    family: str
    batch: int
    low: float
    median: float
    high: float
    layers: tuple[Timed, ...]

    @property
    def jobs(self) -> tuple[Job, ...]:
        """The layers as cost models want them."""
        return tuple(layer.job for layer in self.layers)


@dataclass(frozen=True)
class Recording:
    """All that was measured in one go.

    Attributes
    ----------
    machine, commit : str
    roofline : Roofline
        Its peak is that of a matrix product or of a convolution, whichever was faster.
    product : float
        GFLOP/s of the matrix product.
    call : float
        Seconds of a layer with one weight: the price of a call.
    networks : tuple of TimedNetwork
    equal_macs : mapping of str to tuple of Timed
        Groups of layers with the same number of multiply–accumulates.

    Survey-map row: C7.
    """

    machine: str
    commit: str
    roofline: Roofline
    product: float
    call: float
    networks: tuple[TimedNetwork, ...]
    equal_macs: Mapping[str, tuple[Timed, ...]]


def recorded_times(path: Path = PLACE) -> Recording:
    """Return the recording that ships with the course; its `machine` says where it was made.

    Parameters
    ----------
    path : Path
        Another recording.

    Raises
    ------
    ValueError
        If the file is no recording.

    Survey-map row: C7.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        limits = Roofline(
            found["roofline"]["peak"], tuple((int(s), float(r)) for s, r in found["roofline"]["bandwidths"])
        )
        return Recording(
            found["machine"],
            found["commit"],
            limits,
            found["roofline"]["product"],
            found["call"],
            tuple(_network(n) for n in found["networks"]),
            {name: tuple(_layer(line) for line in lines) for name, lines in found["equal_macs"].items()},
        )
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path.name} is no recording of layers and networks: {error!r}") from None


def _network(found: dict[str, Any]) -> TimedNetwork:
    facts = {key: found[key] for key in ("name", "family", "batch", "low", "median", "high")}
    return TimedNetwork(**facts, layers=tuple(_layer(line) for line in found["layers"]))


def _layer(line: dict[str, Any]) -> Timed:
    cost = LayerCost(**{key: line[key] for key in ("name", "kind", "parameters", "macs", "inputs", "outputs")})
    return Timed(Job(cost, batch=line["batch"]), *(line[key] for key in ("low", "median", "high")))
