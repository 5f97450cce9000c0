"""Parts in single files, of every family and form: they load, run, and equal their source within its rounding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from safetensors.torch import load_file

from tests.wan_backend.library import file_forms as forms
from wan_backend.library import recognize, weights_head
from wan_backend.loading import chunked_forward, single_files
from wan_backend.storage.guarded_files import UnusableFile

HALF = torch.bfloat16


def load(file: Path, component: str, dtype: torch.dtype = torch.float32, quantized: bool = False) -> Any:
    components = recognize.recognize_components(weights_head.read_head(file))
    (found,) = [found for found in components if found.component == component]
    return single_files.load(found, dtype, quantized)


@torch.no_grad()
def run_transformer(module: Any) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    config = module.config

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator).to(module.dtype)

    more: dict[str, Any] = {}
    if "Seeing" in type(module).__name__ or config.get("image_dim"):
        pictures = 2 if config.get("pos_embed_seq_len") else 1
        more["encoder_hidden_states_image"] = noise(pictures, forms.TOKENS, forms.IMAGE_WIDTH)
    if "VACE" in type(module).__name__:
        more["control_hidden_states"] = noise(1, 96, 2, 4, 4)
    if "Camera" in type(module).__name__:
        chunked_forward.make_chunked(module)
        numbers = [1.0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0.6, 0.9, 0.5, 0.5]
        more["cameras"] = torch.tensor(numbers).view(1, 16, 1, 1).expand(-1, -1, 2, 4).clone()
        more["cameras"][0, 3] = torch.arange(8).view(2, 4)
    latents = noise(1, config.in_channels, 2, 4, 4)
    words = noise(1, chunked_forward.TEXT_TOKENS if "cameras" in more else 6, forms.TEXT_WIDTH)
    return module(latents, torch.tensor([500]), words, return_dict=False, **more)[0].float()


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Equal but for the last bits, which hang on where in memory the weights lie."""
    return far(one, other) < 1e-5


