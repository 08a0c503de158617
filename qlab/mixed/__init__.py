"""Mixed precision: which layer deserves how many bits. One file, one method.

| file | method | rows |
|---|---|---|
| `assignment` | layer → bits, its bytes and bit operations, its recipe; Pareto fronts | M3, M5 |
| `sensitivity` | perturbation: one layer quantized at a time (ZeroQ's divergence) | M1 |
| `hessian` | products with a Hessian that is never written down | M2 |
| `hawq` | HAWQ: the top eigenvalue of each layer's Hessian | M2 |
| `hawq_v2` | HAWQ-V2: its trace, by Hutchinson's estimate | M2 |
| `integer_program` | HAWQ-V3: the best sum under linear budgets, exactly | M3 |
| `haq` | HAQ: an agent names the bits (DDPG) | M4 |
| `dnas` | differentiable search: DNAS, EdMIPS | M4 |
| `search` | what searches share, and random search, the baseline | M4 |
| `evolution` | evolutionary search | M4 |
| `ground_truth` | every assignment of a small network evaluated; `make_ground_truth` fills its tables | M5 |
| `distance` | how far from the true front a choice lands | M5 |
| `comparison` | all methods under the same budgets; `make_methods_table` fills its table | M5 |

A method that judges layers one by one gives a table of harm, layers × choices; `integer_program` turns it into an
assignment, under bytes, bit operations or milliseconds. A method that judges whole assignments searches.

Survey-map rows: M1, M2, M3, M4, M5.
"""

from qlab.mixed.assignment import BITS, Assignment, Space, assignment_space, pareto_front
from qlab.mixed.comparison import BUDGETS, METHODS, MethodRun, methods_table, run_method
from qlab.mixed.distance import Distance, distance, hypervolume, oracle
from qlab.mixed.dnas import DifferentiableSearch, DifferentiableSettings, differentiable_search
from qlab.mixed.evolution import EvolutionSettings, evolve
from qlab.mixed.ground_truth import GroundTruth, evaluate_all, ground_truth, truth_pictures
from qlab.mixed.haq import HAQSettings, haq
from qlab.mixed.hawq import hawq_allocate, hawq_order, monotone_choices, top_eigenvalues
from qlab.mixed.hawq_v2 import Traces, hawq_v2_sensitivity, hutchinson_traces
from qlab.mixed.hessian import hessian_product
from qlab.mixed.integer_program import Budget, integer_program
from qlab.mixed.search import Search, random_search
from qlab.mixed.sensitivity import (
    divergence_sensitivity,
    loss_sensitivity,
    noise_sensitivity,
    perturb,
    weight_errors,
)

__all__ = [
    "BITS",
    "BUDGETS",
    "METHODS",
    "Assignment",
    "Budget",
    "DifferentiableSearch",
    "DifferentiableSettings",
    "Distance",
    "EvolutionSettings",
    "GroundTruth",
    "HAQSettings",
    "MethodRun",
    "Search",
    "Space",
    "Traces",
    "assignment_space",
    "differentiable_search",
    "distance",
    "divergence_sensitivity",
    "evaluate_all",
    "evolve",
    "ground_truth",
    "haq",
    "hawq_allocate",
    "hawq_order",
    "hawq_v2_sensitivity",
    "hessian_product",
    "hutchinson_traces",
    "hypervolume",
    "integer_program",
    "loss_sensitivity",
    "methods_table",
    "monotone_choices",
    "noise_sensitivity",
    "oracle",
    "pareto_front",
    "perturb",
    "random_search",
    "run_method",
    "top_eigenvalues",
    "truth_pictures",
    "weight_errors",
]
