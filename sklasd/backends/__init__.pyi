from ._gaussian import MahalanobisDetector as MahalanobisDetector
from ._mixture import GaussianMixtureDetector as GaussianMixtureDetector
from ._neighbors import KNNDetector as KNNDetector
from ._neighbors import NearestMean as NearestMean
