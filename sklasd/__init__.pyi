__version__: str

from .backends import GaussianMixtureDetector as GaussianMixtureDetector
from .backends import KNNDetector as KNNDetector
from .backends import MahalanobisDetector as MahalanobisDetector
from .clips import ClipError as ClipError
from .detectors import AEGANDetector as AEGANDetector
from .detectors import AudDSRDetector as AudDSRDetector
from .detectors import Augmented as Augmented
from .detectors import CLVAEDetector as CLVAEDetector
from .detectors import CVAEDetector as CVAEDetector
from .detectors import DiscreteAutoencoder as DiscreteAutoencoder
from .detectors import FusionDetector as FusionDetector
from .detectors import GroupedDetector as GroupedDetector
from .detectors import OEAutoencoder as OEAutoencoder
from .detectors import OEMobileNetDetector as OEMobileNetDetector
from .detectors import SectionMobileNetDetector as SectionMobileNetDetector
from .detectors import StatisticsDetector as StatisticsDetector
from .detectors import UNetInpaintDetector as UNetInpaintDetector
from .features import ClipStatistics as ClipStatistics
from .features import LogMel as LogMel
from .features import PANNsEmbedding as PANNsEmbedding
from .features import SpectrogramScaler as SpectrogramScaler
from .features import STFTImage as STFTImage
from .features import TorchEmbedding as TorchEmbedding
from .pipeline import make_pipeline as make_pipeline
from .recipes import list_recipes as list_recipes
from .recipes import make_recipe as make_recipe
