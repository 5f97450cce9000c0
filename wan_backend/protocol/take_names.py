"""Names of takes' folders that a person can read: "0012 Harbor at dusk, seed 4711".

A name is a number, which no other take of the media folder has, and a title: the first words of the prompt, and the
seed. Every system takes it as it is, in any script. Which take a folder holds is told by its settings alone: their job.
A person may change the words, as long as a number is in front. Folders of earlier versions are called after the job.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from .plain_names import is_id, is_name
from .takes import TakeRequest

MAX_CHARACTERS = 59
MAX_BYTES = 140
"""Some encrypted folders allow no more than 143 bytes in a name, whatever the script."""
MAX_NUMBER = 999_999
TITLE_KEY = "title"
"""In a take's settings: the title that its folder was given."""
_NUMBER_ROOM = 7
"""The characters of a number and the space behind it."""
_NO_NAME = frozenset('<>:"/\\|?*{}%')
"""Windows forbids most of these; Blender and shells read more into the others than a name."""
_NUMBERED = re.compile(r"([0-9]{4,6}) (\S.*, seed [0-9]{1,20})")
_NUMBER_IN_FRONT = re.compile(r"[0-9]{4,6} \S.*")
_UNDER_WAY = (".partial", ".replaced")
"""Ends of the names of folders that are being written."""


def title(request: TakeRequest) -> str:
    """The first words of the prompt and the seed, as any system can have them in a name; the task without a prompt."""
    seed = f", seed {request.seed}"
    words = _plain(request.shown_prompt) or request.task.value.replace("_", " ").capitalize()
    return _cut(words, MAX_CHARACTERS - _NUMBER_ROOM - len(seed), MAX_BYTES - _NUMBER_ROOM - len(seed)) + seed


def numbered(number: int, title: str) -> str:
    """The name of a folder."""
    return f"{number:04d} {title}"


def next_number(names: Iterable[str]) -> int:
    """A number above those of all these folders; 0 where there is none left."""
    number = 1 + max((_number(name) for name in names), default=0)
    return number if number <= MAX_NUMBER else 0


def title_of(name: str) -> str:
    """The title in a folder's name, composed as when it was given; empty if the name is none of ours."""
    found = _NUMBERED.fullmatch(unicodedata.normalize("NFC", name))
    return found[2] if found is not None and len(name) <= 4 * MAX_CHARACTERS and is_name(name) else ""


def may_be_take(name: str) -> bool:
    """Whether a take's folder may be called so, also where a person changed the words behind its number."""
    if is_id(name):
        return True
    return _NUMBER_IN_FRONT.fullmatch(name) is not None and not name.endswith(_UNDER_WAY) and is_name(name)


def is_called_after(name: str, job_id: object, title: object) -> bool:
    """Whether a folder with that name was made for the job, by what its settings say of the job and the title.

    The title says that it was named with a number; its words may be others by now.
    """
    if not is_id(job_id):
        return False
    return name == job_id or (isinstance(title, str) and bool(title) and not is_id(name) and may_be_take(name))


def _number(name: str) -> int:
    found = _NUMBERED.match(unicodedata.normalize("NFC", name))
    return int(found[1]) if found is not None else 0


def _plain(prompt: str) -> str:
    """The prompt in one line, without what a name can't hold: marks of paths, and characters that can't be seen."""
    kept = (" " if each in _NO_NAME or unicodedata.category(each)[0] in "CZ" else each for each in prompt[:400])
    words = " ".join("".join(kept).split())
    return unicodedata.normalize("NFC", words).lstrip(" .,;-~").rstrip(" .,;:-")


def _cut(words: str, most_characters: int, most_bytes: int) -> str:
    """As many whole words as there is room for; of one that is too long, a part, never half of a character's marks."""
    kept = words[:most_characters]
    while len(kept.encode("utf-8")) > most_bytes:
        kept = kept[:-1]
    if len(kept) < len(words):
        if words[len(kept)] != " " and " " in kept[most_characters // 3 :]:
            kept = kept.rsplit(" ", 1)[0]
        while kept and unicodedata.combining(words[len(kept)]) and words[len(kept)] != " ":
            kept = kept[:-1]
    return kept.rstrip(" .,;:-") or "Take"
