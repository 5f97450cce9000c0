"""Wan's transformers, run a share of the tokens at a time: the same numbers, a fifth of the working memory.

diffusers' own forward holds about two dozen tensors of the size of all hidden states: 32 bit copies around each norm,
the feed-forward's wide middle, the control's hints all at once, six shifts and scales for each token. Only attention
needs all tokens together. Here everything else goes over them in chunks, and five such tensors are alive at most.
The layers are the model's own, called as they are, so LoRAs, quantized weights and hooks work as before. Attention, and
what is between the layers, are computed by the fastest kernels that the card has (`forward_kernels`).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from ..memory.needs import TOKEN_CHUNK_BYTES
from .attention import Attention
from .camera_transformer import add_camera
from .diffusers_internals import WanAttnProcessor, dispatch_attention_fn
from .forward_kernels import TORCH_KERNELS, ForwardKernels
from .pointwise import Pointwise, ScaleAndShift, TimeModulation, TokenGate
from .source_tokens import rotary_with
from .token_split import Exchange, TokenSplit
from .weight_shares import shared_blocks_of

TEXT_TOKENS = 512
"""Of the prompt; what stands before them in the context is of pictures."""


def make_chunked(transformer: Any, kernels: ForwardKernels = TORCH_KERNELS, chunk_bytes: int | None = None) -> None:
    """Have a WanTransformer3DModel or a WanVACETransformer3DModel run in chunks from now on, its blocks too.

    `chunk_bytes` is the largest size of the widest tensor of a chunk; None for the size that the needs are calculated
    with. A WanVACETransformer3DModel that gets no control runs without its control's blocks.
    """
    settings = ForwardSettings(
        kernels.pointwise, kernels.attention, TOKEN_CHUNK_BYTES if chunk_bytes is None else chunk_bytes
    )
    for block in transformer.blocks:
        block.forward = partial(_block, block, settings)
    for block in getattr(transformer, "vace_blocks", ()):
        block.forward = partial(_control_block, block, settings)
    transformer.forward = partial(_forward, transformer, settings)


def undo(transformer: Any) -> None:
    """Have `transformer` run as diffusers runs it."""
    for module in (transformer, *transformer.blocks, *getattr(transformer, "vace_blocks", ())):
        vars(module).pop("forward", None)


@dataclass(frozen=True)
class ForwardSettings:
    """The kernels of a forward, and the largest size of the widest tensor of a chunk."""

    pointwise: Pointwise
    attention: Attention | None
    chunk_bytes: int


class BlockResidual(Protocol):
    """What all blocks together add to the tokens, (1, S, C): kept of one forward, or reused in place of the blocks."""

    @property
    def reused(self) -> Tensor | None:
        """What is added to the tokens in place of running the blocks, on any device; None if they run."""

    def keep(self, made: Tensor) -> None:
        """Take what the blocks have added, on the device that they ran on."""


@dataclass(frozen=True)
class PromptSpan:
    """Consecutive latent frames, and what they read of the prompts: by cross-attention to each of `shares`."""

    start: int
    end_exclusive: int
    shares: tuple[tuple[int, float], ...]
    """Numbers of prompts, each with its share of what is read; the shares add up to 1."""


@dataclass(frozen=True)
class Context:
    """What the tokens read: the prompts by cross-attention, and each other."""

    texts: Tensor
    """(prompts, N, C): tokens of pictures, if there are some, then those of each prompt."""
    spans: tuple[PromptSpan, ...] = ()
    """Which tokens read which prompts, counted in tokens and in order; empty if there is one prompt for all."""
    split: TokenSplit | None = None
    """How they reach the tokens that other cards have; None where all are on this one."""


Keys = tuple[Tensor, Tensor]
"""Keys and values (1, N, heads, D)."""


def _chunks(hidden: Tensor, widest: int, chunk_bytes: int) -> Iterator[slice]:
    """Slices of the tokens of (1, S, C) of which `widest` numbers each take `chunk_bytes` at most, and about alike."""
    tokens = hidden.shape[1]
    most = max(1, chunk_bytes // (widest * hidden.element_size()))
    count = -(-tokens // most)
    size = -(-tokens // count)
    return (slice(start, min(start + size, tokens)) for start in range(0, tokens, size))


Pieces = tuple[Tensor | None, ...]
"""The results of a chunk, or the tensors that they may be written to; None if there is none for one of them."""


def _over_tokens(
    hidden: Tensor,
    slices: Iterator[slice],
    shapes: tuple[tuple[int, ...], ...],
    function: Callable[[slice, Pieces], Pieces],
) -> list[Tensor]:
    """The results of `function` for each chunk, joined along the tokens; those of a single chunk aren't copied.

    They are (1, S, *shape) for each of `shapes`, in the number format of `hidden`.
    """
    chunks = list(slices)
    if len(chunks) == 1:
        return [piece for piece in function(chunks[0], (None,) * len(shapes)) if piece is not None]
    joined = [hidden.new_empty(1, hidden.shape[1], *shape) for shape in shapes]
    for tokens in chunks:
        outputs = tuple(whole[:, tokens] for whole in joined)
        for output, piece in zip(outputs, function(tokens, outputs), strict=True):
            if piece is not None and piece is not output:
                output.copy_(piece)
    return joined


def _forward(
    transformer: Any,
    settings: ForwardSettings,
    hidden_states: Tensor,
    timestep: Tensor,
    encoder_hidden_states: Tensor,
    encoder_hidden_states_image: Tensor | None = None,
    control_hidden_states: Tensor | None = None,
    cameras: Tensor | None = None,
    return_dict: bool = False,
    residual: BlockResidual | None = None,
    spans: Sequence[PromptSpan] = (),
    exchange: Exchange | None = None,
    sources: Sequence[Tensor] = (),
) -> tuple[Tensor]:
    """The flow of (1, C, T, H, W) latents, in their shape. `timestep` is (1) or, one for each token, (1, S).

    With a `residual` that is reused, no block runs. Of several prompts, (prompts, N, C), `spans` says which latent
    frames read which. With an `exchange`, all its cards are given the same, and the first of them has the flow, the
    others an empty tensor; there has to be a token for each, and no residual. `sources` are clean latents that a model
    for edits sees beside (`source_tokens`), each (1, C, T, H, W) of a size of its own; no `spans` go with them. A
    transformer with a camera adapter gets `cameras`, (1, 16, T, 4): those of each latent frame's four pictures.
    """
    del return_dict  # a tuple, always
    shares = shared_blocks_of(transformer)
    if shares is not None:
        shares.begin(exchange, _in_order(transformer, controlled=control_hidden_states is not None))
    grid = [side // patch for side, patch in zip(hidden_states.shape[2:], transformer.config.patch_size, strict=True)]
    which = None
    if timestep.ndim == 2:  # a clip has few different times: those of what is given, and of the rest
        timestep, which = torch.unique(timestep[0], return_inverse=True)
    meanwhile = (lambda: None) if shares is None else shares.bring_next
    own = math.prod(grid)
    before = sum(_count(transformer, source) for source in sources)
    split = None if exchange is None else TokenSplit(exchange, before + own, meanwhile)
    if split is not None and which is not None:
        which = which[split.own]
    time, shifts, texts, seen = transformer.condition_embedder(
        timestep, encoder_hidden_states, encoder_hidden_states_image
    )
    embedded = partial(_embedded, transformer, hidden_states, cameras)
    if residual is not None and residual.reused is not None:
        hidden = _tokens([embedded()])
        hidden += residual.reused.to(hidden)
    else:
        times = TimeModulation(shifts.unflatten(1, (6, -1)).unsqueeze(0), which)
        if seen is not None:
            texts = torch.cat([seen.expand(texts.shape[0], -1, -1), texts], dim=1)
        context = Context(texts, _in_tokens(spans, grid[1] * grid[2]))
        cos, sin = rotary_with(sources, hidden_states, transformer.rope)
        if split is not None:
            context = Context(texts, tuple(_spans_of(split.own, context)), split)
            cos, sin = cos[:, split.own], sin[:, split.own]
        rotary = settings.pointwise.prepare((cos, sin))
        hidden = _through_blocks(transformer, sources, embedded, control_hidden_states, context, times, rotary)
        if split is None:
            hidden = hidden[:, before:]  # the sources are done with
        if residual is not None:  # the tokens are made anew, so that they aren't held while the blocks run
            residual.keep(hidden - _tokens([embedded()]))
    times = TimeModulation(time.unsqueeze(0).unsqueeze(2), which)
    flat = _projected(transformer, settings, hidden, times)
    if split is not None:
        flat = split.gathered(flat)[:, before:]
    return (flat if split is not None and not split.leads else _pictures(transformer, flat, grid),)


def _count(transformer: Any, latents: Tensor) -> int:
    """How many tokens (1, C, T, H, W) latents become."""
    sides = zip(latents.shape[2:], transformer.config.patch_size, strict=True)
    return math.prod(side // patch for side, patch in sides)


def _in_tokens(spans: Sequence[PromptSpan], tokens: int) -> tuple[PromptSpan, ...]:
    """Spans of latent frames, counted in tokens, of which a frame has so many."""
    return tuple(PromptSpan(span.start * tokens, span.end_exclusive * tokens, span.shares) for span in spans)


def _embedded(transformer: Any, latents: Tensor, cameras: Tensor | None) -> Tensor:
    """The embedded patches (1, C, T, H, W) of `latents`, with what the cameras add to them."""
    embedded = transformer.patch_embedding(latents)
    return embedded if cameras is None else add_camera(transformer, embedded, cameras)


def _through_blocks(
    transformer: Any,
    sources: Sequence[Tensor],
    embedded: Callable[[], Tensor],
    control: Tensor | None,
    context: Context,
    times: TimeModulation,
    rotary: Any,
) -> Tensor:
    """The tokens (1, S, C) of all latents after all blocks, with the control's hints if there is a control."""
    hidden = _tokens([*map(transformer.patch_embedding, sources), embedded()], context.split)
    hints: Iterator[Tensor] = iter(())
    if control is not None:
        hints = _hints(transformer, hidden, control, context, times, rotary)
    for number, block in enumerate(transformer.blocks):
        hidden = block(hidden, context, times, rotary)
        if control is not None and number in transformer.config.vace_layers:
            hidden += next(hints)
    return hidden


