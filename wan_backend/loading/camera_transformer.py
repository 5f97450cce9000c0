"""A Wan transformer that a camera's path steers, as Fun-Control-Camera is published: its adapter, and the rays it gets.

A camera is twelve numbers of its place (the rows of a 3 x 4 matrix from its own axes to the world's, x right, y down,
z into the picture) and four of its lens (focal lengths and the center, as shares of the picture's width and height).
Every pixel's ray goes in by its Plücker coordinates: the moment about the first frame's camera, then the direction.
Each token gets what the adapter makes of the rays under it, added to its embedded patch. diffusers has no such model.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import diffusers
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import devices

CAMERA_NUMBERS = 16
"""Of one camera: twelve of its place and four of its lens."""
RAY_NUMBERS = 6
FRAMES_A_LATENT = 4
"""The first latent frame is one picture, whose camera stands four times."""


class CameraAdapter(nn.Module):
    """Makes of the rays under each token what is added to it; named as in the published files."""

    def __init__(self, width: int, patch: tuple[int, int], fold: int) -> None:
        """`fold`: side in pixels of the squares that are folded into channels, the size of a latent."""
        super().__init__()
        self.fold = fold
        channels = RAY_NUMBERS * FRAMES_A_LATENT * fold**2
        self.conv = nn.Conv2d(channels, width, kernel_size=patch, stride=patch)
        self.residual_blocks = nn.ModuleList([_Residual(width)])
        self.keeps = False
        """Whether what it has made is kept, see `computed_once`."""
        self.kept: tuple[Tensor, Tensor] | None = None
        """Cameras, and what is added for them."""

    def forward(self, rays: Tensor) -> Tensor:
        """(1, width, h, w) of the rays (1, 24, H, W) of one latent frame."""
        made: Tensor = self.conv(F.pixel_unshuffle(rays, self.fold))
        for block in self.residual_blocks:
            made = block(made)
        return made


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, padding=1)

    def forward(self, made: Tensor) -> Tensor:
        added: Tensor = self.conv2(F.relu(self.conv1(made)))
        return made + added


class WanCameraTransformer3DModel(diffusers.WanTransformer3DModel):
    """diffusers' transformer with the adapter; only the forward of `chunked_forward` shows it a camera."""

    def __init__(
        self,
        patch_size: tuple[int, int, int] = (1, 2, 2),
        num_attention_heads: int = 40,
        attention_head_dim: int = 128,
        in_channels: int = 32,
        out_channels: int = 16,
        text_dim: int = 4096,
        freq_dim: int = 256,
        ffn_dim: int = 13824,
        num_layers: int = 40,
        cross_attn_norm: bool = True,
        qk_norm: str | None = "rms_norm_across_heads",
        eps: float = 1e-6,
        image_dim: int | None = None,
        added_kv_proj_dim: int | None = None,
        rope_max_seq_len: int = 1024,
        pos_embed_seq_len: int | None = None,
        camera_fold: int = 8,
    ) -> None:
        """As diffusers' transformer; `camera_fold` is that of the adapter."""
        super().__init__(  # type: ignore[no-untyped-call]
            patch_size=patch_size,
            num_attention_heads=num_attention_heads,
            attention_head_dim=attention_head_dim,
            in_channels=in_channels,
            out_channels=out_channels,
            text_dim=text_dim,
            freq_dim=freq_dim,
            ffn_dim=ffn_dim,
            num_layers=num_layers,
            cross_attn_norm=cross_attn_norm,
            qk_norm=qk_norm,
            eps=eps,
            image_dim=image_dim,
            added_kv_proj_dim=added_kv_proj_dim,
            rope_max_seq_len=rope_max_seq_len,
            pos_embed_seq_len=pos_embed_seq_len,
        )
        self.register_to_config(camera_fold=camera_fold)  # type: ignore[attr-defined]
        width = num_attention_heads * attention_head_dim
        self.control_adapter = CameraAdapter(width, (patch_size[1], patch_size[2]), camera_fold)


