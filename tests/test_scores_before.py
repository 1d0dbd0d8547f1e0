"""Scores, thresholds and decisions of every detector, compared with stored ones.

A refactoring must not change a score. ``scores_before.json`` holds what each case below gave
before it. On the machine and with the library versions that wrote the file, everything must be
equal to the last bit. Elsewhere other instruction sets and other versions of BLAS and torch round
sums differently, so that scores can only be close. Offsets and decisions are not compared there: a
gamma fit to twenty scores turns a difference in the last digits into one that everybody can see.
Nor are the cases whose training does the same, which `DIVERGING` lists.

``python tests/test_scores_before.py --write`` writes the file anew. Do this only after a change
that is meant to change scores, and say so in the commit.
"""

import argparse
import json
import platform
import warnings
from functools import cache
from pathlib import Path

import librosa
import numpy as np
import pandas as pd
import pytest
import scipy
import sklearn
import torch
from sklearn.base import clone
from sklearn.ensemble import IsolationForest
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from sklasd import (
    AEGANDetector,
    AudDSRDetector,
    Augmented,
    ClipStatistics,
    CLVAEDetector,
    CVAEDetector,
    DiscreteAutoencoder,
    FusionDetector,
    GroupedDetector,
    KNNDetector,
    LogMel,
    MahalanobisDetector,
    OEAutoencoder,
    OEMobileNetDetector,
    SectionMobileNetDetector,
    StatisticsDetector,
    STFTImage,
    UNetInpaintDetector,
    make_pipeline,
    make_recipe,
)
from sklasd.backends import GaussianMixtureDetector
from sklasd.datasets import make_machine_clips

STORED = Path(__file__).with_name("scores_before.json")
# Their scores differed in the first five digits without AVX2 (ATEN_CPU_CAPABILITY=default).
DIVERGING = {
    "recipe_unet_inpaint", "recipe_auddsr", "recipe_auddsr_annot", "recipe_oe_mobilenet",
    "recipe_mobilenet_sections", "recipe_cl_vae", "recipe_cvae", "recipe_panns_mahalanobis",
    "fusion_of_classifiers", "autoencoder_exposed", "unet", "auddsr", "oe_mobilenet",
    "oe_mobilenet_on_images", "section_mobilenet", "cl_vae", "cvae",
}  # fmt: skip
CASES = {}  # name: a function that fits something and returns what `record` shall ask


def case(function):
    CASES[function.__name__] = function
    return function


# -- clips and rows --------------------------------------------------------------------------------


@cache
def fan():
    """Return waveforms and table: three sections with 8 training clips and 5 others each."""
    return make_machine_clips(
        "fan", n_train=8, n_test=4, n_anomalies=1, n_sections=3, target_share=0.25, duration=1.5,
        random_state=0,
    )  # fmt: skip


@cache
def pump():
    """Return eight clips of another machine."""
    return make_machine_clips(
        "pump", n_train=8, n_test=0, n_anomalies=0, duration=1.5, random_state=1
    )[0]


def training(*names):
    """Return training clips, and columns of their table."""
    waves, table = fan()
    chosen = (table["split"] == "train").to_numpy()
    return waves[chosen], {name: table.loc[chosen, name].to_numpy() for name in names}


def held_back():
    """Return clips to score, a normal and an anomalous one of each section, and their sections."""
    waves, table = fan()
    tests = table[table["split"] == "test"]
    chosen = tests.groupby(["section", "label"], sort=False).head(1).index
    return waves[chosen], table.loc[chosen, "section"].to_numpy()


def later():
    """Return normal clips to recalibrate on, and their sections."""
    waves, table = fan()
    tests = table[(table["split"] == "test") & (table["label"] == 1)]
    chosen = tests.index.difference(tests.groupby("section").head(1).index)
    return waves[chosen], table.loc[chosen, "section"].to_numpy()


@cache
def mels(n_mels=32):
    """Return spectrograms of training clips, clips to score, later clips and the pump's."""
    front_end = LogMel(n_fft=1024, n_mels=n_mels)
    groups = (training()[0], held_back()[0], later()[0], pump())
    return tuple(np.asarray(front_end.fit_transform(waves)) for waves in groups)


