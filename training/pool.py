"""Pool of generated figures and rooms, from which batches are sampled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from toolchain.definitions.arrays import Floats
from toolchain.frames.foregrounds import draw_foreground
from toolchain.progress import Listener
from training.people import person, thing
from training.photographs import TRAINED_ON
from training.recipe import Pictures
from training.rooms import room

PROCESSES = 2
Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Pool:
    """`figures`: N x 4 x H x W uint8 (foreground RGB, alpha).  `rooms`: M x 3 x H x W uint8."""

    figures: Tensor
    rooms: Tensor

    def to(self, device: str) -> Pool:
        """Copy the pool to another device."""
        return Pool(self.figures.to(device), self.rooms.to(device))


def make_pool(seed: int, pictures: Pictures, listener: Listener) -> Pool:
    """Generate a pool of images; the same for the same seed."""
    width, height = pictures.size
    figures, rooms = pictures.figures, pictures.rooms
    drawn, built = [], []
    with (
        get_context("spawn").Pool(PROCESSES, _read_photographs) as workers,
        listener.task(f"drawing at {width}x{height}", figures + rooms, "pictures") as task,
    ):
        for picture in workers.imap(partial(_figure, seed, pictures), range(figures), 8):
            drawn.append(torch.from_numpy(picture))
            task.reach(len(drawn))
        for picture in workers.imap(partial(_room, seed, pictures), range(rooms), 8):
            built.append(torch.from_numpy(picture))
            task.reach(figures + len(built))
    return Pool(torch.stack(drawn), torch.stack(built))


_photographs: list[Floats] = []


def _read_photographs() -> None:
    _photographs[:] = [photograph.read() for photograph in TRAINED_ON]


def _figure(seed: int, pictures: Pictures, index: int) -> Picture:
    random = np.random.default_rng((seed, 1, index))
    kind = random.random()
    size, people, things = pictures.size, pictures.people, pictures.people + pictures.things
    draw: Callable[..., tuple[Floats, Floats]] = partial(draw_foreground, random, *size)
    if kind < things:
        draw = partial(person if kind < people else thing, random, *size, _photographs)
    elif kind < things + pictures.veils:
        draw = partial(draw_foreground, random, *size, veil=True)
    alpha, colour = draw()
    return _bytes(np.concatenate([colour, alpha[..., None]], 2))


def _room(seed: int, pictures: Pictures, index: int) -> Picture:
    random = np.random.default_rng((seed, 2, index))
    return _bytes(room(random, *pictures.size, _photographs, pictures.drawn))


def _bytes(picture: Floats) -> Picture:
    pixels = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))
