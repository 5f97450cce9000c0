"""Down the ladder: every rung leaves more room for what failed, and the ladder ends."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.wan_backend.properties import bounded
from wan_backend.memory.fallbacks import at_most, bytes_while, measured, smaller
from wan_backend.memory.history import Attempt, MemoryLessons
from wan_backend.memory.residency_plan import MemoryPlan, Needs, Place, choose, choose_on_cpu

GB = 10**9
NEEDS = Needs(text_encoder=11 * GB, transformer=28 * GB, vae=GB // 4, encode=GB // 2, denoise=9 * GB, decode=2 * GB)
RESIDENT = MemoryPlan(Place.RESIDENT, Place.RESIDENT, Place.RESIDENT, NEEDS.together)


def ladder(part: str, plan=RESIDENT, host=64 * GB, on_cpu=False) -> list[tuple[str, str, str]]:
    plans = []
    while (plan := smaller(plan, NEEDS, part, host, on_cpu)) is not None:
        plans.append((plan.text_encoder.value, plan.transformer.value, plan.vae.value))
    return plans


def test_a_transformer_that_failed_is_streamed_in_the_end():
    assert ladder("transformer") == [
        ("phased", "resident", "resident"),
        ("phased", "phased", "phased"),
        ("phased", "streamed", "phased"),
        ("phased", "streamed", "phased"),
    ]


def test_a_streamed_transformer_that_failed_keeps_fewer_blocks_and_then_its_weights_in_8_bit():
    plan = choose(NEEDS, 20 * GB, 64 * GB)
    kept, eight_bit = [plan.kept_bytes], []
    while (plan := smaller(plan, NEEDS, "transformer", 64 * GB, on_cpu=False)) is not None:
        kept.append(plan.kept_bytes)
        eight_bit.append(plan.eight_bit)
    assert kept[0] > 2 * kept[1] - 2 > 0 and kept[-1] == 0 and sorted(kept, reverse=True) == kept
    assert eight_bit[-1] and not any(eight_bit[:-1])
    compressed = dataclasses.replace(NEEDS, compressed=True)
    last = MemoryPlan(Place.PHASED, Place.STREAMED, Place.PHASED, 0)
    assert smaller(last, NEEDS, "transformer", 64 * GB, False) == measured(
        dataclasses.replace(last, eight_bit=True), NEEDS
    )
    assert smaller(last, compressed, "transformer", 64 * GB, False) is None


def test_a_text_encoder_that_failed_is_alone_then_streamed_and_then_on_the_cpu():
    assert ladder("text_encoder") == [
        ("resident", "phased", "phased"),
        ("streamed", "phased", "phased"),
        ("on_cpu", "phased", "phased"),
    ]


def test_an_autoencoder_that_failed_alone_works_in_ever_smaller_tiles():
    needs = dataclasses.replace(NEEDS, frame_pixels=1280 * 720)
    plan, tiles = MemoryPlan(Place.PHASED, Place.PHASED, Place.PHASED, 0), []
    while (plan := smaller(plan, needs, "vae", 64 * GB, on_cpu=False)) is not None:
        tiles.append(plan.tile_pixels)
    assert tiles == [640, 416, 256, 192]
    small = dataclasses.replace(needs, frame_pixels=832 * 480)
    assert (
        smaller(MemoryPlan(Place.PHASED, Place.PHASED, Place.PHASED, 0), small, "vae", 64 * GB, False).tile_pixels
        == 416
    )


def test_an_autoencoder_that_failed_is_alone_in_the_end():
    assert ladder("vae")[-1] == ("phased", "phased", "phased")
    alone = MemoryPlan(Place.PHASED, Place.PHASED, Place.PHASED, 0)
    assert smaller(alone, NEEDS, "vae", 64 * GB, on_cpu=False) is None


def test_work_beside_the_parts_is_given_the_whole_device():
    assert ladder("")[-1] == ("phased", "phased", "phased")


def test_the_tiny_autoencoder_comes_last_and_once():
    alone = MemoryPlan(Place.PHASED, Place.PHASED, Place.PHASED, 0)
    lower = smaller(alone, NEEDS, "vae", 64 * GB, False, tiny_decoder=True)
    assert lower == dataclasses.replace(alone, decode_fits=False)
    assert smaller(lower, NEEDS, "vae", 64 * GB, False, tiny_decoder=True) is None
    assert smaller(RESIDENT, NEEDS, "vae", 64 * GB, False, tiny_decoder=True).decode_fits
    assert smaller(alone, NEEDS, "text_encoder", 64 * GB, False, tiny_decoder=True).decode_fits


@pytest.mark.parametrize(("host_gb", "away", "one_expert"), [(96, Place.PHASED, False), (48, Place.READ_AGAIN, True)])
def test_two_experts_leave_for_a_machine_that_holds_both(host_gb, away, one_expert):
    needs = dataclasses.replace(NEEDS, transformer_2=28 * GB)
    plan = smaller(RESIDENT, needs, "transformer_2", host_gb * GB, False)
    plan = smaller(plan, needs, "transformer_2", host_gb * GB, False)
    assert (plan.transformer, plan.one_expert) == (away, False)
    plan = smaller(plan, needs, "transformer_2", host_gb * GB, False)
    assert (plan.transformer, plan.one_expert) == (Place.STREAMED, one_expert)


def test_on_the_cpu_parts_are_read_again_and_never_streamed():
    assert ladder("transformer", on_cpu=True) == [
        ("read_again", "resident", "resident"),
        ("read_again", "read_again", "read_again"),
    ]


def test_a_machine_without_room_reads_again():
    assert ladder("transformer", host=8 * GB)[1] == ("read_again", "read_again", "phased")


@bounded(200)
@given(
    part=st.sampled_from(["", "text_encoder", "image_encoder", "transformer", "transformer_2", "vae"]),
    card_gb=st.integers(4, 90),
    on_cpu=st.booleans(),
)
@example("transformer", 4, False)
@example("vae", 80, True)
@example("", 16, False)
@example("image_encoder", 12, True)
def test_from_every_plan_each_rung_leaves_more_room(part, card_gb, on_cpu):
    needs = dataclasses.replace(NEEDS, image_encoder=GB, transformer_2=30 * GB)
    plan = choose_on_cpu(needs, card_gb * GB) if on_cpu else choose(needs, card_gb * GB, 64 * GB)
    rungs = 0
    while (lower := smaller(plan, needs, part, 64 * GB, on_cpu)) is not None:
        assert bytes_while(lower, needs, part) < bytes_while(plan, needs, part)
        plan, rungs = lower, rungs + 1
    assert rungs <= 12


def test_the_peak_of_places_is_the_one_that_was_chosen_by():
    for card_gb in (80, 60, 45, 40, 16):
        plan = choose(NEEDS, card_gb * GB, 64 * GB)
        assert measured(plan, NEEDS).peak_bytes == plan.peak_bytes


def test_the_smaller_place_of_two_plans():
    streamed = MemoryPlan(Place.READ_AGAIN, Place.STREAMED, Place.RESIDENT, 0)
    both = at_most(MemoryPlan(Place.ON_CPU, Place.PHASED, Place.PHASED, 0), streamed, NEEDS)
    assert (both.text_encoder, both.transformer, both.vae) == (Place.ON_CPU, Place.STREAMED, Place.PHASED)
    assert both.decode_fits and not both.one_expert
    short = at_most(both, dataclasses.replace(streamed, decode_fits=False, one_expert=True), NEEDS)
    assert short.one_expert and not short.decode_fits
    tiled = dataclasses.replace(both, tile_pixels=288, kept_bytes=3 * GB)
    assert at_most(tiled, dataclasses.replace(streamed, kept_bytes=2 * GB), NEEDS).kept_bytes == 2 * GB
    assert at_most(tiled, RESIDENT, NEEDS).kept_bytes == 3 * GB
    assert at_most(tiled, dataclasses.replace(streamed, tile_pixels=512, eight_bit=True), NEEDS).tile_pixels == 288


ATTEMPT = Attempt("model", "card", 832, 480, 81, 20 * GB)
PHASED = MemoryPlan(Place.PHASED, Place.PHASED, Place.PHASED, GB, True, False, 2 * GB, 448, True)


def test_a_lesson_outlives_the_process(tmp_path):
    MemoryLessons(tmp_path / "state" / "memory.json").learn(ATTEMPT, PHASED)
    assert MemoryLessons(tmp_path / "state" / "memory.json").start_with(ATTEMPT) == [PHASED]


@pytest.mark.parametrize(
    ("changes", "holds"),
    [
        ({}, True),
        ({"width": 1280, "height": 720}, True),
        ({"free_bytes": 10 * GB}, True),
        ({"frames": 41}, False),
        ({"free_bytes": 24 * GB}, False),
        ({"device": "another card"}, False),
        ({"model": "another"}, False),
    ],
)
def test_what_a_lesson_holds_for(changes, holds):
    lessons = MemoryLessons(None)
    lessons.learn(ATTEMPT, PHASED)
    assert bool(lessons.start_with(dataclasses.replace(ATTEMPT, **changes))) is holds


def test_what_another_worker_learnt_meanwhile_stays(tmp_path):
    """Two servers may share a state folder, and a job lasts."""
    mine, others = MemoryLessons(tmp_path / "memory.json"), MemoryLessons(tmp_path / "memory.json")
    elsewhere = dataclasses.replace(ATTEMPT, model="another")
    others.learn(elsewhere, PHASED)
    mine.learn(ATTEMPT, PHASED)
    known = MemoryLessons(tmp_path / "memory.json")
    assert known.start_with(ATTEMPT) == known.start_with(elsewhere) == [PHASED]


def test_a_second_lesson_takes_the_place_of_the_first(tmp_path):
    lessons = MemoryLessons(tmp_path / "memory.json")
    lessons.learn(ATTEMPT, PHASED)
    streamed = dataclasses.replace(PHASED, transformer=Place.STREAMED)
    lessons.learn(dataclasses.replace(ATTEMPT, free_bytes=ATTEMPT.free_bytes - 1), streamed)
    assert lessons.start_with(dataclasses.replace(ATTEMPT, free_bytes=GB)) == [streamed]


@pytest.mark.parametrize("content", [b"", b"[]", b'{"format": 9}', b'{"format": 2, "lessons": [{}]}', b"\xff\xfe"])
def test_a_damaged_file_is_begun_anew(tmp_path, content):
    file = tmp_path / "memory.json"
    file.write_bytes(content)
    lessons = MemoryLessons(file)
    assert lessons.start_with(ATTEMPT) == []
    lessons.learn(ATTEMPT, PHASED)
    assert MemoryLessons(file).start_with(ATTEMPT) == [PHASED]


def test_a_file_that_can_not_be_written_costs_nothing_but_the_lesson(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    lessons = MemoryLessons(tmp_path / "file" / "memory.json")
    lessons.learn(ATTEMPT, PHASED)
    assert lessons.start_with(ATTEMPT) == [PHASED]
