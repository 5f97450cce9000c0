"""The flags of `serve`: those that would do nothing are refused, and all reach a server that a keeper starts."""

from __future__ import annotations

import pytest

from wan_backend.command_line.arguments import parser
from wan_backend.server import serve


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--share-weights"], "give --cards-per-take too"),
        (
            ["--ray-cards", "2", "--ray-resource", "wan"],
            "--ray-cards and --ray-resource would do nothing without --ray",
        ),
        (["--ray", "auto", "--card", "0"], "give one of them"),
    ],
)
def test_a_flag_that_would_do_nothing_is_refused(tmp_path, capsys, flags, words):
    assert serve.main(parser().parse_args(["serve", "--state", str(tmp_path / "state"), *flags])) == serve.CANT_START
    assert words in capsys.readouterr().err and not (tmp_path / "state").exists()


def test_what_helps_later_jobs_is_kept_where_it_is_said(tmp_path):
    given = parser().parse_args(["serve", "--state", "state", "--findings", str(tmp_path)])
    again = parser().parse_args(["serve", "--state", "state", *serve.flags_of(given)])
    assert again.findings == tmp_path
    assert serve.Options(tmp_path / "state").kept == tmp_path / "state"
    assert serve.Options(tmp_path / "state", findings=tmp_path).kept == tmp_path
