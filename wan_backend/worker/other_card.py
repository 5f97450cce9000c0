"""Computes forward passes as a worker asks for them, alone or together with others: what another card's process does.

It holds its own copy of the transformer, with the job's LoRAs on it, placed by what its own card has room for.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import diffusers
import torch
import transformers
from safetensors import torch as safetensors

from ..loading import devices, matrix_products
from ..loading.camera_transformer import computed_once
from ..loading.matrix_products import EightBitProduct, MatrixWidth
from ..loading.residency import PlacedModel, weights_mark
from ..loading.wan_model import WanModel
from ..pipelines import transfers
from ..pipelines.stopping import Stopped, check, checked
from ..protocol.conversion import from_json
from ..protocol.errors import ProtocolError
from ..protocol.messages import RunParams
from .card_group import CardGroup, GroupBroken, Watch, finish
from .idle_memory import IdleMemory
from .job_memory import JobMemory
from .payload_frames import Message, packed
from .team import received, spans_of
from .warm_model import findings_of, model_for

if TYPE_CHECKING:
    from .other_card_process import Inbox

log = logging.getLogger(__name__)

ModelOf = Callable[[RunParams, WanModel | None], WanModel]
"""Gives a job's model, by the model of the job before."""
LOOK_SECONDS = 5.0
"""How often it looks, while it has nothing to do, whether other programs need the memory that its model has."""
MAX_WORDS = 500
SAY_SECONDS = 10.0
"""A forward pass that doesn't go on for so long is said in the log: sooner than the worker gives it up."""
PATIENCE_SECONDS = 1.0
"""Whoever waits so long for the others of its group, once nobody wants the forward pass any more, leaves the group."""


