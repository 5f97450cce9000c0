"""Which LoRAs a model takes, told from a file's head: what of it, or a sentence that says why not."""

from __future__ import annotations

import pytest

from tests.wan_backend.lora import lora_spellings, written_loras
from wan_backend.catalogue.transformer_shapes import shapes
from wan_backend.library.weights_head import StoredTensor
from wan_backend.lora.fit import check_fit, named_experts, read_content
from wan_backend.lora.key_names import Kind, parse_key
from wan_backend.lora.lora_head import LoraHead, UnusableLora

SMALL = {"num_attention_heads": 12, "attention_head_dim": 128, "ffn_dim": 8960, "num_layers": 30}
LARGE = {"num_attention_heads": 40, "attention_head_dim": 128, "ffn_dim": 13824, "num_layers": 40}
SEEING = {**LARGE, "in_channels": 36, "image_dim": 1280, "added_kv_proj_dim": 5120}
VACE = {**SMALL, "vace_layers": list(range(0, 30, 2))}


def lora(config: dict, rank: int = 16, but: tuple[str, ...] = ()) -> dict[str, StoredTensor]:
    """The tensors of one that was trained on every linear layer of a model's blocks."""
    found = {}
    for name, shape in shapes(config).items():
        layer = name.removesuffix(".weight")
        if layer != name and len(shape) == 2 and "blocks." in name and not layer.endswith(but or ("?",)):
            found[f"diffusion_model.{layer}.lora_A.weight"] = StoredTensor("BF16", (rank, shape[1]))
            found[f"diffusion_model.{layer}.lora_B.weight"] = StoredTensor("BF16", (shape[0], rank))
    return found


def why_not(tensors: dict[str, StoredTensor], config: dict, settings: dict | None = None) -> str:
    with pytest.raises(UnusableLora) as refused:
        check_fit(LoraHead(tensors, settings or {}), shapes(config))
    return str(refused.value)


def test_one_that_was_made_for_it_fits_and_one_for_plain_text_to_video_fits_a_control_model():
    assert len(check_fit(LoraHead(lora(SMALL), {}), shapes(SMALL)).layers) == 30 * 10
    assert check_fit(LoraHead(lora(SMALL), {}), shapes(VACE)).layers
    assert check_fit(LoraHead(lora(LARGE), {}), shapes(SEEING)).layers, "what an I2V model has more is left as it is"


def test_one_for_a_wider_model_is_refused_by_both_names():
    said = "was made for a model of 5120 channels (Wan 14B), and this one has 1536 channels (Wan 2.1 1.3B)"
    assert why_not(lora(LARGE), SMALL) == said


def factors(layer: str, outputs: int, inputs: int, rank: int = 4) -> dict[str, StoredTensor]:
    """Those of one layer."""
    down, up = StoredTensor("F16", (rank, inputs)), StoredTensor("F16", (outputs, rank))
    return {f"{layer}.lora_down.weight": down, f"{layer}.lora_up.weight": up}


PATCH_16 = {"diffusion_model.patch_embedding.diff": StoredTensor("F16", (5120, 16, 1, 2, 2))}
PATCH_36 = {"diffusion_model.patch_embedding.diff": StoredTensor("F16", (5120, 36, 1, 2, 2))}
TEXTS = factors("lora_te_encoder_block_0_layer_0_SelfAttention_q", 4096, 4096)
ADAPTER = factors("diffusion_model.blocks.0.adapter", 1536, 1536)
CONTROL = {**LARGE, "vace_layers": list(range(0, 40, 5))}


