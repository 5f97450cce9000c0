"""A take that several processes make is the take of one, whatever becomes of them: to the bit where each has a half of
guidance, and but for rounding where they have shares of the tokens."""

from __future__ import annotations

import dataclasses
import gc
import io
import json
import os
import signal
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch

from tests.wan_backend.lora import written_loras
from tests.wan_backend.worker import noted_exchanges
from tests.wan_backend.worker.executors import asked, silent_executor
from tests.wan_backend.worker.footage import source
from tests.wan_backend.worker.test_fast_matrices import PRODUCTS
from tests.wan_backend.worker.worker_process import Worker, pictures
from wan_backend.catalogue.transformer_shapes import shapes
from wan_backend.library.component_files import ComponentFiles
from wan_backend.loading import devices, matrix_products
from wan_backend.loading.wan_model import WanModel
from wan_backend.loading.weight_shares import Share, SharedBlocks, shared_blocks_of
from wan_backend.lora.resolve import transformer_configs
from wan_backend.memory.residency_plan import MemoryPlan, Residency
from wan_backend.pipelines.conditions import Canvas
from wan_backend.pipelines.windows import plan_windows
from wan_backend.planning.lengths import latent_frames
from wan_backend.protocol.conversion import to_json
from wan_backend.protocol.messages import (
    FrameRate,
    LoraUse,
    MatrixPrecision,
    Plan,
    ProgressParams,
    Role,
    RunParams,
    RunResult,
    TakeRequest,
    Task,
    Words,
)
from wan_backend.protocol.sentences import Sentence
from wan_backend.protocol.workers import OTHER_CARDS_VARIABLE
from wan_backend.worker import other_card, other_cards, payload_frames
from wan_backend.worker.card_group import CardGroup
from wan_backend.worker.executor import Executor
from wan_backend.worker.job_memory import JobMemory
from wan_backend.worker.kept_steps import fingerprint
from wan_backend.worker.other_card import OtherCard
from wan_backend.worker.other_cards import OtherCards
from wan_backend.worker.other_process import Process
from wan_backend.worker.take_job import GOES_ON_ALONE
from wan_backend.worker.team import OTHER_WEIGHTS, Team

pytestmark = pytest.mark.ci

RATE = FrameRate(16)
STEPS = 4
SECONDS = 120.0
"""Until a test gives up."""
TAKES = 30
"""Until they give up that two processes take part, for which nobody waits."""
NEVER_READY = "import sys\nsys.stdin.read()"


LATE = """
import sys
sys.stdin.buffer.readline()
print('{"said": "failed", "number": 4, "words": "it is late", "payload_bytes": 0}')
print('{"said": "ready", "number": 7, "weights": "", "payload_bytes": 0}', flush=True)
sys.stdin.read()
"""


class Awaited(OtherCards):
    """Each step waits until the process takes part; and something may be done to that after so many steps."""

    harm: Callable[[int], None] | None = None
    after = 0
    seen = seen_here = 0
    """How many forward passes of the next process, and of this one, were compared."""

    def ask(self, window, inputs):
        self._await()
        return super().ask(window, inputs)

    def _computed_together(self, *what):
        self._await()
        return super()._computed_together(*what)

    def _await(self) -> None:
        if not self.was_lost:
            self.wait_until_ready(SECONDS)
        if self.harm is not None and self.forwards_made == self.after:
            self.harm(self.processes[-1].pid)  # before it is asked: else it may have answered by then
            self.harm = None


def look_away(folder: Path, others: Awaited) -> None:
    """What was exchanged until now is of no interest."""
    others.seen = len(noted_exchanges.orders(folder, others.processes[0].pid)) if others.processes else 0
    others.seen_here = len(noted_exchanges.orders(folder, os.getpid()))


def assert_one_order(folder: Path, others: Awaited) -> list[noted_exchanges.Order]:
    """The worker and the next process have exchanged the same in the same order since the last look; that.

    Of tokens they may have shares of different sizes.
    """
    second = noted_exchanges.orders(folder, others.processes[0].pid)[others.seen :]
    own = noted_exchanges.orders(folder, os.getpid())[others.seen_here :]
    look_away(folder, others)
    assert second and _without_shares(second) == _without_shares(own)
    return second


def _without_shares(orders: list[noted_exchanges.Order]) -> list[list[str]]:
    return [[what if what == "tokens" else f"{size} of {what}" for what, size in order] for order in orders]