def _in_order(transformer: Any, controlled: bool) -> list[Any]:
    """The blocks, in the order in which `_through_blocks` runs them."""
    hints = iter(transformer.vace_blocks if controlled else ())
    order = []
    for number, block in enumerate(transformer.blocks):
        order.append(block)
        if controlled and number in transformer.config.vace_layers:
            order.append(next(hints))
    return order


def _tokens(embedded: Sequence[Tensor], split: TokenSplit | None = None) -> Tensor:
    """Tokens (1, S, C) of embedded patches, each (1, C, T, H, W), in a row: all, or those that this card has."""
    tokens = [each.flatten(2).transpose(1, 2) for each in embedded]
    row = tokens[0] if len(tokens) == 1 else torch.cat(tokens, dim=1)
    return (row if split is None else row[:, split.own]).contiguous()


def _hints(
    transformer: Any,
    beginning: Tensor,
    control: Tensor,
    context: Context,
    times: TimeModulation,
    rotary: Any,
) -> Iterator[Tensor]:
    """The hints of VACE's blocks, each made when it is wanted: all at once they are the largest thing there is."""
    stream = _tokens([transformer.vace_patch_embedding(control)], context.split)
    for block in transformer.vace_blocks:
        hint, stream = block(beginning, context, stream, times, rotary)
        beginning = stream  # only the first wants it, and here it would be kept
        yield hint