def rows(n_rows=60, n_features=6, seed=0):
    """Return correlated rows with no negative values, six new ones, domains, sections, groups."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(n_features, n_features))
    shift = rng.normal(size=(3, n_features))
    section = np.arange(n_rows) % 3
    domain = np.where(np.arange(n_rows) % 4 == 0, "target", "source")
    X = rng.normal(size=(n_rows, n_features)) @ mixing + shift[section]
    X += 2.0 * (domain == "target")[:, None]
    new = rng.normal(size=(6, n_features)) @ mixing + shift[[0, 1, 2, 0, 1, 2]]
    new[3:] += 3.0
    X, new = np.abs(X), np.abs(new)
    return X, new, domain, np.array(["00", "01", "02"])[section], np.arange(n_rows) // 4


# -- what is stored of a case ----------------------------------------------------------------------


def shorten(values):
    """List up to three numbers; of more, the first one, their sum and a weighted sum."""
    values = np.asarray(values, dtype=float).ravel()
    if len(values) <= 3:
        return values.tolist()
    weights = np.cos(np.arange(len(values)))  # a plain sum would not notice another order
    return [float(values[0]), float(values.sum()), float((values * weights).sum())]


def signs(decisions):
    return "".join("+" if each == 1 else "-" for each in decisions)


def decider(estimator):
    """Return the step that decides, and a function that makes its input of clips."""
    if not isinstance(estimator, Pipeline):
        return estimator, lambda X: X
    if len(estimator) == 1:
        return estimator[-1], lambda X: X
    return estimator[-1], lambda X: estimator[:-1].transform(X)


def record(estimator, X, **params):
    """Return what a fitted estimator says of clips, and how it decides."""
    detector, features_of = decider(estimator)
    features = features_of(X)
    found = {
        "scores": shorten(estimator.score_samples(X, **params)),
        "predict": signs(estimator.predict(X, **params)),
    }
    models = getattr(detector, "estimators_", None)
    deciding = (
        [decider(each)[0] for each in models.values()] if isinstance(models, dict) else [detector]
    )
    found["calibration"] = [shorten(each.calibration_scores_) for each in deciding]
    found["offset"] = [float(each.offset_) for each in deciding]
    if all(getattr(each, "calibration", 0) is not None for each in deciding):
        found["p_values"] = shorten(detector.p_values(features, **params))
    if hasattr(detector, "anomaly_map"):
        maps = detector.anomaly_map(features[:1])
        found["map"] = float(np.sum(maps[0], dtype=float))
    if hasattr(detector, "contributions"):
        found["contributions"] = float(np.sum(detector.contributions(features), dtype=float))
    if hasattr(detector, "score_table"):
        table = detector.score_table(features, **params)
        found["columns"] = " ".join(map(str, table))
        found["table"] = shorten(table.sum())
    return found


def fitted(estimator, X, new, then=None, ask=None, **metadata):
    """Fit, record, recalibrate on other normal clips if there are any, and record once more."""
    X, new = np.asarray(X), np.asarray(new)
    estimator.fit(X, **metadata)
    found = {"fit": record(estimator, new, **(ask or {}))}
    if then is not None:
        detector, features_of = decider(estimator)
        detector.recalibrate(features_of(then))
        found["recalibrated"] = record(estimator, new, **(ask or {}))
    return found


# -- recipes: small, and of each family one --------------------------------------------------------

NET = {"max_epochs": 1, "batch_size": 32, "random_state": 0, "verbose": 0, "device": "cpu"}
DENSE = {"hidden_layer_sizes": (8,), "latent_features": 3, **NET}
VAE = {"hidden_layer_sizes": (16, 8), "latent_features": 4, **NET, "max_epochs": 2}
PANNS = {"model": "cnn6", "weights": "random", "random_state": 0, "device": "cpu"}
AEGAN = {"window_length": 32, "hop": 8, "width": 2, "latent_features": 8, **NET}
DSR = {
    "detection_width": 4, "bands": (4, 16), **NET, "batch_size": 8, "max_iterations": 3,
}  # fmt: skip
del DSR["max_epochs"]
CODES = {
    "n_features": 8, "codebook_size": 16, "window_length": 32, "hop": 16, "batch_size": 8,
    "max_iterations": 4, "random_state": 0, "verbose": 0, "device": "cpu",
}  # fmt: skip
UNET = {
    "window_length": 16, "hop": 16, "patch_size": 4, "n_masked": 0.75, "n_masks": 8, "width": 2,
    **NET,
}  # fmt: skip
IMAGE = {"width_multiplier": 0.1, "window_length": 32, "hop": 32, **NET, "batch_size": 8}
SECTIONS = {"width_multiplier": 0.1, "window_length": 16, "hop": 8, "scoring_hop": 16, **NET}


def of_step(name, params):
    return {f"{name}__{key}": value for key, value in params.items()}


def recipe(name, front_end, params, *, exposed=False, metadata=(), n_samples=None, **front):
    """Fit a recipe to waveforms, with the parameters and the metadata of its detector."""
    pipeline = make_recipe(name)
    detector = pipeline.steps[-1][0]
    pipeline.set_params(
        **of_step(front_end, front), **of_step(detector, {"contamination": 0.2} | params)
    )
    X, told = training(*metadata)
    if exposed:
        told = {key: np.concatenate([v, np.full(8, v[0])]) for key, v in told.items()}
        told["exposed"] = np.arange(len(X) + 8) >= len(X)
        X = np.concatenate([X, pump()])
    new, section = held_back()
    X, new = X[:, :n_samples], new[:, :n_samples]
    ask = {"section": section} if "section" in metadata else {}
    pipeline.fit(X, **of_step(detector, told))
    return {"fit": record(pipeline, new, **ask), "scores": shorten(pipeline.score_samples(new))}


@case
def recipe_statistics():
    return recipe("statistics", "logmel", {}, n_mels=16)


@case
def recipe_statistics_mahalanobis():
    return recipe("statistics-mahalanobis", "logmel", {}, n_mels=16)


@case
def recipe_twfr_gmm():
    return recipe("twfr-gmm", "logmel", {"backend__random_state": 0}, n_mels=8)


@case
def recipe_twfr_gmm_of_a_machine():
    return recipe("twfr-gmm:valve", "logmel", {"backend__random_state": 0}, n_mels=8)


@case
def recipe_ensemble():
    pipeline = make_recipe("ensemble")
    small = of_step("autoencoder__oeautoencoder", DENSE)
    bands = {
        f"{name}__logmel__n_mels": 16
        for name in ("quantiles", "shape", "autocorrelation", "autoencoder")
    }
    params = {**small, **bands, "contamination": 0.2, "cv": 4}
    pipeline.set_params(**of_step("fusiondetector", params))
    return fitted(pipeline, training()[0], held_back()[0], later()[0])


@case
def recipe_dcase_autoencoder():
    return recipe("dcase-autoencoder", "logmel", DENSE, n_mels=16)


@case
def recipe_oe_autoencoder():
    return recipe("oe-autoencoder", "logmel", DENSE | {"calibration": 4}, exposed=True, n_mels=16)


@case
def recipe_unet_inpaint():
    return recipe("unet-inpaint", "logmel", UNET | {"n_masks": 4, "calibration": 4}, n_mels=16)


@case
def recipe_auddsr():
    stage = DiscreteAutoencoder(**CODES)
    return recipe("auddsr", "logmel", DSR | {"autoencoder": stage, "calibration": 2}, n_mels=32)


@case
def recipe_auddsr_annot():
    params = DSR | {"autoencoder": DiscreteAutoencoder(**CODES), "calibration": 2}
    return recipe("auddsr-annot", "logmel", params, exposed=True, n_mels=32)


@case
def recipe_oe_mobilenet():
    params = IMAGE | {"weights": "random", "calibration": 3, "threshold": "mean_confidence"}
    return recipe("oe-mobilenet", "stftimage", params, exposed=True, height=32, width=32)


@case
def recipe_mobilenet_sections():
    params = SECTIONS | {"calibration": 2}
    metadata = ("section", "domain")
    return recipe("mobilenet-sections", "logmel", params, metadata=metadata, n_mels=16)


@case
def recipe_cl_vae():
    return recipe(
        "cl-vae",
        "pannsembedding",
        VAE | {"calibration": 4},
        metadata=("section",),
        n_samples=8000,
        **PANNS,
    )


@case
def recipe_cvae():
    return recipe(
        "cvae",
        "pannsembedding",
        VAE | {"calibration": 4},
        metadata=("section",),
        n_samples=8000,
        **PANNS,
    )


@case
def recipe_panns_knn():
    return recipe("panns-knn", "pannsembedding", {}, n_samples=8000, **PANNS)


@case
def recipe_panns_mahalanobis():
    return recipe(
        "panns-mahalanobis", "pannsembedding", {}, metadata=("domain",), n_samples=8000, **PANNS
    )


@case
def recipe_aegan_ad():
    return recipe("aegan-ad", "logmel", AEGAN | {"calibration": 2}, n_mels=32)


@case
def recipe_aegan_ad_of_a_machine():
    return recipe("aegan-ad:gearbox", "logmel", AEGAN | {"calibration": 2}, n_mels=32)


@case
def recipe_aegan_ad_of_another_machine():
    return recipe("aegan-ad:ToyCar", "logmel", AEGAN | {"calibration": 2}, n_mels=32)


# -- back ends -------------------------------------------------------------------------------------

KNN = {
    "plain": {},
    "mean_of_3": {"n_neighbors": 3},
    "max_of_3": {"n_neighbors": 3, "aggregation": "max"},
    "sum_of_3": {"n_neighbors": 3, "aggregation": "sum"},
    "cosine": {"metric": "cosine"},
    "manhattan": {"metric": "manhattan"},
    "ratio": {"density": "ratio"},
    "difference": {"density": "difference", "n_density_neighbors": 2},
    "per_domain": {"per_domain": True},
    "ratio_per_domain": {"density": "ratio", "per_domain": True, "n_neighbors": 2},
    "quantile": {"threshold": "quantile"},
    "conformal": {"threshold": "conformal"},
    "callable": {"threshold": np.median},
}
GAUSSIAN = {
    "plain": {},
    "sample": {"covariance": "sample"},
    "shrunk": {"covariance": "shrunk"},
    "pooled": {"per_domain": False},
    "shrunk_pooled": {"covariance": "shrunk", "per_domain": False},
}
MIXTURE = {
    "two": {"n_components": 2, "random_state": 0},
    "regular": {"n_components": 2, "reg_covar": 1e-3, "random_state": 0},
}
BACKENDS = {
    **{f"knn_{name}": KNNDetector(**params) for name, params in KNN.items()},
    **{f"mahalanobis_{name}": MahalanobisDetector(**p) for name, p in GAUSSIAN.items()},
    **{f"mixture_{name}": GaussianMixtureDetector(**p) for name, p in MIXTURE.items()},
}


def backend_case(detector):
    """Fit a back end with domains; with "auto" in closed form, by folds, and by neither."""
    X, new, domain, _, groups = rows(40)
    then = rows(12, seed=1)[0]
    return {
        "auto": fitted(clone(detector), X, new, then, domain=domain),
        "groups": fitted(clone(detector), X, new, domain=domain, groups=groups),
        "three": fitted(clone(detector).set_params(calibration=3), X, new, domain=domain),
        "none": fitted(clone(detector).set_params(calibration=None), X, new, then),
    }


def many_rows_case(detector, n_rows):
    """Fit to so many rows that "auto" deals them otherwise, in groups and without."""
    X, new, domain, _, groups = rows(n_rows)
    return {
        "auto": fitted(clone(detector), X, new, domain=domain),
        "groups": fitted(clone(detector), X, new, groups=groups),
    }


for key, each in BACKENDS.items():
    CASES[key] = lambda each=each: backend_case(each)
for n_rows in (130, 250, 1100):
    for key in ("knn_plain", "mahalanobis_plain", "mixture_two"):
        CASES[f"{key}_of_{n_rows}"] = lambda key=key, n=n_rows: many_rows_case(BACKENDS[key], n)


@case
def mixture_auto():
    """Choose the number of components for each fold."""
    X, new, *_ = rows(20, 3)
    detector = GaussianMixtureDetector(random_state=0, calibration=3)
    return fitted(detector, X, new, rows(12, 3, seed=1)[0])


@case
def backend_splitter():
    X, new, *_ = rows()
    splitter = KFold(4, shuffle=True, random_state=3)
    return fitted(KNNDetector(calibration=splitter), X, new)


@case
def labels_and_exposed():
    """Fit to normal, anomalous and exposed rows."""
    X, new, *_ = rows()
    y = np.where(np.arange(len(X)) % 7 == 0, -1, 1)
    exposed = (np.arange(len(X)) % 11 == 0) & (y == 1)
    return fitted(MahalanobisDetector(), X, new, y=y, exposed=exposed)


# -- statistics ------------------------------------------------------------------------------------

STATISTICS = {
    "knn": {"backend": KNNDetector()},
    "scaled_knn": {"backend": make_pipeline(StandardScaler(), KNNDetector(n_neighbors=2))},
    "mixture": {
        "statistics": ClipStatistics("ranked_mean"),
        "backend": GaussianMixtureDetector(n_components=2, random_state=0),
    },
    "mahalanobis": {"backend": MahalanobisDetector(covariance="shrunk")},
    "forest": {"backend": IsolationForest(n_estimators=10, random_state=0), "calibration": 3},
    "shape": {"statistics": "shape"},
    "modulation": {"statistics": ["modulation", "autocorrelation"]},
    "three": {"calibration": 3},
    "none": {"calibration": None},
    "deviation": {"statistics": ["mean", "deviation"], "threshold": "conformal"},
}


def statistics_case(params):
    X, new, then, _ = mels(16)
    metadata = training("section", "domain")[1]
    detector = StatisticsDetector(**{"contamination": 0.2} | params)
    groups = np.arange(len(X)) // 3
    found = {"alone": fitted(clone(detector), X, new, then)}
    if detector.calibration is not None:
        found["told"] = fitted(clone(detector), X, new, groups=groups, **metadata)
    return found


for key, each in STATISTICS.items():
    CASES[f"statistics_{key}"] = lambda each=each: statistics_case(each)
for n_rows in (130, 250):

    def many_clips(n=n_rows):
        """Fit to many short spectrograms."""
        X = 10 * np.random.default_rng(0).normal(size=(n, 4, 12))
        new = 10 * np.random.default_rng(1).normal(size=(6, 4, 12))
        new[3:] += 6
        by_neighbors = StatisticsDetector(backend=KNNDetector())
        return {
            "gaussian": fitted(StatisticsDetector(), X, new),
            "knn": fitted(by_neighbors, X, new),
        }

    CASES[f"statistics_of_{n_rows}"] = many_clips


# -- fusion ----------------------------------------------------------------------------------------

RULES = ("log", "fisher", "zscore", "rank", "max", "min")


def members():
    return [
        ("near", KNNDetector()),
        ("far", MahalanobisDetector(covariance="shrunk")),
        ("third", KNNDetector(n_neighbors=3, metric="manhattan")),
    ]


def fusion_case(rule):
    X, new, domain, section, groups = rows(36)
    then = rows(12, seed=1)[0]
    fusion = FusionDetector(members(), fusion=rule)
    told = {"domain": domain, "section": section}
    found = {
        "auto": fitted(clone(fusion), X, new, then, **told),
        "none": fitted(clone(fusion).set_params(calibration=None, cv=3), X, new),
    }
    if rule in {"log", "fisher"}:  # each rule is fused the same way where clips are held out
        found["groups"] = fitted(clone(fusion), X, new, **told, groups=groups)
        found["three"] = fitted(clone(fusion).set_params(calibration=3, cv=4), X, new, **told)
    return found


for rule in RULES:
    CASES[f"fusion_{rule}"] = lambda rule=rule: fusion_case(rule)
for n_rows in (130, 250):

    def many_fused(n=n_rows):
        X, new, domain, _, groups = rows(n)
        fusion = FusionDetector(members())
        return {
            "auto": fitted(clone(fusion), X, new, domain=domain),
            "groups": fitted(clone(fusion), X, new, groups=groups),
        }

    CASES[f"fusion_of_{n_rows}"] = many_fused


@case
def fusion_weights():
    X, new, *_ = rows(40)
    fusion = FusionDetector([*members(), ("unused", "drop")], weights=[1, 2, 0.5, 9], cv=4)
    return fitted(fusion, X, new)


@case
def fusion_nested():
    """Fuse a fusion with a detector: front ends at three levels, groups, folds, metadata."""
    X, told = training("section", "domain")
    inner = FusionDetector(
        [
            ("shape", make_pipeline(LogMel(n_mels=16), StatisticsDetector("shape"))),
            ("level", make_pipeline(LogMel(n_mels=16), StatisticsDetector(backend=KNNDetector()))),
        ],
        fusion="fisher",
    )
    rest = make_pipeline(LogMel(n_mels=16), OEAutoencoder(**DENSE, calibration=3))
    outer = [("inner", inner), ("net", rest)]
    new, groups = held_back()[0], np.arange(len(X)) // 2
    fusion = FusionDetector(outer, fusion="zscore", contamination=0.2, cv=2)
    by_fisher = clone(fusion).set_params(fusion="fisher")
    folds = clone(fusion).set_params(calibration=2)
    return {
        "zscore": fitted(fusion, X, new, later()[0], **told),
        "fisher": fitted(by_fisher, X, new, **told, groups=groups),
        "folds": fitted(folds, X, new, **told),
    }


@case
def fusion_of_classifiers():
    """Fuse detectors that tell sections apart, and score with the sections and without."""
    X, new, domain, section, _ = rows(45)
    fusion = FusionDetector(
        [("vae", CVAEDetector(**VAE)), ("near", KNNDetector())],
        fusion="zscore", cv=3, contamination=0.2,
    )  # fmt: skip
    ask = {"section": ["00", "01", "02"] * 2}
    return {
        "told": fitted(clone(fusion), X, new, ask=ask, section=section, domain=domain),
        "untold": fitted(clone(fusion), X, new, section=section),
        "three": fitted(
            clone(fusion).set_params(calibration=3), X, new, ask=ask, section=section
        ),
    }  # fmt: skip


@case
def fusion_of_spectrograms():
    X, new, then, other = mels(16)
    exposed = np.arange(len(X) + len(other)) >= len(X)
    by_forest = StatisticsDetector(backend=IsolationForest(n_estimators=10, random_state=0))
    fusion = FusionDetector(
        [
            ("statistics", StatisticsDetector()),
            ("net", OEAutoencoder(**DENSE)),
            ("forest", by_forest),
        ],
        fusion="zscore", cv=3, contamination=0.2,
    )  # fmt: skip
    return fitted(fusion, np.concatenate([X, other]), new, then, exposed=exposed)


# -- nets ------------------------------------------------------------------------------------------


def net_case(detector, n_mels, *, exposed=False, section=False, score_names=()):
    """Fit a net to spectrograms, and score by each of its scores."""
    X, new, then, other = mels(n_mels)
    metadata = training("section", "domain")[1] if section else {}
    if exposed:
        metadata = {k: np.concatenate([v, np.full(8, v[0])]) for k, v in metadata.items()}
        metadata["exposed"] = np.arange(len(X) + 8) >= len(X)
        X = np.concatenate([X, other])
    ask = {"section": held_back()[1]} if section else {}
    found = {"default": fitted(detector, X, new, None if section else then, ask=ask, **metadata)}
    for name in score_names:
        detector.set_params(anomaly_score=name)
        detector.recalibrate(then, **({"section": later()[1]} if section else {}))
        found[name] = record(detector, new, **ask)
    return found


@case
def autoencoder():
    names = ("mahalanobis", "mahalanobis_of_mean")
    return net_case(OEAutoencoder(**DENSE, contamination=0.2), 16, score_names=names)


@case
def autoencoder_exposed():
    losses = {}
    for loss in ("margin", "squashed"):
        detector = OEAutoencoder(
            **DENSE, exposure_loss=loss, pooling="max", contamination=0.2, calibration=3
        )
        losses[loss] = net_case(detector, 16, exposed=True, section=True)
    return losses


@case
def autoencoder_without_calibration():
    return net_case(OEAutoencoder(**DENSE, contamination=0.2, calibration=None), 16)


@case
def aegan():
    detector = AEGANDetector(
        **AEGAN, backend=KNNDetector(n_neighbors=2), contamination=0.2, calibration=3
    )
    names = (
        "sample_l1", "sample_l2", "latent_l1", "latent_l2", "latent_cosine", "embedding_knn",
        "embedding_lof", "embedding_cosine", "embedding_backend",
    )  # fmt: skip
    return net_case(detector, 32, score_names=names)


@case
def aegan_with_a_backend():
    backend = make_pipeline(StandardScaler(), IsolationForest(n_estimators=10, random_state=0))
    detector = AEGANDetector(
        **AEGAN, backend=backend, anomaly_score="embedding_backend", norm="batch",
        matching="mean_std", contamination=0.2, calibration=2,
    )  # fmt: skip
    return net_case(detector, 32)


@case
def unet():
    names = ("mean_of_masks", "full")
    detector = UNetInpaintDetector(**UNET, contamination=0.2, calibration=3)
    return net_case(detector, 16, score_names=names)


@case
def auddsr():
    """Train both stages together, and the second behind a first one of the user."""
    together = AudDSRDetector(
        DiscreteAutoencoder(**CODES), **DSR, contamination=0.2, calibration=2, n_segments=(1, 3)
    )
    other = AudDSRDetector(
        DiscreteAutoencoder(**CODES | {"codebook_update": "gradient"}), **DSR,
        replacement="nearest", contamination=0.2, calibration=None,
    )  # fmt: skip
    return {
        "codebook": net_case(together, 32, score_names=("map_max",)),
        "nearest": net_case(other, 32, exposed=True),
    }


@case
def oe_mobilenet():
    detector = OEMobileNetDetector(
        **IMAGE, weights="random", contamination=0.2, calibration=2, pooling="min"
    )
    return net_case(detector, 32, exposed=True)


@case
def oe_mobilenet_on_images():
    X = np.concatenate([training()[0], pump()])
    pipeline = make_pipeline(
        STFTImage(height=32, width=32, dtype="uint8"),
        OEMobileNetDetector(**IMAGE, weights="random", contamination=0.2, calibration=2),
    )
    exposed = np.arange(len(X)) >= len(X) - 8
    metadata = of_step("oemobilenetdetector", {"exposed": exposed})
    return fitted(pipeline, X, held_back()[0], later()[0], **metadata)


@case
def section_mobilenet():
    detector = SectionMobileNetDetector(**SECTIONS, contamination=0.2, calibration=2)
    return net_case(detector, 16, section=True, score_names=("log_odds",))


def sections_case(detector, score_names):
    """Fit a variational autoencoder to rows of three sections, told and untold of new ones'."""
    X, new, domain, section, _ = rows(45)
    then = rows(12, seed=1)[0]
    told = np.array(["00", "01", "02"] * 2)
    found = {
        "told": fitted(clone(detector), X, new, ask={"section": told}, section=section),
        "untold": fitted(clone(detector), X, new, then, section=section, domain=domain),
        "alone": fitted(clone(detector).set_params(calibration=2), X, new),
        "three": fitted(
            clone(detector).set_params(calibration=3), X, new, ask={"section": told},
            section=section,
        ),
    }  # fmt: skip
    own = clone(detector).fit(X, section=section)
    for name in score_names:
        own.set_params(anomaly_score=name)
        own.recalibrate(then, section=["00", "01", "02"] * 4)
        found[name] = record(own, new, section=told)
    return found


