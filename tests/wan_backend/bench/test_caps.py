"""The takes under caps are the issue's, and the parser knows them. That they run needs a card."""

from __future__ import annotations

import pytest

from wan_backend import bench
from wan_backend.bench import caps, random_weights


def test_every_work_is_of_a_model_that_can_be_made_and_of_a_size_it_can_do():
    for work in caps.WORKS.values():
        assert work.model in random_weights.TRANSFORMER_CONFIGS
        multiple = 32 if work.model == "5B" else 16
        assert work.width % multiple == work.height % multiple == 0 and work.frames % 4 == 1
        assert work.steps > work.model.startswith("A") * 2 + 1  # the first of each expert warms it up


def test_without_a_card_that_is_said(capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert bench.main(["--caps", "1.3B-480p"]) == 2
    assert "no cuda device" in capsys.readouterr().err


def test_an_unknown_work_is_refused(capsys):
    with pytest.raises(SystemExit):
        bench.main(["--caps", "2B"])
    assert "14B-480p" in capsys.readouterr().err
