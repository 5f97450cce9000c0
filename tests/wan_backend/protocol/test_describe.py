"""docs/protocol.md is what the message definitions say."""

from __future__ import annotations

from pathlib import Path

from wan_backend.protocol import describe, errors

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "protocol.md"


def test_the_document_is_up_to_date():
    written = DOCUMENT.read_text("utf-8")
    assert written == describe.document(), "run: python -m wan_backend.protocol.describe > docs/protocol.md"


def test_every_error_has_a_meaning():
    codes = {value for name, value in vars(errors).items() if type(value) is int}
    assert codes == set(errors.MEANINGS)


def test_attribute_docstrings_are_in_it():
    assert "Length of the take in frames of the scene." in describe.document()
