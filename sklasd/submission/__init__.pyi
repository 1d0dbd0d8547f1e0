from ._submission import read_submission as read_submission
from ._submission import score_submission as score_submission
from ._submission import write_submission as write_submission
