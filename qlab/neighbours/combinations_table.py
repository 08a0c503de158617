"""Pruning, distilling and quantizing at equal bytes, made by `make_combinations_table`; do not edit.

(method, compression ratio): bytes used, and right answers among the 10,000 test pictures for each seed; a method
that cannot reach a ratio is not there.
"""

RESULTS: dict[tuple[str, int], tuple[int, tuple[int, ...]]] = {
    ("quantize", 10): (34592, (8751,)),
    ("quantize", 15): (16863, (3879,)),
    ("prune", 10): (43211, (8740, 8740, 8735, 8731, 8726)),
    ("prune", 15): (28922, (8642, 8666, 8667, 8656, 8663)),
    ("prune", 30): (14379, (8426, 8408, 8427, 8412, 8425)),
    ("prune", 60): (6733, (7970, 7944, 7972, 7972, 7976)),
    ("distil", 10): (41380, (8383, 8386, 8375, 8406, 8417)),
    ("distil", 15): (28660, (8213, 8148, 8350, 8277, 8301)),
    ("distil", 30): (12760, (4464, 6162, 4982, 5197, 7308)),
    ("distil", 60): (6400, (2208, 1000, 2295, 3030, 1000)),
    ("prune + quantize", 10): (42060, (8836, 8825, 8816, 8859, 8857)),
    ("prune + quantize", 15): (28870, (8845, 8849, 8849, 8834, 8836)),
    ("prune + quantize", 30): (13954, (8677, 8696, 8670, 8678, 8660)),
    ("prune + quantize", 60): (7015, (8516, 8486, 8490, 8461, 8468)),
    ("distil + quantize", 10): (43415, (8655, 8686, 8661, 8664, 8639)),
    ("distil + quantize", 15): (28835, (8688, 8612, 8646, 8618, 8612)),
    ("distil + quantize", 30): (14099, (8542, 8507, 8591, 8543, 8557)),
    ("distil + quantize", 60): (6804, (8446, 8451, 8388, 8459, 8376)),
    ("prune + distil", 10): (43211, (8797, 8788, 8795, 8798, 8813)),
    ("prune + distil", 15): (28922, (8710, 8705, 8704, 8707, 8708)),
    ("prune + distil", 30): (14379, (8479, 8502, 8472, 8502, 8488)),
    ("prune + distil", 60): (6733, (8027, 7997, 8005, 7996, 8003)),
    ("prune + distil + quantize", 10): (43614, (8966, 8978, 8961, 8976, 8971)),
    ("prune + distil + quantize", 15): (29110, (8955, 8941, 8950, 8957, 8954)),
    ("prune + distil + quantize", 30): (13602, (8699, 8734, 8704, 8735, 8732)),
    ("prune + distil + quantize", 60): (6858, (8494, 8541, 8504, 8522, 8485)),
}
