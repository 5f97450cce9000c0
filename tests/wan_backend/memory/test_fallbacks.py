"""Fallbacks: each leaves more room for what failed, and they come to an end."""

from __future__ import annotations

import dataclasses
import json
import os
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.wan_backend.properties import bounded
from wan_backend.memory.fallbacks import next_smaller_plan, smaller_of
from wan_backend.memory.history import Attempt, OutOfMemoryHistory
from wan_backend.memory.needs import TOKEN_CHUNK_BYTES, Needs
from wan_backend.memory.residency_plan import MemoryPlan, Residency, choose, choose_on_cpu, choose_shared

GB = 10**9
NEEDS = Needs(text_encoder=11 * GB, transformer=28 * GB, vae=GB // 4, encode=GB // 2, denoise=9 * GB, decode=2 * GB)
RESIDENT = MemoryPlan(Residency.RESIDENT, Residency.RESIDENT, Residency.RESIDENT, NEEDS.together)


def fallbacks(part: str, plan=RESIDENT, host=64 * GB, on_cpu=False) -> list[tuple[str, str, str]]:
    plans = []
    while (plan := next_smaller_plan(plan, NEEDS, part, host, on_cpu)) is not None:
        plans.append((plan.text_encoder.value, plan.transformer.value, plan.vae.value))
    return plans


def test_a_transformer_that_failed_is_block_offloaded_in_the_end():
    assert fallbacks("transformer") == [
        ("phased", "resident", "resident"),
        ("phased", "phased", "phased"),
        ("phased", "streamed", "phased"),
        ("phased", "streamed", "phased"),
    ]


def test_a_block_offloaded_transformer_that_failed_keeps_fewer_blocks_and_then_its_weights_in_8_bit():
    plan = choose(NEEDS, 20 * GB, 64 * GB)
    kept, eight_bit = [plan.kept_bytes], []
    while (plan := next_smaller_plan(plan, NEEDS, "transformer", 64 * GB, on_cpu=False)) is not None:
        kept.append(plan.kept_bytes)
        eight_bit.append(plan.eight_bit)
    assert kept[0] > 2 * kept[1] - 2 > 0 and kept[-1] == 0 and sorted(kept, reverse=True) == kept
    assert eight_bit[-1] and not any(eight_bit[:-1])
    quantized = dataclasses.replace(NEEDS, quantized=True)
    last = MemoryPlan(Residency.OFFLOADED, Residency.BLOCK_OFFLOADED, Residency.OFFLOADED, 0)
    in_8_bit = dataclasses.replace(last, eight_bit=True).with_peak(NEEDS)
    assert next_smaller_plan(last, NEEDS, "transformer", 64 * GB, False) == in_8_bit
    assert next_smaller_plan(last, quantized, "transformer", 64 * GB, False) is None


def test_a_text_encoder_that_failed_is_alone_then_block_offloaded_and_then_on_the_cpu():
    assert fallbacks("text_encoder") == [
        ("resident", "phased", "phased"),
        ("streamed", "phased", "phased"),
        ("on_cpu", "phased", "phased"),
    ]


def test_an_autoencoder_that_failed_alone_works_in_ever_smaller_tiles():
    needs = dataclasses.replace(NEEDS, frame_pixels=1280 * 720)
    plan, tiles = MemoryPlan(Residency.OFFLOADED, Residency.OFFLOADED, Residency.OFFLOADED, 0), []
    while (plan := next_smaller_plan(plan, needs, "vae", 64 * GB, on_cpu=False)) is not None:
        tiles.append(plan.tile_pixels)
    assert tiles == [640, 416, 256, 192]
    small = dataclasses.replace(needs, frame_pixels=832 * 480)
    assert (
        next_smaller_plan(
            MemoryPlan(Residency.OFFLOADED, Residency.OFFLOADED, Residency.OFFLOADED, 0), small, "vae", 64 * GB, False
        ).tile_pixels
        == 416
    )


def test_an_autoencoder_that_failed_is_alone_in_the_end():
    assert fallbacks("vae")[-1] == ("phased", "phased", "phased")
    alone = MemoryPlan(Residency.OFFLOADED, Residency.OFFLOADED, Residency.OFFLOADED, 0)
    assert next_smaller_plan(alone, NEEDS, "vae", 64 * GB, on_cpu=False) is None


def test_a_share_stays_as_long_as_anything_else_can_be_smaller():
    needs = dataclasses.replace(NEEDS, frame_pixels=1280 * 720)
    shared = choose_shared(needs, 40 * GB, 64 * GB, 2)
    decoding, tiles = shared, []
    while decoding.transformer is Residency.SHARED:
        tiles.append(decoding.tile_pixels)
        decoding = next_smaller_plan(decoding, needs, "vae", 64 * GB, on_cpu=False)
    assert tiles[0] == 0 and tiles[-1] == 192 and len(tiles) > 3
    assert decoding.transformer is Residency.BLOCK_OFFLOADED and decoding.shares == 1
    denoising = next_smaller_plan(shared, needs, "transformer", 64 * GB, on_cpu=False)
    while denoising.transformer is Residency.SHARED:
        denoising = next_smaller_plan(denoising, needs, "transformer", 64 * GB, on_cpu=False)
    assert denoising.transformer is Residency.BLOCK_OFFLOADED and denoising.text_encoder is not Residency.RESIDENT


def test_larger_chunks_are_given_up_before_anything_is_offloaded():
    needs = dataclasses.replace(NEEDS, decode_another=GB)
    plan = dataclasses.replace(RESIDENT, chunk_latents=3, token_chunk_bytes=4 * TOKEN_CHUNK_BYTES)
    decoding = next_smaller_plan(plan, needs, "vae", 64 * GB, on_cpu=False)
    assert decoding == dataclasses.replace(plan, chunk_latents=1).with_peak(needs)
    denoising = next_smaller_plan(plan, needs, "transformer", 64 * GB, on_cpu=False)
    assert denoising == dataclasses.replace(plan, token_chunk_bytes=TOKEN_CHUNK_BYTES).with_peak(needs)
    smaller = smaller_of(
        plan, dataclasses.replace(plan, chunk_latents=2, token_chunk_bytes=2 * TOKEN_CHUNK_BYTES), needs
    )
    assert (smaller.chunk_latents, smaller.token_chunk_bytes) == (2, 2 * TOKEN_CHUNK_BYTES)


def test_work_beside_the_components_is_given_the_whole_device():
    assert fallbacks("")[-1] == ("phased", "phased", "phased")


def test_the_tiny_autoencoder_comes_last_and_once():
    alone = MemoryPlan(Residency.OFFLOADED, Residency.OFFLOADED, Residency.OFFLOADED, 0)
    lower = next_smaller_plan(alone, NEEDS, "vae", 64 * GB, False, tiny_decoder=True)
    assert lower == dataclasses.replace(alone, decode_fits=False)
    assert next_smaller_plan(lower, NEEDS, "vae", 64 * GB, False, tiny_decoder=True) is None
    assert next_smaller_plan(RESIDENT, NEEDS, "vae", 64 * GB, False, tiny_decoder=True).decode_fits
    assert next_smaller_plan(alone, NEEDS, "text_encoder", 64 * GB, False, tiny_decoder=True).decode_fits


@pytest.mark.parametrize(
    ("host_gb", "away", "one_expert"), [(96, Residency.OFFLOADED, False), (48, Residency.RELOADED, True)]
)
def test_two_experts_leave_for_a_machine_that_holds_both(host_gb, away, one_expert):
    needs = dataclasses.replace(NEEDS, transformer_2=28 * GB)
    plan = next_smaller_plan(RESIDENT, needs, "transformer_2", host_gb * GB, False)
    plan = next_smaller_plan(plan, needs, "transformer_2", host_gb * GB, False)
    assert (plan.transformer, plan.one_expert) == (away, False)
    plan = next_smaller_plan(plan, needs, "transformer_2", host_gb * GB, False)
    assert (plan.transformer, plan.one_expert) == (Residency.BLOCK_OFFLOADED, one_expert)


def test_on_the_cpu_components_are_reloaded_and_never_block_offloaded():
    assert fallbacks("transformer", on_cpu=True) == [
        ("read_again", "resident", "resident"),
        ("read_again", "read_again", "read_again"),
    ]


def test_a_machine_without_room_reloads():
    assert fallbacks("transformer", host=8 * GB)[1] == ("read_again", "read_again", "phased")


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
def test_from_every_plan_each_fallback_leaves_more_room(part, card_gb, on_cpu):
    needs = dataclasses.replace(NEEDS, image_encoder=GB, transformer_2=30 * GB)
    plan = choose_on_cpu(needs, card_gb * GB) if on_cpu else choose(needs, card_gb * GB, 64 * GB)
    count = 0
    while (lower := next_smaller_plan(plan, needs, part, 64 * GB, on_cpu)) is not None:
        assert lower.bytes_during(part, needs) < plan.bytes_during(part, needs)
        plan, count = lower, count + 1
    assert count <= 12


def test_the_peak_of_the_residencies_is_the_one_that_was_chosen_by():
    for card_gb in (80, 60, 45, 40, 16):
        plan = choose(NEEDS, card_gb * GB, 64 * GB)
        assert plan.with_peak(NEEDS).peak_bytes == plan.peak_bytes


def test_the_smaller_residency_of_two_plans():
    offloaded = MemoryPlan(Residency.RELOADED, Residency.BLOCK_OFFLOADED, Residency.RESIDENT, 0)
    both = smaller_of(MemoryPlan(Residency.ON_CPU, Residency.OFFLOADED, Residency.OFFLOADED, 0), offloaded, NEEDS)
    assert (both.text_encoder, both.transformer, both.vae) == (
        Residency.ON_CPU,
        Residency.BLOCK_OFFLOADED,
        Residency.OFFLOADED,
    )
    assert both.decode_fits and not both.one_expert
    short = smaller_of(both, dataclasses.replace(offloaded, decode_fits=False, one_expert=True), NEEDS)
    assert short.one_expert and not short.decode_fits
    tiled = dataclasses.replace(both, tile_pixels=288, kept_bytes=3 * GB)
    assert smaller_of(tiled, dataclasses.replace(offloaded, kept_bytes=2 * GB), NEEDS).kept_bytes == 2 * GB
    assert smaller_of(tiled, RESIDENT, NEEDS).kept_bytes == 3 * GB
    assert smaller_of(tiled, dataclasses.replace(offloaded, tile_pixels=512, eight_bit=True), NEEDS).tile_pixels == 288


ATTEMPT = Attempt("model", "card", 832, 480, 81, 20 * GB)
OFFLOADED = MemoryPlan(
    Residency.OFFLOADED, Residency.OFFLOADED, Residency.OFFLOADED, GB, True, False, 2 * GB, 448, True
)


def test_an_entry_outlives_the_process(tmp_path):
    shared = dataclasses.replace(OFFLOADED, transformer=Residency.SHARED, shares=2)
    for attempt, plan in ((ATTEMPT, OFFLOADED), (dataclasses.replace(ATTEMPT, device="card, one of 2"), shared)):
        OutOfMemoryHistory(tmp_path / "state" / "memory.json").record(attempt, plan)
        assert OutOfMemoryHistory(tmp_path / "state" / "memory.json").limits_for(attempt) == [plan]


def test_an_entry_of_a_version_without_larger_chunks_is_read(tmp_path):
    file = tmp_path / "memory.json"
    larger = dataclasses.replace(OFFLOADED, chunk_latents=4, token_chunk_bytes=4 * TOKEN_CHUNK_BYTES)
    OutOfMemoryHistory(file).record(ATTEMPT, larger)
    assert OutOfMemoryHistory(file).limits_for(ATTEMPT) == [larger]
    content = json.loads(file.read_bytes())
    for name in ("chunk_latents", "token_chunk_bytes"):
        del content["lessons"][0]["instead"][name]
    file.write_text(json.dumps(content))
    assert OutOfMemoryHistory(file).limits_for(ATTEMPT) == [OFFLOADED]


@pytest.mark.parametrize(
    ("changes", "applies"),
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
def test_what_an_entry_applies_to(changes, applies):
    history = OutOfMemoryHistory(None)
    history.record(ATTEMPT, OFFLOADED)
    assert bool(history.limits_for(dataclasses.replace(ATTEMPT, **changes))) is applies


def test_what_another_worker_wrote_meanwhile_stays(tmp_path):
    """Two servers may share a state folder, and a job lasts."""
    mine, others = OutOfMemoryHistory(tmp_path / "memory.json"), OutOfMemoryHistory(tmp_path / "memory.json")
    elsewhere = dataclasses.replace(ATTEMPT, model="another")
    others.record(elsewhere, OFFLOADED)
    mine.record(ATTEMPT, OFFLOADED)
    known = OutOfMemoryHistory(tmp_path / "memory.json")
    assert known.limits_for(ATTEMPT) == known.limits_for(elsewhere) == [OFFLOADED]


def test_a_second_entry_replaces_the_first(tmp_path):
    history = OutOfMemoryHistory(tmp_path / "memory.json")
    history.record(ATTEMPT, OFFLOADED)
    offloaded = dataclasses.replace(OFFLOADED, transformer=Residency.BLOCK_OFFLOADED)
    history.record(dataclasses.replace(ATTEMPT, free_bytes=ATTEMPT.free_bytes - 1), offloaded)
    assert history.limits_for(dataclasses.replace(ATTEMPT, free_bytes=GB)) == [offloaded]


@pytest.mark.parametrize("content", [b"", b"[]", b'{"format": 9}', b'{"format": 2, "lessons": [{}]}', b"\xff\xfe"])
def test_a_damaged_file_is_replaced(tmp_path, content):
    file = tmp_path / "memory.json"
    file.write_bytes(content)
    history = OutOfMemoryHistory(file)
    assert history.limits_for(ATTEMPT) == []
    history.record(ATTEMPT, OFFLOADED)
    assert OutOfMemoryHistory(file).limits_for(ATTEMPT) == [OFFLOADED]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no named pipes in folders")
def test_a_pipe_in_its_place_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "memory.json")
    history = OutOfMemoryHistory(tmp_path / "memory.json")
    history.record(ATTEMPT, OFFLOADED)
    assert OutOfMemoryHistory(tmp_path / "memory.json").limits_for(ATTEMPT) == [OFFLOADED]


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [("attempt", "width", "wide"), ("attempt", "free_bytes", None), ("instead", "peak_bytes", float("inf"))],
)
def test_a_number_that_is_none_is_damage_as_well(tmp_path, part, name, value):
    file = tmp_path / "memory.json"
    OutOfMemoryHistory(file).record(ATTEMPT, OFFLOADED)
    content = json.loads(file.read_bytes())
    content["lessons"][0][part][name] = value
    file.write_text(json.dumps(content))
    assert OutOfMemoryHistory(file).limits_for(ATTEMPT) == []


def test_what_another_process_is_writing_is_left_alone(tmp_path):
    file = tmp_path / "memory.json"
    half_written = file.with_name(file.name + ".part")
    half_written.write_text("another's")
    OutOfMemoryHistory(file).record(ATTEMPT, OFFLOADED)
    assert OutOfMemoryHistory(file).limits_for(ATTEMPT) == [OFFLOADED] and half_written.read_text() == "another's"


def test_a_file_that_can_not_be_written_costs_nothing_but_the_entry(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    history = OutOfMemoryHistory(tmp_path / "file" / "memory.json")
    history.record(ATTEMPT, OFFLOADED)
    assert history.limits_for(ATTEMPT) == [OFFLOADED]
