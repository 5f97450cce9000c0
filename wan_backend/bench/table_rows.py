"""The takes that `bench --table` measures."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .engines import Work


@dataclass(frozen=True)
class TableWork:
    """The take of a row; `work` has the steps that are measured, `steps` are those of a real take."""

    random: str
    """The name in TRANSFORMER_CONFIGS of a random model of its size."""
    model_id: str
    work: Work
    steps: int
    trunk: bool = True
    """False if a control model is to run with its control, as it does for every task but text to video."""
    in_8_bit: bool = False
    """True if our matrices are to be multiplied in 8 bit."""
    footage: bool = False
    """True if the autoencoder is to encode the pictures of the take, too, as it does footage."""
    errors: bool = True
    """True if the distances to float32 are to be measured. They are those of the model, so one size is enough."""
    in_full: bool = False
    """True if our whole take is to have all steps of a real one; otherwise, the missing ones are added as measured."""


def _work(width: int, height: int, frames: int = 81, guidance: float = 5.0, shift: float = 5.0) -> Work:
    return Work(width, height, frames, 3, guidance, shift)


def _draft(width: int, height: int, shift: float, from_picture: bool = False) -> Work:
    """Four steps without guidance, as distilled models make a take."""
    return Work(width, height, 81, 4, 1.0, shift, from_picture=from_picture)


EIGHT_BIT_SUFFIX = "-8bit"
"""The end of the names of rows in 8 bit."""
WORKS = {
    "1.3B-480p": TableWork("1.3B", "wan2.1-t2v-1.3b", _work(832, 480, shift=8.0), 50, footage=True, in_full=True),
    "1.3B-480p-draft": TableWork("1.3B", "fastwan2.1-t2v-1.3b", _draft(832, 480, 8.0), 3, errors=False),
    "VACE-1.3B-480p": TableWork("VACE-1.3B", "wan2.1-vace-1.3b", _work(832, 480, shift=3.0), 50),
    "VACE-1.3B-480p-control": TableWork("VACE-1.3B", "wan2.1-vace-1.3b", _work(832, 480, shift=3.0), 50, trunk=False),
    "14B-480p": TableWork("14B", "wan2.1-t2v-14b", _work(832, 480), 50),
    "14B-720p": TableWork(
        "14B", "wan2.1-t2v-14b", replace(_work(1280, 720, guidance=1.0), steps=2), 4, footage=True, errors=False
    ),
    "I2V-14B-480p-draft": TableWork(
        "I2V-14B", "wan2.1-i2v-14b-480p", _draft(832, 480, 5.0, from_picture=True), 4, errors=False
    ),
    "I2V-14B-720p-draft": TableWork(
        "I2V-14B",
        "wan2.1-i2v-14b-720p",
        replace(_draft(1280, 720, 5.0, from_picture=True), steps=2),
        4,
        errors=False,
        in_full=True,
    ),
    "VACE-14B-480p": TableWork("VACE-14B", "wan2.1-vace-14b", _work(832, 480, guidance=1.0), 50),
    "VACE-14B-480p-control": TableWork(
        "VACE-14B", "wan2.1-vace-14b", _work(832, 480, guidance=1.0), 50, trunk=False, errors=False
    ),
    "5B-720p": TableWork("5B", "wan2.2-ti2v-5b", _work(1280, 704, 121), 50),
}
"""The order in which they share a model that is made once."""
WORKS |= {
    f"{name}{EIGHT_BIT_SUFFIX}": replace(WORKS[name], in_8_bit=True)
    for name in ("1.3B-480p", "VACE-1.3B-480p-control", "14B-480p", "14B-720p", "5B-720p")
}
