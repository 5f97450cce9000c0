"""Which half of a Wan 2.2 A14B something is, as far as names say, and of which version. Standard library only.

Nothing inside a file tells the two halves apart, nor either of them from a Wan 2.1 of the same shape. Names do, in many
spellings: "high_noise", "HighNoise", "HIGH", "wan22t2vhigh", "HN", "hi", "Q8H". Those that mean other things as well
("low_vram", "High/", a letter) count only where more speaks for them: the version, or a partner beside.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

HIGH, LOW = "high", "low"
OTHER = {HIGH: LOW, LOW: HIGH}

_SURE = {
    HIGH: r"high[^a-z0-9]*noise|(?<![a-z])h(?:i|igh)?[^a-z0-9]?n(?:oise)?(?![a-z])",
    LOW: r"low[^a-z0-9]*noise|(?<![a-z])l(?:o|ow)?[^a-z0-9]?n(?:oise)?(?![a-z])",
}
"""Nobody says that of anything else."""
_WORD = {HIGH: r"(?<![a-z])high(?![a-z])", LOW: r"(?<![a-z])low(?![a-z])"}
_WEAK = {
    HIGH: r"(?:(?<![a-z])|(?<=2v|4b))(?:h|hi)(?![a-z])|(?<=[a-z0-9])high(?![a-z])|(?<![a-z])high(?=[a-z])",
    LOW: r"(?:(?<![a-z])|(?<=2v|4b))(?:l|lo)(?![a-z])|(?<=[a-z0-9])low(?![a-z])|(?<![a-z])low(?=[a-z])",
}
"""Letters, short words, and words that are glued to others."""
_PAIRED = {
    HIGH: r"high|(?:(?<![a-z])|(?<=2v|4b))(?:hi|hn|h)(?![a-z])",
    LOW: r"low|(?:(?<![a-z])|(?<=2v|4b))(?:lo|ln|l)(?![a-z])",
}
"""What the names of two partners may differ in."""
_QUALITIES = (
    r"v?ram|gpu|mem(?:ory)?|qual(?:ity)?|res(?:olution)?|rank|dim|details?|motion|speed|fps|poly|def(?:inition)?|contrast|light|key"
    r"|step|steps|cfg|precision|bit|bits|bitrate|end|dynamics?|range|angle|fidelity|strength|sigma|latency|pass|cost|size|power"
    r"|spec|performance|perf|compression|compressed|lora|vl|cpu|disk"
)
_OTHERWISE = re.compile(
    rf"(?<![a-z])(?:high|low|hi|lo)[^a-z0-9]*(?:{_QUALITIES})(?![a-z])|f(?:low|lows|lowing)(?![a-z])|slow|glow|blow|below"
    r"|follow|allow|yellow|hollow|shallow|mellow|plow|highlights?|lowlights?|highres|hires|lowres|lowend|highend|highland"
)
"""Where "high" and "low" speak of something else than noise."""
_NEW = re.compile(r"(?<![\d.])2[._-]?2(?![\d.])|wan[^a-z0-9]*22(?!\d)|a14b")
_OLD = re.compile(r"(?<![\d.])2[._-]?1(?![\d.])|wan[^a-z0-9]*21(?!\d)")
_ONE_FILE = re.compile(
    r"rapid|(?<![a-z])(?:aio|both)(?![a-z])|all[^a-z0-9]?in[^a-z0-9]?one|one[^a-z0-9]?file|merge|mega"
)
"""Of models whose two halves were made one."""


def plain(name: str) -> str:
    """`name` in lower case, with its camel's humps apart."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[a-z]\d)(?=[A-Z]{3})", "_", name).lower()


def is_new(names: Iterable[str]) -> bool | None:
    """Whether the first of `names` that speaks of a version says Wan 2.2 (True) or 2.1 (False); None: none does."""
    for name in names:
        text = plain(name)
        new, old = _NEW.search(text), _OLD.search(text)
        if bool(new) != bool(old):
            return bool(new)
    return None


def is_one_file(names: Iterable[str]) -> bool:
    """True where a name says that both halves are in one."""
    return any(_ONE_FILE.search(plain(name)) for name in names)


def surely(names: Iterable[str]) -> str:
    """The half that the first of `names` to do so says beyond doubt; empty where none does."""
    return _first(names, _SURE)


def probably(names: Iterable[str]) -> str:
    """The half where a name has the very word "high" or "low", and means noise by it as far as can be seen."""
    return _first(names, _SURE) or _first(names, _WORD)


def perhaps(names: Iterable[str]) -> str:
    """The half where a name has as much as a letter for it."""
    return probably(names) or _first(names, _WEAK)


def keys(name: str) -> dict[str, set[str]]:
    """Half -> what is left of `name` without a sign of it; a name and its partner's leave the same."""
    found: dict[str, set[str]] = {}
    for half, pattern in _PAIRED.items():
        signs = list(re.finditer(pattern, text := plain(name)))
        found[half] = {f"{text[: sign.start()]}*{text[sign.end() :]}" for sign in signs}
        if len(signs) > 1:
            found[half].add(re.sub(pattern, "*", text))
    return found


def are_partners(name: str, other: str) -> str:
    """Which half `name` is where the two names differ in nothing but that; else empty."""
    ours, theirs = keys(name), keys(other)
    halves = [half for half in (HIGH, LOW) if ours[half] & theirs[OTHER[half]]]
    return halves[0] if len(halves) == 1 else ""


def _first(names: Iterable[str], patterns: dict[str, str]) -> str:
    for name in names:
        text = _OTHERWISE.sub("-", plain(name))
        said = [half for half, pattern in patterns.items() if re.search(pattern, text)]
        if len(said) == 1:
            return said[0]
    return ""
