"""Work that follows an inference, done in a thread beside the next inference, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

MAX_PENDING = 2  # calls, each of which may hold the outputs of a frame


@contextmanager
def background_worker() -> Generator[Callable[[Callable[[], object]], None], None, None]:
    """Yield a function that submits calls to one thread, which makes them one after another.

    Submitting waits while `MAX_PENDING` calls are not done.  When the context ends normally, all
    calls are done.  An exception of a call is raised by a later submission, or at the end.
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
