"""One job, from its RunParams to a take on the disk: prepare, denoise and decode, again with less memory if need be.

`make_take` is the way through. A TakeJob is what stays as it is from beginning to end, a TakeState how far the take is.
Each phase is a function of both, and hands its outcome to the next.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import __version__
from ..frames import source_frames
from ..frames.marks import Marks
from ..library.extras import TINY_FOR_MEMORY_NOTE, TINY_UNUSABLE_NOTE
from ..loading import devices
from ..loading.matrix_products import EightBitProduct
from ..loading.read_ahead import ReadAhead
from ..loading.residency import PlacedModel
from ..loading.wan_model import WanModel
from ..lora.resolve import EXPERTS
from ..memory.needs import VideoShape
from ..memory.residency_plan import MemoryPlan
from ..memory.spilled import SHORT_SENTENCE
from ..pipelines import channels_last_autoencoder, depth_guide, task_conditions, text_to_video, tiles, tiny_decoder
from ..pipelines.conditions import Canvas, Conditions
from ..pipelines.decode import decode
from ..pipelines.denoise import DenoisingStep, StepCopy, denoise_in_turn
from ..pipelines.elsewhere import NOWHERE
from ..pipelines.experts import experts_of
from ..pipelines.preparation import Preparation
from ..pipelines.preview import LatentColors
from ..pipelines.sampling import make_scheduler
from ..pipelines.step_checkpoint import Checkpoint
from ..pipelines.stopping import ShouldStop, check
from ..pipelines.transfers import NoPictures
from ..planning.lengths import latent_frames
from ..planning.machine_steps import FAST_8_BIT_NOTE
from ..protocol import take_names
from ..protocol.errors import Refusal
from ..protocol.messages import (
    Decoder,
    JobState,
    Jump,
    MatrixPrecision,
    PhaseSeconds,
    Plan,
    ProgressParams,
    Role,
    RunParams,
    RunResult,
    SteadySteps,
    TakeRequest,
)
from ..protocol.sentences import NO_SENTENCE, Sentence
from ..storage import media_folder
from ..storage.take_folder import TakeFolder
from . import overlap, take_pictures, take_record, take_signing
from .failures import decoded_no_pictures, numbers_ran_over
from .gather import gather
from .job_memory import JobMemory, shares_of
from .kept_steps import KeptSteps, fingerprint
from .late_steps import LateSteps
from .other_cards import OtherCards, SharesLost
from .preview_file import PreviewFile
from .progress import Progress, TakeWork
from .skipped_work import keep_calibration, passes_in, skipped_work_of
from .source_reader import Read
from .steady_steps import StepWatch
from .step_pace import StepPace
from .warm_model import WarmModel, findings_of

log = logging.getLogger(__name__)

PHASES = ("load", "encode", "denoise", "decode")
"""The phases that are timed, by the names of PhaseSeconds."""
EXACT_MATRICES_NOTE = Sentence(
    "Fast 8-bit matrices aren't available or aren't faster on this card, so the take was made with the exact ones."
)
PRODUCT_FAILED_NOTE = Sentence(
    "Multiplying in 8 bit failed during the take, so it went on with weights in 8 bit that are multiplied in 16 bit."
)
OUT_OF_MEMORY = Sentence("Out of memory: continuing with less of the model in memory")
GOES_ON_ALONE = Sentence("A card with a part of the model is lost: continuing with the whole model here")
FINISHED_SECONDS = 10.0
"""Decoding waits this long for the finished latents to be on the disk; a disk that hangs must not hold the take."""

LOADING = {
    "text_encoder": Sentence("Loading the text encoder"),
    "image_encoder": Sentence("Loading the image encoder"),
    "transformer": Sentence("Loading the transformer"),
    "transformer_2": Sentence("Loading the second transformer"),
    "vae": Sentence("Loading the autoencoder"),
}
ENCODING = {
    "text_encoder": Sentence("Reading the prompt"),
    "image_encoder": Sentence("Reading the pictures"),
    "vae": Sentence("Preparing the canvas"),
}


WritePictures = Callable[
    [
        Iterator[np.ndarray],
        dict[int, np.ndarray],
        dict[int, np.ndarray],
        TakeRequest,
        Plan,
        Path,
        take_pictures.Advance,
    ],
    dict[Role, Jump],
]
"""Gets the decoded pictures, the frames that are given, those that are handles, the request and the plan that was
followed, and a folder; gives how the take joins its neighbors."""


@dataclass(frozen=True)
class TakeJob:
    """What one job is made from and reports to; none of it is exchanged while the job runs."""

    params: RunParams
    warm: WarmModel
    progress: Progress
    steps: KeptSteps
    preview: PreviewFile
    should_stop: ShouldStop
    read: Read
    on_read: Callable[[str], None]
    write: WritePictures
    """Makes of the decoded pictures what is wanted of them."""
    others: OtherCards | None = None
    """The worker's other cards; None if it has one card, or the take is made by one."""

    @property
    def request(self) -> TakeRequest:
        """What the person asked for."""
        return self.params.request

    @property
    def model(self) -> WanModel:
        """The model that makes the take."""
        return self.warm.model


