"""All parameters are described, and those that detectors share in the same words."""

import inspect
import re

import pytest
from sklearn.utils._testing import assert_docstring_consistency

import sklasd.backends
import sklasd.detectors
from sklasd import Augmented, GroupedDetector, PANNsEmbedding, TorchEmbedding
from sklasd.base import BaseDetector, NetDetector

ALL = [
    kind
    for package in (sklasd.detectors, sklasd.backends)
    for kind in (getattr(package, name) for name in package.__all__)
    if issubclass(kind, BaseDetector)
]
NETS = [kind for kind in ALL if issubclass(kind, NetDetector)]
CLASSIFIERS = [kind for kind in ALL if kind._gives_log_odds]
EMBEDDINGS = [PANNsEmbedding, TorchEmbedding]


def test_lists_are_full():
    assert len(ALL) >= 13
    assert len(NETS) >= 8
    assert len(CLASSIFIERS) >= 2


def test_decisions():
    assert_docstring_consistency(
        ALL, include_params=["contamination"], include_attrs=["calibration_scores_", "offset_"]
    )
    # Classifiers have one rule more.
    for alike in ([kind for kind in ALL if kind not in CLASSIFIERS], CLASSIFIERS):
        assert_docstring_consistency(alike, include_params=["threshold"])


def test_training():
    same = ["calibration", "device", "memory", "verbose"]
    assert_docstring_consistency(NETS, include_params=same)


def test_embeddings():
    same = ["pad_short", "channel", "n_jobs", "device", "memory"]
    assert_docstring_consistency(EMBEDDINGS, include_params=same)


@pytest.mark.parametrize("kind", [*ALL, *EMBEDDINGS, Augmented, GroupedDetector])
def test_every_parameter_is_described_in_order(kind):
    text = re.search(r"    Parameters\n    -+\n(.*?)\n    Attributes", kind.__doc__, re.S)[1]
    described = re.findall(r"^    (\w+) : ", text, re.M)
    assert described == list(inspect.signature(kind).parameters)


@pytest.mark.parametrize("kind", [*ALL, *EMBEDDINGS, Augmented, GroupedDetector])
def test_no_equation_ends_a_line_in_a_backslash(kind):
    # numpydoc joins such a line with the next one, and the line break of the equation is lost.
    equations = re.findall(r"\.\. math::.*?\n\n", kind.__doc__, re.S)
    assert not [line for each in equations for line in each.splitlines() if line.endswith("\\")]
