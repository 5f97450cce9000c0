"""Trainings as they are planned: what is settled, and what is refused in a sentence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.wan_backend.library import tiny_folder
from wan_backend.library.locate import LocatedModel
from wan_backend.lora import resolve
from wan_backend.memory.forecast import Machine
from wan_backend.planning import training_steps
from wan_backend.planning.draft import Inventory
from wan_backend.protocol.messages import (
    FrameRate,
    Plan,
    Role,
    Source,
    TakeRequest,
    Training,
    TrainingKind,
    TrainingLength,
)

GIB = 1 << 30
HARBOR = Training("Harbor", "hrbr")


@pytest.fixture
def sources(tmp_path):
    """Eight movies of 48 frames."""
    for number in range(8):
        (tmp_path / f"{number}.mp4").write_bytes(b"a movie")
    return [Source(Role.CLIP, str(tmp_path), [f"{number}.mp4"], is_movie=True, frames=48) for number in range(8)]


@pytest.fixture
def planned(tmp_path, sources):
    """planned(training, ...) is the plan for it."""

    def plan(training: Training = HARBOR, model: str = "wan2.1-t2v-1.3b", **changes) -> Plan:
        machine = changes.pop("machine", None)
        made = {"sources": sources, "training": training, **changes}
        request = TakeRequest("", model, 832, 480, 1, FrameRate(24), 1, str(tmp_path / "loras"), **made)
        model = LocatedModel(folder, components=components)
        return training_steps.plan_on_machine(request, Inventory(lambda _: model, machine=machine))

    folder, components = tmp_path / "model", {}
    tiny_folder.write(folder)
    plan.components = components
    return plan


def test_what_is_not_said_is_settled_by_kind_length_and_model(planned):
    plan = planned()
    assert plan.problem is None, plan.problem
    settled = plan.training
    assert (settled.steps, settled.sample_every, settled.rank, settled.learning_rate) == (2000, 250, 32, 2e-4)
    assert (settled.clips, settled.warm_up_steps, settled.noisy_share, settled.sample_steps) == (8, 100, 0.0, 0)
    assert not settled.only_with_trigger, "it costs more than half of the time"
    assert (plan.width, plan.height, plan.model_frames, plan.steps) == (832, 480, 17, 2000)
    asked = Training("Harbor", kind=TrainingKind.MOTION, length=TrainingLength.SHORT, sample_prompt="a ship")
    motion = planned(replace(asked, only_with_trigger=True))
    assert motion.training.timestep_shift > settled.timestep_shift and motion.training.steps == 500
    assert motion.training.sample_steps > 0 and not motion.training.only_with_trigger, "there is no trigger"
    assert motion.model_frames == 29, "of 48 frames at 24 a second, 31 at 16"


def test_each_expert_has_the_steps(planned):
    plan = planned(Training("Harbor", steps=30), "wan2.2-t2v-a14b")
    assert plan.training.steps == 30 and plan.steps == 60 and plan.training.sample_every == 30


def test_a_persons_own_numbers_count(planned):
    own = Training("Harbor", "h", steps=7, sample_every=3, rank=8, learning_rate=1e-3, noisy_share=0.5)
    settled = planned(replace(own, only_with_trigger=True)).training
    assert (settled.steps, settled.sample_every, settled.rank, settled.learning_rate) == (7, 3, 8, 1e-3)
    assert settled.noisy_share == 0.5 and settled.warm_up_steps == 0 and settled.only_with_trigger


BAD = [
    ({"training": Training("")}, "has no name"),
    ({"training": Training("a/b")}, "can't be the name of a file"),
    ({"training": Training("nul")}, "can't be the name of a file"),
    ({"training": Training("a" * 61)}, "longer than 60"),
    ({"training": Training("🚢" * 51)}, "longer than 50"),
    ({"training": Training("a", "t" * 41)}, "trigger word is longer"),
    ({"training": Training("a", caption="c" * 2001)}, "more than 2,000 characters"),
    ({"training": Training("a", rank=500)}, "rank of 500 is out of range"),
    ({"training": Training("a", learning_rate=1.0)}, "learning rate of 1 is out of range"),
    ({"training": Training("a", noisy_share=1.5)}, "share of noisy steps of 1.5 is out of range"),
    ({"sources": []}, "There are no clips"),
    ({"model": "fastwan2.1-t2v-1.3b"}, "distilled to a few steps"),
    ({"model": "bernini-r-1.3b"}, "pairs of footage before and after"),
    ({"model": "no such"}, "no model"),
]


@pytest.mark.parametrize(("changes", "words"), BAD)
def test_what_cannot_be_meant_is_refused(changes, words, planned):
    assert words in planned(**changes).problem.sentence


def test_a_file_that_is_gone_is_refused(planned, tmp_path):
    (tmp_path / "3.mp4").unlink()
    assert "no longer there" in planned().problem.sentence


def test_few_clips_are_said_and_enough_are_not(planned, sources):
    assert not planned(sources=sources[:4]).notes
    assert "3 clips are few" in planned(sources=sources[:3]).notes[-1]
    stills = [replace(source, frames=1) for source in sources]
    assert not planned(sources=stills).notes and planned(sources=stills).model_frames == 1
    assert "7 clips are few" in planned(sources=stills[:7]).notes[-1]


def test_a_model_that_is_given_the_first_picture_learns_nothing_from_stills(planned, sources):
    stills = [replace(source, frames=1) for source in sources]
    assert "learns nothing from stills" in planned(model="wan2.1-i2v-14b-480p", sources=stills).problem.sentence


def test_a_model_in_8_bit_is_refused(planned, monkeypatch, tmp_path):
    monkeypatch.setattr(resolve, "quantized_bytes", lambda files: 14 * GIB)
    planned.components["transformer"] = tmp_path / "model" / "transformer"
    plan = planned()
    assert "8 bit or less" in plan.problem.sentence and plan.problem.kind == "bad_setting"


def test_the_lengths_are_as_the_panel_says_them():
    steps = training_steps.STEPS
    assert steps[TrainingLength.SHORT] * 4 == steps[TrainingLength.USUAL] == steps[TrainingLength.LONG] / 2


def test_memory_is_said_before(planned):
    small = planned(model="wan2.1-t2v-14b", machine=Machine("cuda", 16 * GIB, 64 * GIB))
    assert "visit the card block by block" in small.memory and small.memory_bytes <= 16 * GIB
    middle = planned(model="wan2.1-t2v-14b", machine=Machine("cuda", 32 * GIB, 64 * GIB))
    assert "stay on the card in 8 bit" in middle.memory
    large = planned(model="wan2.1-t2v-14b", machine=Machine("cuda", 80 * GIB, 64 * GIB))
    assert "All weights stay" in large.memory
    tiny = planned(model="wan2.1-t2v-14b", machine=Machine("cuda", 4 * GIB, 64 * GIB))
    assert "needs about" in tiny.problem.sentence and tiny.problem.kind == "too_large"


def test_the_embedded_model_has_a_rate_and_noise_of_its_own(planned):
    settled = planned(model="embedded").training
    assert (settled.learning_rate, settled.noisy_share) == (2e-3, 0.5)
    assert planned(Training("Harbor", "h", noisy_share=0.0), model="embedded").training.noisy_share == 0


def test_a_control_model_and_the_embedded_one_are_trained(planned):
    for model in ("embedded", "wan2.1-vace-14b", "wan2.2-vace-fun-a14b", "wan2.2-ti2v-5b"):
        assert planned(model=model).problem is None
