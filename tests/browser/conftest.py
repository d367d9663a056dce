"""One gateway with much in it and one Chromium for all browser tests, and a way for tests to be coroutines.

Gateway and browser live in an event loop of their own in a thread of its own, so that neither this process's other
tests nor Playwright notice each other.
"""

import asyncio
import inspect
import shutil
import tempfile
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from browser.visiting import Chromium
from browser.world import World
from parts import require

Result = TypeVar("Result")
PATIENCE_S = 240.0


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="browser tests")
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE_S)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture(scope="session")
def browser_loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture(scope="session")
def chromium(browser_loop: Loop) -> Iterator[Chromium]:
    """The system's Chromium."""
    path = shutil.which("chromium")
    require("Chromium", path is not None)
    assert path is not None
    chromium = Chromium(path)
    browser_loop.run(chromium.start())
    yield chromium
    browser_loop.run(chromium.stop())


@pytest.fixture(scope="session")
def world(browser_loop: Loop, chromium: Chromium, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A gateway in which much has happened; asks for Chromium first, without which nobody needs it."""
    world = World(tmp_path_factory.mktemp("gateway"))
    browser_loop.run(world.start())
    yield world
    browser_loop.run(world.stop())


@pytest.fixture(scope="session")
def screenshots(pytestconfig: pytest.Config) -> Path:
    """Where pictures of every page go; the folder stays, and pytest says where it is."""
    folder = Path(tempfile.mkdtemp(prefix="chappe-screenshots-"))
    reporter = pytestconfig.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line(f"\nscreenshots: {folder}")
    return folder


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine in the browser's loop."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    loop = pyfuncitem.funcargs["browser_loop"]
    assert isinstance(loop, Loop)
    names = inspect.signature(pyfuncitem.obj).parameters
    loop.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            item.fixturenames.append("browser_loop")
