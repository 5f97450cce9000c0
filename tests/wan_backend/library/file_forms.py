"""Writes small components of every family as the files that people have, with their names, number formats and marks.

The names are made here by other means than in the product.
"""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import diffusers
import gguf
import numpy as np
import sentencepiece
import torch
import transformers
from safetensors.torch import save_file

from wan_backend.bench import tiny_checkpoint
from wan_backend.library.configs import DEVIATION_48, MEAN_48
from wan_backend.loading.camera_transformer import WanCameraTransformer3DModel

Weights = dict[str, torch.Tensor]
TEXT_WIDTH, IMAGE_WIDTH, TOKENS = 32, 80, 5
TRANSFORMER: dict[str, Any] = {
    "num_attention_heads": 1, "attention_head_dim": 128, "in_channels": 16, "out_channels": 16, "text_dim": TEXT_WIDTH,
    "freq_dim": 32, "ffn_dim": 64, "num_layers": 2, "cross_attn_norm": True, "qk_norm": "rms_norm_across_heads",
}  # fmt: skip
SEEING = {"in_channels": 36, "image_dim": IMAGE_WIDTH, "added_kv_proj_dim": 128}
FAMILIES: dict[str, dict[str, Any]] = {
    "text": {},
    "control": {"vace_layers": [0, 1], "vace_in_channels": 96},
    "first_picture": SEEING,
    "first_and_last": {**SEEING, "pos_embed_seq_len": 2 * TOKENS},
    "pictures": {"in_channels": 36},
    "first_latent": {"in_channels": 48, "out_channels": 48},
    "camera": {**SEEING, "in_channels": 32},
    "camera_and_picture": {"in_channels": 36},
}
"""What the transformer of an architecture has beside."""


LOOKING = ("first_picture", "first_and_last", "camera")
"""The architectures with an image encoder."""


def transformer(architecture: str, seed: int = 0, **settings: Any) -> Any:
    """A small transformer of that architecture with weights that matter."""
    kind: Any = diffusers.WanVACETransformer3DModel if architecture == "control" else diffusers.WanTransformer3DModel
    if architecture.startswith("camera"):
        kind = WanCameraTransformer3DModel
    return _lively(kind(**{**TRANSFORMER, **FAMILIES[architecture], **settings}), seed)


def vae(patched: bool = False) -> Any:
    """A small autoencoder as Wan 2.1's is, or as Wan 2.2's."""
    if not patched:
        return _lively(diffusers.AutoencoderKLWan(base_dim=4, num_res_blocks=1), 1)
    more = {"scale_factor_spatial": 16, "patch_size": 2, "in_channels": 12, "out_channels": 12}
    made = diffusers.AutoencoderKLWan(
        base_dim=4, decoder_base_dim=8, z_dim=48, num_res_blocks=1, is_residual=True, latents_mean=list(MEAN_48),
        latents_std=list(DEVIATION_48), **more,
    )  # fmt: skip
    return _lively(made, 1)


def text_encoder(words: int = 128) -> Any:
    """A small UMT5 encoder."""
    config = transformers.UMT5Config(
        vocab_size=words, d_model=TEXT_WIDTH, d_kv=8, d_ff=64, num_layers=2, num_heads=4,
        feed_forward_proj="gated-gelu",
    )  # fmt: skip
    return _lively(transformers.UMT5EncoderModel(config), 2)


def image_encoder() -> Any:
    """A small vision tower of a CLIP."""
    config = transformers.CLIPVisionConfig(
        hidden_size=IMAGE_WIDTH, intermediate_size=32, num_hidden_layers=2, num_attention_heads=1, image_size=28,
        patch_size=14, hidden_act="gelu",
    )  # fmt: skip
    return _lively(transformers.CLIPVisionModel(config), 3)