@dataclass
class TakeState:
    """How far the take is. A try that runs out of memory is followed by another, which goes on with it."""

    plan: Plan
    """The plan that is followed: that of the job, but for the decoder that memory or a damaged file leaves."""
    component: str = ""
    """The component of the model that is being loaded or works; "" while none does."""
    resumed: Checkpoint | None = None
    """The step that this try goes on from."""
    done: int = 0
    """Steps made so far, by this try or one before it."""
    steps: int = 0
    """Steps to make in all; fewer than planned where the take starts from footage."""
    denoised: bool = False
    """The latents are finished: what is left is to decode them."""
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))
    """Time spent in each phase, of all tries."""
    kernels: str = ""
    """The kernels that the transformer ran on; "" if an earlier try had made all steps."""
    product: EightBitProduct | None = None
    """What multiplies in 8 bit; None if matrices are exact."""
    pace: StepPace = field(default_factory=StepPace)
    spilled: bool = False
    """The driver was seen to keep in the machine's memory what should be on the card."""
    shared: int = 0
    """How many forward passes other cards made, or had a share of."""
    late: LateSteps | None = None
    """What finishes the steps; None before the first."""
    watch: StepWatch | None = None
    """What sees how quick they are, likewise."""
    jumps: dict[Role, Jump] = field(default_factory=dict)
    """How it joins its neighbors, by the roles of these; known once its pictures are written."""
    others: OtherCards | None = None
    """The worker's other cards, as long as the take has any."""
    ahead: ReadAhead = field(default_factory=lambda: ReadAhead([]))
    """What reads the files of components before they are loaded."""


def make_take(
    params: RunParams,
    warm: WarmModel,
    report: Callable[[ProgressParams], None],
    should_stop: ShouldStop,
    read: Read = source_frames.read,
    on_read: Callable[[str], None] = lambda _place: None,
    others: OtherCards | None = None,
) -> RunResult:
    """Make the take of a job, whole on the disk. Raises Refusal, Stopped, OSError, or what the libraries raise.

    `read` reads the sources; `on_read(place)` is called before any other file or folder is read, and with "" after it.
    `others` is used where the plan has several cards.
    """
    plan, request, model = params.plan, params.request, warm.model
    warm.keep_prompts(params)
    folder = Path(params.work_folder) if params.work_folder else None
    preview = PreviewFile(folder, LatentColors.of(model.config("vae")))
    work = work_of(plan)
    progress = Progress(params.job_id, plan.steps, report, warm.pace.expected(work))
    marks = Marks.of(request, __version__, on_read)
    write = partial(take_pictures.write, marks=marks)
    job = TakeJob(
        *(params, warm, progress, KeptSteps(folder), preview, should_stop, read, on_read, write),
        others=others if plan.cards > 1 else None,
    )
    progress.phase(JobState.LOADING, Sentence("Getting ready"))
    problem = media_folder.check(request.media_folder, plan.disk_bytes)
    if problem is not None:
        raise Refusal(problem)
    title = take_names.title(request)
    with TakeFolder(Path(request.media_folder), params.job_id, title) as take_folder, job.steps:
        state, memory = make_pictures(job, take_folder.partial)
        steady = _steady(job, state)
        if state.resumed is None and not state.spilled and (steady is not None or plan.cards == 1):
            warm.pace.learn(_steady_seconds(state, plan, steady), work)
        check(should_stop)
        marks = _signed(job, state, marks, take_folder.partial)
        final = take_folder.publish(lambda folder: _settings(job, state, _result(job, state, memory, folder), marks))
        job.steps.remove()
        return _result(job, state, memory, final)


