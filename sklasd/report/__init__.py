"""Reports: one HTML file of what a detector says of clips, to be read, heard and passed on."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
