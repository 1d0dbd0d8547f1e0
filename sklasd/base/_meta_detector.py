"""What estimators around detectors share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from sklearn.base import BaseEstimator, MetaEstimatorMixin, OutlierMixin

from sklasd.base._detector_methods import DetectorMethods
from sklasd.base._unwrap import first_step


class MetaDetector(MetaEstimatorMixin, DetectorMethods, OutlierMixin, BaseEstimator):
    """Base of estimators around a detector, or around a pipeline that ends in one.

    A subclass says which estimators it hands clips to (`inner_estimators`), and how (`_call`).
    """

    estimator: Any
    fit: Callable[..., Any]

    @abstractmethod
    def inner_estimators(self) -> list[Any]:
        """Return the fitted estimators, or before `fit` the one that is going to be cloned."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.no_validation = True  # the front end checks the clips
        head = first_step(self.estimator)
        if hasattr(head, "__sklearn_tags__"):
            tags.input_tags = head.__sklearn_tags__().input_tags
        return tags