def processor(others: int = 1, patience_seconds: float = SECONDS, **how) -> Awaited:
    """With patience for a busy machine, unless a test is about that."""
    return Awaited([dict(os.environ)] * others, patience_seconds=patience_seconds, **how)


@pytest.fixture(scope="module")
def exchanges(tmp_path_factory) -> Iterator[Path]:
    """The folder in which processes note what they exchange."""
    folder = tmp_path_factory.mktemp("exchanges")
    noted_exchanges.begin(folder)
    yield folder
    noted_exchanges.end()


@pytest.fixture(scope="module")
def shared(exchanges: Path) -> Iterator[Awaited]:
    """Processes for all tests that end none; a model is exchanged for the next."""
    environment = {**os.environ, noted_exchanges.FOLDER_VARIABLE: str(exchanges)}
    made = Awaited([environment] * 3, noted_exchanges.COMMAND, SECONDS)
    yield made
    made.close()


@pytest.fixture
def second():
    """second(...) is a new one, ended with the test."""
    started: list[Awaited] = []

    def start(**how) -> Awaited:
        started.append(processor(**how))
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.fixture
def params(tmp_path: Path):
    """Makes RunParams of five frames, 64 x 64, on two cards with guidance."""

    def make(folder: Path, name: str = "two", plan=None, **request) -> RunParams:
        media = tmp_path / name
        made = TakeRequest("fog", "any", 64, 64, 5, RATE, 5, str(media), negative_prompt="blurry", **request)
        frames = (plan or {}).pop("frames", 5)
        settings = {"steps": STEPS, "guidance_scale": 3.0, "cards": 2, **(plan or {})}
        settled = Plan("any", 64, 64, frames, RATE, 5, flow_shift=3.0, sampler="unipc", **settings)
        return RunParams("a" * 32, made, settled, str(folder), "cpu", state_folder=str(tmp_path / "state"))

    return make


def alone(params: RunParams) -> np.ndarray:
    """The pictures that one process makes."""
    request = dataclasses.replace(params.request, media_folder=params.request.media_folder + " alone")
    plan = dataclasses.replace(params.plan, cards=1, cards_per_forward=1)
    return pictures(made(silent_executor().run(asked(dataclasses.replace(params, request=request, plan=plan)))))


def made(result: object) -> str:
    """The folder of the take."""
    assert isinstance(result, RunResult), result
    return result.take.folder


def on_two(params: RunParams, others: OtherCards) -> tuple[np.ndarray, int, list[str]]:
    """The pictures that several processes make, how many forward passes were not the first one's, and the notes."""
    return take_of(Executor(lambda _: None, others=others), params)


def take_of(executor: Executor, params: RunParams) -> tuple[np.ndarray, int, list[str]]:
    """As `on_two` has it."""
    folder = Path(made(executor.run(asked(params))))
    settings = json.loads((folder / "take.json").read_text())
    return pictures(str(folder)), settings["backend"]["other_cards_forwards"], settings["notes"]


def test_a_take_with_control_is_the_same_to_the_bit(shared, vace_folder, params, tmp_path):
    kept = {"sources": [source(tmp_path, Role.BEFORE, range(3))], "task": Task.EXTEND}
    job = params(vace_folder, plan={"frames": 9, "kept_before": 3}, **kept)
    both, forwards, notes = on_two(job, shared)
    assert np.array_equal(both, alone(job)) and forwards == STEPS and not notes
    assert both.std() > 5


def test_its_transformer_has_the_jobs_loras_on(shared, t2v_folder, params, tmp_path):
    extents = shapes(transformer_configs(ComponentFiles(t2v_folder))["transformer"])
    use = LoraUse(str(written_loras.written(tmp_path / "a.safetensors", extents)))
    job = params(t2v_folder, plan={"loras": [use]})
    both, forwards, _ = on_two(job, shared)
    plain = dataclasses.replace(job, plan=dataclasses.replace(job.plan, loras=[]))
    assert np.array_equal(both, alone(job)) and forwards == STEPS
    assert not np.array_equal(both, on_two(plain, shared)[0])


def test_a_long_take_asks_for_each_of_its_windows(shared, vace_folder, params):
    job = params(vace_folder, plan={"frames": 21, "window_frames": 13})
    both, forwards, _ = on_two(job, shared)
    windows = len(plan_windows(latent_frames(21), latent_frames(13)))
    assert np.array_equal(both, alone(job)) and windows > 1 and forwards == windows * STEPS


