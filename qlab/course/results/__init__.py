"""The results of the course: every method on every network at the same settings, one table for each family.

| file | what |
|---|---|
| `task` | what an entry is: network, bits, seed, method; the conventions that all share |
| `post_training`, `non_uniform`, `trained`, `zero_shot`, `stochastic` | the families and their methods |
| `sweep` | run what is missing: `python -m qlab.course results` |
| `table` | read the tables, mean and spread |
| `ledger` | what papers report, and whether the same order shows here |

Survey-map rows: Q8, Q9, Q10, Q11, T1, T2, T3, T5, T6, T7, T8, T9, T10, Z1, Z2, Z3, Z4, G1, G2, G3.
"""
