"""
Learning from sections
======================

A section is an individual machine, or an operating mode.
Three detectors learn from sections: a classifier of sections, and two variational autoencoders of
embeddings. One of these learns a centre for each section, the other has the section as an input.
"""

# %%
# Clips of three sections
# -----------------------
import matplotlib.pyplot as plt
import pandas as pd
from sklearn.preprocessing import StandardScaler

from sklasd import (
    ClipStatistics,
    CLVAEDetector,
    CVAEDetector,
    LogMel,
    SectionMobileNetDetector,
    make_pipeline,
)
from sklasd.datasets import make_machine_clips
from sklasd.metrics import auc_score
from sklasd.plotting import EmbeddingDisplay

waveforms, table = make_machine_clips(
    "gearbox",
    n_sections=3,
    n_train=20,
    n_test=10,
    n_anomalies=10,
    severity=1.5,
    duration=2.0,
    random_state=0,
)
clips = table.assign(path=list(waveforms))
train = clips[clips["split"] == "train"]
test = clips[clips["split"] == "test"].reset_index(drop=True)
clips.groupby(["section", "split"]).size().unstack()

# %%
# CL-VAE and the conditional VAE
# ------------------------------
# The report uses embeddings of PANNs (``PANNsEmbedding``), whose weights are a download of 300 MB.
# This example uses statistics of bands instead.
# The pipeline reads the sections from the clip table, in ``fit`` and in scoring.
small = {"max_epochs": 60, "batch_size": 16, "lr": 2e-3, "calibration": None, "random_state": 0}
nets = {"hidden_layer_sizes": (64, 64), "latent_features": 16} | small
aucs = {}
for detector in (CLVAEDetector(**nets), CVAEDetector(**nets)):
    embedding = make_pipeline(LogMel(), ClipStatistics(("mean", "deviation")), StandardScaler())
    pipeline = make_pipeline(embedding, detector).fit(train)
    aucs[type(detector).__name__] = auc_score(test["label"], pipeline.score_samples(test))

# %%
# The embedding itself, by section:
EmbeddingDisplay.from_estimator(pipeline, test, method="pca")
plt.show()

# %%
# The official classifier
# -----------------------
# It scores a clip by the probability of its own section. If sections sound alike, it cannot
# distinguish them, and even less with so small a net.
classifier = make_pipeline(
    LogMel(n_fft=2048, hop_length=1024, n_mels=64),
    SectionMobileNetDetector(
        width_multiplier=0.25,
        window_length=32,
        hop=16,
        scoring_hop=8,
        lr=1e-3,
        max_epochs=8,
        calibration=None,
        random_state=0,
    ),
)
classifier.fit(train)
aucs["SectionMobileNetDetector"] = auc_score(test["label"], classifier.score_samples(test))
pd.Series(aucs, name="AUC").round(3)
