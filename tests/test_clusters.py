"""Searches of scikit-learn over fastnn's estimators on a local cluster of Dask, or of Ray, through joblib.

Slow; each needs its library: ``pip install dask distributed``, ``pip install ray``.
"""

import os
from contextlib import contextmanager

import pytest

import fastnn

pytest.importorskip("sklearn")
import joblib
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV

from fastnn.sklearn import MLPClassifier

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
GRID = {"alpha": [1e-4, 1e-2], "dropout": [0.0, 0.5]}


def searches(n_threads=None):
    """Scores of a grid and of a random search; processes that fitted; threads that kernels had while they did."""
    class See(fastnn.Callback):                         # inside, so that no worker has to import this file
        def __init__(self):
            self.threads = 0

        def on_epoch_end(self, epoch, logs=None):
            self.threads = max(self.threads, fastnn.get_num_threads())

    scoring = {"score": "accuracy", "threads": lambda model, x, y: model.callbacks[0].threads,
               "process": lambda model, x, y: os.getpid()}
    model = MLPClassifier((8,), max_iter=5, random_state=0, callbacks=[See()], n_threads=n_threads)
    data = load_iris(return_X_y=True)
    grid = GridSearchCV(model, GRID, cv=3, scoring=scoring, refit="score").fit(*data)
    drawn = RandomizedSearchCV(model, GRID, n_iter=3, cv=3, random_state=0).fit(*data)
    found = grid.cv_results_
    processes = {pid for split in range(3) for pid in found[f"split{split}_test_process"]}
    return ([*found["mean_test_score"], *drawn.cv_results_["mean_test_score"], grid.score(*data)], processes,
            max(found[f"split{split}_test_threads"].max() for split in range(3)))


@contextmanager
def dask_cluster(**options):
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("OMP_NUM_THREADS", raising=False)  # a worker has the share that Dask gives it
        distributed = pytest.importorskip("distributed", reason="Dask's cluster: pip install dask distributed")
        with (distributed.LocalCluster(dashboard_address=None, **options) as cluster, distributed.Client(cluster),
              joblib.parallel_backend("dask")):
            yield


@contextmanager
def ray_cluster():
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("OMP_NUM_THREADS", raising=False)
        ray = pytest.importorskip("ray", reason="Ray's cluster: pip install ray")
        from ray.util.joblib import register_ray

        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        try:
            register_ray()
            with joblib.parallel_backend("ray"):
                yield
        finally:
            ray.shutdown()


@pytest.mark.parametrize("cluster", [lambda: dask_cluster(n_workers=2, threads_per_worker=1), ray_cluster],
                         ids=["dask", "ray"])
def test_search_on_a_cluster(cluster):
    """Worker processes, a thread for each, and the scores of one process."""
    wanted, *_ = searches()
    with cluster():
        found, processes, threads = searches()
    assert found == wanted
    assert os.getpid() not in processes
    assert threads == 1
    print(f"{len(processes)} worker processes, {threads:.0f} thread each, {len(found) - 1} equal scores")


def test_search_on_threads_of_dask():
    """A cluster inside this process: ``n_threads`` limits its threads, and afterwards nothing else."""
    wanted, *_ = searches()
    before = fastnn.get_num_threads()
    with dask_cluster(processes=False, n_workers=1, threads_per_worker=2):
        found, processes, threads = searches(n_threads=1)
    assert found == wanted
    assert processes == {os.getpid()}
    assert threads == 1
    assert fastnn.get_num_threads() == before
