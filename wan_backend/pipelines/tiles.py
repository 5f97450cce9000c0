"""Pictures in tiles, for an autoencoder that is too large for the whole picture: cutting them and joining them.

Each tile is decoded through all its frames before the next one; where two overlap, one fades into the other. Sizes are
in latents, except where a name or a docstring says pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch

OVERLAP_LATENTS, OVERLAP_PIXELS = 8, 96
"""How far neighbors overlap: this many latents, but no more than this many pixels.

Measured against the whole: with a trained autoencoder of 8 pixels a latent, no overlap drew a line twice as strong as
any step from column to column of the picture (43.6 dB); 4 latents gave 56.0 dB and 8 gave 56.8, with steps of 0.4 and
0.15 levels at the seam; in wider tiles 8, 12 and 16 gave 58.2, 58.8 and 59.0 dB. With random weights of 16 pixels a
latent, which see further than trained ones, 4, 6 and 8 gave 39, 42 and 44 dB; at 1280x704 in tiles of 512 they cost
20, 31 and 42 % more pixels.
"""
MIN_LATENTS = 3
"""The smallest side of a tile; a smaller one would see nothing of its surroundings."""


@dataclass(frozen=True)
class Span:
    """One side of a tile: `start` to `end`, of which it shares `before` and `after` with its neighbors."""

    start: int
    end: int
    before: int
    after: int

    @property
    def length(self) -> int:
        """The extent with what is shared."""
        return self.end - self.start

    def times(self, factor: int) -> Span:
        """The extent in pixels, where a latent covers `factor` of them."""
        return Span(self.start * factor, self.end * factor, self.before * factor, self.after * factor)

    def weights(self) -> torch.Tensor:
        """(end - start,) shares of the whole; those of neighbors add up to one everywhere."""
        weights = torch.ones(self.end - self.start)
        weights[: self.before] = _rising(self.before)
        weights[len(weights) - self.after :] = 1 - _rising(self.after)
        return weights


def _rising(length: int) -> torch.Tensor:
    return (torch.arange(length) + 0.5) / max(1, length)


@dataclass(frozen=True)
class Tile:
    """A rectangle of the picture."""

    rows: Span
    columns: Span

    def of(self, whole: torch.Tensor) -> torch.Tensor:
        """The section of `whole` (..., height, width) under the tile, as a view."""
        return whole[..., self.rows.start : self.rows.end, self.columns.start : self.columns.end]

    def times(self, factor: int) -> Tile:
        """The extent in pixels, where a latent covers `factor` of them."""
        return Tile(self.rows.times(factor), self.columns.times(factor))

    def weights(self) -> torch.Tensor:
        """(rows, columns) shares of the whole."""
        return self.rows.weights()[:, None] * self.columns.weights()


@dataclass(frozen=True)
class Reached:
    """How far the decoding of a film in tiles is; its pieces are the latent frames of all tiles."""

    done: int
    total: int
    tiles: int

    @property
    def tile(self) -> int:
        """The tile that is being decoded, from 1."""
        return min(self.done * self.tiles // self.total + 1, self.tiles)


OnTile = Callable[[Reached], None]


def quiet(_reached: Reached) -> None:
    """An `on_tile` that does nothing."""


def tile_pixels(vae: object) -> int:
    """The side of the largest square that `vae` takes at once, by its `tile_pixels`; 0 if it takes any size."""
    return int(getattr(vae, "tile_pixels", 0))


def cut(height: int, width: int, factor: int, square_pixels: int) -> list[Tile]:
    """The tiles of a picture of `height` by `width` latents, row by row; one if it may go whole.

    None has more pixels than a square of `square_pixels` a side, where a latent covers `factor` of them; 0 sets no
    bound. They are cut so that as little as possible is computed twice, and their sides differ by a latent at most.
    Raises ValueError if such a square would be under three latents a side.
    """
    side = square_pixels // factor
    if square_pixels <= 0 or height * width <= side * side:
        return [Tile(Span(0, height, 0, 0), Span(0, width, 0, 0))]
    if side < MIN_LATENTS:
        raise ValueError(f"Tiles of {square_pixels} pixels are too small: use at least {MIN_LATENTS * factor}.")
    full = min(OVERLAP_LATENTS, OVERLAP_PIXELS // factor)
    grids = _grids(height, width, side, full) or _grids(height, width, side, min(full, side // 3))
    rows, columns = min(grids, key=lambda grid: (_sum(grid[0]) * _sum(grid[1]), len(grid[0]) * len(grid[1])))
    return [Tile(row, column) for row in rows for column in columns]


def _grids(height: int, width: int, side: int, overlap: int) -> list[tuple[list[Span], list[Span]]]:
    """Rows and columns whose tiles are small enough."""
    return [
        (rows, columns)
        for rows in _ways(height, overlap)
        for columns in _ways(width, overlap)
        if rows[0].length * columns[0].length <= side * side
    ]


def _ways(size: int, overlap: int) -> Iterator[list[Span]]:
    """A side of the picture as one span, two, three and so on, while no place is in three of them."""
    yield [Span(0, size, 0, 0)]
    count = 2
    while (covered := size + (count - 1) * overlap) // count >= 2 * overlap:
        spans, start = [], 0
        for index in range(count):
            length = covered // count + (index < covered % count)
            spans.append(Span(start, start + length, overlap * (index > 0), overlap * (index < count - 1)))
            start += length - overlap
        yield spans
        count += 1


def _sum(spans: Sequence[Span]) -> int:
    return sum(span.length for span in spans)


def join_film(
    tiles: Sequence[Tile],
    factor: int,
    counts: Sequence[int],
    decoded: Callable[[Tile], Iterable[torch.Tensor]],
    on_tile: OnTile = quiet,
) -> Iterator[torch.Tensor]:
    """Yield (N, H, W, 3) uint8 pictures on the CPU, N being each of `counts`.

    `decoded(tile)` yields as many at a time, as levels from 0 to 255. `on_tile` is called at the start, and after each
    of them. The whole film is held meanwhile, as bytes, besides what a row of tiles shares with the next.
    """
    film = _Film([tile.times(factor) for tile in tiles], sum(counts))
    done, total = 0, len(tiles) * len(counts)
    on_tile(Reached(done, total, len(tiles)))
    for tile in tiles:
        first = 0
        for count, levels in zip(counts, decoded(tile), strict=True):
            film.lay(tile.times(factor), first, levels)
            first, done = first + count, done + 1
            on_tile(Reached(done, total, len(tiles)))
    yield from film.pictures.split(list(counts))


class _Film:
    """A film that grows by tiles, row by row.

    What still lacks a neighbor's share is held in 16-bit floats, exact to a sixteenth of a level, and rounded once.
    """

    def __init__(self, tiles: Sequence[Tile], frames: int) -> None:
        """`tiles` are in pixels."""
        height, width = tiles[-1].rows.end, tiles[-1].columns.end
        tallest = max(tile.rows.end - tile.rows.start for tile in tiles)
        below, beside = tiles[0].rows.after, tiles[0].columns.after
        self.pictures = torch.empty(frames, height, width, 3, dtype=torch.uint8)
        self._below = torch.empty(frames, below, width, 3, dtype=torch.float16)
        """The lower edge of a row of tiles, which the next row shares."""
        self._beside = torch.empty(frames, tallest, beside, 3, dtype=torch.float16)
        """The right edge of the tile before, which the next tile shares."""

    def lay(self, tile: Tile, first: int, levels: torch.Tensor) -> None:
        """Add (N, h, w, 3) levels of `tile`, which is in pixels, to the frames from `first`."""
        frames = slice(first, first + len(levels))
        rows, columns = tile.rows, tile.columns
        height, width = rows.end - rows.start, columns.end - columns.start
        inner_height, inner_width = height - rows.after, width - columns.after
        inner = slice(columns.start, columns.end - columns.after)
        shared = levels.float().cpu() * tile.weights()[..., None]
        # The edge of the tile beside holds what lies above that edge, too.
        shared[:, :, : columns.before] += self._beside[frames, :height, : columns.before]
        above = self._below[frames, :, columns.start + columns.before : columns.end]
        shared[:, : rows.before, columns.before :] += above[:, : rows.before]
        if columns.after:
            self._beside[frames, :height, : columns.after] = shared[:, :, inner_width:]
        if rows.after:
            self._below[frames, : rows.after, inner] = shared[:, inner_height:, :inner_width]
        done = shared[:, :inner_height, :inner_width].round_().to(torch.uint8)
        self.pictures[frames, rows.start : rows.end - rows.after, inner] = done


def join_latents(tiles: Sequence[Tile], encoded: Callable[[Tile], torch.Tensor]) -> torch.Tensor:
    """(1, C, T, height, width) float32 latents, joined of those that `encoded(tile)` returns for each tile."""
    whole: torch.Tensor | None = None
    for tile in tiles:
        latents = encoded(tile).float()
        if whole is None:
            whole = latents.new_zeros(*latents.shape[:3], tiles[-1].rows.end, tiles[-1].columns.end)
        tile.of(whole).add_(latents * tile.weights().to(latents.device))
    assert whole is not None
    return whole
