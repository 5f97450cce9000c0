"""The lists of what is installed, with checksums, out of what uv resolved. Standard library only.

`python3 build.py lock` writes them; nothing else does. One package a line, each with the SHA-256 of every file that
PyPI has of it, so that one list serves every system and Python.
"""

from __future__ import annotations

import re
from pathlib import Path

OF_TORCH = re.compile(r"(torch|triton|nvidia-[\w-]+|cuda-[\w-]+)==")
"""What lock_torch.txt has: torch as PyPI has it, and what it needs for NVIDIA's cards on Linux."""
RESOLVED_EXTRAS = ("cluster", "web")
"""The extras whose lists are made here; the one for signing movies is written by hand."""
EXTRAS = re.compile(r"^([\w.-]+)\[[^\]]*\]==")
NO_BROWSER = re.compile(r" ; sys_platform != 'emscripten'(?= |$)")
HEAD = """# {what}
# One package a line, with the SHA-256 of every file that PyPI has of it. Made by 'python3 build.py lock' of
# {requirements} and constraints.txt; not to be written by hand.
"""


def write(resolved: str, rest: Path, torch: Path) -> None:
    """Write both lists; `resolved` is what `uv pip compile --universal --generate-hashes` said."""
    lines = _lines(resolved)
    for file, what, wanted in (
        (rest, "All that the backend needs but torch, for every system.", False),
        (torch, "torch as PyPI has it, and on Linux what it needs for NVIDIA's cards.", True),
    ):
        _write(file, what, "requirements.txt", [line for line in lines if bool(OF_TORCH.match(line)) is wanted])


def write_extra(resolved: str, file: Path, known: Path, extra: str) -> None:
    """Write the list of what an extra needs beside `known`; `resolved` as above, with `known` as constraints."""
    names = {line.split("==")[0] for line in known.read_text("utf-8").splitlines()}
    held = [line for line in _lines(resolved) if line.split("==")[0] not in names and not OF_TORCH.match(line)]
    what = f"What '{extra}' takes beside lock.txt, for those who ask for it."
    _write(file, what, f"requirements_{extra}.txt", held)


def _write(file: Path, what: str, requirements: str, lines: list[str]) -> None:
    file.write_text(HEAD.format(what=what, requirements=requirements) + "\n".join(lines) + "\n", "utf-8")


def _lines(resolved: str) -> list[str]:
    """A line for each package that a system of ours takes."""
    joined = re.sub(r"\s*\\\n\s+", " ", resolved).splitlines()
    return [_line(line) for line in joined if re.match(r"\w", line) and "sys_platform == 'emscripten'" not in line]


def _line(line: str) -> str:
    """The package without its extras, whose packages have lines of their own, and without what is no system of ours."""
    return NO_BROWSER.sub("", EXTRAS.sub(r"\1==", line))