def far(one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest difference, as a part of the spread."""
    return float((one - other).abs().max() / one.std())


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model.", "diffusion_model."])
@pytest.mark.parametrize("architecture", forms.FAMILIES)
def test_every_family_loads_by_its_published_names(tmp_path, architecture, prefix):
    source = forms.transformer(architecture)
    file = forms.write(
        tmp_path / "t.safetensors", forms.prefixed(forms.published("transformer", forms.weights_of(source)), prefix)
    )
    module = load(file, "transformer")
    assert type(module) is type(source)
    assert same(run_transformer(module), run_transformer(source))


def test_published_names_are_the_real_ones():
    """A few as they stand in the published files, so that writer and reader can't be wrong together."""
    names = set(forms.published("transformer", forms.weights_of(forms.transformer("first_and_last"))))
    assert {
        "patch_embedding.weight", "time_embedding.0.weight", "time_projection.1.bias", "text_embedding.2.weight",
        "head.modulation", "head.head.weight", "img_emb.emb_pos", "img_emb.proj.0.weight", "img_emb.proj.4.bias",
        "blocks.0.modulation", "blocks.1.self_attn.q.weight", "blocks.1.self_attn.norm_k.weight", "blocks.0.norm3.bias",
        "blocks.0.cross_attn.k_img.weight", "blocks.0.cross_attn.norm_k_img.weight", "blocks.0.cross_attn.o.bias",
        "blocks.0.ffn.0.weight", "blocks.0.ffn.2.bias",
    } <= names  # fmt: skip
    names = set(forms.published("transformer", forms.weights_of(forms.transformer("control"))))
    assert {"vace_patch_embedding.weight", "vace_blocks.0.before_proj.weight", "vace_blocks.1.after_proj.bias"} <= names
    names = set(forms.published("vae", forms.weights_of(forms.vae())))
    assert {
        "conv1.weight", "encoder.conv1.weight", "encoder.downsamples.2.shortcut.weight", "decoder.head.0.gamma",
        "encoder.downsamples.3.time_conv.weight", "decoder.upsamples.2.resample.1.weight", "encoder.head.2.bias",
        "decoder.upsamples.3.residual.6.weight", "decoder.middle.1.to_qkv.weight", "decoder.middle.2.residual.0.gamma",
    } <= names  # fmt: skip
    names = set(forms.published("vae", forms.weights_of(forms.vae(patched=True))))
    assert {
        "encoder.downsamples.1.downsamples.0.shortcut.weight", "encoder.downsamples.1.downsamples.1.time_conv.bias",
        "decoder.upsamples.0.upsamples.1.residual.2.weight", "decoder.upsamples.1.upsamples.2.resample.1.weight",
    } <= names  # fmt: skip


def test_names_of_diffusers_load_too(tmp_path):
    source = forms.transformer("control")
    module = load(forms.write(tmp_path / "t.safetensors", forms.weights_of(source)), "transformer")
    assert same(run_transformer(module), run_transformer(source))


def _forms() -> dict[str, Any]:
    return {
        "bf16": lambda w: forms.cast(w, HALF),
        "fp16": lambda w: forms.cast(w, torch.float16),
        "fp8": forms.plain_fp8,
        "scale_weight": forms.scaled_fp8,
        "weight_scale": lambda w: forms.scaled_fp8(w, "weight_scale"),
        "a scale a row": lambda w: forms.scaled_fp8(w, per_row=True),
    }


@pytest.mark.parametrize(("form", "most"), [
    ("bf16", 0.05), ("fp16", 0.01), ("fp8", 0.7), ("scale_weight", 0.5), ("weight_scale", 0.5), ("a scale a row", 0.5),
])  # fmt: skip
def test_every_form_equals_its_source_within_its_rounding(tmp_path, form, most):
    source = forms.transformer("text")
    made = _forms()[form](forms.published("transformer", forms.weights_of(source)))
    module = load(forms.write(tmp_path / "t.safetensors", made), "transformer")
    for name, weight in module.state_dict().items():
        step = {"bf16": 2**-8, "fp16": 2**-10}.get(form, 2**-4)  # of the number itself; fp8 has three bits
        least = source.state_dict()[name].abs().max() / 256 if "scale" in form or form == "fp8" else 1e-6
        assert torch.all((weight - source.state_dict()[name]).abs() <= step * source.state_dict()[name].abs() + least)
    assert 0 < far(run_transformer(source), run_transformer(module)) < most


def test_scaled_fp8_is_what_its_numbers_say(tmp_path):
    """Not only near the source: exactly each number times its scale."""
    made = forms.scaled_fp8(forms.published("transformer", forms.weights_of(forms.transformer("text"))), per_row=True)
    module = load(forms.write(tmp_path / "t.safetensors", made), "transformer")
    name = "blocks.1.ffn.2"
    wanted = made[f"{name}.weight"].float() * made[f"{name}.scale_weight"]
    assert torch.equal(module.blocks[1].ffn.net[2].weight, wanted)


@pytest.mark.parametrize("quantized", [False, True])
@pytest.mark.parametrize("form", ["quanto", "lightx2v", "blocks", "tiles"])
def test_eight_bit_forms_are_what_their_numbers_say(tmp_path, form, quantized):
    made = forms.eight_bit(forms.published("transformer", forms.weights_of(forms.transformer("text"))), form)
    module = load(forms.write(tmp_path / "t.safetensors", made), "transformer", quantized=quantized)
    layer, wanted = module.blocks[1].ffn.net[2], forms.multiplied_out(made, "blocks.1.ffn.2", form)
    kept = type(layer).__name__ == "EightBitLinear"
    assert kept == (quantized and form in ("quanto", "lightx2v"))
    assert torch.equal(layer.weight_in(torch.float32) if kept else layer.weight, wanted)


@pytest.mark.parametrize("how", ["merged", "flat"])
def test_gguf_of_converters_that_leave_no_note(tmp_path, how):
    weights = forms.published("transformer", forms.weights_of(forms.transformer("control")))
    noted = load(forms.write_gguf(tmp_path / "a.gguf", weights, "Q8_0"), "transformer")
    other = load(forms.write_gguf(tmp_path / "b.gguf", weights, "Q8_0", unnoted=how), "transformer")
    assert same(run_transformer(noted), run_transformer(other))


def test_gguf_whose_biases_are_blocks_too(tmp_path):
    weights = forms.published("transformer", forms.weights_of(forms.transformer("text")))
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "wan")
    quant = gguf.GGMLQuantizationType.Q8_0
    for name, weight in weights.items():
        values = weight.numpy()[:, :, 0] if weight.ndim == 5 else weight.numpy()
        if name.startswith("blocks") and name.endswith(".bias"):
            writer.add_tensor(name, gguf.quantize(values[None], quant)[0], raw_dtype=quant)
        else:
            writer.add_tensor(name, values.copy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    module = load(tmp_path / "a.gguf", "transformer")
    assert far(run_transformer(forms.transformer("text")), run_transformer(module)) < 0.05


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "Q5_1", "BF16", "F16"])
@pytest.mark.parametrize("quantized", [False, True])
def test_gguf_equals_its_source_within_its_rounding(tmp_path, kind, quantized):
    source = forms.transformer("text")
    file = forms.write_gguf(tmp_path / "t.gguf", forms.published("transformer", forms.weights_of(source)), kind)
    module = load(file, "transformer", quantized=quantized)
    most = {"Q8_0": 0.1, "Q4_0": 1.5, "Q5_1": 0.8}.get(kind, 0.05)
    assert 0 <= far(run_transformer(source), run_transformer(module)) < most
    kept = type(module.blocks[0].attn1.to_q).__name__ == "GGUFLinear"
    assert kept == (quantized and kind.startswith("Q"))


