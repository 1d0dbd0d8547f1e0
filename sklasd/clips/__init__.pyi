from ._waveforms import ClipError as ClipError
