"""Which LoRAs a model takes, told from a file's head: whole, or a sentence that says why not. No torch."""

from __future__ import annotations

import pytest

from wan_backend.models.lora_file import Head, Tensor, Unusable
from wan_backend.models.lora_fit import check
from wan_backend.models.lora_names import Kind, NoLora, meaning
from wan_backend.models.transformer_shapes import shapes

SMALL = {"num_attention_heads": 12, "attention_head_dim": 128, "ffn_dim": 8960, "num_layers": 30}
LARGE = {"num_attention_heads": 40, "attention_head_dim": 128, "ffn_dim": 13824, "num_layers": 40}
SEEING = {**LARGE, "in_channels": 36, "image_dim": 1280, "added_kv_proj_dim": 5120}
VACE = {**SMALL, "vace_layers": list(range(0, 30, 2))}


def lora(config: dict, rank: int = 16, but: tuple[str, ...] = ()) -> dict[str, Tensor]:
    """The tensors of one that was trained on every linear layer of a model's blocks."""
    found = {}
    for name, shape in shapes(config).items():
        layer = name.removesuffix(".weight")
        if layer != name and len(shape) == 2 and "blocks." in name and not layer.endswith(but or ("?",)):
            found[f"diffusion_model.{layer}.lora_A.weight"] = Tensor("BF16", (rank, shape[1]))
            found[f"diffusion_model.{layer}.lora_B.weight"] = Tensor("BF16", (shape[0], rank))
    return found


def why_not(tensors: dict[str, Tensor], config: dict, settings: dict | None = None) -> str:
    with pytest.raises(Unusable) as refused:
        check(Head(tensors, settings or {}), shapes(config))
    return str(refused.value)


def test_one_that_was_made_for_it_fits_and_one_for_plain_text_to_video_fits_a_control_model():
    assert len(check(Head(lora(SMALL), {}), shapes(SMALL)).layers) == 30 * 10
    assert check(Head(lora(SMALL), {}), shapes(VACE)).layers
    assert check(Head(lora(LARGE), {}), shapes(SEEING)).layers, "what an I2V model has more is left as it is"


def test_one_for_a_wider_model_is_refused_by_both_names():
    said = "was made for a model of 5120 channels (Wan 14B), and this one has 1536 channels (Wan 2.1 1.3B)"
    assert why_not(lora(LARGE), SMALL) == said


def test_one_for_image_to_video_is_refused_by_a_text_model():
    why = why_not(lora(SEEING), LARGE)
    assert why.startswith("was made for image to video with an image encoder, which this model has not: 80 of its 480")


def test_one_for_the_channels_of_an_image_model_is_refused():
    patch = {"diffusion_model.patch_embedding.diff": Tensor("F16", (5120, 36, 1, 2, 2))}
    why = why_not({**lora(LARGE), **patch}, LARGE)
    assert why == "was made for a model that takes 36 channels of latents, and this one takes 16"


def test_one_for_a_control_model_is_refused_by_a_plain_one():
    assert why_not(lora(VACE), SMALL).startswith("was made for a control model (VACE), which this is not: 166 of its")


def test_one_for_a_deeper_model_is_refused():
    why = why_not(lora({**SMALL, "num_layers": 40}), SMALL)
    assert why.startswith("was made for a model of at least 40 blocks, and this one has 30: 100 of its 400 layers")


def test_what_would_load_in_part_is_refused_with_what_is_left_over():
    extra = {
        "diffusion_model.blocks.0.adapter.lora_A.weight": Tensor("F16", (16, 1536)),
        "diffusion_model.blocks.0.adapter.lora_B.weight": Tensor("F16", (1536, 16)),
    }
    why = why_not({**lora(SMALL), **extra}, SMALL)
    assert why.startswith("would load in part: 1 of its 301 layers have no place here, as diffusion_model.blocks.0.ada")
    strange = {"some.thing": Tensor("F16", (1,))}
    assert why_not({**lora(SMALL), **strange}, SMALL) == ("would load in part: tensor some.thing can't be understood")


@pytest.mark.parametrize(
    ("key", "named"),
    [
        ("transformer.single_transformer_blocks.0.attn.to_q", "such as Flux, LTX"),
        ("lora_unet_double_blocks_0_img_attn_proj", "such as Flux or Hunyuan Video"),
        ("diffusion_model.transformer_blocks.0.attn1.to_k", "such as Flux, LTX"),
        ("lora_unet_down_blocks_0_attentions_0_proj_in", "such as Stable Diffusion"),
        ("diffusion_model.layers.0.attention.qkv", "made for another model:"),
    ],
)
def test_one_for_another_model_is_refused_by_its_name_where_that_is_known(key, named):
    pair = {f"{key}.lora_down.weight": Tensor("F16", (4, 64)), f"{key}.lora_up.weight": Tensor("F16", (64, 4))}
    assert named in why_not(pair, SMALL)


