"""Optuna's published test cases, on motemo's own samplers. One line adds a sampler."""

from __future__ import annotations

import pytest
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    MultiObjectiveSamplerTestCase,
    RelativeSamplerTestCase,
)

from motemo.samplers.by_name import mote_nas, motemo, pymoo_nsga2

OWN = [
    pytest.param(lambda: motemo(startup=4), id="motemo"),
    pytest.param(lambda: pymoo_nsga2(population=4), id="pymoo_nsga2"),
    pytest.param(mote_nas, id="mote_nas"),
]


@pytest.mark.parametrize("sampler", OWN)
class TestBasic(BasicSamplerTestCase):
    pass


@pytest.mark.parametrize("sampler", OWN)
class TestRelative(RelativeSamplerTestCase):
    pass


@pytest.mark.parametrize("sampler", OWN)
class TestMultiObjective(MultiObjectiveSamplerTestCase):
    pass
