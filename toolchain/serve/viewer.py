"""A viewer: its WebSocket, its options, and the work on its newest frame."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from toolchain.api.matting import Matting
from toolchain.definitions.arrays import Pixels
from toolchain.errors import FrameError, ToolchainError
from toolchain.run.plate_correction import PlateCorrection, correct_plate, describe_correction
from toolchain.run.request import Align
from toolchain.serve.limits import MEASURE_SECONDS, RateLimiter
from toolchain.serve.messages import (
    ImageMessage,
    decode_image,
    encode_reply,
    parse_image_message,
    parse_options,
)
from toolchain.serve.models import DEFAULT_HINT, OFFERED_HINTS, Models

DISCONNECTED = (WebSocketDisconnect, RuntimeError)  # raised by sending to a closed WebSocket
POLICY_VIOLATION = 1008  # close code of the WebSocket


@dataclass
class _Plate:
    """A clean plate as it was sent, and as it is used; `measured`: monotonic time."""

    sent: Pixels
    used: Pixels
    measured: float = -MEASURE_SECONDS


@dataclass(eq=False)
class Viewer:
    """One connected viewer.

    Attributes:
        socket: Its WebSocket, accepted.
        models: Models to choose from.
    """

    socket: WebSocket
    models: Models
    _model: Matting | None = None
    _plate: _Plate | None = None
    _align: bool = False
    _exposure: bool = False
    _waiting: ImageMessage | None = None
    _dropped: int = 0
    _has_frame: asyncio.Event = field(default_factory=asyncio.Event)
    _advice: list[str] = field(default_factory=list)

    async def run(self) -> None:
        """Answer messages until the viewer disconnects or exceeds a limit."""
        await self._send(
            type="hello",
            models=self.models.keys,
            hints=OFFERED_HINTS,
            opencv=bool(find_spec("cv2")),
        )
        await self._set_options({"model": self.models.keys[0], "hint": DEFAULT_HINT})
        tasks = [asyncio.create_task(self._process()), asyncio.create_task(self._receive())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, DISCONNECTED):
                raise result

    async def _receive(self) -> None:
        limiter = RateLimiter()
        while True:
            message = await self.socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if not limiter.take():
                await self.socket.close(POLICY_VIOLATION, "too many messages")
                return
            try:
                if message.get("bytes") is not None:
                    await self._take_image(parse_image_message(message["bytes"]))
                else:
                    await self._set_options(parse_options(message.get("text") or ""))
            except ToolchainError as error:
                await self._send(type="error", message=error.message)

    async def _take_image(self, message: ImageMessage) -> None:
        if message.kind == "plate":
            plate = await asyncio.to_thread(decode_image, message.data)
            self._plate = _Plate(plate, plate)
            self._advice = []
            await self._send(type="plate", number=message.number)
            return
        if self._waiting is not None:
            self._dropped += 1
        self._waiting = message
        self._has_frame.set()

    async def _set_options(self, options: dict[str, Any]) -> None:
        if "align" in options or "exposure" in options:
            self._align = bool(options.get("align", self._align))
            self._exposure = bool(options.get("exposure", self._exposure))
            if self._plate is not None:
                self._plate.measured = -MEASURE_SECONDS
        if "model" in options:
            key, hint = str(options["model"]), str(options.get("hint", DEFAULT_HINT))
            model = await asyncio.to_thread(self.models.get, key, hint)
            self._model = model
            await self._send(
                type="model",
                model=key,
                hint=hint,
                size=model.size,
                executed=model.executed,
                weights=model.facts.get("weights_are", ""),
            )

    async def _process(self) -> None:
        while True:
            await self._has_frame.wait()
            self._has_frame.clear()
            message, self._waiting = self._waiting, None
            if message is None or self._model is None:
                continue
            try:
                await self._measure_plate(message)
                reply = await asyncio.to_thread(self._matte, message, self._model, self._plate)
            except ToolchainError as error:
                await self._send(type="error", message=error.message, number=message.number)
                continue
            await self.socket.send_bytes(reply)

    def _matte(self, message: ImageMessage, model: Matting, plate: _Plate | None) -> bytes:
        start = time.perf_counter()
        frame = decode_image(message.data)
        if plate is None:
            raise FrameError("no clean plate yet")
        _require_equal_size(frame, plate.used)
        matte = model.matte(frame, plate.used)
        return encode_reply(message.number, self._dropped, matte, time.perf_counter() - start)

    async def _measure_plate(self, message: ImageMessage) -> None:
        """Compare the plate with the frame at intervals, and correct it as requested."""
        plate = self._plate
        if plate is None or time.monotonic() - plate.measured < MEASURE_SECONDS:
            return
        plate.measured = time.monotonic()
        align: Align = "homography" if self._align and find_spec("cv2") else "none"
        exposure = self._exposure

        def measure() -> PlateCorrection:
            frame = decode_image(message.data)
            _require_equal_size(frame, plate.sent)
            return correct_plate(frame, plate.sent, align, exposure=exposure)

        correction = await asyncio.to_thread(measure)
        plate.used = correction.plate
        lines = describe_correction(correction, align=align, exposure=exposure)
        if lines != self._advice:
            self._advice = lines
            await self._send(type="advice", lines=lines)

    async def _send(self, **message: Any) -> None:
        await self.socket.send_text(json.dumps(message))  # ASCII: a name may have any character


def _require_equal_size(frame: Pixels, plate: Pixels) -> None:
    if frame.shape != plate.shape:
        raise FrameError(
            f"the clean plate is {plate.shape[1]}x{plate.shape[0]}, the frame is "
            f"{frame.shape[1]}x{frame.shape[0]}: take the clean plate again"
        )
