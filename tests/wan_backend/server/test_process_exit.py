"""How a process ended, in words."""

from __future__ import annotations

import signal

import pytest

from wan_backend.server import process_exit


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-signal.SIGKILL, "memory (RAM) ran out"),
        (-signal.SIGSEGV, "segmentation fault"),
        (-signal.SIGABRT, "abort"),
        (-signal.SIGUSR1, "was ended by SIGUSR1"),
        (-63, "signal 63"),
        (0xC0000005, "access violation"),
        (0xC0000005 - (1 << 32), "access violation"),
        (0, "exit code 0"),
        (1, "exit code 1"),
    ],
)
def test_in_words(tmp_path, code, words):
    assert words in process_exit.in_words(code, tmp_path / "no.log")


@pytest.mark.parametrize(
    ("written", "last"),
    [
        (b"", ""),
        (b"\n\n  \n", ""),
        (b"one\ntwo\n\n", "two"),
        (b"Error: \xff\x1b[31m\n", "Error: \ufffd [31m"),
        (b"x" * 10_000, "x" * 160 + "..."),
    ],
)
def test_the_last_line_of_a_log(tmp_path, written, last):
    (tmp_path / "a.log").write_bytes(written)
    assert process_exit.last_line(tmp_path / "a.log") == last
    assert process_exit.last_line(tmp_path / "b.log") == ""
