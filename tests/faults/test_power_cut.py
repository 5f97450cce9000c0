"""What a power cut may leave of files that are kept to save time: the take is the same, whatever is wrong with them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.faults.test_going_on import PATIENCE_SECONDS, WORKER, frames
from tests.wan_backend.server.served import request

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "zeros in its second half": lambda whole: whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2),
    "zeros": lambda whole: bytes(len(whole)),
    "empty": lambda whole: b"",
    "cut": lambda whole: whole[:40],
    "of another file": lambda whole: b'{"format": 1, "lessons": [{"attempt": {"model": 5}, "instead": {}}]}',
    "nested": lambda whole: b"[" * 100_000,
}
KEPT = ("prompts/*", "memory.json", "thumbnails/*/*", "jobs/*/plan.json")

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs the real worker, on one system"),
]


@pytest.mark.long  # CI has each kept file's own reader with damaged ones
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_that_are_kept_change_no_frame(serve, media, tmp_path, damage):
    asked = request(media, "a red ball over sand", steps=3)

    def take() -> np.ndarray:
        server = serve("--device", "cpu", command=WORKER)
        made = frames(server.wait_for(server.submit(asked), "done", seconds=PATIENCE_SECONDS)["take"])
        server.close()
        return made

    whole = take()
    state = tmp_path / "state"
    damaged = [file for pattern in KEPT for file in state.glob(pattern)]
    assert any(file.parent.name == "prompts" for file in damaged)
    (state / "memory.json").write_bytes(b"{}")
    for file in [*damaged, Path(state / "memory.json")]:
        file.write_bytes(DAMAGES[damage](file.read_bytes()))
    assert np.array_equal(take(), whole)