def test_gguf_kept_in_its_blocks_equals_gguf_taken_apart(tmp_path):
    source = forms.transformer("control")
    file = forms.write_gguf(tmp_path / "t.gguf", forms.published("transformer", forms.weights_of(source)), "Q4_0")
    apart, kept = load(file, "transformer"), load(file, "transformer", quantized=True)
    assert far(run_transformer(apart), run_transformer(kept)) < 0.02
    kept_bytes = sum(weight.numel() * weight.element_size() for weight in kept.parameters())
    assert kept_bytes < 0.4 * sum(weight.numel() * weight.element_size() for weight in apart.parameters())


def test_gguf_of_one_that_a_camera_steers_is_kept_in_its_blocks(tmp_path):
    source = forms.transformer("camera", ffn_dim=4096)  # most of its weights are in its blocks, as in large ones
    weights = forms.published("transformer", forms.weights_of(source))
    file = forms.write_gguf(tmp_path / "t.gguf", weights, "Q8_0")
    apart, kept = load(file, "transformer"), load(file, "transformer", quantized=True)
    assert type(kept) is type(apart) and type(kept.blocks[0].attn1.to_q).__name__ == "GGUFLinear"
    assert far(run_transformer(apart), run_transformer(kept)) < 0.02


def test_gguf_in_its_blocks_can_be_streamed(tmp_path):
    weights = forms.published("transformer", forms.weights_of(forms.transformer("text")))
    kept = load(forms.write_gguf(tmp_path / "t.gguf", weights, "Q8_0"), "transformer", quantized=True)
    wanted = run_transformer(kept)
    kept.to("cpu")
    cpu = torch.device("cpu")
    kept.enable_group_offload(
        onload_device=cpu, offload_device=cpu, offload_type="block_level", num_blocks_per_group=1, use_stream=False
    )
    assert same(run_transformer(kept), wanted)


@pytest.mark.parametrize("kind", ["Q4_K", "Q6_K", "Q3_K"])
def test_the_blocks_of_most_gguf_files(tmp_path, kind):
    """No library writes these, so random blocks are: what each way of loading makes of them must agree."""
    settings = {"num_attention_heads": 2, "ffn_dim": 256, "text_dim": 256, "freq_dim": 256}
    weights = forms.published("transformer", forms.weights_of(forms.transformer("text", **settings)))
    file = forms.write_random_blocks(tmp_path / "t.gguf", weights, kind)
    apart, kept = load(file, "transformer"), load(file, "transformer", quantized=True)
    assert type(kept.blocks[0].attn1.to_q).__name__ == "GGUFLinear"
    assert all(torch.isfinite(weight).all() for weight in apart.parameters())
    latents, words = torch.randn(1, 16, 2, 4, 4), torch.randn(1, 6, 256)
    made = [module(latents, torch.tensor([500]), words, return_dict=False)[0].detach() for module in (apart, kept)]
    assert far(*made) < 0.05


@pytest.mark.parametrize("form", ["bf16", "scale_weight"])
def test_in_bfloat16_what_diffusers_keeps_in_float32_stays_so(tmp_path, form):
    source = forms.transformer("text")
    source.save_pretrained(tmp_path / "folder")
    folder = type(source).from_pretrained(tmp_path / "folder", dtype=HALF)
    made = _forms()[form](forms.published("transformer", forms.weights_of(source)))
    module = load(forms.write(tmp_path / "t.safetensors", made), "transformer", HALF)
    assert {n: w.dtype for n, w in module.named_parameters()} == {n: w.dtype for n, w in folder.named_parameters()}
    assert torch.float32 in {weight.dtype for weight in module.parameters()}
    run_transformer(module)


@torch.no_grad()
@pytest.mark.parametrize("naming", ["published", "diffusers"])
@pytest.mark.parametrize("patched", [False, True])
def test_autoencoders_load_and_run(tmp_path, patched, naming):
    source = forms.vae(patched)
    weights = forms.weights_of(source)
    made = forms.published("vae", weights) if naming == "published" else weights
    module = load(forms.write(tmp_path / "vae.safetensors", made), "vae")
    pictures = torch.rand(1, 3, 5, 32, 32, generator=torch.Generator().manual_seed(0))
    latents = [vae.encode(pictures).latent_dist.mode() for vae in (source, module)]
    assert same(*latents)
    assert same(*(vae.decode(latents[0]).sample for vae in (source, module)))
    assert module.config.get("scale_factor_spatial", 8) == (16 if patched else 8)


