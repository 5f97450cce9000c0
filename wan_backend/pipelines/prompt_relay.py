"""Words over time: which latent frames of a take read which of its prompts.

Each prompt is encoded by itself, and each latent frame reads, by cross-attention, the prompt of its own time alone;
around a border it reads both, in shares that go over from one to the other. That is training-free, and after Prompt
Relay (Chen et al. 2026, arXiv 2604.10030), which encodes all prompts as one text and keeps the frames away from the
tokens of other times by a penalty. Prompts that are encoded apart know nothing of each other to begin with, and need
no mask: every attention kernel serves. What holds the take together is self-attention, which sees all frames, and the
scene's prompt, which begins each of them. The negative prompt holds for all frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby, pairwise

from ..frames.schedule import Schedule
from ..loading.chunked_forward import PromptSpan
from ..planning.lengths import latent_frames
from ..protocol.messages import Plan, TakeRequest
from .windows import Window

BORDER_FRAMES = 4
"""Over how many of the model's frames one prompt goes over into the next: those of one latent frame."""
Shares = tuple[tuple[int, float], ...]
"""What one latent frame reads: numbers of prompts, each with its share."""
LEAST_SHARE = 0.05
"""A smaller share of a prompt isn't read."""


@dataclass(frozen=True)
class Relay:
    """The prompts of a take, and which latent frames read which."""

    prompts: list[str]
    """Each once."""
    spans: tuple[PromptSpan, ...] = ()
    """Empty if there is only one prompt."""


@dataclass(frozen=True)
class _Stretch:
    """The time of a prompt: from `start` up to `end`, counted in the model's frames."""

    start: Fraction
    end: Fraction
    prompt: str


def relay_of(request: TakeRequest, plan: Plan, references: int = 0) -> Relay:
    """The relay of a planned take; `references` latent frames before its own read the scene's prompt."""
    stretches = _stretches(request, plan)
    before = [request.prompt] * references
    prompts = list(dict.fromkeys([*before, *(each.prompt for each in stretches)]))
    if len(prompts) == 1:
        return Relay(prompts)
    numbers = {prompt: number for number, prompt in enumerate(prompts)}
    every: list[Shares] = [((numbers[prompt], 1.0),) for prompt in before]
    every += [_shares(stretches, frame, numbers) for frame in range(latent_frames(plan.model_frames))]
    return Relay(prompts, _spans(every))


def cut(spans: Sequence[PromptSpan], references: int, window: Window) -> tuple[list[int], tuple[PromptSpan, ...]]:
    """The prompts that a window of the take reads, and its spans, in which these are counted anew from 0."""
    every = [span.shares for span in spans for _ in range(span.start, span.end_exclusive)]
    own = [*every[:references], *every[references + window.start : references + window.end_exclusive]] if spans else []
    used = sorted({prompt for shares in own for prompt, _ in shares})
    return used, _spans([tuple((used.index(prompt), share) for prompt, share in shares) for shares in own])


def joined(scene: str, words: str) -> str:
    """The scene's prompt with the words of a time at its end."""
    scene, words = scene.strip(), words.strip()
    if not scene or not words:
        return scene or words
    return f"{scene} {words}" if scene[-1] in ".!?" else f"{scene.rstrip(' ,;:')}, {words}"


def _stretches(request: TakeRequest, plan: Plan) -> list[_Stretch]:
    """The times of the prompts, one after another from the model's first frame to its last.

    Between words, the scene's prompt holds; without one, the words before go on. What the model sees of neighbors,
    before the take and after it, has the take's first and last words.
    """
    schedule = Schedule.of(plan, request)
    found: list[tuple[int, str]] = []
    end = 0
    for words in sorted(plan.words, key=lambda each: each.first):
        if words.first > end and request.prompt.strip():
            found.append((end, request.prompt))
        found.append((words.first, joined(request.prompt, words.prompt)))
        end = words.last + 1
    if end < plan.take_frames and request.prompt.strip():
        found.append((end, request.prompt))
    starts = [schedule.position(frame) - schedule.step / 2 for frame, _ in found[1:]]
    borders = [Fraction(-1), *starts, Fraction(plan.model_frames)]
    texts = [text for _, text in found] or [request.prompt]
    return [_Stretch(*edges, text) for edges, text in zip(pairwise(borders), texts, strict=True)]


def _shares(stretches: Sequence[_Stretch], frame: int, numbers: dict[str, int]) -> Shares:
    """What a latent frame of the take reads: the prompts of the model's frames around its middle."""
    middle = 4 * frame - Fraction(3, 2) if frame else Fraction(0)
    half = Fraction(BORDER_FRAMES, 2)
    found: dict[int, float] = {}
    for each in stretches:
        overlap = float(min(each.end, middle + half) - max(each.start, middle - half))
        if overlap > 0:
            number = numbers[each.prompt]
            found[number] = found.get(number, 0.0) + overlap
    kept = {number: size for number, size in found.items() if size >= LEAST_SHARE * sum(found.values())}
    return tuple((number, size / sum(kept.values())) for number, size in kept.items())


def _spans(every: Sequence[Shares]) -> tuple[PromptSpan, ...]:
    """The spans of latent frames, of which each has its shares; none where all read one prompt."""
    if len(set(every)) <= 1:
        return ()
    spans, start = [], 0
    for shares, group in groupby(every):
        end = start + len(list(group))
        spans.append(PromptSpan(start, end, shares))
        start = end
    return tuple(spans)
