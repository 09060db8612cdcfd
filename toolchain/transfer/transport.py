"""Timeouts and retries of a transfer, and how the address of a source is shown."""

from __future__ import annotations

import random
from dataclasses import dataclass

from toolchain.catalog.records import GoogleDriveSource, HttpSource, Source

DRIVE_URL = "https://drive.google.com/uc"


@dataclass(frozen=True)
class Transport:
    """Settings of a transfer; times in seconds.

    Attributes:
        attempts: Requests per source, including the first.
        first_delay: Delay before the second attempt; doubles each time, and is shortened randomly
            by up to half so that many clients do not retry at the same moment.
        longest_delay: Upper limit of the delay.
        longest_wait: Upper limit of a server's Retry-After.
        connect_timeout: Time to establish a connection.
        read_timeout: Time without any data after which a connection has stalled.
        slow_time: Time within which at least `slow_bytes` of a body must arrive.
        slow_bytes: See `slow_time`.
        longest_transfer: Time for all attempts at one source.
        size_limit: Largest file in bytes whose size is not published.
        drive_url: Address of Google Drive; another one in tests.
    """

    attempts: int = 4
    first_delay: float = 1.0
    longest_delay: float = 30.0
    longest_wait: float = 120.0
    connect_timeout: float = 15.0
    read_timeout: float = 60.0
    slow_time: float = 30.0
    slow_bytes: int = 1 << 16
    longest_transfer: float = 6 * 3600.0
    size_limit: int = 512 << 20
    drive_url: str = DRIVE_URL

    def delay(self, failures: int, retry_after: float | None = None) -> float:
        """Return the seconds to wait before the next attempt.

        Args:
            failures: Number of failed attempts, from 1.
            retry_after: Seconds that the server asked for, if it did.
        """
        if retry_after is not None:
            return min(max(retry_after, 0.0), self.longest_wait)
        most = min(self.first_delay * 2.0 ** (failures - 1), self.longest_delay)
        return most * random.uniform(0.5, 1.0)  # noqa: S311 - spreading load, not a secret


def display_name(source: Source) -> str:
    """Return the source for messages and records, without user name and password."""
    if not isinstance(source, HttpSource):
        return str(source)
    scheme, separator, rest = source.url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"


def browser_address(source: Source) -> str:
    """Return the address to open in a browser; "" for a source that has none."""
    if isinstance(source, HttpSource):
        return display_name(source)
    if isinstance(source, GoogleDriveSource):
        return f"{DRIVE_URL}?export=download&id={source.id}"
    return ""
