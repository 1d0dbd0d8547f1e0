"""Checks of training, seeds and cache, for detectors with nets.

Each check gets an unfitted detector, which it may change, and sounds.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from sklearn.base import clone

from sklasd.base import BaseDetector
from sklasd.testing._assertions import assert_raises
from sklasd.testing._sounds import Sounds
from sklasd.training import WindowNet


def check_training_learns(detector: BaseDetector, sounds: Sounds) -> None:
    """Check that training moves every trainable weight and lowers the loss."""
    weights = []
    for n_epochs in (1, max(2, detector.max_epochs)):
        trained = sounds.fit(clone(detector).set_params(max_epochs=n_epochs))
        weights.append(
            {
                f"{net}.{name}": w
                for net, stage in trained.nets_.items()
                for name, w in stage.module_.named_parameters()
                if w.requires_grad
            }
        )
    # A layer that is in no graph, or frozen by mistake, keeps its initial weights.
    still = [name for name, w in weights[0].items() if torch.equal(w, weights[1][name])]
    assert not still, f"{still} did not move"
    assert trained.loss_curve_[-1] < trained.loss_curve_[0]


def check_seeds(detector: BaseDetector, sounds: Sounds) -> None:
    """Check that equal seeds give equal detectors, others do not, and no global state changes."""
    torch_before, numpy_before = torch.get_rng_state(), _numpy_state()
    first, second, other, unseeded = (
        sounds.fit(clone(detector).set_params(random_state=seed)).score_samples(sounds.test)
        for seed in (0, 0, 1, None)  # None draws a seed, but not from the global generators
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, unseeded)
    assert torch.equal(torch_before, torch.get_rng_state())
    np.testing.assert_array_equal(numpy_before, _numpy_state())


def _numpy_state() -> np.ndarray:
    """Return the state of numpy's global generator."""
    return np.random.mtrand._rand.get_state(legacy=False)["state"]["key"].copy()


def check_table_holds_every_variant(detector: BaseDetector, sounds: Sounds) -> None:
    """Check that each column of `score_table` is `score_samples` under its name."""
    sounds.fit(detector)
    table = detector.score_table(sounds.test)
    assert len(table.columns) >= 3 * len(detector._window_scores)
    for column in table:
        score, _, pooling = column.rpartition("_")  # such as "reconstruction_max"
        if score not in detector._window_scores:
            score, pooling = column, "mean"
        _set_present(detector, anomaly_score=score, pooling=pooling)
        np.testing.assert_array_equal(detector.score_samples(sounds.test), table[column])


def _set_present(detector: BaseDetector, **params: Any) -> None:
    """Set the parameters that there are: a detector on embeddings may have no `pooling`."""
    detector.set_params(**{k: v for k, v in params.items() if k in detector.get_params()})


def check_another_score_decides_nothing(detector: BaseDetector, sounds: Sounds) -> None:
    """Check that decisions by another score are refused until a recalibration, or its undoing."""
    sounds.fit(detector)
    scores, decisions = detector.score_samples(sounds.test), detector.predict(sounds.test)
    change = _another_score(detector)
    before = {name: getattr(detector, name) for name in change}
    changed = detector.set_params(**change)
    for decide in (changed.decision_function, changed.predict, changed.p_values):
        assert_raises("the threshold was set for", decide, sounds.test)
    assert_raises("the threshold was set for", changed.decide, scores)
    assert np.isfinite(changed.score_samples(sounds.test)).all()
    detector.set_params(**before)
    np.testing.assert_array_equal(detector.predict(sounds.test), decisions)
    changed = detector.set_params(**change)
    changed.recalibrate(sounds.test[sounds.label == 1])
    assert np.isfinite(changed.p_values(sounds.test)).all()


def _another_score(detector: Any) -> dict[str, str]:
    """Return a change of parameters that changes the scores, but nothing that is learnt."""
    if "pooling" in detector.get_params():
        return {"pooling": "min" if detector.pooling != "min" else "max"}
    names = {*detector._window_scores, *detector._clip_scores} - {detector.anomaly_score}
    return {"anomaly_score": min(names)}


def check_memory_trains_once(detector: BaseDetector, sounds: Sounds) -> None:
    """Check that another score, pooling or threshold finds the trained nets in the cache."""
    with tempfile.TemporaryDirectory() as folder:
        sounds.fit(detector.set_params(memory=folder))
        stored = sorted(Path(folder).rglob("output.pkl"))
        assert len(stored) == len(detector.nets_) + 1  # and the result of `_after_training`
        last = detector.score_table(sounds.test[:1]).columns[-1]
        last = last if last in detector._clip_scores else detector._window_scores[-1]
        other = clone(detector).set_params(anomaly_score=last, contamination=0.2)
        _set_present(other, pooling="max")
        # What is found in the cache must equal what would be trained.
        plain = clone(other).set_params(memory=None)
        assert sounds.fit(other).offset_ == sounds.fit(plain).offset_
        assert sorted(Path(folder).rglob("output.pkl")) == stored
        # Another version of the package may train otherwise: it must find nothing.
        with patch("sklasd.__version__", "another"):
            sounds.fit(clone(detector))
        assert len(list(Path(folder).rglob("output.pkl"))) == 2 * len(stored), "nets of old code"


def check_interruption_passes(detector: BaseDetector, sounds: Sounds) -> None:
    """Check that Ctrl-C stops a fit, and leaves nothing in the detector or in the cache."""
    with tempfile.TemporaryDirectory() as folder:
        detector.set_params(memory=folder, random_state=0)
        stopped = False
        with patch.object(WindowNet, "run_single_epoch", side_effect=KeyboardInterrupt):
            try:
                sounds.fit(detector)
            except KeyboardInterrupt:
                stopped = True
        # skorch catches KeyboardInterrupt by itself, and would keep the net as it is.
        assert stopped, "KeyboardInterrupt was swallowed"
        assert not hasattr(detector, "offset_")
        assert not list(Path(folder).rglob("output.pkl")), "something half-trained was cached"


ALL = (
    check_training_learns,
    check_seeds,
    check_table_holds_every_variant,
    check_another_score_decides_nothing,
    check_memory_trains_once,
    check_interruption_passes,
)