def folder(place: Path, architecture: str) -> Path:
    """A whole model of that architecture, in the diffusers layout, of the components above."""
    components = {
        "transformer": transformer(architecture), "vae": vae(architecture == "first_latent"),
        "text_encoder": text_encoder(),
        "tokenizer": tiny_checkpoint.make_tokenizer(), "scheduler": tiny_checkpoint.make_scheduler(),
    }  # fmt: skip
    index: dict[str, Any] = {"_class_name": "WanPipeline", "expand_timesteps": architecture == "first_latent"}
    if architecture in LOOKING:
        components["image_encoder"] = image_encoder()
        size = {"shortest_edge": 28}
        components["image_processor"] = transformers.CLIPImageProcessorPil(
            size=size, crop_size={"height": 28, "width": 28}
        )
    for name, component in components.items():
        component.save_pretrained(place / name)
        index[name] = [
            "transformers" if type(component).__module__.startswith("transformers") else "diffusers",
            _class(component),
        ]
    (place / "model_index.json").write_text(json.dumps(index))
    return place


def with_two_experts(model: Path, boundary: float) -> Path:
    """That model with another transformer for its last steps, which is there a second time."""
    shutil.copytree(model / "transformer", model / "transformer_2")
    file = model / "model_index.json"
    index = json.loads(file.read_text())
    file.write_text(json.dumps({**index, "transformer_2": index["transformer"], "boundary_ratio": boundary}))
    return model


def _class(component: Any) -> str:
    return type(component).__name__


def files(place: Path, architecture: str, **forms: Callable[[Weights], Weights]) -> dict[str, Path]:
    """The components of that model as single files, each in the form that `forms` makes of it."""
    components = {
        "transformer": transformer(architecture),
        "vae": vae(architecture == "first_latent"),
        "text_encoder": text_encoder(),
    }
    if architecture in LOOKING:
        components["image_encoder"] = image_encoder()
    made = {}
    for name, component in components.items():
        weights = published(name, weights_of(component))
        made[name] = write(place / f"{name}.safetensors", forms.get(name, lambda same: same)(weights))
    return made


def _lively(module: Any, seed: int) -> Any:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in module.parameters():
            fan = max(1, weight[0].numel()) if weight.ndim > 1 else 25
            weight.copy_(torch.randn(weight.shape, generator=generator) / fan**0.5)
            if weight.ndim == 1:
                weight.add_(1.0)
    return module.eval()


def weights_of(module: Any) -> Weights:
    """Its tensors by the names of diffusers or transformers, each once."""
    state = {name: weight.detach().clone() for name, weight in module.state_dict().items()}
    state.pop("encoder.embed_tokens.weight", None)
    return state


def _replaced(pairs: Mapping[str, str]) -> Callable[[str], str]:
    def rename(name: str) -> str:
        for pattern, published in pairs.items():
            name = re.sub(pattern, published, name)
        return name

    return rename


