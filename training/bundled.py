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
from training.recipe import BUNDLED, PEAK_RATE, Phase, Recipe

TARGET = Path("toolchain/data/background-matting-mobilenetv2-bundled.safetensors")
RECORD_EVERY = 200
AVERAGED = 0.998  # weight of what is averaged so far, a step
NOISE = 0.05  # of a channel's deviation, on what the refiner takes from the base network
DOWNSAMPLED = 4  # frame pixels per backbone pixel
HELD_OUT_STEP = 10_000_000  # from here on the random numbers of the batches that are only measured
HELD_OUT_BATCHES = 6
LEAST_VARIANCE = 0.017  # of a channel before BatchNorm; less is taken for none


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
        self.optimiser = torch.optim.Adam(self.network.parameters(), PEAK_RATE, (0.9, 0.99))
        self.step = 0
        self.seconds = 0.0
        self.losses: list[float] = []
        self.held_out: list[tuple[int, float]] = []

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

    def learn(self, batch: Batch, rate: float, *, refiner: bool) -> float:
        """One step; the loss before it."""
        network = self.network
        network.train(not refiner)
        network.refiner.train(refiner)
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name.startswith("refiner.") == refiner)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        random = Randomness(self.plan.seed + 1, self.step, self.plan.device)
        loss = _refiner_loss(network, batch, random) if refiner else _base_loss(network, batch)
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

    def measure(self, pool: Pool, phase: Phase, zoom: float) -> float:
        """Alpha MAD x1000 of the averaged weights on batches that are never trained on."""
        network = MattingNetwork().to(self.plan.device)
        network.load_state_dict(self.average)
        network.eval()
        total = 0.0
        for index in range(HELD_OUT_BATCHES):
            random = Randomness(self.plan.seed, HELD_OUT_STEP + index, self.plan.device)
            batch = _batch(pool, random, phase, zoom)
            with torch.inference_mode():
                if phase.refiner:
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
        network.decoder.conv4.bias[4] = 0.2
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # a brake from scratch


def _batch(pool: Pool, random: Randomness, phase: Phase, zoom: float) -> Batch:
    # A step that sees a whole frame in few pixels has the noise and the shifts of large ones.
    pixel = 1.0 if phase.refiner else DOWNSAMPLED * zoom / 2
    return draw(pool, random, phase.count, phase.size, zoom, pixel)


def _base_loss(network: MattingNetwork, batch: Batch) -> Tensor:
    both = torch.cat([batch.src, batch.bgr], 1).contiguous(memory_format=torch.channels_last)
    with torch.autocast(both.device.type, torch.bfloat16):
        features = network.backbone(both)
        y = network.decoder(network.aspp(features.x16), features)
    y = y.float()
    alpha, foreground = leaky_clamp(y[:, :1]), leaky_clamp(y[:, 1:4] + batch.src)
    return (
        alpha_loss(alpha, batch.alpha)
        + foreground_loss(foreground, batch.foreground, batch.alpha)
        + forecast_loss(leaky_clamp(y[:, 4:5]), alpha, batch.alpha)
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
    steps = list(plan.recipe.schedule())
    pools: dict[bool, Pool] = {}
    began, before, first = time.monotonic(), training.seconds, training.step
    with talk.task("training", len(steps), "steps") as task:
        while training.step < len(steps):
            phase, zoom, rate = steps[training.step]
            if phase.refiner not in pools:
                pools = {phase.refiner: _pool(plan, talk, refiner=phase.refiner)}
            pool = pools[phase.refiner]
            random = Randomness(plan.seed, training.step, plan.device)
            training.learn(_batch(pool, random, phase, zoom), rate, refiner=phase.refiner)
            task.reach(training.step)
            if training.step % RECORD_EVERY == 0 or training.step == len(steps):
                found = training.measure(pool, phase, zoom)
                training.seconds = before + time.monotonic() - began
                training.save()
                recent = training.losses[-RECORD_EVERY:]
                pace = (time.monotonic() - began) / (training.step - first)
                talk.note(
                    f"step {training.step}/{len(steps)}: loss {sum(recent) / len(recent):.4f}, "
                    f"held-out alpha MAD {found:.2f}, {pace:.2f} s a step"
                )
    return training


def _pool(plan: Plan, talk: Listener, *, refiner: bool) -> Pool:
    wanted = plan.recipe.refiner_pool if refiner else plan.recipe.base_pool
    pool = make_pool(plan.seed + refiner, wanted.figures, wanted.rooms, wanted.size, talk)
    return pool.to(plan.device)


def settled(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state without the channels that hardly ever vary.

    BatchNorm divides by a deviation near 0 there: what rounding does to such a channel is
    multiplied by up to 300, and no two float32 runtimes agree to 2e-5.  Its shift stays.
    """
    changed = dict(state)
    for key, variance in state.items():
        if key.endswith("running_var"):
            name = key.replace("running_var", "weight")
            changed[name] = torch.where(variance < LEAST_VARIANCE, 0.0, state[name])
    return changed


def write_weights(training: Training) -> None:
    """The averaged weights as float16 safetensors, the same bytes for the same weights."""
    from safetensors.torch import save

    state = {
        key: (value.half() if value.is_floating_point() else value).cpu().contiguous()
        for key, value in settled(training.average).items()
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
