"""What the host application's own STATE topic has to say, and what is done about anything else on it. Pure.

The retained STATE is how collectors know that their primary host is there. Whatever lies on its topic in place of our
present birth (nothing at all, no JSON, the will of a connection that was ours before) would keep them waiting, so it is
answered by our birth. Collectors pass over a STATE that is older than the last one. So an `offline` that is newer than
our birth takes a newer birth, and as a will has the timestamp of its birth, a new connection. An `online` that is newer
is another host of our name: to answer it would be to shout each other down for ever.
"""

from collections import deque
from enum import Enum, auto

import orjson

ANSWERS = 5
WITHIN_S = 60.0
"""Not more than so many answers in so many seconds: whoever does not listen is not shouted at."""
_MAX_TIMESTAMP_MS = 2**53


class Answer(Enum):
    """What is to be done."""

    SAY_AGAIN = auto()
    """Publish our birth once more."""
    COME_ANEW = auto()
    """Connect anew, with a birth that is newer than what was said."""


class Presence:
    """One host application's. All instants are epoch s of the head-end's clock."""

    def __init__(self) -> None:
        self._since_ms = 0
        self._newest_ms = 0
        self._birth_heard = self._leaving = False
        self._wish: Answer | None = None
        self._answered_s: deque[float] = deque(maxlen=ANSWERS)
        self._rival_ms: int | None = None

    def coming(self, now_s: float) -> bytes:
        """A connection is about to be made: its will."""
        # Newer than whatever was said of us before.
        self._since_ms = max(int(now_s * 1000), min(self._newest_ms + 1, _MAX_TIMESTAMP_MS))
        self._birth_heard = self._leaving = False
        self._wish = None
        return self._state(online=False)

    def birth(self) -> bytes:
        """Our STATE, about to be published."""
        self._birth_heard = False
        return self._state(online=True)

    def leaving(self, now_s: float) -> bytes:
        """Our last STATE, of the instant at which we leave, not of that at which we came: it is no will."""
        self._leaving = True
        self._wish = None
        self._since_ms = max(self._since_ms, int(now_s * 1000))
        return self._state(online=False)

    def heard(self, payload: bytes) -> int | None:
        """A STATE on our topic. Returns the timestamp of another host of our name, when it is first heard of."""
        said = _parse(payload)
        if said == (True, self._since_ms):
            self._birth_heard = True
        elif not self._birth_heard or self._leaving:
            # It was there before our birth, which follows.
            pass
        elif said is None or said[1] <= self._since_ms:
            self._wish = self._wish or Answer.SAY_AGAIN
        elif not said[0]:
            self._newest_ms = max(self._newest_ms, said[1])
            self._wish = Answer.COME_ANEW
        elif said[1] != self._rival_ms:
            self._rival_ms = said[1]
            return self._rival_ms
        return None

    def due_s(self) -> float | None:
        """From when on an answer may be given, if there is one to give."""
        if self._wish is None:
            return None
        return self._answered_s[0] + WITHIN_S if len(self._answered_s) == ANSWERS else 0.0

    def take(self, now_s: float) -> Answer | None:
        """The answer that is to be given now, if any."""
        due_s = self.due_s()
        if due_s is None or due_s > now_s:
            return None
        wish, self._wish = self._wish, None
        self._answered_s.append(now_s)
        return wish

    def _state(self, *, online: bool) -> bytes:
        return orjson.dumps({"online": online, "timestamp": self._since_ms})


def _parse(payload: bytes) -> tuple[bool, int] | None:
    try:
        state = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(state, dict):
        return None
    online, timestamp_ms = state.get("online"), state.get("timestamp")
    if not isinstance(online, bool) or type(timestamp_ms) is not int:
        return None
    return online, timestamp_ms
