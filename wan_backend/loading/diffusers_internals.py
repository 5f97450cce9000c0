"""Everything of diffusers that the backend uses and that isn't its public interface, each with the reason.

An upgrade of diffusers may move or change any of it without notice: look here first. All other modules import these
names from here, and nothing else from below diffusers' top level. `tests/wan_backend/loading/
test_diffusers_internals.py` fails if one is gone, and if a module goes around this one. That what is computed
with them is still the same, the parity tests of `tests/wan_backend/pipelines` say.
"""

from __future__ import annotations

from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.autoencoders.autoencoder_kl_wan import (
    WanAttentionBlock,
    WanResample,
    WanResidualBlock,
    WanResidualDownBlock,
    WanResidualUpBlock,
    WanUpBlock,
    patchify,
    unpatchify,
)
from diffusers.models.transformers.transformer_wan import WanAttnProcessor
from diffusers.quantizers.gguf.utils import GGUFParameter, dequantize_gguf_tensor
from diffusers.utils.constants import SAFE_WEIGHTS_INDEX_NAME, SAFETENSORS_WEIGHTS_NAME

__all__ = [
    # How a folder names its weights: a component's files are found without loading it.
    "SAFETENSORS_WEIGHTS_NAME",
    "SAFE_WEIGHTS_INDEX_NAME",
    # Weights of GGUF that stay packed: they are made from names and a configuration of ours, if diffusers'
    # from_single_file would look both up by itself, and a LoRA is added to what they stand for.
    "GGUFParameter",
    # See WanResample.
    "WanAttentionBlock",
    # Attention through the backend that a model is set to, from a forward of ours (chunked_forward).
    "WanAttnProcessor",
    # The blocks of the autoencoder, before each of which a job can be stopped, and which our own forward tells apart.
    "WanResample",
    "WanResidualBlock",
    "WanResidualDownBlock",
    "WanResidualUpBlock",
    "WanUpBlock",
    "dequantize_gguf_tensor",
    "dispatch_attention_fn",
    # The autoencoder of Wan 2.2 5B folds patches of pixels into channels, outside of its encoder and decoder.
    "patchify",
    "unpatchify",
]

SCHEDULER_CONFIG = "_internal_dict"
"""A scheduler's attribute with its configuration: left out of a step's checkpoint, since the job restores it."""

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    # What the encoder's and the decoder's convolutions keep of the latent frames before; with it, pictures are made a
    # latent frame at a time, and the whole film is never on the device. `clear_cache` makes them.
    "AutoencoderKLWan": (
        "_conv_idx", "_enc_conv_idx", "_enc_feat_map", "_feat_map", "clear_cache", "decoder", "encoder",
        "post_quant_conv", "quant_conv",
    ),
    # The layers of the autoencoder, which channels_last_autoencoder calls itself, on tensors of another layout.
    "WanEncoder3d": ("conv_in", "conv_out", "down_blocks", "mid_block", "norm_out"),
    "WanDecoder3d": ("conv_in", "conv_out", "mid_block", "norm_out", "up_blocks"),
    "WanMidBlock": ("attentions", "resnets"),
    "WanUpBlock": ("resnets", "upsamplers"),
    "WanResidualUpBlock": ("avg_shortcut", "resnets", "upsampler"),
    "WanResidualDownBlock": ("avg_shortcut", "downsampler", "resnets"),
    "WanResidualBlock": ("conv1", "conv2", "conv_shortcut", "norm1", "norm2"),
    "WanAttentionBlock": ("norm", "proj", "to_qkv"),
    "WanResample": ("mode", "resample"),
    "WanRMS_norm": ("bias", "gamma", "scale"),
    "DupUp3D": ("factor_s", "factor_t", "out_channels", "repeats"),
    "AvgDown3D": ("factor_s", "factor_t", "group_size"),
    # The layers of a transformer, which chunked_forward calls itself, a share of the tokens at a time.
    "WanTransformer3DModel": (
        "blocks", "condition_embedder", "norm_out", "patch_embedding", "proj_out", "rope", "scale_shift_table",
    ),
    "WanTransformerBlock": ("attn1", "attn2", "ffn", "norm1", "norm2", "norm3", "scale_shift_table"),
    "WanAttention": (
        "add_k_proj", "heads", "inner_dim", "norm_k", "norm_q", "processor", "to_k", "to_out", "to_q", "to_v",
    ),
    "WanAttnProcessor": ("_attention_backend", "_parallel_config"),
    "WanVACETransformer3DModel": ("blocks", "vace_blocks", "vace_patch_embedding"),
    "WanVACETransformerBlock": ("proj_in", "proj_out"),
    # Which weights diffusers keeps in float32 whatever dtype is asked for.
    "ModelMixin": ("_keep_in_fp32_modules",),
    # UniPC's two updates, which host_unipc computes itself, and what they are computed from.
    "UniPCMultistepScheduler": (
        SCHEDULER_CONFIG, "_sigma_to_alpha_sigma_t", "model_outputs", "multistep_uni_c_bh_update",
        "multistep_uni_p_bh_update", "predict_x0", "sigmas", "solver_p", "step_index",
    ),
}  # fmt: skip
"""The attributes of diffusers' objects that modules here read, by the name of their class."""
ARGUMENTS: dict[str, tuple[str, ...]] = {
    "WanEncoder3d": ("feat_cache", "feat_idx"),
    "WanDecoder3d": ("feat_cache", "feat_idx", "first_chunk"),
}
"""The arguments of `forward` by which the autoencoder's cache is handed in."""
