"""A training step of AEGANDetector against a straightforward one, scoring, and peak memory.

The straightforward step is written with torch's own layers and computes everything anew: the
reconstruction twice, and gradients of the critic's weights where only the generator learns. Both
take windows of 128 x 128 at the paper's width; rounds of the two take turns. The multiplications
are counted, and set against what this machine reaches in a matrix product. Run:

    python benchmarks/bench_adversarial_step.py [--batch 64] [--rounds 5] [--threads 2]
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from sklasd import AEGANDetector
from sklasd.base import TrainingClips
from sklasd.clips._spectrograms import Spectrograms
from sklasd.training import cut_windows
from sklasd.training._loader import WindowLoader


def plain_nets(width: int = 32, latent_features: int = 256) -> tuple[nn.Module, nn.Module]:
    """Write both nets down in torch's own layers."""
    channels = [1, *(width << i for i in range(5))]
    sides = [128 >> i for i in range(6)]

    def contraction() -> list[nn.Module]:
        layers: list[nn.Module] = []
        for i in range(5):
            layers.append(nn.Conv2d(channels[i], channels[i + 1], 4, 2, 1, bias=False))
            layers.append(nn.LayerNorm([channels[i + 1], sides[i + 1], sides[i + 1]]))
            layers.append(nn.LeakyReLU(0.2))
        return layers

    top = channels[-1]
    encoder = [*contraction(), nn.Conv2d(top, latent_features, 4, bias=False)]
    decoder = [nn.ConvTranspose2d(latent_features, top, 4, bias=False)]
    for i in range(5, 0, -1):
        decoder += [nn.LayerNorm([channels[i], sides[i], sides[i]]), nn.ReLU()]
        decoder.append(nn.ConvTranspose2d(channels[i], channels[i - 1], 4, 2, 1, bias=False))
    depthwise = nn.Conv2d(top, top, 4, groups=top, bias=False)
    embed = nn.Sequential(*contraction(), depthwise, nn.Flatten())
    head = [nn.LayerNorm(top), nn.LeakyReLU(0.2), nn.Linear(top, 1)]
    return nn.Sequential(*encoder, *decoder, nn.Tanh()), nn.Sequential(embed, *head)


def straightforward_step(batch: int) -> Callable[[], Any]:
    generator, critic = plain_nets()
    adam = {"lr": 2e-4, "betas": (0.5, 0.999)}
    g_optimizer = torch.optim.Adam(generator.parameters(), **adam)
    c_optimizer = torch.optim.Adam(critic.parameters(), **adam)
    x = (2 * torch.rand(batch, 128, 128) - 1)[:, None]

    def step() -> None:
        rebuilt = generator(x)
        u = torch.rand(batch, 1, 1, 1)
        between = (u * x + (1 - u) * rebuilt.detach()).requires_grad_()
        (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        penalty = ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()
        loss = -critic(x).mean() + critic(rebuilt.detach()).mean() + 10 * penalty
        c_optimizer.zero_grad()
        loss.backward()
        c_optimizer.step()
        rebuilt = generator(x)
        matching = ((critic[0](rebuilt).mean(0) - critic[0](x).mean(0)) ** 2).mean()
        loss = nn.functional.mse_loss(rebuilt, x) + 0.1 * matching
        g_optimizer.zero_grad()
        loss.backward()
        g_optimizer.step()

    return step


def our_net(batch: int, precision: str = "32") -> Any:
    """Return the detector's net, ready for steps."""
    detector = AEGANDetector(batch_size=batch, precision=precision, device="cpu", verbose=0)
    data = Spectrograms.stack(np.random.default_rng(0).normal(size=(2, 128, 140)).astype("f4"))
    clips = TrainingClips.gather(data)
    net = detector._make_net(cut_windows(data, 128, 1), clips).initialize()
    net.module_.train()
    net.history.new_epoch()
    net.history.new_batch()
    return net


def our_step(batch: int, precision: str = "32") -> Callable[[], Any]:
    net, x = our_net(batch, precision), 2 * torch.rand(batch, 128, 128) - 1
    return lambda: net.train_step((x, x))


def seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def count(batch: int) -> dict[str, float]:
    """Count the GFLOP of a step: forward passes of each net, a backward pass being worth two.

    The penalty's slope costs the critic a forward pass and half a backward pass, and the
    derivative of that two backward passes.
    """
    gflop = []
    for net in plain_nets():
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            net(torch.zeros(1, 1, 128, 128))
        gflop.append(batch * counter.get_total_flops() / 1e9)
    generator, critic = gflop
    critic_half = 2 * (1 + 2) + (1 + 1 + 4)
    ours = (1 + 2) * generator + (critic_half + 1 + (1 + 1)) * critic
    straightforward = 2 * (1 + 1) * generator + (critic_half + 2 * (1 + 2)) * critic
    return {"straightforward": straightforward, "ours": ours, "ours in bf16": ours}


def peak_flops() -> float:
    """Return the GFLOP/s of a matrix product."""
    a = torch.rand(2048, 2048)
    return 2 * 2.048**3 / min(seconds(lambda: a @ a) for _ in range(10))


def measure_scoring() -> None:
    net = our_net(64).module_.eval()
    x = torch.rand(64, 128, 128)

    calls: dict[str, Callable[[Tensor], Tensor]] = {
        "sample": lambda x: net.generator(x),
        "latent": lambda x: net.generator.encoder(net.generator(x)),
        "embedding": lambda x: net.discriminator.embed(x),
    }
    with torch.inference_mode():
        for name, call in calls.items():
            best = min(seconds(partial(call, net.scale(x))) for _ in range(5))
            print(f"scoring  {64 / best:6.0f} windows/s by {name}")


def measure_memory(n_clips: int = 1000) -> None:
    frames = np.random.default_rng(0).random((n_clips * 313, 128), dtype=np.float32)
    windows = cut_windows(Spectrograms(frames, np.arange(n_clips + 1) * 313), 128, 1)
    net = our_net(64)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for batch in islice(WindowLoader(windows, 64, shuffle=True), 2):
        net.train_step(batch)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"memory   {len(windows)} windows of {n_clips} clips ({frames.nbytes / 1e6:.0f} MB) would "
        f"be {len(windows) * 4 * 128**2 / 1e9:.1f} GB; peak {before:.0f} MB before training, "
        f"{after:.0f} MB after 2 steps of 64"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    measure_memory()
    steps = {
        "straightforward": straightforward_step(args.batch),
        "ours": our_step(args.batch),
        "ours in bf16": our_step(args.batch, "bf16"),
    }
    work = count(args.batch)
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(args.rounds):
        for name, step in steps.items():
            times[name].append(seconds(step))
    peak = peak_flops()
    print(f"batch of {args.batch}, {args.threads} thread(s), {peak:.0f} GFLOP/s in matrix products")
    reference = np.median(times["straightforward"])
    for name, measured in times.items():
        best, median = min(measured), np.median(measured)
        print(
            f"step     {name:15s} {best:5.2f} s (median {median:5.2f}), ratio "
            f"{best / min(times['straightforward']):.2f} (median {median / reference:.2f}), "
            f"{work[name]:.0f} GFLOP: {work[name] / peak:.2f} s at that speed"
        )
    measure_scoring()


if __name__ == "__main__":
    main()