@pytest.mark.parametrize(
    ("tensors", "config", "kept", "said"),
    [
        (lora(SEEING), LARGE, 400, "80 of its 480 layers have no place in this model (80 for an image encoder)"),
        (lora(SEEING), {**LARGE, "in_channels": 36}, 400, "80 for an image encoder"),
        (lora(SEEING), CONTROL, 400, "80 for an image encoder"),
        ({**lora(LARGE), **PATCH_36}, LARGE, 400, "1 of its 401 layers has no place in this model (1 for latents of"),
        ({**lora(LARGE), **PATCH_16}, {**LARGE, "in_channels": 36}, 400, "1 for latents of another size"),
        ({**lora(SEEING), **PATCH_36}, LARGE, 400, "(80 for an image encoder, 1 for latents of another size)"),
        (lora(VACE), SMALL, 300, "166 of its 466 layers have no place in this model (166 for control footage (VACE))"),
        (
            {**lora(SMALL), **TEXTS},
            SMALL,
            300,
            "1 of its 301 layers has no place in this model (1 for the text encoder)",
        ),
        ({**lora(SMALL), **ADAPTER}, SMALL, 300, "1 for layers that Wan doesn't have"),
        ({**lora(SMALL), "some.thing": StoredTensor("F16", (1,))}, SMALL, 300, "1 for layers that Wan doesn't have"),
    ],
    ids=str,
)
def test_what_the_model_has_no_place_for_is_passed_over_and_said(tensors, config, kept, said):
    found = check_fit(LoraHead(tensors, {}), shapes(config))
    assert len(found.layers) == kept and not found.differences
    assert said in found.skipped_clause() and found.skipped_clause().endswith("skipped")


def test_what_fits_whole_has_nothing_said_of_it():
    found = check_fit(LoraHead({**lora(SEEING), **PATCH_36}, {}), shapes(SEEING))
    assert len(found.layers) == 480 and len(found.differences) == 1 and found.skipped_clause() == ""


def test_what_would_be_skipped_for_the_most_part_is_refused():
    looks = {key: tensor for key, tensor in lora(SEEING).items() if "add_" in key}
    assert why_not(looks, LARGE).startswith(
        "changes how a model looks through an image encoder, which this one doesn't have"
    )
    some = {key: tensor for key, tensor in lora(LARGE).items() if ".attn2.to_k." in key}
    assert why_not({**looks, **some}, LARGE).startswith(
        "was made for another model: 80 of its 120 layers are for an image"
    )
    control = {key: tensor for key, tensor in lora(VACE).items() if ".vace_blocks." in key}
    assert why_not(control, SMALL).startswith(
        "changes how a model follows control footage (VACE), which this one doesn't"
    )
    assert why_not(TEXTS, SMALL) == "only changes a text encoder that no Wan model uses"


def test_one_for_a_deeper_model_is_refused():
    why = why_not(lora({**SMALL, "num_layers": 40}), SMALL)
    assert why.startswith("was made for a model of at least 40 blocks, and this one has 30: 100 of its 400 layers")


def test_whole_matrices_that_wan_has_not_are_refused():
    """As those of a pose embedding, which a LoRA beside them relies on."""
    strange = {"diffusion_model.dwpose_embedding.0.weight": StoredTensor("F16", (3, 3, 16, 16))}
    why = why_not({**lora(SMALL), **strange}, SMALL)
    assert why == "would load only in part: tensor diffusion_model.dwpose_embedding.0.weight can't be understood"


def test_numbers_that_lie_flat_or_in_more_sides_are_the_same_numbers():
    flat = factors("diffusion_model.patch_embedding", 5120, 64)
    long = {
        "diffusion_model.blocks.0.self_attn.q.lora_down.weight": StoredTensor("F16", (4, 5120, 1, 1)),
        "diffusion_model.blocks.0.self_attn.q.lora_up.weight": StoredTensor("F16", (5120, 4, 1, 1)),
        "diffusion_model.blocks.0.diff_m": StoredTensor("F16", (6, 5120)),
    }
    found = check_fit(LoraHead({**flat, **long}, {}), shapes(LARGE))
    assert set(found.layers) == {"patch_embedding", "blocks.0.attn1.to_q"} and not found.skipped_clause()
    assert set(found.differences) == {"blocks.0.scale_shift_table"}


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
    pair = {
        f"{key}.lora_down.weight": StoredTensor("F16", (4, 64)),
        f"{key}.lora_up.weight": StoredTensor("F16", (64, 4)),
    }
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
        ("lora_E", "AdaLoRA"),
        ("vera_lambda_b", "VeRA"),
    ],
)
def test_other_kinds_are_refused_by_name(ending, kind):
    other = {f"lora_unet_blocks_0_self_attn_q.{ending}": StoredTensor("F16", (4, 4))}
    assert why_not({**lora(SMALL), **other}, SMALL) == f"is of the kind {kind}, which can't be loaded; only LoRA can"
    assert "of the kind LOKR" in why_not(lora(SMALL), SMALL, {"peft_type": "LOKR"})


