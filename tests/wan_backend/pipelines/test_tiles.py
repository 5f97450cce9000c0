"""In tiles: nearly the whole, no line where they meet, in little memory, stoppable."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLWan
from hypothesis import example, given
from hypothesis import strategies as st

from tests.wan_backend.properties import bounded
from tools.embedded_model import evaluate, world
from tools.embedded_model.scenes import sample_scenes
from wan_backend.loading.wan_model import WanModel
from wan_backend.pipelines import tiles
from wan_backend.pipelines.decode import decode
from wan_backend.pipelines.encode import Film, encode
from wan_backend.pipelines.stopping import Stopped

HEIGHT, WIDTH, FRAMES = 64, 320, 5
TILE_PIXELS = 128
WAN_2_2 = {
    "base_dim": 2, "decoder_base_dim": 2, "num_res_blocks": 1, "z_dim": 48, "is_residual": True, "patch_size": 2,
    "in_channels": 12, "out_channels": 12, "scale_factor_spatial": 16,
    "latents_mean": 48 * [0.0], "latents_std": 48 * [1.0],
}  # fmt: skip


@pytest.fixture(scope="module")
def film() -> Film:
    drawn = world.draw(sample_scenes(7, 1, frames=FRAMES), frames=FRAMES, height=HEIGHT, width=WIDTH)
    levels = (drawn.frames[0].permute(1, 2, 3, 0) * 255).round().to(torch.uint8).numpy()
    return Film(FRAMES, WIDTH, HEIGHT, dict(enumerate(levels)))


@pytest.fixture(scope="module")
def random_vae():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AutoencoderKLWan(**WAN_2_2).eval()


@pytest.fixture
def vae(random_vae):
    """Of Wan 2.2's form, random: quick, and no two places alike."""
    random_vae.tile_pixels = TILE_PIXELS
    yield random_vae
    del random_vae.tile_pixels


