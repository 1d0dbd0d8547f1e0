"""Members of a fusion as parameters, as in scikit-learn's VotingClassifier."""

from __future__ import annotations

from typing import Any, Self

from sklearn.utils.metaestimators import _BaseComposition


class MemberParams(_BaseComposition):
    """Mixin for an estimator with a list `estimators` of pairs (name, estimator)."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters, and those of the members by their names.

        Parameters
        ----------
        deep : bool, default=True
            Whether to return the members and their parameters as well.

        Returns
        -------
        dict
            By name, such as ``quantiles__statistics``.
        """
        return self._get_params("estimators", deep=deep)

    def set_params(self, **params: Any) -> Self:
        """Set parameters, members by their names, or parameters of members.

        Parameters
        ----------
        **params
            ``quantiles="drop"``, or ``quantiles__statistics="shape"``.

        Returns
        -------
        self : FusionDetector
            The same detector.
        """
        return self._set_params("estimators", **params)
