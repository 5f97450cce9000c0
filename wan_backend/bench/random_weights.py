"""Full-size models of random weights, made in place: for speed and memory where no checkpoint is to be had."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan
from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModel, UMT5Config, UMT5EncoderModel

from ..catalogue.architecture import Architecture
from ..library.configs import DEVIATION_48, MEAN_48
from ..loading import eight_bit
from ..loading.matrix_products import EightBitProduct
from ..loading.wan_model import Precision, WanModel
from ..loading.weight_forms import TRANSFORMER_CLASSES, Form
from ..lora.resolve import EXPERTS
from .tiny_checkpoint import make_scheduler, make_tokenizer

TRANSFORMER_CONFIGS: dict[str, dict[str, Any]] = {
    "1.3B": {"num_attention_heads": 12, "ffn_dim": 8960, "num_layers": 30},
    "14B": {"num_attention_heads": 40, "ffn_dim": 13824, "num_layers": 40},
    "5B": {"num_attention_heads": 24, "ffn_dim": 14336, "num_layers": 30, "in_channels": 48, "out_channels": 48},
    "A14B": {"num_attention_heads": 40, "ffn_dim": 13824, "num_layers": 40},
    "VACE-1.3B": {
        "num_attention_heads": 12,
        "ffn_dim": 8960,
        "num_layers": 30,
        "vace_layers": list(range(0, 30, 2)),
    },
    "VACE-14B": {"num_attention_heads": 40, "ffn_dim": 13824, "num_layers": 40},
    "VACE-A14B": {"num_attention_heads": 40, "ffn_dim": 13824, "num_layers": 40},
    "I2V-14B": {
        "num_attention_heads": 40,
        "ffn_dim": 13824,
        "num_layers": 40,
        "in_channels": 36,
        "image_dim": 1280,
        "added_kv_proj_dim": 5120,
    },
}
"""From the configurations of Wan-AI/Wan2.1-T2V-1.3B-Diffusers, -14B-Diffusers, Wan2.2-TI2V-5B-Diffusers,
Wan2.2-T2V-A14B-Diffusers, Wan2.1-VACE-1.3B-diffusers, -14B-diffusers (whose shape each expert of VACE-Fun A14B has) and
Wan2.1-I2V-14B-480P-Diffusers; all have text_dim 4096, and the rest is the class's own."""
LAYOUTS = {
    "5B": Architecture.FIRST_LATENT,
    "VACE-1.3B": Architecture.CONTROL,
    "VACE-14B": Architecture.CONTROL,
    "VACE-A14B": Architecture.CONTROL,
    "I2V-14B": Architecture.FIRST_PICTURE,
}
BOUNDARIES = {"A14B": 0.875, "VACE-A14B": 0.875}
VAE_2_2: dict[str, Any] = {
    "base_dim": 160,
    "decoder_base_dim": 256,
    "z_dim": 48,
    "is_residual": True,
    "in_channels": 12,
    "out_channels": 12,
    "patch_size": 2,
    "scale_factor_temporal": 4,
    "scale_factor_spatial": 16,
    "latents_mean": list(MEAN_48),
    "latents_std": list(DEVIATION_48),
}
VAES = {"5B": VAE_2_2}
UMT5_XXL: dict[str, Any] = {
    "vocab_size": 256384,
    "d_model": 4096,
    "d_kv": 64,
    "d_ff": 10240,
    "num_layers": 24,
    "num_heads": 64,
    "feed_forward_proj": "gated-gelu",
}
CLIP_HUGE: dict[str, Any] = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 16,
    "image_size": 224,
    "patch_size": 14,
    "projection_dim": 1024,
    "hidden_act": "gelu",
}
"""The image encoder of image to video."""


