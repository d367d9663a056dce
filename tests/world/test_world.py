"""Histories by seed, each with faults, kills and clocks of its own, and bugs planted to see that they are seen.

`CHAPPE_WORLD_SEED=123` replays one history, `CHAPPE_WORLD_SEEDS=10000` plays more of them, `CHAPPE_WORLD_RARE=1` also
plants the bugs that take many histories to be seen.
"""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from world.plants import PLANTS, RARE
from world.simulator import World, tell

WORKERS = 2
CHOSEN = os.environ.get("CHAPPE_WORLD_SEED")
SEEDS = range(int(CHOSEN), int(CHOSEN) + 1) if CHOSEN else range(int(os.environ.get("CHAPPE_WORLD_SEEDS", "200")))
POSTGRESQL_SEEDS = range(5_000, 5_004)

PLANTED = {**PLANTS, **RARE} if os.environ.get("CHAPPE_WORLD_RARE") else PLANTS
PLANTED_SEEDS = range(200 if os.environ.get("CHAPPE_WORLD_RARE") else 40)


def test_every_history_keeps_the_promises(tmp_path: Path) -> None:
    """Whatever fails and whenever, the promises hold after every commit, and everything comes to its end."""
    urls = [f"sqlite:///{tmp_path}/{seed}.db" for seed in SEEDS]
    with ProcessPoolExecutor(WORKERS, multiprocessing.get_context("spawn")) as pool:
        failures = [told for told in pool.map(tell, SEEDS, urls) if told]
    assert not failures, "\n\n".join(failures)


@pytest.mark.parametrize("seed", POSTGRESQL_SEEDS)
def test_every_history_keeps_the_promises_on_postgresql(seed: int, postgres_url: str) -> None:
    """The same on PostgreSQL."""
    assert not tell(seed, postgres_url)


def test_one_seed_is_one_history(tmp_path: Path) -> None:
    """The same seed tells the same story twice, word for word."""
    stories = []
    for number in range(2):
        world = World(7, f"sqlite:///{tmp_path}/{number}.db")
        world.run()
        world.close()
        stories.append(list(world.trace))
    assert stories[0] == stories[1]


@pytest.mark.parametrize("plant", PLANTED)
def test_the_checker_can_see(plant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug planted on purpose is found within a few histories."""
    PLANTED[plant](monkeypatch)
    assert any(tell(seed, f"sqlite:///{tmp_path}/{seed}.db") for seed in PLANTED_SEEDS)
