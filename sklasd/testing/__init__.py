"""The conformance suite for detectors: scikit-learn's checks and this project's own."""

from sklasd.testing._flat_data import on_flat_data
from sklasd.testing._run import check_detector, detector_checks
from sklasd.testing._sounds import Sounds, make_sounds

__all__ = ["Sounds", "check_detector", "detector_checks", "make_sounds", "on_flat_data"]