@pytest.fixture(scope="module")
def latents() -> torch.Tensor:
    return torch.randn(1, 48, 2, HEIGHT // 16, WIDTH // 16, generator=torch.Generator().manual_seed(3))


def whole(vae, latents) -> np.ndarray:
    vae.tile_pixels = 0
    pictures = np.concatenate(list(decode(vae, latents)))
    vae.tile_pixels = TILE_PIXELS
    return pictures


def decibels(signal: float, error: np.ndarray) -> float:
    return float(10 * np.log10(signal / np.square(error, dtype=np.float64).mean()))


@bounded(40)
@given(
    width=st.integers(3, 60).map(lambda n: 16 * n),
    height=st.integers(3, 60).map(lambda n: 16 * n),
    square=st.integers(48, 800),
    factor=st.sampled_from([8, 16]),
)
@example(832, 480, 512, 8)
@example(1280, 720, 200, 16)
@example(64, 1280, 48, 16)
@example(272, 256, 256, 8)
def test_tiles_are_small_enough_and_their_shares_add_up_to_one(width, height, square, factor):
    parts = tiles.cut(height // factor, width // factor, factor, square)
    shares = torch.zeros(height // factor, width // factor)
    for tile in parts:
        tile.of(shares).add_(tile.weights())
    assert torch.allclose(shares, torch.ones_like(shares), atol=1e-6)
    assert max(tile.rows.length * tile.columns.length for tile in parts) <= (square // factor) ** 2
    widths = [tile.columns.end - tile.columns.start for tile in parts]
    assert max(widths) - min(widths) <= 1


def test_the_least_is_done_twice():
    assert len(tiles.cut(60, 104, 8, 512)) == 2
    assert len(tiles.cut(90, 160, 8, 512)) == 6
    assert len(tiles.cut(90, 160, 8, 544)) == 4
    assert len(tiles.cut(90, 160, 8, 0)) == 1
    assert len(tiles.cut(90, 160, 8, 960)) == 1
    across = tiles.cut(44, 80, 16, 704)
    assert [(tile.rows.length, tile.columns.length) for tile in across] == [(44, 43), (44, 43)]


def test_tiles_of_under_three_latents_are_refused():
    with pytest.raises(ValueError, match="at least 24"):
        tiles.cut(60, 104, 8, 16)


def test_the_film_is_the_sum_of_the_shares_rounded_once():
    factor, counts = 8, [1, 4, 4]
    parts = tiles.cut(40, 56, factor, 192)
    assert len(parts) == 9 - 3
    generator = torch.Generator().manual_seed(0)
    exact = torch.zeros(9, 320, 448, 3)
    levels = {}
    for tile in parts:
        pixels = tile.times(factor)
        size = (9, pixels.rows.end - pixels.rows.start, pixels.columns.end - pixels.columns.start, 3)
        levels[tile] = 255 * torch.rand(size, generator=generator)
        rows, columns = slice(pixels.rows.start, pixels.rows.end), slice(pixels.columns.start, pixels.columns.end)
        exact[:, rows, columns] += levels[tile] * pixels.weights()[..., None]
    pieces = list(tiles.join_film(parts, factor, counts, lambda tile: levels[tile].split(counts)))
    assert [len(piece) for piece in pieces] == counts
    assert (torch.cat(pieces).float() - exact).abs().max() < 0.7


def test_one_tile_is_the_whole_to_the_bit(vae, latents):
    expected = whole(vae, latents)
    vae.tile_pixels = WIDTH
    assert np.array_equal(np.concatenate(list(decode(vae, latents))), expected)


def test_one_tile_joined_is_the_rounded_levels():
    levels = torch.rand(5, 48, 64, 3, generator=torch.Generator().manual_seed(1)) * 255
    joined = tiles.join_film(tiles.cut(3, 4, 16, 0), 16, [1, 4], lambda _tile: levels.split([1, 4]))
    assert torch.equal(torch.cat(list(joined)), levels.round().to(torch.uint8))


def test_a_film_needs_little_more_than_its_bytes():
    parts = [tile.times(8) for tile in tiles.cut(88, 160, 8, 256)]
    film = tiles._Film(parts, 1)
    assert film.pictures.nbytes == 704 * 1280 * 3
    assert film._below.nbytes + film._beside.nbytes < 0.4 * film.pictures.nbytes


@pytest.mark.parametrize(("weights", "decoded", "encoded"), [("embedded", 50, 30), ("random", 30, 15)])
def test_it_is_nearly_the_whole_without_a_line(vae, film, weights, decoded, encoded):
    if weights == "embedded":
        vae = WanModel(evaluate.WEIGHTS, torch.device("cpu")).vae
    vae.tile_pixels = 0
    coded = encode(vae, film)
    latents = coded if weights == "embedded" else coded / coded.std()
    expected = whole(vae, latents)
    vae.tile_pixels = TILE_PIXELS
    in_tiles = encode(vae, film)
    assert in_tiles.shape == coded.shape and in_tiles.dtype == coded.dtype
    assert encoded < decibels(float(coded.var()), (in_tiles - coded).numpy()) < 100
    pieces = list(decode(vae, latents))
    assert [piece.shape for piece in pieces] == [(1, HEIGHT, WIDTH, 3), (4, HEIGHT, WIDTH, 3)]
    error = np.concatenate(pieces).astype(np.float32) - expected
    assert decoded < decibels(255**2, error) < 100
    # A seam is a column where the error jumps in all rows and frames; hard seams jump twice as far as the picture.
    own = np.abs(np.diff(expected.mean((0, 1)), axis=0)).max()
    assert np.abs(np.diff(error.mean((0, 1)), axis=0)).max() < 0.15 * own


def test_it_tells_of_each_latent_frame_of_each_tile(vae, latents):
    told: list[tiles.Reached] = []
    list(decode(vae, latents, on_tile=told.append))
    assert [(reached.done, reached.total, reached.tile, reached.tiles) for reached in told] == [
        (0, 4, 1, 2), (1, 4, 1, 2), (2, 4, 2, 2), (3, 4, 2, 2), (4, 4, 2, 2),
    ]  # fmt: skip


@pytest.mark.parametrize("way", ["decode", "encode"])
def test_it_stops_within_a_tile_and_leaves_no_trace(vae, latents, film, way):
    checks: list[int] = []
    most = 10**9

    def should_stop() -> bool:
        checks.append(1)
        return len(checks) > most

    def work() -> None:
        list(decode(vae, latents, should_stop)) if way == "decode" else encode(vae, film, should_stop)

    work()
    most = len(checks) * 3 // 4  # in the second tile of two
    checks.clear()
    with pytest.raises(Stopped):
        work()
    assert len(checks) == most + 1
    assert not any(part._forward_pre_hooks for part in vae.modules())
    assert vae._feat_map == [None] * len(vae._feat_map)
    assert vae._enc_feat_map == [None] * len(vae._enc_feat_map)


def test_left_after_the_first_pictures_it_leaves_no_trace(vae, latents):
    left = decode(vae, latents)
    next(left)
    left.close()
    assert vae._feat_map == [None] * len(vae._feat_map)
