"""What follows an inference, done beside the next one, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

WAITING = 2  # calls, each of which may hold a frame's outputs


@contextmanager
def aside() -> Generator[Callable[[Callable[[], None]], None], None, None]:
    """A function that has calls made in one thread, one after another.

    It waits while `WAITING` of them are not done.  At the end all are.  What a call raises comes
    out at a later one, or at the end.
    """
    made: deque[Future[None]] = deque()
    with ThreadPoolExecutor(1, "aside") as thread:

        def do(call: Callable[[], None]) -> None:
            while len(made) >= WAITING or (made and made[0].done()):
                made.popleft().result()
            made.append(thread.submit(call))

        try:
            yield do
            while made:
                made.popleft().result()
        finally:
            thread.shutdown(cancel_futures=True)
