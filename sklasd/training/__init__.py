"""Windows of clips and the nets that learn from them; the only room that imports skorch."""

from sklasd.clips._spectrograms import Spectrograms as Spectrograms
from sklasd.training._adversarial_net import CURVES as CURVES
from sklasd.training._adversarial_net import AdversarialNet as AdversarialNet
from sklasd.training._cache import train_cached as train_cached
from sklasd.training._window_net import ComparingNet as ComparingNet
from sklasd.training._window_net import WindowNet as WindowNet
from sklasd.training._windows import Windows as Windows
from sklasd.training._windows import cut_windows as cut_windows
