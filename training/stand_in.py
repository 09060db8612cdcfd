"""A short training from scratch on generated composites: weights that make mattes, no more.

    python -m training.stand_in                      repeats the shipped file in under an hour
    python -m training.stand_in --scale 0.01 -o x.safetensors    a trial of a few seconds

Killed and started again it goes on from its last record.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from toolchain.cli.console import listener
from toolchain.network.matting import MattingNetwork
from toolchain.network.refiner import Selection
from toolchain.network.resize import bilinear
from toolchain.progress import Listener
from toolchain.workspace.atomic import writing
from training.batches import Batch, draw
from training.losses import alpha_loss, forecast_loss, foreground_loss, leaky_clamp
from training.pool import Pool, make_pool

TARGET = Path("toolchain/data/background-matting-mobilenetv2-bundled.safetensors")
RECORD_EVERY = 100
PEAK_RATE = 2.5e-3
AVERAGED = 0.99  # weight of what is averaged so far, a step
NOISE = 0.05  # of a channel's deviation, on what the refiner takes from the base network
REFINED_SHARE = 80_000 / (1280 * 720)


@dataclass(frozen=True)
class Phase:
    """`size`: (height, width) of crops, in the backbone's pixels or, for the refiner, full ones."""

    steps: int
    count: int
    size: tuple[int, int]
    refiner: bool = False


PHASES = (
    Phase(1500, 8, (128, 128)),
    Phase(700, 8, (160, 192)),
    Phase(250, 6, (192, 320)),
    Phase(1800, 4, (320, 320), refiner=True),
)


@dataclass(frozen=True)
class Plan:
    """`scale`: share of the steps and pictures of the whole recipe."""

    seed: int
    scale: float
    work: Path
    target: Path

    def phases(self) -> tuple[Phase, ...]:
        """The phases with their steps scaled."""
        return tuple(
            Phase(max(2, round(p.steps * self.scale)), p.count, p.size, p.refiner) for p in PHASES
        )


class Training:
    """The state between steps: network, average, optimiser."""

    def __init__(self, plan: Plan) -> None:
        torch.manual_seed(plan.seed)
        self.plan = plan
        self.network = MattingNetwork()
        _start(self.network)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = {key: value.clone() for key, value in self.network.state_dict().items()}
        self.optimiser = torch.optim.Adam(self.network.parameters(), PEAK_RATE, (0.9, 0.99))
        self.step = 0
        self.losses: list[float] = []

    @property
    def record(self) -> Path:
        """Where the state lies between runs."""
        return self.plan.work / "stand-in.pt"

    def save(self) -> None:
        """Write the record, whole or not at all."""
        with writing(self.record) as temporary:
            torch.save(
                {
                    "step": self.step,
                    "network": self.network.state_dict(),
                    "average": self.average,
                    "optimiser": self.optimiser.state_dict(),
                    "losses": self.losses,
                },
                temporary,
            )

    def resume(self) -> None:
        """Take up the record, if there is one."""
        if self.record.exists():
            state = torch.load(self.record, weights_only=True)
            self.network.load_state_dict(state["network"])
            self.average = state["average"]
            self.optimiser.load_state_dict(state["optimiser"])
            self.step, self.losses = state["step"], state["losses"]

    def learn(self, batch: Batch, rate: float, *, refiner: bool) -> float:
        """One step; the loss before it."""
        network = self.network
        network.train()
        for parameter in network.parameters():
            parameter.requires_grad_(not refiner)
        if refiner:
            network.eval()
            network.refiner.train()
            for parameter in network.refiner.parameters():
                parameter.requires_grad_(requires_grad=True)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        loss = _refiner_loss(network, batch, self.step) if refiner else _base_loss(network, batch)
        loss.backward()
        nn.utils.clip_grad_norm_((p for p in network.parameters() if p.grad is not None), 1.0)
        self.optimiser.step()
        self.step += 1
        kept = min(AVERAGED, self.step / (self.step + 10))
        for key, value in network.state_dict().items():
            if value.is_floating_point():
                self.average[key].lerp_(value, 1 - kept)
            else:
                self.average[key] = value.clone()
        self.losses.append(float(loss.detach()))
        return self.losses[-1]


def _start(network: MattingNetwork) -> None:
    stem = network.backbone.features[0][0]
    half = stem.weight.shape[0] // 2
    with torch.no_grad():
        stem.weight[:half, 3:] = -stem.weight[:half, :3]  # half of the filters see differences
        assert network.decoder.conv4.bias is not None
        network.decoder.conv4.bias[0] = 0.3
        network.decoder.conv4.bias[4] = 0.2
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # a brake from scratch


