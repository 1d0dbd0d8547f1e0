"""Names of before, until all rooms are merged."""
from sklasd.fusion._front_ends import Member, are_spectrograms  # noqa: F401
from sklasd.fusion._maps import MapShapeError  # noqa: F401
