"""The cache keeps what was used most recently."""

from __future__ import annotations

from toolchain.frames.lru_cache import LruCache


def test_the_least_recently_used_value_is_dropped() -> None:
    """A value is computed once while it is cached."""
    computed: list[str] = []
    cache = LruCache(2)

    def get(key: str) -> str:
        return cache.get_or_compute(key, lambda: computed.append(key) or key.upper())

    assert [get(key) for key in ("a", "b", "a", "c", "a", "b")] == list("ABACAB")
    assert computed == ["a", "b", "c", "b"]
