"""Which components stay on the card, for cards and machines of several sizes."""

from __future__ import annotations

import dataclasses

from hypothesis import example, given
from hypothesis import strategies as st

from tests.wan_backend.properties import bounded
from wan_backend.memory.needs import BLOCK_OFFLOADED_SHARE, Needs
from wan_backend.memory.residency_plan import Residency, choose, choose_on_cpu, choose_shared

GB = 10**9
SMALL = Needs(text_encoder=11 * GB, transformer=3 * GB, vae=GB // 4, encode=GB // 2, denoise=3 * GB, decode=2 * GB)
EXPERTS = Needs(
    text_encoder=11 * GB,
    transformer=28 * GB,
    transformer_2=28 * GB,
    vae=GB // 4,
    encode=GB // 2,
    denoise=9 * GB,
    decode=2 * GB,
)
LARGE = Needs(text_encoder=11 * GB, transformer=28 * GB, vae=GB // 4, encode=GB // 2, denoise=9 * GB, decode=2 * GB)


def test_everything_stays_where_everything_fits():
    plan = choose(SMALL, 80 * GB, 64 * GB)
    assert {plan.text_encoder, plan.transformer, plan.vae} == {Residency.RESIDENT}
    assert plan.peak_bytes == SMALL.together


def test_the_text_encoder_is_the_first_to_leave():
    plan = choose(SMALL, 16 * GB, 64 * GB)
    assert plan.text_encoder is Residency.BLOCK_OFFLOADED and plan.transformer is Residency.RESIDENT
    assert choose(LARGE, 45 * GB, 64 * GB).text_encoder is Residency.BLOCK_OFFLOADED
    assert choose(LARGE, 51 * GB, 64 * GB) == choose(LARGE, 60 * GB, 64 * GB)
    assert plan.peak_bytes <= 16 * GB


def test_a_text_encoder_that_does_not_fit_is_block_offloaded():
    plan = choose(SMALL, 8 * GB, 64 * GB)
    assert plan.text_encoder is Residency.BLOCK_OFFLOADED
    assert plan.peak_bytes <= 8 * GB


def test_a_text_encoder_is_reloaded_where_the_machine_is_short_too():
    plan = choose(SMALL, 12 * GB, 8 * GB)
    assert plan.text_encoder is Residency.BLOCK_OFFLOADED and plan.forget_encoder
    assert not choose(SMALL, 12 * GB, 64 * GB).forget_encoder
    assert choose(LARGE, 30 * GB, 24 * GB).text_encoder is Residency.RELOADED


@bounded(200)
@given(card_gb=st.integers(4, 24), host_gb=st.integers(8, 100))
@example(6, 8)
@example(8, 96)
@example(12, 40)
@example(24, 20)
def test_the_machine_is_not_filled_to_the_brim(card_gb, host_gb):
    plan = choose(EXPERTS, card_gb * GB, host_gb * GB)
    needs = EXPERTS.in_8_bit() if plan.eight_bit else EXPERTS
    held = 0
    if plan.transformer in (Residency.OFFLOADED, Residency.BLOCK_OFFLOADED):
        held = needs.expert if plan.one_expert else needs.experts
    if plan.text_encoder in (Residency.OFFLOADED, Residency.BLOCK_OFFLOADED) and not plan.forget_encoder:
        held += needs.encoders
    assert held <= 0.9 * host_gb * GB or (plan.one_expert and plan.eight_bit)


def test_more_of_the_machines_memory_never_refuses_what_less_allows():
    for card_gb in range(4, 30):
        peaks = [choose(LARGE, card_gb * GB, host * GB).peak_bytes <= card_gb * GB for host in range(8, 128, 8)]
        assert peaks == sorted(peaks), card_gb


def test_a_transformer_that_does_not_fit_is_block_offloaded():
    plan = choose(LARGE, 16 * GB, 64 * GB)
    assert plan.transformer is Residency.BLOCK_OFFLOADED
    assert plan.vae is Residency.OFFLOADED and not plan.eight_bit
    assert 14 * GB < plan.peak_bytes <= 16 * GB
    assert plan.kept_bytes == int(
        (16 * GB - 9 * GB - int(28 * GB * BLOCK_OFFLOADED_SHARE)) * 0.95
    )  # what is left stays on the card


def test_a_transformer_that_the_machine_does_not_hold_is_kept_in_8_bit():
    offloaded = choose(LARGE, 16 * GB, 24 * GB)
    assert offloaded.eight_bit and offloaded.transformer is Residency.BLOCK_OFFLOADED and offloaded.kept_bytes
    whole = choose(LARGE, 26 * GB, 24 * GB)
    assert whole.eight_bit and whole.transformer is Residency.OFFLOADED and whole.peak_bytes <= 26 * GB
    quantized = dataclasses.replace(LARGE, quantized=True)
    assert not choose(quantized, 16 * GB, 24 * GB).eight_bit
    assert not choose(LARGE, 40 * GB, 24 * GB).eight_bit  # the card holds what the machine doesn't


def test_pictures_that_do_not_fit_whole_are_made_in_the_largest_tiles_that_do():
    large = dataclasses.replace(LARGE, decode=9 * GB, frame_pixels=1280 * 720)
    tiles = [choose(large, card * GB // 2, 64 * GB).tile_pixels for card in (40, 16, 12, 8, 5, 2)]
    assert tiles[0] == 0 and tiles[-1] == 192
    assert tiles[1:] == sorted(tiles[1:], reverse=True) and all(tile % 32 == 0 for tile in tiles)
    assert large.vae + large.decode_in(tiles[2]) <= 6 * GB < large.vae + large.decode_in(tiles[2] + 64)


def test_the_autoencoder_takes_as_many_latent_frames_at_once_as_there_is_room_for():
    large = dataclasses.replace(LARGE, decode=5 * GB, decode_another=2 * GB, frame_pixels=1280 * 720)
    plans = [choose(large, card * GB, 64 * GB) for card in (80, 14, 12, 10, 8, 6, 4)]
    assert [plan.chunk_latents for plan in plans] == [4, 4, 4, 3, 2, 1, 1]
    assert plans[-1].tile_pixels and not any(plan.tile_pixels for plan in plans[:-1])
    for plan, card in zip(plans[1:], (14, 12, 10, 8, 6, 4), strict=True):
        assert large.vae + large.decode_in(plan.tile_pixels, plan.chunk_latents) <= card * GB
    assert choose(LARGE, 80 * GB, 64 * GB).chunk_latents == 1  # where more would cost nothing, nothing is gained


def test_a_plan_is_given_even_where_nothing_fits_and_its_peak_says_so():
    plan = choose(LARGE, 4 * GB, 64 * GB)
    assert plan.transformer is Residency.BLOCK_OFFLOADED
    assert plan.peak_bytes > 4 * GB


@bounded(200)
@given(needs=st.sampled_from([SMALL, LARGE, EXPERTS]), card_gb=st.integers(4, 100))
@example(LARGE, 4)
@example(EXPERTS, 37)
@example(SMALL, 16)
def test_the_peak_is_over_the_card_only_where_all_is_out_already(needs, card_gb):
    plan = choose(needs, card_gb * GB, 64 * GB)
    assert plan.peak_bytes <= card_gb * GB or plan.transformer is Residency.BLOCK_OFFLOADED


def test_two_experts_need_the_card_for_one_and_the_machine_for_two():
    assert choose(EXPERTS, 80 * GB, 128 * GB).transformer is Residency.RESIDENT
    swapped = choose(EXPERTS, 40 * GB, 80 * GB)
    assert swapped.transformer is swapped.residency_of("transformer_2") is Residency.OFFLOADED
    assert swapped.peak_bytes <= 40 * GB and not swapped.one_expert
    offloaded = choose(EXPERTS, 16 * GB, 128 * GB)
    assert offloaded.transformer is Residency.BLOCK_OFFLOADED and not offloaded.one_expert and not offloaded.eight_bit
    in_8_bit = choose(EXPERTS, 16 * GB, 40 * GB)
    assert in_8_bit.eight_bit and not in_8_bit.one_expert
    assert choose(EXPERTS, 16 * GB, 20 * GB).one_expert
    assert choose(EXPERTS, 40 * GB, 20 * GB).transformer is Residency.RELOADED
    assert not choose(LARGE, 16 * GB, 40 * GB).one_expert


def test_two_experts_on_the_cpu_are_read_one_after_the_other_where_both_do_not_fit():
    assert choose_on_cpu(EXPERTS, 128 * GB).residency_of("transformer_2") is Residency.RESIDENT
    short = choose_on_cpu(EXPERTS, 48 * GB)
    assert short.residency_of("transformer_2") is Residency.RELOADED
    assert short.peak_bytes < 40 * GB  # one of them, the autoencoder and the working memory


def test_on_the_cpu_nothing_is_moved_only_reloaded():
    assert choose_on_cpu(SMALL, 64 * GB).text_encoder is Residency.RESIDENT
    short = choose_on_cpu(SMALL, 12 * GB)
    assert short.text_encoder is Residency.RELOADED
    shortest = choose_on_cpu(LARGE, 30 * GB)
    assert {shortest.text_encoder, shortest.transformer, shortest.vae} == {Residency.RELOADED}


def test_an_image_encoder_goes_where_the_text_encoder_goes():
    with_image_encoder = dataclasses.replace(LARGE, image_encoder=GB)
    assert with_image_encoder.together == LARGE.together + GB
    for card_gb, host_gb in ((80, 64), (40, 64), (40, 8), (8, 64)):
        plan = choose(with_image_encoder, card_gb * GB, host_gb * GB)
        assert plan.residency_of("image_encoder") is plan.text_encoder


def test_two_cards_have_a_share_each_of_what_neither_holds():
    plan = choose_shared(LARGE, 28 * GB, 64 * GB, 2)
    assert plan.transformer is Residency.SHARED and plan.shares == 2 and not plan.eight_bit
    assert plan.text_encoder is Residency.OFFLOADED and plan.vae is Residency.RESIDENT
    assert plan.bytes_during("transformer", LARGE) > plan.bytes_during("", LARGE) > 14 * GB
    assert choose_shared(LARGE, 28 * GB, 64 * GB, 1) is None and choose_shared(LARGE, 25 * GB, 64 * GB, 2) is None
    beside = choose_shared(LARGE, 28 * GB, 4 * GB, 2)
    assert beside.text_encoder is Residency.RELOADED, "a machine that holds no text encoder either"
    assert choose_shared(LARGE, 31 * GB, 4 * GB, 4).text_encoder is Residency.RESIDENT


def test_of_two_experts_each_card_has_shares_of_both_or_of_one_after_the_other():
    assert not choose_shared(EXPERTS, 45 * GB, 64 * GB, 2).one_expert
    both, one = choose_shared(EXPERTS, 30 * GB, 64 * GB, 4), choose_shared(EXPERTS, 30 * GB, 64 * GB, 2)
    assert not both.one_expert and one.one_expert
    assert one.bytes_during("vae", EXPERTS) < EXPERTS.expert


@bounded(200)
@given(
    needs=st.sampled_from([SMALL, LARGE, EXPERTS]),
    card_gb=st.integers(4, 60),
    host_gb=st.integers(2, 64),
    shares=st.integers(2, 8),
    states=st.sampled_from([0, GB // 10, GB]),
)
@example(LARGE, 28, 64, 2, 0)
def test_whoever_has_a_share_has_room_for_it_in_every_phase(needs, card_gb, host_gb, shares, states):
    needs = dataclasses.replace(needs, hidden_states=states, frame_pixels=1280 * 720, decode_another=GB // 2)
    plan = choose_shared(needs, card_gb * GB, host_gb * GB, shares)
    if plan is not None:
        assert plan.peak_bytes <= card_gb * GB
        for component in ("text_encoder", "transformer", "transformer_2", "vae"):
            assert plan.bytes_during(component, needs) <= card_gb * GB
        assert choose_shared(needs, (card_gb + 1) * GB, host_gb * GB, shares) is not None