@pytest.mark.parametrize(
    "layer", ["diffusion_model.blocks.0.self_attn.q", "lora_unet_blocks_0_self_attn_q", "head.head"]
)
@pytest.mark.parametrize("ending", ["bias", "base_layer.bias", "gate", "scale"])
def test_what_may_change_a_layer_of_wans_in_another_way_is_not_passed_over(layer, ending):
    key = f"{layer}.{ending}"
    for shape in ((1536,), (1,), ()):
        why = why_not({**lora(SMALL), key: StoredTensor("F32", shape)}, SMALL)
        assert why == f"would load only in part: tensor {key} can't be understood"
    assert check_fit(LoraHead({**lora(SMALL), f"{layer}.lora_rank": StoredTensor("I64", ())}, {}), shapes(SMALL)).layers


def test_biases_of_its_own_go_with_the_factors_or_it_is_refused():
    one = "diffusion_model.blocks.3.self_attn.q"
    own = {f"{one}.lora_B.bias": StoredTensor("BF16", (1536,)), f"{one}.lora_A.bias": StoredTensor("BF16", (16,))}
    layer = check_fit(LoraHead({**lora(SMALL), **renamed(own)}, {}), shapes(SMALL)).layers["blocks.3.attn1.to_q"]
    assert layer.up_bias and layer.down_bias
    for side, length in (("A", 1536), ("B", 16)):
        wrong = renamed({f"{one}.lora_{side}.bias": StoredTensor("BF16", (length,))})
        assert "has a bias that doesn't go with its factors" in why_not({**lora(SMALL), **wrong}, SMALL)


def renamed(tensors: dict[str, StoredTensor]) -> dict[str, StoredTensor]:
    return {key.replace("self_attn.q", "attn1.to_q"): tensor for key, tensor in tensors.items()}


@pytest.mark.parametrize("kind", ["I8", "U8", "F8_E8M0", "I32", "F4"])
def test_factors_that_are_packed_are_refused_and_not_taken_for_numbers(kind):
    packed = {key: StoredTensor(kind, tensor.shape) for key, tensor in lora(SMALL).items()}
    assert f"holds numbers that are packed ({kind}," in why_not(packed, SMALL)
    difference = {"diffusion_model.blocks.0.norm3.diff": StoredTensor(kind, (1536,))}
    assert f"packed ({kind}," in why_not({**lora(SMALL), **difference}, SMALL)


@pytest.mark.parametrize(
    ("kind", "shape", "good"),
    [("F32", (), True), ("BF16", (1,), True), ("I64", (1, 1), True), ("F8_E4M3", (), True),
     ("F32", (16,), False), ("C64", (), False)],
)  # fmt: skip
def test_an_alpha_is_one_number_whatever_its_format(kind, shape, good):
    alpha = {"diffusion_model.blocks.0.attn1.to_q.alpha": StoredTensor(kind, shape)}
    if good:
        assert check_fit(LoraHead({**lora(SMALL), **alpha}, {}), shapes(SMALL)).layers
    else:
        assert "an alpha that is not a single number" in why_not({**lora(SMALL), **alpha}, SMALL)


@pytest.mark.parametrize(
    ("pattern", "alpha"),
    [("attn1.to_q", 4.0), ("^blocks.0.attn1.to_q", 4.0), (r"blocks\.\d+\.attn1\.to_q", 4.0),
     (r"blocks\.[0-9]+\.attn1\.to_q$", 4.0), (r"blocks\.1\.attn1\.to_q", 8.0), ("to_k", 8.0), ("q", 8.0)],
)  # fmt: skip
def test_patterns_of_the_trainers_settings_are_read_as_peft_reads_them(pattern, alpha):
    settings = {"lora_alpha": 8, "alpha_pattern": {pattern: 4}}
    assert read_content(LoraHead(lora(SMALL), settings)).layers["blocks.0.attn1.to_q"].config_alpha == alpha


@pytest.mark.parametrize("pattern", ["(a+)+b", ".*.*.*x", r"\d+\d+\d+\d+\d+\d+", "[^q]*", "a{9}"])
def test_patterns_that_might_be_looked_for_without_end_are_refused(pattern):
    assert "alpha_pattern" in why_not(lora(SMALL), SMALL, {"lora_alpha": 8, "alpha_pattern": {pattern: 4}})


