"""Plans of words over time: what is followed, what is left out with a note, and what is refused."""

from __future__ import annotations

import pytest

from tests.wan_backend.job_queue.written_jobs import take_request
from wan_backend.catalogue import entries
from wan_backend.planning import plan_steps
from wan_backend.protocol.messages import MAX_WORDS, FrameRate, Plan, Words

SMALL = entries.entry("wan2.1-t2v-1.3b")


def plan(*words: Words, **changes) -> Plan:
    """Of two seconds at 24 frames a second; the model makes 16 of them."""
    asked = {"width": 832, "height": 480, "length_frames": 48, "frame_rate": FrameRate(24), "words": list(words)}
    return plan_steps.plan(take_request("/tmp", **{**asked, **changes}), SMALL)


def test_words_are_followed_in_their_order():
    made = plan(Words(24, 47, "sun"), Words(0, 23, "rain"))
    assert made.problem is None and made.notes == []
    assert made.words == [Words(0, 23, "rain"), Words(24, 47, "sun")]


def test_words_past_the_end_are_cut_or_left_out_with_a_note():
    made = plan(Words(0, 23, "rain"), Words(24, 60, "sun"), Words(70, 90, "snow"))
    assert made.words == [Words(0, 23, "rain"), Words(24, 47, "sun")]
    assert made.notes == ["The words from frame 70 on are left out: the take ends before them."]


@pytest.mark.parametrize(("last", "followed"), [(11, False), (14, False), (15, True)])
def test_words_for_less_than_a_latent_frame_are_left_out_with_a_note(last, followed):
    made = plan(Words(10, last, "a flash"))
    assert made.problem is None and bool(made.words) is followed
    said = [f"The words for frames 10 to {last} are left out: the model can't follow words for fewer than 6 frames."]
    assert made.notes == ([] if followed else said)


def test_where_no_words_are_left_there_must_be_a_prompt():
    made = plan(Words(10, 11, "a flash"), prompt="")
    assert made.problem is not None and made.problem.kind == "bad_prompt"
    assert made.problem.sentence == "No words are left for the take; give it a prompt, or words for longer."
    assert plan(Words(10, 30, "rain"), prompt="").problem is None


def test_the_beginning_of_a_take_has_the_first_words_where_there_is_no_prompt():
    made = plan(Words(60, 80, "rain"), Words(81, 99, "sun"), prompt="")
    assert made.problem is None and made.words == [Words(0, 47, "rain")]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([Words(0, 20, "rain"), Words(20, 40, "sun")], "Frames 20 to 20 have two words at once"),
        ([Words(0, 40, "rain"), Words(8, 20, "sun")], "Frames 8 to 20 have two words at once"),
        ([Words(20, 10, "rain")], "Words from frame 20 to frame 10 are none"),
        ([Words(-5, 10, "rain")], "Words from frame -5 to frame 10 are none"),
        ([Words(0, 20, " \x07 ")], "The words for frames 0 to 20 are empty"),
        ([Words(0, 20, "x" * 4_998)], "the words for frames 0 to 20 have 5,003 characters"),
        ([Words(n, n, "x") for n in range(MAX_WORDS + 1)], f"A take has words at {MAX_WORDS + 1} times"),
    ],
)
def test_what_can_not_be_meant_is_refused(words, sentence):
    made = plan(*words)
    assert made.problem is not None and made.problem.kind == "bad_prompt"
    assert sentence in made.problem.sentence and made.words == []


def test_what_no_text_encoder_reads_is_removed():
    asked = take_request(words=[Words(0, 3, "ra\x07in\ud800")])
    assert plan_steps.cleaned(asked).words == [Words(0, 3, "ra in ")]