def make_pictures(job: TakeJob, folder: Path) -> tuple[TakeState, JobMemory]:
    """Go the whole way to the job's pictures, which its `write` makes into something in `folder`.

    Raises as `make_take`.
    """
    model, plan = job.model, job.params.plan
    devices.begin_peak(model.device)
    state = TakeState(plan, steps=plan.steps, others=job.others)
    _choose_matrices(job, state)  # first, since memory is planned for the weights as they will be
    memory = JobMemory(model, job.params, shares_of(plan) if state.others is not None else 1)
    state.pace = StepPace(job.warm.pace.longest_pass(work_of(plan)))
    channels_last_autoencoder.compile_ahead(model.device, model.config("vae"), findings_of(job.params))
    while failure := _try_to_make(job, state, memory, folder):
        # Only here is the error gone, and with its traceback the tensors of the try.
        job.progress.phase(JobState.LOADING, failure)
        model.drop_all()
        devices.release(model.device)
    return state, memory


def _steady(job: TakeJob, state: TakeState) -> SteadySteps | None:
    """How quick the steps were by what was planned; None if others were slower, of cards that aren't alike too."""
    alone = state.others is None
    if state.watch is None or state.spilled or alone is not (job.params.plan.cards == 1):
        return None
    if state.others is not None and not state.others.are_like(devices.name(job.model.device)):
        return None
    return state.watch.result(state.steps)


def _steady_seconds(state: TakeState, plan: Plan, steady: SteadySteps | None) -> PhaseSeconds:
    """What such a take takes once all cards are there."""
    took = PhaseSeconds(0.0, **state.seconds)
    return took if plan.cards == 1 or steady is None else replace(took, denoise=steady.denoise_seconds)


def _signed(job: TakeJob, state: TakeState, marks: Marks, folder: Path) -> Marks:
    """Sign the take's movie if a person has chosen a certificate; a note says it if that can't be done."""
    marks, note = take_signing.sign(job.request, marks, folder)
    if note:
        state.plan = replace(state.plan, notes=[*state.plan.notes, note])
    return marks


def work_of(plan: Plan) -> TakeWork:
    """How much a take by that plan has to compute, one thing after another."""
    seen = VideoShape(plan.width, plan.height, plan.frames_at_once, sources=plan.seen_sources)
    sources = seen.tokens / replace(seen, sources=0).tokens - 1 if plan.seen_sources else 0.0
    return TakeWork(plan.width * plan.height * plan.model_frames, math.ceil(_forwards(plan) / plan.cards), sources)


def _forwards(plan: Plan) -> int:
    """How often the transformer runs for a window, as the plan has it; else as its settings say."""
    return plan.forwards or plan.steps * (2 if plan.guidance_scale > 1 else 1)


def _choose_matrices(job: TakeJob, state: TakeState) -> None:
    """Have the model's matrices multiplied as planned, or exactly where the card can't or isn't faster so."""
    plan = state.plan
    state.product = job.warm.choose_matrices(job.params)
    if plan.matrix_precision is MatrixPrecision.FAST_8_BIT and state.product is None:
        notes = [*(note for note in plan.notes if note != FAST_8_BIT_NOTE), EXACT_MATRICES_NOTE]
        state.plan = replace(plan, matrix_precision=MatrixPrecision.EXACT, notes=notes)


