"""Files of models as portals, hubs and programs have them: written small, with true names and shapes.

`make` gives a models folder. `heads_only` writes files of full size that are holes; `file_forms` small whole ones.
"""

from __future__ import annotations

from pathlib import Path

from .entry import Entry, Make
from .what_holds import model_refused, parts_are


def files(**contents: bytes) -> Make:
    """A models folder with these files; __ in a name is a dot."""

    def make(folder: Path) -> Path:
        for name, content in contents.items():
            (folder / name.replace("__", ".")).write_bytes(content)
        return folder

    return make


def holes(name: str, dtype: str = "BF16", **shape: int) -> Make:
    """A transformer of full size by its head (heads_only.py in tests/wan_backend/library: its width, layers...)."""

    def make(folder: Path) -> Path:
        from tests.wan_backend.library import heads_only

        heads_only.write(folder / name, heads_only.transformer(**shape), dtype)
        return folder

    return make


def transformers(*names: str, channels: int = 16, control: int = 0, width: int = 5120, layers: int = 40) -> Make:
    """Transformers of a 14B by their heads, one of each name, which may begin with folders."""

    def make(folder: Path) -> Path:
        from tests.wan_backend.library import heads_only

        for name in names:
            shapes = heads_only.transformer(width, layers, channels, control=control)
            heads_only.write(folder / f"{name}.safetensors", shapes, "F16")
        return folder

    return make


