"""Ways to round compared, made by `python -m qlab.ptq.make_rounding_table`; do not edit.

(network, method, bits, calibration pictures): right answers among the first 1,000 test pictures, for each draw
of the calibration pictures; one where none are used. 150 steps. Commit 3a9fd26, PyTorch 2.13.0+cpu, one thread.
AMD EPYC, 2 cores, AVX2, L1 32K, L2 512K, L3 32768K, PyTorch 2.13.0.
"""

ROUNDING: dict[tuple[str, str, int, int], tuple[int, ...]] = {
    ("convnet", "nearest", 4, 256): (894,),
    ("convnet", "GPTQ", 4, 256): (921, 922, 924),
    ("convnet", "AdaRound", 4, 256): (924, 927, 925),
    ("convnet", "AdaQuant", 4, 256): (927, 930, 924),
    ("convnet", "BRECQ, no Fisher", 4, 256): (923, 927, 923),
    ("convnet", "BRECQ", 4, 256): (925, 927, 927),
    ("convnet", "nearest", 3, 256): (881,),
    ("convnet", "GPTQ", 3, 256): (912, 912, 910),
    ("convnet", "AdaRound", 3, 256): (922, 916, 923),
    ("convnet", "AdaQuant", 3, 256): (920, 921, 917),
    ("convnet", "BRECQ, no Fisher", 3, 256): (917, 924, 920),
    ("convnet", "BRECQ", 3, 256): (919, 925, 916),
    ("convnet", "nearest", 2, 256): (420,),
    ("convnet", "GPTQ", 2, 256): (641, 683, 696),
    ("convnet", "AdaRound", 2, 256): (877, 846, 872),
    ("convnet", "AdaQuant", 2, 256): (895, 897, 902),
    ("convnet", "BRECQ, no Fisher", 2, 256): (850, 856, 857),
    ("convnet", "BRECQ", 2, 256): (762, 814, 811),
    ("convnet", "AdaRound", 3, 4): (909, 899, 914),
    ("convnet", "AdaQuant", 3, 4): (911, 911, 909),
    ("convnet", "GPTQ", 3, 4): (901, 912, 908),
    ("convnet", "AdaRound", 3, 16): (917, 914, 922),
    ("convnet", "AdaQuant", 3, 16): (911, 919, 919),
    ("convnet", "GPTQ", 3, 16): (909, 902, 914),
    ("convnet", "AdaRound", 3, 64): (925, 922, 920),
    ("convnet", "AdaQuant", 3, 64): (925, 923, 920),
    ("convnet", "GPTQ", 3, 64): (910, 917, 912),
    ("resnet", "nearest", 4, 256): (927,),
    ("resnet", "GPTQ", 4, 256): (932,),
}
