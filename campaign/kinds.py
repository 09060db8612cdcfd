"""The kinds of faults, by door."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from campaign.laws import Try


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
        door: Where it comes in.
        name: What it is.
        attempt: Makes one try of it.
    """

    door: str
    name: str
    attempt: Callable[[Try], None]


@dataclass
class Door:
    """A place where something comes in from outside.

    Attributes:
        name: Its name.
        modules: Modules that its commands need, imported once.
        prepare: Makes what all of its tries share; None if nothing.
        close: Ends what `prepare` made.
        memory: Largest growth of memory in MiB.
        disk: Largest growth of the folder in MiB.
    """

    name: str
    modules: tuple[str, ...] = ()
    prepare: Callable[[], Any] | None = None
    close: Callable[[Any], None] | None = None
    memory: int = 96
    disk: int = 64

    def __post_init__(self) -> None:
        self.kinds: list[Kind] = []

    def kind(self, name: str) -> Callable[[Callable[[Try], None]], Callable[[Try], None]]:
        """Register the function as a kind of this door."""

        def register(function: Callable[[Try], None]) -> Callable[[Try], None]:
            self.kinds.append(Kind(self.name, name, function))
            return function

        return register
