from ._clip_error import ClipError as ClipError
from ._sound_file import ClipFormat as ClipFormat
