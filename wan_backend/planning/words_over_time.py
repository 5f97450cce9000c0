"""Settles the words over time: which parts of the take have words of their own, or why that can't be."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

from ..protocol.messages import MAX_PROMPT_CHARACTERS, MAX_WORDS, Problem, ProblemKind, TakeRequest, Task, Words
from ..protocol.sentences import Sentence
from .draft import Draft

LATENT_FRAMES = 4
"""The model's frames that are one to its transformer: shorter words have no frame that is theirs."""


def in_order(request: TakeRequest) -> list[Words]:
    """The words of a request, the first ones first."""
    return sorted(request.words, key=lambda each: (each.first, each.last))


def problem_of(request: TakeRequest) -> Problem | None:
    """Why the request's words can't be meant; None if they can."""
    words = in_order(request)
    if words and request.task is Task.EDIT and not request.prompt.strip():
        return _bad(Sentence("An edit has one prompt for all of its frames; write into it what is to change."))
    if len(words) > MAX_WORDS:
        return _bad(
            Sentence("A take has words at {count} times; give at most {most}.", count=len(words), most=MAX_WORDS)
        )
    for each in words:
        if not 0 <= each.first <= each.last:
            return _bad(
                Sentence(
                    "Words from frame {first} to frame {last} are none; give a first frame from 0 on and a last one "
                    "that isn't before it.",
                    first=each.first,
                    last=each.last,
                )
            )
        if not each.prompt.strip():
            return _bad(
                Sentence(
                    "The words for frames {first} to {last} are empty; write what the take shows there.",
                    first=each.first,
                    last=each.last,
                )
            )
        length = len(request.prompt) + len(each.prompt) + 2
        if length > MAX_PROMPT_CHARACTERS:
            return _bad(
                Sentence(
                    "With the whole prompt, the words for frames {first} to {last} have {count} characters: shorten "
                    "one of them, to at most {most} together.",
                    first=each.first,
                    last=each.last,
                    count=f"{length:,}",
                    most=f"{MAX_PROMPT_CHARACTERS:,}",
                )
            )
    for before, after in pairwise(words):
        if after.first <= before.last:
            return _bad(
                Sentence(
                    "Frames {first} to {last} have two words at once; end the first ones before the second begin.",
                    first=after.first,
                    last=min(before.last, after.last),
                )
            )
    return None


def settle(draft: Draft) -> Draft:
    """The words that the take follows: those within it, but for what is shorter than a latent frame."""
    request, plan = draft.request, draft.plan
    if not request.words or problem_of(request) is not None:
        return draft
    if request.task is Task.EDIT:
        return draft.with_plan(
            Sentence("An edit has one prompt for all of its frames; the words over time are left out.")
        )
    per_frame = plan.model_frame_rate.exact() / request.frame_rate.exact()
    least = math.ceil(LATENT_FRAMES / per_frame)
    followed: list[Words] = []
    notes: list[Sentence] = []
    for each in in_order(request):
        if each.first >= plan.take_frames:
            notes.append(
                Sentence("The words from frame {first} on are left out: the take ends before them.", first=each.first)
            )
        elif min(each.last + 1, plan.take_frames) - each.first < least:
            notes.append(
                Sentence(
                    "The words for frames {first} to {last} are left out: the model can't follow words for fewer than "
                    "{least} frames.",
                    first=each.first,
                    last=min(each.last, plan.take_frames - 1),
                    least=least,
                )
            )
        else:
            followed.append(replace(each, last=min(each.last, plan.take_frames - 1)))
    if not followed and not request.prompt.strip():
        coming = next((each for each in in_order(request) if each.first >= plan.take_frames), None)
        if coming is None:
            return draft.with_plan(*notes).with_problem(
                _bad(Sentence("No words are left for the take; give it a prompt, or words for longer."))
            )
        # Before the first words, these hold: also where only the beginning of a take is looked at.
        followed = [replace(coming, first=0, last=plan.take_frames - 1)]
    return draft.with_plan(*notes, words=followed)


def _bad(sentence: Sentence) -> Problem:
    return Problem(ProblemKind.BAD_PROMPT, sentence)
