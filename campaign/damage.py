"""Damage to bytes, at random."""

from __future__ import annotations

import random
import string

EXTREMES = (b"\0", b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\xff" * 8, b"\n", b"\x1b[31m")


def damage(data: bytes, rng: random.Random, most: int = 4) -> bytes:
    """Change one to `most` places: flip, overwrite, cut out, repeat, insert or truncate."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, most)):
        if not changed:
            break
        place = rng.randrange(len(changed))
        size = rng.choice((1, 2, 4, 8, 64, 1024))
        way = rng.randrange(7)
        if way == 0:
            changed[place] ^= 1 << rng.randrange(8)
        elif way == 1:
            extreme = rng.choice(EXTREMES)
            changed[place : place + len(extreme)] = extreme
        elif way == 2:
            del changed[place : place + size]
        elif way == 3:
            changed[place:place] = changed[place : place + size]
        elif way == 4:
            changed[place:place] = rng.randbytes(size)
        elif way == 5:
            other = rng.randrange(len(changed))
            changed[place : place + size] = changed[other : other + size]
        else:
            del changed[place:]
    return bytes(changed)


def text(rng: random.Random, most: int = 40) -> str:
    """Make a text with characters that are special somewhere."""
    special = "\x1b\x07\0\n\r\t\\/:*?\"<>|.~%$'[](){}\ud800\u202e\u2028é漢\U0001f600"
    letters = string.ascii_letters + string.digits + special * 2
    return "".join(rng.choice(letters) for _ in range(rng.randint(0, most)))


def value(rng: random.Random, depth: int = 3) -> object:
    """Make a JSON value of any type."""
    scalars: tuple[object, ...] = (
        *(None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, 0.5, -1.0, 1e308, 1e-9),
        *("", "../x", "FP16/m.xml", "a" * 5000, text(rng), text(rng), text(rng)),
    )
    way = rng.randrange(9) if depth else 0
    if way < 7:
        return rng.choice(scalars)
    if way == 7:
        return [value(rng, depth - 1) for _ in range(rng.randint(0, 4))]
    return {text(rng, 8): value(rng, depth - 1) for _ in range(rng.randint(0, 4))}


def damage_json(content: object, rng: random.Random) -> object:
    """Replace, remove or add a value somewhere in a JSON value."""
    if isinstance(content, dict) and content and rng.random() < 0.85:
        key = rng.choice(list(content))
        changed = dict(content)
        way = rng.random()
        if way < 0.1:
            del changed[key]
        elif way < 0.2:
            changed[text(rng, 8)] = value(rng)
        else:
            changed[key] = damage_json(content[key], rng)
        return changed
    if isinstance(content, list) and content and rng.random() < 0.85:
        place = rng.randrange(len(content))
        rest = list(content)
        way = rng.random()
        if way < 0.1:
            del rest[place]
        elif way < 0.2:
            rest.insert(place, rest[place])
        else:
            rest[place] = damage_json(rest[place], rng)
        return rest
    return value(rng)
