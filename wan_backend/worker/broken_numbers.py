"""What a person is told where a take's numbers ran over and it would be black. May import models and protocol.

The weights themselves were looked at when they were loaded; what is left are numbers that grew too large meanwhile.
"""

from __future__ import annotations

from pathlib import Path

from ..loading.wan_model import WanModel
from ..protocol.messages import Fix, FixSetting, Problem, ProblemKind, RunParams


def ran_over(params: RunParams, model: WanModel, part: str, done: int, steps: int) -> Problem:
    """The latents were no numbers any more after `done` of `steps`, which `part` of the model made."""
    began = f"The take broke at step {done} of {steps}: its numbers ran over, and every picture would be black."
    loras = params.plan.loras
    if not loras:
        place = model.places.of(part) if model.places.holds(part) else model.folder
        sentence = f"{began} Try it without changes of your own to its settings, or with another file than {place}."
        return Problem(ProblemKind.MODEL_BROKEN, sentence)
    names = ", ".join(dict.fromkeys(f'"{Path(use.path).name}"' for use in loras))
    sentence = f"{began} Lower the strength of its LoRAs ({names}), or leave them out."
    fixes = [Fix("Leave it out", FixSetting.WITHOUT_LORA, loras[0].path)] if len(loras) == 1 else []
    return Problem(ProblemKind.BAD_LORA, sentence, fixes)


def no_pictures(params: RunParams, model: WanModel, tiny: bool) -> Problem:
    """The autoencoder, or the `tiny` one, made what is no picture of latents that are numbers."""
    place = params.tiny_decoder if tiny else model.places.of("vae")
    sentence = f"The autoencoder {place} made no pictures of this take: its numbers ran over. Get it again, or another."
    return Problem(ProblemKind.MODEL_BROKEN, sentence)
