"""The clocks say which claim was kept and which was missed; how long a thing takes is no test's to say."""

from __future__ import annotations

import pytest

from tools.benchmarks import clocks


def test_a_claim_that_is_kept_and_one_that_is_missed(monkeypatch, capsys):
    assert clocks.main(["preview", "plan"]) == 0
    assert capsys.readouterr().out.count("  ok  ") == 2
    tried = []
    late = clocks.Claim("a thing that was promised too soon", 0.5, lambda folder: tried.append(folder) or 0.75)
    monkeypatch.setitem(clocks.CLAIMS, "preview", late)
    assert clocks.main(["preview"]) == 1
    assert "0.750 s     0.50 s  MISSED  a thing that was promised" in capsys.readouterr().out
    assert len(set(tried)) == 3 and not any(folder.exists() for folder in tried)


def test_the_best_of_some_tries_counts():
    seconds = iter([3.0, 0.4, 9.0])
    assert clocks.measured(clocks.Claim("", 0.5, lambda _folder: next(seconds))).seconds == 0.4
    assert next(seconds) == 9.0


def test_a_claim_that_nobody_made_is_refused(capsys):
    with pytest.raises(SystemExit):
        clocks.main(["nonsense"])
    assert "there is no claim nonsense" in capsys.readouterr().err
