from ._clip_folder import load_clips as load_clips
from ._dcase import load_dcase as load_dcase
from ._fetch import fetch_dcase as fetch_dcase
from ._fetch_panns import fetch_panns as fetch_panns
from .synthetic._machine_clips import MachineClips as MachineClips
from .synthetic._machine_clips import make_machine_clips as make_machine_clips
