"""Train the bundled weights from scratch on generated composites.

    python -m training.bundled                      repeats the shipped file
    python -m training.bundled --device cuda        the same recipe on a GPU
    python -m training.bundled --scale 0.01 -o x.safetensors    a trial of a minute

Killed and started again it goes on from its last record.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from toolchain.cli.console import listener
from toolchain.network.matting import Base, MattingNetwork
from toolchain.network.refiner import Selection
from toolchain.network.resize import bilinear
from toolchain.progress import Listener
from toolchain.workspace.atomic import writing
from training.batches import Batch, draw
from training.losses import alpha_loss, forecast_loss, foreground_loss, leaky_clamp
from training.pool import Pool, make_pool
from training.randomness import Randomness
from training.recipe import BUNDLED, Part, Phase, Recipe
from training.steadying import leave_out

TARGET = Path("toolchain/data/background-matting-mobilenetv2-bundled.safetensors")
RECORD_EVERY = 200
AVERAGED = 0.998  # weight of what is averaged so far, a step
NOISE = 0.05  # of a channel's deviation, on what the refiner takes from the base network
DOWNSAMPLED = 4  # frame pixels per backbone pixel
HELD_OUT_STEP = 10_000_000  # from here on the random numbers of the batches that are only measured
HELD_OUT_BATCHES = 6
FORECAST = 4  # the decoder's channel that forecasts alpha's error
# Added to the forecast in the end: the order in which patches are chosen stays, but where it was
# cut off at 0 they would not be refined at all.
RAISED = 0.01


@dataclass(frozen=True)
class Plan:
    """`work`: where records lie; `target`: where the weights go."""

    seed: int
    recipe: Recipe
    work: Path
    target: Path
    device: str = "cpu"


class Training:
    """The state between steps: network, average, optimiser, what was measured."""

    def __init__(self, plan: Plan) -> None:
        torch.manual_seed(plan.seed)
        self.plan = plan
        self.network = MattingNetwork()
        _start(self.network)
        self.network.to(plan.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = {key: value.clone() for key, value in self.network.state_dict().items()}
        self.optimiser = torch.optim.Adam(self.network.parameters(), betas=(0.9, 0.99))
        self.step = 0
        self.seconds = 0.0
        self.losses: list[float] = []
        self.held_out: list[tuple[int, float]] = []

    def begin(self) -> None:
        """Go on from the average, and optimise anew, as each part does."""
        self.network.load_state_dict(self.average)
        self.optimiser = torch.optim.Adam(self.network.parameters(), betas=(0.9, 0.99))

    @property
    def record(self) -> Path:
        """Where the state lies between runs."""
        return self.plan.work / "bundled.pt"

    def save(self) -> None:
        """Write the record, whole or not at all."""
        with writing(self.record) as temporary:
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
        """Take up the record, if there is one."""
        if self.record.exists():
            state = torch.load(self.record, weights_only=True, map_location=self.plan.device)
            self.network.load_state_dict(state["network"])
            self.average = state["average"]
            self.optimiser.load_state_dict(state["optimiser"])
            self.step, self.seconds = state["step"], state["seconds"]
            self.losses, self.held_out = state["losses"], state["held_out"]

    def learn(self, batch: Batch, rate: float, part: Part, step: int) -> float:
        """One step, the part's number `step`; the loss before it."""
        network, refiner = self.network, part.refiner
        frozen = part.least_variance is not None
        network.train(not refiner and not frozen)
        network.refiner.train(refiner and not frozen)
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name.startswith("refiner.") == refiner)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        random = Randomness(self.plan.seed + 1, self.step, self.plan.device)
        if refiner:
            loss = _refiner_loss(network, batch, random)
        else:
            loss = _base_loss(network, batch, part.least_forecast)
        loss.backward()
        nn.utils.clip_grad_norm_((p for p in network.parameters() if p.grad is not None), 1.0)
        self.optimiser.step()
        if part.least_variance is not None:
            leave_out(network, part.least_variance)
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
        """Alpha MAD x1000 of the averaged weights on batches that are never trained on."""
        network = MattingNetwork().to(self.plan.device)
        network.load_state_dict(self.average)
        network.eval()
        total = 0.0
        for index in range(HELD_OUT_BATCHES):
            random = Randomness(self.plan.seed, HELD_OUT_STEP + index, self.plan.device)
            batch = _batch(pool, random, part, phase, zoom)
            with torch.inference_mode():
                if part.refiner:
                    alpha = network(batch.src, batch.bgr).pha
                else:
                    alpha = network.base(torch.cat([batch.src, batch.bgr], 1)).pha
            total += float((alpha - batch.alpha).abs().mean()) * 1000 / HELD_OUT_BATCHES
        self.held_out.append((self.step, total))
        return total


