"""The hooks of the base classes, tried by throw-away detectors and by the guide's example."""

import ast
import inspect
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from throwaway import TellsApart, TwoStages, sections_and_exposed

from sklasd import FusionDetector, backends, detectors
from sklasd.base import BaseDetector, NetDetector
from sklasd.testing import check_detector, detector_checks, make_sounds

ROOT = Path(__file__).parents[1]
CASES = [
    (TellsApart(random_state=0), sections_and_exposed, "TellsApart"),
    (TwoStages(random_state=0), lambda n_clips: {}, "TwoStages"),
]


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(check, id=f"{kind}-{name}")
        for detector, metadata, kind in CASES
        for name, check in detector_checks(detector, fit_metadata=metadata)
    ],
)
def test_throwaway_detectors(check):
    check()


@pytest.mark.parametrize("kind", [TellsApart, TwoStages])
def test_they_are_short(kind):
    assert len(inspect.getsource(kind).splitlines()) < 60


def test_what_a_detector_needs_is_told_before_training():
    X = make_sounds(n_clips=6).embedded().train
    with pytest.raises(ValueError, match="TellsApart needs section and exposed"):
        TellsApart().fit(X, section=[0, 1] * 3)


def test_targets_are_those_of_each_windows_clip():
    sounds = make_sounds(n_clips=12).embedded()
    detector = TellsApart(random_state=0, calibration=None, threshold="quantile")
    detector.fit(sounds.train, **sections_and_exposed(12))
    assert detector.net_.module_.weigh.out_features == 2 + 1
    assert detector.sections_.tolist() == [0, 1]
    assert len(detector.calibration_scores_) == 8


def test_a_stage_of_iterations():
    sounds = make_sounds(n_clips=12)
    detector = TwoStages(random_state=0, calibration=None).fit(sounds.train)
    assert list(detector.nets_) == ["first", "second"]
    assert [len(net.history) for net in detector.nets_.values()] == [20, 3]  # 100, 100, 50
    first, second = (net.module_ for net in detector.nets_.values())
    torch.testing.assert_close(first.state_dict(), second.first.state_dict())
    assert len(detector.loss_curve_) == 3


def test_another_second_stage_finds_the_first_in_the_cache(tmp_path):
    sounds = make_sounds(n_clips=12)
    detector = TwoStages(random_state=0, calibration=None, memory=str(tmp_path)).fit(sounds.train)
    detector.set_params(n_iterations=100).fit(sounds.train)
    assert len(list(tmp_path.rglob("train_net/*/output.pkl"))) == 1 + 2


@pytest.fixture(scope="module")
def guide(tmp_path_factory):
    """Return the example of the guide as a module that other processes can import."""
    text = (ROOT / "docs" / "contributing.md").read_text()
    (code,) = (c for c in re.findall(r"```python\n(.*?)```", text, re.S) if "class " in c)
    ast.parse(code)
    folder = tmp_path_factory.mktemp("guide")
    (folder / "linear_autoencoder.py").write_text(code)
    return folder


class TestGuide:
    def test_example_is_a_detector(self, guide, monkeypatch):
        monkeypatch.syspath_prepend(guide)
        monkeypatch.setenv("PYTHONPATH", str(guide))
        from linear_autoencoder import LinearAutoencoder

        check_detector(LinearAutoencoder(random_state=0))

    def test_a_wrong_score_is_told(self, guide, monkeypatch):
        monkeypatch.syspath_prepend(guide)
        from linear_autoencoder import LinearAutoencoder

        with pytest.raises(ValueError, match=r"'anomaly_score' parameter .*'reconstruction'"):
            LinearAutoencoder(anomaly_score="rekonstruction").fit(np.zeros((3, 32, 40)))

    def test_names_every_hook(self):
        text = (ROOT / "docs" / "contributing.md").read_text()
        kinds = [getattr(p, n) for p in (detectors, backends) for n in p.__all__]
        kinds = [k for k in kinds if issubclass(k, BaseDetector) and k is not FusionDetector]
        inherited = {n for base in (BaseDetector, NetDetector) for n in vars(base) if n[:2] != "__"}
        hooks = {
            name
            for kind in kinds
            for name, value in vars(kind).items()
            if name[0] == "_" and name in inherited and inspect.isfunction(value)
        }
        assert {"_learn", "_window", "_describe", "_left_out_scores"} <= hooks
        assert {hook for hook in hooks if f"`{hook}(" not in text} == set()
        assert len(hooks) <= 14
