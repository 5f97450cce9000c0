"""What a Blender in the background reports, for the person's Blender to read."""

from __future__ import annotations

import json


def test_a_refusal_is_reported_as_a_template_with_its_values(addon, tmp_path) -> None:
    module = addon("background.report")
    report = module.Report(str(tmp_path / "report.json"), 3)
    refused = module.CannotRender("{} can't be found in {}.", "a {b}.png", "/rushes")
    assert str(refused) == "a {b}.png can't be found in /rushes."
    report.refuse(refused)
    read = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert (read["refused"], read["values"]) == ("{} can't be found in {}.", ["a {b}.png", "/rushes"])
    assert read["refused"].format(*read["values"]) == str(refused)
