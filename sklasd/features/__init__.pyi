from ._clip_statistics import ClipStatistics as ClipStatistics
from ._log_mel import LogMel as LogMel
from ._panns import PANNsEmbedding as PANNsEmbedding
from ._scaler import SpectrogramScaler as SpectrogramScaler
from ._stft_image import STFTImage as STFTImage
from ._torch_embedding import TorchEmbedding as TorchEmbedding