PUBLISHED: dict[str, Callable[[str], str]] = {
    "transformer": _replaced({
        r"^scale_shift_table$": "head.modulation", r"scale_shift_table$": "modulation",
        r"^proj_out\.": "head.head.", r"\.proj_in\.": ".before_proj.", r"\.proj_out\.": ".after_proj.",
        r"condition_embedder\.time_embedder\.linear_1": "time_embedding.0",
        r"condition_embedder\.time_embedder\.linear_2": "time_embedding.2",
        r"condition_embedder\.time_proj": "time_projection.1",
        r"condition_embedder\.text_embedder\.linear_1": "text_embedding.0",
        r"condition_embedder\.text_embedder\.linear_2": "text_embedding.2",
        r"condition_embedder\.image_embedder\.norm1": "img_emb.proj.0",
        r"condition_embedder\.image_embedder\.ff\.net\.0\.proj": "img_emb.proj.1",
        r"condition_embedder\.image_embedder\.ff\.net\.2": "img_emb.proj.3",
        r"condition_embedder\.image_embedder\.norm2": "img_emb.proj.4",
        r"condition_embedder\.image_embedder\.pos_embed": "img_emb.emb_pos",
        r"\.attn1\.": ".self_attn.", r"\.attn2\.": ".cross_attn.", r"\.to_out\.0\.": ".o.", r"\.to_([qkv])\.": r".\1.",
        r"\.add_([kv])_proj\.": r".\1_img.", r"norm_added_k": "norm_k_img", r"\.norm2\.": ".norm3.",
        r"ffn\.net\.0\.proj": "ffn.0", r"ffn\.net\.2": "ffn.2",
    }),
    "text_encoder": _replaced({
        r"^shared": "token_embedding", r"encoder\.final_layer_norm": "norm", r"encoder\.block\.": "blocks.",
        r"layer\.0\.SelfAttention\.relative_attention_bias": "pos_embedding.embedding",
        r"layer\.0\.SelfAttention\.": "attn.", r"layer\.0\.layer_norm": "norm1", r"layer\.1\.layer_norm": "norm2",
        r"layer\.1\.DenseReluDense\.wi_0": "ffn.gate.0", r"layer\.1\.DenseReluDense\.wi_1": "ffn.fc1",
        r"layer\.1\.DenseReluDense\.wo": "ffn.fc2",
    }),
    "llama": _replaced({
        r"^shared": "token_embd", r"encoder\.final_layer_norm": "enc.output_norm", r"encoder\.block\.": "enc.blk.",
        r"layer\.0\.SelfAttention\.relative_attention_bias": "attn_rel_b", r"layer\.0\.SelfAttention\.": "attn_",
        r"layer\.0\.layer_norm": "attn_norm", r"layer\.1\.layer_norm": "ffn_norm",
        r"layer\.1\.DenseReluDense\.wi_0": "ffn_gate", r"layer\.1\.DenseReluDense\.wi_1": "ffn_up",
        r"layer\.1\.DenseReluDense\.wo": "ffn_down",
    }),
    "vae": _replaced({
        r"^quant_conv": "conv1", r"^post_quant_conv": "conv2", r"conv_in\.": "conv1.", r"norm_out\.": "head.0.",
        r"conv_out\.": "head.2.", r"mid_block\.resnets\.0": "middle.0", r"mid_block\.attentions\.0": "middle.1",
        r"mid_block\.resnets\.1": "middle.2", r"\.norm1\.gamma": ".residual.0.gamma",
        r"(\.\d+|middle\.\d)\.conv1\.": r"\1.residual.2.", r"\.norm2\.gamma": ".residual.3.gamma",
        r"(\.\d+|middle\.\d)\.conv2\.": r"\1.residual.6.", r"conv_shortcut": "shortcut",
    }),
}  # fmt: skip


def published(component: str, weights: Weights) -> Weights:
    """The weights by the names under which Wan's authors, or llama.cpp, publish them."""
    if component == "image_encoder":
        return _published_image(weights)
    named = {PUBLISHED[component](name): weight for name, weight in weights.items()}
    if component != "vae":
        return named
    nested = any("down_blocks.0.resnets" in name for name in named)
    rename = _nested_block if nested else _flat_block
    return {rename(name): weight for name, weight in named.items()}


def _flat_block(name: str) -> str:
    name = name.replace("encoder.down_blocks.", "encoder.downsamples.")
    found = re.match(r"decoder\.up_blocks\.(\d)\.(resnets|upsamplers)\.(\d)\.(.+)", name)
    if not found:
        return name
    place = 3 * int(found[1]) + (int(found[3]) if found[2] == "resnets" else 2)
    return f"decoder.upsamples.{place}.{found[4]}"


def _nested_block(name: str) -> str:
    name = re.sub(r"encoder\.down_blocks\.(\d)\.resnets\.", r"encoder.downsamples.\1.downsamples.", name)
    name = re.sub(r"encoder\.down_blocks\.(\d)\.downsampler\.", r"encoder.downsamples.\1.downsamples.1.", name)
    name = re.sub(r"decoder\.up_blocks\.(\d)\.resnets\.", r"decoder.upsamples.\1.upsamples.", name)
    return re.sub(r"decoder\.up_blocks\.(\d)\.upsampler\.", r"decoder.upsamples.\1.upsamples.2.", name)


