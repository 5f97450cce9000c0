"""Which expert of a Wan 2.2 A14B a transformer's file is, by its name, its shape and what lies beside it.

Nothing inside a file tells the high-noise expert from the low-noise one, nor either of them from a Wan 2.1 of the same
shape. Names do, in many spellings: "high_noise", "HighNoise", "HIGH", "wan22t2vhigh", "HN", "hi", "Q8H". Those that
mean other things as well ("low_vram", "High/", a letter) count only if more speaks for them: the version, or a
partner beside.

A model is never run with one of its experts missing. Of a shape that some two-expert model has, a transformer that is
said to be of Wan 2.2 is used if it is known which expert it is, or that both are merged in it; one whose version
nothing says isn't used, for it may be either: a person is asked (`transformer_answers`). A shape that no two-expert
model has is never taken for an expert, whatever its name.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence
from types import MappingProxyType

from ..catalogue.architecture import Architecture
from ..protocol.choices import TransformerPart
from ..protocol.sentences import NO_SENTENCE, Sentence
from . import weights_head
from .recognize import Candidate
from .transformer_answers import Answers

HIGH, LOW = "high", "low"
OTHER = {HIGH: LOW, LOW: HIGH}
UNKNOWN_EXPERT = "unknown_expert"
"""In the place of an expert: the transformer is one of two, and nobody knows which."""
UNKNOWN_VERSION = "unknown_version"
"""In the place of an expert: the transformer may as well be a whole Wan 2.1, for nothing says its version."""
ASKED = (UNKNOWN_EXPERT, UNKNOWN_VERSION)
"""What a person can say more about."""
TWO_EXPERT_ARCHITECTURES = (
    Architecture.TEXT,
    Architecture.PICTURES,
    Architecture.CONTROL,
    Architecture.EDIT,
    Architecture.CAMERA_AND_PICTURE,
)
ALWAYS_WAN_22 = (Architecture.PICTURES, Architecture.EDIT, Architecture.CAMERA_AND_PICTURE)
"""A model of these has two experts, unless it is of a smaller size."""
SINGLE_EXPERT_SIZES = {(30, 12), (30, 24)}
"""The layers and heads of Wan's smaller models, none of which has two experts."""
TWO_EXPERT_HEADS = 40
"""The heads of the models that have two, which is all that control in a file of its own says of its model's size."""
MAX_SIZE_DIFFERENCE = 0.02
"""The files of two partners differ by less than this share of their size."""


_CERTAIN = {
    HIGH: r"high[^a-z0-9]*noise|(?<![a-z])h(?:i|igh)?[^a-z0-9]?n(?:oise)?(?![a-z])|高噪",
    LOW: r"low[^a-z0-9]*noise|(?<![a-z])l(?:o|ow)?[^a-z0-9]?n(?:oise)?(?![a-z])|低噪",
}
"""Nothing else is ever called so."""
_PROBABLE = {HIGH: r"(?<![a-z])high(?![a-z])", LOW: r"(?<![a-z])low(?![a-z])"}
_POSSIBLE = {
    HIGH: r"(?:(?<![a-z])|(?<=2v|4b))(?:h|hi)(?![a-z])|(?<=[a-z0-9])high(?![a-z])|(?<![a-z])high(?=[a-z])",
    LOW: r"(?:(?<![a-z])|(?<=2v|4b))(?:l|lo)(?![a-z])|(?<=[a-z0-9])low(?![a-z])|(?<![a-z])low(?=[a-z])",
}
"""Letters, short words, and words that are joined to others."""
_PAIRED = {
    HIGH: r"high|高|(?:(?<![a-z])|(?<=2v|4b))(?:hi|hn|h)(?![a-z])",
    LOW: r"low|低|(?:(?<![a-z])|(?<=2v|4b))(?:lo|ln|l)(?![a-z])",
}
"""The names of two partners may differ in these."""
_QUALITIES = (
    r"v?ram|gpu|mem(?:ory)?|qual(?:ity)?|res(?:olution)?|details?|motion|speed|poly|def(?:inition)?|contrast|light|key"
    r"|precision|bitrate|end|dynamics?|range|angle|fidelity|sigma|latency|pass|cost|size|power"
    r"|spec|performance|perf|compression|compressed|vl|cpu|disk|(?:rank|dim|fps|steps?|cfg|bits?|strength)(?![^a-z0-9]*\d)"
)
"""What else is high or low. Words that mostly have a number count only without one: "HIGH_rank64" speaks of noise."""
_NOT_NOISE = re.compile(
    rf"(?<![a-z])(?:high|low|hi|lo)[^a-z0-9]*(?:{_QUALITIES})(?![a-z])|f(?:low|lows|lowing)(?![a-z])|slow|glow|blow|below"
    r"|follow|allow|yellow|hollow|shallow|mellow|plow|willow|pillow|highlights?|lowlights?|highres|hires|lowres|lowend"
    r"|highend|highland|highway|higher|highest|lower(?:ed)?(?![a-z])|lowest"
)
"""Here "high" and "low" speak of something else than noise."""
_BY_NAME = {
    is_22: re.compile(rf"wan(?:[^a-z0-9]*(?:video|ai|x))?[^a-z0-9]*v?2[^a-z0-9]?{digit}(?!\d(?!4b|\.3b))" + more)
    for is_22, digit, more in ((True, 2, "|a14b"), (False, 1, ""))
}
"""The version that stands with Wan's name; the model's size may be joined to it."""
_BY_NUMBER = {is_22: re.compile(rf"(?<![\d.])2[._-]{digit}(?!\d|\.\d)") for is_22, digit in ((True, 2), (False, 1))}
"""The version alone."""
_OWN_VERSION = re.compile(r"(?<![a-z\d])v\d+(?:[._-]\d+)*")
"""The version of what a maker made of the model."""
_KNOWN_WAN_21 = re.compile(
    r"fusioni?_?x|sky[^a-z0-9]?reels|phantom|caus[^a-z0-9]?vid|acc[^a-z0-9]?vid|movii|echo[^a-z0-9]?shot"
    r"|master[^a-z0-9]?model|krea(?![a-z])"
)
"""Models that others trained or merged from Wan 2.1."""
_MERGED = re.compile(r"rapid|(?<![a-z])(?:aio|both)(?![a-z])|all[^a-z0-9]?in[^a-z0-9]?one|one[^a-z0-9]?file|merge|mega")
"""Models whose two experts were merged into one."""


