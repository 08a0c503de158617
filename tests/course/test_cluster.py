"""The sweep on a real cluster of three workers, of which one is killed in mid-run: the same numbers, nothing lost."""

import os
import signal
import threading
import time

import pytest
from dask.distributed import Client, LocalCluster

from qlab.course.__main__ import main
from qlab.course.cluster import workers
from qlab.course.results.sweep import FAMILIES, FIELDS, PLACE, missing
from qlab.hardware.record import read_lines, write_lines

METHODS = ("nearest, min/max", "OMSE", "per channel, OMSE", "per channel, min/max")
KEY = ("network", "method", "weights", "activations", "seed")


def lacking(place):
    """The shipped table without the lines of some methods on the ConvNet, and how many those are."""
    lines = read_lines(PLACE / "post_training.csv")
    cut = [x for x in lines if x["network"] == "convnet" and x["method"] in METHODS and x["seed"] == "0"]
    write_lines(place / "post_training.csv", FIELDS, [x for x in lines if x not in cut])
    return len(cut)


def numbers(place):
    lines = read_lines(place / "post_training.csv")
    return {tuple(x[k] for k in KEY): (x["accuracy"], x["nbytes"], x["problem"]) for x in lines}


@pytest.mark.slow
def test_a_killed_worker_costs_time_only(tmp_path):
    alone, cluster = tmp_path / "alone", tmp_path / "cluster"
    for place in (alone, cluster):
        place.mkdir()
        n = lacking(place)
    assert n >= 12
    command = ["results", "post_training", "--networks", "convnet", "--seeds", "1", "--to"]
    main([*command, str(alone)])
    before = len(read_lines(cluster / "post_training.csv"))
    killed = []
    with LocalCluster(n_workers=3, threads_per_worker=1, dashboard_address=None) as local, Client(local) as client:

        def kill():
            while len(read_lines(cluster / "post_training.csv")) < before + 2:
                time.sleep(0.02)
            busy = [w for w, tasks in client.processing().items() if tasks]
            killed.append(client.run(os.getpid, workers=busy[:1])[busy[0]])
            os.kill(killed[0], signal.SIGKILL)

        watcher = threading.Thread(target=kill)
        watcher.start()
        main([*command, str(cluster), "--scheduler", local.scheduler_address])
        watcher.join()
    assert killed
    assert missing(FAMILIES["post_training"], read_lines(cluster / "post_training.csv"), 1) == []
    assert numbers(cluster) == numbers(alone)
    assert len(read_lines(cluster / "post_training.csv")) == len(numbers(cluster))


@pytest.mark.slow
def test_a_scheduler_that_does_not_answer():
    with (
        pytest.raises(ValueError, match=r"scheduler must be .*, got 'tcp://127\.0\.0\.1:9'"),
        workers("tcp://127.0.0.1:9"),
    ):
        pass


def test_no_scheduler_changes_nothing():
    with workers(None):
        pass
