"""The table of noise rates: complete, of the right shape, and a run that can be made again."""

import pytest

from qlab.stochastic.make_noise_table import SEEDS, jobs
from qlab.stochastic.noise_table import noise_table, run_noise

pytestmark = pytest.mark.row("G3")


def test_the_table_holds_every_run_once():
    table = noise_table()
    assert sorted(run[:3] for run in table) == sorted(jobs())
    assert len(table) == 12 * len(SEEDS)
    assert all(0.05 < run.accuracy < 0.95 and 0.05 < run.reestimated < 0.95 and run.seconds > 0 for run in table)


@pytest.mark.parametrize(("bits", "method"), [(3, "0.5"), (2, "coins"), (1, "0.3")])
def test_a_run_that_is_not_in_the_table_is_refused(bits, method):
    with pytest.raises(ValueError, match="bits and method must be 1 or 2 and one of"):
        run_noise(bits, method, 0)


@pytest.mark.slow
def test_a_run_can_be_made_again():
    noted = next(run for run in noise_table() if run[:3] == (1, "coins", 0))
    assert run_noise(1, "coins", 0).reestimated == pytest.approx(noted.reestimated, abs=0.04)