def test_each_of_two_experts_has_its_turn(shared, text_experts_folder, params):
    job = params(text_experts_folder, plan={"low_noise_guidance_scale": 2.0})
    both, forwards, _ = on_two(job, shared)
    assert np.array_equal(both, alone(job)) and forwards == STEPS


def test_a_take_from_a_picture(shared, pictures_folder, first_latent_folder, params, tmp_path):
    for folder in (pictures_folder, first_latent_folder):
        picture = {"sources": [source(tmp_path, Role.FIRST, range(1))], "task": Task.IMAGE_TO_VIDEO}
        job = params(folder, name=folder.name, plan={"kept_before": 1}, **picture)
        both, forwards, _ = on_two(job, shared)
        assert np.array_equal(both, alone(job)) and forwards == STEPS


def test_a_card_that_dies_or_hangs_costs_nothing_but_time(second, vace_folder, params):
    harmed = second()

    def stop(pid: int) -> None:
        nonlocal ended
        ended = harmed.processes[0]
        os.kill(pid, signal.SIGSTOP)
        harmed.patience_seconds = 0.5

    ended: Process | None = None

    harmed.harm, harmed.after = lambda pid: os.kill(pid, signal.SIGKILL), 2
    job = params(vace_folder)
    both, forwards, notes = on_two(job, harmed)
    assert np.array_equal(both, alone(job)) and forwards == 2 and notes == [other_cards.LOST]
    # the next job has another process there
    harmed.harm, harmed.after = stop, 1
    again, forwards, notes = on_two(params(vace_folder, "again"), harmed)
    assert np.array_equal(both, again) and forwards == 1 and notes == [other_cards.LOST]
    assert ended.wait(SECONDS) == -signal.SIGKILL


TOGETHER = {"cards": 3, "cards_per_forward": 3}


def assert_alike(both: np.ndarray, one: np.ndarray) -> None:
    """But for rounding, which guidance and loud weights enlarge."""
    away = np.abs(both.astype(np.int16) - one)
    assert both.std() > 5 and int(away.max()) <= 2 and float(away.mean()) < 0.1


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_three_with_shares_of_the_tokens_make_the_take_of_one(shared, vace_folder, params, tmp_path, scale):
    """Two heads and 32 or 48 tokens for three: nothing divides."""
    kept = {"sources": [source(tmp_path, Role.BEFORE, range(3))], "task": Task.EXTEND}
    job = params(vace_folder, plan={**TOGETHER, "frames": 9, "kept_before": 3, "guidance_scale": scale}, **kept)
    both, forwards, notes = on_two(job, shared)
    assert_alike(both, alone(job))
    assert forwards == STEPS * (2 if scale > 1 else 1) and not notes


def test_a_group_that_has_a_share_of_the_words_over_time(shared, t2v_folder, params):
    words = [Words(0, 1, "red"), Words(2, 4, "green")]
    job = params(t2v_folder, plan={"cards": 2, "cards_per_forward": 2, "guidance_scale": 1.0, "words": words})
    both, forwards, _ = on_two(job, shared)
    assert_alike(both, alone(job))
    assert forwards == STEPS


def test_each_of_two_experts_is_shared_and_the_5b(shared, text_experts_folder, first_latent_folder, params, tmp_path):
    job = params(text_experts_folder, plan={**TOGETHER, "low_noise_guidance_scale": 1.0})
    both, forwards, _ = on_two(job, shared)
    assert_alike(both, alone(job))
    assert forwards > STEPS
    picture = {"sources": [source(tmp_path, Role.FIRST, range(1))], "task": Task.IMAGE_TO_VIDEO}
    job = params(first_latent_folder, name="latent", plan={**TOGETHER, "kept_before": 1}, **picture)
    both, forwards, _ = on_two(job, shared)
    assert_alike(both, alone(job))
    assert forwards == 2 * STEPS


def test_four_make_both_halves_of_guidance_in_shares(shared, vace_folder, params):
    job = params(vace_folder, plan={"cards": 4, "cards_per_forward": 2})
    both, forwards, notes = on_two(job, shared)
    assert_alike(both, alone(job))
    assert forwards == 2 * STEPS and not notes


