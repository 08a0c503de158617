"""One thread while the core is tested: on a busy machine, tiny parallel loops wait for each other for seconds."""

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
