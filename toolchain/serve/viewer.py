"""One viewer: what it sent last, what it has chosen, and the work on its newest frame."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from toolchain.api.matte import Matte
from toolchain.api.matting import Matting
from toolchain.definitions.arrays import Pixels
from toolchain.errors import FrameError, ToolchainError
from toolchain.run.plate_correction import Align, Correction, advice, corrected
from toolchain.serve import messages
from toolchain.serve.limits import REMEASURED, Allowance
from toolchain.serve.models import HINTS, Models

GONE = (WebSocketDisconnect, RuntimeError)  # what sending to a viewer who left raises
TOO_MANY = 1008  # the WebSocket's code for a broken rule


@dataclass
class _Plate:
    """As it was sent, and as it is used."""

    sent: Pixels
    used: Pixels
    measured: float = -REMEASURED  # when, by the monotonic clock


@dataclass(eq=False)
class Viewer:
    """A WebSocket that is open, from hello to goodbye."""

    socket: WebSocket
    models: Models
    _model: Matting | None = None
    _plate: _Plate | None = None
    _align: bool = False
    _exposure: bool = False
    _waiting: messages.Sent | None = None
    _dropped: int = 0
    _fresh: asyncio.Event = field(default_factory=asyncio.Event)
    _advice: list[str] = field(default_factory=list)

    async def stay(self) -> None:
        """Answer until the viewer leaves, or breaks a rule."""
        await self._tell(
            type="hello", models=self.models.keys, hints=HINTS, opencv=bool(find_spec("cv2"))
        )
        await self._choose({"model": self.models.keys[0], "hint": HINTS[0]})
        work = asyncio.create_task(self._work())
        listen = asyncio.create_task(self._listen())
        try:
            await asyncio.wait((work, listen), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (work, listen):
                task.cancel()
            ended = await asyncio.gather(work, listen, return_exceptions=True)
        for end in ended:
            if isinstance(end, Exception) and not isinstance(end, GONE):
                raise end

    async def _listen(self) -> None:
        allowance = Allowance()
        while True:
            got = await self.socket.receive()
            if got["type"] == "websocket.disconnect":
                return
            if not allowance.take():
                await self.socket.close(TOO_MANY, "too many messages")
                return
            try:
                if got.get("bytes") is not None:
                    await self._take(messages.parsed(got["bytes"]))
                else:
                    await self._choose(messages.choice(got.get("text") or ""))
            except ToolchainError as error:
                await self._tell(type="error", message=error.message)

    async def _take(self, sent: messages.Sent) -> None:
        if sent.kind == "plate":
            plate = await asyncio.to_thread(messages.decoded, sent.picture)
            self._plate = _Plate(plate, plate)
            self._advice = []
            await self._tell(type="plate", number=sent.number)
            return
        if self._waiting is not None:
            self._dropped += 1
        self._waiting = sent
        self._fresh.set()

    async def _choose(self, told: dict[str, Any]) -> None:
        if "align" in told or "exposure" in told:
            self._align = bool(told.get("align", self._align))
            self._exposure = bool(told.get("exposure", self._exposure))
            if self._plate is not None:
                self._plate.measured = -REMEASURED
        if "model" in told:
            key, hint = str(told["model"]), str(told.get("hint", HINTS[0]))
            model = await asyncio.to_thread(self.models.get, key, hint)
            self._model = model
            await self._tell(
                type="model",
                model=key,
                hint=hint,
                size=model.size,
                executed=model.executed,
                weights=model.facts.get("weights_are", ""),
            )

    async def _work(self) -> None:
        while True:
            await self._fresh.wait()
            self._fresh.clear()
            sent, self._waiting = self._waiting, None
            if sent is None or self._model is None:
                continue
            try:
                await self._measured(sent)
                answer = await asyncio.to_thread(self._answer, sent, self._model, self._plate)
            except ToolchainError as error:
                await self._tell(type="error", message=error.message, number=sent.number)
                continue
            await self.socket.send_bytes(answer)

    def _answer(self, sent: messages.Sent, model: Matting, plate: _Plate | None) -> bytes:
        began = time.perf_counter()
        frame = messages.decoded(sent.picture)
        if plate is None:
            raise FrameError("no clean plate yet")
        _require_alike(frame, plate.used)
        matte: Matte = model.matte(frame, plate.used)
        return messages.reply(sent.number, self._dropped, matte, time.perf_counter() - began)

    async def _measured(self, sent: messages.Sent) -> None:
        """Hold the plate against the frame now and then, and put right what is asked for."""
        plate = self._plate
        if plate is None or time.monotonic() - plate.measured < REMEASURED:
            return
        plate.measured = time.monotonic()
        align: Align = "homography" if self._align and find_spec("cv2") else "off"
        exposure = self._exposure

        def look() -> Correction:
            frame = messages.decoded(sent.picture)
            _require_alike(frame, plate.sent)
            return corrected(frame, plate.sent, align, exposure=exposure)

        found = await asyncio.to_thread(look)
        plate.used = found.plate
        lines = advice(found, align=align != "off", exposure=exposure)
        if lines != self._advice:
            self._advice = lines
            await self._tell(type="advice", lines=lines)

    async def _tell(self, **what: Any) -> None:
        await self.socket.send_json(what)


def _require_alike(frame: Pixels, plate: Pixels) -> None:
    if frame.shape != plate.shape:
        raise FrameError(
            f"the plate is {plate.shape[1]}x{plate.shape[0]}, the frame "
            f"{frame.shape[1]}x{frame.shape[0]}: take the plate again"
        )
