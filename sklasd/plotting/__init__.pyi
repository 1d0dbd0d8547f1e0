from ._anomaly_map import AnomalyMapDisplay as AnomalyMapDisplay
from ._embedding import EmbeddingDisplay as EmbeddingDisplay
from ._p_values import PValueDisplay as PValueDisplay
from ._partial_roc import PartialROCDisplay as PartialROCDisplay
from ._score_histogram import ScoreHistogramDisplay as ScoreHistogramDisplay
from ._score_over_time import ScoreOverTimeDisplay as ScoreOverTimeDisplay
from ._spectrogram import SpectrogramDisplay as SpectrogramDisplay
from ._training_curve import TrainingCurveDisplay as TrainingCurveDisplay
