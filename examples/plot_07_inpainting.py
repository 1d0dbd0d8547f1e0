"""
Painting hidden patches in
==========================

``UNetInpaintDetector`` hides patches of a spectrogram and paints them in from the rest.
It learns this from normal clips, so a large error is a sign of an anomaly.
"""

# %%
# Train
# -----
# ``width=4`` makes the U-Net narrow, and ``n_masks=8`` hides each patch six times instead of 192
# times. The report's net is sixteen times as wide, and made for a GPU.
import matplotlib.pyplot as plt

from sklasd import LogMel, UNetInpaintDetector, make_pipeline
from sklasd.datasets import make_machine_clips
from sklasd.metrics import auc_score
from sklasd.plotting import AnomalyMapDisplay, SpectrogramDisplay, TrainingCurveDisplay

waveforms, table = make_machine_clips(
    "pump", n_train=40, n_test=20, n_anomalies=20, severity=2.0, duration=2.1, random_state=0
)
clips = table.assign(path=list(waveforms))
train = clips[clips["split"] == "train"]
test = clips[clips["split"] == "test"].reset_index(drop=True)

pipeline = make_pipeline(
    LogMel(n_fft=1024, hop_length=512, n_mels=64),
    UNetInpaintDetector(
        width=4, n_masks=8, lr=2e-3, batch_size=16, max_epochs=30, calibration=None, random_state=0
    ),
).fit(train)
TrainingCurveDisplay.from_estimator(pipeline)
plt.show()

# %%
# Score
# -----
# Without a calibration, the scores rank the clips. For decisions, use the default ``calibration``,
# which trains more nets on parts of the clips.
print(f"AUC {auc_score(test['label'], pipeline.score_samples(test)):.3f}")

# %%
# Look
# ----
# The map is the squared error, relative to the usual error of each band.
leak = int((test["fault"] == "leak").to_numpy().argmax())
figure, axes = plt.subplots(1, 2, figsize=(10, 3.5), layout="constrained")
SpectrogramDisplay.from_estimator(pipeline, test, clip=leak, ax=axes[0])
AnomalyMapDisplay.from_estimator(pipeline, test, clip=leak, ax=axes[1])
plt.show()
