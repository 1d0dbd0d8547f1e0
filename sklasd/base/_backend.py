"""Names of before, until all rooms are merged."""
from sklasd.base._fit_with import check_params_of, fit_with, seed_parts  # noqa: F401
from sklasd.base._unwrap import call_detector as ask, clip_format, detector_of as last_step, passes_through, first_step  # noqa: F401,E501
