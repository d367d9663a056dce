"""What pyproject.toml cannot say: htmx is not kept here, it comes out of a wheel that is built with us.

The panel works without it; with it, its pages are live.
"""

import shutil
from importlib.util import find_spec
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

STATIC = Path("src/chappe/listeners/panel/static")
NAME = "htmx.min.js"


def place_htmx() -> None:
    """Copy htmx out of django-htmx, without importing Django."""
    found = find_spec("django_htmx")
    if found is None or found.origin is None:
        return
    shutil.copyfile(Path(found.origin).parent / "static" / "django_htmx" / "htmx-2.min.js", STATIC / NAME)


class BuildWithHtmx(build_py):
    """Puts it among our files before they are gathered; an editable install runs this as well."""

    def run(self) -> None:
        place_htmx()
        super().run()


setup(cmdclass={"build_py": BuildWithHtmx})
