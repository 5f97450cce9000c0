"""What is added to a command, and what its last words mean."""

from __future__ import annotations

import pytest

from wan_backend.relay import far_words


@pytest.mark.parametrize(
    ("given", "run"),
    [
        ("ssh box wan-backend serve", "ssh {ssh} box wan-backend serve --stay"),
        (
            r"C:\OpenSSH\ssh.exe box wan/bin/wan-backend serve",
            r"C:\OpenSSH\ssh.exe {ssh} box wan/bin/wan-backend serve --stay",
        ),
        ("ssh -p 7 box wan-backend serve --online", "ssh {ssh} -p 7 box wan-backend serve --online --stay"),
        ("docker run -i IMAGE serve", "docker run -i IMAGE serve --stay"),
        ("ssh box wan-backend serve --stay", "ssh {ssh} box wan-backend serve --stay"),
        ("ssh box wan-backend serve | tee log", "ssh {ssh} box wan-backend serve | tee log"),
        ("ssh box ./observe", "ssh {ssh} box ./observe"),
        ("my-own-script serve", "my-own-script serve"),
        ("wan-backend serve", "wan-backend serve --stay"),
    ],
)
def test_ssh_asks_nothing_and_the_server_outlasts_the_line(given, run):
    assert far_words.completed(given.split()) == run.format(ssh=" ".join(far_words.SSH_OPTIONS)).split()


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("@@@\nWARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!\n@@@", "host key is new or has changed"),
        ("Host key verification failed.", "host key is new or has changed"),
        ("root@box: Permission denied (publickey).", "does not let you in"),
        ("ssh: Could not resolve hostname bxo: Name or service not known", "no machine of that name"),
        ("ssh: connect to host box port 22: Connection timed out", "does not answer"),
        ("bash: line 1: wan-backend: command not found", "no wan-backend on its path"),
        ("/usr/bin/python3: No module named wan_backend", "has no wan_backend"),
        ("docker: Error response: could not select device driver", "can't have the graphics card"),
        ("Unable to find image 'wan-backend:latest' locally", "no such image"),
        ("Cannot connect to the Docker daemon at unix:///var/run", "Docker does not run"),
        ("something new", "The line to box broke: something new."),
        ("", "The line to box broke (exit code 255)."),
    ],
)
def test_last_words_become_a_sentence(tmp_path, said, words):
    log = tmp_path / "line.log"
    log.write_text(f"Welcome\n{said}\n" if said else "")
    assert words in far_words.why_it_ended("box", 255, log)


def test_a_log_that_is_gone_is_no_failure(tmp_path):
    assert "exit code 1" in far_words.why_it_ended("box", 1, tmp_path / "none.log")