def _published_image(weights: Weights) -> Weights:
    named: Weights = {"visual.head": torch.zeros(IMAGE_WIDTH, 16), "log_scale": torch.zeros(())}
    rename = _replaced({
        r"embeddings\.patch_embedding": "patch_embedding", r"pre_layrnorm": "pre_norm", r"post_layernorm": "post_norm",
        r"encoder\.layers\.": "transformer.", r"layer_norm": "norm", r"self_attn\.out_proj": "attn.proj",
        r"mlp\.fc1": "mlp.0", r"mlp\.fc2": "mlp.2",
    })  # fmt: skip
    for name, weight in weights.items():
        if ".q_proj." in name:
            three = [weights[name.replace(".q_proj.", f".{which}_proj.")] for which in "qkv"]
            name, weight = re.sub(r"self_attn\.q_proj", "attn.to_qkv", name), torch.cat(three)
        elif "_proj." in name and ".out_proj." not in name:
            continue
        if "class_embedding" in name:
            named["visual.cls_embedding"] = weight[None, None]
        elif "position_embedding" in name:
            named["visual.pos_embedding"] = weight[None]
        else:
            named["visual." + rename(name)] = weight
    return named


def spiece(words: int = 60) -> bytes:
    """A small sentencepiece model whose special tokens are as UMT5's."""
    made = io.BytesIO()
    sentences = [f"the red circle moves over the sand {n}" for n in range(300)] + ["a blue square at night"] * 50
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences), model_writer=made, vocab_size=words, model_type="unigram", pad_id=0,
        eos_id=1, unk_id=2, bos_id=-1, minloglevel=2,
    )  # fmt: skip
    return made.getvalue()


def cast(weights: Weights, dtype: torch.dtype) -> Weights:
    """All in one format."""
    return {name: weight.to(dtype) for name, weight in weights.items()}


def plain_fp8(weights: Weights) -> Weights:
    """Matrices in fp8, the rest in bfloat16, as Kijai's files are."""
    return {
        name: weight.to(torch.float8_e4m3fn if weight.ndim == 2 else torch.bfloat16) for name, weight in weights.items()
    }


def scaled_fp8(weights: Weights, suffix: str = "scale_weight", per_row: bool = False) -> Weights:
    """Matrices of layers in fp8 with a scale, as ComfyUI's files are, older (scale_weight) or newer (weight_scale)."""
    made: Weights = {}
    for name, weight in weights.items():
        if weight.ndim != 2 or not name.endswith(".weight") or "embed" in name.split(".")[0] or "shared" in name:
            made[name] = weight.to(torch.bfloat16)
            continue
        most = weight.abs().amax(dim=1) if per_row else weight.abs().max()
        scale = (most / 448).float()
        made[name] = (weight / (scale[:, None] if per_row else scale)).to(torch.float8_e4m3fn)
        stem = name.removesuffix(".weight")
        made[f"{stem}.{suffix}"] = scale[:, None].clone() if per_row else scale.reshape(1).clone()
        if suffix == "scale_weight":
            made[f"{stem}.scale_input"] = torch.ones(1)
        else:
            note = json.dumps({"format": "float8_e4m3fn", "full_precision_matrix_mult": True}).encode()
            made[f"{stem}.comfy_quant"] = torch.tensor(list(note), dtype=torch.uint8)
    if suffix == "scale_weight":
        made["scaled_fp8"] = torch.empty(0, dtype=torch.float8_e4m3fn)
    return made


