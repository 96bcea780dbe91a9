"""Experts that read each other: compiled, planned, run and extracted."""
import json

import numpy as np

from conftest import EXPERTS, fann_text, random_weights, write_set

READS = [{"expert": "alpha", "outputs": ["y", "z"]}, {"expert": "beta"}, {"features": [3, 10]}]


def planned(folder, **changes):
    """The small set, in which gamma, which has 12 inputs, reads alpha, beta and seven features; its manifest's path."""
    path = write_set(folder, [{**EXPERTS[0], "outputs": ["x", "y", "z"], "fallback": "beta"}, EXPERTS[1],
                              {**EXPERTS[2], "reads": READS}])
    content = json.loads(path.read_text())
    content["router"]["experts"] = ["beta", "alpha", "gamma"]
    content["router"].update(changes)
    (folder / "router.net").write_text(fann_text(random_weights(99, 12, 20, 3)))
    path.write_text(json.dumps(content))
    return path


def compiled(kimic, folder, **changes):
    kimic("compile", planned(folder, **changes), "-o", folder / "planned.kpk", "--allow-loss")
    return folder / "planned.kpk"


def outputs(kimic, pack, data, *arguments):
    result = json.loads(kimic("run", pack, "--data", data, "--json", *arguments).stdout)
    return np.array(result["outputs"], np.float32), result


def test_an_expert_computes_with_what_it_reads(kimic, tmp_path):
    (tmp_path / "plain").mkdir()
    kimic("compile", write_set(tmp_path / "plain"), "-o", tmp_path / "plain.kpk", "--allow-loss")
    pack, rows = compiled(kimic, tmp_path), tmp_path / "rows.npy"
    alpha, _ = outputs(kimic, tmp_path / "plain.kpk", rows, "--expert", "alpha")
    beta, _ = outputs(kimic, tmp_path / "plain.kpk", rows, "--expert", "beta")
    np.save(tmp_path / "inputs.npy", np.hstack([alpha[:, 1:], beta, np.load(rows)[:, 3:10]]).astype(np.float32))
    expected, _ = outputs(kimic, tmp_path / "plain.kpk", tmp_path / "inputs.npy", "--expert", "gamma")
    for engine in ["native", "reference"]:
        found, _ = outputs(kimic, pack, rows, "--expert", "gamma", "--engine", engine)
        assert np.array_equal(found, expected)


def test_routed_experts_run_with_what_they_read(kimic, tmp_path):
    pack, rows = compiled(kimic, tmp_path, top_k=3, merge="average"), tmp_path / "rows.npy"
    found, _ = outputs(kimic, pack, rows, "--route")
    alone = [outputs(kimic, pack, rows, "--expert", id)[0].astype(np.float64) for id in ["alpha", "beta", "gamma"]]
    assert np.allclose(found, sum(alone) / 3, rtol=0, atol=1e-6)


def test_plan_lists_groups_costs_and_fallbacks(kimic, tmp_path):
    pack = compiled(kimic, tmp_path, top_k=3)
    result = json.loads(kimic("route", pack, "--data", tmp_path / "rows.npy", "--plan", "--json").stdout)
    plan = result["routes"][0]["plan"]
    steps = {step["expert"]: step for step in plan["steps"]}
    assert sorted(steps) == ["alpha", "beta", "gamma"] and plan["steps"][-1]["expert"] == "gamma"
    assert [steps[id]["level"] for id in ["alpha", "beta", "gamma"]] == [0, 0, 1]
    assert [steps[id]["group"] for id in ["alpha", "beta", "gamma"]] == [0, 0, 1] and plan["groups"] == 2
    assert steps["gamma"]["inputs"] == 12 and steps["gamma"]["outputs"] == 3
    assert plan["bytes"] == sum(step["bytes"] for step in plan["steps"])
    assert plan["fallbacks"] == {"alpha": ["beta"]}


def test_plan_as_text(kimic, tmp_path):
    pack = compiled(kimic, tmp_path, top_k=1, threshold=[1, 1, 1], fallback="gamma")
    text = kimic("route", pack, "--data", tmp_path / "rows.npy", "--plan").stdout.splitlines()
    assert text[0] == "gamma:1.000"
    assert text[1:3] == ["  group 1: beta, alpha", "  group 2: gamma"]
    assert "bytes of parameters" in text[3]


def test_extract_takes_what_is_read_along(kimic, tmp_path):
    pack, rows = compiled(kimic, tmp_path), tmp_path / "rows.npy"
    kimic("extract", pack, "gamma", "-o", tmp_path / "gamma.kpk")
    result = json.loads(kimic("inspect", tmp_path / "gamma.kpk", "--json").stdout)
    assert sorted(expert["id"] for expert in result["experts"]) == ["alpha", "beta", "gamma"]
    assert np.array_equal(outputs(kimic, tmp_path / "gamma.kpk", rows, "--expert", "gamma")[0],
                          outputs(kimic, pack, rows, "--expert", "gamma")[0])


def test_verify_accepts_a_plan(kimic, tmp_path):
    kimic("verify", compiled(kimic, tmp_path))


def test_experts_without_reads_make_the_pack_of_before(kimic, tmp_path):
    path = write_set(tmp_path)
    kimic("compile", path, "-o", tmp_path / "a.kpk", "--allow-loss")
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "features": 12}))
    kimic("compile", path, "-o", tmp_path / "b.kpk", "--allow-loss")
    assert (tmp_path / "a.kpk").read_bytes() == (tmp_path / "b.kpk").read_bytes()
    assert (tmp_path / "a.kpk").read_bytes()[12:16] == bytes(4)


def test_sources_that_do_not_add_up_are_refused(kimic, tmp_path):
    path = planned(tmp_path)
    content = json.loads(path.read_text())
    content["experts"][2]["reads"][2]["features"] = [3, 9]
    path.write_text(json.dumps(content, indent=1))
    error = kimic("compile", path, "-o", tmp_path / "x.kpk", code=1).stderr
    assert "experts[2].reads: counts do not agree: found 11 numbers, expected 12 inputs of the network" in error