def _try_to_make(job: TakeJob, state: TakeState, memory: JobMemory, folder: Path) -> Sentence:
    """Make the media in `folder`; the sentence for why another try is to, by the plan that `memory` has now."""
    state.component, state.denoised = "", False
    _choose_decoder(job, state, memory.plan)
    others = state.others
    if others is not None:  # first of all, since they load beside everything else
        others.prepare(job.params, job.model, memory.plan, job.should_stop, lambda: state.steps - state.done)
        others.turn("transformer")
    try:
        placement = PlacedModel(
            job.model,
            memory.plan,
            partial(_on_load, job, state),
            partial(_on_ready, job, state),
            state.plan.loras,
            job.on_read,
            findings_of(job.params),
            begin_at_once=True,
        )
        files = overlap.files_to_come(job.model, job.request, state.plan, job.warm.cache.prompts)
        with ReadAhead(files, job.should_stop) as state.ahead:
            _make_media(job, state, memory, placement, folder)
    except SharesLost:
        _note_other_cards(state)
        state.others = None
        memory.go_on_alone()
        return GOES_ON_ALONE
    except Exception as error:
        tiny = state.denoised and bool(job.params.tiny_decoder)
        if not devices.is_out_of_memory(error) or not memory.shrink(state.component, tiny):
            raise
        return OUT_OF_MEMORY
    finally:
        if others is not None:
            others.rest()
    return NO_SENTENCE


def _choose_decoder(job: TakeJob, state: TakeState, memory: MemoryPlan) -> None:
    """Have the tiny autoencoder make the pictures if the model's own is too large for the device."""
    plan = state.plan
    if not memory.decode_fits and job.params.tiny_decoder and plan.decoder is Decoder.WHOLE:
        state.plan = replace(plan, decoder=Decoder.TINY, notes=[*plan.notes, TINY_FOR_MEMORY_NOTE])


def _make_media(job: TakeJob, state: TakeState, memory: JobMemory, placement: PlacedModel, folder: Path) -> None:
    """Go through the phases, from the sources or from the last step that an earlier try kept."""
    try:
        with _timed(state, "encode", placement):
            canvas = _read_sources(job, state, placement)
            _resume(job, state, canvas)
            kept, handles = {**canvas.kept, **canvas.pictures}, canvas.handles
            conditions = None if state.denoised else _prepare(job, state, placement, canvas)
            del canvas
        with _timed(state, "denoise", placement):
            latents = _latents(job, state, memory, placement, conditions)
            del conditions
        with _timed(state, "decode", placement):
            _decode(job, state, placement, latents, kept, handles, folder)
    finally:
        state.seconds["load"] += placement.load_seconds


@contextmanager
def _timed(state: TakeState, phase: str, placement: PlacedModel) -> Iterator[None]:
    """Count the seconds of `phase`, without those that loading takes in it."""
    began, loaded = time.monotonic(), placement.load_seconds
    try:
        yield
    finally:
        state.seconds[phase] += time.monotonic() - began - (placement.load_seconds - loaded)


def _on_load(job: TakeJob, state: TakeState, component: str) -> None:
    """Report that a component is about to be read from the disk."""
    check(job.should_stop)
    state.component = component
    job.progress.phase(JobState.LOADING, LOADING[component])


def _on_ready(job: TakeJob, state: TakeState, component: str) -> None:
    """Report the phase that begins now that the component for it is in place."""
    check(job.should_stop)
    state.component = component
    state.ahead.pass_over(component)
    if component in EXPERTS:
        if state.late is not None:
            state.late.finish()  # the other expert's last step
        if state.watch is not None:
            state.watch.begin(state.done)
        state.pace.begin(time.monotonic())
        _report_steps(job, state)
    elif state.denoised:
        job.progress.phase(JobState.DECODING, Sentence("Making the pictures"))
    else:
        job.progress.phase(JobState.ENCODING, ENCODING[component])


