"""One Ray cluster for all tests of this folder: two workers of one CPU each, which are two machines to Ray."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from align_eval.runs.engines import Engine, make_engine

STORE = 1 << 27  # bytes of shared memory of each worker; blocks of these tests are a few kB


@pytest.fixture(scope="package")
def cluster() -> Iterator[None]:
    """The cluster, with this process connected to it."""
    try:
        import ray
        from ray.cluster_utils import Cluster
    except ImportError:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip("needs the package ray: pip install 'align-eval[ray]'")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        size = {"num_cpus": 1, "object_store_memory": STORE, "include_dashboard": False}
        made = Cluster(initialize_head=True, head_node_args=size)
        try:
            made.add_node(num_cpus=1, object_store_memory=STORE)
            ray.init(address=made.address, log_to_driver=False)
            yield
        finally:
            ray.shutdown()
            made.shutdown()


@pytest.fixture
def engine(cluster: None) -> Iterator[Engine]:
    """Two actors, one on each worker."""
    made = make_engine("ray", actors=2)
    yield made
    made.close()
