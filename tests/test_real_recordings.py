"""The main job on real recordings, from files to a decision."""

import subprocess
import sys

import joblib
import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import make_pipeline

from sklasd import (
    AEGANDetector,
    AudDSRDetector,
    CLVAEDetector,
    DiscreteAutoencoder,
    FusionDetector,
    KNNDetector,
    LogMel,
    OEAutoencoder,
    PANNsEmbedding,
    StatisticsDetector,
    make_recipe,
)
from sklasd.datasets import load_clips, load_dcase
from sklasd.evaluation._parts import held_out_clips, training_clips
from sklasd.evaluation._scoring import evaluate_machine
from sklasd.metrics import dcase_scorer
from sklasd.model_selection import NormalOnlySplit


def machine(real_data, name):
    return load_dcase(real_data, machines=[name])


@pytest.mark.parametrize("name", ["fanstate", "slider"])
def test_the_default_finds_faults(real_data, name):
    clips = load_clips(real_data / "manifest.csv")
    scored = evaluate_machine(make_recipe(), clips[clips["machine"] == name])
    assert roc_auc_score(scored["label"], scored["score"]) >= 0.95
    is_alarm = scored["decision"] == -1
    assert is_alarm[scored["label"] == 1].mean() <= 0.25
    assert is_alarm[scored["label"] == -1].mean() >= 0.6


def test_a_search_over_members(real_data):
    clips = machine(real_data, "fanstate").iloc[::2].reset_index(drop=True).drop(columns="split")
    search = GridSearchCV(
        make_recipe("statistics"),
        {
            "fusiondetector__fusion": ["log", "fisher"],
            "fusiondetector__autocorrelation": ["drop", StatisticsDetector("deviation")],
        },
        scoring=dcase_scorer(2020),
        cv=NormalOnlySplit(2),
    ).fit(clips, clips["label"])
    assert search.best_score_ > 0.9
    assert len(search.cv_results_["params"]) == 4


@pytest.mark.slow
@pytest.mark.parametrize(("name", "least"), [("fanstate", 0.95), ("slider", 0.90)])
def test_the_baseline_finds_faults(real_data, name, least):
    recipe = make_recipe(
        "dcase-autoencoder",
        oeautoencoder__random_state=0,
        oeautoencoder__max_epochs=50,
        oeautoencoder__calibration=None,
    )
    scored = evaluate_machine(recipe, machine(real_data, name))
    assert roc_auc_score(scored["label"], scored["score"]) >= least
    assert np.isfinite(scored["level"]).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["slider", "fanstate"])
@pytest.mark.parametrize("score", ["reconstruction", "mahalanobis"])
def test_false_alarms_are_about_as_asked(real_data, name, score):
    clips = load_clips(real_data / "manifest.csv")  # it knows which clips are of one recording
    recipe = make_recipe(
        "dcase-autoencoder", oeautoencoder__random_state=0, oeautoencoder__max_epochs=10,
        oeautoencoder__anomaly_score=score,
    )  # fmt: skip
    scored = evaluate_machine(recipe, clips[clips["machine"] == name].reset_index(drop=True))
    is_alarm = scored["decision"] == -1
    assert is_alarm[scored["label"] == 1].mean() <= 0.25  # about half and more without calibration
    assert is_alarm[scored["label"] == -1].mean() >= 0.6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "least", "hop", "max_epochs"), [("fanstate", 0.95, 8, 30), ("slider", 0.90, 16, 10)]
)
def test_aegan_finds_faults(real_data, name, least, hop, max_epochs):
    params = {"width": 4, "hop": hop, "scoring_hop": 8, "batch_size": 64, "max_epochs": max_epochs}
    params["calibration"] = None
    recipe = make_recipe("aegan-ad", aegandetector__random_state=0)
    recipe[-1].set_params(**params)
    scored = evaluate_machine(recipe, machine(real_data, name))  # by the default score
    assert roc_auc_score(scored["label"], scored["score"]) >= least