def test_a_group_that_loses_one_goes_on_alone_and_is_there_for_the_next_take(second, vace_folder, params):
    harmed = second(others=2)
    harmed.harm, harmed.after = lambda pid: os.kill(pid, signal.SIGKILL), 2
    plan = {**TOGETHER, "guidance_scale": 1.0}
    job = params(vace_folder, plan=plan)
    both, forwards, notes = on_two(job, harmed)
    one = alone(job)
    assert_alike(both, one)
    assert forwards == 2 and notes == [other_cards.LOST]
    assert not harmed.processes[0].is_gone, "the one that lives is the next take's"

    def stop(pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)
        harmed.patience_seconds = 0.5

    harmed.harm, harmed.after = stop, 1
    again, forwards, notes = on_two(params(vace_folder, "again", plan=plan), harmed)
    assert_alike(again, one)
    assert forwards == 1 and notes == [other_cards.LOST]


FAST = """
import sys
from tests.wan_backend.worker.test_fast_matrices import PRODUCTS
from wan_backend.loading import devices, matrix_products
from wan_backend.worker import other_card_process
matrix_products._chosen = lambda *_: PRODUCTS[sys.argv[1]]
raise SystemExit(other_card_process.main())
"""


@pytest.mark.long
def test_fast_matrices_are_shared_by_cards_that_have_the_same_kernel(t2v_folder, params, monkeypatch):
    monkeypatch.setattr(matrix_products, "_chosen", lambda *_: PRODUCTS["int8"])
    fast = {"matrix_precision": MatrixPrecision.FAST_8_BIT, "guidance_scale": 1.0}
    for plan in ({"cards": 2, "cards_per_forward": 2}, WEIGHTS):
        others = Awaited([dict(os.environ)], [sys.executable, "-c", FAST, "int8"], SECONDS)
        job = params(t2v_folder, f"fast {len(plan)}", plan={**plan, **fast})
        both, forwards, notes = on_two(job, others)
        others.close()
        assert_alike(both, alone(job))
        assert forwards == STEPS and not notes
    exact = dataclasses.replace(job, plan=dataclasses.replace(job.plan, matrix_precision=MatrixPrecision.EXACT))
    assert not np.array_equal(both, alone(exact))
    unlike = OtherCards([dict(os.environ)], [sys.executable, "-c", FAST, "another"])
    made_alone, forwards, notes = on_two(params(t2v_folder, "unlike", plan={**WEIGHTS, **fast}), unlike)
    unlike.close()
    assert np.array_equal(made_alone, alone(job)) and forwards == 0
    assert len(notes) == 1 and "different kernels" in notes[0]


TWO = {"cards": 2, "cards_per_forward": 2}
WEIGHTS = {**TWO, "shared_weights": True}


def shares_here(executor: Executor) -> SharedBlocks | None:
    """What the worker keeps of the transformer, if it is a share."""
    model = executor._warm.model
    return shared_blocks_of(model.transformer) if model.loaded("transformer") else None


def test_two_with_shares_of_the_weights_make_the_take_of_one(shared, exchanges, vace_folder, params, tmp_path):
    kept = {"sources": [source(tmp_path, Role.BEFORE, range(3))], "task": Task.EXTEND}
    job = params(vace_folder, plan={**WEIGHTS, "frames": 9, "kept_before": 3}, **kept)
    executor = Executor(lambda _: None, others=shared)
    look_away(exchanges, shared)
    both, forwards, notes = take_of(executor, job)
    assert_alike(both, alone(job))
    assert forwards == 2 * STEPS and not notes
    assert shares_here(executor).share == Share(0, 2)
    orders = assert_one_order(exchanges, shared)
    assert {what for order in orders for what, _ in order} == {"tokens", "weights"}
    again = dataclasses.replace(job, request=dataclasses.replace(job.request, seed=6))
    assert not np.array_equal(take_of(executor, again)[0], both), "the shares that are there make another take"
    assert assert_one_order(exchanges, shared) == orders


@pytest.mark.long
def test_one_that_loses_the_others_shares_goes_on_alone_from_the_last_step(second, vace_folder, params):
    harmed = second()
    harmed.harm, harmed.after = lambda pid: os.kill(pid, signal.SIGKILL), 2
    job = params(vace_folder, plan={**WEIGHTS, "guidance_scale": 1.0})
    reports: list[ProgressParams] = []
    executor = Executor(reports.append, others=harmed)
    both, forwards, notes = take_of(executor, job)
    assert_alike(both, alone(job))
    assert forwards == 2 and notes == [other_cards.LOST] and shares_here(executor) is None
    assert GOES_ON_ALONE in [each.sentence for each in reports]
    assert Sentence("Resuming at step {step} of {steps}", step=3, steps=STEPS) in [each.sentence for each in reports]


