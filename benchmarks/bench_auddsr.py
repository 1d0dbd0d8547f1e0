"""AudDSR: steps a second of both stages, windows scored a second, and peak memory.

Of small nets, whose widths serve on two cores. At the paper's (--full, made for a GPU) a step of
the first stage takes 256 windows, of the second one 16 clips of 10 s. --real trains the small one
on real recordings: the first stage on all training clips together, the second one for each machine,
without and with the other machine's clips exposed (AudDSR_annot), and prints the AUC beside that of
the clips' level. --localise plants bursts into made-up spectrograms and prints how many of them the
map is at least twice as bright inside.

    python benchmarks/bench_auddsr.py [--full] [--steps 3] [--threads 2]
    python benchmarks/bench_auddsr.py --localise [--seeds 0 1 2]
    python benchmarks/bench_auddsr.py --real ../shared/data [--iterations 150] [--seeds 0 1 2]
"""

from __future__ import annotations

import argparse
import resource
import time
import warnings

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator

from sklasd import AudDSRDetector, DiscreteAutoencoder, LogMel
from sklasd.datasets import load_clips
from sklasd.evaluation._parts import held_out_clips, training_clips
from sklasd.evaluation._scoring import measure_levels
from sklasd.metrics import auc_score
from sklasd.testing import make_sounds

FULL: tuple[dict, dict] = ({}, {})
SMALL = (
    {"n_features": 16, "codebook_size": 64, "batch_size": 32, "lr": 1e-3, "decay": 0.95},
    {"detection_width": 8, "batch_size": 8, "lr": 1e-3},
)
SAME = {"random_state": 0, "verbose": 0}


def seconds_per_step(make, fit, steps: int) -> float:
    """Time some steps, less what a single one takes with everything around it."""
    fit(make(1))  # the first of all waits for libraries and memory
    seconds = []
    for n in (1, 1 + steps):
        estimator = make(n)
        start = time.perf_counter()
        fit(estimator)
        seconds.append(time.perf_counter() - start)
    return (seconds[1] - seconds[0]) / steps


def speed(settings: tuple[dict, dict], steps: int) -> None:
    X = np.random.default_rng(0).normal(-40, 5, (70, 313, 128)).astype(np.float32)
    X = X.transpose(0, 2, 1)
    of_first, of_second = ({**s, **SAME} for s in settings)
    took = seconds_per_step(
        lambda n: DiscreteAutoencoder(**of_first, max_iterations=n), lambda e: e.fit(X), steps
    )
    print(f"first stage    {1 / took:8.2f} steps a second")
    first = FrozenEstimator(DiscreteAutoencoder(**of_first, max_iterations=1).fit(X))

    def second(n: int) -> AudDSRDetector:
        return AudDSRDetector(first, **of_second, max_iterations=n, calibration=None)

    took = seconds_per_step(second, lambda e: e.fit(X[:16]), steps)
    print(f"second stage   {1 / took:8.2f} steps a second")
    detector = second(1).fit(X[:16])
    start = time.perf_counter()
    detector.score_samples(X[:16])
    print(f"scoring        {16 / (time.perf_counter() - start):8.2f} clips of 10 s a second")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory    {peak:8.2f} GB")


def localise(seeds: list[int]) -> None:
    sounds = make_sounds()
    first = DiscreteAutoencoder(
        n_features=16, codebook_size=64, batch_size=16, lr=3e-3, decay=0.9, window_length=32,
        hop=16, max_iterations=400, **SAME,
    ).fit(np.concatenate([sounds.train, sounds.test]))  # fmt: skip
    of_size = {"bands": (3, 8), "segment_frames": (4, 12), "n_segments": (1, 3),
               "perlin_octaves": (2, 4)}  # fmt: skip
    for weight, batch_size, n, seed in (
        (w, b, n, s) for w, b, n in ((0.0, 8, 1000), (3.0, 8, 1000), (3.0, 16, 500)) for s in seeds
    ):
        detector = AudDSRDetector(
            FrozenEstimator(first), detection_width=8, lr=1e-3, batch_size=batch_size,
            max_iterations=n, mask_weight=weight, calibration=None, random_state=seed, verbose=0,
            **of_size,
        ).fit(sounds.train)  # fmt: skip
        faulty = sounds.label == -1
        pairs = zip(detector.anomaly_map(sounds.test)[faulty], sounds.burst[faulty], strict=True)
        ratios = np.array([where[burst].mean() / where[~burst].mean() for where, burst in pairs])
        auc = auc_score(sounds.label, detector.score_samples(sounds.test))
        print(f"mask_weight={weight:g}, {n} batches of {batch_size}, seed {seed}: AUC {auc:.3f}, "
              f"median ratio {np.median(ratios):.2f}, {np.mean(ratios >= 2):.0%} of the bursts",
              flush=True)  # fmt: skip


def real(root: str, iterations: int, seeds: list[int]) -> None:
    table = load_clips(f"{root}/manifest.csv")
    front = LogMel(n_fft=2048, hop_length=1024)  # half of the paper's frames
    of = {m: table[table["machine"] == m] for m in ("fanstate", "slider")}
    sounds = {m: list(front.transform(training_clips(clips))) for m, clips in of.items()}
    for seed in seeds:
        same = {"random_state": seed, "verbose": 0, "window_length": 64}
        start = time.perf_counter()
        first = DiscreteAutoencoder(**SMALL[0], **same, hop=32, max_iterations=300)
        first.fit([x for clips in sounds.values() for x in clips])
        print(f"seed {seed}, first stage: 300 steps, {time.perf_counter() - start:.0f} s, codes "
              f"{first.perplexity_.round(1).tolist()}", flush=True)  # fmt: skip
        for machine, other in (("fanstate", "slider"), ("slider", "fanstate")):
            test = held_out_clips(of[machine])
            known, heard = sounds[machine], front.transform(test)
            exposed = sounds[other][: len(known)]
            aucs = {"RMS level": auc_score(test["label"], -measure_levels(front, test))}
            start = time.perf_counter()
            for name, clips in (("plain", known), ("annot", known + exposed)):
                detector = AudDSRDetector(
                    FrozenEstimator(first), **SMALL[1], **same, max_iterations=iterations,
                    calibration=None,
                ).fit(clips, exposed=np.arange(len(clips)) >= len(known))  # fmt: skip
                aucs[name] = auc_score(test["label"], detector.score_samples(heard))
            took = (time.perf_counter() - start) / 2
            print(f"{machine}: {iterations} steps, {took:.0f} s, AUC",
                  ", ".join(f"{n} {auc:.3f}" for n, auc in aucs.items()), flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--localise", action="store_true")
    parser.add_argument("--real", default=None)
    parser.add_argument("--iterations", type=int, default=150)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    args = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)  # a codebook after one step has collapsed
    torch.set_num_threads(args.threads)
    if args.localise:
        localise(args.seeds)
    elif args.real is not None:
        real(args.real, args.iterations, args.seeds)
    else:
        speed(FULL if args.full else SMALL, args.steps)


if __name__ == "__main__":
    main()
