"""AudDSR: steps a second of both stages, windows scored a second, and peak memory.

At the paper's widths a step of the first stage takes 256 windows, of the second one 16 clips of
10 s; --small takes the widths that serve on two cores. --real trains the small one on real
recordings: the first stage on all training clips together, the second one for each machine, without
and with the other machine's clips exposed (AudDSR_annot), and prints the AUC beside that of the
clips' level.

    python benchmarks/bench_auddsr.py [--small] [--steps 3] [--threads 2]
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
from sklasd.evaluation._protocol import held_out_clips, measure_levels, training_clips
from sklasd.metrics import auc_score

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


def real(root: str, iterations: int, seeds: list[int]) -> None:
    table = load_clips(f"{root}/manifest.csv")
    front = LogMel(n_fft=2048, hop_length=1024, n_mels=64)  # a quarter of the paper's cells
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
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--real", default=None)
    parser.add_argument("--iterations", type=int, default=150)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    args = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)  # a codebook after one step has collapsed
    torch.set_num_threads(args.threads)
    if args.real is not None:
        real(args.real, args.iterations, args.seeds)
    else:
        speed(SMALL if args.small else FULL, args.steps)


if __name__ == "__main__":
    main()