def _projected(transformer: Any, settings: ForwardSettings, hidden: Tensor, times: TimeModulation) -> Tensor:
    """The last norm and projection of the tokens (1, S, C): (1, S, numbers of a patch)."""
    ends = TimeModulation(transformer.scale_shift_table.to(hidden.device).unsqueeze(1) + times.rows, times.which)
    numbers = transformer.proj_out.out_features

    def projected(tokens: slice, outputs: Pieces) -> Pieces:
        del outputs
        normed = settings.pointwise.normed(transformer.norm_out, hidden[:, tokens], ScaleAndShift(ends, tokens, 1, 0))
        return (transformer.proj_out(normed),)

    (flat,) = _over_tokens(hidden, _chunks(hidden, 4 * hidden.shape[2], settings.chunk_bytes), ((numbers,),), projected)
    return flat


def _pictures(transformer: Any, flat: Tensor, grid: list[int]) -> Tensor:
    """The patches (1, S, numbers) of all tokens, put back in their positions."""
    grids = flat.reshape(1, *grid, *transformer.config.patch_size, -1).permute(0, 7, 1, 4, 2, 5, 3, 6)
    return grids.flatten(6, 7).flatten(4, 5).flatten(2, 3)


def _control_block(
    block: Any,
    settings: ForwardSettings,
    beginning: Tensor,
    context: Context,
    control: Tensor,
    times: TimeModulation,
    rotary: Any,
) -> tuple[Tensor, Tensor]:
    """A block of VACE's: its hint, and the control stream (1, S, C) for the next one."""
    if block.proj_in is not None:
        control = block.proj_in(control) + beginning
    stream = _block(block, settings, control, context, times, rotary)
    return block.proj_out(stream), stream


