"""route: what the router chooses and why; simulate: how often experts would have been in memory."""
import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from conftest import write_set


def compiled(kimic, folder, **router):
    """The small set with another router; the path of its pack."""
    manifest = write_set(folder)
    content = json.loads(manifest.read_text())
    content["router"].update(router)
    manifest.write_text(json.dumps(content))
    kimic("compile", manifest, "-o", folder / "changed.kpk", "--allow-loss")
    return folder / "changed.kpk"


def routes(kimic, pack, *arguments):
    result = json.loads(kimic("route", pack, "--data", pack.parent / "rows.npy", "--json", *arguments).stdout)
    assert result["schema"] == "kimic-route/1"
    return result["routes"]


def logits(kimic, pack):
    result = kimic("run", pack, "--expert", "router", "--data", pack.parent / "rows.npy", "--json")
    return np.array(json.loads(result.stdout)["outputs"])


def test_route_explains_every_expert(kimic, pack):
    for row, route in zip(logits(kimic, pack), routes(kimic, pack, "--explain", "--top-k", "1")):
        scores = np.exp(row - row.max()) / np.exp(row - row.max()).sum()
        assert [e["expert"] for e in route["experts"]] == ["beta", "alpha"]
        assert np.allclose([e["score"] for e in route["experts"]], scores, atol=1e-6)
        assert np.allclose([e["logit"] for e in route["experts"]], row)
        best = int(row.argmax())
        assert route["experts"][best]["reason"] == "chosen" and route["experts"][1 - best]["reason"] == "outranked"
        assert [c["expert"] for c in route["chosen"]] == [["beta", "alpha"][best]]


def test_route_prints_a_table(kimic, pack):
    text = kimic("route", pack, "--data", pack.parent / "rows.npy", "--explain").stdout.splitlines()
    assert text[0].count(":") == 2
    assert text[1].split() == ["expert", "logit", "score", "selection", "threshold", "reason"]
    assert text[2].split()[-1] == "chosen"


def test_sigmoid_router_with_a_bias_and_a_scale(kimic, tmp_path):
    pack = compiled(kimic, tmp_path, head="sigmoid", selection_bias=[0, 10], top_k=2, scale=2.827)
    for row, route in zip(logits(kimic, pack), routes(kimic, pack, "--explain")):
        scores = 1 / (1 + np.exp(-row))
        assert [c["expert"] for c in route["chosen"]] == ["alpha", "beta"]  # by the bias
        assert np.allclose([c["score"] for c in route["chosen"]], scores[::-1], atol=1e-6)
        assert np.allclose([c["weight"] for c in route["chosen"]], scores[::-1] / scores.sum() * 2.827, atol=1e-5)
        assert np.isclose(route["experts"][1]["selection"], scores[1] + 10, atol=1e-5)


def test_router_abstains_below_its_threshold(kimic, tmp_path):
    pack = compiled(kimic, tmp_path, threshold=[1, 1])
    assert all(route["chosen"] == [] for route in routes(kimic, pack))
    assert "the router abstains" in kimic("route", pack, "--data", tmp_path / "rows.npy").stdout
    result = kimic("run", pack, "--route", "--data", tmp_path / "rows.npy", code=1)
    assert "the router is not sure of any expert" in result.stderr


def test_fallback_answers_when_the_router_abstains(kimic, tmp_path):
    pack = compiled(kimic, tmp_path, threshold=1, fallback="gamma")
    assert all(route["chosen"] == [{"expert": "gamma", "score": 0, "weight": 1}] for route in routes(kimic, pack))
    routed = json.loads(kimic("run", pack, "--route", "--data", tmp_path / "rows.npy", "--json").stdout)
    alone = json.loads(kimic("run", pack, "--expert", "gamma", "--data", tmp_path / "rows.npy", "--json").stdout)
    assert routed["outputs"] == alone["outputs"]


def test_votes_and_learned_weights(kimic, tmp_path):
    data = ["--data", tmp_path / "rows.npy", "--json"]
    pack = compiled(kimic, tmp_path, merge="vote")
    outputs = np.array(json.loads(kimic("run", pack, "--route", *data).stdout)["outputs"])
    assert set(outputs.ravel()) <= {0, 0.5, 1} and np.all(outputs.sum(axis=1) == 1)
    (tmp_path / "learned").mkdir()
    pack = compiled(kimic, tmp_path / "learned", merge="learned", merge_weights=[1, 3])
    alpha, beta = (np.array(json.loads(kimic("run", pack, "--expert", id, *data).stdout)["outputs"])
                   for id in ["alpha", "beta"])
    merged = np.array(json.loads(kimic("run", pack, "--route", *data).stdout)["outputs"])
    assert np.allclose(merged, 0.25 * beta + 0.75 * alpha, atol=1e-6)


def trace(path, steps):
    path.write_text("".join(json.dumps(step) + "\n" for step in steps))
    return path


