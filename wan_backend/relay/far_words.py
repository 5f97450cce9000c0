"""What ssh and others say when they fail, in sentences of ours; and the command line with what it needs besides."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from ..protocol.sentences import Sentence
from ..server.process_exit import last_line

SSH_OPTIONS = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=20"]
"""A question of ssh's (a password, a new host) would wait for an answer that nobody can give it here."""
STAY = "--stay"
TAIL_BYTES = 8192
_SERVE = re.compile(r"(?:^|\s)serve(?:\s[^|;&<>]*)?$")
"""The server is what the command ends with, whatever its flags are; what a shell does behind it is no flag."""
_KNOWN = [
    (
        re.compile(r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key verification failed", re.I),
        Sentence(
            "ssh does not trust {name}: its host key is new or has changed. If that is expected, connect once with ssh "
            "in a terminal and follow what it says."
        ),
    ),
    (
        re.compile(r"Permission denied|Too many authentication failures", re.I),
        Sentence(
            "{name} does not let you in: ssh has no key for it that works without a question. Set one up with "
            "ssh-copy-id, or start ssh-agent, then try ssh in a terminal."
        ),
    ),
    (
        re.compile(r"Could not resolve hostname", re.I),
        Sentence("There is no machine of that name: correct the command of {name} in the preferences."),
    ),
    (
        re.compile(r"Connection timed out|Connection refused|No route to host|Network is unreachable", re.I),
        Sentence("{name} does not answer: see that it is on, and that ssh reaches it."),
    ),
    (
        re.compile(r"wan-backend: (?:command )?not found|No such file or directory: .*wan-backend|not found in \$PATH"),
        Sentence(
            "{name} has no wan-backend on its path: install it there, or name it in the preferences with its full path."
        ),
    ),
    (
        re.compile(r"No module named '?wan_backend"),
        Sentence("The Python of {name} has no wan_backend: install it there, or name another Python."),
    ),
    (
        re.compile(r"could not select device driver|nvidia-container|unknown flag: --gpus", re.I),
        Sentence("The container on {name} can't have the graphics card: install NVIDIA's container toolkit there."),
    ),
    (
        re.compile(r"Cannot connect to the Docker daemon", re.I),
        Sentence("Docker does not run on {name}: start it."),
    ),
    (
        re.compile(r"Unable to find image|pull access denied|manifest unknown", re.I),
        Sentence("There is no such image on {name}: build it there, as the page on rented cards says."),
    ),
]


def completed(words: Sequence[str]) -> list[str]:
    """The command as it is run: ssh asks nothing, and the far server outlasts the line."""
    command = list(words)
    program = Path(command[0].replace("\\", "/")).name.lower().removesuffix(".exe")
    if program == "ssh":
        command[1:1] = SSH_OPTIONS
    if (
        program in ("ssh", "docker", "podman", "wan-backend")
        and _SERVE.search(" ".join(command))
        and STAY not in command
    ):
        command.append(STAY)
    return command


def why_it_ended(name: str, code: int, log_file: Path) -> Sentence:
    """Why there is no line to the machine `name`, after its command ended with that code."""
    text = _tail(log_file)
    for known, sentence in _KNOWN:
        if known.search(text):
            return sentence.with_values(name=name)
    words = last_line(log_file)
    if words:
        return Sentence("The line to {name} broke: {words}.", name=name, words=words.rstrip("."))
    return Sentence("The line to {name} broke (exit code {code}).", name=name, code=code)


def cant_start(name: str, command: Sequence[str], error: OSError) -> Sentence:
    """Why the command can't be run at all."""
    return Sentence(
        "{program} can't be run ({reason}): correct the command of {name} in the preferences.",
        program=command[0],
        reason=error.strerror or str(error),
        name=name,
    )


def _tail(log_file: Path) -> str:
    try:
        with open(log_file, "rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - TAIL_BYTES))
            return stream.read().decode("utf-8", "replace")
    except OSError:
        return ""
