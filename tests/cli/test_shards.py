"""python/kimic/shards.py on real clusters of processes, one of which is killed."""
import concurrent.futures
import importlib.util
import json
import os
import signal
import threading
import time

import pytest

from conftest import KIMIC, ROOT, write_set

# The module alone: it needs neither the package nor its extension.
SPEC = importlib.util.spec_from_file_location("shards", ROOT / "python/kimic/shards.py")
shards = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(shards)


@pytest.fixture
def many(tmp_path):
    manifest = write_set(tmp_path, [{"id": f"e{i}", "domain": "Language"} for i in range(24)])
    text = json.loads(manifest.read_text())
    del text["router"]
    manifest.write_text(json.dumps(text))
    return manifest


def check_merged(manifest, tmp_path, kimic):
    shards.merge(manifest, tmp_path / "store", tmp_path / "merged.kpk", shards=6, kimic=KIMIC)
    kimic("compile", manifest, "-o", "single.kpk", "-q")
    assert (tmp_path / "merged.kpk").read_bytes() == (tmp_path / "single.kpk").read_bytes()


def test_dask_cluster_with_a_worker_killed(many, tmp_path, kimic):
    distributed = pytest.importorskip("distributed")
    import dask
    # The nanny would set environment variables while its other threads read them, which C libraries do not survive.
    dask.config.set({"distributed.nanny.pre-spawn-environ": {}})
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None,
                                  host="127.0.0.1", local_directory=str(tmp_path)) as cluster:
        with distributed.Client(cluster) as client:
            worker = next(iter(client.run(os.getpid).values()))

            def kill():
                while not list((tmp_path / "store").glob("ac/*/*")):
                    time.sleep(0.02)
                os.kill(worker, signal.SIGKILL)
            killer = threading.Thread(target=kill)
            killer.start()
            summaries = shards.compile_shards(many, tmp_path / "store", 6, client, options=["-j1"], kimic=KIMIC)
            killer.join()
    assert [summary["shard"] for summary in summaries] == list(range(6))
    assert sorted(id for summary in summaries for id in summary["experts"]) == sorted(f"e{i}" for i in range(24))
    check_merged(many, tmp_path, kimic)


def test_executor_with_a_compiler_killed_every_first_time(many, tmp_path, kimic):
    wrapper = tmp_path / "kimic-that-dies"
    wrapper.write_text(f'#!/bin/sh\nif mkdir "{tmp_path}/tried-$(echo "$3" | tr -c a-z0-9 -)" 2>/dev/null; then kill -9 $$; fi\n'
                       f'exec "{KIMIC}" "$@"\n')
    wrapper.chmod(0o755)
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        summaries = shards.compile_shards(many, tmp_path / "store", 6, pool, kimic=str(wrapper))
    assert len(summaries) == 6 and len(list(tmp_path.glob("tried-*"))) == 6
    check_merged(many, tmp_path, kimic)


def test_error_that_stays_is_raised_with_its_message(many, tmp_path):
    (tmp_path / "e3.net").write_text("no network")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        with pytest.raises(shards.ShardError, match="e3.net"):
            shards.compile_shards(many, tmp_path / "store", 1, pool, kimic=KIMIC)