class RandomModel(WanModel):
    """A Wan model that is in no folder; a component that was dropped can't be read again."""

    def __init__(
        self,
        size: str,
        device: torch.device,
        held: bool = False,
        encoder_layers: int | None = None,
        reads_prompts: bool = True,
    ) -> None:
        """A `size` of TRANSFORMER_CONFIGS, or one with another number of layers, as "14B:8"; `encoder_layers` are the
        text encoder's, if not all.

        With `held`, the transformers' weights stay in the machine's memory too: they can be dropped. A model that
        doesn't read prompts has a text encoder that takes no time to make, and no memory.
        """
        kind_of_size, _, layers = size.partition(":")
        widths = {**TRANSFORMER_CONFIGS[kind_of_size], **({"num_layers": int(layers)} if layers else {})}
        encoding = {**UMT5_XXL, "num_layers": encoder_layers or UMT5_XXL["num_layers"]}
        self._held: dict[str, Any] = {}
        self.folder = Path("random weights") / size
        self.device = device
        self.precision = Precision.for_device(device)
        self.architecture = LAYOUTS.get(kind_of_size, Architecture.TEXT)
        self.boundary = BOUNDARIES.get(kind_of_size)
        self.classes = {"transformer": "WanTransformer3DModel", "vae": "AutoencoderKLWan"}
        self._scheduler: Any = make_scheduler()
        torch.manual_seed(0)
        with made_on(device if reads_prompts else torch.device("meta"), self.precision.text_encoder):
            text_encoder: Any = UMT5EncoderModel(UMT5Config(**encoding))
        if not reads_prompts:
            text_encoder.to_empty(device="cpu").tie_weights()  # pages that nobody touches
        with made_on(device, self.precision.vae):
            vae: Any = AutoencoderKLWan(**VAES.get(kind_of_size, {}))
        self._components = {"tokenizer": make_tokenizer(), "text_encoder": text_encoder, "vae": vae}
        if self.architecture.looks_at_pictures:
            with made_on(device, self.precision.image_encoder):
                seeing: Any = CLIPVisionModel(CLIPVisionConfig(**CLIP_HUGE))
            side = CLIP_HUGE["image_size"]
            processor = CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
            self._components |= {"image_encoder": seeing, "image_processor": processor}
        kind = "WanVACETransformer3DModel" if self.controlled else "WanTransformer3DModel"
        torch.manual_seed(0)  # whatever was made before, these have the same weights in each process
        for name in ("transformer", "transformer_2") if self.boundary is not None else ("transformer",):
            with made_on(device, self.precision.transformer):
                made: Any = TRANSFORMER_CLASSES[kind]
                self._components[name] = made(text_dim=UMT5_XXL["d_model"], **widths)
            restore_fp32(self._components[name])
            self.classes[name] = kind
        for component in self.components:
            self._components[component].eval().requires_grad_(False)
        if held:
            for component in self.components:
                self._components[component].to("cpu")
            self._held = {name: self._components[name] for name in EXPERTS if name in self._components}
            for name in self._held:
                self.drop(name)

    def drop(self, component: str) -> None:
        """There is no folder to read it from again: it goes to the machine's memory, or comes from there."""
        if component in self._held:
            self._components[component] = _of_the_same_tensors(self._held[component])
        else:
            self._components[component].to("cpu")

    def config(self, component: str) -> dict[str, Any]:
        """The component's configuration, or that of the scheduler."""
        if component == "scheduler":
            return {**self._scheduler.config, "_class_name": type(self._scheduler).__name__}
        return dict(self._components[component].config)

    @property
    def weights_in_8_bit(self) -> bool:
        """True if the transformer has its blocks in 8 bit."""
        return self._weights_in_8_bit

    @weights_in_8_bit.setter
    def weights_in_8_bit(self, wanted: bool) -> None:
        """Rounds the transformer where it is. Raises ValueError on the way back, for there is none."""
        if self._weights_in_8_bit and not wanted:
            raise ValueError("what was rounded to 8 bit has no other numbers any more; make the model again")
        if wanted and not self._weights_in_8_bit:
            for name in ("transformer", "transformer_2"):
                if name in self._components:
                    eight_bit.quantize(self._components[name])
        self._weights_in_8_bit = wanted

    @property
    def matrix_product(self) -> EightBitProduct | None:
        """The product in 8 bit that the transformer computes with."""
        return self._matrix_product

    @matrix_product.setter
    def matrix_product(self, wanted: EightBitProduct | None) -> None:
        """Rounds the transformer where it is, to the product's format. Raises ValueError if it was before."""
        before = self._matrix_product
        if before is wanted:
            return
        if before is not None or wanted is None:
            raise ValueError("what was rounded to 8 bit has no other numbers any more; make the model again")
        for name in EXPERTS:
            if name in self._components:
                eight_bit.quantize(self._components[name], wanted.weight_format)
        self._matrix_product = wanted

    @property
    def quantized(self) -> bool:
        """True if the transformer was rounded for products in 8 bit."""
        return self._matrix_product is not None

    def _form(self, component: str, in_8_bit: bool) -> Form:
        return Form.WHOLE

    def fingerprint(self, component: str = "", as_held: bool = True) -> str:
        """Of no files: of the model's name."""
        held = as_held and self.weights_in_8_bit, self._matrix_product and self._matrix_product.kernel.name
        return hashlib.sha256(f"{self.folder}, {component}, {held}".encode()).hexdigest()

    def unchanged(self) -> bool:
        """There are no files that could change."""
        return True


@contextmanager
def made_on(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Modules made within are on `device` in `dtype` from the start, so that 14 billion numbers fit."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            yield
    finally:
        torch.set_default_dtype(before)


def _of_the_same_tensors(module: torch.nn.Module) -> torch.nn.Module:
    """A copy of the module whose parameters are others with the same numbers in the same memory."""
    known: dict[int, Any] = {
        id(each): torch.nn.Parameter(each.data, requires_grad=False) for each in module.parameters()
    }
    known |= {id(each): each.detach() for each in module.buffers()}
    return copy.deepcopy(module, known)


def restore_fp32(transformer: Any) -> None:
    """The modules that diffusers keeps in float32 when it loads a checkpoint."""
    for name, weight in transformer.named_parameters():
        if any(kept in name.split(".") for kept in transformer._keep_in_fp32_modules):
            weight.data = weight.data.float()
