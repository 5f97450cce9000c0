"""Sentences for a person, as templates and values: so they can be translated where a person reads them.

A sentence is composed in English, wherever something is known of what it says. The add-on looks its template up in
Blender's translation and then puts the values in. Templates and values may come from a stranger (a .blend, another
program on the wire), so nothing of them is ever run: a name in braces is replaced by the value of that name, and all
else stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

_PLACE = re.compile(r"\{([a-z][a-z0-9_]*)\}")
MAX_CHARACTERS = 10_000
"""No sentence reads longer than this, however often its template asks for a long value."""
MAX_DEPTH = 8
FULL_STOPS = ".\u3002\u0964\u06d4"
"""How deeply sentences off the wire may stand in each other; a deeper one is left out."""


class Sentence(str):
    """A template such as "{file} is damaged." and the values that are put into it. Never changed once made.

    It is the English text: a value that is a sentence itself stands in it in English, too. So it is read, searched and
    written as any text is, but what is made of it that way (a slice, a join) is no sentence anymore and stays in
    English. A value that is not a sentence, such as a name or a size, is the same in every language.
    """

    __slots__ = ("template", "values")
    template: str
    values: Mapping[str, str]

    def __new__(cls, template: str, /, **values: object) -> Sentence:
        """The sentence of a template in English and what stands for each name in it.

        An error whose message is a sentence may be given as a value for that sentence.
        """
        kept = {name: _value(value) for name, value in values.items()}
        plain = str.__str__(template)
        made = super().__new__(cls, _filled(plain, kept) if kept else plain)
        object.__setattr__(made, "template", plain)
        object.__setattr__(made, "values", kept)
        return made

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a sentence is never changed, so {name} can't be set")

    def __str__(self) -> str:
        """The sentence itself, so that `str` of an error keeps the sentence that the error was made with."""
        return self

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return _made_again, (self.template, dict(self.values))

    @classmethod
    def joined(cls, parts: Iterable[str], between: str = " ") -> Sentence:
        """Sentences, or words in a list, after each other."""
        each = list(parts)
        if len(each) == 1:
            return each[0] if isinstance(each[0], Sentence) else cls(each[0])
        names = [f"part_{number}" for number in range(1, len(each) + 1)]
        return cls(between.join(f"{{{name}}}" for name in names), **dict(zip(names, each, strict=True)))

    def with_values(self, **values: object) -> Sentence:
        """The sentence of this template, with those values besides its own."""
        return Sentence(self.template, **{**self.values, **values})

    def without_first(self, part: str) -> Sentence:
        """What follows `part`, if the sentence was joined of that and others; else, or if nothing does, as it reads."""
        parts = list(self.values.values())
        if self.template.startswith("{part_1}") and parts[0] == part:
            return Sentence.joined(parts[1:])
        return self if not self.startswith(part) else Sentence(self.removeprefix(part).strip())

    def unended(self) -> Sentence:
        """The sentence without its full stop, for the middle of another one."""
        return Sentence(self.template.removesuffix("."), **self.values)

    def capitalized(self) -> Sentence:
        """The sentence with a large first letter, where it was a clause for the middle of another one."""
        first = _PLACE.match(self.template)
        if first is None:
            return Sentence(_capitalized(self.template), **self.values)
        value = self.values.get(first[1], "")
        large = value.capitalized() if isinstance(value, Sentence) else _capitalized(value)
        return self.with_values(**{first[1]: large})

    def rendered(self, translate: Callable[[str], str]) -> str:
        """The sentence in the language of `translate`, which is given templates and returns them translated."""
        template = _looked_up(self.template, translate)
        if not self.values:
            return template
        return _filled(
            template,
            {
                name: value.rendered(translate) if isinstance(value, Sentence) else value
                for name, value in self.values.items()
            },
        )

    def within(self, characters: int) -> Sentence:
        """The sentence, or if it has more than so many characters its beginning, in English."""
        if len(self) <= characters and self._weight() <= 2 * characters:
            return self
        return Sentence(self[:characters])

    def _weight(self) -> int:
        """About how many characters it takes on the wire."""
        values = self.values.values()
        return len(self.template) + sum(
            value._weight() if isinstance(value, Sentence) else len(value) for value in values
        )


NO_SENTENCE = Sentence("")


def as_sentence(text: str) -> Sentence:
    """`text` if it is a sentence; else one without values, which reads as `text` does."""
    return text if isinstance(text, Sentence) else Sentence(text)


def pack(sentence: str) -> Any:
    """The sentence for the wire: a string where there is nothing to put in, else an object of `template`, `values`.

    A sentence among the values is always an object: a string there is a name or a number, which nobody translates.
    """
    return _packed(sentence) if isinstance(sentence, Sentence) and sentence.values else str.__str__(sentence)


def _packed(sentence: Sentence) -> dict[str, Any]:
    packed: dict[str, Any] = {"template": sentence.template}
    if sentence.values:
        packed["values"] = {
            name: _packed(value) if isinstance(value, Sentence) else value for name, value in sentence.values.items()
        }
    return packed


def unpack(value: Any, depth: int = 0) -> Sentence | None:
    """The sentence that came as `value`; None if that is neither of the forms of `pack`."""
    if isinstance(value, str):
        return as_sentence(value)
    if not isinstance(value, dict):
        return None
    template, values = value.get("template"), value.get("values", {})
    if not isinstance(template, str) or not isinstance(values, dict):
        return None
    if depth == MAX_DEPTH:
        return NO_SENTENCE
    read: dict[str, object] = {}
    for name, each in values.items():
        part = each if isinstance(each, str) else unpack(each, depth + 1)
        if part is None or not isinstance(name, str):
            return None
        read[name] = part
    return _made_again(template, read)


def in_english(value: Any) -> Any:
    """JSON values with each sentence as the text that it reads as, for programs that show or search it."""
    if isinstance(value, list):
        return [in_english(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"template", "values"} and (sentence := unpack(value)) is not None:
        return pack(Sentence(sentence))
    return {name: in_english(each) for name, each in value.items()}


def _made_again(template: str, values: Mapping[str, object]) -> Sentence:
    return Sentence(template, **values)


def _value(value: object) -> str:
    text = str(value)
    # The rest of a long name would be cut from every text that it stands in.
    return text if isinstance(text, Sentence) else str.__str__(text)[:MAX_CHARACTERS]


def _looked_up(template: str, translate: Callable[[str], str]) -> str:
    """`template` translated, which may be known with a small first letter or with a full stop alone."""
    if not template:
        return ""
    small = template[0].lower() + template[1:]
    for known in (template, small, f"{template}.", f"{small}."):
        found = translate(known)
        if found != known:
            found = found if known.endswith(".") == template.endswith(".") else found.rstrip(FULL_STOPS)
            return found if known[0] == template[0] else _capitalized(found)
    return template


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


def _filled(template: str, values: Mapping[str, str]) -> str:
    """`template` with its values; a name that has none stays as it is. At most `MAX_CHARACTERS` of it."""
    parts: list[str] = []
    length = end = 0
    for found in _PLACE.finditer(template):
        value = values.get(found[1])
        if value is None:
            continue
        for part in (template[end : found.start()], value):
            parts.append(part)
            length += len(part)
        end = found.end()
        if length > MAX_CHARACTERS:
            break
    else:
        parts.append(template[end:])
    return "".join(parts)[:MAX_CHARACTERS]
