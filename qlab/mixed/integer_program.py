"""HAWQ-V3: choose the bits of all layers at once, by integer linear programming.

    minimize    Σ_i Σ_b  harm[i, b]·x[i, b]                       x[i, b] ∈ {0, 1}: layer i gets choice b
    such that   Σ_b x[i, b] = 1                                   for every layer i
                Σ_i Σ_b cost[i, b]·x[i, b] ≤ limit                for every budget: bytes, bit operations, milliseconds

The optimum is exact. What is not exact is the objective: it adds up what each layer does alone.
Source: Yao et al. 2021, *HAWQ-V3: dyadic neural network quantization* (there with PULP; here HiGHS).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import Bounds, LinearConstraint, milp

__all__ = ["Budget", "integer_program"]


@dataclass(frozen=True, eq=False)
class Budget:
    """A linear constraint: the costs of the choices add up to at most a limit.

    Parameters
    ----------
    table : array of float, shape (layers, choices)
        What layer i costs with choice b: bytes, bit operations, or measured milliseconds.
    limit : float
        In the unit of the table.
    name : str
        For messages: "bytes", "BOPs", "ms".

    Raises
    ------
    ValueError
        If the table has no layer or no choice, or a number is negative or not finite.

    Survey-map rows: M3, W1.
    """

    table: ArrayLike
    limit: float
    name: str = "bytes"

    def __post_init__(self) -> None:
        object.__setattr__(self, "table", _numbers(self.table, f"table of {self.name}"))
        if (self.costs < 0).any():
            raise ValueError(f"table of {self.name} must not be negative, got {self.costs.min():g}")
        if not np.isfinite(self.limit):
            raise ValueError(f"limit of {self.name} must be finite, got {self.limit}")

    @property
    def costs(self) -> NDArray[np.float64]:
        """The table as an array."""
        return np.asarray(self.table)

    def used(self, choice: Sequence[int]) -> float:
        """Return what a choice (an index per layer) costs."""
        return float(self.costs[np.arange(len(self.costs)), np.asarray(choice)].sum())


def integer_program(harm: ArrayLike, budgets: Sequence[Budget]) -> tuple[int, ...]:
    """Return the choice for each layer that harms least within all budgets.

    Parameters
    ----------
    harm : array of float, shape (layers, choices)
        harm[i, b]: what choice b does to the network in layer i, in any unit; it may be negative.
    budgets : sequence of Budget
        At least one. Tables have the shape of `harm`.

    Returns
    -------
    tuple of int, one per layer
        Indices of choices (columns), not bits.

    Raises
    ------
    ValueError
        If shapes differ, a number is not finite, or nothing fits the budgets.

    References
    ----------
    Yao et al. 2021, section on mixed precision and integer linear programming.

    Examples
    --------
    Two layers, 2 or 4 bits; the first has 100 weights, the second 200. 100 bytes do for 4 bits in one of them:

    >>> harm = [[9.0, 1.0], [5.0, 1.0]]
    >>> integer_program(harm, [Budget([[25, 50], [50, 100]], limit=100)])
    (1, 0)

    Survey-map row: M3.
    """
    h = _numbers(harm, "harm")
    if not budgets:
        raise ValueError("budgets must hold at least one: without a budget the most bits are always best")
    for budget in budgets:
        if budget.costs.shape != h.shape:
            raise ValueError(f"table of {budget.name} must have harm's shape {h.shape}, got {budget.costs.shape}")
        least = budget.costs.min(axis=1).sum()
        if least > budget.limit * (1 + 1e-12):
            raise ValueError(
                f"{budget.name}: the cheapest choice costs {least:g}, more than the limit {budget.limit:g}"
            )
    layers, choices = h.shape
    one_each = np.kron(np.eye(layers), np.ones(choices))  # x is flat: layer after layer
    unit = [max(float(b.costs.max()), 1e-300) for b in budgets]  # the solver's tolerance is absolute
    rows = np.stack([b.costs.ravel() / u for b, u in zip(budgets, unit, strict=True)])
    limits = np.array([b.limit / u for b, u in zip(budgets, unit, strict=True)])
    found = milp(
        h.ravel() / max(float(np.abs(h).max()), 1e-300),
        integrality=np.ones(h.size),
        bounds=Bounds(0, 1),
        constraints=[LinearConstraint(one_each, 1, 1), LinearConstraint(rows, -np.inf, limits)],
        options={"mip_rel_gap": 0.0},
    )
    if found.x is None:
        asked = ", ".join(f"{b.limit:g} {b.name}" for b in budgets)
        raise ValueError(f"budgets cannot be met together: no choice fits {asked}")
    return tuple(int(b) for b in found.x.reshape(h.shape).argmax(axis=1))


def _numbers(values: ArrayLike, name: str) -> NDArray[np.float64]:
    array = np.array(values, dtype=np.float64)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{name} must have shape (layers, choices) with at least one of each, got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    return array
