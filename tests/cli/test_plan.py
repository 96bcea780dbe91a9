"""Experts that read each other: compiled, planned, run and extracted."""
import hashlib
import json
import struct

import numpy as np
import pytest

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


def metadata_of(kimic, pack):
    return json.loads(kimic("inspect", pack, "--json").stdout)["metadata"]


def test_an_extracted_pack_has_its_own_numbers_in_its_metadata(kimic, tmp_path):
    path = planned(tmp_path)
    content = json.loads(path.read_text())
    content["features"] = [f"f{i}" for i in range(12)]
    content["experts"][2]["depends_on"] = ["alpha"]
    path.write_text(json.dumps(content))
    kimic("compile", path, "-o", tmp_path / "planned.kpk", "--allow-loss")
    kimic("extract", tmp_path / "planned.kpk", "gamma", "-o", tmp_path / "gamma.kpk")
    metadata = metadata_of(kimic, tmp_path / "gamma.kpk")
    experts = metadata["experts"]
    ids = [expert["id"] for expert in experts]
    assert ids == ["gamma", "alpha", "beta"]
    assert experts[1]["fallback"] == ids.index("beta") and experts[0]["dependsOn"] == [ids.index("alpha")]
    assert metadata["features"] == content["features"]


def test_an_extracted_pack_tells_nothing_of_what_is_not_in_it(kimic, tmp_path):
    path = planned(tmp_path)
    content = json.loads(path.read_text())
    content["features"] = [f"f{i}" for i in range(12)]
    content["experts"][0]["depends_on"] = ["beta"]
    path.write_text(json.dumps(content))
    kimic("compile", path, "-o", tmp_path / "planned.kpk", "--allow-loss")
    kimic("extract", tmp_path / "planned.kpk", "alpha", "-o", tmp_path / "alpha.kpk")
    metadata = metadata_of(kimic, tmp_path / "alpha.kpk")
    assert "features" not in metadata
    assert "fallback" not in metadata["experts"][0] and "dependsOn" not in metadata["experts"][0]


# The plan of the pack (pack-v1 section 15): beta is expert 0, alpha 1, gamma 2.
PLAN = [12, 1, 0, 0] + [2, 1, 2, 3] + [0, 1] + [1, 1, 2] + [0, 0, 3] + [0xFFFFFFFF, 3, 7]


def with_plan(kimic, pack, plan):
    """The pack with these numbers as its plan, not compressed, and the hashes on the way to it right again."""
    sections = {s["name"]: s for s in json.loads(kimic("inspect", pack, "--json").stdout)["sections"]}
    root, plan = sections["root"], struct.pack(f"<{len(plan)}I", *plan)
    data = bytearray(pack.read_bytes()[:sections["extensions"]["offset"]] + plan)
    row = struct.pack("<IIBxxx", len(plan), len(plan), 0) + hashlib.sha256(plan).digest()
    end = root["offset"] + root["bytes"]
    data[end - len(row):end] = row
    data[112:120] = struct.pack("<Q", len(plan))
    data[192:224] = hashlib.sha256(data[root["offset"]:end]).digest()
    data[224:256] = hashlib.sha256(data[:224]).digest()
    return data


def test_the_plan_is_that_of_the_manifest(kimic, tmp_path):
    (tmp_path / "same.kpk").write_bytes(with_plan(kimic, compiled(kimic, tmp_path), PLAN))
    kimic("verify", tmp_path / "same.kpk")


@pytest.mark.parametrize("index", [4, 8, 10], ids=["entry", "need", "source"])
@pytest.mark.parametrize("command", ["inspect", "extract"])
def test_a_plan_of_experts_that_are_not_there_is_exit_code_3(kimic, tmp_path, index, command):
    plan = PLAN[:]
    plan[index] = 0x7FFFFF00
    (tmp_path / "bad.kpk").write_bytes(with_plan(kimic, compiled(kimic, tmp_path), plan))
    more = ["gamma", "-o", tmp_path / "x.kpk"] if command == "extract" else []
    assert "2147483392" in kimic(command, tmp_path / "bad.kpk", *more, code=3).stderr


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
