"""Train the bundled weights from scratch on generated composites.

    python -m training.bundled                      write the shipped file
    python -m training.bundled --device cuda        the same recipe on a GPU
    python -m training.bundled --scale 0.01 -o x.safetensors    a trial of one minute

An interrupted run continues from its last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn

from toolchain.cli.console import make_listener
from toolchain.network.matting import MattingNetwork
from toolchain.progress import Listener
from toolchain.workspace.atomic import atomic_write
from training.batches import Batch, draw
from training.channel_pruning import zero_channels
from training.pool import Pool, make_pool
from training.randomness import Randomness
from training.recipe import BUNDLED, REFINER_RATE, Part, Phase, Recipe
from training.steps import DOWNSAMPLED, base_loss, refiner_loss, whole_loss
from training.stream import Frames, Stream, held_out

TARGET = Path("toolchain/data/background-matting-mobilenetv2-bundled.safetensors")
RECORD_EVERY = 400
AVERAGED = 0.998  # decay of the moving average per step
HELD_OUT_STEP = 10_000_000  # first random seed of the held-out batches
HELD_OUT_BATCHES = 6
FORECAST = 4  # the decoder's channel of the expected error
# Added to the expected error at the end.  It does not change the order of patches, but patches with
# an expected error of 0 would never be refined.
RAISED = 0.05


@dataclass(frozen=True)
class Plan:
    """`work`: folder of the checkpoints; `target`: file of the weights."""

    seed: int
    recipe: Recipe
    work: Path
    target: Path
    device: str = "cpu"


class Training:
    """The state between steps: network, moving average, optimizer, measurements."""

    def __init__(self, plan: Plan) -> None:
        torch.manual_seed(plan.seed)
        self.plan = plan
        self.network = MattingNetwork()
        _start(self.network)
        self.network.to(plan.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = {key: value.clone() for key, value in self.network.state_dict().items()}
        self.optimiser = _optimiser(self.network)
        self.step = 0
        self.seconds = 0.0
        self.losses: list[float] = []
        self.held_out: list[tuple[int, float]] = []

    def begin(self) -> None:
        """Continue from the average with a new optimizer, as at the start of each part."""
        self.network.load_state_dict(self.average)
        self.optimiser = _optimiser(self.network)

    @property
    def record(self) -> Path:
        """File of the state between runs."""
        return self.plan.work / "bundled.pt"

    def save(self) -> None:
        """Write the checkpoint atomically."""
        with atomic_write(self.record) as temporary:
            torch.save(
                {
                    "step": self.step,
                    "seconds": self.seconds,
                    "network": self.network.state_dict(),
                    "average": self.average,
                    "optimiser": self.optimiser.state_dict(),
                    "losses": self.losses,
                    "held_out": self.held_out,
                },
                temporary,
            )

    def resume(self) -> None:
        """Load the checkpoint, if it exists."""
        if self.record.exists():
            state = torch.load(self.record, weights_only=True, map_location=self.plan.device)
            self.network.load_state_dict(state["network"])
            self.average = state["average"]
            self.optimiser.load_state_dict(state["optimiser"])
            self.step, self.seconds = state["step"], state["seconds"]
            self.losses, self.held_out = state["losses"], state["held_out"]

    def learn(self, batch: Batch | Frames, rate: float, part: Part, step: int) -> float:
        """Do step number `step` of the part; return the loss before it."""
        network = self.network
        frozen = part.least_variance is not None
        network.train(part.learns == "base" and not frozen)
        network.refiner.train(part.learns == "refiner" and not frozen)
        for group, learner, share in zip(
            self.optimiser.param_groups, ("base", "refiner"), (1.0, REFINER_RATE), strict=True
        ):
            group["lr"] = rate * (share if part.learns == "both" else 1.0)
            for parameter in group["params"]:
                parameter.requires_grad_(part.learns in (learner, "both"))
        self.optimiser.zero_grad(set_to_none=True)
        random = Randomness(self.plan.seed + 1, self.step, self.plan.device)
        if isinstance(batch, Frames):
            loss = whole_loss(network, batch, random, part.least_forecast)
        elif part.learns == "refiner":
            loss = refiner_loss(network, batch, random)
        else:
            loss = base_loss(network, batch, part.least_forecast)
        loss.backward()
        for group in self.optimiser.param_groups:
            if group["params"][0].requires_grad:
                nn.utils.clip_grad_norm_(group["params"], 1.0)
        self.optimiser.step()
        if part.least_variance is not None:
            zero_channels(network, part.least_variance)
        self.step += 1
        kept = min(AVERAGED, (step + 1) / (step + 11))
        for key, value in network.state_dict().items():
            if value.is_floating_point():
                self.average[key].lerp_(value, 1 - kept)
            else:
                self.average[key] = value.clone()
        self.losses.append(float(loss.detach()))
        return self.losses[-1]

    def measure(self, pool: Pool, part: Part, phase: Phase, zoom: float) -> float:
        """Alpha MAD x1000 of the averaged weights on held-out batches."""
        network = MattingNetwork().to(self.plan.device)
        network.load_state_dict(self.average)
        network.eval()
        errors = []
        with torch.inference_mode():
            for batch in self._measured(pool, part, phase, zoom):
                if isinstance(batch, Frames):
                    src, bgr = (batch.both.to(self.plan.device) / 255).split(3, 1)
                    alpha, truth = network(src, bgr).pha.cpu(), batch.alpha / 255
                elif part.learns == "refiner":
                    alpha, truth = network(batch.src, batch.bgr).pha, batch.alpha
                else:
                    both = torch.cat([batch.src, batch.bgr], 1)
                    alpha, truth = network.base(both).pha, batch.alpha
                errors.append(float((alpha - truth).abs().mean()) * 1000)
        total = sum(errors) / len(errors)
        self.held_out.append((self.step, total))
        return total

    def _measured(
        self, pool: Pool, part: Part, phase: Phase, zoom: float
    ) -> Iterator[Batch | Frames]:
        if part.learns == "both":
            yield from held_out(HELD_OUT_BATCHES * phase.count, phase.size)
            return
        for index in range(HELD_OUT_BATCHES):
            random = Randomness(self.plan.seed, HELD_OUT_STEP + index, self.plan.device)
            yield _batch(pool, random, part, phase, zoom)


def _optimiser(network: MattingNetwork) -> torch.optim.Adam:
    """Two groups: the base network, the refiner."""
    named = list(network.named_parameters())
    groups: list[dict[str, Any]] = [
        {"params": [value for name, value in named if name.startswith("refiner.") == refiner]}
        for refiner in (False, True)
    ]
    return torch.optim.Adam(groups, betas=(0.9, 0.99), fused=True)


def _start(network: MattingNetwork) -> None:
    stem = network.backbone.features[0][0]
    half = stem.weight.shape[0] // 2
    with torch.no_grad():
        stem.weight[:half, 3:] = -stem.weight[
            :half, :3
        ]  # half of the filters start as differences of frame and plate
        assert network.decoder.conv4.bias is not None
        network.decoder.conv4.bias[0] = 0.3
        network.decoder.conv4.bias[FORECAST] = 0.2
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # too slow from scratch


def _batch(pool: Pool, random: Randomness, part: Part, phase: Phase, zoom: float) -> Batch:
    # A step on a downsampled frame has the noise and the shifts of the full size.
    pixel = 1.0 if part.learns == "refiner" else DOWNSAMPLED * zoom / 2
    return draw(pool, random, phase.count, phase.size, zoom, pixel)


def _batches(plan: Plan, number: int, pool: Pool, step: int, done: int) -> Iterator[Batch | Frames]:
    """Yield the steps of a part after its first `done`, at the recipe's step `step`."""
    part = plan.recipe.parts[number]
    schedule = islice(part.schedule(), done, None)
    if part.learns != "both":
        for phase, zoom, _ in schedule:
            yield _batch(pool, Randomness(plan.seed, step, plan.device), part, phase, zoom)
            step += 1
        return
    earlier = sum(other.learns == "both" for other in plan.recipe.parts[:number])
    stream = Stream(plan.seed + earlier, pool, part.phases[0].size, done, plan.device)
    with closing(stream):
        for phase, _, _ in schedule:
            yield stream.batch(done, phase.count)
            done += 1


