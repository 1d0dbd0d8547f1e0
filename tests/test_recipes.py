"""Recipes: whole pipelines by name."""

import pytest

from sklasd import LogMel, OEAutoencoder, list_recipes, make_recipe


def test_dcase_autoencoder_is_the_defaults():
    logmel, detector = (step for _, step in make_recipe("dcase-autoencoder").steps)
    assert repr(logmel) == repr(LogMel())
    assert repr(detector) == repr(OEAutoencoder())


@pytest.mark.parametrize("name", list_recipes())
def test_each_makes_a_new_pipeline(name):
    assert make_recipe(name) is not make_recipe(name)


def test_parameters_are_set():
    pipeline = make_recipe(logmel__n_mels=64, oeautoencoder__lr=0.01)
    assert pipeline[0].n_mels == 64
    assert pipeline[1].lr == 0.01


def test_what_is_unknown_is_told():
    with pytest.raises(ValueError, match=r"recipe 'dcase'; there are dcase-autoencoder, unet"):
        make_recipe("dcase")
    with pytest.raises(ValueError, match=r"no parameter \['logmel__mels'\]; it has .*logmel__n_me"):
        make_recipe(logmel__mels=64)
