from ._splitters import DCASESplit as DCASESplit
from ._splitters import LeaveOneSectionOut as LeaveOneSectionOut
from ._splitters import NormalOnlySplit as NormalOnlySplit
from ._splitters import SourceToTargetSplit as SourceToTargetSplit
