"""What a person is told, out of what uv says and Python's errors are."""

from __future__ import annotations

from pathlib import Path

import pytest

from wan_backend.environment import causes, reach
from wan_backend.protocol.messages import ProblemKind

FETCHING = "error: Request failed after 3 retries in 4.2s\n  cause: Failed to fetch: https://pypi.org/simple/av/\n"
SENDING = "  cause: error sending request for url (https://pypi.org/simple/av/)\n  cause: client error (Connect)\n"
ROOM = "  cause: failed to write to file `/x/.tmpcfAYmu/av/core.so`: No space left on device (os error 28)"
WINDOWS_ROOM = "  cause: failed to write to file: There is not enough space on the disk. (os error 112)"
NO_ABI = (
    "error: No solution found when resolving dependencies\n  cause: "
    "Because torch{sys_platform != 'darwin'}==2.13.0+cpu "
    "has no wheels with a matching Python ABI tag (e.g., `cp313`) and you require torch==2.13.0+cpu"
)
PROXY = {"HTTPS_PROXY": "http://me:secret@proxy:3128"}


@pytest.mark.parametrize(
    ("words", "variables", "kind", "said"),
    [
        (FETCHING + SENDING + "  cause: dns error", {}, "offline", "pypi.org can't be reached. Check the network"),
        (FETCHING + SENDING + "  cause: dns error", PROXY, "offline", "through the proxy that is set (http://proxy:3128)"),
        (SENDING + "  cause: tunnel error: proxy authorization required", PROXY, "offline", "requires a login"),
        (SENDING + "  cause: invalid peer certificate: UnknownIssuer", {}, "offline", "company's certificates"),
        (
            SENDING + "  cause: invalid peer certificate: UnknownIssuer", {"SSL_CERT_FILE": __file__}, "offline",
            f"the certificates in {__file__} (SSL_CERT_FILE) don't vouch for it",
        ),
        (
            "error: failed to build HTTP client", {"SSL_CERT_FILE": "/own.pem"}, "offline",
            "SSL_CERT_FILE names /own.pem, which is no file",
        ),
        ("error: failed to build HTTP client\n  cause: No CA certificates were loaded", {}, "offline", "be verified"),
        (ROOM, {}, "disk_full", "is full. Free some space"),
        (WINDOWS_ROOM, {}, "disk_full", "is full. Free some space"),
        (NO_ABI, {}, "setup", "there is no build of torch 2.13.0+cpu for this machine. Update Wan VSE"),
        ("error: Hash mismatch for `av==18.1.0`", {}, "checksum", "isn't the one that this version was tested with"),
        ("error: failed to create directory `/f`: Permission denied (os error 13)", {}, "folder", "can't be written"),
        ("warning: x\nerror: something new in uv\n  cause: y", {}, "setup", "something new in uv. The log says more."),
        ("", {}, "setup", "it said nothing. The log says more."),
    ],
)  # fmt: skip
def test_each_cause_is_told_with_what_to_do(words: str, variables: dict[str, str], kind: str, said: str) -> None:
    failure = causes.of_words("Fetching", words, reach.Reach(variables), Path("folder of a checksum, 407"))
    assert said in str(failure) and failure.kind is ProblemKind(kind)
    assert str(failure).startswith("Fetching stopped: ") and "secret" not in str(failure)


def test_a_folder_that_is_not_ours_is_no_network() -> None:
    failure = causes.of_error("Fetching uv", PermissionError(13, "Permission denied"), reach.Reach({}), Path("/f"))
    assert failure.kind is ProblemKind.FOLDER and "/f can't be written" in str(failure)
