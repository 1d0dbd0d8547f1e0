"""
Search for the best score
=========================

A detector has several anomaly scores, and several ways to pool them over a clip.
With a few labelled anomalies, a search finds the best one for a machine.
"""

# %%
# A clip table
# ------------
# The clips are written to a folder, so that the search can use a table of paths.
# The scorer reads machine and section from this table.
import tempfile

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.model_selection import GridSearchCV

from sklasd import make_recipe
from sklasd.datasets import make_machine_clips
from sklasd.metrics import dcase_scorer
from sklasd.model_selection import NormalOnlySplit

folder = tempfile.TemporaryDirectory()
_, clips = make_machine_clips(
    "gearbox",
    n_train=40,
    n_test=20,
    n_anomalies=20,
    duration=2.0,
    root=f"{folder.name}/clips",
    random_state=0,
)
clips.drop(columns=["path", "regions"]).head(3)

# %%
# Search
# ------
# :class:`~sklasd.model_selection.NormalOnlySplit` splits the normal clips, and tests on all
# anomalous clips in every fold: no fold trains on an anomaly.
# Pass the labels as ``y``, so that the final fit also leaves out anomalies.
# With ``memory``, the net is trained only once per fold for all six variants.
# AUC and pAUC need no threshold, so the search uses no calibration.
recipe = make_recipe(
    "dcase-autoencoder",
    oeautoencoder__max_epochs=20,
    oeautoencoder__calibration=None,
    oeautoencoder__random_state=0,
    oeautoencoder__memory=f"{folder.name}/cache",
)
search = GridSearchCV(
    recipe,
    {
        "oeautoencoder__anomaly_score": ["reconstruction", "mahalanobis"],
        "oeautoencoder__pooling": ["mean", "max", "min"],
    },
    scoring=dcase_scorer(2020),
    cv=NormalOnlySplit(2),
)
search.fit(clips, clips["label"])
search.best_params_

# %%
# Results
# -------
# The official score of 2020 is the mean of AUC and pAUC; 0.5 is chance.
# Both folds test the same anomalies, so their spread says little about other anomalies.
results = pd.DataFrame(search.cv_results_).sort_values("mean_test_score")
variants = (
    results["param_oeautoencoder__anomaly_score"] + ", " + results["param_oeautoencoder__pooling"]
)
folds = results[[f"split{fold}_test_score" for fold in range(search.n_splits_)]]

figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
axes.plot(folds, variants, "o", color="C0", alpha=0.4)
axes.plot(results["mean_test_score"], variants, "|", color="C0", markersize=16, markeredgewidth=3)
axes.axvline(0.5, color="gray", linestyle=":")
axes.set(xlabel="official score of 2020 (dots: folds, bar: their mean, dotted: chance)")
axes.margins(y=0.1)
plt.show()

# %%
# The best variant has been fitted on all normal clips, and is ready for scoring.
# Its score on clips of the search is too optimistic: report a score on held-out clips.
# For decisions, fit it again with a calibration; the net comes from the cache.

best = search.best_estimator_.set_params(oeautoencoder__calibration=3)
best.fit(clips, clips["label"])[-1].offset_

# %%
# The folder is no longer needed.
folder.cleanup()
