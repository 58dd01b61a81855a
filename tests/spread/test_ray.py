"""A real cluster of two nodes on this machine, and a worker that is killed in the middle."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest
from spread_plans import plan_for
from test_engines import content, everything, quiet

from nllcheck.engine.folder import Folder
from nllcheck.engine.ray import Ray
from nllcheck.errors import NllcheckError
from nllcheck.sweep.plan import gathered, local


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one core each. Workers import this nllcheck and these tests."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.add_node(num_cpus=1)
    ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
    yield ray
    ray.shutdown()
    made.shutdown()
    os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)


def alone(plan) -> list[object]:
    return list(map(content, gathered(plan, local(plan, everything(plan), quiet))))


@pytest.mark.parametrize("name", ["correlation", "mixture_logsumexp"])
def test_a_cluster_gives_the_same_bytes(cluster, name, tmp_path):
    plan = plan_for(name)
    spread = gathered(plan, Folder(tmp_path, Ray())(plan, everything(plan), quiet))
    assert list(map(content, spread)) == alone(plan)
    assert len(list(tmp_path.iterdir())) == len(plan.pieces)  # the driver wrote them


def test_a_killed_worker_loses_nothing(cluster):
    plan = plan_for("correlation")
    where = cluster.remote(num_cpus=1)(lambda: (time.sleep(0.2), os.getpid())[1])
    found = {}
    for k, trace in Ray()(plan, everything(plan), quiet):
        if len(found) == 2:
            for pid in set(cluster.get([where.remote() for _ in range(2)])):
                os.kill(pid, signal.SIGKILL)
        found[k] = trace
    assert list(map(content, gathered(plan, found.items()))) == alone(plan)


def test_another_version_on_a_worker_is_refused(cluster, monkeypatch):
    plan = plan_for("correlation")
    monkeypatch.setattr("nllcheck.engine.ray.__version__", "0.0.0")
    with pytest.raises(NllcheckError, match="a worker has nllcheck"):
        gathered(plan, Ray()(plan, everything(plan), quiet))
