"""Which path here is which there, and what of a message is changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from wan_backend.protocol.messages import JobState, JobStatus, JobSummary, Problem, ProblemKind, Task
from wan_backend.protocol.sentences import Sentence
from wan_backend.relay.places import PathPair, Places


@pytest.fixture
def places(tmp_path: Path) -> Places:
    made = Places(tmp_path, [PathPair("/mnt/shots", "/srv/shots"), PathPair("/mnt/shots/fast", "/nvme")])
    made.learn_root("/far/state")
    return made


@pytest.mark.parametrize(
    ("near", "far"),
    [
        ("/mnt/shots", "/srv/shots"),
        ("/mnt/shots/a/b.mov", "/srv/shots/a/b.mov"),
        ("/mnt/shots/fast/b.mov", "/nvme/b.mov"),
        ("/mnt/shots2/b.mov", None),
        ("/home/me", None),
    ],
)
def test_the_longest_pair_counts_and_only_whole_names(places, near, far):
    assert places.shared(near) == far


def test_pairs_of_windows_and_a_trailing_slash(tmp_path):
    places = Places(tmp_path, [PathPair("Z:\\shots\\", "/srv/shots/")])
    assert places.shared("Z:\\shots\\a\\b.mov") == "/srv/shots/a/b.mov"


def test_what_a_place_means_outlasts_the_process_and_another_window(places, tmp_path):
    other = Places(tmp_path, [])
    place, far = places.takes("/home/me/wan")
    other.takes("/home/me/other")
    again = Places(tmp_path, [])
    assert far == f"/far/state/sent/takes/{place}"
    assert again.near_of_take(f"{far}/0001 fog") == "/home/me/wan"
    assert again.near_of_take(other.takes("/home/me/other")[1]) == "/home/me/other"
    assert again.near_of_take("/far/state/sent/takes/" + "0" * 32) == ""


def test_two_windows_know_what_either_sends(tmp_path):
    one, two = Places(tmp_path, []), Places(tmp_path, [])
    one.learn_root("/far/state")
    first = one.takes("/home/me/wan")[1]
    two.learn_root("/far/state")  # it was started before the first one knew anything
    assert two.near_of_take(f"{first}/0001 fog") == "/home/me/wan"
    second = two.takes("/home/me/other")[1]
    assert one.near_of_take(f"{second}/0001 fog") == "/home/me/other"
    folder = two.folder("/home/me/shot", "x")[1]
    assert one.paths_here([f"{folder}/1.png"]) == ["/home/me/shot/1.png"]
    assert Places(tmp_path, []).near_of_take(f"{first}/0001 fog") == "/home/me/wan"


def test_a_message_has_this_machines_paths_but_says_whose_disk_is_full(places):
    _, takes = places.takes("/home/me/wan")
    _, folder = places.folder("/home/me/shot", "x")
    sentence = Sentence("{file} is damaged, and {folder} is full.", file=f"{folder}/1.png", folder=takes)
    status = JobStatus(
        "a" * 32,
        JobState.FAILED,
        JobSummary("fog", Task.RESTYLE, "embedded", 1, 5),
        problem=Problem(ProblemKind.BAD_SOURCE, sentence, log="/srv/shots/log.txt"),
    )
    here = places.here(JobStatus, status)
    assert here.problem.sentence == f"/home/me/shot/1.png is damaged, and {takes} is full."
    assert here.problem.log == "/mnt/shots/log.txt"
