"""The judge in miniature: it trains, comes back from its file, and answers with the world's words."""

from __future__ import annotations

import pytest
import torch

from wan_backend.embedded import judge, scenes, world


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
