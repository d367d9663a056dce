"""Front processes: they take connections for the engine, come and go, and end with it."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from chappe.listeners.fronts import Fronts
from whole import ask, eventually, get, post, run, serving, settings_in

WORLD = """
[[carrier]]
name = "sim"
kind = "simulated"

[[route]]
prefix = ""
carriers = ["sim"]
price = "0.0100"

[[account]]
name = "alice"
password = "p"
balance = "10.00"
"""


def fox(phones: str = "447700900123") -> bytes:
    return post("/en/api/", login="alice", pwd="p", phones=phones, msg="hello")


def is_there(process_id: int) -> bool:
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def holds(look: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    async def ask_whether() -> bool:
        return look()

    return ask_whether


def children(process_id: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()]


def test_a_gateway_with_fronts_answers_as_one_without(tmp_path: Path) -> None:
    """Dialects, pages and large requests are answered through other processes, and what was accepted is kept."""

    async def story() -> None:
        async with serving(settings_in(tmp_path, fronts=2), WORLD) as app:
            for index in range(20):
                assert (await ask(app.http_port, fox(str(447_700_900_100 + index)))).body == b"01"
            many = ",".join(str(447_700_900_000 + index) for index in range(9_000))
            assert (await ask(app.http_port, fox(many))).body == b"05"  # no money for so many
            assert (await ask(app.http_port, get("/healthz"))).status == 200
            assert (await ask(app.http_port, get("/nowhere"))).status == 404
            metrics = (await ask(app.http_port, get("/metrics"))).body.decode()
            assert 'chappe_steps_total{step="accepted",subject="smsfox"} 20.0' in metrics

    run(story())


def test_a_front_that_dies_is_replaced(tmp_path: Path) -> None:
    """Another front takes the place of one that was killed, and requests are answered as before."""

    async def story() -> None:
        async with serving(settings_in(tmp_path, fronts=1), WORLD) as app:
            fronts = app._server
            assert isinstance(fronts, Fronts)
            assert (await ask(app.http_port, fox())).body == b"01"
            (first,) = fronts.process_ids
            os.kill(first, signal.SIGKILL)
            await eventually(holds(lambda: bool(fronts.process_ids) and first not in fronts.process_ids))
            assert (await ask(app.http_port, fox("447700900124"))).body == b"01"

    run(story())


def test_fronts_end_with_their_engine(tmp_path: Path) -> None:
    """When the engine is killed its fronts end by themselves, so that nobody is kept waiting for an answer."""

    async def story() -> None:
        environment = os.environ | {"CHAPPE_DATA": str(tmp_path), "CHAPPE_HTTP": "127.0.0.1:0", "CHAPPE_FRONTS": "2"}
        command = [str(Path(sys.executable).parent / "chappe"), "serve"]
        engine = await asyncio.create_subprocess_exec(*command, env=environment, stdout=subprocess.DEVNULL)
        await eventually(holds(lambda: len(children(engine.pid)) == 2))
        fronts = children(engine.pid)
        engine.kill()
        await engine.wait()
        await eventually(holds(lambda: not any(map(is_there, fronts))))

    run(story())
