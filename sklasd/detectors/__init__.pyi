from ._oe_autoencoder import OEAutoencoder as OEAutoencoder
