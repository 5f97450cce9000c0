"""Plans: lengths exact, settings settled, wishes that can't be met refused with a sentence and a fix."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wan_backend.frames.asked import asked
from tests.wan_backend.job_queue.written_jobs import take_request
from tests.wan_backend.library import tiny_folder
from wan_backend.catalogue import entries
from wan_backend.planning import plan_steps
from wan_backend.protocol.messages import (
    MAX_PROMPT_CHARACTERS,
    READ_PROMPT_CHARACTERS,
    Decoder,
    FrameRate,
    MediaFormat,
    Quality,
)
from wan_backend.server.planner import Planner

EMBEDDED, SMALL = entries.entry("embedded"), entries.entry("wan2.1-t2v-1.3b")
RATES = [
    FrameRate(24, 1.001), FrameRate(24), FrameRate(25), FrameRate(30, 1.001), FrameRate(30), FrameRate(50),
    FrameRate(60, 1.001), FrameRate(60),
]  # fmt: skip


def plan(entry=SMALL, **changes):
    made = plan_steps.plan(take_request("/tmp", **{"width": 832, "height": 480, **changes}), entry)
    return made


@pytest.mark.parametrize("rate", RATES, ids=lambda rate: f"{float(rate.exact()):.3f}")
def test_the_fewest_model_frames_that_reach_the_last_scene_frame(rate):
    for length in range(1, 251):
        made = plan(length_frames=length, frame_rate=rate)
        n = made.model_frames
        assert made.problem is None and n % 4 == 1 and n >= SMALL.min_frames and made.take_frames == length
        last = Fraction(length - 1) / rate.exact()
        assert Fraction(n - 1, SMALL.frame_rate) >= last
        assert n == SMALL.min_frames or Fraction(n - 5, SMALL.frame_rate) < last
        if n > SMALL.max_frames:
            assert made.window_frames == SMALL.max_frames
            assert made.notes == [f"{SMALL.label} makes 5 s at a time, so the take is made in parts that overlap."]
        else:
            assert made.window_frames == 0 and made.notes == []


@pytest.mark.parametrize("length", [0, -1, -(2**62)])
def test_no_length_is_refused_with_a_fix(length):
    made = plan(length_frames=length)
    assert made.problem.kind == "bad_length"
    assert made.problem.fixes[0].setting == "length_frames" and made.problem.fixes[0].value == "24"


@pytest.mark.parametrize(
    "rate", [FrameRate(0), FrameRate(-24), FrameRate(24, 0.0), FrameRate(1, 1e300), FrameRate(24, 1e-9)]
)
def test_a_frame_rate_that_is_none_is_refused(rate):
    assert plan(frame_rate=rate).problem.kind == "bad_length"


@pytest.mark.parametrize("quality", list(Quality))
def test_a_quality_sets_what_the_request_leaves_open(quality):
    made, preset = plan(quality=quality), SMALL.preset(quality)
    assert (made.steps, made.guidance_scale, made.flow_shift) == (
        preset.steps,
        preset.guidance_scale,
        preset.flow_shift,
    )
    own = plan(quality=quality, steps=7, guidance_scale=0.0, flow_shift=2.5)
    assert (own.steps, own.guidance_scale, own.flow_shift) == (7, 0.0, 2.5)


@pytest.mark.parametrize(
    ("changes", "kind", "fix"),
    [
        ({"prompt": " \n\t "}, "bad_prompt", None),
        ({"prompt": "\ud800\udfff"}, "bad_prompt", None),
        ({"prompt": "x" * (MAX_PROMPT_CHARACTERS + 1)}, "bad_prompt", None),
        ({"negative_prompt": "x" * 100_000}, "bad_prompt", None),
        ({"seed": -1}, "bad_setting", ("seed", "1")),
        ({"seed": 2**63}, "bad_setting", ("seed", "1")),
        ({"steps": 0}, "bad_setting", ("steps", "1")),
        ({"steps": 10**9}, "bad_setting", ("steps", "200")),
        ({"guidance_scale": -2.0}, "bad_setting", ("guidance_scale", "0")),
        ({"flow_shift": 0.0}, "bad_setting", ("flow_shift", "0.01")),
        ({"task": "fill_gap"}, "bad_setting", None),
        ({"resolution": "900p"}, "bad_size", ("resolution", "480p")),
        ({"width": 0}, "bad_size", ("resolution", "480p")),
        ({"media_folder": ""}, "folder", None),
        ({"media_folder": "wan"}, "folder", None),
    ],
)
def test_what_can_not_be_done(changes, kind, fix):
    made = plan(**changes)
    assert made.problem.kind == kind and made.problem.sentence.endswith(".") and len(made.problem.sentence) < 300
    assert [(f.setting, f.value) for f in made.problem.fixes] == ([fix] if fix else [])
    if fix:  # the button does away with the problem
        read = {"seed": int, "steps": int, "resolution": str}.get(fix[0], float)
        fixed = {**changes, "width": 832, fix[0]: read(fix[1])}
        assert plan(**fixed).problem is None


@pytest.mark.parametrize("changes", [
    {"seed": 0}, {"seed": 2**63 - 1}, {"steps": 1}, {"steps": 200}, {"guidance_scale": 0.0}, {"guidance_scale": 30.0},
    {"flow_shift": 0.01}, {"flow_shift": 100.0}, {"strength": 0.0}, {"strength": 1.0}, {"length_frames": 1},
])  # fmt: skip
def test_the_least_and_the_most_of_every_setting_are_taken(changes):
    assert plan(**changes).problem is None


def test_of_many_problems_the_first_step_says_its_own_and_the_rest_is_settled_all_the_same():
    wrong = [{"media_folder": ""}, {"length_frames": 0}, {"resolution": "900p"}, {"seed": -1}, {"prompt": ""}]
    kinds = ["folder", "bad_length", "bad_size", "bad_setting", "bad_prompt"]
    changes = {}
    for change, kind in zip(wrong, kinds, strict=True):
        changes |= change
        made = plan(**changes)
        assert made.problem.kind == kind
        assert min(made.width, made.height, made.model_frames, made.take_frames, made.steps, made.memory_bytes) > 0


def test_the_longest_prompt_is_taken():
    assert plan(prompt="x" * MAX_PROMPT_CHARACTERS).problem is None


@settings(derandomize=True, max_examples=200, deadline=None, database=None)
@given(st.text(st.characters(exclude_categories=()), max_size=50))
def test_any_prompt_is_planned_and_made_harmless(prompt):
    request = take_request("/tmp", prompt=prompt)
    made = plan_steps.plan(request, EMBEDDED)
    clean = plan_steps.cleaned(request)
    clean.prompt.encode("utf-8")
    assert "\0" not in clean.prompt and len(clean.prompt) == len(prompt)
    assert (made.problem is None) == bool(clean.prompt.strip())
    assert ("removed" in " ".join(made.notes)) == (clean.prompt != prompt)


def test_a_model_that_is_not_known_gives_a_plan_with_a_problem():
    made = Planner([], None).plan(take_request("/tmp", model="wan3"))
    assert made.problem.kind == "model_missing" and "there are embedded" in made.problem.sentence


def test_a_memory_budget_that_is_too_small_is_noted():
    made = Planner([], 1 << 30).plan(take_request("/tmp", model="wan2.1-t2v-14b", width=832, height=480))
    assert "1.1 GB allowed" in made.notes[-1]


def test_memory_grows_with_size_and_length_and_is_near_what_was_published():
    whole = plan_steps.plan(
        take_request("/tmp", width=832, height=480, length_frames=81, frame_rate=FrameRate(16)), SMALL
    )
    half = dataclasses.replace(take_request("/tmp", width=832, height=480, length_frames=41), frame_rate=FrameRate(16))
    assert plan_steps.plan(half, SMALL).memory_bytes <= whole.memory_bytes
    large = entries.entry("wan2.1-t2v-14b")
    of_large = [
        plan_steps.plan(
            take_request("/tmp", width=w, height=h, length_frames=81, frame_rate=FrameRate(16)), large
        ).memory_bytes
        for w, h in ((832, 480), (1280, 720))
    ]
    assert 30e9 < of_large[0] < 50e9 and of_large[0] < of_large[1] < 69e9  # 35-50 and 43-69 GB were measured by others


def test_room_on_the_disk_is_estimated_by_format():
    bytes_of = {f: plan(media_format=f, length_frames=24).disk_bytes for f in MediaFormat}
    assert bytes_of[MediaFormat.PNG] >= 24 * 832 * 480 * 3
    assert bytes_of[MediaFormat.H264] < bytes_of[MediaFormat.PNG]


def test_frames_that_wait_for_those_after_the_take_need_room_too():
    forward, backward = (
        plan_steps.plan(asked(name, 24, FrameRate(24)), entries.entry("embedded"))
        for name in ("extend", "extend backward")
    )
    waiting = backward.model_frames * backward.width * backward.height * 3
    assert backward.disk_bytes == forward.disk_bytes + waiting


def test_a_prompt_longer_than_the_model_reads_is_said():
    short, long = plan(prompt="a" * READ_PROMPT_CHARACTERS), plan(prompt="a" * (READ_PROMPT_CHARACTERS + 1))
    assert not any("first 2,000 characters" in note for note in short.notes)
    assert any("first 2,000 characters" in note for note in long.notes) and long.problem is None


EXPERTS, FAST = entries.entry("wan2.2-t2v-a14b"), entries.entry("fastwan2.1-t2v-1.3b")


def test_a_model_of_two_experts_has_a_guidance_for_each_until_one_is_asked_for():
    made = plan(EXPERTS)
    assert (made.guidance_scale, made.low_noise_guidance_scale) == (4.0, 3.0)
    made = plan(EXPERTS, guidance_scale=6.0)
    assert (made.guidance_scale, made.low_noise_guidance_scale) == (6.0, None)


def test_a_distilled_model_keeps_to_its_steps_and_says_so():
    made = plan(FAST)
    assert (made.steps, made.sampler, made.timesteps, made.notes) == (3, "dmd", [1000, 757, 522], [])
    for changes in ({"steps": 20}, {"flow_shift": 3.0}):
        other = plan(FAST, **changes)
        assert (other.steps, other.flow_shift, other.timesteps) == (made.steps, made.flow_shift, made.timesteps)
        assert other.notes == [f"{FAST.label} was trained for 3 fixed steps; steps and flow shift can't be changed."]
    assert plan(FAST, steps=3).notes == []
    assert plan(FAST, guidance_scale=2.0).guidance_scale == 2.0


def test_a_draft_takes_the_settings_of_its_lora_where_that_is_here():
    request = take_request("/tmp", width=832, height=480, quality=Quality.DRAFT)
    here = ["wan2.2-t2v-a14b-4step", "wan2.1-t2v-14b-4step"]
    made = plan_steps.plan(request, EXPERTS, here)
    assert (made.lora, made.steps, made.guidance_scale, made.sampler) == (EXPERTS.draft_lora, 4, 1.0, "distilled")
    assert made.low_noise_guidance_scale is None and made.timesteps[-1] == 625
    assert made.notes == ["Draft in 4 steps, with a speed LoRA."]
    for entry, quality, loras in ((EXPERTS, "draft", here[1:]), (EXPERTS, "best", here), (SMALL, "draft", here)):
        request = take_request("/tmp", width=832, height=480, quality=Quality(quality))
        without = plan_steps.plan(request, entry, loras)
        assert without.lora == "" and without.timesteps == [] and without.sampler == "unipc"


@pytest.mark.parametrize(("model", "lora", "sampler", "steps"), [
    ("wan2.1-vace-14b", "wan2.1-t2v-14b-4step", "dmd", 4),
    ("wan2.2-vace-fun-a14b", "wan2.2-t2v-a14b-4step", "distilled", 4),
    ("fastwan2.1-vace-1.3b", "", "dmd", 3),
])  # fmt: skip
def test_drafts_of_all_six_tasks_under_control_take_few_steps_without_guidance(model, lora, sampler, steps):
    entry = entries.entry(model)
    assert len(entry.tasks) == 6
    for task in entry.tasks:
        request = take_request("/tmp", width=832, height=480, quality=Quality.DRAFT, task=task)
        made = plan_steps.plan(request, entry, [lora] if lora else [])
        assert (made.lora, made.steps, made.sampler, made.guidance_scale) == (lora, steps, sampler, 1.0)
        assert len(made.timesteps) == steps


def test_a_draft_is_decoded_by_the_tiny_autoencoder_where_that_is_here(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    request = take_request("/tmp", model=SMALL.id, width=832, height=480, quality=Quality.DRAFT)
    planner = Planner([str(tmp_path)], None)
    assert planner.tiny_decoder(SMALL.id) == "" and planner.plan(request).decoder is Decoder.WHOLE
    (tmp_path / "taew2_1.safetensors").write_bytes(tiny_folder.safetensors())
    assert planner.tiny_decoder(SMALL.id) == str(tmp_path / "taew2_1.safetensors")
    made = planner.plan(request)
    assert made.decoder is Decoder.TINY and "tiny autoencoder" in made.notes[-1]
    assert planner.plan(dataclasses.replace(request, quality=Quality.BEST)).decoder is Decoder.WHOLE
    for other in ("wan2.2-ti2v-5b", "embedded"):  # whose latents are others
        assert planner.tiny_decoder(other) == ""


def test_every_row_says_its_notes_and_memory():
    for row in Planner([], None).rows():
        entry = entries.entry(row.model)
        assert row.notes == entry.notes and row.licence == entry.licence
        assert row.memory_bytes >= row.least_memory_bytes > 0
