"""What several checks assert or allow in the same way."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


def assert_raises(words: str, function: Callable[..., Any], *args: Any) -> None:
    """Assert that a call raises a ValueError whose message contains certain words."""
    # Not pytest.raises: authors of detectors may run the checks without pytest.
    message = None
    try:
        function(*args)
    except ValueError as error:
        message = str(error)
    assert message is not None, f"no error that says {words!r}"
    assert words in message, f"{words!r} is not in the message: {message}"


@contextmanager
def clips_of_any_length() -> Iterator[None]:
    """Ignore the warning that clips are far longer or shorter than the training clips."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The clips have", UserWarning)
        yield