class OtherCard:
    """Does what the messages say, one after another."""

    def __init__(self, inbox: Inbox, say: Callable[[bytes], None], model_of: ModelOf = model_for) -> None:
        """`say` writes a message to the worker."""
        diffusers.utils.logging.disable_progress_bar()
        transformers.logging.disable_progress_bar()
        self._inbox, self._say, self._model_of = inbox, say, model_of
        self._model: WanModel | None = None
        self._placement: PlacedModel | None = None
        self._weights_of: Callable[[str], str] = str
        """The mark of the weights of a component in the job, for others to compare with theirs."""
        self._transformer: Any = None
        self._in_use = ExitStack()
        self._known: dict[str, torch.Tensor] = {}
        """The inputs that don't change from step to step, by what they are for and their name."""
        self._group: CardGroup | None = None
        self._group_name = ""
        self._shares = 0
        """The number of the forward pass that it computes together with others; 0 while it computes none."""
        inbox.on_end = self._leave_unless_done
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
            case "join":
                self._join(message)
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
        before, self._placement, self._model, self._weights_of = self._model, None, None, str
        model = self._model_of(params, before)
        del before
        self._model = model
        if model.device.type != message["device"]:  # torch goes on with the processor, which would take hours
            raise RuntimeError("torch finds no such card")
        findings = findings_of(params)
        # Before memory is planned, which goes by the weights as they are.
        model.matrix_product = _product(model, message["product"], findings)
        rank, shares = message["share"]
        memory = JobMemory(model, params, shares).plan
        if memory.shares != shares:
            raise RuntimeError("a card has no room for its share of the transformer")
        if memory.eight_bit is not message["eight_bit"]:
            raise RuntimeError("the cards have room for the transformer in different precisions")
        self._placement = PlacedModel(
            *(model, memory, self._check, self._check, params.plan.loras),
            kernel_findings=findings,
            begin_at_once=message["begin_at_once"],
            share_rank=rank,
        )
        self._weights_of = lambda component: weights_mark(model, component, params.plan.loras, shares)

    def _check(self, _component: str) -> None:
        check(self._inbox.should_stop)

    def _turn(self, message: Message) -> None:
        """Have a transformer where it is to run, until somebody else's turn."""
        self._leave()
        if self._placement is None or self._model is None:
            return
        with ExitStack() as stack:
            transformer = stack.enter_context(self._placement.use(message["component"]))
            blocks = [*transformer.blocks, *getattr(transformer, "vace_blocks", [])]
            stack.enter_context(checked(blocks, self._inbox.should_stop))
            stack.enter_context(computed_once(transformer))
            self._transformer, self._in_use = transformer, stack.pop_all()
        found = {"weights": self._weights_of(message["component"]), "card": devices.name(self._model.device)}
        self._say(packed({"said": "ready", "number": message["number"], **found}))

    @torch.no_grad()
    def _forward(self, message: Message, payload: bytes) -> None:
        if self._transformer is None or self._placement is None:
            return  # the worker knows: it was told that something failed
        began, inputs = time.monotonic(), self._inputs(message, payload)
        try:
            made = self._computed(message, inputs)
        except BaseException:
            if message["together"]:  # the others are elsewhere in the forward by now
                self._leave_group()
            raise
        if not message["together"] or (self._group is not None and self._group.rank == 0):
            prediction = transfers.copied(made)
            finish(made.device)
            answer = {"said": "made", "number": message["number"]}
            self._say(packed(answer, safetensors.save({"prediction": prediction})))
        self._placement.take_up_kernels(time.monotonic() - began, message["steps_left"])

    def _computed(self, message: Message, inputs: dict[str, Any]) -> torch.Tensor:
        """The prediction; nothing, or what no number can be trusted in, where another of the group has it."""
        check(self._inbox.should_stop)
        if not message["together"]:
            alone: torch.Tensor = self._transformer(**inputs, return_dict=False)[0]
            return alone
        group, self._shares = self._group, message["number"]
        try:
            if group is None:
                raise GroupBroken("there is no group any more")
            with Watch(group, lambda: SAY_SECONDS, lambda: False, lambda: None):
                inputs |= received(message["given"], group, inputs["encoder_hidden_states"].device)
                made: torch.Tensor = self._transformer(**inputs, return_dict=False, exchange=group)[0]
                finish(made.device)
            if group.is_broken:
                raise GroupBroken("the group was broken up")
        except GroupBroken:
            check(self._inbox.should_stop)
            raise
        finally:
            self._shares = 0
        return made

    def _join(self, message: Message) -> None:
        """Compute forward passes together with others from now on."""
        assert self._model is not None
        self._leave_group()
        place = message["store"], message["rank"], message["size"], self._model.device
        self._group, self._group_name = CardGroup(*place), message["group"]
        self._say(packed({"said": "joined", "number": message["number"], "group": self._group_name}))

    def _leave_group(self) -> None:
        """Compute alone, and have the worker know it."""
        if self._group is not None:
            self._group.break_up()
            self._say(packed({"said": "left", "number": 0, "group": self._group_name}))
        self._group = None

    def _leave_unless_done(self) -> None:
        """Nobody wants the forward pass that is being computed: if it isn't over soon, the others don't go on with it.

        From the thread that reads, which doesn't wait for that.
        """
        number, group = self._shares, self._group
        if not number or group is None:
            return

        def leave() -> None:
            if self._shares == number:
                group.break_up()

        timer = threading.Timer(PATIENCE_SECONDS, leave)
        timer.daemon = True
        timer.start()

    def _inputs(self, message: Message, payload: bytes) -> dict[str, Any]:
        """The transformer's inputs: those that came, and those that are known from before."""
        assert self._model is not None
        inputs = {name: tensor.to(self._model.device) for name, tensor in safetensors.load(payload).items()}
        for name in message["keep"]:
            self._known[f"{message['what_for']} {name}"] = inputs[name]
        inputs |= {name: self._known[f"{message['what_for']} {name}"] for name in message["kept"]}
        return {**inputs, "spans": spans_of(message["spans"])} if message["spans"] else inputs

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


def _product(model: WanModel, name: str, findings: Path | None) -> EightBitProduct | None:
    """What multiplies in 8 bit here, by the kernel of that name as on the worker's card; None if matrices are exact.

    Raises RuntimeError if this card has another, or none.
    """
    if not name:
        return None
    width = MatrixWidth.of(model.config("transformer"), model.precision.transformer)
    product = matrix_products.choose_for(model.device, width, findings)
    if product is None or product.kernel.name != name:
        raise RuntimeError("the cards multiply in 8 bit by different kernels")
    return product