def eight_bit(weights: Weights, form: str) -> Weights:
    """The blocks' matrices in 8 bit: int8 a row (optimum-quanto's, LightX2V's), fp8 by blocks of a row or by tiles."""
    made: Weights = {}
    for name, weight in weights.items():
        if weight.ndim != 2 or not name.startswith("blocks"):
            made[name] = weight
            continue
        stem, rows = name.removesuffix(".weight"), weight.shape[0]
        if form in ("quanto", "lightx2v"):
            scale = weight.abs().amax(dim=1, keepdim=True) / 127
            packed = (weight / scale).round().to(torch.int8)
            names = (f"{name}._data", f"{name}._scale") if form == "quanto" else (name, f"{stem}.weight_scale")
            made |= dict(zip(names, (packed, scale), strict=True))
            made |= {f"{stem}.{end}": torch.ones(()) for end in ("input_scale", "output_scale") if form == "quanto"}
            continue
        down = 1 if form == "blocks" else 16
        tiles = weight.view(rows // down, down, -1, 32)
        scale = tiles.abs().amax(dim=(1, 3), keepdim=True) / 448
        made[name] = (tiles / scale).view(weight.shape).to(torch.float8_e4m3fn)
        shape = (rows, -1, 1) if form == "blocks" else (rows // down, -1)
        made[f"{stem}.{'scale_weight' if form == 'blocks' else 'weight_scale_inv'}"] = scale.reshape(shape)
    return made


def multiplied_out(made: Weights, stem: str, form: str) -> torch.Tensor:
    """The numbers of a matrix that `eight_bit` made."""
    if form == "quanto":
        return made[f"{stem}.weight._data"].float() * made[f"{stem}.weight._scale"]
    if form == "lightx2v":
        return made[f"{stem}.weight"].float() * made[f"{stem}.weight_scale"]
    packed = made[f"{stem}.weight"].float()
    if form == "blocks":
        scale = made[f"{stem}.scale_weight"]
        return (packed.view(packed.shape[0], scale.shape[1], -1) * scale).view(packed.shape)
    return packed * torch.kron(made[f"{stem}.weight_scale_inv"], torch.ones(16, 32))


def prefixed(weights: Weights, prefix: str) -> Weights:
    """With `prefix` before every name."""
    return {prefix + name: weight for name, weight in weights.items()}


def write(file: Path, weights: Weights, **notes: str) -> Path:
    """A safetensors file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: weight.contiguous() for name, weight in weights.items()}, file, notes or None)
    return file


def write_gguf(file: Path, weights: Weights, kind: str, architecture: str = "wan", unnoted: str = "") -> Path:
    """A GGUF file: matrices of whole blocks in `kind`, the rest in float32, five-sided ones in four with a note.

    `unnoted`: without one, "merged" as stable-diffusion.cpp runs the first two sides into one, or "flat" as a matrix.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(file, architecture)
    writer.add_array("tokenizer.ggml.tokens", ["a", "bc", "def"] * 50)
    quant = gguf.GGMLQuantizationType[kind]
    block = gguf.GGML_QUANT_SIZES[quant][0]
    for name, weight in weights.items():
        values = weight.float().numpy()
        if values.ndim == 2 and values.shape[1] % block == 0:
            writer.add_tensor(name, gguf.quantize(values, quant), raw_dtype=quant)
            continue
        if values.ndim == 5 and unnoted:
            values = values.reshape(-1, *values.shape[2:]) if unnoted == "merged" else values.reshape(len(values), -1)
        elif values.ndim == 5:
            writer.add_array(f"comfy.gguf.orig_shape.{name}", [int(side) for side in values.shape])
            values = values.reshape(values.shape[0], -1)
        writer.add_tensor(name, np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def write_random_blocks(file: Path, weights: Weights, kind: str) -> Path:
    """A GGUF file whose large matrices are blocks of `kind` with random content and small scales."""
    writer = gguf.GGUFWriter(file, "wan")
    quant = gguf.GGMLQuantizationType[kind]
    block, block_bytes = gguf.GGML_QUANT_SIZES[quant]
    random = np.random.default_rng(0)
    scales = {"Q4_K": [0, 2], "Q6_K": [208], "Q3_K": [108]}[kind]
    for name, weight in weights.items():
        if weight.ndim != 2 or weight.shape[1] % block:
            writer.add_tensor(name, np.ascontiguousarray(weight.numpy()))
            continue
        count = weight.numel() // block
        blocks = random.integers(0, 256, (count, block_bytes), dtype=np.uint8)
        for place in scales:
            blocks[:, place : place + 2] = np.full((count, 1), 1e-4, np.float16).view(np.uint8)
        writer.add_tensor(name, blocks.reshape(weight.shape[0], -1), raw_dtype=quant)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file