def _block(
    block: Any, settings: ForwardSettings, hidden: Tensor, context: Context, times: TimeModulation, rotary: Any
) -> Tensor:
    """One transformer block on all tokens (1, S, C); as diffusers' WanTransformerBlock."""
    between = settings.pointwise
    shifts = times.shifts(block.scale_shift_table.to(hidden.device))
    attended = _self_attention(block, settings, hidden, shifts, rotary, context.split)
    texts, pictures = _keys(block.attn2, context)
    middle = block.ffn.net[0].proj.out_features

    def rest(tokens: slice, outputs: Pieces) -> Pieces:
        worked = _out(block.attn1, attended[:, tokens])
        chunk, normed = between.gated_normed(block.norm2, hidden[:, tokens], worked, TokenGate(shifts, tokens, 2))
        worked = _cross_attention(block.attn2, settings, normed, _spans_of(tokens, context), texts, pictures)
        chunk, normed = between.added_normed(block.norm3, chunk, worked, ScaleAndShift(shifts, tokens, 4, 3))
        worked = between.run_feed_forward(block.ffn, normed)
        return (between.gated(chunk, worked, TokenGate(shifts, tokens, 5), outputs[0]),)

    (done,) = _over_tokens(hidden, _chunks(hidden, middle, settings.chunk_bytes), (hidden.shape[2:],), rest)
    return done


