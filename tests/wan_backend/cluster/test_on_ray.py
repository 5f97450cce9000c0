"""A server whose workers are on a real Ray cluster, of nodes on this machine's loopback, one of which is killed."""

from __future__ import annotations

import json
import random
import socket
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.wan_backend.cluster.local_nodes import LOOPBACK, OF_SERVERS, LocalNodes
from tests.wan_backend.server.served import Served, processes_with, request, wait_until
from wan_backend.protocol.media import PARTIAL_SUFFIX

PATIENCE_SECONDS = 180.0
SILENT = ("--ray-silent-seconds", "8")


@pytest.fixture
def nodes():
    with LocalNodes() as made:
        yield made


@pytest.fixture
def media(tmp_path: Path) -> Path:
    (tmp_path / "media").mkdir()
    return tmp_path / "media"


def served(tmp_path: Path, models: Path, address: str, *flags: str, **more) -> Served:
    ray = ["--device", "cpu", "--ray", address, "--ray-cards", "1", *SILENT]
    return Served(tmp_path / "state", models, *ray, *flags, **OF_SERVERS, **more)


def takes_in(media: Path) -> Counter[str]:
    """How many takes there are of each job."""
    files = [file for file in media.glob("*/take.json") if file.parent.suffix != PARTIAL_SUFFIX]
    return Counter(json.loads(file.read_text())["job_id"] for file in files)


def test_a_node_is_killed_and_its_job_goes_on_elsewhere(tmp_path, models_folder, media, nodes):
    first = nodes.add()
    with served(tmp_path, models_folder, nodes.address) as server:
        words = ("keeps slow:1", "keeps", "keeps")
        jobs = [server.submit(request(media, each, length_frames=9)) for each in words]
        server.wait(lambda m: m.get("method") == "progress" and m["params"]["progress"] > 0.2, PATIENCE_SECONDS)
        nodes.kill(first)
        nodes.add()
        lost = server.wait(
            lambda m: m.get("method") == "job" and "lost with node" in m["params"]["sentence"], PATIENCE_SECONDS
        )
        assert lost["params"]["state"] == "queued"
        for job in jobs:
            server.wait_for(job, "done", seconds=PATIENCE_SECONDS)
        assert takes_in(media) == Counter(jobs)
        made_by = [json.loads((media / job / "take.json").read_text())["made_by"] for job in jobs]
        assert [len(each) for each in made_by] == [9, 9, 9], "no frame was made twice"
        assert len(set(made_by[0])) == 2 and len(set(made_by[1])) == 1
    wait_until(lambda: not processes_with(str(media)))


@pytest.mark.long
def test_a_cluster_that_goes_away_takes_no_job_with_it(tmp_path, models_folder, media):
    """All of it is ended in the midst of a job, which goes on once a cluster is at the address again."""
    with socket.socket() as free:
        free.bind((LOOPBACK, 0))
        port = free.getsockname()[1]
    with served(tmp_path, models_folder, f"{LOOPBACK}:{port}") as server:
        with LocalNodes(port) as nodes:
            nodes.add()
            jobs = [server.submit(request(media, words, length_frames=9)) for words in ("keeps slow:1", "keeps")]
            server.wait(lambda m: m.get("method") == "progress" and m["params"]["progress"] > 0.2, PATIENCE_SECONDS)
        server.forget_messages()
        server.wait(
            lambda m: m.get("method") == "job" and "No Ray cluster answers" in m["params"]["sentence"], PATIENCE_SECONDS
        )
        assert {each["state"] for each in server.jobs().values()} == {"queued"}
        with LocalNodes(port) as nodes:
            nodes.add()
            for job in jobs:
                server.wait_for(job, "done", seconds=PATIENCE_SECONDS)
        made_by = json.loads((media / jobs[0] / "take.json").read_text())["made_by"]
        assert takes_in(media) == Counter(jobs) and len(made_by) == 9 and len(set(made_by)) == 2


@pytest.mark.long
def test_two_servers_take_turns_on_one_card(tmp_path, models_folder, media, nodes):
    """The second comes while the first has many jobs; its own is made before those are."""
    nodes.add()
    turns = ("--ray-turn-minutes", "0.02")
    with served(tmp_path / "one", models_folder, nodes.address, *turns) as one:
        jobs = [one.submit(request(media, "slow:0.2", seed=seed)) for seed in range(12)]
        one.wait_for(jobs[0], "done", seconds=PATIENCE_SECONDS)
        with served(tmp_path / "two", models_folder, nodes.address, *turns) as two:
            two.wait_for(two.submit(request(media, "slow:0.2")), "done", seconds=PATIENCE_SECONDS)
            assert len(takes_in(media)) < 1 + len(jobs)
        for job in jobs:
            one.wait_for(job, "done", seconds=PATIENCE_SECONDS)
    assert len(takes_in(media)) == 1 + len(jobs)


@pytest.mark.long
def test_a_worker_with_two_cards_has_them_from_one_node_and_sees_no_others(tmp_path, models_folder, media, nodes):
    """A node with a card too few is passed over, and of four cards two workers get two each."""
    for cards in (1, 4):
        nodes.add(cards)
    with served(tmp_path, models_folder, nodes.address, "--ray-cards", "2") as server:
        jobs = [server.submit(request(media, "keeps slow:2", seed=seed)) for seed in range(2)]
        for job in jobs:
            server.wait_for(job, "done", seconds=PATIENCE_SECONDS)
        workers = {json.loads((media / job / "take.json").read_text())["made_by"][0] for job in jobs}
        around = [Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") for pid in workers]
        seen = [word.partition(b"=")[2] for words in around for word in words if word.startswith(b"CUDA_VISIBLE_DEVI")]
        assert sorted(card for cards in seen for card in cards.split(b",")) == [b"0", b"1", b"2", b"3"]
        assert [len(cards.split(b",")) for cards in seen] == [2, 2]


@pytest.mark.long
def test_of_200_jobs_on_nodes_that_die_none_is_lost_and_none_made_twice(tmp_path, models_folder, media, nodes):
    chance = random.Random(20)
    alive = [nodes.add() for _ in range(4)]
    with served(tmp_path, models_folder, nodes.address, "--workers", "6") as server:
        jobs = [server.submit(request(media, "keeps slow:0.3", seed=seed)) for seed in range(200)]
        killed = 0
        while len(takes_in(media)) < 190:
            before = len(takes_in(media))
            wait_until(lambda n=before: len(takes_in(media)) >= n + chance.randint(3, 12), PATIENCE_SECONDS)
            nodes.kill(alive.pop(chance.randrange(len(alive))))
            alive.append(nodes.add())
            killed += 1
        for job in jobs:
            server.wait_for(job, "done", seconds=PATIENCE_SECONDS)
        assert takes_in(media) == Counter(jobs) and killed > 9
        made_by = [json.loads((media / job / "take.json").read_text())["made_by"] for job in jobs]
        assert {len(each) for each in made_by} == {5}, "no frame was made twice"
        moved = sum(len(set(each)) > 1 for each in made_by)
        told = [m["params"] for m in server.messages if m.get("method") == "job"]
        lost = sum("was lost with node" in job["sentence"] for job in told)
        assert moved and lost, "jobs were on the nodes that died"
        assert not [job for job in told if job["state"] in ("failed", "interrupted")]
        sys.stderr.write(f"{killed} nodes killed, {lost} workers lost with a job, {moved} takes by two workers\n")
    wait_until(lambda: not processes_with(str(media)))
