"""What a model of some layout can't do is said before the job is."""

from __future__ import annotations

import pytest

from wan_backend.catalogue import entries
from wan_backend.catalogue.abilities import architecture_problem
from wan_backend.catalogue.architecture import Architecture
from wan_backend.planning.plan_steps import plan
from wan_backend.protocol.messages import FrameRate, Guide, Role, Source, TakeRequest


def asked(task: str, *roles: Role, guide: Guide = Guide.NONE, model: str = "any") -> TakeRequest:
    sources = [Source(role, "/tmp", ["a.png"], rendered=True) for role in roles]
    return TakeRequest(
        "fog", model, 832, 480, 33, FrameRate(24), 1, "/tmp", task=task, sources=sources, guide=guide, strength=0.5
    )


@pytest.mark.parametrize("architecture", [Architecture.FIRST_PICTURE, Architecture.FIRST_LATENT])
def test_a_last_picture_that_the_model_does_not_know(architecture):
    problem = architecture_problem(asked("image_to_video", Role.FIRST, Role.LAST), architecture)
    assert problem is not None and "knows no last picture" in problem.sentence
    assert architecture_problem(asked("image_to_video", Role.FIRST), architecture) is None


@pytest.mark.parametrize(
    "architecture", [Architecture.CONTROL, Architecture.PICTURES, Architecture.FIRST_AND_LAST, None]
)
def test_a_last_picture_that_it_knows(architecture):
    assert architecture_problem(asked("image_to_video", Role.FIRST, Role.LAST), architecture) is None


def test_a_last_picture_that_it_needs():
    problem = architecture_problem(asked("image_to_video", Role.FIRST), Architecture.FIRST_AND_LAST)
    assert problem is not None and problem.kind == "bad_source"


@pytest.mark.parametrize("guide", [Guide.DEPTH, Guide.EDGES])
def test_a_guide_without_a_control_model_comes_with_a_fix(guide):
    problem = architecture_problem(asked("restyle", Role.FOOTAGE, guide=guide), Architecture.TEXT)
    assert problem is not None and guide.value in problem.sentence
    assert (problem.fixes[0].setting, problem.fixes[0].value) == ("guide", "none")
    assert architecture_problem(asked("restyle", Role.FOOTAGE, guide=guide), Architecture.CONTROL) is None


@pytest.mark.parametrize("guide", [Guide.NONE, Guide.FRAMES])
def test_noise_alone_suits_every_model(guide):
    assert architecture_problem(asked("restyle", Role.FOOTAGE, guide=guide), Architecture.TEXT) is None


def test_the_plan_says_it():
    entry = entries.entry("wan2.1-flf2v-14b-720p")
    made = plan(asked("image_to_video", Role.FIRST, model=entry.id), entry)
    assert made.problem is not None and "choose a last picture too" in made.problem.sentence