def normalize(name: str) -> str:
    """`name` in lower case, its words in camel case separated."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[a-z]\d)(?=[A-Z]{3})", "_", name).lower()


def is_wan_22(names: Iterable[str]) -> bool | None:
    """Whether the first of `names` that has a version says Wan 2.2 (True) or 2.1 (False); None if none has."""
    texts = [normalize(name) for name in names]
    for text in texts:
        found = {is_22 for is_22, pattern in _BY_NAME.items() if pattern.search(text)}
        found |= {is_22 for is_22, pattern in _BY_NUMBER.items() if pattern.search(_OWN_VERSION.sub("-", text))}
        if len(found) == 1:
            return found.pop()
    return False if any(_KNOWN_WAN_21.search(text) for text in texts) else None


def is_merged(names: Iterable[str]) -> bool:
    """True if a name says that both experts are merged in one file."""
    return any(_MERGED.search(normalize(name)) for name in names)


def certain_expert(names: Iterable[str]) -> str:
    """The expert that the first of `names` to do so says beyond doubt; empty if none does."""
    return _first(names, _CERTAIN)


def probable_expert(names: Iterable[str]) -> str:
    """The expert if a name has the very word "high" or "low", and seems to mean noise by it."""
    return _first(names, _CERTAIN) or _first(names, _PROBABLE)


def possible_expert(names: Iterable[str]) -> str:
    """The expert if a name has as much as a letter for it."""
    return probable_expert(names) or _first(names, _POSSIBLE)


def _first(names: Iterable[str], patterns: dict[str, str]) -> str:
    for name in names:
        text = _NOT_NOISE.sub("-", normalize(name))
        found = [expert for expert, pattern in patterns.items() if re.search(pattern, text)]
        if len(found) == 1:
            return found[0]
    return ""


def partner_keys(name: str) -> dict[str, set[str]]:
    """What is left of `name` without a sign of each expert; a name and its partner's leave the same."""
    found: dict[str, set[str]] = {}
    for expert, pattern in _PAIRED.items():
        signs = list(re.finditer(pattern, text := normalize(name)))
        found[expert] = {f"{text[: sign.start()]}*{text[sign.end() :]}" for sign in signs}
        if len(signs) > 1:
            found[expert].add(re.sub(pattern, "*", text))
    return found


def expert_beside(name: str, other: str) -> str:
    """Which expert `name` is if the two names differ in nothing but that; else empty."""
    ours, theirs = partner_keys(name), partner_keys(other)
    experts = [expert for expert in (HIGH, LOW) if ours[expert] & theirs[OTHER[expert]]]
    return experts[0] if len(experts) == 1 else ""