@case
def cl_vae():
    names = ("reconstruction", "elbo", "elbo_center")
    return sections_case(CLVAEDetector(**VAE, n_draws=2), names)


@case
def cl_vae_without_draws():
    X, new, _, section, _ = rows(45)
    detector = CLVAEDetector(**VAE, center_reduction="sum", calibration=3)
    return fitted(detector, X, new, section=section)


@case
def cvae():
    return sections_case(CVAEDetector(**VAE), ("reconstruction",))


# -- copies, groups --------------------------------------------------------------------------------


@case
def augmented():
    X, told = training("section", "domain")
    new, _ = held_back()
    found = {}
    for name, detector in {
        "statistics": StatisticsDetector(contamination=0.2),
        "net": OEAutoencoder(**DENSE, contamination=0.2, calibration=3),
        "fusion": FusionDetector(
            [("a", StatisticsDetector()), ("b", StatisticsDetector("shape"))], contamination=0.2
        ),
    }.items():
        pipeline = make_pipeline(LogMel(n_mels=16), detector)
        ranges = {"pitch_shift": None, "time_stretch": None, "gain": (-6, 6), "snr": (20, 40)}
        whole = Augmented(pipeline, copies=1, **ranges, random_state=0)
        found[name] = fitted(whole, X, new, later()[0], **told)
    exposed = np.arange(8) >= 5
    X = np.concatenate([X, pump()])[19:27]
    net = OEAutoencoder(**DENSE, contamination=0.4, calibration=2)
    found["exposed"] = fitted(
        Augmented(
            make_pipeline(LogMel(n_mels=16), net),
            copies=1, random_state=0,
        ),
        X, new, exposed=exposed,
    )  # fmt: skip
    return found


