"""Which edge nodes are asked to send their births again, and when. Pure; instants are epoch s."""

from collections.abc import Callable

#: An edge node is asked for a rebirth no more often.
REBIRTH_EVERY_S = 5.0


class Rebirths:
    """`ask(edge node)` sends the request."""

    def __init__(self, ask: Callable[[str], None]) -> None:
        self._send = ask
        self._asked_s: dict[str, float] = {}
        self._wanted_s: dict[str, float] = {}

    def want(self, edge: str, now_s: float) -> None:
        """A birth was missed: it is asked for, now or as soon as that is decent."""
        asked_s = self._asked_s.get(edge)
        due_s = now_s if asked_s is None else max(now_s, asked_s + REBIRTH_EVERY_S)
        self._wanted_s.setdefault(edge, due_s)
        if self._wanted_s[edge] <= now_s:
            self._ask(edge, now_s)

    def settled(self, edge: str) -> None:
        """Its birth came, or it has gone: there is nothing to ask for."""
        self._wanted_s.pop(edge, None)

    def forget(self) -> None:
        """Nobody is asked for what was wanted before."""
        self._wanted_s.clear()

    def next_due_s(self) -> float | None:
        """When `advance` has somebody to ask."""
        return min(self._wanted_s.values(), default=None)

    def advance(self, now_s: float) -> None:
        """Ask those who had to wait."""
        for edge in [edge for edge, due_s in self._wanted_s.items() if due_s <= now_s]:
            self._ask(edge, now_s)

    def _ask(self, edge: str, now_s: float) -> None:
        self._wanted_s.pop(edge, None)
        self._asked_s[edge] = now_s
        self._send(edge)
