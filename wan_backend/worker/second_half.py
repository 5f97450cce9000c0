"""Computes the negative prompt's half of guidance as a worker asks for it: what the second card's process does.

It holds its own copy of the transformer, with the job's LoRAs on it, placed by what its own card has room for.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import diffusers
import torch
import transformers
from safetensors import torch as safetensors

from ..loading import devices
from ..loading.residency import PlacedModel
from ..loading.wan_model import WanModel
from ..pipelines import transfers
from ..pipelines.stopping import Stopped, check, checked
from ..protocol.conversion import from_json
from ..protocol.errors import ProtocolError
from ..protocol.media import KERNELS_FILE
from ..protocol.messages import RunParams
from .idle_memory import IdleMemory
from .job_memory import JobMemory
from .payload_frames import Message, packed
from .warm_model import model_for

if TYPE_CHECKING:
    from .second_card_process import Inbox

log = logging.getLogger(__name__)

ModelOf = Callable[[RunParams, WanModel | None], WanModel]
"""Gives a job's model, by the model of the job before."""
LOOK_SECONDS = 5.0
"""How often it looks, while it has nothing to do, whether other programs need the memory that its model has."""
MAX_WORDS = 500


class SecondHalf:
    """Does what the messages say, one after another."""

    def __init__(self, inbox: Inbox, say: Callable[[bytes], None], model_of: ModelOf = model_for) -> None:
        """`say` writes a message to the worker."""
        diffusers.utils.logging.disable_progress_bar()
        transformers.logging.disable_progress_bar()
        self._inbox, self._say, self._model_of = inbox, say, model_of
        self._model: WanModel | None = None
        self._placement: PlacedModel | None = None
        self._transformer: Any = None
        self._in_use = ExitStack()
        self._known: dict[str, torch.Tensor] = {}
        """The inputs that don't change from step to step, by their window and name."""
        self._idle = IdleMemory()

    def go_on(self) -> None:
        """Take messages until the process leaves."""
        while True:
            came = self._inbox.next(LOOK_SECONDS)
            if came is not None:
                self._idle.worked()
                self.handle(*came)
            elif self._model is not None and self._transformer is None:
                self._idle.look(self._model)

    def handle(self, message: Message, payload: bytes = b"") -> None:
        """Do what one message says; what goes wrong is told."""
        try:
            self._do(message, payload)
            return
        except Stopped:
            self._leave()
            return
        except Exception as error:
            expected = isinstance(error, ProtocolError)
            log.error("%s failed: %s", message.get("do"), error, exc_info=None if expected else error)
            words, is_short = f"{type(error).__name__}: {error}"[:MAX_WORDS], devices.is_out_of_memory(error)
        # Only here is the error gone, and with its traceback the tensors.
        self._leave()
        self._placement = None
        if is_short:
            self._drop()
        self._say(packed({"said": "failed", "number": message.get("number"), "words": words}))

    def _do(self, message: Message, payload: bytes) -> None:
        match message.get("do"):
            case "prepare":
                self._prepare(message)
            case "warm":
                self._turn(message)
                self._leave()
            case "turn":
                self._turn(message)
            case "forward":
                self._forward(message, payload)
            case "rest":
                self._leave()
            case "drop":
                self._drop()

    def _prepare(self, message: Message) -> None:
        """Get ready for a job; raises RuntimeError where it can't be done as the worker does it."""
        self._leave()
        params = from_json(RunParams, message["job"])
        before, self._placement, self._model = self._model, None, None
        model = self._model_of(params, before)
        del before
        self._model = model
        if model.device.type != message["device"]:  # torch goes on with the processor, which would take hours
            raise RuntimeError("torch finds no such card")
        memory = JobMemory(model, params).plan
        if memory.eight_bit is not message["eight_bit"]:
            raise RuntimeError("the two cards have room for the transformer in different precisions")
        findings = Path(params.state_folder, KERNELS_FILE) if params.state_folder else None
        self._placement = PlacedModel(
            *(model, memory, self._check, self._check, params.plan.loras),
            kernel_findings=findings,
            begin_at_once=True,
        )

    def _check(self, _component: str) -> None:
        check(self._inbox.should_stop)

    def _turn(self, message: Message) -> None:
        """Have a transformer where it is to run, until somebody else's turn."""
        self._leave()
        if self._placement is None:
            return
        with ExitStack() as stack:
            transformer = stack.enter_context(self._placement.use(message["component"]))
            blocks = [*transformer.blocks, *getattr(transformer, "vace_blocks", [])]
            stack.enter_context(checked(blocks, self._inbox.should_stop))
            self._transformer, self._in_use = transformer, stack.pop_all()
        self._say(packed({"said": "ready", "number": message["number"]}))

    @torch.no_grad()
    def _forward(self, message: Message, payload: bytes) -> None:
        if self._transformer is None or self._placement is None:
            return  # the worker knows: it was told that something failed
        check(self._inbox.should_stop)
        began = time.monotonic()
        made = self._transformer(**self._inputs(message, payload), return_dict=False)[0]
        prediction, event = transfers.copied(made), transfers.record(made.device)
        if event is not None:
            event.synchronize()
        answer = {"said": "made", "number": message["number"]}
        self._say(packed(answer, safetensors.save({"prediction": prediction})))
        self._placement.take_up_kernels(time.monotonic() - began, message["steps_left"])

    def _inputs(self, message: Message, payload: bytes) -> dict[str, torch.Tensor]:
        """The transformer's inputs: those that came, and those that are known from before."""
        assert self._model is not None
        inputs = {name: tensor.to(self._model.device) for name, tensor in safetensors.load(payload).items()}
        for name in message["keep"]:
            self._known[f"{message['window']} {name}"] = inputs[name]
        return inputs | {name: self._known[f"{message['window']} {name}"] for name in message["kept"]}

    def _leave(self) -> None:
        """Let go of the transformer; it stays where the memory plan has it between jobs."""
        self._transformer = None
        self._known.clear()
        in_use, self._in_use = self._in_use, ExitStack()
        in_use.close()

    def _drop(self) -> None:
        self._leave()
        if self._model is not None:
            self._model.drop_all()
            devices.release(self._model.device)
