"""Back ends: outlier detectors on embeddings or other features, one row per clip."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
