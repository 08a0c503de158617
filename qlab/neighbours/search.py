"""Architecture search: let a sampler choose the block, the kernel, the width, the depth and the bits, under a budget.

    maximize   accuracy(c)        over candidates c = (block, kernel, width, depth, bits)
    such that  cost(c) ≤ budget   bytes, or measured milliseconds

The cost is known before a candidate is trained, so one that is over budget is never trained: the sampler is told by how
much it is over, cost/budget − 1, and nothing else. Random search spends its trials in the same way; what a clever
sampler is worth is the difference at equal trials, over many seeds.

An objective that trains takes seconds per candidate. `tabular` looks the same numbers up in a table of the whole space
that was computed once (`python -m qlab.neighbours.make_search_table`), so that a hundred searches take a minute.

Sources: Bergstra et al. 2011, *Algorithms for hyper-parameter optimization* (TPE); Akiba et al. 2019, *Optuna*; tables
of whole spaces: Ying et al. 2019, *NAS-Bench-101*; measured latency as the constraint: Tan et al. 2019, *MnasNet*.
"""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any

import torch

from qlab.hardware.timing import compare
from qlab.neighbours.search_space import SPACE, Candidate, build_candidate
from qlab.neighbours.search_table import ACCURACIES
from qlab.network import quantizable_layers
from qlab.packing import packed_bytes

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "SearchResult",
    "Trial",
    "all_candidates",
    "candidate_bytes",
    "candidate_latency",
    "search",
    "tabular",
    "tabular_test",
]

Objective = Callable[[Candidate], float]
Cost = Callable[[Candidate], float]


def all_candidates() -> Iterator[Candidate]:
    """Yield every candidate of the space.

    Survey-map row: B5.
    """
    for values in product(*SPACE.values()):
        yield Candidate(*values)


@cache
def candidate_bytes(candidate: Candidate) -> int:
    """Return the bytes of a candidate: packed weights with their scales; biases and BatchNorm in fp32.

    Survey-map row: B5.
    """
    network = build_candidate(candidate)
    weights = [layer.weight for layer in quantizable_layers(network).values()]
    coded = sum(packed_bytes(w.numel(), candidate.bits) + 4 * len(w) for w in weights)  # and a scale a channel
    everything = [*network.parameters(), *(b for b in network.buffers() if b.is_floating_point())]
    return coded + 4 * (sum(t.numel() for t in everything) - sum(w.numel() for w in weights))


def candidate_latency(candidate: Candidate, batch: int = 32, turns: int = 15) -> float:
    """Return the measured milliseconds per batch of a candidate on one core, the median over the turns.

    Computed in fp32, so the bits do not matter; only a low-bit kernel would make them.

    Survey-map rows: B5, B6.
    """
    network = build_candidate(candidate).eval()
    x = torch.zeros(batch, 1, 28, 28)

    @torch.no_grad()
    def run() -> object:
        return network(x)

    return 1e3 * compare({"run": run}, turns=turns, threads=1).median("run")


def tabular(candidate: Candidate) -> float:
    """Return the validation accuracy of a candidate, 0 … 1, from the table.

    Survey-map row: B5.
    """
    return _look_up(candidate)[0]


def tabular_test(candidate: Candidate) -> float:
    """Return the test accuracy of a candidate, 0 … 1, from the table: for the report, never for the search.

    Survey-map row: B5.
    """
    return _look_up(candidate)[1]


def _look_up(c: Candidate) -> tuple[float, float]:
    validation, test = ACCURACIES[c.block, c.kernel, c.width, c.depth][SPACE["bits"].index(c.bits)]
    return validation / 1000, test / 10000


@dataclass(frozen=True)
class Trial:
    """One candidate that a sampler tried.

    Attributes
    ----------
    candidate : Candidate
    cost : float
    value : float
        What the objective said; NaN if the candidate is over budget and was not trained.

    Survey-map row: B5.
    """

    candidate: Candidate
    cost: float
    value: float

    @property
    def feasible(self) -> bool:
        """Whether it is within the budget."""
        return not math.isnan(self.value)