def test_simulate_compares_policies_with_the_optimum(kimic, pack, tmp_path):
    steps = [{"experts": [expert]} for expert in ["alpha", "beta", 0, "beta", "alpha", 1] * 50]
    result = json.loads(kimic("simulate", pack, "--trace", trace(tmp_path / "t.jsonl", steps), "--memory", "60%",
                              "--plot", tmp_path / "plot.svg", "--json").stdout)
    assert result["schema"] == "kimic-simulate/1" and result["uses"] == 300
    policies = {policy["policy"]: policy for policy in result["policies"]}
    assert set(policies) == {"lru", "lfu", "score", "adaptive", "belady"}
    assert policies["belady"]["of_belady"] == 1 and policies["lru"]["of_belady"] <= 1
    assert all(policy["hit_rate"] <= result["hit_rate_bound"] + 1e-9 for policy in policies.values())
    assert policies["lru"]["stalled_bytes"] == (300 - policies["lru"]["hits"]) * result["expert_bytes"] // 2
    assert ElementTree.parse(tmp_path / "plot.svg").getroot().tag.endswith("svg")
    assert "exists" in kimic("simulate", pack, "--trace", tmp_path / "t.jsonl", "--memory", "1K", "--plot",
                             tmp_path / "plot.svg", code=1).stderr


def test_simulate_reads_a_folder_of_arrays(kimic, pack, tmp_path):
    np.save(tmp_path / "experts.npy", np.array([[0], [1], [0], [0]], np.uint32))
    result = json.loads(kimic("simulate", pack, "--trace", tmp_path, "--memory", "1M", "--json").stdout)
    assert {policy["hits"] for policy in result["policies"]} == {2} and result["uses"] == 4


@pytest.mark.parametrize("line, message", [
    ("{", "bad.jsonl:1: column 2: line does not follow the format: found end of the line"),
    ('{"experts": ["delta"]}', 'found "delta", expected the id of an expert'),
    ('{"experts": [7]}', "found 7, expected a number from 0 to 1"), ('{"experts": [0, 0]}', "each expert once"),
    ('{"experts": [0], "logits": [1]}', "found 1 numbers, expected 2"), ("", "at least one")])
def test_simulate_refuses_traces_that_are_none(kimic, pack, tmp_path, line, message):
    (tmp_path / "bad.jsonl").write_text(line + "\n")
    assert message in kimic("simulate", pack, "--trace", tmp_path / "bad.jsonl", "--memory", "1M", code=1).stderr


def test_run_keeps_the_history_of_runs(kimic, tmp_path):
    pack, history = compiled(kimic, tmp_path), tmp_path / "runs.khis"
    arguments = ("run", pack, "--route", "--data", pack.parent / "rows.npy", "--history", history, "--json")
    first, second = (json.loads(kimic(*arguments).stdout)["history"] for _ in range(2))
    runs = {expert["expert"]: expert["runs"] for expert in first}
    assert runs and all(expert["success"] == 1 and expert["microseconds"] > 0 for expert in first)
    assert {expert["expert"]: expert["runs"] for expert in second} == {id: 2 * count for id, count in runs.items()}
    assert history.read_bytes()[:4] == b"KHIS"


def test_run_refuses_a_file_that_is_no_history_and_leaves_it(kimic, tmp_path):
    pack, other = compiled(kimic, tmp_path), tmp_path / "other"
    other.write_bytes(b"notes" * 100)
    result = kimic("run", pack, "--route", "--data", pack.parent / "rows.npy", "--history", other, code=1)
    assert "history does not follow the format" in result.stderr
    assert other.read_bytes() == b"notes" * 100


def test_a_resident_bonus_keeps_to_experts_in_memory(kimic, tmp_path):
    pack = compiled(kimic, tmp_path, top_k=2)
    chosen = [json.loads(kimic("run", pack, "--route", "--data", pack.parent / "rows.npy", "--json", *bonus).stdout)["routes"]
              for bonus in [(), ("--resident-bonus", "1")]]
    assert [route[0]["expert"] for route in chosen[0]] == [route[0]["expert"] for route in chosen[1]]
    assert len({tuple(sorted(e["expert"] for e in route)) for route in chosen[1]}) <= len(
        {tuple(sorted(e["expert"] for e in route)) for route in chosen[0]})
    kimic("run", pack, "--route", "--data", pack.parent / "rows.npy", "--resident-bonus", "2", code=2)


def test_little_memory_and_every_cache_policy_give_the_same_answers(kimic, tmp_path):
    pack = compiled(kimic, tmp_path, top_k=2)
    data = ("run", pack, "--route", "--data", pack.parent / "rows.npy", "--json")
    outputs = json.loads(kimic(*data).stdout)["outputs"]
    for policy in ["lru", "score", "adaptive"]:
        assert json.loads(kimic(*data, "--memory", "192K", "--cache-policy", policy).stdout)["outputs"] == outputs
    assert "131072" in kimic(*data, "--memory", "64K", code=1).stderr
    assert "--memory 25%" in kimic(*data, "--memory", "25%", code=2).stderr
    kimic(*data, "--cache-policy", "fifo", code=2)
