"""The scheduler takes the plan's shift, whichever class the folder names."""

from __future__ import annotations

import pytest

from wan_backend.pipelines.sampling import make_scheduler
from wan_backend.protocol.errors import Refusal

UNIPC = {"_class_name": "UniPCMultistepScheduler", "prediction_type": "flow_prediction", "use_flow_sigmas": True}
EULER = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 1.0}


@pytest.mark.parametrize("config", [UNIPC, EULER, {}])
@pytest.mark.parametrize(("sampler", "expected"), [("unipc", [999, 937, 833, 625]), ("euler", [1000, 910, 717, 24])])
def test_timesteps_of_shift_five(config, sampler, expected):
    scheduler = make_scheduler(config, sampler, 5.0)
    scheduler.set_timesteps(4)
    assert [int(t) for t in scheduler.timesteps] == pytest.approx(expected, abs=1)


def test_the_folders_own_settings_are_kept():
    assert make_scheduler({**UNIPC, "solver_order": 3}, "unipc", 3.0).config.solver_order == 3


def test_an_unknown_sampler_lists_the_known():
    with pytest.raises(Refusal, match="unipc, euler"):
        make_scheduler({}, "dpm", 3.0)