def test_a_dora_that_lost_its_magnitudes_is_none():
    assert "magnitudes are missing" in why_not(lora(SMALL), SMALL, {"use_dora": True})
    assert check_fit(LoraHead(lora(SMALL), {"use_dora": False}), shapes(SMALL)).layers


@pytest.mark.parametrize("start", ["pissa", "pissa_niter_16", "olora", "corda", "loftq"])
def test_one_whose_model_was_changed_before_is_refused(start):
    assert "weights that were changed before" in why_not(lora(SMALL), SMALL, {"init_lora_weights": start})
    assert check_fit(LoraHead(lora(SMALL), {"init_lora_weights": "gaussian"}), shapes(SMALL)).layers


def test_a_whole_model_and_an_empty_file_are_no_lora():
    whole = {name: StoredTensor("BF16", shape) for name, shape in shapes(SMALL).items()}
    assert why_not(whole, SMALL) == "is not a LoRA; its tensors have other names"
    assert why_not({}, SMALL) == "is not a LoRA; its tensors have other names"


def test_a_factor_that_is_missing_or_does_not_go_with_the_other_is_named():
    tensors = lora(SMALL)
    key = "diffusion_model.blocks.3.ffn.net.2.lora_B.weight"
    less = {name: tensor for name, tensor in tensors.items() if name != key}
    assert why_not(less, SMALL) == "is incomplete: a factor of blocks.3.ffn.net.2 is missing; download it again"
    wrong = {**tensors, key: StoredTensor("BF16", (1536, 8))}
    assert "factors for blocks.3.ffn.net.2 that don't go together (16 x 8960 and 1536 x 8)" in why_not(wrong, SMALL)
    wrong = {**tensors, key: StoredTensor("BF16", (1000, 16))}
    assert "its blocks.3.ffn.net.2 is 1000 x 8960, here it is 1536 x 8960" in why_not(wrong, SMALL)


def test_two_loras_in_one_file_are_refused():
    pair = lora(SMALL)
    other = {
        name.replace("lora_A.", "lora_A.other.").replace("lora_B.", "lora_B.other."): t for name, t in pair.items()
    }
    assert "has two tensors for the same purpose" in why_not({**pair, **other}, SMALL)


@pytest.mark.parametrize("first", ["diffusion_model.transformer_1.", "transformer.", "pipe.dit."])
def test_a_file_for_two_transformers_is_each_ones_by_its_keys(first):
    second = {"pipe.dit.": "pipe.dit2.", "transformer.": "transformer_2."}.get(first, "diffusion_model.transformer_2.")
    plain = lora(SMALL)
    less = {key: tensor for key, tensor in plain.items() if "blocks.0." not in key}
    high = {key.replace("diffusion_model.", first): tensor for key, tensor in plain.items()}
    low = {key.replace("diffusion_model.", second): tensor for key, tensor in less.items()}
    head = LoraHead({**high, **low}, {})
    assert named_experts(head) == {"high", "low"}
    assert len(check_fit(head, shapes(SMALL), "high").layers) == 300
    assert len(check_fit(head, shapes(SMALL), "low").layers) == 290
    assert "holds a LoRA for each of the two experts" in why_not(dict(head.tensors), SMALL)
    assert (
        named_experts(LoraHead(low, {})) == {"low"} and len(check_fit(LoraHead(low, {}), shapes(SMALL)).layers) == 290
    )


@pytest.mark.parametrize("seen", lora_spellings.KEYS, ids=lambda seen: seen.key)
def test_rarer_keys_are_understood(seen):
    said = parse_key(seen.key)
    assert (said.name, said.kind, said.expert) == (seen.name, seen.kind, seen.expert)


def test_it_is_known_where_each_spelling_was_seen():
    assert set(lora_spellings.SEEN) == set(written_loras.SPELLINGS)


def test_a_models_own_weight_is_no_key_of_a_lora():
    assert parse_key("blocks.0.self_attn.q.weight").kind is Kind.UNKNOWN


def test_a_trainers_setting_that_is_no_number_is_refused():
    for alpha in (float("nan"), float("inf"), True, "16"):
        assert "settings beside it (lora_alpha) that are not numbers" in why_not(
            lora(SMALL), SMALL, {"lora_alpha": alpha}
        )