def test_one_whose_others_cannot_start_makes_the_take_alone(t2v_folder, params, tmp_path):
    none = OtherCards([dict(os.environ)], [str(tmp_path / "nothing")])
    job = params(t2v_folder, plan={**WEIGHTS, "guidance_scale": 1.0})
    executor = Executor(lambda _: None, others=none)
    both, forwards, notes = take_of(executor, job)
    assert np.array_equal(both, alone(job)) and forwards == 0 and shares_here(executor) is None
    assert notes == [other_cards.NO_USE.with_values(reason=other_cards.NO_PROCESS)]


@pytest.mark.long
def test_whoever_loses_the_others_shares_or_waits_in_vain_goes_on_alone(second, t2v_folder, params, monkeypatch):
    """They hang, or they never come: both times the take is that of one card."""
    job = params(t2v_folder, plan={**WEIGHTS, "guidance_scale": 1.0})
    one = alone(job)
    hanging = second()
    hanging.patience_seconds = 0.5
    hanging.harm, hanging.after = lambda pid: os.kill(pid, signal.SIGSTOP), 1
    both, forwards, notes = on_two(job, hanging)
    assert_alike(both, one)
    assert forwards == 1 and notes == [other_cards.LOST]
    monkeypatch.setattr(other_cards, "LONGEST_LOADING_SECONDS", 0.5)
    late = OtherCards([dict(os.environ)], [sys.executable, "-c", NEVER_READY])
    both, forwards, notes = on_two(params(t2v_folder, "late", plan={**WEIGHTS, "guidance_scale": 1.0}), late)
    late.close()
    assert_alike(both, one)
    assert forwards == 0 and notes == [other_cards.NEVER_READY]


@pytest.mark.long
def test_shares_have_the_loras_of_the_job_and_other_jobs_have_none(shared, exchanges, t2v_folder, params, tmp_path):
    extents = shapes(transformer_configs(ComponentFiles(t2v_folder))["transformer"])
    file = str(written_loras.written(tmp_path / "a.safetensors", extents))
    executor = Executor(lambda _: None, others=shared)
    look_away(exchanges, shared)
    pictures_of = {}
    for name, uses in (("bare", []), ("on", [LoraUse(file)]), ("half", [LoraUse(file, 0.5)]), ("off", [])):
        job = params(t2v_folder, name, plan={**WEIGHTS, "guidance_scale": 1.0, "loras": uses})
        both, forwards, notes = take_of(executor, job)
        assert_alike(both, alone(job))
        assert forwards == STEPS and not notes
        pictures_of[name] = both
        assert len(assert_one_order(exchanges, shared)) >= STEPS
    assert np.array_equal(pictures_of["bare"], pictures_of["off"])
    assert not np.array_equal(pictures_of["on"], pictures_of["half"])


@pytest.mark.long
def test_after_a_cancel_in_the_middle_of_a_forward_the_next_take_has_one_order_again(
    exchanges, t2v_folder, params, monkeypatch
):
    environment = {**os.environ, noted_exchanges.FOLDER_VARIABLE: str(exchanges)}
    others = Awaited([environment], noted_exchanges.COMMAND, SECONDS)
    look_away(exchanges, others)
    executor = Executor(lambda _: None, others=others)
    job = params(t2v_folder, plan={**WEIGHTS, "guidance_scale": 1.0})
    first, forwards, _ = take_of(executor, job)
    assert forwards == STEPS and len(assert_one_order(exchanges, others)) == STEPS
    wanted, gather = asked(params(t2v_folder, "canceled", plan={**WEIGHTS, "guidance_scale": 1.0})), CardGroup.gather

    def cancel(group: CardGroup, *how: torch.Tensor) -> None:
        gather(group, *how)
        if len(group.ledger.order) > 5:
            wanted.ended.set()

    monkeypatch.setattr(CardGroup, "gather", cancel)
    assert not isinstance(executor.run(wanted), RunResult)
    monkeypatch.setattr(CardGroup, "gather", gather)
    look_away(exchanges, others)
    again, forwards, notes = take_of(executor, params(t2v_folder, "again", plan={**WEIGHTS, "guidance_scale": 1.0}))
    assert np.array_equal(first, again) and forwards == STEPS and not notes
    assert len(assert_one_order(exchanges, others)) == STEPS
    others.close()


