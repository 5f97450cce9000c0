"""How far both engines of `bench --table` are from the same weights in float32, as diffusers computes with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ..loading import devices
from ..loading.wan_model import WanModel
from ..pipelines.conditions import Conditions
from .engines import Ours, Stock
from .table_rows import TableWork

SHORT_FRAMES = 17
"""Length of the clip that is compared: in float32 a full one takes minutes."""
TIMESTEP = 700.0
LEVELS = 255.0
FLOAT32_SHARE = 1.2
"""Bytes that must be free to have weights in float32, as a share of those in 16 bit."""


class Flows:
    """A forward of a short clip by diffusers with the weights as they are, and with the same in float32."""

    @torch.no_grad()
    def __init__(self, model: WanModel, row: TableWork) -> None:
        self._work = replace(row.work, frames=SHORT_FRAMES, model_id="")
        stock = Stock(model, self._work)
        self._conditions, transformer = Ours(model, self._work).encode(), model.transformer
        stock.restore()
        if devices.free_bytes(model.device) < FLOAT32_SHARE * model.weight_bytes("transformer"):
            model.text_encoder.to("cpu")
        devices.release(model.device)
        self._stock, self._exact = _flow(transformer, self._conditions), None
        try:
            with in_float32(transformer):
                self._exact = _flow(transformer, self._conditions)
        except torch.OutOfMemoryError:
            pass
        finally:
            devices.release(model.device)

    @torch.no_grad()
    def errors(self, model: WanModel) -> tuple[float | None, float | None]:
        """The relative differences to float32 of diffusers' forward and of ours, with the model as it is now.

        None if memory is too small for float32.
        """
        if self._exact is None:
            return None, None
        with Ours(model, self._work).placement.use("transformer") as transformer:
            our_flow = _flow(transformer, self._conditions)
        return _distance(self._stock, self._exact), _distance(our_flow, self._exact)


@dataclass(frozen=True)
class AutoencoderErrors:
    """How far a short clip's pictures and latents are from those in float32."""

    pictures_db: float
    """PSNR of the pictures."""
    latents: float
    """Relative difference of the latents of footage."""


@torch.no_grad()
def of_autoencoder(model: WanModel, row: TableWork) -> tuple[AutoencoderErrors, AutoencoderErrors]:
    """The autoencoder's errors, of diffusers and of ours."""
    work = replace(row.work, frames=SHORT_FRAMES)
    stock, ours = Stock(model, work), Ours(model, work)
    latents = stock.encode(with_control=False).latents
    footage = stock.decode(latents)
    made = [(engine.decode(latents), engine.encode_footage(footage)) for engine in (stock, ours)]
    stock.restore()
    with in_float32(model.vae):
        exact = stock.decode(latents), stock.encode_footage(footage)
    one, other = (
        AutoencoderErrors(_psnr(pictures, exact[0]), _distance(encoded, exact[1])) for pictures, encoded in made
    )
    return one, other


@contextmanager
def in_float32(module: Any) -> Iterator[None]:
    """A module with its weights in float32 for a while; bfloat16 comes back as it was, bit for bit."""
    formats = {name: weight.dtype for name, weight in module.named_parameters()}
    try:
        for weight in module.parameters():
            weight.data = weight.data.float()
        yield
    finally:
        for name, weight in module.named_parameters():
            weight.data = weight.data.to(formats[name])


def _distance(made: torch.Tensor, exact: torch.Tensor) -> float:
    return float((made.float() - exact.float()).norm() / exact.float().norm())


def _psnr(made: np.ndarray, exact: np.ndarray) -> float:
    apart = np.square(made.astype(np.float64) - exact).mean()
    return float(10 * np.log10(LEVELS**2 / apart)) if apart else float("inf")


def _flow(transformer: Any, conditions: Conditions) -> torch.Tensor:
    dtype = transformer.patch_embedding.weight.dtype
    more = {} if conditions.control is None else {"control_hidden_states": conditions.control.to(dtype)}
    timestep = torch.full((1,), TIMESTEP, device=conditions.latents.device)
    flow: torch.Tensor = transformer(
        hidden_states=conditions.latents.to(dtype),
        timestep=timestep,
        encoder_hidden_states=conditions.prompt_embeds.to(dtype),
        return_dict=False,
        **more,
    )[0]
    return flow.float()
