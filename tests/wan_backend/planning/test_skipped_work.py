"""What a plan leaves out: counted, refused in a sentence where it can't be, and never anything that does nothing."""

from __future__ import annotations

import pytest

from tests.wan_backend.frames.asked import source
from tests.wan_backend.job_queue.written_jobs import take_request
from tests.wan_backend.library import tiny_folder
from wan_backend.catalogue import entries
from wan_backend.library.component_files import ComponentFiles
from wan_backend.library.locate import LocatedModel
from wan_backend.memory.forecast import Machine
from wan_backend.planning import machine_steps, plan_steps
from wan_backend.planning.calibrations import Branch, Calibration, CalibrationKey, Calibrations, model_identity
from wan_backend.planning.draft import Inventory
from wan_backend.planning.skipped_work import FEW_STEPS, NO_GUIDANCE, kept_residuals
from wan_backend.protocol.messages import (
    FrameRate,
    GuidanceInterval,
    Quality,
    Role,
    Sampler,
    StepCache,
    StepRange,
    Task,
)

EMBEDDED = entries.entry("embedded")
VACE = entries.entry("wan2.1-vace-1.3b")


@pytest.fixture
def plan(tmp_path):
    """plan(model, calibrated steps or None, **request)"""
    media = tmp_path / "media"
    media.mkdir()

    def make(
        entry=VACE, calibrated=(30,), starts=(0,), controlled=False, branches=tuple(Branch), machine=None, **request
    ):
        folder = tmp_path / entry.id
        if not folder.exists():
            tiny_folder.write(folder)
        known = Calibrations(tmp_path / "calibrations.json")
        for steps in calibrated:
            preset = entry.standard
            key = CalibrationKey(
                model_identity(ComponentFiles(folder)), steps, preset.sampler, preset.flow_shift, controlled
            )
            known.record(key, Calibration({branch: [1.0] * steps for branch in branches}, list(starts)))
        inventory = Inventory(lambda _: LocatedModel(folder), machine=machine, calibrations=known)
        values = {"width": 832, "height": 480, "model": entry.id, "length_frames": 33, **request}
        return machine_steps.plan_on_machine(take_request(str(media), **values), inventory)

    return make


def test_without_a_wish_nothing_is_left_out(plan):
    made = plan()
    assert made.problem is None, made.problem
    assert (made.guided_steps, made.reused_steps, made.calibrates) == (None, None, False)
    assert made.forwards == made.all_forwards == 60
    assert (made.no_guidance_interval, made.no_step_cache, made.can_calibrate) == ("", "", True)
    assert made.notes == plan_steps.plan(take_request("/tmp", model=VACE.id, width=832, height=480), VACE).notes


@pytest.mark.parametrize(
    ("start", "end", "steps", "forwards"),
    [
        (0, 0.5, StepRange(0, 15), 45),
        (0.1, 0.6, StepRange(3, 18), 45),
        (0.99, 1, StepRange(29, 30), 31),
        (0, 1, None, 60),
    ],
)
def test_guidance_in_part_of_the_steps_is_counted(plan, start, end, steps, forwards):
    made = plan(guidance_interval=GuidanceInterval(start, end))
    assert (made.guided_steps, made.forwards, made.all_forwards) == (steps, forwards, 60)


@pytest.mark.parametrize(("start", "end"), [(0.5, 0.5), (0.6, 0.5), (-0.1, 1), (0, 1.1)])
def test_an_interval_that_is_none_is_refused(plan, start, end):
    made = plan(guidance_interval=GuidanceInterval(start, end))
    assert made.problem.kind == "bad_setting" and f"{start:g} to {end:g}" in made.problem.sentence


def test_where_there_is_no_guidance_none_is_left_out(plan):
    made = plan(guidance_scale=1.0, guidance_interval=GuidanceInterval(0, 0.5))
    assert made.no_guidance_interval == NO_GUIDANCE and NO_GUIDANCE in made.notes
    assert made.guided_steps is None and made.forwards == made.all_forwards == 30
    assert NO_GUIDANCE not in plan(guidance_scale=1.0).notes


def test_a_calibrated_model_reuses_steps(plan):
    made = plan(step_cache=StepCache.ON)
    assert made.reused_steps.prompt == made.reused_steps.negative
    assert made.reused_steps.prompt[:4] == [6, 7, 9, 10] and made.forwards == 60 - 2 * len(made.reused_steps.prompt)
    both = plan(step_cache=StepCache.ON, guidance_interval=GuidanceInterval(0.1, 0.5))
    assert both.reused_steps.prompt == made.reused_steps.prompt
    assert both.reused_steps.negative == [step for step in made.reused_steps.negative if step < 15]


@pytest.mark.parametrize("asked_for", [StepCache.OFF, StepCache.ON])
def test_one_that_is_not_calibrated_reuses_nothing_and_says_how_to(plan, asked_for):
    for made in (plan(calibrated=(), step_cache=asked_for), plan(calibrated=(29,), step_cache=asked_for)):
        assert made.problem is None and made.reused_steps is None and made.forwards == 60
        assert f"{VACE.label} with 30 steps; make one take with Calibrate" in made.no_step_cache
        assert made.can_calibrate
        wished = asked_for is StepCache.ON
        assert (made.no_step_cache in made.notes) == wished
        assert [fix.value for fix in made.fixes if fix.setting == "step_cache"] == ["calibrate"] * wished


