"""Five ternary codes in a byte: exact both ways, and as small as it says."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qlab import pack
from qlab.packing_ternary import pack_ternary, ternary_bytes, unpack_ternary


@pytest.mark.row("C5")
@given(hnp.arrays(np.int8, st.integers(0, 60), elements=st.integers(-1, 1)))
def test_the_round_trip_is_exact_and_takes_a_byte_for_five(codes):
    codes = torch.from_numpy(codes)
    packed = pack_ternary(codes)
    assert packed.dtype == torch.uint8
    assert len(packed) == ternary_bytes(len(codes)) == -(-len(codes) // 5)
    assert torch.equal(unpack_ternary(packed, len(codes)), codes.to(torch.int32))


@pytest.mark.row("C5")
def test_a_byte_is_a_number_written_in_base_three():
    """Python's own conversion of digits, highest first, for every one of the 243 bytes."""
    for value in range(243):
        codes = unpack_ternary(torch.tensor([value], dtype=torch.uint8), 5)
        assert int("".join(str(int(q) + 1) for q in reversed(codes)), base=3) == value
        assert pack_ternary(codes).item() == value


@pytest.mark.row("C5")
def test_it_is_smaller_than_two_bits_and_not_smaller_than_the_entropy():
    codes = torch.randint(-1, 2, (10_000,), generator=torch.Generator().manual_seed(0))
    assert len(pack_ternary(codes)) == 2000 < len(pack(codes + 1, 2)) == 2500
    assert len(pack_ternary(codes)) * 8 > 10_000 * math.log2(3)


@pytest.mark.row("C5")
def test_what_is_not_ternary_is_refused():
    with pytest.raises(ValueError, match="−1, 0 or 1, got 0 … 2"):
        pack_ternary(torch.tensor([0, 2]))
    with pytest.raises(TypeError, match=r"integers, got torch\.float32"):
        pack_ternary(torch.zeros(3))
    with pytest.raises(TypeError, match="uint8"):
        unpack_ternary(torch.zeros(1, dtype=torch.int32), 5)
    with pytest.raises(ValueError, match="2 bytes for 6 ternary codes, got 1"):
        unpack_ternary(torch.zeros(1, dtype=torch.uint8), 6)
    with pytest.raises(ValueError, match="up to 242, five digits of base three, got 243"):
        unpack_ternary(torch.tensor([243], dtype=torch.uint8), 5)
    with pytest.raises(ValueError, match="at least 0, got -1"):
        ternary_bytes(-1)
