"""Wan's transformers, run a share of the tokens at a time: the same numbers, a fifth of the working memory.

diffusers' own forward holds about two dozen tensors of the size of all hidden states: 32 bit copies around each norm,
the feed-forward's wide middle, the control's hints all at once, six shifts and scales for each token. Only attention
needs all tokens together. Here everything else goes over them in chunks, and five such tensors are alive at most.
The layers are the model's own, called as they are, so LoRAs, quantised weights and hooks work as before.
May import torch and diffusers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..memory.needs import CHUNK_BYTES
from .diffusers_internals import WanAttnProcessor, dispatch_attention_fn

TEXT_TOKENS = 512
"""Of the prompt; what stands before them in the context is of pictures."""


def make_lean(transformer: Any) -> None:
    """Have a WanTransformer3DModel or a WanVACETransformer3DModel run in chunks from now on, its blocks too."""
    for block in transformer.blocks:
        block.forward = partial(_block, block)
    for block in getattr(transformer, "vace_blocks", ()):
        block.forward = partial(_control_block, block)
    transformer.forward = partial(_forward, transformer)


@dataclass(frozen=True)
class Times:
    """What the time of a step does to the tokens of a block: `rows` (1, K, 6, C) for K different times.

    `which` (S) says whose row a token has; None where all have the one there is.
    """

    rows: Tensor
    which: Tensor | None = None

    def shifts(self, table: Tensor) -> Times:
        """With a block's own table (1, 6, C) added, in float32."""
        return Times(table.unsqueeze(1) + self.rows.float(), self.which)

    def of(self, tokens: slice, number: int) -> Tensor:
        """(1, 1 or tokens, C): the shift, scale or gate of that number."""
        column = self.rows[:, :, number]
        return column if self.which is None else column[:, self.which[tokens]]


