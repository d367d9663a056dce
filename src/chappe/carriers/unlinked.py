"""What carriers have in common that are asked anew each time: no ways to keep up."""

from collections.abc import Callable

from chappe.core.centre import ALWAYS_UP, Links


class Unlinked:
    links: Links = ALWAYS_UP

    def start(self, changed: Callable[[], None]) -> None:
        """There is nothing to keep up."""

    async def close(self) -> None:
        """There is nothing to let go."""