@dataclass(frozen=True)
class SearchResult:
    """All trials of a search, in order.

    Attributes
    ----------
    trials : tuple of Trial
    budget : float
    sampler : str
    seed : int

    Survey-map row: B5.
    """

    trials: tuple[Trial, ...]
    budget: float
    sampler: str
    seed: int

    @property
    def best(self) -> Trial:
        """The feasible trial with the largest value, the first of them on a tie.

        Raises
        ------
        ValueError
            If no trial was feasible.
        """
        feasible = [t for t in self.trials if t.feasible]
        if not feasible:
            raise ValueError(f"no trial of {len(self.trials)} was within the budget {self.budget}; raise it")
        return max(feasible, key=lambda t: t.value)

    def curve(self) -> list[float]:
        """Return the best feasible value after each trial (NaN before the first)."""
        best, values = math.nan, []
        for t in self.trials:
            best = t.value if math.isnan(best) or t.value > best else best
            values.append(best)
        return values

    def table(self) -> pd.DataFrame:
        """Return a row per trial: the choices, cost, value, feasible."""
        import pandas as pd

        rows = [{**asdict(t.candidate), "cost": t.cost, "value": t.value, "feasible": t.feasible} for t in self.trials]
        return pd.DataFrame(rows)


def search(
    objective: Objective = tabular,
    cost: Cost = candidate_bytes,
    budget: float = 8192,
    trials: int = 40,
    sampler: str = "tpe",
    seed: int = 0,
) -> SearchResult:
    """Search the space for the best candidate within the budget.

    Parameters
    ----------
    objective : function of Candidate to float
        To be maximized; called only for candidates within the budget.
    cost : function of Candidate to float
        `candidate_bytes`, `candidate_latency`, or another; a measured cost makes the search differ from run to run.
    budget : float
        In the unit of the cost.
    trials : int
        Different candidates looked at, whether within the budget or not. (Where a sampler repeats itself, a random
        candidate takes the place of the repetition.)
    sampler : {"tpe", "random"}
        Tree-structured Parzen estimator with constraints, or uniform choice.
    seed : int

    Raises
    ------
    ValueError
        If the budget or the number of trials is not positive, or the sampler is unknown.

    References
    ----------
    Bergstra et al. 2011, section 4; Akiba et al. 2019.

    Survey-map rows: B5, B6.
    """
    if not (budget > 0 and trials >= 1):
        raise ValueError(f"budget and trials must be positive, got {budget} and {trials}")
    if sampler not in ("tpe", "random"):
        raise ValueError(f'sampler must be "tpe" or "random", got {sampler!r}')
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        tpe = optuna.samplers.TPESampler(seed=seed, multivariate=True)
    chooser = tpe if sampler == "tpe" else optuna.samplers.RandomSampler(seed)
    study = optuna.create_study(direction="maximize", sampler=chooser)
    left = list(all_candidates())
    random.Random(seed).shuffle(left)
    tried: list[Trial] = []
    while left and len(tried) < trials:
        asked = study.ask()
        c = _suggest(asked)
        if c not in left:  # tried before: take the next of a random order instead
            study.tell(asked, state=optuna.trial.TrialState.FAIL)
            study.enqueue_trial(_places(left[0]))
            asked = study.ask()
            c = _suggest(asked)
        left.remove(c)
        price = float(cost(c))
        t = Trial(c, price, float(objective(c)) if price <= budget else math.nan)
        tried.append(t)
        asked.set_constraint("over budget", price / budget - 1)  # feasible where it is not positive
        study.tell(asked, t.value if t.feasible else 0.0)
    return SearchResult(tuple(tried), float(budget), sampler, seed)


def _suggest(trial: Any) -> Candidate:
    """Let the sampler choose; of ordered choices it chooses the place, so that it knows which are neighbours."""
    chosen = {"block": trial.suggest_categorical("block", SPACE["block"])}
    for name in ("kernel", "width", "depth", "bits"):
        chosen[name] = SPACE[name][trial.suggest_int(name, 0, len(SPACE[name]) - 1)]
    return Candidate(**chosen)


def _places(c: Candidate) -> dict[str, Any]:
    """Undo `_suggest`."""
    return {k: v if k == "block" else SPACE[k].index(v) for k, v in asdict(c).items()}