def _report_steps(job: TakeJob, state: TakeState) -> None:
    """Report that a transformer is in place, for the first step or for one after others."""
    done, steps = state.done, state.steps
    if not done:
        job.progress.phase(JobState.DENOISING, Sentence("Step 0 of {steps}", steps=steps), steps)
    elif state.resumed is not None and state.resumed.done == done:
        job.progress.go_on(
            done, steps, Sentence("Resuming at step {step} of {steps}", step=min(done + 1, steps), steps=steps)
        )
    else:
        job.progress.go_on(done, steps, Sentence("Continuing with the second transformer"))


def _read_sources(job: TakeJob, state: TakeState, placement: PlacedModel) -> Canvas:
    """The pictures that the request names; the model reads the prompt meanwhile, unless that may be for nothing."""
    if not job.request.sources:
        return _gather(job, state)
    job.progress.phase(JobState.ENCODING, Sentence("Reading the footage"))
    if overlap.estimates_depth(job.request) or job.steps.may_have_any:
        return _gather(job, state)

    def read_prompts(should_stop: ShouldStop) -> None:
        text_to_video.read_prompts(_preparation(job, state, placement, Canvas(), should_stop))

    return overlap.beside(partial(_gather, job, state), read_prompts, job.should_stop)


def _gather(job: TakeJob, state: TakeState) -> Canvas:
    depth_of = partial(
        depth_guide.estimate_depth,
        model_folder=job.model.folder,
        device=str(job.model.device),
        should_stop=job.should_stop,
    )
    return gather(job.request, state.plan, depth_of, job.should_stop, job.read)


def _resume(job: TakeJob, state: TakeState, canvas: Canvas) -> None:
    """Find the step that an earlier try at the same take kept, and show the preview that belongs to it."""
    resumed = state.resumed = job.steps.find(fingerprint(job.params, canvas, job.model))
    state.done = 0 if resumed is None else resumed.done
    state.denoised = resumed is not None and resumed.finished
    for component in (*EXPERTS, "text_encoder") if state.denoised else ():
        state.ahead.pass_over(component)
    if resumed is not None:
        job.preview.go_on()
    job.progress.preview = "" if resumed is None else job.preview.path


def _prepare(job: TakeJob, state: TakeState, placement: PlacedModel, canvas: Canvas) -> Conditions:
    conditions = task_conditions.prepare(_preparation(job, state, placement, canvas, job.should_stop))
    check(job.should_stop)
    return conditions


def _preparation(
    job: TakeJob, state: TakeState, placement: PlacedModel, canvas: Canvas, should_stop: ShouldStop
) -> Preparation:
    return Preparation(placement, job.request, state.plan, canvas, job.warm.cache, should_stop)


def _latents(
    job: TakeJob, state: TakeState, memory: JobMemory, placement: PlacedModel, conditions: Conditions | None
) -> torch.Tensor:
    """(1, C, T, H, W) clean latents: those that an earlier try had finished, or new ones."""
    if conditions is not None:
        return _denoise(job, state, memory, placement, conditions)
    assert state.resumed is not None
    job.progress.go_on(state.resumed.done, state.resumed.done, Sentence("The steps are done already"))
    return state.resumed.latents


