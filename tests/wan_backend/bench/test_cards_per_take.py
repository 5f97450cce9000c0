"""`bench --cards`: which ways it compares, its table, and that all ways make the same pictures."""

from __future__ import annotations

import json

import pytest
import torch

from tests.wan_backend.loading.test_chunked_forward import made
from wan_backend.bench import cards, command, random_weights
from wan_backend.bench.cards import Way
from wan_backend.loading import weight_shares
from wan_backend.loading.weight_shares import Share

SMALL = ["--size", "64x48", "--frames", "5", "--steps", "2", "--repeat", "1", "--device", "cpu"]
ONE = Way("one card", 1, 1)


def test_guidance_is_halved_where_there_is_some_and_tokens_are_always_shared():
    assert cards.ways(2, 1.0) == [ONE, Way("shares of tokens", 2, 2)]
    assert cards.ways(2, 5.0) == [ONE, Way("halves of guidance", 2, 1), Way("shares of tokens", 2, 2)]
    assert cards.ways(4, 5.0)[1] == Way("halves of guidance, each on 2", 4, 2)
    assert cards.ways(3, 5.0) == [ONE, Way("shares of tokens", 3, 3)]
    assert cards.ways(2, 1.0, shards=True)[2:] == [Way("shares of tokens and weights", 2, 2, 2)]


@pytest.mark.long
@pytest.mark.parametrize("more", [[], ["--shards", "--gib", "8"]])
def test_all_ways_are_timed_and_make_the_same_pictures(capsys, t2v_folder, tmp_path, more):
    file = tmp_path / "figures.json"
    assert command.run(["--cards", *more, "--folder", str(t2v_folder), *SMALL, "--json", str(file)]) == 0
    found = json.loads(file.read_text())
    assert [way["name"] for way in found["ways"]] == [way.name for way in cards.ways(2, 5.0, "--shards" in more)]
    for way in found["ways"]:
        assert way["difference_of_frames"] <= 1 and way["difference_of_latents"] < 1e-5
    rows = [cards.row(found["ways"][0], way) for way in found["ways"]]
    assert "\n".join([cards.heading(found), *rows]) in capsys.readouterr().out


def test_the_table_says_how_many_times_faster_several_are():
    work = {"width": 832, "height": 480, "frames": 81, "steps": 3, "guidance_scale": 5.0}
    same = {"difference_of_frames": 0, "difference_of_latents": 0.0, "transformer": "streamed", "most_bytes": 3 << 29}
    rows = [
        {"name": "one card", "step_seconds": 2.0, "take_seconds": 6.0, **same},
        {"name": "shares of tokens", "step_seconds": 1.0, "take_seconds": 4.0, **same},
    ]
    head = cards.heading({"model": "1.3B", "device": "a card", "torch": "2", "cards": 2, "work": work})
    assert head.startswith("1.3B on 2 of a card, torch 2: 832x480, 81 frames, 3 steps, guidance 5\n")
    assert (
        cards.row(*rows) == "| shares of tokens | 1.000 | 2.00 | 4.000 | 1.50 | 0 of 255 | 0.0e+00 | streamed | 1.5 |"
    )


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--shards", "--gib", "24"], "--gib, --shards would do nothing without --caps or --cards"),
        (["--cards", "--shards"], "give --cards, and --gib"),
        (["--cards", "--gib", "8", "24"], "give one number"),
    ],
)
def test_shares_of_the_weights_are_of_several_cards_with_so_much_each(capsys, more, words):
    with pytest.raises(SystemExit):
        command.run([*SMALL, *more])
    assert words in capsys.readouterr().err


def test_a_random_transformer_is_whole_again_after_it_was_shared():
    module = made("text")
    before = {name: each.clone() for name, each in module.state_dict().items()}
    clone = random_weights._of_the_same_tensors(module)
    assert all(torch.equal(each, before[name]) for name, each in clone.state_dict().items())
    weight_shares.shared("transformer", clone, torch.device("cpu"), Share(0, 2))
    assert all(torch.equal(each, before[name]) for name, each in module.state_dict().items())
    pointers = [each.data_ptr() for each in random_weights._of_the_same_tensors(module).parameters()]
    assert pointers == [each.data_ptr() for each in module.parameters()], "nothing is copied"
