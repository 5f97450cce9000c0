"""Where each spelling of a LoRA's keys was seen, and what it means.

Facts of other programs' sources, read in November 2026; nothing of them is copied here. "Reads" are loaders that take
the spelling, "writes" are trainers and converters that make it. `SEEN` names, for each spelling of `written_loras`, one
such place; `KEYS` has single keys, those that are rarer.
"""

from __future__ import annotations

from dataclasses import dataclass

from wan_backend.lora.key_names import Kind

COMFY = "ComfyUI, comfy/weight_adapter/lora.py and comfy/lora.py (reads)"
DIFFUSERS = "diffusers, loaders/lora_conversion_utils.py: _convert_non_diffusers_wan_lora_to_diffusers (reads)"
DIFFUSERS_MUSUBI = "diffusers, loaders/lora_conversion_utils.py: _convert_musubi_wan_lora_to_diffusers (reads)"
DIFFUSERS_SAVES = "diffusers, loaders/lora_pipeline.py: WanLoraLoaderMixin, of transformer and transformer_2 (writes)"
KIJAI = "kijai's ComfyUI-WanVideoWrapper, nodes_model_loading.py: standardize_lora_key_format (reads)"
MUSUBI = "musubi-tuner, convert_lora.py: prefix lora_unet_ (writes)"
TOOLKIT = "ai-toolkit, diffusion_models/wan22/wan22_14b_model.py: save_lora (writes)"
DIFFSYNTH = "DiffSynth-Studio, utils/lora/wan.py and examples/wanvideo, remove_prefix_in_ckpt (writes)"
PEFT = "PEFT, tuners/lora/layer.py: LoraConfig(lora_bias=True) (writes)"
COMPILED = "torch.compile and FSDP, of trainers that save a wrapped model (writes)"
LIGHTX2V = "LightX2V, lightx2v/utils/lora_loader.py (reads)"

SEEN = {
    "diffusers": DIFFUSERS_SAVES,
    "diffusers without a prefix": KIJAI,
    "diffusers, down and up": LIGHTX2V,
    "diffusers' attention processors": COMFY,
    "diffusers' older layers": LIGHTX2V,
    "of the second transformer": DIFFUSERS_SAVES,
    "of the first transformer": TOOLKIT,
    "without the word weight": LIGHTX2V,
    "ComfyUI": DIFFUSERS,
    "ComfyUI, down and up, alpha": LIGHTX2V,
    "musubi and kohya": MUSUBI,
    "VideoX-Fun": KIJAI,
    "kohya with diffusers' names": COMFY,
    "LyCORIS": KIJAI,
    "original": KIJAI,
    "DiffSynth": DIFFSYNTH,
    "DiffSynth with its pipeline's name": DIFFSYNTH,
    "DiffSynth of the second transformer": DIFFSYNTH,
    "PEFT": KIJAI,
    "PEFT of a pipeline": KIJAI,
    "PEFT by an adapter's name": KIJAI,
}
"""The name of a spelling -> where it was seen."""


@dataclass(frozen=True)
class Seen:
    """One key, what it means, and where it was seen."""

    key: str
    name: str
    kind: Kind
    where: str
    expert: str = ""


KEYS = [
    Seen("head.diff_m", "scale_shift_table", Kind.DIFFERENCE, LIGHTX2V),
    Seen("diffusion_model.blocks.7.diff_m", "blocks.7.scale_shift_table", Kind.DIFFERENCE, LIGHTX2V),
    Seen("diffusion_model.blocks.7.modulation.diff", "blocks.7.scale_shift_table", Kind.DIFFERENCE, KIJAI),
    Seen("blocks.7.cross_attn.norm_k_img.diff", "blocks.7.attn2.norm_added_k.weight", Kind.DIFFERENCE, DIFFUSERS),
    Seen(
        "diffusion_model.img_emb.proj.1.diff_b",
        "condition_embedder.image_embedder.ff.net.0.proj.bias",
        Kind.DIFFERENCE,
        DIFFUSERS,
    ),
    Seen("diffusion_model.time_projection.1.lora_down.weight", "condition_embedder.time_proj", Kind.DOWN, DIFFUSERS),
    Seen("diffusion_model.head.head.diff", "proj_out.weight", Kind.DIFFERENCE, DIFFUSERS),
    Seen("lora_unet_head_head.alpha", "proj_out", Kind.ALPHA, KIJAI),
    Seen("lora_unet__blocks_0_ffn_2.lora_down.weight", "blocks.0.ffn.net.2", Kind.DOWN, KIJAI),
    Seen("vace_blocks.2.after_proj.lora_B.default.weight", "vace_blocks.2.proj_out", Kind.UP, KIJAI),
    Seen("lora_unet_vace_blocks_2_self_attn_o.lora_up.weight", "vace_blocks.2.attn1.to_out.0", Kind.UP, MUSUBI),
    Seen("transformer.blocks.3.attn1.processor.to_q_lora.up.weight", "blocks.3.attn1.to_q", Kind.UP, COMFY),
    Seen("transformer.blocks.3.attn2.processor.to_out_lora.down.weight", "blocks.3.attn2.to_out.0", Kind.DOWN, COMFY),
    Seen("transformer.blocks.3.attn1.to_k.lora_linear_layer.up.weight", "blocks.3.attn1.to_k", Kind.UP, LIGHTX2V),
    Seen("diffusion_model.blocks.3.self_attn.k.lora_B", "blocks.3.attn1.to_k", Kind.UP, LIGHTX2V),
    Seen("transformer_2.blocks.0.attn1.to_q.lora_A.weight", "blocks.0.attn1.to_q", Kind.DOWN, DIFFUSERS_SAVES, "low"),
    Seen(
        "diffusion_model.transformer_1.blocks.0.ffn.0.lora_A.weight",
        "blocks.0.ffn.net.0.proj",
        Kind.DOWN,
        TOOLKIT,
        "high",
    ),
    Seen(
        "diffusion_model.transformer_2.blocks.0.ffn.0.lora_A.weight",
        "blocks.0.ffn.net.0.proj",
        Kind.DOWN,
        TOOLKIT,
        "low",
    ),
    Seen("lycoris_transformer_2_blocks_0_ffn_net_2.lora_down.weight", "blocks.0.ffn.net.2", Kind.DOWN, TOOLKIT, "low"),
    Seen("lora_transformer_1_blocks_0_attn1_to_q.alpha", "blocks.0.attn1.to_q", Kind.ALPHA, TOOLKIT, "high"),
    Seen("base_model.model.blocks.0.attn1.to_q.lora_B.bias", "blocks.0.attn1.to_q", Kind.UP_BIAS, PEFT),
    Seen("transformer.blocks.0.ffn.net.2.lora_B.mine.bias", "blocks.0.ffn.net.2", Kind.UP_BIAS, PEFT),
    Seen("diffusion_model._orig_mod.blocks.0.self_attn.q.lora_A.weight", "blocks.0.attn1.to_q", Kind.DOWN, COMPILED),
    Seen(
        "blocks.0._checkpoint_wrapped_module.cross_attn.k.lora_B.default.weight",
        "blocks.0.attn2.to_k",
        Kind.UP,
        COMPILED,
    ),
    Seen("lora_unet__orig_mod_blocks_0_ffn_0.lora_down.weight", "blocks.0.ffn.net.0.proj", Kind.DOWN, COMPILED),
    Seen("pipe.dit2.blocks.0.self_attn.q.lora_A.default.weight", "blocks.0.attn1.to_q", Kind.DOWN, DIFFSYNTH, "low"),
]