def train(plan: Plan, talk: Listener) -> Training:
    """Run the recipe, or the rest of it."""
    training = Training(plan)
    training.resume()
    clock = _Clock(training, time.monotonic())
    before = 0
    with talk.task("training", plan.recipe.steps, "steps") as task:
        for number, part in enumerate(plan.recipe.parts):
            done = max(0, training.step - before)
            if done < part.steps:
                pool = _pool(plan, number, talk)
                if not done:
                    training.begin()
                batches = _batches(plan, number, pool, training.step, done)
                schedule = islice(part.schedule(), done, None)
                for (phase, zoom, rate), batch in zip(schedule, batches, strict=True):
                    training.learn(batch, rate, part, done)
                    done += 1
                    task.reach(training.step)
                    if training.step % RECORD_EVERY == 0 or done == part.steps:
                        found = training.measure(pool, part, phase, zoom)
                        clock.record(training)
                        talk.note(clock.line(training, found))
            before += part.steps
    return training


class _Clock:
    """Time spent, over all runs."""

    def __init__(self, training: Training, began: float) -> None:
        self.began, self.before, self.first = began, training.seconds, training.step

    def record(self, training: Training) -> None:
        training.seconds = self.before + time.monotonic() - self.began
        training.save()

    def line(self, training: Training, found: float) -> str:
        recent = training.losses[-RECORD_EVERY:]
        pace = (training.seconds - self.before) / (training.step - self.first)
        return (
            f"step {training.step}/{training.plan.recipe.steps}: loss "
            f"{sum(recent) / len(recent):.4f}, held-out alpha MAD {found:.2f}, {pace:.2f} s a step"
        )


