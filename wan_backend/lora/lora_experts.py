"""Which expert of a Wan 2.2 A14B a LoRA is for, told from names and from what lies beside. Standard library only.

What the words mean is in `halves`; here is how much they count for a LoRA, whose name speaks of pictures too ("high
heels", "low angle", a size "L"). "high_noise" says it for certain; so does a partner's file beside it. The bare word
counts in capitals, or in a name that says Wan 2.2. Where something may be meant and nothing more says so, the answer is
UNSURE, and a person is asked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..library import expert_names

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
"""What "high" and "low" are of, beside the qualities of files."""
_MOST_NEIGHBOURS = 20_000
"""Of a folder: a look at more would keep a plan waiting."""


def told(file: Path, titles: Sequence[str] = ()) -> str:
    """ "high", "low", empty where nothing speaks of either, or UNSURE.

    `titles` are what the file's maker called it, by notes within: it may have been renamed since.
    """
    name = _bare(file.stem)
    said = _said(name)
    titled = next((half for half in map(_said, map(_bare, titles)) if half in expert_names.OTHER), "")
    if said in expert_names.OTHER:
        return UNSURE if titled == expert_names.OTHER[said] else said
    return _by_partner(file) or titled or said or _by_folder(file.parent)


def are_a_pair(files: Sequence[Path]) -> bool:
    """True for two files of which one is for each expert."""
    return len(files) == 2 and {told(file) for file in files} == {expert_names.HIGH, expert_names.LOW}


def _said(name: str) -> str:
    """What a name alone says."""
    sure, word = expert_names.surely([name]), expert_names.probably([name])
    new = expert_names.is_new([name])
    if sure or (word and (new or word.upper() in re.findall(r"[A-Z]+", name))):
        return sure or word
    return UNSURE if word or (new and expert_names.perhaps([name])) else ""


def _by_folder(folder: Path) -> str:
    """What the name of the folder says: for certain, or as there is another one for the other expert."""
    name = _bare(folder.name)
    sure = expert_names.surely([name])
    if sure or not expert_names.perhaps([name]):
        return sure
    return _by_partner(folder) or (UNSURE if expert_names.probably([name]) else "")


def _by_partner(place: Path) -> str:
    """The expert where the other one's file, or folder, lies beside; UNSURE where that may be chance; else empty."""
    name = _bare(_stem(place.name))
    own = _numberless(name)
    meant = expert_names.perhaps([own])
    partners = {expert_names.are_partners(own, _numberless(_bare(_stem(name)))) for name in _beside(place)} - {""}
    if meant:
        return meant if meant in partners else ""
    return UNSURE if partners and expert_names.is_new([name]) else ""


def _beside(place: Path) -> Iterator[str]:
    try:
        with os.scandir(place.parent) as entries:
            for count, entry in enumerate(entries):
                if count > _MOST_NEIGHBOURS:
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
    return _PICTURED.sub("-", name)


def _numberless(name: str) -> str:
    """The two of a pair may be of other steps ("_HIGH_e20", "_LOW_e35"); the version of Wan stays."""
    return re.sub(r"(?<=[a-z_-])\d{2,}(?=$|[^a-z0-9.])", "0", name, flags=re.IGNORECASE)
