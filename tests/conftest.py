"""Shared by all tests."""

import numpy as np
import pytest

collect_ignore = ["installed"]  # programs that are run in empty folders, with the wheel


@pytest.fixture
def rng():
    return np.random.default_rng(1234)
