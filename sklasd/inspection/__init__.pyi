from ._call_detector import anomaly_map as anomaly_map
from ._call_detector import recalibrate as recalibrate
from ._embed_clips import embed_clips as embed_clips
from ._inspect_clips import inspect_clips as inspect_clips
from ._inspected_clip import InspectedClip as InspectedClip
from ._resynthesise import resynthesise as resynthesise
