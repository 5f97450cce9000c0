"""Which kind of Wan model a folder holds, by its configuration, and what a model of that kind can't do.

The names in model_index.json don't tell: image to video, first and last frame to video and Wan 2.2's all have one
class, and a Wan 2.2 TI2V has the class of text to video. A model that is taken for another fails with a message about
shapes, or paints nonsense.

Beside its architecture, a model may have two experts (Wan 2.2 A14B): one transformer for the noisy steps, one for the
rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from ..protocol.messages import Fix, FixSetting, Guide, Problem, ProblemKind, Role, TakeRequest, Task
from ..protocol.sentences import Sentence
from ..storage.guarded_files import UnusableFile

DISTILLED_CLASS = "WanDMDPipeline"
"""FastWan's indexes name this class; such models are for text alone, whatever their base can do."""
RENDERER = "bernini_renderer"
"""What Bernini-R's config.json says of itself. Its transformer has the shapes of text to video, and none of its tensors
says that it was trained with sources beside: nothing but this, or a name, tells the two apart."""
SOURCE_MARK = "use_src_id_rotary_emb"
"""In a transformer's configuration: it sees sources beside the take. The name is that of Bernini-R's own program."""
MASK_CHANNELS = 4
"""The input of a picture model has two latents and these channels, which say which of each latent's four frames are
given."""
CAMERA_CLASS = "WanCameraTransformer3DModel"
"""Our own class, of a transformer that a camera steers: diffusers has none."""
LAST_WANTED = Sentence("This model needs a first and a last picture; choose a last picture too, or another model.")
LAST_UNKNOWN = Sentence("This model takes no last picture; remove it, or choose a model that takes two.")


class Architecture(StrEnum):
    """What a model is conditioned by, beside the prompt."""

    TEXT = "text"
    """Nothing."""
    CONTROL = "control"
    """Control frames and a mask (VACE)."""
    FIRST_PICTURE = "first_picture"
    """The first picture, joined to the input and seen by an image encoder (Wan 2.1 I2V)."""
    FIRST_AND_LAST = "first_and_last"
    """The first picture and the last, both in that way (Wan 2.1 FLF2V)."""
    PICTURES = "pictures"
    """The first picture and, if wanted, the last, joined to the input alone (Wan 2.2 I2V)."""
    EDIT = "edit"
    """Footage and pictures, as tokens of the same sequence (Bernini-R)."""
    FIRST_LATENT = "first_latent"
    """The first latent frame, or nothing: the transformer gets the timestep of each token (Wan 2.2 TI2V)."""
    CAMERA = "camera"
    """The path of a camera; and the first picture or nothing, joined to the input without a mask and seen by an image
    encoder (Wan 2.1 Fun Camera)."""
    CAMERA_AND_PICTURE = "camera_and_picture"
    """The path of a camera; and the first picture or nothing, joined to the input alone (Wan 2.2 Fun Camera)."""

    @property
    def looks_at_pictures(self) -> bool:
        """True if an image encoder is a component of the model."""
        return self in (Architecture.FIRST_PICTURE, Architecture.FIRST_AND_LAST, Architecture.CAMERA)

    @property
    def follows_camera(self) -> bool:
        """True if it is steered by the path of a camera."""
        return self in (Architecture.CAMERA, Architecture.CAMERA_AND_PICTURE)

    @property
    def words(self) -> str:
        """What such a model makes, in words."""
        return _WORDS[self]


