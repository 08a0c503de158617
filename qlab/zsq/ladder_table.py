"""The zero-shot ladder of the ConvNet at W4A4, made by `python -m qlab.zsq.make_ladder_table`; do not edit.

rung: right answers among the 10,000 test pictures for each seed; one where nothing is random, and where it failed.
150 steps of 64 pictures, learning rate 0.0001. Commit 9be2ce2, one thread.
CALIBRATED holds (network, pictures): the same without training, from 64 pictures, of 2,000.
AMD EPYC, 2 cores, AVX2, L1 32K, L2 512K, L3 32768K, PyTorch 2.13.0.
"""

LADDER: dict[str, tuple[int, ...]] = {
    "statistics": (6936,),
    "noise": (6458, 6179, 5951),
    "distilled": (8271, 8277, 8290),
    "real": (8280, 8306, 8257),
    "noise, tuned": (7131, 6476, 6306),
    "distilled, tuned": (8811, 8929, 8961),
    "inverted, tuned": (8489, 8493, 8522),
    "generated (GDFQ)": (8499, 8657, 8673),
    "adversarial (ZAQ)": (7619, 6077, 7666),
    "adversarial, fast generator": (2788,),
    "real, tuned": (8984, 9002, 8959),
}

CALIBRATED: dict[tuple[str, str], tuple[int, ...]] = {
    ("resnet", "noise"): (1345, 1325, 1309),
    ("resnet", "distilled"): (1797, 1802, 1794),
    ("resnet", "real"): (1766, 1762, 1762),
    ("separable", "noise"): (1139, 966, 864),
    ("separable", "distilled"): (1586, 1292, 1311),
    ("separable", "real"): (1642, 1525, 1645),
}
