"""The catalogue is whole, and says so where it is not."""

from __future__ import annotations

import pytest

from wan_backend.models import catalogue, sizes
from wan_backend.protocol import ProtocolError
from wan_backend.protocol.messages import Quality, Task

MODELS = catalogue.load().models.values()


def changed(find: str, put: str) -> str:
    text = catalogue.CATALOGUE_FILE.read_text("utf-8")
    assert find in text
    return text.replace(find, put, 1)


def test_the_models_of_this_version_are_there():
    assert list(catalogue.load().models) == [
        "embedded",
        "wan2.1-vace-1.3b",
        "wan2.1-t2v-1.3b",
        "wan2.1-t2v-14b",
        "wan2.1-i2v-14b-480p",
        "wan2.1-flf2v-14b-720p",
        "wan2.2-ti2v-5b",
    ]


def test_a_control_model_does_every_task_at_any_length():
    for name in ("embedded", "wan2.1-vace-1.3b"):
        entry = catalogue.entry(name)
        assert entry.is_control and sorted(entry.tasks) == sorted(Task)
        assert all(entry.makes_long(task) for task in Task)
    assert not catalogue.entry("wan2.1-t2v-1.3b").is_control


def test_an_unknown_model_lists_the_known_ones():
    with pytest.raises(
        catalogue.UnknownModel, match=r"there are embedded, wan2\.1-vace-1\.3b, wan2\.1-t2v-1\.3b, wan2\.1-t2v-14b"
    ):
        catalogue.entry("wan3")


@pytest.mark.parametrize("entry", MODELS, ids=lambda entry: entry.id)
def test_better_qualities_take_more_steps(entry):
    steps = [entry.preset(quality).steps for quality in (Quality.DRAFT, Quality.STANDARD, Quality.BEST)]
    assert steps == sorted(set(steps))


@pytest.mark.parametrize("entry", MODELS, ids=lambda entry: entry.id)
def test_a_download_is_about_as_large_as_its_weights(entry):
    weights = entry.weights
    count = weights.transformer + weights.text_encoder + weights.image_encoder + weights.vae
    assert not entry.repo or 2 * count < entry.download_bytes < 4.05 * count


def test_no_two_entries_are_told_by_the_same_marks():
    marks = [(entry.layout, entry.weights.layers, entry.weights.heads) for entry in MODELS if entry.repo]
    assert None not in [layout for layout, _, _ in marks]
    assert len(set(marks)) == len(marks)


@pytest.mark.parametrize("entry", MODELS, ids=lambda entry: entry.id)
def test_every_size_of_a_model_can_be_made(entry):
    for size in entry.sizes:
        made = sizes.snap(entry, size.width, size.height, size.name)
        assert abs(made.width * made.height / (size.width * size.height) - 1) < 0.1


@pytest.mark.parametrize(
    ("find", "put"),
    [
        ("frames = [5, 65]", "frames = [5, 64]"),
        ("frames = [5, 65]", "frames = [5]"),
        ("sides = [96, 384]", "sides = [96, 380]"),
        ('default_size = "144p"', 'default_size = "900p"'),
        ('package_folder = "embedded/weights"', ""),
        ('id = "wan2.1-t2v-14b"', 'id = "embedded"'),
        ("frame_rate = 16", 'frame_rate = "16"'),
        ("\n[[model]]", "\n[[model]"),
    ],
)
def test_a_wrong_catalogue_is_refused(find, put):
    with pytest.raises((ValueError, ProtocolError)):
        catalogue.read(changed(find, put))
