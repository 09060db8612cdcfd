"""What one viewer may ask for."""

from __future__ import annotations

import time

MESSAGE = 4 * 2**20  # bytes
PIXELS = 1920 * 1088  # of a frame or a plate
VIEWERS = 8
RATE, BURST = 60.0, 120.0  # messages a second, and how many at once after a pause
REMEASURED = 5.0  # seconds after which the plate is held against a frame again


class Allowance:
    """A bucket of messages that fills at `RATE`."""

    def __init__(self) -> None:
        self._left = BURST
        self._when = time.monotonic()

    def take(self) -> bool:
        """Whether one more message is allowed now."""
        now = time.monotonic()
        self._left = min(BURST, self._left + (now - self._when) * RATE)
        self._when = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