@case
def grouped():
    """Fit models of two machines by tables that have no other columns."""
    parts = []
    for machine in ("fan", "valve"):
        waves, table = make_machine_clips(
            machine, n_train=10, n_test=6, n_anomalies=2, duration=1.0, random_state=0
        )
        parts.append(table.assign(path=list(waves))[["path", "machine", "split", "label"]])
    clips = pd.concat(parts, ignore_index=True).sample(frac=1, random_state=0)
    train = clips.loc[clips["split"] == "train", ["path", "machine"]]
    tests = clips[clips["split"] == "test"]
    new = tests.groupby(["machine", "label"], sort=False).head(2)[["path", "machine"]]
    then = tests.loc[tests["label"] == 1, ["path", "machine"]]
    found = {}
    for name, pipeline in {
        "statistics": make_pipeline(LogMel(n_mels=8), StatisticsDetector(contamination=0.2)),
        "net": make_pipeline(
            LogMel(n_mels=8), OEAutoencoder(**DENSE, contamination=0.2, calibration=3)
        ),
    }.items():
        models = GroupedDetector(pipeline, expose_others=name == "net").fit(train)
        found[name] = {"fit": record_models(models, new)}
        models.recalibrate(then)
        found[name]["recalibrated"] = record_models(models, new)
    return found