def assign_experts(candidates: Sequence[Candidate], answers: Answers = MappingProxyType({})) -> list[Candidate]:
    """The candidates with the expert that each one is; empty for a whole model, or why it can't be known.

    `answers` are what a person said of those that nothing else tells.
    """
    neighbors = _Neighbors([each for each in candidates if _may_be_expert(each)])
    return [_assigned(each, neighbors, answers) if _may_be_expert(each) else each for each in candidates]


def _assigned(candidate: Candidate, neighbors: _Neighbors, answers: Answers) -> Candidate:
    expert = _expert(candidate, neighbors)
    is_asked = expert in ASKED and candidate.component == "transformer"
    answer = answers.get((str(candidate.path), candidate.length)) if is_asked else None
    if answer is None:
        return dataclasses.replace(candidate, expert=expert)
    expert = "" if answer is TransformerPart.WHOLE else answer.value
    return dataclasses.replace(candidate, expert=expert, is_answered=True)


def are_partners(high: Candidate, low: Candidate) -> bool:
    """True if the names differ in the expert alone."""
    return expert_beside(_folder_and_name(high), _folder_and_name(low)) == HIGH


def why_unusable(expert: str, component: str = "transformer") -> Sentence:
    """Why a transformer, or the control of one, can't be used that is that expert, as a clause; empty if it can."""
    if component == "control" and expert in ASKED:
        return Sentence(
            "it is the control (VACE) of a Wan 2.1 or of one expert of a Wan 2.2, and no name says which; put 'wan2.1' "
            "into its name, or 'wan2.2' and 'high_noise' or 'low_noise'"
        )
    if expert == UNKNOWN_EXPERT:
        return Sentence(
            "it is one of the two experts of a Wan 2.2 A14B, and nothing says which; put "
            "'high_noise' or 'low_noise' into its name ('wan2.1' where it is a whole model)"
        )
    if expert == UNKNOWN_VERSION:
        return Sentence(
            "it may be a whole Wan 2.1 or one expert of a Wan 2.2, and no name says which; put "
            "'wan2.1' into its name, or 'high_noise' or 'low_noise'"
        )
    return NO_SENTENCE


class _Neighbors:
    """Finds the partner of a transformer among all that may be experts."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self._sizes: dict[tuple[object, ...], list[int]] = {}
        for each in candidates:
            for expert, keys in partner_keys(_folder_and_name(each)).items():
                for key in keys:
                    self._sizes.setdefault((*_kind(each), expert, key), []).append(each.size_bytes)

    def expert_of(self, candidate: Candidate) -> str:
        """The expert if the other one is here: of the same format and size, with a name that differs in that."""
        found = set()
        for expert, keys in partner_keys(_folder_and_name(candidate)).items():
            for key in keys:
                sizes = self._sizes.get((*_kind(candidate), OTHER[expert], key), ())
                difference = MAX_SIZE_DIFFERENCE * candidate.size_bytes
                if any(abs(size - candidate.size_bytes) <= difference for size in sizes):
                    found.add(expert)
        return found.pop() if len(found) == 1 else ""


def _kind(candidate: Candidate) -> tuple[object, ...]:
    """What two partners have in common, beside their names and sizes."""
    return candidate.component, candidate.architecture, candidate.number_format


def _folder_and_name(candidate: Candidate) -> str:
    return f"{candidate.path.parent.name}/{candidate.path.stem}"


def _may_be_expert(candidate: Candidate) -> bool:
    if candidate.component == "control":
        return candidate.config.get("num_attention_heads") == TWO_EXPERT_HEADS
    size = candidate.config.get("num_layers"), candidate.config.get("num_attention_heads")
    single = candidate.component == "transformer" and candidate.size_bytes > 0
    return single and candidate.architecture in TWO_EXPERT_ARCHITECTURES and size not in SINGLE_EXPERT_SIZES


def _expert(candidate: Candidate, neighbors: _Neighbors) -> str:
    path = candidate.path
    own = path.stem if path.suffix.lower() in weights_head.SUFFIXES else path.name
    names = (*candidate.titles, own, path.parent.name)
    above = (*names, path.parent.parent.name)
    is_22 = True if candidate.architecture in ALWAYS_WAN_22 else is_wan_22(above)
    found = certain_expert(above) or ("" if is_22 is False else neighbors.expert_of(candidate))
    merged = candidate.one_of_many or is_merged(names)
    if found or is_22 is False:
        return found
    found = probable_expert(names)
    if found or merged:
        return found
    found = possible_expert(names)
    if is_22:
        return found or UNKNOWN_EXPERT
    return UNKNOWN_EXPERT if found else UNKNOWN_VERSION
