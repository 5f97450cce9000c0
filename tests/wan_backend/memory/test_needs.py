"""The one calculation of a take's memory: it grows with the frames, and covers what was measured."""

from __future__ import annotations

import pytest

from wan_backend.catalogue import entries
from wan_backend.memory.needs import FIXED_BYTES, HiddenStates, VideoShape, calculate, calculate_from_catalogue

HIDDEN_STATES = HiddenStates(5120, 96, 2, 2)


def test_tokens_of_a_patched_autoencoder_are_larger():
    plain, patched = (VideoShape(1280, 704, 121, token) for token in (16, 32))
    assert plain.tokens == 4 * patched.tokens == 31 * 44 * 80


def test_working_memory_grows_with_the_frames():
    small, large = (calculate({}, HIDDEN_STATES, VideoShape(832, 480, frames)) for frames in (17, 81))
    assert large.denoise > 1.5 * small.denoise
    assert large.decode == small.decode  # a latent frame at a time
    assert large.frame_pixels == 832 * 480


def test_the_peak_falls_with_what_is_spared():
    for entry in entries.load().models.values():
        for size in entry.sizes:
            needs = calculate_from_catalogue(entry, size.width, size.height, entry.max_frames)
            assert needs.together >= needs.one_at_a_time >= needs.least > 0
    experts = entries.entry("wan2.2-t2v-a14b")
    two, one = (calculate_from_catalogue(entry, 832, 480, 81) for entry in (experts, entries.entry("wan2.1-t2v-14b")))
    assert two.one_at_a_time == one.one_at_a_time
    assert two.together - one.together == experts.weights.transformer * 2


def test_a_quantized_file_needs_its_own_size():
    entry = entries.entry("wan2.2-t2v-a14b")
    needs = calculate_from_catalogue(entry, 832, 480, 81, quantized_bytes=9 << 30)
    assert needs.quantized and needs.transformer == needs.transformer_2 == 9 << 30


def test_an_autoencoder_that_runs_channels_last_needs_more_for_each_latent_frame_at_once():
    plain, channels_last = (
        calculate_from_catalogue(entries.entry("wan2.1-t2v-1.3b"), 832, 480, 81, vae_channels_last=each)
        for each in (False, True)
    )
    assert plain.decode_in(0, 4) == plain.decode
    more = [channels_last.decode_in(0, latents) for latents in (1, 2, 3)]
    assert more[0] == channels_last.decode < more[1] and more[2] - more[1] == more[1] - more[0]


MEASURED = {  # GiB of working memory on an H100, the weights taken off: that of the transformer's phase, and the
    # smallest cap that the autoencoder ran under
    "wan2.1-t2v-1.3b": (832, 480, 81, 0.75, 3.64),
    "wan2.1-t2v-14b": (1280, 720, 81, 3.7, 8.39),
    "wan2.2-ti2v-5b": (1280, 704, 121, 1.1, 8.14),
}


@pytest.mark.parametrize("model", list(MEASURED))
def test_the_estimate_covers_what_was_measured_and_not_much_more(model):
    width, height, frames, denoise, decode = MEASURED[model]
    needs = calculate_from_catalogue(entries.entry(model), width, height, frames, vae_channels_last=True)
    for estimated, measured in ((needs.denoise, denoise), (needs.decode, decode)):
        gibibytes = (estimated - FIXED_BYTES) / (1 << 30)
        assert measured <= gibibytes * 1.005 and gibibytes < 1.35 * measured


@pytest.mark.parametrize("on_cpu", [True, False])
def test_what_a_step_cache_keeps_is_counted_where_it_is(on_cpu):
    """81 frames of 832x480 are 32760 tokens, of 1536 numbers of 2 bytes in this model."""
    needs = calculate({}, HIDDEN_STATES, VideoShape(832, 480, 81))
    kept = 2 * 32760 * HIDDEN_STATES.transformer_channels * HIDDEN_STATES.number_bytes
    made = needs.with_step_cache(2, on_cpu)
    assert (made.denoise - needs.denoise, made.reused) == ((kept, 0) if on_cpu else (0, kept))
    assert needs.with_step_cache(0, on_cpu) == needs
