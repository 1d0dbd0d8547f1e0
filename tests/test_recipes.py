"""Recipes: whole pipelines by name."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sklasd import AEGANDetector, LogMel, OEAutoencoder, list_recipes, make_recipe


def test_dcase_autoencoder_is_the_defaults():
    logmel, detector = (step for _, step in make_recipe("dcase-autoencoder").steps)
    assert repr(logmel) == repr(LogMel(channel=0))
    assert repr(detector) == repr(OEAutoencoder())


def test_dcase_autoencoder_hears_the_near_microphone(tmp_path, rng):
    """As the baseline of 2026; recordings of one channel are read as ever."""
    near, far = rng.normal(size=(2, 8000)).astype(np.float32) / 10
    sounds = {"stereo": np.stack([near, far], axis=1), "mono": near}
    paths = [tmp_path / f"{name}.wav" for name in sounds]
    for path, sound in zip(paths, sounds.values(), strict=True):
        soundfile.write(path, sound, 16000, subtype="FLOAT")
    stereo, mono, array = make_recipe("dcase-autoencoder")[0].transform([*paths, near])
    np.testing.assert_array_equal(stereo, mono)
    np.testing.assert_array_equal(mono, array)


@pytest.mark.parametrize("name", list_recipes())
def test_each_makes_a_new_pipeline(name):
    assert make_recipe(name) is not make_recipe(name)


def test_aegan_is_the_defaults():
    logmel, detector = (step for _, step in make_recipe("aegan-ad").steps)
    assert repr(logmel) == repr(LogMel(n_fft=2048, top_db=80))
    assert repr(detector) == repr(AEGANDetector())


AEGAN_SETTINGS = {
    "bearing": {"first_norm": False},
    "fan": {"first_norm": False},
    "gearbox": {"norm": "batch", "matching": "mean_std"},
    "slider": {},
    "ToyCar": {"first_norm": False, "betas": (0.0, 0.999)},
    "fan-2020": {"matching_weight": 1.0, "max_epochs": 50},
    "pump-2020": {"matching": "mean_std", "matching_weight": 1.0, "max_epochs": 50},
    "slider-2020": {"norm": "batch", "matching_weight": 1.0, "max_epochs": 50},
    "ToyCar-2020": {"matching": "mean_std", "matching_weight": 1.0, "max_epochs": 50},
    "ToyConveyor-2020": {"matching_weight": 0.05, "max_epochs": 50},
    "valve-2020": {"norm": "batch", "matching_weight": 0.05, "max_epochs": 50},
}  # as the released configurations say


@pytest.mark.parametrize("machine", AEGAN_SETTINGS)
def test_aegan_of_a_machine(machine):
    params = make_recipe(f"aegan-ad:{machine}")[-1].get_params()
    defaults = AEGANDetector().get_params()
    changed = {name: v for name, v in params.items() if v != defaults[name]}
    assert changed == AEGAN_SETTINGS[machine]
    if machine.endswith("2020"):  # stated there, not only left at the default
        assert (params["betas"], params["first_norm"]) == ((0.5, 0.999), True)


def test_every_machine_of_aegan_is_in_the_documentation():
    page = Path(__file__).parents[1] / "docs" / "recipes.md"
    found = {}
    for row in re.findall(r"^\| `aegan-ad:(.+)$", page.read_text(encoding="utf-8"), re.M):
        name, norm, matched, weight, betas, first_norm, _ = (c.strip() for c in row.split("|")[:-1])
        found[name.rstrip("`")] = {
            "norm": norm,
            "matching": {"means": "mean", "means and deviations": "mean_std"}[matched],
            "matching_weight": float(weight),
            "betas": tuple(map(float, betas.split(","))),
            "first_norm": first_norm == "yes",
        }
    assert list(found) == list(AEGAN_SETTINGS)
    for name, settings in found.items():
        params = make_recipe(f"aegan-ad:{name}")[-1].get_params()
        assert settings == {key: params[key] for key in settings}, name


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
    members = make_recipe("ensemble")[-1].members()
    assert len(members) == 4
    assert len({member.front_key for member in members}) == 2


def test_what_is_unknown_is_told():
    with pytest.raises(ValueError, match=r"recipe 'dcase'; there are statistics, statistics-m"):
        make_recipe("dcase")
    with pytest.raises(ValueError, match=r"no parameter 'logmel__mels'; it has .*logmel__n_me"):
        make_recipe("dcase-autoencoder", logmel__mels=64)
