"""PCM, companding and the speech-like signal: closed forms, round trips, inverses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from qlab.history import (
    PCM,
    CompandedPCM,
    a_law,
    a_law_inverse,
    bits_to_codes,
    codes_to_bits,
    mu_law,
    mu_law_inverse,
    sample,
    sine_snr_db,
    snr_db,
    synthetic_speech,
)

pytestmark = pytest.mark.row("H4")
unit = st.lists(st.floats(-1, 1), min_size=1, max_size=30)


def test_sample_times_and_aliasing():
    t, x = sample(lambda t: np.sin(2 * np.pi * 3 * t), 8.0, 2.0)
    np.testing.assert_allclose(t, np.arange(16) / 8)
    alias = sample(lambda t: np.sin(2 * np.pi * 11 * t), 8.0, 2.0)[1]  # 11 Hz folds to 3 Hz
    np.testing.assert_allclose(x, alias, atol=1e-12)


@pytest.mark.parametrize("bits", [6, 8, 10, 12, 16])
@pytest.mark.parametrize("kind", ["mid-rise", "mid-tread"])
def test_six_db_per_bit_on_a_full_scale_sine(bits, kind):
    x = (1 - 2.0**-bits) * np.sin(2 * np.pi * np.sqrt(2) / 20 * np.arange(200_000))
    assert snr_db(x, PCM(bits, kind=kind)(x)) == pytest.approx(sine_snr_db(bits), abs=0.5 if bits == 6 else 0.2)


def test_rule_in_closed_form():
    for b in (1, 8, 16):  # signal power 1/2, noise power (2/2^b)²/12
        assert sine_snr_db(b) == pytest.approx(10 * np.log10(0.5 / ((2 / 2**b) ** 2 / 12)))
        assert sine_snr_db(b) == pytest.approx(6.02 * b + 1.76, abs=0.02)


@given(unit, st.integers(2, 16), st.sampled_from(["mid-rise", "mid-tread"]))
def test_error_is_at_most_half_a_step_except_at_the_missing_top_code(x, bits, kind):
    pcm, x = PCM(bits, kind=kind), np.array(x)
    limit = np.where(x > 1 - pcm.step, 1.0, 0.5) if kind == "mid-tread" else 0.5
    assert (np.abs(x - pcm(x)) <= limit * pcm.step * (1 + 1e-9)).all()


def test_clipping_and_zero():
    assert PCM(3).encode([-9.0, 9.0]).tolist() == [-4, 3]
    assert PCM(3, kind="mid-tread")([0.0])[0] == 0.0
    assert abs(PCM(3)([0.0])[0]) == PCM(3).step / 2


@given(
    st.integers(1, 24).flatmap(
        lambda b: st.tuples(st.just(b), st.lists(st.integers(-(2 ** (b - 1)), 2 ** (b - 1) - 1)))
    )
)
def test_code_to_bits_and_back(case):
    bits, codes = case
    pulses = codes_to_bits(codes, bits)
    assert pulses.size == bits * len(codes)
    assert bits_to_codes(pulses, bits).tolist() == codes
    words = ["".join(map(str, w)) for w in pulses.reshape(-1, bits)]
    assert words == [np.binary_repr(c, bits) for c in codes]


@given(unit, st.floats(1, 1000))
def test_companders_invert(x, parameter):
    x = np.array(x)
    np.testing.assert_allclose(mu_law_inverse(mu_law(x, parameter), parameter), x, atol=1e-12)
    np.testing.assert_allclose(a_law_inverse(a_law(x, parameter), parameter), x, atol=1e-12)


def test_companders_are_odd_monotone_and_onto():
    x = np.linspace(-1, 1, 2001)
    for law in (mu_law, a_law):
        y = law(x)
        assert (np.diff(y) > 0).all()
        np.testing.assert_allclose(y, -y[::-1], atol=1e-15)
        assert (y[0], y[-1]) == (-1.0, 1.0)
    # slope at zero, and at A-law's bend from both sides (it is smooth there)
    h = 1e-9
    assert mu_law([h])[0] / h == pytest.approx(255 / np.log(256), rel=1e-6)
    assert a_law([h])[0] / h == pytest.approx(87.6 / (1 + np.log(87.6)), rel=1e-6)
    below, bend, above = a_law(np.array([1 / 87.6 - 1e-6, 1 / 87.6, 1 / 87.6 + 1e-6]))
    assert (bend - below) / (above - bend) == pytest.approx(1, rel=1e-3)


def test_companding_holds_the_ratio_over_40_db():
    """Bennett: with |F'| ∝ 1/|x| the noise follows the signal. Uniform loses a dB per dB."""
    tone = np.sin(2 * np.pi * 0.0713 * np.arange(50_000))
    loud, quiet = 0.9 * tone, 0.9e-2 * tone
    for law in ("mu", "A"):
        q = CompandedPCM(8, law)
        assert 30 < snr_db(quiet, q(quiet)) < snr_db(loud, q(loud)) + 1 < 41
    p = PCM(8)
    assert snr_db(loud, p(loud)) - snr_db(quiet, p(quiet)) == pytest.approx(40, abs=2)