def _self_attention(
    block: Any,
    settings: ForwardSettings,
    hidden: Tensor,
    shifts: TimeModulation,
    rotary: Any,
    split: TokenSplit | None,
) -> Tensor:
    """(1, S, C), before the output's projection."""
    attn, between = block.attn1, settings.pointwise
    by_head = (attn.heads, attn.inner_dim // attn.heads)

    def projected(tokens: slice, outputs: Pieces) -> Pieces:
        normed = between.normed(block.norm1, hidden[:, tokens], ScaleAndShift(shifts, tokens, 1, 0))
        query = between.rotated(attn.norm_q, attn.to_q(normed), rotary, tokens, attn.heads, outputs[0])
        key = between.rotated(attn.norm_k, attn.to_k(normed), rotary, tokens, attn.heads, outputs[1])
        return query, key, _by_head(attn, attn.to_v(normed))

    query, key, value = _over_tokens(
        hidden, _chunks(hidden, 4 * hidden.shape[2], settings.chunk_bytes), (by_head,) * 3, projected
    )
    if split is None:
        return _attend(attn, settings, query, key, value, whole=True)
    query, key, value = split.by_heads(query), split.by_heads(key), split.by_heads(value)
    split.meanwhile()
    if query.numel():  # there may be more cards than heads
        query = _attend(attn, settings, query, key, value).view(query.shape)
    return split.by_tokens(query, attn.heads).flatten(2, 3)


def _by_head(attn: Any, states: Tensor) -> Tensor:
    """(1, S, C) to (1, S, heads, D)."""
    return states.view(1, states.shape[1], attn.heads, -1)


def _attend(
    attn: Any, settings: ForwardSettings, query: Tensor, key: Tensor, value: Tensor, *, whole: bool = False
) -> Tensor:
    """Attention, (1, S, C): by the processor that was set on the model, or else by the card's fastest kernel.

    `whole` says that it is self-attention, which several cards may share.
    """
    processor: WanAttnProcessor = attn.processor
    shared = processor._parallel_config if whole else None
    out: Tensor
    if settings.attention is not None and shared is None and processor._attention_backend is None:
        out = settings.attention(query, key, value)
    else:
        out = dispatch_attention_fn(
            query,
            key,
            value,
            attn_mask=None,
            dropout_p=0.0,
            is_causal=False,
            backend=processor._attention_backend,
            parallel_config=shared,
        )
    return out.flatten(2, 3).type_as(query)


def _out(attn: Any, attended: Tensor) -> Tensor:
    projected: Tensor = attn.to_out[0](attended)
    return projected


def _keys(attn: Any, context: Context) -> tuple[list[Keys], Keys | None]:
    """Those of each prompt, and those of the pictures if there are some."""
    before = context.texts.shape[1] - TEXT_TOKENS if attn.add_k_proj is not None else 0
    texts = [_text_keys(attn, text.unsqueeze(0)) for text in context.texts[:, before:]]
    if attn.add_k_proj is None:
        return texts, None
    pictures = context.texts[:1, :before]
    key = _by_head(attn, attn.norm_added_k(attn.add_k_proj(pictures)))
    return texts, (key, _by_head(attn, attn.add_v_proj(pictures)))


def _text_keys(attn: Any, words: Tensor) -> Keys:
    return _by_head(attn, attn.norm_k(attn.to_k(words))), _by_head(attn, attn.to_v(words))


def _cross_attention(
    attn: Any,
    settings: ForwardSettings,
    normed: Tensor,
    spans: list[PromptSpan],
    texts: list[Keys],
    pictures: Keys | None,
) -> Tensor:
    query = settings.pointwise.rotated(attn.norm_q, attn.to_q(normed), None, slice(0, 0), attn.heads, None)
    attended = _read(attn, settings, query, spans, texts)
    if pictures is not None:
        attended = attended + _attend(attn, settings, query, *pictures)
    return _out(attn, attended)


def _spans_of(tokens: slice, context: Context) -> list[PromptSpan]:
    """The spans within a chunk, counted from its first token; a single one where there is one prompt."""
    if not context.spans:
        return [PromptSpan(0, tokens.stop - tokens.start, ((0, 1.0),))]
    cut = (
        PromptSpan(
            max(span.start, tokens.start) - tokens.start,
            min(span.end_exclusive, tokens.stop) - tokens.start,
            span.shares,
        )
        for span in context.spans
    )
    return [span for span in cut if span.start < span.end_exclusive]


def _read(attn: Any, settings: ForwardSettings, query: Tensor, spans: list[PromptSpan], texts: list[Keys]) -> Tensor:
    """What a chunk's queries read of the prompts, (1, S, C): each span by itself, so that any kernel can do it."""
    pieces = [_read_span(attn, settings, query, span, texts) for span in spans]
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=1)


def _read_span(attn: Any, settings: ForwardSettings, query: Tensor, span: PromptSpan, texts: list[Keys]) -> Tensor:
    own = query[:, span.start : span.end_exclusive]
    if len(span.shares) == 1:
        return _attend(attn, settings, own, *texts[span.shares[0][0]])
    parts = (share * _attend(attn, settings, own, *texts[prompt]) for prompt, share in span.shares)
    return functools.reduce(torch.add, parts)