def record_models(models, table):
    """Record models of groups, which take tables and give maps of each group's size."""
    deciding = [decider(each)[0] for each in models.estimators_.values()]
    return {
        "scores": shorten(models.score_samples(table)),
        "predict": signs(models.predict(table)),
        "calibration": [shorten(each.calibration_scores_) for each in deciding],
        "offset": [float(each.offset_) for each in deciding],
        "p_values": shorten(models.p_values(table)),
        "map": float(sum(np.sum(each, dtype=float) for each in models.anomaly_map(table))),
    }


# -- the test --------------------------------------------------------------------------------------


def fingerprint():
    """Return what decides how sums are rounded."""
    model = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), model)
    return {
        "processor": f"{model}, {torch.backends.cpu.get_cpu_capability()}",
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "scikit-learn": sklearn.__version__,
        "torch": torch.__version__,
        "librosa": librosa.__version__,
    }


def run(name):
    """Run a case on one thread, as sums over several are dealt by their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1), warnings.catch_warnings(action="ignore"):
            return json.loads(json.dumps(CASES[name]()))
    finally:
        torch.set_num_threads(before)


def flatten(found, path=""):
    """List each number or text with the way to it."""
    if not isinstance(found, dict | list):
        return {path: found}
    items = found.items() if isinstance(found, dict) else enumerate(found)
    parts = [flatten(value, f"{path}/{key}") for key, value in items]
    return {key: value for part in parts for key, value in part.items()}


def is_same(key, found, before, *, exactly):
    if exactly:
        return found == before
    if "/offset/" in key or key.endswith("/predict"):
        return True
    if isinstance(before, str):
        return found == before
    return np.isclose(found, before, rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def stored():
    return json.loads(STORED.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", CASES)
def test_scores_are_what_they_were(name, stored):
    exactly = fingerprint() == stored["fingerprint"]
    if not exactly and name in DIVERGING:
        pytest.skip("other hardware or other libraries train another net; see the docstring")
    found, before = flatten(run(name)), flatten(stored["cases"][name])
    assert set(found) >= set(before)  # methods that came later have no stored values
    changed = {
        key: f"{value} -> {found[key]}"
        for key, value in before.items()
        if not is_same(key, found[key], value, exactly=exactly)
    }
    assert not changed


def test_there_are_no_stored_cases_without_a_test(stored):
    assert sorted(stored["cases"]) == sorted(CASES)


def write(path):
    cases = {name: run(name) for name in CASES}
    lines = [
        f"{json.dumps(name)}: {json.dumps(found, separators=(',', ':'))}"
        for name, found in cases.items()
    ]
    head = f'{{"fingerprint": {json.dumps(fingerprint())},'
    text = f'{head}\n"cases": {{\n' + ",\n".join(lines) + "\n}}\n"
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the stored scores anew")
    if parser.parse_args().write:
        write(STORED)
