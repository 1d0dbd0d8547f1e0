from ._aegan import AEGANDetector as AEGANDetector
from ._oe_autoencoder import OEAutoencoder as OEAutoencoder
from ._unet_inpaint import UNetInpaintDetector as UNetInpaintDetector