def _start(network: MattingNetwork) -> None:
    stem = network.backbone.features[0][0]
    half = stem.weight.shape[0] // 2
    with torch.no_grad():
        stem.weight[:half, 3:] = -stem.weight[:half, :3]  # half of the filters see differences
        assert network.decoder.conv4.bias is not None
        network.decoder.conv4.bias[0] = 0.3
        network.decoder.conv4.bias[FORECAST] = 0.2
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # a brake from scratch


def _batch(pool: Pool, random: Randomness, part: Part, phase: Phase, zoom: float) -> Batch:
    # A step that sees a whole frame in few pixels has the noise and the shifts of large ones.
    pixel = 1.0 if part.refiner else DOWNSAMPLED * zoom / 2
    return draw(pool, random, phase.count, phase.size, zoom, pixel)


def _base_loss(network: MattingNetwork, batch: Batch, least_forecast: float) -> Tensor:
    both = torch.cat([batch.src, batch.bgr], 1).contiguous(memory_format=torch.channels_last)
    with torch.autocast(both.device.type, torch.bfloat16):
        features = network.backbone(both)
        y = network.decoder(network.aspp(features.x16), features)
    y = y.float()
    alpha, foreground = leaky_clamp(y[:, :1]), leaky_clamp(y[:, 1:4] + batch.src)
    return (
        alpha_loss(alpha, batch.alpha)
        + foreground_loss(foreground, batch.foreground, batch.alpha)
        + forecast_loss(leaky_clamp(y[:, 4:5]), alpha, batch.alpha, least_forecast)
    )


def _refiner_loss(network: MattingNetwork, batch: Batch, random: Randomness) -> Tensor:
    height, width = batch.src.shape[2:]
    both = torch.cat([batch.src, batch.bgr], 1)
    small = (height // DOWNSAMPLED, width // DOWNSAMPLED)
    with torch.no_grad(), torch.autocast(both.device.type, torch.bfloat16):
        small_both = bilinear(both, small).contiguous(memory_format=torch.channels_last)
        base = Base(*(part.float() for part in network.base(small_both)))
    ref = Selection().choose(base.err)
    coarse = torch.cat([base.pha, base.fgr], 1)
    # Without noise it learns to amplify the hidden features, and with them what rounding does.
    spread = NOISE * base.hid.std((0, 2, 3), keepdim=True)
    hidden = base.hid + spread * random.normal(*base.hid.shape)
    out = network.refiner(both, coarse, hidden, ref)
    # Only what is refined can learn; the mean over the rest would but dilute the loss.
    weight = ref.numel() / ref.sum().clamp(min=1)
    alpha, foreground = leaky_clamp(out[:, :1]), leaky_clamp(out[:, 1:] + batch.src)
    return weight * (
        alpha_loss(alpha, batch.alpha) + foreground_loss(foreground, batch.foreground, batch.alpha)
    )


def train(plan: Plan, talk: Listener) -> Training:
    """Run the whole recipe, or what is left of it."""
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
                for step, (phase, zoom, rate) in enumerate(part.schedule()):
                    if step < done:
                        continue
                    random = Randomness(plan.seed, training.step, plan.device)
                    batch = _batch(pool, random, part, phase, zoom)
                    training.learn(batch, rate, part, step)
                    task.reach(training.step)
                    if training.step % RECORD_EVERY == 0 or step + 1 == part.steps:
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
    with writing(training.plan.target) as temporary:
        temporary.write_bytes(data)
    history = {
        "seconds": round(training.seconds),
        "losses": [round(loss, 6) for loss in training.losses],
        "held_out": [(step, round(found, 4)) for step, found in training.held_out],
    }
    with writing(training.plan.work / "history.json") as temporary:
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
    write_weights(train(plan, listener()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
