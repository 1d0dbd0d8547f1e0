"""The import path that `FusionDetector` has had from the start; it lives in `sklasd.fusion`."""

from sklasd.fusion._fusion import FusionDetector as FusionDetector