@pytest.fixture(scope="module")
def of_all_machines(real_data):
    """A first stage of AudDSR that knows the sounds of both machines, and its front end."""
    front = LogMel(n_fft=2048, hop_length=1024)
    clips = load_clips(real_data / "manifest.csv")
    stage = DiscreteAutoencoder(
        n_features=16, codebook_size=64, batch_size=32, lr=2e-3, decay=0.95, window_length=64,
        hop=32, max_iterations=200, random_state=0,
    )  # fmt: skip
    stage.fit(list(front.transform(clips[(clips["split"] == "train") & (clips["label"] == 1)])))
    return front, FrozenEstimator(stage)


def small_auddsr(of_all_machines, **params):
    front, stage = of_all_machines
    detector = AudDSRDetector(
        stage, detection_width=8, batch_size=8, lr=1e-3, max_iterations=100, window_length=64,
        calibration=None, random_state=0, **params,
    )  # fmt: skip
    return make_pipeline(front, detector)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "least"), [("fanstate", 0.95), ("slider", 0.90)])
def test_auddsr_finds_faults(real_data, of_all_machines, name, least):
    scored = evaluate_machine(small_auddsr(of_all_machines), machine(real_data, name))
    assert roc_auc_score(scored["label"], scored["score"]) >= least


@pytest.mark.slow
def test_auddsr_as_a_member(real_data, of_all_machines):
    fan = machine(real_data, "fanstate")
    member = small_auddsr(of_all_machines, max_epochs=3)
    fused = FusionDetector(
        [("auddsr", member), ("statistics", make_recipe("statistics-mahalanobis"))],
        fusion="zscore", cv=2,
    )  # fmt: skip
    fused.fit(training_clips(fan))
    held_out = held_out_clips(fan)
    assert roc_auc_score(held_out["label"], fused.score_samples(held_out)) >= 0.95


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The weights are drawn at random")
@pytest.mark.parametrize(
    "detector",
    [
        KNNDetector(),
        CLVAEDetector(
            hidden_layer_sizes=(64, 32), latent_features=16, max_epochs=5, calibration=2,
            random_state=0, threshold="quantile",
        ),
    ],
)  # fmt: skip
def test_embeddings_of_files_get_to_a_decision(real_data, tmp_path, detector):
    fan = machine(real_data, "fanstate")
    train, held_out = training_clips(fan).iloc[::3], held_out_clips(fan).iloc[::10]
    embedding = PANNsEmbedding(weights="random", random_state=0, memory=str(tmp_path))
    pipeline = make_pipeline(embedding, detector).fit(train)
    assert pipeline[-1].n_features_in_ == 3776
    scores = pipeline.score_samples(held_out)
    assert len(np.unique(scores)) == len(held_out)
    np.testing.assert_array_equal(pipeline.predict(held_out) == -1, scores < pipeline[-1].offset_)


def n_trained(cache):
    return len(list(cache.rglob("train_net/*/output.pkl")))


@pytest.fixture(scope="module")
def fans(real_data):
    table = machine(real_data, "fanstate")
    return training_clips(table).iloc[:12], held_out_clips(table).iloc[::5]


def small(**params):
    settings = {
        "hidden_layer_sizes": (32,),
        "max_epochs": 3,
        "random_state": 0,
        "threshold": "quantile",
        "calibration": None,
    } | params
    detector = OEAutoencoder(**settings)
    return make_pipeline(LogMel(n_mels=32), detector)


def small_aegan(**params):
    settings = {
        "window_length": 64, "hop": 16, "width": 2, "latent_features": 16, "batch_size": 16,
        "max_epochs": 2, "random_state": 0, "threshold": "quantile", "calibration": None,
    }  # fmt: skip
    return make_pipeline(LogMel(n_fft=2048, n_mels=64), AEGANDetector(**(settings | params)))


