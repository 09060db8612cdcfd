"""Figures and rooms, generated once and drawn from for every batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from toolchain.frames.figures import figure
from toolchain.frames.frame import Floats
from toolchain.progress import Listener
from training.people import person, thing
from training.photographs import TRAINED_ON
from training.rooms import room

PEOPLE, THINGS = 0.5, 0.1  # shares; the rest are the figures of `toolchain.frames`
PROCESSES = 2
Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Pool:
    """`figures`: N x 4 x H x W uint8 (foreground RGB, alpha).  `rooms`: M x 3 x H x W uint8."""

    figures: Tensor
    rooms: Tensor

    def to(self, device: str) -> Pool:
        """The pool on another device."""
        return Pool(self.figures.to(device), self.rooms.to(device))


def make_pool(
    seed: int, figures: int, rooms: int, size: tuple[int, int], listener: Listener
) -> Pool:
    """Generate a pool of pictures of `size` (width, height); the same for the same seed."""
    width, height = size
    drawn, built = [], []
    with (
        get_context("spawn").Pool(PROCESSES, _read_photographs) as workers,
        listener.task(f"drawing at {width}x{height}", figures + rooms, "pictures") as task,
    ):
        for picture in workers.imap(partial(_figure, seed, size), range(figures), 8):
            drawn.append(torch.from_numpy(picture))
            task.reach(len(drawn))
        for picture in workers.imap(partial(_room, seed, size), range(rooms), 8):
            built.append(torch.from_numpy(picture))
            task.reach(figures + len(built))
    return Pool(torch.stack(drawn), torch.stack(built))


_photographs: list[Floats] = []


def _read_photographs() -> None:
    _photographs[:] = [photograph.read() for photograph in TRAINED_ON]


def _figure(seed: int, size: tuple[int, int], index: int) -> Picture:
    random = np.random.default_rng((seed, 1, index))
    kind = random.random()
    draw: Callable[..., tuple[Floats, Floats]] = partial(figure, random, *size)
    if kind < PEOPLE + THINGS:
        draw = partial(person if kind < PEOPLE else thing, random, *size, _photographs)
    alpha, colour = draw()
    return _bytes(np.concatenate([colour, alpha[..., None]], 2))


def _room(seed: int, size: tuple[int, int], index: int) -> Picture:
    return _bytes(room(np.random.default_rng((seed, 2, index)), *size, _photographs))


def _bytes(picture: Floats) -> Picture:
    pixels = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))