def test_the_latents_of_wan_2_2_are_normalized_by_its_own_numbers(tmp_path):
    made = forms.published("vae", forms.weights_of(forms.vae(patched=True)))
    config = load(forms.write(tmp_path / "vae.safetensors", made), "vae").config
    assert len(config.latents_mean) == len(config.latents_std) == 48
    assert (config.latents_mean[0], config.latents_std[-1]) == (-0.2289, 0.7744)


@torch.no_grad()
@pytest.mark.parametrize("form", ["comfyui", "comfyui fp8 scaled", "published", "published bf16", "gguf"])
def test_text_encoders_load_and_run(tmp_path, form):
    source = forms.text_encoder()
    weights = forms.weights_of(source)
    if form == "gguf":
        file = forms.write_gguf(tmp_path / "te.gguf", forms.published("llama", weights), "Q8_0", "t5encoder")
    else:
        made = forms.published("text_encoder", weights) if "published" in form else weights
        made = forms.scaled_fp8(made) if "scaled" in form else made
        made = forms.cast(made, HALF) if "bf16" in form else made
        if "comfyui" in form:
            made["spiece_model"] = torch.tensor(list(forms.spiece()), dtype=torch.uint8)
        file = forms.write(tmp_path / "te.safetensors", made)
    module = load(file, "text_encoder")
    ids = torch.tensor([[5, 9, 33, 1]])
    one, other = (encoder(ids).last_hidden_state for encoder in (source, module))
    assert far(one, other) < {"comfyui": 1e-6, "published": 1e-6, "published bf16": 0.1, "gguf": 0.2}.get(form, 0.6)
    assert module.encoder.embed_tokens.weight is module.shared.weight


@torch.no_grad()
@pytest.mark.parametrize("naming", ["published", "comfyui"])
def test_image_encoders_load_and_run(tmp_path, naming):
    source = forms.image_encoder()
    weights = forms.weights_of(source)
    if naming == "published":
        made = forms.published("image_encoder", weights)
    else:
        made = forms.prefixed(weights, "vision_model.")
        made |= {"visual_projection.weight": torch.zeros(8, forms.IMAGE_WIDTH)}
        made |= {"vision_model.embeddings.position_ids": torch.arange(forms.TOKENS)[None]}
    module = load(forms.write(tmp_path / "clip.safetensors", made), "image_encoder")
    pixels = torch.rand(1, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    seen = [encoder(pixels, output_hidden_states=True).hidden_states[-2] for encoder in (source, module)]
    assert same(*seen)


def test_a_checkpoint_of_all_parts(tmp_path):
    source = forms.transformer("text")
    made = forms.prefixed(forms.published("transformer", forms.weights_of(source)), "model.diffusion_model.")
    made |= forms.prefixed(forms.published("vae", forms.weights_of(forms.vae())), "vae.")
    made |= forms.prefixed(forms.weights_of(forms.text_encoder()), "text_encoders.umt5xxl.transformer.")
    file = forms.write(tmp_path / "all.safetensors", made)
    components = [found.component for found in recognize.recognize_components(weights_head.read_head(file))]
    assert sorted(components) == ["text_encoder", "transformer", "vae"]
    assert same(run_transformer(load(file, "transformer")), run_transformer(source))


def test_a_missing_tensor_of_an_autoencoder_is_named(tmp_path):
    made = forms.published("vae", forms.weights_of(forms.vae()))
    del made["decoder.upsamples.3.residual.6.weight"]
    with pytest.raises(UnusableFile, match=r"1 of its tensors are missing, the first is decoder\.up_blocks\.1"):
        load(forms.write(tmp_path / "vae.safetensors", made), "vae")


def test_forms_that_are_not_known_are_refused_before_anything_is_loaded(tmp_path):
    made = forms.scaled_fp8(forms.published("transformer", forms.weights_of(forms.transformer("text"))))
    made["blocks.0.ffn.0.scale_weight"] = torch.ones(3, 4)
    with pytest.raises(UnusableFile, match=r"blocks\.0\.ffn\.0\.scale_weight has the shape \(3, 4\)"):
        load(forms.write(tmp_path / "t.safetensors", made), "transformer")
    made = forms.scaled_fp8(forms.published("transformer", forms.weights_of(forms.transformer("text"))), "weight_scale")
    made["blocks.0.ffn.0.comfy_quant"] = torch.tensor(list(b'{"format": "nvfp4"}'), dtype=torch.uint8)
    with pytest.raises(UnusableFile, match=r"blocks\.0\.ffn\.0\.weight is in nvfp4"):
        load(forms.write(tmp_path / "t2.safetensors", made), "transformer")


def test_writers_write_fp8(tmp_path):
    """So that the tests above are of what they say."""
    made = forms.scaled_fp8(forms.published("transformer", forms.weights_of(forms.transformer("text"))))
    back = load_file(forms.write(tmp_path / "t.safetensors", made))
    assert back["blocks.0.ffn.0.weight"].dtype == torch.float8_e4m3fn and "scaled_fp8" in back