@contextmanager
def computed_once(transformer: Any) -> Iterator[None]:
    """Within it, what the transformer adds for the same cameras is computed once; `memory.needs` counts what is kept.

    For a take of one size, whose cameras don't change. Nothing follows for a transformer without an adapter.
    """
    adapter = getattr(transformer, "control_adapter", None)
    if adapter is None:
        yield
        return
    adapter.keeps = True
    try:
        yield
    finally:
        adapter.keeps, adapter.kept = False, None


def add_camera(transformer: Any, embedded: Tensor, cameras: Tensor) -> Tensor:
    """Patches (1, C, T, h, w) with what the adapter makes of (1, 16, T, 4) cameras added; `embedded` is changed."""
    adapter = transformer.control_adapter
    if adapter.kept is not None and _same(adapter.kept[0], cameras):
        embedded += adapter.kept[1]
        return embedded
    adapter.kept = None
    made = torch.empty_like(embedded) if adapter.keeps else None
    for frame, added in enumerate(_added(transformer, embedded, cameras)):
        embedded[:, :, frame] += added
        if made is not None:
            made[:, :, frame] = added
    adapter.kept = None if made is None else (cameras, made)
    return embedded


def _same(cameras: Tensor, others: Tensor) -> bool:
    """Whether they are the same numbers; another card has those of each branch of guidance in a tensor of its own."""
    return cameras is others or torch.equal(cameras, others)


def _added(transformer: Any, embedded: Tensor, cameras: Tensor) -> Iterator[Tensor]:
    """What is added to each latent frame, (1, C, h, w); one at a time, so that the rays are small beside the tokens."""
    adapter = transformer.control_adapter
    dtype = adapter.conv.weight.dtype
    side = adapter.fold * transformer.config.patch_size[1]
    width, height = embedded.shape[4] * side, embedded.shape[3] * side
    poses, lenses = relative(cameras[0].permute(1, 2, 0).float())
    for frame in range(embedded.shape[2]):
        rays = plucker_rays(poses[frame], lenses[frame], width, height)
        folded = rays.permute(1, 0, 2, 3).flatten(0, 1).unsqueeze(0)
        yield adapter(folded.to(dtype)).to(embedded.dtype)


def plucker_rays(poses: Tensor, lenses: Tensor, width: int, height: int) -> Tensor:
    """(n, 6, height, width) of n cameras, poses (n, 3, 4) and lenses (n, 4): moments, then directions of length 1."""
    focal_x, focal_y, center_x, center_y = lenses.view(-1, 4, 1).unbind(1)
    across = torch.arange(width, device=poses.device, dtype=poses.dtype) + 0.5
    down = torch.arange(height, device=poses.device, dtype=poses.dtype) + 0.5
    x = ((across - center_x * width) / (focal_x * width)).unsqueeze(1).expand(-1, height, -1)
    y = ((down - center_y * height) / (focal_y * height)).unsqueeze(2).expand(-1, -1, width)
    seen = torch.stack([x, y, torch.ones_like(x)], dim=1)
    seen = seen / seen.norm(dim=1, keepdim=True)
    directions = torch.einsum("nij,njhw->nihw", poses[:, :, :3], seen)
    places = poses[:, :, 3].view(-1, 3, 1, 1).expand_as(directions)
    return torch.cat([torch.linalg.cross(places, directions, dim=1), directions], dim=1)


def relative(cameras: Tensor) -> tuple[Tensor, Tensor]:
    """(T, 4, 3, 4) poses as the first camera sees them, and (T, 4, 4) lenses, of (T, 4, 16) cameras."""
    poses = cameras[..., :12].to(devices.widest_format(cameras.device)).reshape(*cameras.shape[:-1], 3, 4)
    first = poses[0, 0]
    turned = first[:, :3].transpose(0, 1)  # the inverse, since a camera's axes have length 1 and are square
    turns = turned @ poses[..., :3]
    moves = (turned @ (poses[..., 3] - first[:, 3]).unsqueeze(-1)).squeeze(-1)
    return torch.cat([turns, moves.unsqueeze(-1)], dim=-1).float(), cameras[..., 12:]
