"""Gets a model ready while there is no job: its weights where the memory plan keeps them, its kernels compiled.

A job that comes meanwhile ends it before the next component. What was loaded by then is what the job needs, where it
is for the same model.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psutil

from ..loading.read_ahead import ReadAhead
from ..loading.residency import PlacedModel
from ..loading.wan_model import WanModel
from ..memory.idle import FreeMemory, components_to_hold
from ..pipelines import channels_last_autoencoder, text_to_video
from ..pipelines.preparation import Preparation
from ..pipelines.stopping import ShouldStop, check
from ..protocol.messages import WarmUpParams
from .job_memory import JobMemory, shares_of
from .other_cards import OtherCards
from .warm_model import WarmModel, findings_of

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.1
ORDER = ("text_encoder", "image_encoder", "transformer", "vae", "transformer_2")
"""The components as a job uses them. The autoencoder is small, and comes after what takes longest to load."""


def get_ready(
    params: WarmUpParams,
    warm: WarmModel,
    should_stop: ShouldStop,
    on_read: Callable[[str], None] = lambda _: None,
    others: OtherCards | None = None,
) -> tuple[str, ...]:
    """Load what a job like `params.job` will need; the components that are in memory then.

    Raises Stopped as soon as `should_stop()`, at the latest once the component that is being loaded is; Refusal, and
    what the libraries raise.
    """
    job, model = params.job, warm.model
    check(should_stop)
    warm.keep_prompts(job)
    warm.choose_matrices(job)  # first, as in a job: memory is planned for the weights as they will be
    checked = partial(_check, should_stop)
    others = others if job.plan.cards > 1 else None
    plan = JobMemory(model, job, shares_of(job.plan) if others is not None else 1).plan
    if others is not None:  # they go on loading after this, as long as nothing else is asked
        others.warm_up(job, model, plan)
    placement = PlacedModel(model, plan, checked, checked, job.plan.loras, on_read, findings_of(job))
    channels_last_autoencoder.compile_ahead(model.device, model.config("vae"), findings_of(job))
    components = [component for component in ORDER if component in model.components]
    virtual = psutil.virtual_memory()
    machine = FreeMemory(int(virtual.available), int(virtual.total))
    weights = {component: model.weight_bytes(component) for component in components if not model.loaded(component)}
    held = components_to_hold(plan, weights, machine, model.device.type == "cuda")
    preparation = Preparation(placement, job.request, job.plan, cache=warm.cache, should_stop=should_stop)
    with ReadAhead(list(_files(model, components)), should_stop) as ahead:
        if params.read_prompt:
            text_to_video.read_prompts(preparation)
        for component in held:
            check(should_stop)
            with placement.use(component):
                ahead.pass_over(component)
        check(should_stop)
        log.info("ready: %s, %s", ", ".join(held) or "nothing more", placement.kernels.description)
        while ahead.is_reading:
            check(should_stop)
            ahead.join(LOOK_SECONDS)
    return tuple(component for component in components if model.loaded(component))


def _check(should_stop: ShouldStop, _part: str) -> None:
    check(should_stop)


def _files(model: WanModel, components: list[str]) -> Iterator[tuple[str, list[Path]]]:
    for component in components:
        yield component, model.weight_files(component)
