"""Mixed precision: which layer deserves how many bits. One file, one method.

| file | method | rows |
|---|---|---|
| `assignment` | layer → bits, its bytes and bit operations, its recipe; Pareto fronts | M3, M5 |
| `ground_truth` | every assignment of a small network evaluated; `make_ground_truth` fills its tables | M5 |
| `integer_program` | HAWQ-V3: the best sum under linear budgets, exactly | M3 |

Survey-map rows: M1, M2, M3, M4, M5.
"""

from qlab.mixed.integer_program import Budget, integer_program

__all__ = ["Budget", "integer_program"]