def test_a_calibration_without_the_negative_prompt_is_of_no_use_with_guidance(plan):
    alone = {"branches": (Branch.PROMPT,), "step_cache": StepCache.ON}
    assert plan(**alone).reused_steps is None
    made = plan(**alone, guidance_scale=1.0)
    assert made.reused_steps.prompt and not made.reused_steps.negative
    assert made.forwards == 30 - len(made.reused_steps.prompt)


def test_to_calibrate_every_step_is_computed(plan):
    made = plan(calibrated=(), step_cache=StepCache.CALIBRATE, guidance_interval=GuidanceInterval(0, 0.5))
    assert made.calibrates and (made.guided_steps, made.reused_steps, made.forwards) == (None, None, 60)
    again = plan(step_cache=StepCache.CALIBRATE)
    assert again.calibrates and [fix.value for fix in again.fixes] == ["on"]


def test_where_it_would_do_nothing_it_is_refused(plan):
    few = plan(steps=4, step_cache=StepCache.ON)
    assert "4 steps" in few.no_step_cache and few.no_step_cache in few.notes and not few.can_calibrate
    made = plan(calibrated=(6,), steps=6, step_cache=StepCache.ON, guidance_scale=1.0)
    assert made.reused_steps.prompt, "the least number of steps leaves something to skip"
    fast = entries.entry("fastwan2.1-t2v-1.3b")
    made = plan(fast, calibrated=(), step_cache=StepCache.ON)
    assert made.no_step_cache == FEW_STEPS and FEW_STEPS in made.notes and not made.can_calibrate
    assert made.no_guidance_interval == NO_GUIDANCE


def test_nothing_is_reused_across_two_transformers(plan):
    assert 16 in plan(step_cache=StepCache.ON, starts=(0, 15)).reused_steps.prompt
    for start in (10, 11, 12, 13):
        assert start not in plan(step_cache=StepCache.ON, starts=(0, start)).reused_steps.prompt


@pytest.mark.parametrize(("strength", "changes"), [(0.5, {15}), (0.42, {17, 18}), (0.0, set()), (1.0, set())])
def test_nothing_is_reused_across_two_controls_of_a_previs(plan, strength, changes):
    previs = {"task": Task.PREVIS, "strength": strength, "sources": [source(Role.DEPTH, 33)]}
    made = plan(controlled=True, step_cache=StepCache.ON, **previs)
    assert made.problem is None, made.problem
    assert made.reused_steps.prompt and not changes & {*made.reused_steps.prompt, *made.reused_steps.negative}


def test_with_and_without_a_control_are_calibrated_apart(plan):
    assert plan(step_cache=StepCache.ON, controlled=True).reused_steps is None, "VACE's trunk makes text to video alone"


def test_a_take_from_footage_counts_its_own_steps_and_calibrates_nothing(plan):
    request = {"task": Task.RESTYLE, "strength": 0.5, "sources": [source(Role.FOOTAGE, 33)]}
    made = plan(controlled=True, step_cache=StepCache.ON, **request)
    assert made.problem is None, made.problem
    assert made.all_forwards == 30 and made.reused_steps.prompt and min(made.reused_steps.prompt) == 16
    made = plan(controlled=True, step_cache=StepCache.CALIBRATE, **request)
    assert not made.calibrates and not made.can_calibrate
    half = plan(guidance_interval=GuidanceInterval(0, 0.6), **request)
    assert (half.guided_steps, half.forwards) == (StepRange(0, 18), 15 + 3)


def test_a_lora_of_few_steps_leaves_nothing_to_skip():
    request = take_request("/tmp", model="wan2.1-t2v-14b", quality=Quality.DRAFT, width=832, height=480)
    made = plan_steps.plan(request, entries.entry("wan2.1-t2v-14b"), ["wan2.1-t2v-14b-4step"])
    assert made.sampler is not Sampler.UNIPC and made.no_guidance_interval == NO_GUIDANCE


GB = 1_000_000_000


def test_what_the_step_cache_keeps_is_counted_in_branches_and_windows(plan):
    made = plan(step_cache=StepCache.ON)
    assert made.reused_steps.prompt and made.reused_steps.negative
    assert kept_residuals(made) == 2 and kept_residuals(plan()) == 0
    assert kept_residuals(plan(step_cache=StepCache.ON, guidance_scale=1.0)) == 1
    assert kept_residuals(plan(step_cache=StepCache.ON, length_frames=300)) == 2 * 3


def test_where_the_model_would_have_to_make_room_for_the_step_cache_it_is_left_off(plan):
    """A 14B whose blocks wait in the machine's memory: as much as it takes, and a little more than that."""
    flow = entries.entry("wan2.1-t2v-14b")
    asked = {
        "entry": flow,
        "resolution": "720p",
        "width": 1280,
        "height": 720,
        "frame_rate": FrameRate(16),
        "length_frames": 81,
    }
    wide = plan(**asked, machine=Machine("cuda", 16 * GB, 64 * GB), step_cache=StepCache.ON)
    assert wide.reused_steps is not None and "8 bit" not in wide.memory
    tight = next(
        machine
        for gib in range(64, 20, -1)
        if "8 bit" in plan(**asked, machine=(machine := Machine("cuda", 16 * GB, gib * GB - GB))).memory
    )
    tight = Machine("cuda", 16 * GB, tight.host_bytes + GB)
    without, made = (plan(**asked, machine=tight, step_cache=each) for each in (StepCache.OFF, StepCache.ON))
    assert made.reused_steps is None and made.forwards == made.all_forwards == 60
    assert made.no_step_cache in made.notes and "would keep 1.5 GB in the machine's memory" in made.no_step_cache
    assert made.memory == without.memory and "8 bit" not in made.memory
