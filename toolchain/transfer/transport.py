"""How patiently a source is asked, and how its address is shown to people."""

from __future__ import annotations

import random
from dataclasses import dataclass

from toolchain.catalog.records import HttpSource, Source

DRIVE_URL = "https://drive.google.com/uc"


@dataclass(frozen=True)
class Transport:
    """Times are in seconds.

    `attempts`: requests per source, the first included.  Delays between them begin at
    `first_delay`, double each time, never exceed `longest_delay`, and lose up to half by chance,
    so that many clients don't come back at once; `longest_wait` caps a server's Retry-After.
    A connection that gives nothing for `read_timeout` has stalled.  `drive_url` is for tests.
    """

    attempts: int = 4
    first_delay: float = 1.0
    longest_delay: float = 30.0
    longest_wait: float = 120.0
    connect_timeout: float = 15.0
    read_timeout: float = 60.0
    drive_url: str = DRIVE_URL

    def delay(self, failures: int, asked: float | None = None) -> float:
        """Seconds to wait after `failures` (from 1) failed attempts; `asked`: by the server."""
        if asked is not None:
            return min(max(asked, 0.0), self.longest_wait)
        most = min(self.first_delay * 2.0 ** (failures - 1), self.longest_delay)
        return most * random.uniform(0.5, 1.0)  # noqa: S311 - spreading load, not a secret


def shown(source: Source) -> str:
    """The source as it may stand in a message or file: without a user name and password."""
    if not isinstance(source, HttpSource):
        return str(source)
    scheme, separator, rest = source.url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"
