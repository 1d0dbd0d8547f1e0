from ._base_detector import BaseDetector as BaseDetector
from ._embedding_detector import EmbeddingDetector as EmbeddingDetector
from ._net_detector import NetDetector as NetDetector
from ._reconstruction import ReconstructionDetector as ReconstructionDetector
from ._sections import SectionDetector as SectionDetector
from ._threshold import mean_confidence as mean_confidence
from ._training_clips import TrainingClips as TrainingClips
