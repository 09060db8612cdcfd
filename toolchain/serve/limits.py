"""Limits for each viewer."""

from __future__ import annotations

import time

MAX_MESSAGE = 4 * 2**20  # bytes
MAX_PIXELS = 1920 * 1088  # of a frame or a clean plate
MAX_VIEWERS = 8
MAX_CONNECTIONS = 64
MAX_UNREAD = 2**20  # bytes of replies that a client has not read
RATE, BURST = 60.0, 120.0  # messages per second, and at once after a pause
MEASURE_SECONDS = 5.0  # interval at which the clean plate is compared with a frame


class RateLimiter:
    """A token bucket that refills at `RATE` up to `BURST` messages."""

    def __init__(self) -> None:
        self._tokens = BURST
        self._updated = time.monotonic()

    def take(self) -> bool:
        """Take one token. Returns whether one more message is allowed now."""
        now = time.monotonic()
        self._tokens = min(BURST, self._tokens + (now - self._updated) * RATE)
        self._updated = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
