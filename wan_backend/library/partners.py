"""Which transformers are a half of a Wan 2.2, told by their shapes, their names and what lies beside. No torch.

Never half a model silently: of a shape that comes in halves, one that is said to be of Wan 2.2 is used where it is
known which half it is, or that it is both in one; and one of which nothing says the version isn't used, for it may be
either. A shape that has no halves is never taken for one, whatever its name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ..catalogue.architecture import Architecture
from . import expert_names, file_heads
from .candidates import Candidate

UNTOLD = "untold"
"""The half of a transformer that is one of two, nobody knows which."""
UNSAID = "unsaid"
"""The half of one that may as well be a whole Wan 2.1: nothing says of which version it is."""
FOREIGN = "foreign"
"""The half of one that is part of a model which this version doesn't run."""
HALVED = (Architecture.TEXT, Architecture.PICTURES, Architecture.CONTROL)
"""Layouts of which there are models in two halves."""
WHOLE_SIZES = {(30, 12), (30, 24)}
"""Layers and heads of Wan's smaller models, of which there are none."""
ALIKE = 0.02
"""Of its size, partners differ by less."""


def settle(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates with the half that each one is."""
    beside = _Beside([each for each in candidates if _may_be_half(each)])
    return [
        dataclasses.replace(each, expert=_half(each, beside)) if _may_be_half(each) else each for each in candidates
    ]


def name_of(candidate: Candidate) -> str:
    """What two partners' names are compared by: folder and name."""
    return f"{candidate.path.parent.name}/{candidate.path.stem}"


def are_partners(high: Candidate, low: Candidate) -> bool:
    """True where the names differ in the half alone."""
    return expert_names.are_partners(name_of(high), name_of(low)) == expert_names.HIGH


def why_not(expert: str) -> str:
    """Why a transformer whose half is that can't be used, as a clause; empty where it can."""
    if expert == UNTOLD:
        return (
            "it is one half of a Wan 2.2 A14B, and nothing says which; put 'high_noise' or 'low_noise' into its name "
            "('wan2.1' where it is a whole model)"
        )
    if expert == UNSAID:
        return (
            "it may be a whole Wan 2.1 or one half of a Wan 2.2, which are alike inside, and no name says which; put "
            "'wan2.1' into its name, or 'high_noise' or 'low_noise'"
        )
    if expert == FOREIGN:
        return (
            "it is one half of a Wan 2.2 with control (VACE), which this version doesn't run; get Wan 2.1 VACE, or a "
            "Wan 2.2 VACE in one file ('aio' in its name)"
        )
    return ""


def _may_be_half(candidate: Candidate) -> bool:
    size = candidate.config.get("num_layers"), candidate.config.get("num_attention_heads")
    single = candidate.component == "transformer" and candidate.size_bytes > 0
    return single and candidate.architecture in HALVED and size not in WHOLE_SIZES


class _Beside:
    """What is left of the names of all that may be halves, without a sign of the half."""

    def __init__(self, halved: Sequence[Candidate]) -> None:
        self._sizes: dict[tuple[object, ...], list[int]] = {}
        for each in halved:
            for half, keys in expert_names.keys(name_of(each)).items():
                for key in keys:
                    self._sizes.setdefault((each.architecture, each.form, half, key), []).append(each.size_bytes)

    def half_of(self, candidate: Candidate) -> str:
        """The half, where the other one lies beside: of the same form and size, with a name that differs in that."""
        told = set()
        for half, keys in expert_names.keys(name_of(candidate)).items():
            for key in keys:
                sizes = self._sizes.get((candidate.architecture, candidate.form, expert_names.OTHER[half], key), ())
                if any(abs(size - candidate.size_bytes) <= ALIKE * candidate.size_bytes for size in sizes):
                    told.add(half)
        return told.pop() if len(told) == 1 else ""


def _half(candidate: Candidate, beside: _Beside) -> str:
    """high, low, UNTOLD, UNSAID, FOREIGN, or empty for a whole model."""
    place = candidate.path
    own = place.stem if place.suffix.lower() in file_heads.SUFFIXES else place.name
    names = (*candidate.titles, own, place.parent.name)
    above = (*names, place.parent.parent.name)
    new = True if candidate.architecture is Architecture.PICTURES else expert_names.is_new(above)
    told = expert_names.surely(above) or ("" if new is False else beside.half_of(candidate))
    whole = candidate.one_of_many or expert_names.is_one_file(names)
    if candidate.architecture is Architecture.CONTROL:
        foreign = told or (new and not whole)
        return FOREIGN if foreign else "" if new is False or whole else UNSAID
    if told or new is False:
        return told
    told = expert_names.probably(names)
    if told or whole:
        return told
    told = expert_names.perhaps(names)
    if new:
        return told or UNTOLD
    return UNTOLD if told else UNSAID
