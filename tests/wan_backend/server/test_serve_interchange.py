"""The server writes and reads cuts, and says in a sentence what it can't read."""

from __future__ import annotations

from pathlib import Path

import pytest

from wan_backend.protocol import cut_file
from wan_backend.protocol.cut import ClipMedia, ClipMediaKind, Cut, CutClip, CutTrack
from wan_backend.protocol.messages import FrameRate


def test_a_cut_goes_out_and_comes_in_over_the_wire(serve, tmp_path: Path) -> None:
    clip = CutClip("Red", 3, 8, [ClipMedia(ClipMediaKind.COLOR, "Red", color=[1.0, 0.0, 0.0])])
    cut = Cut("Film", FrameRate(24), [CutTrack(clips=[clip])])
    order, file = tmp_path / "cut.json", tmp_path / "film.otio"
    order.write_text("".join(cut_file.lines_of(cut)), encoding="utf-8")
    server = serve()
    assert server.call("export_timeline", cut_file=str(order), file=str(file))["clips"] == 1
    order.unlink()
    places = {"file": str(file), "cut_file": str(order), "media_folders": [str(tmp_path / "media")]}
    assert server.call("import_timeline", **places) == {"clips": 1, "missing": 0, "lost": []}
    assert cut_file.read(order.read_text(encoding="utf-8").splitlines()) == cut
    file.write_text("no cut")
    with pytest.raises(Exception, match="can't be read as OpenTimelineIO"):
        server.call("import_timeline", **places)