_WORDS = {
    Architecture.TEXT: Sentence("text to video"),
    Architecture.CONTROL: Sentence("video from control frames"),
    Architecture.FIRST_PICTURE: Sentence("video from a first picture"),
    Architecture.FIRST_AND_LAST: Sentence("video from a first and a last picture"),
    Architecture.PICTURES: Sentence("video from pictures without an image encoder"),
    Architecture.FIRST_LATENT: Sentence("video from text or a first picture"),
    Architecture.EDIT: Sentence("edits of footage"),
    Architecture.CAMERA: Sentence("video along a camera's move"),
    Architecture.CAMERA_AND_PICTURE: Sentence("video along a camera's move, without an image encoder"),
}
KEEPS_NONE = Sentence(
    "This model keeps no pictures at chosen times; turn Keep Pictures off, or choose a control model (VACE)."
)
FOLLOWS_NO_CAMERA = Sentence(
    "This model follows no camera's move; choose a Fun Camera model, or make the take of the scene strip anew."
)
WANTS_CAMERA = Sentence("This model follows a camera's move, and the take has none; make it of the scene strip anew.")
KNOWS_LAST = (Architecture.CONTROL, Architecture.FIRST_AND_LAST, Architecture.PICTURES)
"""These take a last picture."""


def detect_architecture(
    index: Mapping[str, Any],
    transformer: Mapping[str, Any],
    vae: Mapping[str, Any],
    image_encoder: Mapping[str, Any] | None = None,
) -> Architecture:
    """The architecture, from model_index.json and the config.json of each component.

    `image_encoder` is None if there is no such file. Raises UnusableFile if the components don't go together.
    """
    boundary_ratio(index)
    latent, channels = _number(vae, "z_dim", 16), _number(transformer, "in_channels", 16)
    if _class_of(index, "transformer") == CAMERA_CLASS:
        return _of_camera(index, transformer, image_encoder, latent, channels)
    if channels == latent:
        if _class_of(index, "transformer") == "WanVACETransformer3DModel":
            return Architecture.CONTROL
        if index.get("_class_name") == RENDERER or transformer.get(SOURCE_MARK) is True:
            return Architecture.EDIT
        timed = index.get("expand_timesteps") is True and index.get("_class_name") != DISTILLED_CLASS
        return Architecture.FIRST_LATENT if timed else Architecture.TEXT
    if channels != 2 * latent + MASK_CHANNELS:
        raise _other_latents(channels, latent)
    if transformer.get("image_dim") is None:
        return Architecture.PICTURES
    _check_image_encoder(index, transformer, image_encoder)
    one = transformer.get("pos_embed_seq_len") is None
    return Architecture.FIRST_PICTURE if one else Architecture.FIRST_AND_LAST


def _of_camera(
    index: Mapping[str, Any],
    transformer: Mapping[str, Any],
    image_encoder: Mapping[str, Any] | None,
    latent: int,
    channels: int,
) -> Architecture:
    """Which of the two that follow a camera. Raises UnusableFile."""
    if transformer.get("image_dim") is None:
        if channels != 2 * latent + MASK_CHANNELS:
            raise _other_latents(channels, latent)
        return Architecture.CAMERA_AND_PICTURE
    if channels != 2 * latent:
        raise _other_latents(channels, latent)
    _check_image_encoder(index, transformer, image_encoder)
    return Architecture.CAMERA


def _other_latents(channels: int, latent: int) -> UnusableFile:
    return UnusableFile(
        Sentence(
            "its transformer takes {channels} channels, which don't go with the autoencoder's {latent}",
            channels=channels,
            latent=latent,
        )
    )


def boundary_ratio(index: Mapping[str, Any]) -> float | None:
    """Where the second expert takes over, as a share of the noise (0 to 1); None for a model with one transformer.

    Raises UnusableFile if the index names a second transformer and doesn't say when it works, or the other way.
    """
    first, second = _class_of(index, "transformer"), _class_of(index, "transformer_2")
    ratio = index.get("boundary_ratio")
    if second is None:
        if ratio is not None:
            raise UnusableFile(Sentence("its boundary_ratio says when to switch transformers, but it has only one"))
        return None
    if isinstance(ratio, bool) or not isinstance(ratio, int | float) or not 0 < ratio < 1:
        named = ("model_index.json", "boundary_ratio")
        if index.get("_class_name") == RENDERER:
            named = ("config.json", "switch_dit_boundary")
        raise UnusableFile(
            Sentence(
                "it has two transformers, and its {file} doesn't say when each works ({key})",
                file=named[0],
                key=named[1],
            )
        )
    if first != second:
        raise UnusableFile(
            Sentence(
                "its two transformers are a {first} and a {second}, which don't go together", first=first, second=second
            )
        )
    return float(ratio)


