from ._aegan import AEGANDetector as AEGANDetector
from ._auddsr import AudDSRDetector as AudDSRDetector
from ._discrete_autoencoder import DiscreteAutoencoder as DiscreteAutoencoder
from ._fusion import FusionDetector as FusionDetector
from ._oe_autoencoder import OEAutoencoder as OEAutoencoder
from ._statistics import StatisticsDetector as StatisticsDetector
from ._unet_inpaint import UNetInpaintDetector as UNetInpaintDetector
