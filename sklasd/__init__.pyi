from ._clips import ClipError as ClipError
from .detectors import OEAutoencoder as OEAutoencoder
from .features import LogMel as LogMel
from .recipes import list_recipes as list_recipes
from .recipes import make_recipe as make_recipe