def _denoise(
    job: TakeJob, state: TakeState, memory: JobMemory, placement: PlacedModel, conditions: Conditions
) -> torch.Tensor:
    """(1, C, T, H, W) clean latents, kept on disk for whatever may happen to the decoding."""
    plan = state.plan
    state.steps, state.kernels = plan.steps - conditions.first_step, ""
    config = job.model.config("scheduler")
    scheduler = make_scheduler(config, plan.sampler, plan.flow_shift, plan.timesteps, job.request.seed)
    skipped = skipped_work_of(plan)
    state.watch = StepWatch(plan, state.others, state.done, conditions.control is not None)
    late = state.late = LateSteps(partial(_finish_step, job, state, memory, placement), job.should_stop)
    try:
        latents = denoise_in_turn(
            experts_of(placement, plan, scheduler.config.num_train_timesteps),
            scheduler,
            conditions,
            steps=plan.steps,
            window=latent_frames(plan.window_frames) if plan.window_frames else 0,
            after_step=partial(_after_step, state, placement),
            resumed=state.resumed,
            should_stop=late.should_stop,
            skipped=skipped,
            elsewhere=NOWHERE if state.others is None else state.others,
        )
    except BaseException:
        late.finish_after_failure()
        raise
    late.finish()
    _note_other_cards(state)
    if skipped.measured is not None:
        controlled = conditions.control is not None
        sentence = keep_calibration(job.params, job.model, controlled, skipped.measured)
        state.plan = replace(plan, notes=[*plan.notes, sentence])
    state.kernels += placement.kernels.description
    if state.product is not None:
        state.kernels += f", {state.product.description}"
        if state.product.broken:
            state.plan = replace(state.plan, notes=[*state.plan.notes, PRODUCT_FAILED_NOTE])
    finished = Checkpoint.at_the_end(state.steps, latents)
    if finished.broken:
        raise Refusal(numbers_ran_over(job.params, job.model, state.component, finished.done, finished.done))
    job.steps.keep(finished)
    state.denoised = True
    return latents


def _note_other_cards(state: TakeState) -> None:
    """Have the take say what its other cards did, which have nothing more to do for it."""
    others = state.others
    if others is None:
        return
    others.rest()
    state.shared += others.forwards_made
    if others.note and (others.was_lost or state.resumed is None):
        state.plan = replace(state.plan, notes=[*state.plan.notes, others.note])


def _after_step(state: TakeState, placement: PlacedModel, step: DenoisingStep) -> None:
    """Have the step finished; at once where other kernels may be taken up after it."""
    assert state.late is not None and state.watch is not None
    state.watch.made(step.done)
    # What the last step leaves are the finished latents, which are kept themselves.
    state.late.take(step.copy(with_checkpoint=step.done < state.steps), at_once=not placement.kernels_are_chosen)


def _finish_step(job: TakeJob, state: TakeState, memory: JobMemory, placement: PlacedModel, step: StepCopy) -> None:
    """Keep the step, show what the take looks like after it, and report it; then do what was put off until then."""
    checkpoint = step.checkpoint
    if checkpoint is not None:
        if checkpoint.broken:  # of the copy, which is on the CPU already
            raise Refusal(numbers_ran_over(job.params, job.model, state.component, step.done, state.steps))
        job.steps.keep(checkpoint)
    watch, number, now = state.watch, state.plan.steps - state.steps + step.done - 1, time.monotonic()
    assert watch is not None
    passes, waited = passes_in(state.plan, number, watch.cards_of(step.done)), watch.waited_in(step.done)
    if state.pace.note(now, job.model.device, passes, waited) and not state.spilled:
        state.spilled = True
        memory.learn_of_spilling()
    if placement.kernels_are_chosen:
        watch.took(step.done, number, state.pace.last_seconds)
    job.preview.show(step.clean)
    job.progress.preview = job.preview.path
    state.done = step.done
    slow = Sentence(" ({note})", note=SHORT_SENTENCE) if state.spilled else ""
    job.progress.advance(
        step.done, state.steps, Sentence("Step {done} of {steps}{slow}", done=step.done, steps=state.steps, slow=slow)
    )
    if placement.take_up_kernels(state.pace.last_seconds, state.steps - step.done):
        state.kernels = f"torch for {step.done} of {state.steps} steps, then "
        watch.begin(step.done, other_kernels=True)
        state.pace.begin(time.monotonic())


