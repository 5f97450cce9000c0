"""Which expert of a Wan 2.2 A14B a LoRA is for, by its name and by what lies beside it.

`a14b_experts` knows the words; here is how much they count for a LoRA, whose name speaks of pictures too ("high heels",
"low angle", a size "L"). "high_noise" says it for certain; so does a partner's file beside it. The bare word counts in
capitals, or in a name that says Wan 2.2. If an expert may be meant and nothing more says so, the answer is UNSURE,
and a person is asked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..library import a14b_experts

UNSURE = "?"
"""The name may mean one of the experts, or something else."""
SUFFIX = ".safetensors"
_PICTURED = re.compile(
    r"(?<![a-z])(?:high|low)[^a-z0-9]*(?:heel|heels|fashion|fantasy|school|society|waist|waisted|rise|cut|neck|cam|camera"
    r"|shot|pov|view|viewpoint|perspective|pan|tilt|zoom|kick|jump|dive|land|lands|sea|seas|tide|sky|sun|fi|tech|saturation"
    r"|exposure|shutter|frame|frames|framerate|freq|frequency|movement|action|energy|intensity|budget|lighting|lights|ride"
    r"|rider|gpu|altitude|five|rez|top|tops|boots|socks|collar|ponytail|bun|profile|fade|gravity|pressure|tension|ground)"
    r"(?![a-z])|(?<![a-z])(?:hi|lo)[^a-z0-9]*(?:fi|rez)(?![a-z])|(?<![a-z])hi[^a-z0-9]*(?:there|score)(?![a-z])",
    re.IGNORECASE,
)
"""What is high or low in pictures, beside the qualities of files."""
_MAX_NEIGHBORS = 20_000
"""A look at more files of a folder would keep a plan waiting."""


def detect_expert(file: Path, titles: Sequence[str] = ()) -> str:
    """ "high", "low", empty if nothing speaks of either, or UNSURE.

    `titles` are what the file's maker called it, in its metadata: it may have been renamed since.
    """
    name = _bare(file.stem)
    named = _named(name)
    titled = next((each for each in map(_named, map(_bare, titles)) if each in a14b_experts.OTHER), "")
    if named in a14b_experts.OTHER:
        return UNSURE if titled == a14b_experts.OTHER[named] else named
    return _by_partner(file) or titled or named or _by_folder(file.parent)


def are_a_pair(files: Sequence[Path]) -> bool:
    """True for two files of which one is for each expert."""
    return len(files) == 2 and {detect_expert(file) for file in files} == {a14b_experts.HIGH, a14b_experts.LOW}


def _named(name: str) -> str:
    """The expert by a name alone, UNSURE, or empty."""
    sure, word = a14b_experts.certain_expert([name]), a14b_experts.probable_expert([name])
    is_22 = a14b_experts.is_wan_22([name])
    if sure or (word and (is_22 or word.upper() in re.findall(r"[A-Z]+", name))):
        return sure or word
    return UNSURE if word or (is_22 and a14b_experts.possible_expert([name])) else ""


def _by_folder(folder: Path) -> str:
    """What the folder's name says, for certain or because there is another folder for the other expert."""
    name = _bare(folder.name)
    sure = a14b_experts.certain_expert([name])
    if sure or not a14b_experts.possible_expert([name]):
        return sure
    return _by_partner(folder) or (UNSURE if a14b_experts.probable_expert([name]) else "")


def _by_partner(place: Path) -> str:
    """The expert if the other one's file, or folder, lies beside; UNSURE if that may be chance; else empty."""
    name = _bare(_stem(place.name))
    own = _numberless(name)
    meant = a14b_experts.possible_expert([own])
    partners = {a14b_experts.expert_beside(own, _numberless(_bare(_stem(name)))) for name in _beside(place)} - {""}
    if meant:
        return meant if meant in partners else ""
    return UNSURE if partners and a14b_experts.is_wan_22([name]) else ""


def _beside(place: Path) -> Iterator[str]:
    try:
        with os.scandir(place.parent) as entries:
            for count, entry in enumerate(entries):
                if count > _MAX_NEIGHBORS:
                    return
                if entry.name != place.name and _is_file(entry.name) == _is_file(place.name):
                    yield entry.name
    except (OSError, ValueError):
        return


def _is_file(name: str) -> bool:
    return name.lower().endswith(SUFFIX)


def _stem(name: str) -> str:
    return name[: -len(SUFFIX)] if _is_file(name) else name


def _bare(name: str) -> str:
    """`name` without what is high or low in pictures."""
    return _PICTURED.sub("-", name)


def _numberless(name: str) -> str:
    """`name` without its counts: two of a pair may be of other steps ("_HIGH_e20", "_LOW_e35"); Wan's version stays."""
    return re.sub(r"(?<=[a-z_-])\d{2,}(?=$|[^a-z0-9.])", "0", name, flags=re.IGNORECASE)
