"""
Many machines, and more clips
=============================

``GroupedDetector`` is one estimator that fits a model to each machine.
``Augmented`` trains a pipeline also on altered copies of its clips.
"""

# %%
# A model for each machine
# ------------------------
# Scores of different machines are on different scales; decisions and p-values can be compared.
import matplotlib.pyplot as plt
import pandas as pd

from sklasd import Augmented, GroupedDetector, make_recipe
from sklasd.datasets import make_machine_clips

tables = []
for kind in ("fan", "pump", "valve"):
    waveforms, table = make_machine_clips(
        kind, n_train=30, n_test=15, n_anomalies=15, severity=1.5, duration=2.0, random_state=0
    )
    tables.append(table.assign(path=list(waveforms)))
clips = pd.concat(tables, ignore_index=True)
train, test = clips[clips["split"] == "train"], clips[clips["split"] == "test"]

pipeline = make_recipe("statistics-mahalanobis")
grouped = GroupedDetector(pipeline).fit(train)
result = test[["machine", "label"]].assign(
    alarm=grouped.predict(test) == -1, p=grouped.p_values(test)
)
result.groupby(["machine", "label"]).agg(
    alarms=("alarm", "sum"), clips=("alarm", "count"), median_p=("p", "median")
).round(3)

# %%
# Altered copies
# --------------
# Suppose that the pump may run a little louder or quieter, so that clips at +3 dB are normal, too.
# Copies are made in ``fit`` only, and thresholds are set by the recorded clips.
pump = train[train["machine"] == "pump"]
augmented = Augmented(
    pipeline, copies=2, pitch_shift=None, time_stretch=None, gain=(-4, 4), random_state=0
).fit(pump)
plain = make_recipe("statistics-mahalanobis").fit(pump)

normal = test[(test["machine"] == "pump") & (test["label"] == 1)]
louder = normal.assign(path=[1.4 * wave for wave in normal["path"]])
false_alarms = pd.DataFrame(
    {
        name: {
            "as recorded": (model.predict(normal) == -1).mean(),
            "3 dB louder": (model.predict(louder) == -1).mean(),
        }
        for name, model in (("plain", plain), ("augmented", augmented))
    }
)
axes = false_alarms.plot.barh(
    figsize=(6, 2.4), xlabel="false alarms / normal clips", xlim=(0, 1.02)
)
axes.figure.set_layout_engine("constrained")
plt.show()
