"""Delays between attempts, and how sources are shown."""

from __future__ import annotations

from toolchain.catalog.records import FileSource, GoogleDriveSource, HttpSource, PackageSource
from toolchain.transfer.transport import Transport, browser_address, display_name


def test_the_delay_doubles_with_jitter_up_to_a_limit() -> None:
    """Delays are between half and all of 1, 2, 4 ... s, never above the limit."""
    transport = Transport(first_delay=1, longest_delay=5)
    for failures, most in ((1, 1), (2, 2), (3, 4), (4, 5), (50, 5)):
        delays = [transport.delay(failures) for _ in range(50)]
        assert all(most / 2 <= delay <= most for delay in delays)
        assert len(set(delays)) > 1


def test_the_server_s_retry_after_is_the_delay_up_to_a_limit() -> None:
    """Without jitter, and never negative."""
    transport = Transport(longest_wait=100)
    assert [transport.delay(1, seconds) for seconds in (-5, 7, 3600)] == [0, 7, 100]


def test_a_password_in_a_url_is_never_shown() -> None:
    """Neither in messages nor in records."""
    source = HttpSource("https://me:secret@host.example/a@b/f")
    assert display_name(source) == browser_address(source) == "https://host.example/a@b/f"


def test_only_web_sources_have_a_browser_address() -> None:
    """A Drive id becomes an address; local files have none."""
    drive = browser_address(GoogleDriveSource("some-id"))
    assert drive == "https://drive.google.com/uc?export=download&id=some-id"
    assert browser_address(FileSource("/a")) == browser_address(PackageSource("a")) == ""
