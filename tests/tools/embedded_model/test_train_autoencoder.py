"""The autoencoder's training in miniature: it runs, saves, and goes on from what it saved."""

from __future__ import annotations

import torch

from tools.embedded_model import train_autoencoder
from tools.embedded_model.pacing import load_split


def test_a_miniature_run_saves_and_resumes(tmp_path, capsys):
    common = ["--minutes", "0.0001", "--device", "cpu", "--small"]
    train_autoencoder.main([*common, "--out", str(tmp_path / "one")])
    assert "held out" in capsys.readouterr().out
    train_autoencoder.main([*common, "--out", str(tmp_path / "two"), "--resume", str(tmp_path / "one")])
    one, two = (load_split(sorted((tmp_path / name).glob("*"))) for name in ("one", "two"))
    assert one.keys() == two.keys()
    assert all(torch.isfinite(weight).all() for weight in two.values())


def test_a_supply_cuts_tiles_that_make_up_the_frame():
    supply = train_autoencoder.Supply((5, 72, 64), 1, 0, "cpu")
    clips = supply.take(8)
    assert clips.shape == (8, 3, 5, 72, 64)
    assert clips.min() >= -1 and clips.max() <= 1
