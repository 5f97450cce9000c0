"""How long blocks take over a slow link: the arithmetic against cases that can be told by hand, and the real order."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from wan_backend.bench import command, slow_link
from wan_backend.bench.slow_link import OffloadedForward, SlowedCopy
from wan_backend.loading.block_offload import BlockOffload

CPU = torch.device("cpu")


def forward(count: int, staying: set[int] | None = None, size: int = 100, seconds: float = 1.0) -> OffloadedForward:
    return OffloadedForward((size,) * count, frozenset(staying or ()), seconds)


def test_where_nothing_has_to_come_the_link_does_not_matter():
    work = forward(4, {0, 1, 2, 3})
    assert work.link_bytes == 0 and work.free_from() == 0 and work.seconds(1.0) == work.resident_seconds == 4


def test_a_link_as_quick_as_the_work_is_free():
    work = forward(10)
    assert work.seconds(100.0) == pytest.approx(10.0)
    assert work.seconds(1e9) == pytest.approx(10.0)
    assert work.free_from() == pytest.approx(100.0 / slow_link.FREE_TIMES, rel=1e-3)


def test_over_a_slow_one_the_copies_are_all_that_counts():
    assert forward(10).seconds(10.0) == pytest.approx(100.0)
    assert forward(10, set(range(0, 10, 2))).seconds(10.0) == pytest.approx(50.0)


def test_blocks_that_stay_give_the_others_time_if_they_are_spread():
    spread, together = forward(10, {0, 2, 4, 6, 8}), forward(10, {0, 1, 2, 3, 4})
    assert spread.seconds(50.0) == pytest.approx(10.0)
    assert together.seconds(50.0) > 11.0
    assert spread.free_from() < 60.0 < together.free_from()


def test_a_slower_link_is_never_quicker_and_what_is_free_is():
    work = OffloadedForward((300, 100, 200, 250, 150), frozenset({2}), 0.5)
    times = [work.seconds(speed) for speed in (50, 100, 200, 400, 800, 1600)]
    assert times == sorted(times, reverse=True) and times[-1] == pytest.approx(work.resident_seconds)
    free = work.free_from()
    assert work.seconds(free) <= work.resident_seconds * slow_link.FREE_TIMES * 1.001
    assert work.seconds(free * 0.9) > work.resident_seconds * slow_link.FREE_TIMES


class Tower(nn.Module):
    def __init__(self, count: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(8, 8) for _ in range(count))

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x


@pytest.mark.parametrize("stay", range(5))
def test_the_arithmetic_fetches_what_block_offload_fetches_in_its_order(stay):
    tower = Tower(7).requires_grad_(False)
    copy = SlowedCopy(1.0, CPU)
    offload = BlockOffload(tower, list(tower.blocks), CPU, (), copy)
    offload.enter(stay * max(offload.pack_bytes))
    work = OffloadedForward(tuple(offload.pack_bytes), offload.staying, 1.0)
    fetched: list[int] = []
    fetch = offload._fetch
    offload._fetch = lambda number, avoid: (fetched.append(number), fetch(number, avoid))[1]
    course, imagined = slow_link._Course(work, 1.0), []
    fetch_there = course._fetch
    course._fetch = lambda number, avoid: (imagined.append(number), fetch_there(number, avoid))[1]
    for _ in range(3):
        tower(torch.ones(1, 8))
        course.forward()
    assert fetched == imagined
    assert copy.copied_bytes == sum(work.block_bytes[number] for number in fetched)


def test_the_command_prints_a_table_and_writes_it(t2v_folder, tmp_path, capsys):
    arguments = ["--folder", str(t2v_folder), "--size", "32x32", "--frames", "5", "--device", "cpu"]
    assert command.run([*arguments, "--link", "0.001", "12", "--json", str(tmp_path / "link.json")]) == 0
    shares = json.loads((tmp_path / "link.json").read_text())["shares"]
    assert [each["staying"] for each in shares] == [0.0, 0.5] and len(shares[1]["links"]) == 2
    told = capsys.readouterr().out
    assert told.count("free from") == 2 and "| 0.001 |" in told and "| 12 |" in told and told.count("| - |") == 4


def test_a_link_without_speed_is_a_sentence(t2v_folder, capsys):
    with pytest.raises(SystemExit):
        command.run(["--folder", str(t2v_folder), "--link", "0"])
    assert "--link" in capsys.readouterr().err
