"""Pipelines that refuse bad parameters before they open a file."""

import pickle
from functools import partial

import numpy as np
import pytest
import sklearn.pipeline
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklasd import (
    AEGANDetector,
    KNNDetector,
    LogMel,
    OEAutoencoder,
    SpectrogramScaler,
    UNetInpaintDetector,
    make_pipeline,
    make_recipe,
)
from sklasd.clips import _waveforms

autoencoder = partial(make_recipe, "dcase-autoencoder")
PATHS = [f"clip{i}.wav" for i in range(60)]


@pytest.fixture(autouse=True)
def no_file_is_opened(monkeypatch):
    def refuse(*args):
        raise AssertionError("a file was opened")

    monkeypatch.setattr(_waveforms, "read_sound", refuse)


@pytest.mark.parametrize(
    ("pipeline", "words"),
    [
        (autoencoder(oeautoencoder__max_epochs=-1), "'max_epochs' parameter of OEAutoencoder"),
        (autoencoder(oeautoencoder__hop=9), "hop of 9 frames for windows of 5"),
        (autoencoder(oeautoencoder__hidden_layer_sizes=(0,)), "hidden_layer_sizes"),
        (autoencoder(oeautoencoder__device="abacus"), "device='abacus'"),
        (make_recipe("aegan-ad", aegandetector__betas=(0.5, 1.0)), "betas"),
        (make_recipe("aegan-ad", logmel__n_mels=100), "n_mels=100, .* power of two"),
        (make_recipe("unet-inpaint", unetinpaintdetector__n_masks=1), "n_masks=1, too few"),
        (make_recipe("unet-inpaint", logmel__n_mels=40), "n_mels=40, .* multiple of 16"),
        (autoencoder(logmel__fmax=9000), "fmax=9000 Hz, above half"),
        (make_pipeline(LogMel(), OEAutoencoder(max_epochs=-1)), "'max_epochs'"),
        (make_pipeline(LogMel(), SpectrogramScaler(), OEAutoencoder(lr=0)), "'lr'"),
        (make_pipeline(LogMel(n_mels=40), SpectrogramScaler(), AEGANDetector()), "n_mels=40"),
        (make_pipeline(LogMel(), UNetInpaintDetector(patch_size=5)), "patch_size=5"),
    ],
)  # fmt: skip
def test_bad_parameters_are_told_first(pipeline, words):
    with pytest.raises(ValueError, match=words):
        pipeline.fit(PATHS)


def test_bands_that_a_step_may_change_are_left_to_the_detector():
    cut = FunctionTransformer(lambda X: X[:, :96])
    with pytest.raises(AssertionError, match="a file was opened"):
        make_pipeline(LogMel(n_mels=100), cut, UNetInpaintDetector()).fit(PATHS)


def test_a_pipeline_within_is_checked_too():
    within = make_pipeline(LogMel(n_mels=-1), SpectrogramScaler())
    with pytest.raises(ValueError, match="'n_mels' parameter of LogMel"):
        make_pipeline(within, OEAutoencoder()).fit(PATHS)
    behind = make_pipeline(SpectrogramScaler(), UNetInpaintDetector())
    with pytest.raises(ValueError, match="n_mels=60"):
        make_pipeline(LogMel(n_mels=60), behind).fit(PATHS)


def test_fit_predict_checks_too():
    with pytest.raises(ValueError, match="'max_epochs'"):
        make_pipeline(LogMel(), OEAutoencoder(max_epochs=-1)).fit_predict(PATHS)


def test_good_ones_get_to_the_files():
    with pytest.raises(AssertionError, match="a file was opened"):
        make_pipeline(LogMel(), OEAutoencoder()).fit(PATHS)


def test_estimators_that_declare_no_constraints_are_let_through():
    class Plain(sklearn.base.BaseEstimator):
        def fit(self, X, y=None):
            return self

    make_pipeline(Plain()).fit([[0.0]])


def test_searches_check_too():
    search = GridSearchCV(
        autoencoder(), {"oeautoencoder__max_epochs": [-1]}, scoring="roc_auc", cv=2,
        error_score="raise",
    )  # fmt: skip
    with pytest.raises(ValueError, match="'max_epochs'"):
        search.fit(PATHS, [1, -1] * 30)


def test_otherwise_it_is_scikit_learns(rng):
    X = rng.normal(size=(30, 4))
    ours, theirs = (
        make(StandardScaler(), KNNDetector()).fit(X)
        for make in (make_pipeline, sklearn.pipeline.make_pipeline)
    )
    assert isinstance(ours, sklearn.pipeline.Pipeline)
    assert ours.get_params().keys() == theirs.get_params().keys()
    np.testing.assert_array_equal(ours.score_samples(X), theirs.score_samples(X))
    np.testing.assert_array_equal(ours.fit_predict(X), theirs.fit_predict(X))
    again = pickle.loads(pickle.dumps(clone(ours).fit(X)))
    np.testing.assert_array_equal(again.predict(X), theirs.predict(X))
