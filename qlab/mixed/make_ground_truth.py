"""Make the ground truth again: ``python -m qlab.mixed.make_ground_truth`` (about 6 minutes of one core).

Evaluates every assignment of 2, 3, 4, 6 or 8 bits to the layers of the MLP (5³ = 125) and of the ConvNet (5⁵ = 3,125),
post-training quantized, all layers free (the first and the last as well), inputs at 8 bits. Interrupted, it resumes.
"""

from __future__ import annotations

import torch

from qlab.mixed.ground_truth import NETWORKS, make, place


def main() -> None:
    """Make the tables that are missing."""
    torch.set_num_threads(1)
    for network in NETWORKS:
        if not place(network).exists():
            make(network)


if __name__ == "__main__":
    main()