def _chunks(hidden: Tensor, widest: int) -> Iterator[slice]:
    """Slices of the tokens of (1, S, C) of which `widest` numbers each take CHUNK_BYTES at most, and about alike."""
    tokens = hidden.shape[1]
    most = max(1, CHUNK_BYTES // (widest * hidden.element_size()))
    count = -(-tokens // most)
    size = -(-tokens // count)
    return (slice(start, min(start + size, tokens)) for start in range(0, tokens, size))


def _over_tokens(hidden: Tensor, widest: int, function: Callable[[slice], tuple[Tensor, ...]]) -> list[Tensor]:
    """What `function` makes of each chunk, joined along the tokens; of a single chunk, nothing is copied."""
    slices = list(_chunks(hidden, widest))
    if len(slices) == 1:
        return list(function(slices[0]))
    joined: list[Tensor] = []
    for tokens in slices:
        pieces = function(tokens)
        if not joined:
            joined = [piece.new_empty(1, hidden.shape[1], *piece.shape[2:]) for piece in pieces]
        for whole, piece in zip(joined, pieces, strict=True):
            whole[:, tokens] = piece
    return joined


def _forward(
    transformer: Any,
    hidden_states: Tensor,
    timestep: Tensor,
    encoder_hidden_states: Tensor,
    encoder_hidden_states_image: Tensor | None = None,
    control_hidden_states: Tensor | None = None,
    return_dict: bool = False,
) -> tuple[Tensor]:
    """(1, C, T, H, W) latents to the flow of the same shape. `timestep` is (1) or, one for each token, (1, S)."""
    del return_dict  # a tuple, always
    grid = [side // patch for side, patch in zip(hidden_states.shape[2:], transformer.config.patch_size, strict=True)]
    rotary = transformer.rope(hidden_states)
    hidden = _tokens(transformer.patch_embedding(hidden_states))
    which = None
    if timestep.ndim == 2:  # a clip has few different times: those of what is given, and of the rest
        timestep, which = torch.unique(timestep[0], return_inverse=True)
    time, shifts, context, seen = transformer.condition_embedder(
        timestep, encoder_hidden_states, encoder_hidden_states_image
    )
    times = Times(shifts.unflatten(1, (6, -1)).unsqueeze(0), which)
    if seen is not None:
        context = torch.cat([seen, context], dim=1)
    hints: Iterator[Tensor] = iter(())
    if control_hidden_states is not None:
        hints = _hints(transformer, hidden, control_hidden_states, context, times, rotary)
    for number, block in enumerate(transformer.blocks):
        hidden = block(hidden, context, times, rotary)
        if control_hidden_states is not None and number in transformer.config.vace_layers:
            hidden += next(hints)
    return (_pictures(transformer, hidden, Times(time.unsqueeze(0).unsqueeze(2), which), grid),)


def _tokens(embedded: Tensor) -> Tensor:
    """(1, C, T, H, W) to (1, S, C)."""
    return embedded.flatten(2).transpose(1, 2).contiguous()


def _hints(
    transformer: Any,
    beginning: Tensor,
    control: Tensor,
    context: Tensor,
    times: Times,
    rotary: tuple[Tensor, Tensor],
) -> Iterator[Tensor]:
    """What VACE's blocks have to say, each when it is wanted: all at once they are the largest thing there is."""
    stream = _tokens(transformer.vace_patch_embedding(control))
    for block in transformer.vace_blocks:
        hint, stream = block(beginning, context, stream, times, rotary)
        beginning = stream  # only the first wants it, and here it would be kept
        yield hint


def _pictures(transformer: Any, hidden: Tensor, times: Times, grid: list[int]) -> Tensor:
    """The last norm and projection, and the tokens (1, S, C) put back in their places."""
    ends = Times(transformer.scale_shift_table.to(hidden.device).unsqueeze(1) + times.rows, times.which)

    def projected(tokens: slice) -> tuple[Tensor]:
        normed = transformer.norm_out(hidden[:, tokens].float())
        shifted = (normed * (1 + ends.of(tokens, 1)) + ends.of(tokens, 0)).type_as(hidden)
        return (transformer.proj_out(shifted),)

    (flat,) = _over_tokens(hidden, 4 * hidden.shape[2], projected)
    places = flat.reshape(1, *grid, *transformer.config.patch_size, -1).permute(0, 7, 1, 4, 2, 5, 3, 6)
    return places.flatten(6, 7).flatten(4, 5).flatten(2, 3)


def _control_block(
    block: Any, beginning: Tensor, context: Tensor, control: Tensor, times: Times, rotary: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """A block of VACE's: its hint, and the control stream (1, S, C) for the next one."""
    if block.proj_in is not None:
        control = block.proj_in(control) + beginning
    stream = _block(block, control, context, times, rotary)
    return block.proj_out(stream), stream


def _block(block: Any, hidden: Tensor, context: Tensor, times: Times, rotary: tuple[Tensor, Tensor]) -> Tensor:
    """One transformer block on all tokens (1, S, C); as diffusers' WanTransformerBlock."""
    shifts = times.shifts(block.scale_shift_table.to(hidden.device))
    attended = _self_attention(block, hidden, shifts, rotary)
    texts, pictures = _keys(block.attn2, context)
    middle = block.ffn.net[0].proj.out_features

    def rest(tokens: slice) -> tuple[Tensor]:
        chunk = hidden[:, tokens]
        chunk = (chunk.float() + _out(block.attn1, attended[:, tokens]) * shifts.of(tokens, 2)).type_as(hidden)
        chunk = chunk + _cross_attention(block, chunk, texts, pictures)
        normed = (block.norm3(chunk.float()) * (1 + shifts.of(tokens, 4)) + shifts.of(tokens, 3)).type_as(hidden)
        return ((chunk.float() + block.ffn(normed).float() * shifts.of(tokens, 5)).type_as(hidden),)

    (done,) = _over_tokens(hidden, middle, rest)
    return done


def _self_attention(block: Any, hidden: Tensor, shifts: Times, rotary: tuple[Tensor, Tensor]) -> Tensor:
    """(1, S, C), before the output's projection."""
    attn = block.attn1

    def projected(tokens: slice) -> tuple[Tensor, ...]:
        normed = block.norm1(hidden[:, tokens].float()) * (1 + shifts.of(tokens, 1)) + shifts.of(tokens, 0)
        normed = normed.type_as(hidden)
        query = _by_head(attn, attn.norm_q(attn.to_q(normed)))
        key = _by_head(attn, attn.norm_k(attn.to_k(normed)))
        return _rotated(query, rotary, tokens), _rotated(key, rotary, tokens), _by_head(attn, attn.to_v(normed))

    query, key, value = _over_tokens(hidden, 4 * hidden.shape[2], projected)
    return _attend(attn, query, key, value, whole=True)


def _by_head(attn: Any, states: Tensor) -> Tensor:
    """(1, S, C) to (1, S, heads, D)."""
    return states.view(1, states.shape[1], attn.heads, -1)


def _rotated(states: Tensor, rotary: tuple[Tensor, Tensor], tokens: slice) -> Tensor:
    """Queries or keys (1, S, heads, D) turned by their places."""
    cos, sin = rotary[0][:, tokens, :, 0::2], rotary[1][:, tokens, :, 1::2]
    one, two = states[..., 0::2], states[..., 1::2]
    out = torch.empty_like(states)
    out[..., 0::2] = one * cos - two * sin
    out[..., 1::2] = one * sin + two * cos
    return out


def _attend(attn: Any, query: Tensor, key: Tensor, value: Tensor, *, whole: bool = False) -> Tensor:
    """(1, S, C) by the attention that the model is set to; `whole`: the tokens' own, which several cards may share."""
    processor: WanAttnProcessor = attn.processor
    out: Tensor = dispatch_attention_fn(
        query,
        key,
        value,
        attn_mask=None,
        dropout_p=0.0,
        is_causal=False,
        backend=processor._attention_backend,
        parallel_config=processor._parallel_config if whole else None,
    )
    return out.flatten(2, 3).type_as(query)


def _out(attn: Any, attended: Tensor) -> Tensor:
    projected: Tensor = attn.to_out[0](attended)
    return projected


def _keys(attn: Any, context: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor] | None]:
    """Keys and values (1, N, heads, D) of the prompt, and of the pictures where there are some."""
    seen, said = None, context
    if attn.add_k_proj is not None:
        before = context.shape[1] - TEXT_TOKENS
        seen, said = context[:, :before], context[:, before:]
    texts = _by_head(attn, attn.norm_k(attn.to_k(said))), _by_head(attn, attn.to_v(said))
    if seen is None:
        return texts, None
    key = _by_head(attn, attn.norm_added_k(attn.add_k_proj(seen)))
    return texts, (key, _by_head(attn, attn.add_v_proj(seen)))


def _cross_attention(
    block: Any, chunk: Tensor, texts: tuple[Tensor, Tensor], pictures: tuple[Tensor, Tensor] | None
) -> Tensor:
    attn = block.attn2
    normed = block.norm2(chunk.float()).type_as(chunk)
    query = _by_head(attn, attn.norm_q(attn.to_q(normed)))
    attended = _attend(attn, query, *texts)
    if pictures is not None:
        attended = attended + _attend(attn, query, *pictures)
    return _out(attn, attended)
