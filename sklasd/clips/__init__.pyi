from ._sound_file import ClipFormat as ClipFormat
from ._waveforms import ClipError as ClipError
