"""Where a clip departs from normal, for whole pipelines: to see and to hear."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