def test_a_card_that_has_other_weights_in_place_takes_no_part(shared, t2v_folder, params, monkeypatch):
    monkeypatch.setattr(other_cards, "weights_mark", lambda *_: "others")
    for name, plan in (("tokens", TWO), ("weights", WEIGHTS)):
        job = params(t2v_folder, name, plan={**plan, "guidance_scale": 1.0})
        both, forwards, notes = on_two(job, shared)
        assert np.array_equal(both, alone(job)) and forwards == 0
        assert notes == [other_cards.NO_USE.with_values(reason=OTHER_WEIGHTS)]


def test_the_worker_keeps_no_model_for_its_other_cards(vace_folder, params):
    others, model = OtherCards([]), WanModel(vace_folder, torch.device("cpu"))
    plan = MemoryPlan(Residency.RESIDENT, Residency.RESIDENT, Residency.RESIDENT, 0)
    others.prepare(params(vace_folder), model, plan)
    assert others._weights_of("transformer")
    kept = weakref.ref(model)
    del model
    gc.collect()
    assert kept() is None and others._weights_of("transformer") == ""


def test_another_cards_model_goes_before_there_has_to_be_room_for_the_next_one(
    vace_folder, t2v_folder, params, monkeypatch
):
    card, kept = OtherCard(SimpleNamespace(should_stop=lambda: False), lambda _frame: None), []

    def planned(*what):
        gc.collect()
        kept.append([each() is not None for each in models])
        return JobMemory(*what)

    monkeypatch.setattr(other_card, "JobMemory", planned)
    models = []
    for folder in (vace_folder, t2v_folder):
        job = {"job": to_json(params(folder)), "device": "cpu", "eight_bit": False, "product": ""}
        card.handle({"do": "prepare", "number": 1, **job, "begin_at_once": True, "share": [0, 1]})
        models.append(weakref.ref(card._model))
    assert kept == [[], [False]]


@pytest.mark.long
def test_of_two_experts_each_is_shared_and_four_cards_share_both_halves(shared, text_experts_folder, params):
    for name, plan in (("two", {}), ("four", {"cards": 4})):
        job = params(text_experts_folder, name, plan={**WEIGHTS, "low_noise_guidance_scale": 2.0, **plan})
        both, forwards, notes = on_two(job, shared)
        assert_alike(both, alone(job))
        assert forwards == 2 * STEPS and not notes
    whole = params(text_experts_folder, "whole", plan={"cards": 2, "low_noise_guidance_scale": 2.0})
    assert np.array_equal(on_two(whole, shared)[0], alone(whole)), "whoever had shares has all of it again"


def test_steps_may_go_on_with_one_card_or_shared_in_another_way(vace_folder, params):
    job, model = params(vace_folder), WanModel(vace_folder, torch.device("cpu"))
    for way in ({"cards": 1}, {"cards_per_forward": 2}, {"cards_per_forward": 2, "shared_weights": True}):
        other = dataclasses.replace(job, plan=dataclasses.replace(job.plan, **way))
        assert fingerprint(job, Canvas(), model) == fingerprint(other, Canvas(), model)


def test_nobody_waits_for_a_card_that_is_not_ready(vace_folder, params):
    late = OtherCards([dict(os.environ)], [sys.executable, "-c", NEVER_READY])
    job = params(vace_folder)
    both, forwards, notes = on_two(job, late)
    late.close()
    assert np.array_equal(both, alone(job)) and forwards == 0 and notes == [other_cards.NEVER_READY]


@pytest.mark.parametrize("way", [{}, {"cards_per_forward": 2}])
def test_how_quick_steps_were_is_told_of_those_that_all_cards_made(shared, vace_folder, params, way):
    executor = Executor(lambda _: None, others=shared)
    result = executor.run(asked(params(vace_folder, plan=dict(way))))
    steady, passes = result.steady, STEPS * (2 if way else 1)
    assert steady.controlled and steady.denoise_seconds == pytest.approx(passes * steady.pass_seconds)
    assert executor._warm.pace.denoise is not None
    known, executor._warm.pace.denoise = executor._warm.pace.denoise, None
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(devices, "name", lambda _device: "a card of another type")
        assert executor.run(asked(params(vace_folder, "other", plan=dict(way)))).steady is None
    assert known and executor._warm.pace.denoise is None


