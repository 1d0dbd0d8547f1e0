"""A fleet on dask: the same scores, whichever worker computed them and whichever died."""

import os
import signal
import threading
import time

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config

from sklasd import GroupedDetector, LogMel, OEAutoencoder, make_pipeline
from sklasd.datasets import make_machine_clips
from sklasd.evaluation import evaluate
from sklasd.utils._threads import limit_threads

distributed = pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.slow,
    # dask leaves sockets and loops of workers that were killed to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    tables = [
        make_machine_clips(
            machine, n_train=12, n_test=3, n_anomalies=3, duration=1.0, root=root, random_state=0
        )[1]
        for machine in ("fan", "pump", "slider", "valve")
    ]
    return pd.concat(tables, ignore_index=True)


@pytest.fixture
def cluster():
    """Two processes of one thread each, on which joblib computes."""
    started = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
    )
    with started as cluster, distributed.Client(cluster), parallel_config(backend="dask"):
        yield cluster


@pytest.fixture
def killing(cluster, tmp_path):
    """Return a context in which a worker is killed as soon as it is at work."""
    return lambda: Killer(cluster, tmp_path / "busy")


class Killer(threading.Thread):
    """Kills the worker that says first, by a file of its process id, that it is at work."""

    def __init__(self, cluster, folder):
        super().__init__()
        self.pids = {nanny.pid for nanny in cluster.workers.values()}
        self.folder = folder
        self.killed = None
        folder.mkdir()

    def run(self):
        deadline = time.monotonic() + 60
        while self.killed is None and time.monotonic() < deadline:
            busy = [int(file.name) for file in self.folder.iterdir()]
            if busy:
                assert busy[0] in self.pids
                os.kill(busy[0], signal.SIGKILL)
                self.killed = busy[0]
            time.sleep(0.01)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self.join()
        assert self.killed is not None


class SlowLogMel(LogMel):
    """Says in a folder that it is at work, and takes its time, so that it can be killed."""

    def __init__(self, n_mels=16, folder=None):
        super().__init__(n_mels=n_mels)
        self.folder = folder

    def transform(self, X):
        if os.path.isdir(self.folder or ""):
            open(os.path.join(self.folder, str(os.getpid())), "w").close()
            time.sleep(0.5)
        return super().transform(X)


def by_net(folder=None):
    detector = OEAutoencoder(
        hidden_layer_sizes=(8,), max_epochs=2, threshold="quantile", contamination=0.2,
        calibration=2, random_state=0, verbose=0,
    )  # fmt: skip
    return make_pipeline(SlowLogMel(folder=str(folder)), detector)


class TestEvaluate:
    def test_two_workers(self, clips, cluster):
        there = evaluate(by_net(), clips, seeds=(0, 1), n_threads=1)
        with parallel_config("sequential"):
            here = evaluate(by_net(), clips, seeds=(0, 1), n_threads=1)
        pd.testing.assert_frame_equal(there.scores, here.scores, check_exact=True)
        pd.testing.assert_frame_equal(there.table, here.table, check_exact=True)

    def test_a_worker_is_killed(self, clips, killing, tmp_path):
        with parallel_config("sequential"):
            here = evaluate(by_net(), clips, n_threads=1).scores
        with killing() as killer:
            there = evaluate(
                by_net(killer.folder), clips, folder=tmp_path / "results", n_threads=1
            ).scores
        pd.testing.assert_frame_equal(there, here, check_exact=True)
        assert len(list((tmp_path / "results").rglob("scores_*.csv"))) == 4


class TestGroupedDetector:
    def scores(self, estimator, clips):
        is_train = clips["split"] == "train"
        fitted = GroupedDetector(estimator).fit(clips[is_train])
        with limit_threads(1):
            return fitted.score_samples(clips[~is_train])

    @pytest.fixture
    def expected(self, clips):
        with parallel_config("sequential"), limit_threads(1):
            return self.scores(by_net(), clips)

    def test_two_workers(self, clips, cluster, expected):
        np.testing.assert_array_equal(self.scores(by_net(), clips), expected)

    def test_a_worker_is_killed(self, clips, killing, expected):
        with killing() as killer:
            scores = self.scores(by_net(killer.folder), clips)
        np.testing.assert_array_equal(scores, expected)
