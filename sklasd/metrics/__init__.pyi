from ._dcase_scorer import dcase_scorer as dcase_scorer
from ._official_scores import auc_score as auc_score
from ._official_scores import dcase_score as dcase_score
from ._official_scores import evaluation_table as evaluation_table
from ._official_scores import pauc_score as pauc_score
from ._simulated_outliers import simulated_outlier_scorer as simulated_outlier_scorer
