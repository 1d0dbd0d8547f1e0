from ._base_detector import BaseDetector as BaseDetector
