from ._base_detector import BaseDetector as BaseDetector
from ._net_detector import NetDetector as NetDetector
from ._net_detector import ReconstructionDetector as ReconstructionDetector
from ._threshold import mean_confidence as mean_confidence
from ._training_clips import TrainingClips as TrainingClips
