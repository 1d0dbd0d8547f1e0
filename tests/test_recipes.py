"""Recipes: whole pipelines by name."""

import pytest

from sklasd import AEGANDetector, LogMel, OEAutoencoder, list_recipes, make_recipe


def test_dcase_autoencoder_is_the_defaults():
    logmel, detector = (step for _, step in make_recipe("dcase-autoencoder").steps)
    assert repr(logmel) == repr(LogMel())
    assert repr(detector) == repr(OEAutoencoder())


@pytest.mark.parametrize("name", list_recipes())
def test_each_makes_a_new_pipeline(name):
    assert make_recipe(name) is not make_recipe(name)


def test_aegan_is_the_defaults():
    logmel, detector = (step for _, step in make_recipe("aegan-ad").steps)
    assert repr(logmel) == repr(LogMel(n_fft=2048, top_db=80))
    assert repr(detector) == repr(AEGANDetector())


@pytest.mark.parametrize(
    ("machine", "settings"),
    [
        ("bearing", {"first_norm": False}),
        ("gearbox", {"norm": "batch", "matching": "mean_std"}),
        ("ToyCar", {"first_norm": False, "betas": (0.0, 0.999)}),
        ("valve-2020", {"norm": "batch", "matching_weight": 0.05, "max_epochs": 50}),
    ],
)
def test_aegan_of_a_machine(machine, settings):
    params = make_recipe(f"aegan-ad:{machine}")[-1].get_params()
    defaults = AEGANDetector().get_params()
    assert {name: v for name, v in params.items() if v != defaults[name]} == settings


def test_parameters_are_set():
    pipeline = make_recipe("dcase-autoencoder", logmel__n_mels=64, oeautoencoder__lr=0.01)
    assert pipeline[0].n_mels == 64
    assert pipeline[1].lr == 0.01


def test_the_default_is_the_fused_statistics():
    assert repr(make_recipe()) == repr(make_recipe("statistics"))
    logmel, fusion = make_recipe()
    assert repr(logmel) == repr(LogMel(n_fft=2048))
    assert [member.statistics for _, member in fusion.estimators] == [
        "quantiles", "shape", "autocorrelation"
    ]  # fmt: skip


def test_twfr_gmm_of_a_machine():
    detector = make_recipe("twfr-gmm:valve")[-1]
    assert detector.statistics.decay == 0.46
    assert detector.backend.n_components == 2
    assert make_recipe("twfr-gmm")[-1].backend.n_components == "auto"


def test_members_of_the_ensemble_share_a_front_end():
    members = make_recipe("ensemble")[-1]._members()
    assert len(members) == 4
    assert len({member.front_key for member in members}) == 2


def test_what_is_unknown_is_told():
    with pytest.raises(ValueError, match=r"recipe 'dcase'; there are statistics, statistics-m"):
        make_recipe("dcase")
    with pytest.raises(ValueError, match=r"no parameter \['logmel__mels'\]; it has .*logmel__n_me"):
        make_recipe("dcase-autoencoder", logmel__mels=64)
