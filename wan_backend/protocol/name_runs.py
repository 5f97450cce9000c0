"""Packs the file names of a long sequence into a pattern and a range, so that its message is short.

A `NameRun` stands for numbered files that follow one another, or for one picture that is held. On the wire a list of
names is a list of strings (single names) and of objects (runs); in memory it is the plain list.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from .errors import INVALID_PARAMS, ProtocolError

MAX_NAMES = 10_000
"""No list may stand for more names; a take is far shorter, and a run costs no bytes."""
MAX_RUN_NAME_CHARACTERS = 1024
MAX_DIGITS = 20
_LAST_NUMBER = re.compile(r"([0-9]{1,18})(?=[^0-9]*$)")  # 18 digits fit in 64 bits


@dataclass(frozen=True)
class NameRun:
    """`count` names: `before`, a number of at least `digits` digits, `after`; the number goes up by `step`.

    With `digits` 0 there is no number: one picture, `count` times.
    """

    before: str
    after: str = ""
    first: int = 0
    digits: int = 0
    step: int = 1
    count: int = 1

    def names(self) -> Iterator[str]:
        """The names, one by one."""
        for index in range(self.count):
            number = f"{self.first + index * self.step:0{self.digits}d}" if self.digits else ""
            yield f"{self.before}{number}{self.after}"


def pack(names: Iterable[str]) -> list[Any]:
    """The names as JSON values: strings, and objects for runs of two names or more."""
    packed: list[Any] = []
    names = list(names)
    at = 0
    while at < len(names):
        run = _run_at(names, at)
        packed.append(names[at] if run is None else dataclasses.asdict(run))
        at += 1 if run is None else run.count
    return packed


def unpack(value: Any, where: str) -> list[str]:
    """The names that `pack` wrote, or a plain list of names. Raises ProtocolError (INVALID_PARAMS)."""
    _expect(isinstance(value, list), f"{where} must be a list, not {type(value).__name__}.")
    names: list[str] = []
    for index, item in enumerate(value):
        if isinstance(item, str):
            names.append(item)
        else:
            names += _checked_run(item, f"{where}[{index}]", MAX_NAMES - len(names)).names()
        _expect(len(names) <= MAX_NAMES, f"{where} names more than {MAX_NAMES:,} files.")
    return names


def _run_at(names: list[str], at: int) -> NameRun | None:
    """The longest run that begins there; None if it would be of one name."""
    if at + 1 == len(names):
        return None
    if names[at] == names[at + 1]:
        end = at + 1
        while end < len(names) and names[end] == names[at]:
            end += 1
        return NameRun(names[at], step=0, count=end - at)
    first, second = _LAST_NUMBER.search(names[at]), _LAST_NUMBER.search(names[at + 1])
    if first is None or second is None:
        return None
    start, step = int(first[1]), int(second[1]) - int(first[1])
    digits = min(len(first[1]), len(second[1]))
    run = NameRun(names[at][: first.start()], names[at][first.end() :], start, digits, step)
    end = at
    while end < len(names) and names[end] == _name(run, end - at):
        end += 1
    return dataclasses.replace(run, count=end - at) if end - at > 1 else None


def _name(run: NameRun, index: int) -> str:
    number = run.first + index * run.step
    return f"{run.before}{number:0{run.digits}d}{run.after}" if number >= 0 else ""


def _checked_run(item: Any, where: str, room: int) -> NameRun:
    _expect(isinstance(item, dict), f"{where} must be a name or a run of names.")
    known = {field.name: field.default for field in dataclasses.fields(NameRun)}
    values = {name: item.get(name, default) for name, default in known.items()}
    for name in ("before", "after"):
        good = isinstance(values[name], str) and len(values[name]) <= MAX_RUN_NAME_CHARACTERS
        _expect(good, f"{where}.{name} must be a string of at most {MAX_RUN_NAME_CHARACTERS:,} characters.")
    for name in ("first", "digits", "step", "count"):
        good = isinstance(values[name], int) and not isinstance(values[name], bool) and abs(values[name]) < 10**18
        _expect(good, f"{where}.{name} must be a whole number of at most 18 digits.")
    run = NameRun(**values)
    _expect(0 <= run.digits <= MAX_DIGITS, f"{where}.digits must be from 0 to {MAX_DIGITS}.")
    _expect(
        1 <= run.count <= room, f"{where}.count must be from 1 to {room:,}: a list names at most {MAX_NAMES:,} files."
    )
    last = run.first + (run.count - 1) * run.step
    _expect(min(run.first, last) >= 0, f"{where} counts below 0.")
    return run


def _expect(good: bool, sentence: str) -> None:
    if not good:
        raise ProtocolError(INVALID_PARAMS, sentence)
