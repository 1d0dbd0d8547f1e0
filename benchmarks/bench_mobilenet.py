"""STFTImage against a plain librosa loop, and OEMobileNetDetector's training against plain torch.

Both sides of each pair are timed in turn, in one run. The plain training has the same net, channels
first as torchvision's are, batches drawn by index, and Adam. An image of 320 x 320 costs 0.61
billion multiply-adds forwards, and about three times as many in training.

--real trains small nets from random weights on real recordings, with the other machine's clips
exposed, and, as a control, with half of the machine's own: what the latter finds is no more than
chance, so that what the former finds beyond may be the machine or the way it was recorded.

    python benchmarks/bench_mobilenet.py [--threads 1] [--clips 40] [--steps 2] [--side 320]
    python benchmarks/bench_mobilenet.py --real ../shared/data [--seeds 0 1]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import librosa
import numpy as np
import torch
from PIL import Image

from sklasd import OEMobileNetDetector, STFTImage
from sklasd.datasets import load_clips
from sklasd.evaluation._parts import held_out_clips, training_clips
from sklasd.metrics import auc_score
from sklasd.nets._mobilenet_v2 import MobileNetV2, SpectrogramMobileNet
from sklasd.training import Spectrograms, cut_windows
from sklasd.training._loader import BalancedLoader
from sklasd.training._window_net import window_net

BATCH = 16


def plain_image(wave: np.ndarray) -> np.ndarray:
    S = np.abs(librosa.stft(wave, n_fft=4096, hop_length=2048, pad_mode="constant"))
    x = librosa.amplitude_to_db(S, ref=np.max)
    x = (x - x.min()) / (x.max() - x.min())
    return np.asarray(Image.fromarray(x).resize((320, 320), Image.BILINEAR))


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def in_turn(
    ours: Callable[[], object], theirs: Callable[[], object], repeats: int
) -> tuple[float, float]:
    """Return the median times, after one run of each that does not count."""
    ours(), theirs()
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(repeats)]
    a, b = np.median(pairs, axis=0)
    return float(a), float(b)


def compare_images(n_clips: int) -> None:
    waves = np.random.default_rng(0).standard_normal((n_clips, 160_000)).astype(np.float32) / 10
    images = STFTImage().transform(waves[:1])
    difference = np.abs(images[0] - plain_image(waves[0])).max()
    a, b = in_turn(lambda: STFTImage().transform(waves), lambda: [plain_image(w) for w in waves], 9)
    rates = f"sklasd {n_clips / a:.0f} a second, librosa and Pillow {n_clips / b:.0f}"
    print(f"images of 10 s: {rates}, ratio {b / a:.2f}; they differ by {difference:.0e}")


def plain_training(images: np.ndarray, labels: np.ndarray, steps: int) -> None:
    X, y = torch.from_numpy(images)[:, None].repeat(1, 3, 1, 1), torch.from_numpy(labels)
    net = MobileNetV2(n_classes=2).to(memory_format=torch.contiguous_format)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4)
    for _ in range(steps):
        index = torch.randperm(len(X))[:BATCH]
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(X[index]), y[index])
        loss.backward()
        optimizer.step()
        loss.item()


def compare_training(steps: int, side: int) -> None:
    n = steps * BATCH  # one epoch of so many steps, half of each batch exposed
    images = np.random.default_rng(0).uniform(size=(n, side, side)).astype(np.float32)
    labels = np.arange(n) % 2
    windows = cut_windows(Spectrograms.stack(images), side, side).with_targets(labels)

    def ours() -> None:
        window_net(
            SpectrogramMobileNet, criterion=torch.nn.CrossEntropyLoss, lr=1e-4, batch_size=BATCH,
            max_epochs=1, iterator_train=BalancedLoader, callbacks__watch__verbose=False,
        ).fit(windows)  # fmt: skip

    a, b = in_turn(ours, lambda: plain_training(images, labels, steps), 3)
    print(f"training on {side} x {side}, {BATCH} a batch: sklasd {1e3 * a / n:.0f} ms, plain torch "
          f"{1e3 * b / n:.0f} ms an image, ratio {a / b:.2f}")  # fmt: skip


def real(root: str, seeds: list[int]) -> None:
    table = load_clips(f"{root}/manifest.csv")
    front = STFTImage(height=96, width=96)
    of = {m: table[table["machine"] == m] for m in ("fanstate", "slider")}
    images = {m: front.transform(training_clips(clips)) for m, clips in of.items()}
    for machine, other in (("fanstate", "slider"), ("slider", "fanstate")):
        test = held_out_clips(of[machine])
        heard, own = front.transform(test), images[machine]
        for name, normal, exposed in (
            ("other machine", own, images[other]), ("own half", own[::2], own[1::2])
        ):  # fmt: skip
            aucs = []
            for seed in seeds:
                detector = OEMobileNetDetector(
                    weights="random", width_multiplier=0.35, window_length=96, hop=96, lr=1e-3,
                    max_epochs=20, calibration=None, random_state=seed, verbose=0,
                )  # fmt: skip
                X = np.concatenate([normal, exposed])
                detector.fit(X, exposed=np.arange(len(X)) >= len(normal))
                aucs.append(auc_score(test["label"], detector.score_samples(heard)))
            print(f"{machine}, {name} exposed: AUC {', '.join(f'{auc:.3f}' for auc in aucs)}",
                  flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--side", type=int, default=320)
    parser.add_argument("--real", default=None)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1])
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.real is not None:
        real(args.real, args.seeds)
        return
    compare_images(args.clips)
    compare_training(args.steps, args.side)


if __name__ == "__main__":
    main()