def _pool(plan: Plan, number: int, talk: Listener) -> Pool:
    pictures = plan.recipe.parts[number].pictures
    return make_pool(plan.seed + number, pictures, talk).to(plan.device)


def write_weights(training: Training) -> None:
    """The averaged weights as float16 safetensors, the same bytes for the same weights."""
    from safetensors.torch import save

    average = {key: value.clone() for key, value in training.average.items()}
    average["decoder.conv4.bias"][FORECAST] += RAISED
    state = {
        key: (value.half() if value.is_floating_point() else value).cpu().contiguous()
        for key, value in average.items()
    }
    steps, seed = len(training.losses), training.plan.seed
    data = save(state, {"about": f"{steps} steps on generated composites, seed {seed}"})
    with atomic_write(training.plan.target) as temporary:
        temporary.write_bytes(data)
    history = {
        "seconds": round(training.seconds),
        "losses": [round(loss, 6) for loss in training.losses],
        "held_out": [(step, round(found, 4)) for step, found in training.held_out],
    }
    with atomic_write(training.plan.work / "history.json") as temporary:
        temporary.write_text(json.dumps(history), encoding="utf-8")
    print(f"{training.plan.target}: {len(data):,} bytes after {training.seconds / 60:.1f} minutes")


def main(arguments: list[str] | None = None) -> int:
    """Train and write the weights."""
    parser = argparse.ArgumentParser(prog="python -m training.bundled", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu, cuda, ... (cpu)")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the whole recipe (1)")
    parser.add_argument("--work", type=Path, default=Path("build/training"), help="records")
    parser.add_argument("-o", "--output", type=Path, default=TARGET, help=f"weights ({TARGET})")
    options = parser.parse_args(arguments)
    recipe = BUNDLED.scaled(options.scale) if options.scale != 1 else BUNDLED
    plan = Plan(options.seed, recipe, options.work, options.output, options.device)
    write_weights(train(plan, make_listener()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