@pytest.mark.parametrize("make", [small, small_aegan])
def test_paths_in_decisions_out(fans, make):
    train, held_out = fans
    pipeline = make().fit(train["path"].tolist())
    scores = pipeline.score_samples(held_out["path"].tolist())
    assert scores.shape == (len(held_out),)
    np.testing.assert_array_equal(pipeline.predict(held_out) == -1, scores < pipeline[-1].offset_)


@pytest.mark.parametrize("make", [small, small_aegan])
def test_dump_and_load_in_a_new_process(fans, tmp_path, make):
    train, held_out = fans
    pipeline = make().fit(train)
    paths = held_out["path"].tolist()
    joblib.dump((pipeline, paths), tmp_path / "model.joblib")
    code = (
        "import joblib, numpy, torch; torch.set_num_threads({})\n"
        "model, paths = joblib.load('model.joblib')\n"
        "numpy.save('scores.npy', model.score_samples(paths))"
    )
    import torch

    code = code.format(torch.get_num_threads())
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "scores.npy"), pipeline.score_samples(paths))


def test_grid_search(fans, tmp_path):
    import pandas as pd

    clips = pd.concat(fans)
    search = GridSearchCV(
        small(memory=str(tmp_path)),
        {
            "oeautoencoder__anomaly_score": ["reconstruction", "mahalanobis"],
            "oeautoencoder__lr": [1e-3, 1e-2],
            "logmel__n_mels": [16, 32],
        },
        scoring="roc_auc",
        cv=PredefinedSplit(np.where(clips["split"] == "test", 0, -1)),
    ).fit(clips, clips["label"].to_numpy())
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    trained = n_trained(tmp_path)
    assert trained == 2 * 2 + 1  # lr x n_mels, each once, and the refit on all normal clips
    assert search.score_samples(clips["path"].tolist()).shape == (len(clips),)


def test_honest_search_by_the_official_score(real_data, tmp_path):
    clips = machine(real_data, "fanstate").iloc[::2].reset_index(drop=True)
    search = GridSearchCV(
        small(memory=str(tmp_path), max_epochs=10, lr=1e-2),
        {
            "oeautoencoder__anomaly_score": ["reconstruction", "mahalanobis"],
            "oeautoencoder__pooling": ["mean", "max"],
        },
        scoring=dcase_scorer(2020, multimetric=True),
        refit="official",
        cv=NormalOnlySplit(3),
    ).fit(clips, clips["label"])
    assert n_trained(tmp_path) == 3 + 1  # each fold once, and the refit
    assert search.best_score_ > 0.9
    assert {"mean_test_auc", "mean_test_pauc", "mean_test_official"} <= set(search.cv_results_)


def test_search_over_the_scores_of_aegan(real_data, tmp_path):
    clips = machine(real_data, "fanstate").iloc[::4].reset_index(drop=True)
    clips = clips.drop(columns="split")  # so that test clips are learnt from, too
    search = GridSearchCV(
        small_aegan(memory=str(tmp_path), max_epochs=1),
        {
            "aegandetector__anomaly_score": ["sample_l2", "latent_l1", "embedding_knn"],
            "aegandetector__pooling": ["mean", "max"],
        },
        scoring=dcase_scorer(2020),
        cv=NormalOnlySplit(2),
    ).fit(clips, clips["label"])
    assert n_trained(tmp_path) == 2 + 1  # each fold once, and the refit
    assert len(search.cv_results_["params"]) == 6


def test_clips_of_other_machines_and_lengths(fans, real_data):
    train, _ = fans
    others = load_dcase(real_data, machines=["ToyCar", "ToyConveyor", "pump"])
    pipeline = small(max_epochs=30, lr=1e-2).fit(train)
    with pytest.warns(UserWarning, match="dB quieter than those that were learnt from"):
        scores = pipeline.score_samples(others)
    assert len({*pipeline[0].transform(others)[0].shape}) == 2
    assert (scores < pipeline[-1].offset_).mean() > 0.9