def _base_loss(network: MattingNetwork, batch: Batch) -> Tensor:
    both = torch.cat([batch.src, batch.bgr], 1).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        features = network.backbone(both)
        y = network.decoder(network.aspp(features.x16), features)
    y = y.float()
    alpha, foreground = leaky_clamp(y[:, :1]), leaky_clamp(y[:, 1:4] + batch.src)
    return (
        alpha_loss(alpha, batch.alpha)
        + foreground_loss(foreground, batch.foreground, batch.alpha)
        + forecast_loss(leaky_clamp(y[:, 4:5]), alpha, batch.alpha)
    )


def _refiner_loss(network: MattingNetwork, batch: Batch, step: int) -> Tensor:
    height, width = batch.src.shape[2:]
    both = torch.cat([batch.src, batch.bgr], 1)
    with torch.no_grad():
        base = network.base(bilinear(both, (height // 4, width // 4)))
        selection = Selection("sampling", int(REFINED_SHARE * height * width))
        ref = selection.choose(base.err)
    coarse = torch.cat([base.pha, base.fgr], 1)
    # Without noise it learns to amplify the hidden features, and with them what rounding does.
    random = torch.Generator().manual_seed(step)
    spread = NOISE * base.hid.std((0, 2, 3), keepdim=True)
    hidden = base.hid + spread * torch.randn(base.hid.shape, generator=random)
    out = network.refiner(both, coarse, hidden, ref)
    alpha, foreground = leaky_clamp(out[:, :1]), leaky_clamp(out[:, 1:] + batch.src)
    return alpha_loss(alpha, batch.alpha) + foreground_loss(
        foreground, batch.foreground, batch.alpha
    )


def _schedule(phases: tuple[Phase, ...]) -> Iterator[tuple[Phase, float]]:
    """Phase and learning rate of each step: short warm-up, cosine to 0; twice, base and refiner."""
    for refiner in (False, True):
        mine = [phase for phase in phases if phase.refiner == refiner]
        total = sum(phase.steps for phase in mine)
        step = 0
        for phase in mine:
            for _ in range(phase.steps):
                warm = min(1.0, (step + 1) / max(1.0, 0.03 * total))
                yield phase, PEAK_RATE * warm * 0.5 * (1 + math.cos(math.pi * step / total))
                step += 1


def train(plan: Plan, talk: Listener) -> Training:
    """Run the whole recipe, or what is left of it."""
    training = Training(plan)
    training.resume()
    steps = list(_schedule(plan.phases()))
    pools: dict[bool, Pool] = {}
    began, first = time.monotonic(), training.step
    with talk.task("training", len(steps), "steps") as task:
        while training.step < len(steps):
            phase, rate = steps[training.step]
            if phase.refiner not in pools:
                pools = {phase.refiner: _pool(plan, talk, refiner=phase.refiner)}
            zoom = 1.0 if phase.refiner else 2.0
            batch = draw(
                pools[phase.refiner], plan.seed, training.step, phase.count, phase.size, zoom
            )
            training.learn(batch, rate, refiner=phase.refiner)
            task.reach(training.step)
            if training.step % RECORD_EVERY == 0 or training.step == len(steps):
                training.save()
                recent = training.losses[-RECORD_EVERY:]
                pace = (time.monotonic() - began) / (training.step - first)
                talk.note(
                    f"step {training.step}/{len(steps)}: loss {sum(recent) / len(recent):.4f}, "
                    f"{pace:.2f} s a step"
                )
    return training


def _pool(plan: Plan, talk: Listener, *, refiner: bool) -> Pool:
    figures, rooms, size = (60, 40, (1280, 720)) if refiner else (400, 250, (640, 360))
    share = min(1.0, plan.scale * 4)
    return make_pool(
        plan.seed + refiner, max(4, int(figures * share)), max(4, int(rooms * share)), size, talk
    )


def write_weights(training: Training, minutes: float) -> None:
    """The averaged weights as float16 safetensors, the same bytes for the same weights."""
    from safetensors.torch import save

    state = {
        key: (value.half() if value.is_floating_point() else value).contiguous()
        for key, value in training.average.items()
    }
    about = f"stand-in: {len(training.losses)} steps on generated composites, seed "
    data = save(state, {"about": f"{about}{training.plan.seed}"})
    with writing(training.plan.target) as temporary:
        temporary.write_bytes(data)
    print(f"{training.plan.target}: {len(data):,} bytes after {minutes:.1f} minutes")


def main(arguments: list[str] | None = None) -> int:
    """Train and write the weights."""
    parser = argparse.ArgumentParser(prog="python -m training.stand_in", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the whole recipe (1)")
    parser.add_argument("--work", type=Path, default=Path("build/training"), help="records")
    parser.add_argument("-o", "--output", type=Path, default=TARGET, help=f"weights ({TARGET})")
    options = parser.parse_args(arguments)
    plan = Plan(options.seed, options.scale, options.work, options.output)
    began = time.monotonic()
    training = train(plan, listener())
    write_weights(training, (time.monotonic() - began) / 60)
    return 0


if __name__ == "__main__":
    sys.exit(main())
