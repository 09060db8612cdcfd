"""Drawing from an iterator in a thread of its own, a few items ahead."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Generator, Iterator
from typing import Any, TypeVar

Item = TypeVar("Item")
PATIENCE = 0.1  # seconds after which the thread looks whether anybody still wants more


def ahead(items: Iterator[Item], count: int) -> Generator[Item, None, None]:
    """The items in their order, at most `count` waiting; what `items` raises comes in turn."""
    waiting: queue.Queue[tuple[Item] | BaseException | None] = queue.Queue(count)
    left = threading.Event()
    thread = threading.Thread(target=_draw, args=(items, waiting, left), name="ahead", daemon=True)
    thread.start()
    try:
        while (got := waiting.get()) is not None:
            if isinstance(got, BaseException):
                raise got
            yield got[0]
    finally:
        left.set()
        thread.join()


def _draw(items: Iterator[Any], waiting: queue.Queue[Any], left: threading.Event) -> None:
    try:
        for item in items:
            _put((item,), waiting, left)
            if left.is_set():
                return
        _put(None, waiting, left)
    except BaseException as error:  # noqa: BLE001 - it belongs to whoever draws
        _put(error, waiting, left)
    finally:
        if isinstance(items, Generator):
            items.close()


def _put(item: Any, waiting: queue.Queue[Any], left: threading.Event) -> None:
    while not left.is_set():
        with contextlib.suppress(queue.Full):
            waiting.put(item, timeout=PATIENCE)
            return
