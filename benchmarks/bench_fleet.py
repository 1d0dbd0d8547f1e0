"""An evaluation of eight machines by two processes, against one, each with a single thread.

The runs are the same in all three: by this process, by two of joblib's own, and by two workers of
dask. Workers are started before the clock is, as those of a cluster are there already.

Beside the seconds by the clock there are the processor's, of all processes together, and what they
allow at best: twice the one process's over those of two. The clock of a machine that is shared
tells little.

    python benchmarks/bench_fleet.py [--machines 8] [--clips 60] [--epochs 30] [--repeats 2]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from distributed import Client, LocalCluster
from joblib import Parallel, delayed, parallel_config
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from sklasd import make_recipe
from sklasd.datasets import make_machine_clips
from sklasd.evaluation import evaluate

KINDS = ("fan", "pump", "gearbox", "valve")
FIRST = "one process"


def make_fleet(n_machines: int, n_clips: int, root: str) -> pd.DataFrame:
    tables = []
    for i in range(n_machines):
        _, table = make_machine_clips(
            KINDS[i % len(KINDS)], n_train=n_clips, n_test=10, n_anomalies=10,
            root=f"{root}/{i}", random_state=i,
        )  # fmt: skip
        tables.append(table.assign(machine=f"machine {i}"))
    return pd.concat(tables, ignore_index=True)


@contextmanager
def on_dask() -> Iterator[None]:
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with cluster, Client(cluster), parallel_config("dask"):
        yield


def warm_up(pipeline: Pipeline, folder: str) -> None:
    noise = np.random.default_rng(0).normal(scale=0.1, size=(16, 16000))
    clone(pipeline).fit(noise)  # imports all that the runs need
    Path(folder, str(os.getpid())).touch()
    while len(os.listdir(folder)) < 2:  # so that the other worker takes the other one
        time.sleep(0.01)


def processor_seconds() -> dict[int, float]:
    this = psutil.Process()
    times = {each.pid: each.cpu_times() for each in (this, *this.children(recursive=True))}
    return {pid: spent.user + spent.system for pid, spent in times.items()}


def measure(
    pipeline: Pipeline, fleet: pd.DataFrame, engine: Callable[[], AbstractContextManager]
) -> tuple[float, float, pd.Series]:
    with engine(), tempfile.TemporaryDirectory() as here:
        if engine is not nullcontext:
            Parallel()(delayed(warm_up)(pipeline, here) for _ in range(2))
        before, start = processor_seconds(), time.perf_counter()
        scores = evaluate({"it": pipeline}, fleet, n_threads=1).scores["score"]
        seconds, after = time.perf_counter() - start, processor_seconds()
        return seconds, sum(after[pid] - before[pid] for pid in after.keys() & before), scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--machines", type=int, default=8)
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=2)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    pipelines = {
        "statistics": make_recipe("statistics"),
        "dcase-autoencoder": make_recipe(
            "dcase-autoencoder", oeautoencoder__max_epochs=args.epochs, oeautoencoder__verbose=0
        ),
    }
    engines = {
        FIRST: nullcontext,
        "two of loky": lambda: parallel_config("loky", n_jobs=2),
        "two of dask": on_dask,
    }
    with tempfile.TemporaryDirectory() as root:
        fleet = make_fleet(args.machines, args.clips, root)
        print(f"{args.machines} machines, {args.clips} clips of 10 s to train on, 20 to score")
        for name, pipeline in pipelines.items():
            for _ in range(args.repeats):
                found = {key: measure(pipeline, fleet, each) for key, each in engines.items()}
                alone, busy, expected = found[FIRST]
                words = [
                    f"{key} {seconds:.1f} s ({alone / seconds:.2f}), processor {spent:.1f} s "
                    f"(at best {(1 if key == FIRST else 2) * busy / spent:.2f})"
                    for key, (seconds, spent, _) in found.items()
                ]
                are_equal = all(scores.equals(expected) for *_, scores in found.values())
                print(f"{name}: {'; '.join(words)}; same scores: {are_equal}", flush=True)


if __name__ == "__main__":
    main()