@pytest.mark.parametrize(
    ("ending", "kind"),
    [
        ("hada_w1_a", "LoHa"),
        ("lokr_w1", "LoKr"),
        ("dora_scale", "DoRA"),
        ("lora_magnitude_vector.default.weight", "DoRA"),
        ("oft_blocks", "OFT"),
        ("lora_mid.weight", "LoCon with a middle factor"),
        ("lora_B.bias", "LoRA with biases of its own"),
    ],
)
def test_other_kinds_are_refused_by_name(ending, kind):
    other = {f"lora_unet_blocks_0_self_attn_q.{ending}": Tensor("F16", (4, 4))}
    assert why_not({**lora(SMALL), **other}, SMALL) == f"is of the kind {kind}, which can't be loaded; only LoRA can"
    assert "of the kind LOKR" in why_not(lora(SMALL), SMALL, {"peft_type": "LOKR"})


def test_a_whole_model_and_an_empty_file_are_no_lora():
    whole = {name: Tensor("BF16", shape) for name, shape in shapes(SMALL).items()}
    assert why_not(whole, SMALL) == "is no LoRA; its tensors have other names"
    assert why_not({}, SMALL) == "is no LoRA; its tensors have other names"


def test_a_factor_that_is_missing_or_does_not_go_with_the_other_is_named():
    tensors = lora(SMALL)
    key = "diffusion_model.blocks.3.ffn.net.2.lora_B.weight"
    less = {name: tensor for name, tensor in tensors.items() if name != key}
    assert why_not(less, SMALL) == "is not whole: a factor of blocks.3.ffn.net.2 is missing; download it again"
    wrong = {**tensors, key: Tensor("BF16", (1536, 8))}
    assert "factors for blocks.3.ffn.net.2 that don't go together (16 x 8960 and 1536 x 8)" in why_not(wrong, SMALL)
    wrong = {**tensors, key: Tensor("BF16", (1000, 16))}
    assert "its blocks.3.ffn.net.2 is 1000 x 8960, here it is 1536 x 8960" in why_not(wrong, SMALL)


def test_two_loras_in_one_file_are_refused():
    pair = lora(SMALL)
    other = {
        name.replace("lora_A.", "lora_A.other.").replace("lora_B.", "lora_B.other."): t for name, t in pair.items()
    }
    assert "has two tensors for one purpose" in why_not({**pair, **other}, SMALL)
    second = {name.replace("diffusion_model.", "transformer_2."): tensor for name, tensor in pair.items()}
    assert "for two transformers" in why_not(second, SMALL)


@pytest.mark.parametrize(
    ("key", "name", "kind"),
    [
        ("head.diff_m", "scale_shift_table", Kind.DIFFERENCE),
        ("diffusion_model.blocks.7.diff_m", "blocks.7.scale_shift_table", Kind.DIFFERENCE),
        ("diffusion_model.blocks.7.modulation.diff", "blocks.7.scale_shift_table", Kind.DIFFERENCE),
        ("blocks.7.cross_attn.norm_k_img.diff", "blocks.7.attn2.norm_added_k.weight", Kind.DIFFERENCE),
        ("diffusion_model.img_emb.proj.1.diff_b", "condition_embedder.image_embedder.ff.net.0.proj.bias", "difference"),
        ("diffusion_model.time_projection.1.lora_down.weight", "condition_embedder.time_proj", Kind.DOWN),
        ("lora_unet_head_head.alpha", "proj_out", Kind.ALPHA),
        ("lora_unet__blocks_0_ffn_2.lora_down.weight", "blocks.0.ffn.net.2", Kind.DOWN),
        ("vace_blocks.2.after_proj.lora_B.default.weight", "vace_blocks.2.proj_out", Kind.UP),
        ("lora_unet_vace_blocks_2_self_attn_o.lora_up.weight", "vace_blocks.2.attn1.to_out.0", Kind.UP),
    ],
)
def test_rarer_keys_are_understood(key, name, kind):
    said = meaning(key)
    assert (said.name, said.kind) == (name, kind)
    with pytest.raises(NoLora):
        meaning("blocks.0.self_attn.q.weight")