def _decode(
    job: TakeJob,
    state: TakeState,
    placement: PlacedModel,
    latents: torch.Tensor,
    kept: dict[int, np.ndarray],
    handles: dict[int, np.ndarray],
    folder: Path,
) -> None:
    """Decode the latents, and write the take's media into `folder`; `kept` and `handles` are given (Canvas)."""

    def advance(done: int, total: int, sentence: Sentence) -> None:
        check(job.should_stop)
        job.progress.written(done, total, sentence)

    state.component = "vae"
    try:
        with _decoded(job, state, placement, latents) as pictures:
            made = _after_latents(job, pictures)
            state.jumps = job.write(made, kept, handles, job.request, state.plan, folder, advance)
    except NoPictures as error:
        tiny = state.plan.decoder is Decoder.TINY
        raise Refusal(decoded_no_pictures(job.params, job.model, tiny)) from error


def _after_latents(job: TakeJob, pictures: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """The pictures; the first waits until the finished latents are on the disk, which are written meanwhile.

    A worker that dies while it decodes must not have to make the steps again.
    """
    for number, some in enumerate(pictures):
        if number == 0:
            job.steps.flush(FINISHED_SECONDS)
        yield some


@contextmanager
def _decoded(
    job: TakeJob, state: TakeState, placement: PlacedModel, latents: torch.Tensor
) -> Iterator[Iterator[np.ndarray]]:
    """uint8 pictures (N, H, W, 3), some at a time: by the model's autoencoder, or by the tiny one that was planned."""
    tiny = _tiny_decoder(job, state, placement, latents.shape[1]) if state.plan.decoder is Decoder.TINY else None
    if tiny is not None:
        _on_ready(job, state, "vae")
        yield tiny_decoder.decode(tiny, latents, job.should_stop)
        return
    with placement.use("vae") as vae:
        yield decode(vae, latents, job.should_stop, partial(_on_tile, job))


def _on_tile(job: TakeJob, reached: tiles.Reached) -> None:
    sentence = Sentence("Making the pictures, tile {tile} of {tiles}", tile=reached.tile, tiles=reached.tiles)
    job.progress.tiled(reached.done, reached.total, sentence)


def _tiny_decoder(
    job: TakeJob, state: TakeState, placement: PlacedModel, channels: int
) -> tiny_decoder.TinyDecoder | None:
    """The tiny autoencoder; None if it can't be loaded and the model's own fits, which is planned then."""
    file, model = job.params.tiny_decoder, job.model
    job.on_read(file)
    try:
        return tiny_decoder.load(Path(file), channels, model.device, model.precision.vae)
    except Refusal:
        if not placement.plan.decode_fits:
            raise
    finally:
        job.on_read("")
    # The take is nearly made: it must not be lost for want of the quicker way.
    state.plan = replace(state.plan, decoder=Decoder.WHOLE, notes=[*state.plan.notes, TINY_UNUSABLE_NOTE])
    return None


def _result(job: TakeJob, state: TakeState, memory: JobMemory, folder: Path) -> RunResult:
    """What the server is answered; `folder` is where the take will be."""
    request, plan = job.request, state.plan
    take = take_record.take_of(request, plan, folder, state.jumps.get(Role.BEFORE), state.jumps.get(Role.AFTER))
    added = [note for note in plan.notes if note not in job.params.plan.notes]
    seconds, steady = PhaseSeconds(0.0, **state.seconds), _steady(job, state)
    return RunResult(take, seconds, [*memory.notes, *added], steady=steady)


def _settings(job: TakeJob, state: TakeState, result: RunResult, marks: Marks) -> dict[str, Any]:
    """The content of take.json: all that is needed to make the take again, and how it was made."""
    device = job.model.device
    computed = {
        "kernels": state.kernels,
        "other_cards_forwards": state.shared,
        "peak_bytes": devices.peak_bytes(device),
    }
    return take_record.settings_of(job.params, state.plan, result, marks, device, **computed)
