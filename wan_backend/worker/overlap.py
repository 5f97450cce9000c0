"""What is done at once on the way to the first step: reading sources, encoding the prompt, reading weights ahead."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from ..loading.wan_model import WanModel
from ..pipelines import text_to_video
from ..pipelines.prompt_encoding import PromptCache
from ..pipelines.stopping import ShouldStop, Stopped, check
from ..protocol.messages import Guide, Plan, Role, TakeRequest

Result = TypeVar("Result")


def files_to_come(
    model: WanModel, request: TakeRequest, plan: Plan, prompts: PromptCache
) -> list[tuple[str, list[Path]]]:
    """The components with the files that a take will read, in the order in which it needs them."""
    encoders = [] if text_to_video.prompts_are_known(request, plan, prompts) else ["text_encoder"]
    sources = ["image_encoder", "vae"] if request.sources else []
    components = dict.fromkeys([*encoders, *sources, "transformer", "transformer_2", "vae"])
    return [(component, model.weight_files(component)) for component in components if component in model.components]


def estimates_depth(request: TakeRequest) -> bool:
    """True if a model of its own has the device while the sources are read."""
    return request.guide is Guide.DEPTH and request.source(Role.DEPTH) is None


def beside(aside: Callable[[], Result], here: Callable[[ShouldStop], object], should_stop: ShouldStop) -> Result:
    """The result of `aside`, which runs in a thread while `here` does in this one; both are over when it comes.

    Raises what `aside` raised, as soon as `here` has looked at the `should_stop` that it gets; or what `here` raised.
    """
    with ThreadPoolExecutor(1, "aside") as pool:
        running = pool.submit(aside)

        def should_end() -> bool:
            return should_stop() or (running.done() and running.exception() is not None)

        try:
            here(should_end)
        except Stopped:
            check(should_stop)  # else it is for what went wrong aside
        return running.result()