def eight_bit(name: str, kind: str, scale: str, across: int = 0, scale_kind: str = "F32") -> Make:
    """A 1.3B with the blocks' matrices in 8 bit, and a scale a row, or one of so many numbers."""

    def make(folder: Path) -> Path:
        from tests.wan_backend.library import heads_only

        shapes, others = {}, {}
        for tensor, shape in heads_only.transformer().items():
            packed = len(shape) == 2 and tensor.startswith("blocks")
            own = tensor + ("._data" if packed and scale == "._scale" else "")
            shapes[own] = shape
            if packed:
                stem = tensor if scale == "._scale" else tensor.removesuffix(".weight")
                shapes[stem + scale] = (shape[0], shape[1] // across if across else 1)
                others |= {own: kind, stem + scale: scale_kind}
        heads_only.write(folder / name, shapes, others=others)
        return folder

    return make


def renamed(name: str, before: str = "", **more: tuple[int, ...]) -> Make:
    """A 1.3B with something before every name, and tensors beside; __ in a name is a dot."""

    def make(folder: Path) -> Path:
        from tests.wan_backend.library import heads_only

        shapes = {before + tensor: shape for tensor, shape in heads_only.transformer().items()}
        heads_only.write(folder / name, {**shapes, **{key.replace("__", "."): shape for key, shape in more.items()}})
        return folder

    return make


def packed_otherwise(name: str, ending: str, beside: str = "") -> Make:
    """A 1.3B whose matrices have another ending, or something beside each."""

    def make(folder: Path) -> Path:
        from tests.wan_backend.library import heads_only

        shapes: dict[str, tuple[int, ...]] = {}
        for tensor, shape in heads_only.transformer().items():
            packed = tensor.startswith("blocks.") and len(shape) == 2 and tensor.endswith(".weight")
            shapes[tensor.removesuffix("weight") + ending if packed else tensor] = shape
            if packed and beside:
                shapes[tensor + beside] = (shape[0],)
        heads_only.write(folder / name, shapes)
        return folder

    return make


def control_alone(name: str) -> Make:
    """The control of a 14B's VACE, and nothing else."""

    def make(folder: Path) -> Path:
        from tests.wan_backend.library import heads_only

        shapes = heads_only.transformer(5120, 40, control=8)
        heads_only.write(folder / name, {key: shape for key, shape in shapes.items() if key.startswith("vace_")})
        return folder

    return make


def piece(name: str, blocks: range) -> Make:
    """Those blocks of a 1.3B, and nothing else."""

    def make(folder: Path) -> Path:
        from tests.wan_backend.library import heads_only

        names = tuple(f"blocks.{number}." for number in blocks)
        shapes = {tensor: shape for tensor, shape in heads_only.transformer().items() if tensor.startswith(names)}
        heads_only.write(folder / name, shapes)
        return folder

    return make


def beside(make: Make, **contents: bytes) -> Make:
    """The same folder with files beside; __ in a name is a dot."""

    def both(folder: Path) -> Path:
        return files(**contents)(make(folder))

    return both


ENTRIES = (
    Entry(
        "Wan 2.1 1.3B as one file", "ComfyUI's repackaged files", holes("wan2.1_t2v_1.3B_bf16.safetensors"),
        parts_are(transformer="wan2.1_t2v_1.3B_bf16.safetensors"), short=True,
    ),
    Entry(
        "a web page named .safetensors", "a portal that wanted a login",
        files(wan__safetensors=b"<!DOCTYPE html><html><head><title>Sign in</title>"), model_refused("wan.safetensors"),
    ),
    Entry(
        "a config.json beside single files", "a ComfyUI folder; Wan-AI's own repositories",
        beside(holes("wan2.1_t2v_1.3B.safetensors"), config__json=b'{"_class_name": "WanModel"}'),
        parts_are(transformer="wan2.1_t2v_1.3B.safetensors"), short=True,
    ),
    Entry(
        "Wan's own names under diffusers' configuration", "a repository that was put together by hand",
        beside(
            holes("diffusion_pytorch_model.safetensors"), config__json=b'{"_class_name": "WanTransformer3DModel"}'
        ),
        parts_are(transformer="diffusion_pytorch_model.safetensors"),
    ),
    Entry(
        "halves that end in H and L", "Civitai", transformers("somebodysWan22_t2vQ8H", "somebodysWan22_t2vQ8L"),
        parts_are(transformer=("somebodysWan22_t2vQ8H.safetensors", "somebodysWan22_t2vQ8L.safetensors")), short=True,
    ),
    Entry(
        "a half of which nobody can say which it is", "a file that was renamed", transformers("wan2.2_t2v_A14B_v2"),
        model_refused("wan2.2_t2v_A14B_v2.safetensors", "nothing says which"),
    ),
    Entry(
        "a 14B that says no version", "a file that was renamed", transformers("my_t2v_14B"),
        model_refused("my_t2v_14B.safetensors", "may be a whole Wan 2.1 or one expert of a Wan 2.2", "put 'wan2.1'"),
    ),
    Entry(
        "a Wan 2.1 in a folder low_vram", "a models folder sorted by cards", transformers("low_vram/wan2.1_t2v_14B"),
        parts_are(transformer="wan2.1_t2v_14B.safetensors"),
    ),
    Entry(
        "both halves in one file", "rapid-aio, of Hugging Face", transformers("wan2.2-i2v-rapid-aio-v10", channels=36),
        parts_are(transformer="wan2.2-i2v-rapid-aio-v10.safetensors"),
    ),
    Entry(
        "both halves of a Wan 2.2 VACE", "Wan 2.2 Fun VACE, of Comfy-Org",
        transformers("wan2.2_fun_vace_high_noise_14B", "wan2.2_fun_vace_low_noise_14B", control=8),
        parts_are(
            transformer=("wan2.2_fun_vace_high_noise_14B.safetensors", "wan2.2_fun_vace_low_noise_14B.safetensors")
        ),
    ),
    Entry(
        "control in a file of its own", "Kijai's VACE modules",
        control_alone("Wan2_1-VACE_module_14B_bf16.safetensors"),
        parts_are(control="Wan2_1-VACE_module_14B_bf16.safetensors"), short=True,
    ),
    Entry(
        "int8 of optimum-quanto", "Wan2GP", eight_bit("wan2.1_t2v_1.3B_quanto_int8.safetensors", "I8", "._scale"),
        parts_are(transformer="wan2.1_t2v_1.3B_quanto_int8.safetensors"),
    ),
    Entry(
        "int8 a row", "LightX2V", eight_bit("wan2.1_int8.safetensors", "I8", ".weight_scale"),
        parts_are(transformer="wan2.1_int8.safetensors"),
    ),
    Entry(
        "mxfp8", "ComfyUI's newer quantized files",
        eight_bit("wan2.1_mxfp8.safetensors", "F8_E4M3", ".weight_scale", 32, "F8_E8M0"),
        model_refused("wan2.1_mxfp8.safetensors", "mxfp8", "get it in bf16, fp8 scaled or GGUF"),
    ),
    Entry(
        "a compiled model's names", "torch.compile, then saved", renamed("wan.safetensors", "module._orig_mod."),
        parts_are(transformer="wan.safetensors"),
    ),
    Entry(
        "a numbered module's names", "the first of an nn.Sequential, saved", renamed("wan.safetensors", "model.0."),
        parts_are(transformer="wan.safetensors"),
    ),
    Entry(
        "SVDQuant", "Nunchaku", packed_otherwise("wan2.1_svdq.safetensors", "qweight"),
        model_refused("wan2.1_svdq.safetensors", "packed in a way", "get it in bf16, fp8 scaled or GGUF"),
    ),
    Entry(
        "nf4 of bitsandbytes", "diffusers' save_pretrained",
        packed_otherwise("wan2.1_nf4.safetensors", "weight", ".absmax"),
        model_refused("wan2.1_nf4.safetensors", "packed in a way", "get it in bf16, fp8 scaled or GGUF"),
    ),
    Entry(
        "a later piece of several", "one file of a repository",
        piece("diffusion_pytorch_model-00002-of-00003.safetensors", range(10, 20)),
        model_refused("diffusion_pytorch_model-00002-of-00003.safetensors", "one of the 3 pieces of a model"),
    ),
    Entry(
        "a marker tensor", "Kijai's files name themselves so", renamed("wan.safetensors", model_type__Wan2_1=(1,)),
        parts_are(transformer="wan.safetensors"),
    ),
    Entry(
        "a layer more", "a variant with a reference branch",
        renamed("wan.safetensors", ref_conv__weight=(1536, 16, 2, 2)),
        model_refused("wan.safetensors", "ref_conv.weight"),
    ),
    Entry(
        "the pickled CLIP", "Wan-AI's own repositories",
        files(models_clip_open_clip_xlm_roberta_large_vit_huge_14__pth=b"PK"),
        model_refused("models_clip_open_clip_xlm_roberta_large_vit_huge_14.pth", "get clip_vision_h.safetensors"),
    ),
)  # fmt: skip
