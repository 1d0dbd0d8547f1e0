from ._log_mel import LogMel as LogMel
from ._scaler import SpectrogramScaler as SpectrogramScaler
