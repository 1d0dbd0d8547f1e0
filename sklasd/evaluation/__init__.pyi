from ._evaluate import Evaluation as Evaluation
from ._evaluate import evaluate as evaluate
