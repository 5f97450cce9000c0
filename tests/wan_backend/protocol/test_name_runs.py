"""Names of files travel as patterns and ranges, come back as they were, and can't be made to fill a memory."""

from __future__ import annotations

import json
from itertools import chain

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wan_backend.protocol import ProtocolError, name_runs
from wan_backend.protocol.conversion import from_json, to_json
from wan_backend.protocol.messages import Role, Source

NUMBERED = st.builds(
    lambda before, first, step, digits, count: [f"{before}{first + step * n:0{digits}d}.png" for n in range(count)],
    st.text(max_size=6),
    st.integers(100, 10**6),
    st.integers(-2, 5),
    st.integers(0, 7),
    st.integers(1, 30),
)
NAMES = st.lists(NUMBERED | st.lists(st.text(max_size=12), max_size=4), max_size=5).map(
    lambda parts: list(chain.from_iterable(parts))
)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(NAMES)
@example(["100", "99", "98", "9", "8"])
@example(["a1", "a1", "a1"])
@example(["a09", "a10", "a11"])
@example(["٣", "٤"])
@example(["0", "1", "01", "02"])
@example(["9" * 18, "9" * 19, "1"])
def test_any_list_of_names_comes_back_as_it_was(names):
    packed = json.loads(json.dumps(name_runs.pack(names)))
    assert name_runs.unpack(packed, "files") == names


def test_a_long_sequence_is_a_short_message():
    names = [f"the_lake_sq010_sh040_v003.{n:04d}.png" for n in range(2000)]
    assert len(name_runs.pack(names)) == 1
    assert len(name_runs.pack([*reversed(names), *names[-1:] * 50])) <= 3
    grows = [f"{n}.png" for n in range(9, 2000)]
    assert len(name_runs.pack(grows)) == 1, "numbers without zeros before them are one run, too"


def test_names_of_the_first_version_are_read():
    source = from_json(Source, {"role": "footage", "folder": "/shots", "files": ["a.png", "b.png"], "frames": 2})
    assert source.files == ["a.png", "b.png"]


def test_a_source_travels_short():
    source = Source(Role.FOOTAGE, "/shots", [f"{n:04d}.png" for n in range(2000)], frames=2000)
    assert len(json.dumps(to_json(source))) < 400
    assert from_json(Source, to_json(source)) == source


RUN = {"before": "a", "first": 1, "digits": 4, "count": 3}


@pytest.mark.parametrize(
    "value",
    [
        "a.png",
        [7],
        [{**RUN, "count": 10**9}],
        [{**RUN, "count": 0}],
        [{**RUN, "count": -1}],
        [{**RUN, "count": 6000}, {**RUN, "count": 6000}],
        [{**RUN, "digits": 10**6}],
        [{**RUN, "digits": -1}],
        [{**RUN, "first": 1e3}],
        [{**RUN, "first": True}],
        [{**RUN, "step": -1}],
        [{**RUN, "step": 10**30}],
        [{**RUN, "before": "x" * 5000}],
        [{**RUN, "after": None}],
        [{}],
        ["a"] * 10_001,
    ],
    ids=str,
)
def test_what_is_no_list_of_names_is_refused(value):
    with pytest.raises(ProtocolError, match="files"):
        name_runs.unpack(value, "files")
