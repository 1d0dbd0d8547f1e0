"""CL-VAE at its report's size against a plain loop of torch: fit, and embeddings scored a second.

Both train the net of 13.8 million parameters on the same random embeddings of 3,776 numbers, by the
same loss, in batches of 512. The plain loop is written as one would write it: torch's Adam as it
comes, a DataLoader's batches, the loss spelt out. Its scores take one batch of all embeddings. The
detector's fit also settles centres and normalisation, and scores all clips for the threshold: what
an epoch more costs is told apart. Run:

    python benchmarks/bench_cl_vae.py [--clips 1024] [--epochs 5] [--rounds 3]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from sklasd import CLVAEDetector
from sklasd.nets._vae import VAE

N_FEATURES, N_SECTIONS, N_CODE, BATCH, WEIGHT = 3776, 6, 512, 512, 150.0


class Plain:
    """The same net and loss, in a loop by hand."""

    def __init__(self) -> None:
        self.net = VAE()
        self.centers = torch.zeros(N_SECTIONS, N_CODE)

    def elbo(self, x: Tensor, z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
        """Return the loss of each clip without its centre."""
        rebuilt = self.net.decode(z, x[:, :0])
        divergence = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1)
        return ((rebuilt - x) ** 2).mean(1) + divergence

    def fit(self, x: Tensor, label: Tensor, n_epochs: int) -> None:
        """Train, batch by batch."""
        self.net.train()
        optimizer = torch.optim.Adam(self.net.parameters(), lr=1e-3)
        for _ in range(n_epochs):
            for batch, y in DataLoader(TensorDataset(x, label), BATCH, shuffle=True):
                optimizer.zero_grad()
                code, mean, log_variance = self.net.encode(batch)
                z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
                distance = ((code - self.centers[y]) ** 2).sum(1)
                loss = self.elbo(batch, z, mean, log_variance).mean()
                loss = loss + WEIGHT * distance.mean() / N_SECTIONS
                loss.backward()
                optimizer.step()
                for j in range(N_SECTIONS):
                    own = code[y == j].detach()
                    self.centers[j] -= (self.centers[j] - own).sum(0) / (1 + len(own))

    @torch.no_grad()
    def score(self, x: Tensor) -> Tensor:
        """Return the ensemble's anomaly scores."""
        self.net.eval()
        code, mean, log_variance = self.net.encode(x)
        nearest = torch.cdist(code, self.centers).square().amin(1) / N_SECTIONS
        return 1.01 * self.elbo(x, mean, mean, log_variance) + 0.01 * WEIGHT * nearest


def seconds(call: Callable[[], Any]) -> float:
    """Time by the processor's clock, which other programs on the machine do not disturb."""
    start = time.process_time()
    call()
    return time.process_time() - start


def report(name: str, pairs: list[list[float]], n: int) -> None:
    ours, plain = np.median(pairs, axis=0)
    ratios = [a / b for a, b in pairs]
    print(
        f"{name:14s} ours {ours:6.2f} s ({n / ours:5.0f} clips/s), plain {plain:6.2f} s "
        f"({n / plain:5.0f} clips/s), ratio {np.median(ratios):.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=1024)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    X = rng.gamma(1, 0.1, (args.clips, N_FEATURES)).astype(np.float32)
    section = np.arange(args.clips) % N_SECTIONS
    x, label = torch.from_numpy(X), torch.from_numpy(section)
    detector = CLVAEDetector(
        calibration=None, threshold="quantile", device="cpu", random_state=0, verbose=0
    )
    plain = Plain()

    def ours(n_epochs: int) -> float:
        return seconds(lambda: detector.set_params(max_epochs=n_epochs).fit(X, section=section))

    def by_hand(n_epochs: int) -> float:
        return seconds(lambda: plain.fit(x, label, n_epochs))

    fits, epochs, scorings = [], [], []
    for _ in range(args.rounds):
        first, whole = ([fit(n) for fit in (ours, by_hand)] for n in (1, args.epochs))
        fits.append(whole)
        epochs.append([(b - a) / (args.epochs - 1) for a, b in zip(first, whole, strict=True)])
        calls = (lambda: detector.score_samples(X), lambda: plain.score(x))
        scorings.append([seconds(call) for call in calls])
    print(f"{args.clips} embeddings, 1 thread, processor time")
    report(f"{args.epochs} epochs", fits, args.clips * args.epochs)
    report("an epoch more", epochs, args.clips)
    report("scoring", scorings, args.clips)


if __name__ == "__main__":
    main()
