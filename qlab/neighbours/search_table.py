"""Accuracies.

x.
"""

ACCURACIES: dict[tuple[str, int, int, int], tuple[tuple[int, int], ...]] = {}
