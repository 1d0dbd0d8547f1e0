"""Pictures of scores, thresholds and maps: displays as scikit-learn has them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