def test_what_waiting_for_a_late_card_took_is_told_beside_the_steps():
    class Late:
        looks = iter([False, False, True])
        is_lost, asked = False, 0

        @property
        def is_ready(self) -> bool:
            return next(self.looks)

    others = OtherCards([])
    assert others._waited_for(Late()) and others.waited_seconds > 0


def test_a_take_whose_other_card_never_came_says_nothing_of_how_quick_several_are(vace_folder, params):
    late = OtherCards([dict(os.environ)], [sys.executable, "-c", NEVER_READY])
    executor = Executor(lambda _: None, others=late)
    result = executor.run(asked(params(vace_folder)))
    late.close()
    assert result.steady is None and executor._warm.pace.denoise is None and late.forwards_missed == STEPS


def test_why_a_card_takes_no_part_is_said(shared, vace_folder, params, monkeypatch):
    prepare = Team.prepare
    monkeypatch.setattr(Team, "prepare", lambda *to, **job: prepare(*to, **{**job, "device": "cuda"}))
    _, forwards, notes = on_two(params(vace_folder), shared)
    assert forwards == 0 and len(notes) == 1 and "torch finds no such card" in notes[0]


def test_what_comes_late_of_the_job_before_says_nothing_of_this_one():
    process = Process([sys.executable, "-c", LATE], dict(os.environ))
    process.begin_job(5)
    process.tell(payload_frames.packed({"do": "turn", "number": 7}))
    assert process.wait_until_ready(7, SECONDS) and not process.failed
    process.close(SECONDS)
    assert process.is_gone and process.wait_for(7, SECONDS) is None


def test_a_process_that_cannot_start_is_tried_a_few_times_only(vace_folder, params, tmp_path):
    none = OtherCards([dict(os.environ)], [str(tmp_path / "nothing")])
    for _ in range(5):
        none.start()
    assert not none.processes and none._places[0].deaths == other_cards.MAX_DEATHS
    _, forwards, notes = on_two(params(vace_folder), none)
    assert forwards == 0 and notes == [other_cards.NO_USE.with_values(reason=other_cards.NO_PROCESS)]


@pytest.fixture
def pair(monkeypatch, tmp_path: Path):
    """A real worker with a second half on the processor, and that half's process."""
    monkeypatch.setenv(OTHER_CARDS_VARIABLE, "cpu")
    worker = Worker(tmp_path / "worker.log")
    (half,) = psutil.Process(worker.process.pid).children()
    yield worker, half
    worker.process.kill()
    worker.process.wait()
    for pipe in (worker.process.stdin, worker.process.stdout):
        pipe.close()


@pytest.mark.long
def test_the_process_is_there_after_a_cancel_and_gone_with_a_killed_worker(pair, vace_folder, params):
    worker, other = pair
    together = {"cards": 2, "cards_per_forward": 2}
    for plan in ({}, together, WEIGHTS):
        job = params(vace_folder, plan={**plan, "steps": 400})
        number = worker.send("run", job)
        worker.wait_for("denoising", 100)
        worker.send("cancel", {"job_id": job.job_id})
        assert "error" in worker.answer(number)
        assert other.is_running(), "it is the next job's"
        short = params(vace_folder, f"after {len(plan)}", plan=dict(plan))
        assert_alike(pictures(worker.run(short).take.folder), alone(short))
    for take in range(TAKES):  # the group was broken in the middle of a forward: both join another
        folder = worker.run(params(vace_folder, f"again {take}", plan={**together, "steps": 100})).take.folder
        if json.loads(Path(folder, "take.json").read_text())["backend"]["other_cards_forwards"]:
            break
    else:
        pytest.fail("they don't compute together any more")
    worker.process.kill()
    assert other.wait(SECONDS) is not False and not other.is_running()


def test_a_message_and_its_payload_come_as_they_went():
    stream = io.BytesIO(payload_frames.packed({"do": "x"}, b"1\n2") + payload_frames.packed({"do": "y"}) + b"{}\n")
    assert payload_frames.read(stream) == ({"do": "x", "payload_bytes": 3}, b"1\n2")
    assert payload_frames.read(stream) == ({"do": "y", "payload_bytes": 0}, b"")
    with pytest.raises(payload_frames.NotAMessage):
        payload_frames.read(stream)
    assert payload_frames.read(stream) is None
    assert payload_frames.read(io.BytesIO(payload_frames.packed({}, b"12")[:-1])) is None, "it was cut off"
