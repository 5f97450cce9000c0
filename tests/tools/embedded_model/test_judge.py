"""The judge in miniature: it trains, comes back from its file, and answers with the world's words."""

from __future__ import annotations

import pytest
import torch

from tools.embedded_model import judge, measures, scenes, world


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    file = tmp_path_factory.mktemp("judge") / "judge.safetensors"
    judge.train(file, 0.0001)
    return judge.load(file)


def test_answers_are_words_of_the_world(trained):
    take = world.draw(scenes.sample_scenes(1, 1), frames=9).frames[0]
    answers = trained.answers(take)
    assert answers.keys() == judge.QUESTIONS.keys()
    assert all(answer in judge.QUESTIONS[name] for name, answer in answers.items())
    masks = trained.masks(take)
    assert masks.shape == (9, 36, 64)
    assert masks.min() >= 0 and masks.max() <= 1


def test_it_learns_where_the_shape_is():
    torch.manual_seed(0)
    net = judge.Judge()
    drawn = world.draw(scenes.sample_scenes(1, 4), frames=1)
    frames, wanted = drawn.frames[:, :, 0], torch.nn.functional.interpolate(drawn.mask[:, :, 0], (36, 64))[:, 0]
    optimizer = torch.optim.AdamW(net.parameters(), lr=5e-3)
    losses = []
    for _ in range(25):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(net(frames)[1], wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_a_glimpse_shows_the_shape_alone_however_large_it_is():
    frames, masks = torch.zeros(2, 3, 144, 256), torch.zeros(2, 36, 64)
    for row, (top, left, side) in enumerate(((20, 40, 16), (60, 120, 48))):
        frames[row, :, top : top + side, left : left + side] = 1
        masks[row, top // 4 : (top + side) // 4, left // 4 : (left + side) // 4] = 1
    near = judge.glimpse(frames, masks)
    assert near.shape == (2, 3, judge.GLIMPSE, judge.GLIMPSE)
    assert (near[0] - near[1]).abs().mean() < 0.05
    assert 0.1 < near.mean() < 0.3  # the shape and some ground around it


def test_a_later_run_learns_the_second_look_alone(tmp_path, trained):
    earlier, later = tmp_path / "earlier.safetensors", tmp_path / "later.safetensors"
    judge.train(earlier, 0.0001)
    judge.train(later, 0.0001, seed=1, resume=earlier)
    one, other = judge.load(earlier).state_dict(), judge.load(later).state_dict()
    assert {key.split(".")[0] for key in one if not torch.equal(one[key], other[key])} == {"shape"}


def test_the_shipped_judge_reads_drawn_clips():
    shipped = judge.load()
    found = scenes.sample_scenes(10**6 + 7, 60, held_out=True)
    right = dict.fromkeys(judge.QUESTIONS, 0)
    for scene in found:
        answers = shipped.answers(world.draw([scene], frames=9).frames[0])
        for name, answer in answers.items():
            right[name] += answer == getattr(scene, name)
    assert min(right.values()) >= 0.98 * len(found), right


@pytest.mark.long
def test_motion_and_camera_of_drawn_clips_are_read():
    shipped = judge.load()
    found = [s for s in scenes.sample_scenes(10**6 + 8, 40) if s.motion not in ("spin", "still")][:16]
    for scene in found:
        take = world.draw([scene]).frames[0]
        masks = shipped.masks(take)
        assert measures.camera_of(take, masks) == scene.camera, scene
        if not scene.camera.startswith("zoom"):
            assert measures.motion_of(measures.sight(masks, 144, 256)) == scene.motion, scene
