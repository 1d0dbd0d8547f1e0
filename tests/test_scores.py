"""Distances against numpy and scipy, and the whitening matrix against the inverse."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from sklasd.fusion._rules import surprise
from sklasd.scores import (
    DISTANCES,
    cosine_distance,
    mahalanobis_squared,
    whitening_matrix,
)


@pytest.mark.parametrize(
    ("name", "metric"), [("l1", "cityblock"), ("l2", "sqeuclidean"), ("cosine", "cosine")]
)
@pytest.mark.parametrize("shape", [(7,), (2, 3, 4)])
def test_distances_are_scipys(rng, name, metric, shape):
    a, b = rng.normal(size=(2, 5, *shape))
    expected = np.diag(cdist(a.reshape(5, -1), b.reshape(5, -1), metric))
    ours = DISTANCES[name](torch.from_numpy(a), torch.from_numpy(b))
    np.testing.assert_allclose(ours, expected)


def test_cosine_of_nothing_is_as_far_as_can_be_told():
    assert cosine_distance(torch.zeros(1, 3), torch.ones(1, 3)).item() == 1


def test_distance_to_itself_is_nothing(rng):
    x = torch.from_numpy(rng.normal(size=(4, 9)))
    for distance in DISTANCES.values():
        torch.testing.assert_close(distance(x, x), torch.zeros(4, dtype=x.dtype))


class TestWhitening:
    def test_is_the_inverse(self, rng):
        x = rng.normal(size=(100, 5)) @ rng.normal(size=(5, 5))
        covariance = np.cov(x, rowvar=False)
        whitened = mahalanobis_squared(
            torch.from_numpy(x), torch.from_numpy(whitening_matrix(covariance))
        )
        expected = np.einsum("ni,ij,nj->n", x, np.linalg.inv(covariance), x)
        np.testing.assert_allclose(whitened, expected, rtol=1e-3)

    def test_lack_of_rank_is_survived(self, rng):
        x = np.repeat(rng.normal(size=(50, 2)), 3, axis=1)
        assert np.isfinite(whitening_matrix(np.cov(x, rowvar=False))).all()
        assert np.isfinite(whitening_matrix(np.zeros((3, 3)))).all()


class TestSurprise:
    """Minus the logarithm of p-values, where held-out scores have ties."""

    @pytest.mark.parametrize(
        ("known", "scale"),
        [
            ([1.5], 1.5),  # the size of all there is
            ([0.0], 1.0),
            ([0.1] * 30, 0.1),
            ([1.0] * 10 + [2.0] * 20, np.sqrt(2) / 3),  # of all, as the tail is of ties
        ],
    )
    def test_a_tail_without_excess(self, known, scale):
        edge, n = known[-1], len(known)
        n_tail = min(3, n - 1)
        far = surprise(edge + np.array([0.5, 1.0]) * scale, np.array(known))
        np.testing.assert_allclose(far, np.log((n + 1) / (1 + n_tail)) + np.array([0.5, 1.0]))
        assert surprise(np.array([edge]), np.array(known)) <= far[0]