def _check_image_encoder(
    index: Mapping[str, Any], transformer: Mapping[str, Any], image_encoder: Mapping[str, Any] | None
) -> None:
    if _class_of(index, "image_encoder") is None or image_encoder is None:
        raise UnusableFile(Sentence("its transformer needs an image encoder, which is missing"))
    if _class_of(index, "image_encoder") != "CLIPVisionModel":
        raise UnusableFile(
            Sentence(
                "its image encoder is a {class_of}, not a CLIPVisionModel", class_of=_class_of(index, "image_encoder")
            )
        )
    wanted, width = _number(transformer, "image_dim", 0), _number(image_encoder, "hidden_size", 768)
    if width != wanted:
        raise UnusableFile(
            Sentence(
                "its image encoder gives {width} numbers a token, where the transformer takes {wanted}",
                width=width,
                wanted=wanted,
            )
        )
    tokens = (_number(image_encoder, "image_size", 224) // max(1, _number(image_encoder, "patch_size", 32))) ** 2 + 1
    positions = transformer.get("pos_embed_seq_len")
    if positions is not None and positions != 2 * tokens:
        raise UnusableFile(
            Sentence(
                "its image encoder gives {tokens} tokens a picture, where the transformer has {positions} for two",
                tokens=tokens,
                positions=positions,
            )
        )


def _class_of(index: Mapping[str, Any], component: str) -> str | None:
    row = index.get(component)
    return row[1] if isinstance(row, list) and len(row) == 2 and isinstance(row[1], str) else None


def _number(config: Mapping[str, Any], key: str, default: int) -> int:
    value = config.get(key, default)
    if not isinstance(value, int):
        raise UnusableFile(Sentence("'{key}' in one of its config.json files is not a number", key=key))
    return value


def architecture_problem(request: TakeRequest, architecture: Architecture | None) -> Problem | None:
    """Why a model of that architecture can't do what `request` asks of its task.

    None if it can, or if the architecture isn't known.
    """
    if architecture is None:
        return None
    if follows_camera(request) != architecture.follows_camera:
        return Problem(ProblemKind.BAD_SOURCE, WANTS_CAMERA if architecture.follows_camera else FOLLOWS_NO_CAMERA)
    if request.kept_pictures and architecture is not Architecture.CONTROL:
        return Problem(ProblemKind.BAD_SOURCE, KEEPS_NONE)
    if request.task == Task.IMAGE_TO_VIDEO:
        last = request.source(Role.LAST) is not None
        if last and architecture not in KNOWS_LAST:
            return Problem(ProblemKind.BAD_SOURCE, LAST_UNKNOWN)
        if not last and architecture is Architecture.FIRST_AND_LAST:
            return Problem(ProblemKind.BAD_SOURCE, LAST_WANTED)
    if request.task == Task.RESTYLE and architecture is not Architecture.CONTROL:
        return guide_problem(request.guide)
    return None


def follows_camera(request: TakeRequest) -> bool:
    """Whether the take follows a camera's move."""
    return request.task == Task.PREVIS and request.camera is not None


def guide_problem(guide: Guide) -> Problem | None:
    """Why footage can't be kept to in that way by a model that only adds noise to it, or None."""
    if guide in (Guide.NONE, Guide.FRAMES):
        return None
    sentence = Sentence(
        "This model can't keep {guide}; set Keep to Nothing, or choose a control model (VACE).", guide=guide.value
    )
    return Problem(
        ProblemKind.BAD_SETTING, sentence, [Fix(Sentence("Keep Nothing"), FixSetting.GUIDE, Guide.NONE.value)]
    )
