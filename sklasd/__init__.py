"""Anomalous sound detection of machines, as scikit-learn estimators."""

import lazy_loader

__version__ = "0.1.0"

# The names and where they live are listed once, in __init__.pyi. Each is imported when it is first
# used, so that `import sklasd` does not wait for torch.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
