"""Cost models: what a layer's time is predicted from, and how well each of them predicts.

For a layer with n weights of b_w bits, activations of b_a bits and N multiply–accumulates for each of B inputs:

    MACs            B·N
    BOPs            B·N·b_w·b_a
    weight bytes    n·b_w/8
    bytes moved     M = ( n·b_w + B·(inputs + outputs)·b_a ) / 8
    energy          what `qlab.hardware.energy` makes of it, at 45 nm
    roofline        max( 2·B·N/peak,  M/bandwidth(M) )
    with call       t₀ + roofline:  t₀ is what a call takes that does nothing

    fitted          a + c·B·N + d·M:  a, c, d ≥ 0 for each kind of layer, from layers that were measured

The first five have no unit of time; `qlab.hardware.scores` judges order, and size after one scale. A network is
predicted by the sum over its layers.

Source: bit operations: Baskin et al. 2021 (*UNIQ*), van Baalen et al. 2020 (*Bayesian bits*); roofline: Williams et al.
2009; that counts of operations do not order times: Ma et al. 2018 (*ShuffleNet V2*).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import nnls

from qlab.hardware.cost import LayerCost
from qlab.hardware.energy import network_energy
from qlab.hardware.roofline import Roofline

__all__ = ["COUNTS", "Job", "Model", "fitted", "predict", "record_roof", "roof"]


@dataclass(frozen=True)
class Job:
    """A layer as it is run.

    Attributes
    ----------
    cost : LayerCost
        Its counts for one input.
    weight_bits, activation_bits : int
        32 stands for fp32.
    batch : int
        Inputs that share one reading of the weights.

    Survey-map row: C7.
    """

    cost: LayerCost
    weight_bits: int = 32
    activation_bits: int = 32
    batch: int = 1

    def __post_init__(self) -> None:
        if min(self.weight_bits, self.activation_bits, self.batch) < 1:
            raise ValueError(f"bits and batch must be at least 1, got {self}")

    @property
    def macs(self) -> float:
        """Multiply–accumulates of the whole batch."""
        return float(self.batch * self.cost.macs)

    @property
    def bops(self) -> float:
        """Bit operations of the whole batch, MACs·b_w·b_a."""
        return self.macs * self.weight_bits * self.activation_bits

    @property
    def weight_bytes(self) -> float:
        """What the weights take in a file."""
        return self.cost.parameters * self.weight_bits / 8

    @property
    def bytes_moved(self) -> float:
        """Weights once, inputs and outputs of the whole batch once, in bytes."""
        activations = self.batch * (self.cost.inputs + self.cost.outputs)
        return self.weight_bytes + activations * self.activation_bits / 8

    @property
    def picojoules(self) -> float:
        """Modelled energy of the whole batch at 45 nm."""
        bits = (self.weight_bits, self.activation_bits)
        return self.batch * network_energy([self.cost], *bits, batch=self.batch).total


Model = Callable[[Job], float]
"""Maps a layer as it is run to a number that should grow as its time does."""

COUNTS: dict[str, Model] = {
    "MACs": lambda job: job.macs,
    "BOPs": lambda job: job.bops,
    "weight bytes": lambda job: job.weight_bytes,
    "bytes moved": lambda job: job.bytes_moved,
    "energy": lambda job: job.picojoules,
}
"""The models that need no machine."""


def roof(limits: Roofline, call: float = 0.0) -> Model:
    """Return the model t₀ + max(2·MACs/peak, bytes/bandwidth), in seconds.

    Parameters
    ----------
    limits : Roofline
        Its bandwidth is the one for a working set as large as the bytes moved.
    call : float
        t₀, seconds of a call that does nothing.

    Raises
    ------
    ValueError
        If the call's time is negative or not finite.

    Examples
    --------
    A thousand MACs at 100 GFLOP/s take 20 ns; the 4,400 bytes take 440 ns at 10 GB/s, so those decide.

    >>> job = Job(LayerCost("fc", "Linear", parameters=1000, macs=1000, inputs=50, outputs=50))
    >>> round(roof(Roofline(100.0, ((2**20, 10.0),)))(job) * 1e9, 6)
    440.0

    Survey-map row: C7.
    """
    if not 0 <= call < float("inf"):
        raise ValueError(f"call must be a time in seconds, at least 0, got {call}")

    def seconds(job: Job) -> float:
        arithmetic = 2 * job.macs / (limits.peak * 1e9)
        memory = job.bytes_moved / (limits.bandwidth(job.bytes_moved) * 1e9)
        return call + max(arithmetic, memory)

    return seconds


def record_roof(jobs: Sequence[Job], seconds: ArrayLike) -> Model:
    """Return a roofline made of three records: the most arithmetic and the most bytes per second, the shortest time.

    For a machine that nobody can measure any more, but that left a table of times.

    Parameters
    ----------
    jobs : sequence of Job
    seconds : array, shape (jobs,)
        Measured.

    Raises
    ------
    ValueError
        If the times are not as many as the jobs, or not positive and finite.

    Survey-map row: C7.
    """
    t = _seconds(jobs, seconds)
    peak = max(2e-9 * job.macs / s for job, s in zip(jobs, t, strict=True))
    bandwidth = max(1e-9 * job.bytes_moved / s for job, s in zip(jobs, t, strict=True))
    return roof(Roofline(float(peak), ((1, float(bandwidth)),)), call=float(t.min()))


def fitted(jobs: Sequence[Job], seconds: ArrayLike) -> Model:
    """Return the model a + c·MACs + d·bytes, with three numbers for each kind of layer (`cost.kind`).

    They make Σ ((prediction − t)/t)² smallest, none of them negative.

    Parameters
    ----------
    jobs : sequence of Job
        At least three of each kind.
    seconds : array, shape (jobs,)
        Measured.

    Raises
    ------
    ValueError
        If the times are not as many as the jobs, or not positive and finite; or if there are too few jobs of a kind.
        The model itself refuses a kind that it has not seen.

    Survey-map row: C7.
    """
    t = _seconds(jobs, seconds)
    found: dict[str, NDArray[np.float64]] = {}
    for kind in sorted({job.cost.kind for job in jobs}):
        mine = [i for i, job in enumerate(jobs) if job.cost.kind == kind]
        if len(mine) < 3:
            raise ValueError(f"jobs must hold at least three layers of each kind, got {len(mine)} of {kind}")
        terms = np.array([[1.0, jobs[i].macs, jobs[i].bytes_moved] for i in mine])
        size = terms.max(axis=0)  # so that the three columns are of one size
        found[kind] = nnls(terms / size / t[mine, None], np.ones(len(mine)))[0] / size

    def predicted(job: Job) -> float:
        if job.cost.kind not in found:
            raise ValueError(f"kind must be one that was fitted ({', '.join(found)}), got {job.cost.kind}")
        a, c, d = found[job.cost.kind]
        return float(a + c * job.macs + d * job.bytes_moved)

    return predicted


def predict(model: Model, networks: Iterable[Iterable[Job]]) -> NDArray[np.float64]:
    """Return a model's prediction for each network: the sum over its layers.

    Parameters
    ----------
    model : Model
    networks : iterable of networks, each an iterable of Job

    Survey-map row: C7.
    """
    return np.array([sum(model(job) for job in network) for network in networks], dtype=np.float64)


def _seconds(jobs: Sequence[Job], seconds: ArrayLike) -> NDArray[np.float64]:
    t = np.asarray(seconds, dtype=np.float64)
    if t.shape != (len(jobs),) or not len(jobs):
        raise ValueError(f"seconds must be as many as jobs ({len(jobs)}), got shape {t.shape}")
    if not (np.isfinite(t).all() and (t > 0).all()):
        raise ValueError("seconds must be positive and finite")
    return t
