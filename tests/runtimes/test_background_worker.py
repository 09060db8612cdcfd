"""Calls run in the background in order, and no exception is lost."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from toolchain.runtimes.background_worker import MAX_PENDING, background_worker


def test_calls_are_made_in_order_elsewhere_and_all_at_the_end() -> None:
    """However many there are, one thread makes them one after another before the end."""
    made: list[int] = []
    threads: set[int] = set()

    def call(number: int) -> None:
        made.append(number)
        threads.add(threading.get_ident())

    with background_worker() as do:
        for number in range(50):
            do(partial(call, number))
    assert made == list(range(50))
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


def test_the_caller_waits_rather_than_piling_up_frames() -> None:
    """No more calls wait than may, since each holds a frame."""
    go, begun = threading.Event(), []

    def submit() -> None:
        with background_worker() as do:
            for number in range(10):
                do(lambda: go.wait() and None)
                begun.append(number)

    thread = threading.Thread(target=submit)
    thread.start()
    while len(begun) < MAX_PENDING:
        thread.join(0.01)
    thread.join(0.2)
    assert len(begun) == MAX_PENDING
    go.set()
    thread.join(10)
    assert len(begun) == 10


@pytest.mark.parametrize("after", [0, 5])
def test_what_a_call_raises_comes_out(after: int) -> None:
    """Whether it was the last call or others follow."""

    def fails() -> None:
        raise ValueError("no good")

    with pytest.raises(ValueError, match="no good"), background_worker() as do:  # noqa: PT012
        do(fails)
        for _ in range(after):
            do(lambda: None)


def test_an_error_of_the_caller_is_not_hidden() -> None:
    """What happens between the calls is what is raised."""
    with pytest.raises(KeyError), background_worker() as do:  # noqa: PT012
        do(lambda: None)
        raise KeyError("mine")
