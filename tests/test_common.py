"""Every detector against every check."""

import pytest

from sklasd import (
    AEGANDetector,
    CLVAEDetector,
    CVAEDetector,
    FusionDetector,
    GaussianMixtureDetector,
    KNNDetector,
    MahalanobisDetector,
    OEAutoencoder,
    StatisticsDetector,
    UNetInpaintDetector,
)
from sklasd.testing import detector_checks

DETECTORS = [
    OEAutoencoder(
        hidden_layer_sizes=(32,), latent_features=4, batch_size=32, max_epochs=30, lr=1e-2,
        random_state=0,
    ),
    UNetInpaintDetector(
        window_length=16, hop=16, patch_size=4, n_masked=0.5, n_masks=2, width=2, batch_size=32,
        max_epochs=20, lr=1e-2, random_state=0,
    ),
    AEGANDetector(
        window_length=32, hop=8, width=2, latent_features=16, batch_size=16, max_epochs=20,
        lr=2e-3, random_state=0,
    ),
    CLVAEDetector(
        hidden_layer_sizes=(32, 16), latent_features=4, batch_size=12, max_epochs=40, lr=1e-2,
        random_state=0,
    ),
    CVAEDetector(
        hidden_layer_sizes=(32, 16), latent_features=4, batch_size=12, max_epochs=40, lr=1e-2,
        random_state=0,
    ),
    KNNDetector(),
    MahalanobisDetector(),
    GaussianMixtureDetector(n_components=1, random_state=0),
    StatisticsDetector(("quantiles", "deviation")),
    FusionDetector(
        [("quantiles", StatisticsDetector()), ("shape", StatisticsDetector("shape"))], cv=2
    ),
    FusionDetector([("near", KNNDetector()), ("distance", MahalanobisDetector())], cv=2),
]  # fmt: skip
SLOW = {"UNetInpaintDetector-check_as_sklearn", "AEGANDetector-check_as_sklearn"}


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(check, id=name, marks=[pytest.mark.slow] if name in SLOW else [])
        for name, check in (
            (f"{type(detector).__name__}-{name}", check)
            for detector in DETECTORS
            for name, check in detector_checks(detector)
        )
    ],
)
def test_detector(check):
    check()


def test_the_suite_finds_a_bad_detector():
    class Careless(OEAutoencoder):
        """Scores the batch, not the clip, and forgets the sign."""

        def _score_samples(self, spectrograms, index=None, section=None):
            scores = super()._score_samples(spectrograms, index, section)
            return scores.mean() - scores

    bad = Careless(hidden_layer_sizes=(8,), max_epochs=1, threshold="quantile", random_state=0)
    failed = []
    for name, check in detector_checks(bad):
        if name in {"check_company_does_not_matter", "check_planted_fault_is_found"}:
            with pytest.raises(AssertionError):
                check()
            failed.append(name)
    assert len(failed) == 2
