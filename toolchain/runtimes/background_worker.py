"""A background thread that processes the outputs of one inference during the next."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

MAX_PENDING = 2  # calls, each of which may hold the outputs of a frame


@contextmanager
def background_worker() -> Generator[Callable[[Callable[[], object]], None], None, None]:
    """Run calls in one background thread, in the order of their submission.

    When the context ends normally, all calls are done.

    Yields:
        A function that submits a call.  It waits while `MAX_PENDING` calls are not done, and raises
        the exception of an earlier call; the end of the context raises it otherwise.
    """
    pending: deque[Future[object]] = deque()
    with ThreadPoolExecutor(1, "background") as thread:

        def submit(call: Callable[[], object]) -> None:
            while len(pending) >= MAX_PENDING or (pending and pending[0].done()):
                pending.popleft().result()
            pending.append(thread.submit(call))

        try:
            yield submit
            while pending:
                pending.popleft().result()
        finally:
            thread.shutdown(cancel_futures=True)
