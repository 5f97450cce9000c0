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
    HIGH: r"high[^a-z0-9]*noise|(?<![a-z])h(?:i|igh)?[^a-z0-9]?n(?:oise)?(?![a-z])|高噪",
    LOW: r"low[^a-z0-9]*noise|(?<![a-z])l(?:o|ow)?[^a-z0-9]?n(?:oise)?(?![a-z])|低噪",
}
"""Nobody says that of anything else."""
_WORD = {HIGH: r"(?<![a-z])high(?![a-z])", LOW: r"(?<![a-z])low(?![a-z])"}
_WEAK = {
    HIGH: r"(?:(?<![a-z])|(?<=2v|4b))(?:h|hi)(?![a-z])|(?<=[a-z0-9])high(?![a-z])|(?<![a-z])high(?=[a-z])",
    LOW: r"(?:(?<![a-z])|(?<=2v|4b))(?:l|lo)(?![a-z])|(?<=[a-z0-9])low(?![a-z])|(?<![a-z])low(?=[a-z])",
}
"""Letters, short words, and words that are glued to others."""
_PAIRED = {
    HIGH: r"high|高|(?:(?<![a-z])|(?<=2v|4b))(?:hi|hn|h)(?![a-z])",
    LOW: r"low|低|(?:(?<![a-z])|(?<=2v|4b))(?:lo|ln|l)(?![a-z])",
}
"""What the names of two partners may differ in."""
_QUALITIES = (
    r"v?ram|gpu|mem(?:ory)?|qual(?:ity)?|res(?:olution)?|details?|motion|speed|poly|def(?:inition)?|contrast|light|key"
    r"|precision|bitrate|end|dynamics?|range|angle|fidelity|sigma|latency|pass|cost|size|power"
    r"|spec|performance|perf|compression|compressed|vl|cpu|disk|(?:rank|dim|fps|steps?|cfg|bits?|strength)(?![^a-z0-9]*\d)"
)
"""Those that mostly have a number of their own are meant only where they have none: "HIGH_rank64" speaks of noise."""
_OTHERWISE = re.compile(
    rf"(?<![a-z])(?:high|low|hi|lo)[^a-z0-9]*(?:{_QUALITIES})(?![a-z])|f(?:low|lows|lowing)(?![a-z])|slow|glow|blow|below"
    r"|follow|allow|yellow|hollow|shallow|mellow|plow|willow|pillow|highlights?|lowlights?|highres|hires|lowres|lowend"
    r"|highend|highland|highway|higher|highest|lower(?:ed)?(?![a-z])|lowest"
)
"""Where "high" and "low" speak of something else than noise."""
_BY_NAME = {
    new: re.compile(rf"wan(?:[^a-z0-9]*(?:video|ai|x))?[^a-z0-9]*v?2[^a-z0-9]?{digit}(?!\d(?!4b|\.3b))" + more)
    for new, digit, more in ((True, 2, "|a14b"), (False, 1, ""))
}
"""The number that stands with Wan's name; the model's size may be glued to it."""
_BY_NUMBER = {new: re.compile(rf"(?<![\d.])2[._-]{digit}(?!\d|\.\d)") for new, digit in ((True, 2), (False, 1))}
"""A number alone."""
_OWN_VERSION = re.compile(r"(?<![a-z\d])v\d+(?:[._-]\d+)*")
"""Of what a maker made of the model."""
_KNOWN = re.compile(
    r"fusioni?_?x|sky[^a-z0-9]?reels|phantom|caus[^a-z0-9]?vid|acc[^a-z0-9]?vid|movii|echo[^a-z0-9]?shot"
    r"|master[^a-z0-9]?model|krea(?![a-z])"
)
"""Names of what others trained, or merged, of Wan 2.1."""
_ONE_FILE = re.compile(
    r"rapid|(?<![a-z])(?:aio|both)(?![a-z])|all[^a-z0-9]?in[^a-z0-9]?one|one[^a-z0-9]?file|merge|mega"
)
"""Of models whose two halves were made one."""


def plain(name: str) -> str:
    """`name` in lower case, with its camel's humps apart."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[a-z]\d)(?=[A-Z]{3})", "_", name).lower()


def is_new(names: Iterable[str]) -> bool | None:
    """Whether the first of `names` that speaks of a version says Wan 2.2 (True) or 2.1 (False); None: none does."""
    texts = [plain(name) for name in names]
    for text in texts:
        said = {new for new, pattern in _BY_NAME.items() if pattern.search(text)}
        said |= {new for new, pattern in _BY_NUMBER.items() if pattern.search(_OWN_VERSION.sub("-", text))}
        if len(said) == 1:
            return said.pop()
    return False if any(_KNOWN.search(text) for text in texts) else None


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
