"""Edits as plans: what they are made from, what they take, and what they leave to other tasks."""

from __future__ import annotations

import dataclasses

import pytest

from tests.wan_backend.frames.asked import asked, source
from tests.wan_backend.job_queue.written_jobs import take_request
from wan_backend.catalogue import entries
from wan_backend.memory.forecast import Machine
from wan_backend.memory.needs import VideoShape, calculate_from_catalogue
from wan_backend.planning import looks, plan_steps, several_cards, skipped_work
from wan_backend.planning.draft import Draft, Inventory
from wan_backend.protocol.messages import (
    CameraMove,
    FrameRate,
    GuidanceInterval,
    Plan,
    Quality,
    Role,
    StepCache,
    TakeRequest,
    Task,
    Words,
)

SMALL, EXPERTS = entries.entry("bernini-r-1.3b"), entries.entry("bernini-r-a14b")


def edit(pictures: int = 0, length: int = 24, **changes) -> TakeRequest:
    references = [source(Role.REFERENCE, 1, is_movie=False, at_frame=number + 1) for number in range(pictures)]
    values = {"width": 832, "height": 480, "model": SMALL.id, "frame_rate": FrameRate(24), **changes}
    sources = [source(Role.FOOTAGE, length), *references]
    return take_request("/tmp", task=Task.EDIT, length_frames=length, sources=sources, **values)


def planned(request: TakeRequest, entry=SMALL) -> Plan:
    return plan_steps.plan(request, entry)


@pytest.mark.parametrize(("pictures", "passes"), [(0, 2), (1, 4), (4, 4)])
def test_it_is_as_long_as_its_footage_and_counts_what_it_sees(pictures, passes):
    made = planned(edit(pictures))
    assert made.problem is None and (made.take_frames, made.model_frames) == (24, 17)
    assert made.seen_sources == 1 + pictures and made.forwards == made.all_forwards == passes * made.steps


def test_best_is_what_the_makers_program_does():
    made = planned(edit(quality=Quality.BEST), EXPERTS)
    assert (made.steps, made.guidance_scale, made.low_noise_guidance_scale, made.flow_shift) == (40, 4.0, 3.2, 5.0)
    assert made.sampler == "unipc"


def test_live_looks_at_the_whole_of_it_in_the_least_size():
    """Its end is that of its footage, so there is no beginning to look at."""
    (wanted,) = looks.requests(edit(1), SMALL)
    made = planned(wanted)
    assert made.problem is None and (made.take_frames, made.steps) == (24, SMALL.preset(Quality.DRAFT).steps)
    assert min(made.width, made.height) == SMALL.sides[0] and made.seen_sources == 2


def test_a_long_one_is_made_in_windows():
    assert planned(edit(length=200)).window_frames == SMALL.max_frames


def problem(request: TakeRequest, entry=SMALL) -> str:
    found = planned(request, entry).problem
    assert found is not None
    return found.sentence


def test_what_it_can_not_be_made_from_is_said():
    assert "at most 4 reference pictures, and 5 are selected" in problem(edit(5))
    assert "nothing to edit" in problem(dataclasses.replace(edit(), sources=[]))
    assert "prompt is empty" in problem(edit(2, prompt=" "))
    moving = [*edit().sources, source(Role.REFERENCE, 3)]
    assert "a reference is one picture" in problem(dataclasses.replace(edit(), sources=moving))
    nameless = [*edit().sources, dataclasses.replace(source(Role.REFERENCE, 3), files=[])]
    assert "a source has 3 frames" in problem(dataclasses.replace(edit(), sources=nameless))
    assert "nothing to edit" in problem(dataclasses.replace(edit(), sources=[], camera=CameraMove()))
    shorter = dataclasses.replace(edit(), length_frames=30)
    assert "has 24 frames here, but the take should have 30" in problem(shorter)
    kept = [*edit().sources, source(Role.KEPT, 1, is_movie=False)]
    assert "keeps no pictures" in problem(dataclasses.replace(edit(), sources=kept))


def test_only_an_edit_takes_references_and_only_its_models_edit():
    restyle = asked("restyle", 24, FrameRate(24))
    wanted = dataclasses.replace(restyle, sources=[*restyle.sources, source(Role.REFERENCE, 1)])
    assert "Only an edit takes reference pictures" in problem(wanted, entries.entry("embedded"))
    assert "can't do edit" in problem(edit(), entries.entry("wan2.1-vace-1.3b"))
    assert "can't do restyle, only edit" in problem(restyle, SMALL)


def test_words_over_time_are_left_out_and_said():
    made = planned(edit(words=[Words(0, 10, "rain")]))
    assert made.words == [] and any("one prompt for all of its frames" in note for note in made.notes)
    assert "one prompt for all" in problem(edit(prompt="", words=[Words(0, 10, "rain")]))


def test_handles_are_refused_with_their_reason():
    made = planned(edit(handle_frames=8))
    assert (made.handle_before, made.handle_after) == (0, 0) and any(
        "follows one of the footage" in n for n in made.notes
    )


def test_guidance_in_part_counts_what_is_left_of_the_chain():
    made = planned(edit(1, guidance_interval=GuidanceInterval(0.0, 0.5), steps=10))
    assert made.guided_steps is not None and made.forwards == 10 + 3 * 5 and made.all_forwards == 40


def test_no_step_reuses_anything_and_one_card_makes_it():
    machine = Machine("cuda", 1 << 40, 1 << 40, cards=2)
    request = edit(step_cache=StepCache.ON)
    draft = Draft(request, SMALL, planned(request), [], Inventory(machine=machine))
    made = skipped_work.settle_step_cache(draft).plan
    assert made.no_step_cache == skipped_work.OF_AN_EDIT and made.reused_steps is None and not made.can_calibrate
    assert skipped_work.OF_AN_EDIT in made.notes
    alone = several_cards.settle_cards(draft, lambda _: None).plan
    assert alone.cards == 1 and several_cards.EDIT in alone.notes


def test_memory_counts_the_tokens_of_footage_and_pictures():
    own = VideoShape(832, 480, 81).tokens
    assert own == 21 * 52 * 30
    assert VideoShape(832, 480, 81, sources=1).tokens == 2 * own
    assert VideoShape(832, 480, 81, sources=3).tokens == 2 * own + 2 * 52 * 52
    needs = [calculate_from_catalogue(SMALL, 832, 480, 81, sources=sources).denoise for sources in (0, 1, 5)]
    assert needs[0] < needs[1] < needs[2]
    assert planned(edit(4, length=100)).memory_bytes >= planned(edit(length=100)).memory_bytes
