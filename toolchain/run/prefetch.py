"""Reading from an iterator in a background thread, a few items ahead."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Generator, Iterator
from typing import Any, TypeVar

Item = TypeVar("Item")
POLL_SECONDS = 0.1  # interval at which the thread checks whether the consumer has stopped


def prefetch(items: Iterator[Item], count: int) -> Generator[Item, None, None]:
    """Read an iterator in a background thread.

    Args:
        items: What to read. A generator is closed at the end.
        count: Maximum number of items that wait to be consumed.

    Yields:
        The items in order. An exception from `items` is raised in its place.
    """
    waiting: queue.Queue[tuple[Item] | BaseException | None] = queue.Queue(count)
    stopped = threading.Event()
    thread = threading.Thread(
        target=_read, args=(items, waiting, stopped), name="prefetch", daemon=True
    )
    thread.start()
    try:
        while (received := waiting.get()) is not None:
            if isinstance(received, BaseException):
                raise received
            yield received[0]
    finally:
        stopped.set()
        thread.join()


def _read(items: Iterator[Any], waiting: queue.Queue[Any], stopped: threading.Event) -> None:
    try:
        for item in items:
            _put((item,), waiting, stopped)
            if stopped.is_set():
                return
        _put(None, waiting, stopped)
    except BaseException as error:  # noqa: BLE001 - raised in the consumer's thread
        _put(error, waiting, stopped)
    finally:
        if isinstance(items, Generator):
            items.close()


def _put(item: Any, waiting: queue.Queue[Any], stopped: threading.Event) -> None:
    while not stopped.is_set():
        with contextlib.suppress(queue.Full):
            waiting.put(item, timeout=POLL_SECONDS)
            return
