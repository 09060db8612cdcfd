"""The doors, one module for each or for a few that are alike."""

from __future__ import annotations

from campaign.doors import catalogue, checkpoints, images, machine, packages, socket, transport

DOORS = (
    transport.DOOR,
    catalogue.DOOR,
    checkpoints.DOOR,
    packages.DOOR,
    images.PICTURES,
    images.VIDEOS,
    socket.DOOR,
    machine.KILLED,
    machine.FULL,
    machine.MEMORY,
    machine.TOGETHER,
)