def test_companding_noise_is_bennetts_integral():
    """Uniform density on [−1, 1]: D = Δ²/12 · E[1/F'(x)²]."""
    x = np.random.default_rng(0).uniform(-1, 1, 400_000)
    slope = 255 / np.log(256) / (1 + 255 * np.abs(x))
    predicted = (2 / 2**10) ** 2 / 12 * np.mean(1 / slope**2)
    assert np.mean((x - CompandedPCM(10)(x)) ** 2) == pytest.approx(predicted, rel=0.01)


def test_speech_is_deterministic_peaky_and_gains_from_companding():
    x = synthetic_speech(3.0, seed=5)
    np.testing.assert_array_equal(x, synthetic_speech(3.0, seed=5))
    assert not np.array_equal(x, synthetic_speech(3.0, seed=6))
    assert x.shape == (24_000,)
    assert np.abs(x).max() == 1.0
    for seed in range(5):
        x = synthetic_speech(3.0, seed=seed)
        assert stats.kurtosis(x, fisher=False) > 6  # Laplace has 6
        quiet = 0.05 * x
        assert snr_db(quiet, CompandedPCM(8)(quiet)) > snr_db(quiet, PCM(8)(quiet)) + 6


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: PCM(0), ValueError, "bits must be an integer from 1 to 24, got 0"),
        (lambda: PCM(1, kind="mid-tread"), ValueError, "from 2 to 24"),
        (lambda: PCM(True), TypeError, "bits"),
        (lambda: PCM(8, kind="flat"), ValueError, "mid-rise"),
        (lambda: PCM(8, peak=0), ValueError, "peak"),
        (lambda: PCM(8).encode([np.nan]), ValueError, "finite"),
        (lambda: PCM(8).encode(np.array([1, 2])), TypeError, "real numbers"),
        (lambda: PCM(2).decode([2]), ValueError, "from -2 to 1"),
        (lambda: PCM(2).decode([0.5]), TypeError, "integers"),
        (lambda: codes_to_bits([2], 2), ValueError, "from -2 to 1"),
        (lambda: bits_to_codes([1, 0, 1], 2), ValueError, "groups of 2"),
        (lambda: bits_to_codes([1, 2], 2), ValueError, "0 or 1"),
        (lambda: mu_law([1.5]), ValueError, "divide by the peak"),
        (lambda: mu_law([0.5], mu=0.0), ValueError, "mu"),
        (lambda: a_law([0.5], A=0.5), ValueError, "A must be at least 1"),
        (lambda: CompandedPCM(8, "log"), ValueError, "law must be"),
        (lambda: snr_db([1.0], [1.0, 2.0]), ValueError, "same shape"),
        (lambda: snr_db([0.0], [1.0]), ValueError, "silence"),
        (lambda: synthetic_speech(0.1), ValueError, "at least 0.2 s"),
        (lambda: sample(np.sin, -1.0, 1.0), ValueError, "rate"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
