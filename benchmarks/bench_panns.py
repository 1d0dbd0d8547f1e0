"""PANNsEmbedding against a plain loop: one clip at a time, the official net as it is.

The plain loop transforms by the checkpoint's kernels, runs the whole net and takes what is wanted
by hooks. What a clip of 10 s costs at least: 20 billion multiply-adds for ResNet38's blocks (3 more
are behind them), 20 for Cnn14. Between the two are the steps from
one to the other, each with all before it. Each variant has a process of its own, for its peak
memory. Weights are random. Run:

    python benchmarks/bench_panns.py
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
import warnings

import numpy as np
import torch
from torch.nn import functional

from sklasd import PANNsEmbedding
from sklasd.features._panns_weights import MODELS, Weights
from sklasd.nets._panns import PANN, freeze
from sklasd.nets._panns_pooling import PooledPANN

WANTED = {"resnet38": "blocks", "cnn14": "embedding"}
SECONDS = {1.0: 12, 10.0: 3}  # length of the clips, and how many
VARIANTS = ("plain", "no top", "folded", "channels last", "sklasd", "sklasd bf16")


def plain_log_mel(net: PANN, wave: np.ndarray) -> torch.Tensor:
    """Transform as the official front end does, (1, n_frames, 64)."""
    stft = net.spectrogram_extractor.stft
    x = functional.pad(torch.from_numpy(wave)[None, None], (512, 512), mode="reflect")
    real, imaginary = (
        functional.conv1d(x, kernels, stride=320)
        for kernels in (stft.conv_real.weight, stft.conv_imag.weight)
    )
    mel = (real**2 + imaginary**2).transpose(1, 2) @ net.logmel_extractor.melW
    return 10 * mel.clamp_min(1e-10).log10()


def plain(net: PANN, layers: str, wave: np.ndarray) -> np.ndarray:
    found = []

    def note(_, inputs, output):
        found.append(output.mean(dim=(2, 3)))

    wanted = net.resnet.modules() if layers == "blocks" else ()
    hooks = [m.register_forward_hook(note) for m in wanted if type(m).__name__ == "BasicBlock"]
    embedding, _ = net(plain_log_mel(net, wave))
    for hook in hooks:
        hook.remove()
    return (torch.cat(found, dim=1) if found else embedding).numpy()


def make(variant: str, model: str, device: str):
    """Return a function from waveforms to rows."""
    if variant.startswith("sklasd"):
        precision = "bf16" if variant.endswith("bf16") else "32"
        embedding = PANNsEmbedding(
            model, "random", WANTED[model], precision=precision, random_state=0, device=device
        )
        with warnings.catch_warnings(action="ignore"):
            return embedding.fit(None).transform
    seed = PANNsEmbedding(model, "random", random_state=0)
    with warnings.catch_warnings(action="ignore"):
        weights: Weights = seed.fit(None).weights_
    net = weights.read().eval().to(device)
    if variant == "plain":
        return lambda waves: np.concatenate([plain(net, WANTED[model], wave) for wave in waves])
    if variant != "no top":
        freeze(net)
    if variant == "folded":
        net.to(memory_format=torch.contiguous_format)
    pooled = PooledPANN(net, WANTED[model], 10**6)
    return lambda waves: np.concatenate([pooled(plain_log_mel(net, wave)) for wave in waves])


def measure(args: argparse.Namespace) -> None:
    """Print what one variant takes, in this process."""
    torch.set_num_threads(args.threads)
    waves = np.random.default_rng(0).standard_normal(
        (SECONDS[args.seconds], int(args.seconds * MODELS[args.model].sample_rate))
    )
    waves = 0.1 * waves.astype(np.float32)
    with torch.inference_mode():
        run = make(args.variant, args.model, args.device)
        rows = run(waves)
        wall, busy = [], []
        for _ in range(2):
            start = time.perf_counter(), time.process_time()
            run(waves)
            wall.append((time.perf_counter() - start[0]) / len(waves))
            busy.append((time.process_time() - start[1]) / len(waves))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        reference = make("plain", args.model, args.device)(waves[:1])[0]
        off = np.abs(rows[0] - reference).max() / np.abs(reference).max()
    print(f"{args.model:9} {args.seconds:4g} s  {args.variant:14} {1 / min(wall):6.2f} clips/s, "
          f"{min(busy):6.3f} CPU s a clip, off by {off:.0e}, peak {peak:.2f} GB",
          flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", nargs="*", default=[*WANTED])
    parser.add_argument("--variants", nargs="*", default=[*VARIANTS])
    parser.add_argument("--lengths", nargs="*", type=float, default=[*SECONDS])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    for name in ("model", "variant"):
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.variant:
        measure(args)
        return
    shared = ["--threads", str(args.threads), "--device", args.device]
    for model in args.models:
        for seconds in args.lengths:
            for variant in args.variants:
                own = ["--model", model, "--seconds", str(seconds), "--variant", variant]
                subprocess.run([sys.executable, __file__, *own, *shared], check=True)


if __name__ == "__main__":
    main()
