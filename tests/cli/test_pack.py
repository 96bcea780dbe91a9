"""inspect, run and verify, on good packs and on bad ones."""
import hashlib
import json
import re
import struct

import numpy as np
import pytest

from conftest import SHAPE


def flip(path, target, offset):
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    target.write_bytes(data)


def inspect(kimic, pack):
    return json.loads(kimic("inspect", pack, "--json").stdout)


def test_inspect_shows_experts_kernels_and_router(kimic, pack):
    text = kimic("inspect", pack).stdout
    assert re.search(r"^ *1  alpha +Reasoning +12-60-3 ", text, re.M)
    assert re.search(r"^router +router chooses 2 of 2 experts", text, re.M)
    assert re.search(r"^kernels +3 in 1 group: scalar, simd128", text, re.M)
    for section in ["header", "root", "leaves", "metadata", "kernels", "data"]:
        assert re.search(rf"^{section} +[\d,]+ +[\d,]+$", text, re.M)


def test_inspect_json(kimic, pack):
    facts = inspect(kimic, pack)
    assert facts["schema"] == "kimic-inspect/1" and facts["bytes"] == pack.stat().st_size
    assert facts["digest"] == hashlib.sha256(pack.read_bytes()[:256]).hexdigest()
    assert facts["header"]["variants"] == ["scalar", "simd128"]
    assert [(e["id"], e["domain"], e["inputs"], e["outputs"]) for e in facts["experts"]] == [
        ("beta", "Coding", 12, 3), ("alpha", "Reasoning", 12, 3), ("gamma", "Planning", 12, 3),
        ("router", facts["experts"][3]["domain"], 12, 2)]
    assert facts["experts"][0]["kernel"] == facts["experts"][1]["kernel"]
    assert {**facts["router"], "temperature": 1} == {
        "expert": "router", "routed": 2, "head": "softmax", "strategy": "top-k", "merge": "weighted", "top_k": 2,
        "temperature": 1}
    assert [(kernel["shape"], kernel["experts"]) for kernel in facts["kernels"]] == [
        ("12-60-3", 2), ("12-33-20-3", 1), ("12-20-2", 1)]
    assert facts["sections"][0] == {"name": "header", "offset": 0, "bytes": 256}
    assert facts["metadata"]["name"] == "small"


def test_run_is_near_the_float_original(kimic, pack):
    sources = pack.parent
    compiled = json.loads(kimic("run", pack, "--expert", "alpha", "--data", sources / "rows.data", "--json").stdout)
    original = json.loads(kimic("eval", sources / "alpha.net", "--data", sources / "rows.data", "--json").stdout)
    assert compiled["schema"] == "kimic-run/1" and compiled["expert"] == "alpha" and compiled["rows"] == 40
    assert np.abs(np.array(compiled["outputs"]) - np.array(original["outputs"])).max() < 0.02
    assert len(compiled["answers"]) == 40 and set(compiled["answers"]) <= {"low", "mid", "high"}
    assert compiled["mean_squared_error"] == pytest.approx(original["mean_squared_error"], abs=0.01)


def test_outputs_read_back_as_float32(kimic, pack):
    data = pack.parent / "rows.npy"
    result = json.loads(kimic("run", pack, "--expert", "gamma", "--data", data, "--json").stdout)
    text = kimic("run", pack, "--expert", "gamma", "--data", data).stdout
    assert [[np.float32(v) for v in row] for row in result["outputs"]] == [
        [np.float32(v) for v in line.split()] for line in text.splitlines()]
    assert all(float(str(np.float32(v))) == v for row in result["outputs"] for v in row)


def test_rows_may_come_as_npy(kimic, pack):
    runs = [json.loads(kimic("run", pack, "--expert", "beta", "--data", pack.parent / name, "--json").stdout)["outputs"]
            for name in ("rows.data", "rows.npy")]
    assert runs[0] == runs[1]


def test_text_output_is_answer_and_numbers(kimic, pack):
    lines = kimic("run", pack, "--expert", "alpha", "--data", pack.parent / "rows.npy").stdout.splitlines()
    assert len(lines) == 40
    assert all(re.fullmatch(r"(low|mid|high)\t\S+ \S+ \S+", line) for line in lines)


@pytest.mark.parametrize("rows", ["rows.npy", "rows.data"])
@pytest.mark.parametrize("what", [("--expert", "alpha"), ("--expert", "gamma"), ("--route",)])
def test_engines_compute_the_same_bits(kimic, pack, what, rows):
    outputs = [json.loads(kimic("run", pack, *what, "--engine", engine, "--data", pack.parent / rows, "--json").stdout)
               for engine in ("native", "reference")]
    assert outputs[0] == outputs[1]


def test_native_kernels_are_kept(kimic, pack, tmp_path):
    kept = tmp_path / "kernels"
    for _ in range(2):
        kimic("run", pack, "--expert", "alpha", "--data", pack.parent / "rows.npy", env={"KIMIC_NATIVE_CACHE": kept})
        assert len([path for path in kept.rglob("*") if path.is_file()]) == 1
    # A process that only reads them runs them.
    kimic("verify", pack, env={"KIMIC_NATIVE_CACHE": kept})
    assert "16 native kernel runs" in kimic("verify", pack, env={"KIMIC_NATIVE_CACHE": kept}).stdout


def test_expert_may_be_a_number(kimic, pack):
    data = pack.parent / "rows.npy"
    assert kimic("run", pack, "--expert", "#1", "--data", data).stdout == kimic(
        "run", pack, "--expert", "alpha", "--data", data).stdout


def test_router_runs_as_an_expert(kimic, pack):
    result = json.loads(kimic("run", pack, "--expert", "router", "--data", pack.parent / "rows.npy", "--json").stdout)
    assert len(result["outputs"][0]) == 2


def test_route_merges_the_chosen_experts(kimic, pack):
    data = pack.parent / "rows.npy"
    routed = json.loads(kimic("run", pack, "--route", "--data", data, "--json").stdout)
    single = {id: json.loads(kimic("run", pack, "--expert", id, "--data", data, "--json").stdout)["outputs"]
              for id in ("alpha", "beta")}
    for row, (route, merged) in enumerate(zip(routed["routes"], routed["outputs"])):
        assert {choice["expert"] for choice in route} == {"alpha", "beta"}
        assert sum(choice["weight"] for choice in route) == pytest.approx(1)
        assert route[0]["score"] >= route[1]["score"]
        expected = sum(choice["weight"] * np.array(single[choice["expert"]][row]) for choice in route)
        assert merged == pytest.approx(expected.tolist(), abs=1e-6)


def test_top_k_overrides_the_pack(kimic, pack):
    routed = json.loads(kimic("run", pack, "--route", "--top-k", 1, "--data", pack.parent / "rows.npy", "--json").stdout)
    assert all(len(route) == 1 and route[0]["weight"] == 1 for route in routed["routes"])


def test_too_many_experts_are_refused(kimic, pack):
    kimic("run", pack, "--route", "--top-k", 3, "--data", pack.parent / "rows.npy", code=1)


def test_unknown_expert_suggests_one(kimic, pack):
    result = kimic("run", pack, "--expert", "alhpa", "--data", pack.parent / "rows.npy", code=1)
    assert result.stderr.endswith('the pack has no such expert: found "alhpa", expected "alpha"\n')


def test_rows_of_another_width_are_refused(kimic, pack, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((2, 5), np.float32))
    result = kimic("run", pack, "--expert", "alpha", "--data", "x.npy", code=1)
    assert "found 5 input columns, expected 12 inputs" in result.stderr


def test_verify_runs_every_kernel_of_every_variant(kimic, pack):
    result = json.loads(kimic("verify", pack, "--json").stdout)
    assert result["ok"] is True and result["mismatches"] == 0
    # 4 experts x 2 variants x (20, 3 and 1 rows)
    assert (result["kernels"], result["kernel_runs"], result["kernel_rows"]) == (3, 24, 192)
    # 4 experts x (20 rows at once, and 1, 4 and 15 of them)
    assert (result["native_runs"], result["native_rows"]) == (16, 160)


def test_verify_says_what_it_found(kimic, pack):
    text = kimic("verify", pack).stdout
    assert "intact, 4 experts, 3 kernels (scalar, simd128)" in text
    assert "24 kernel runs of 192 rows in Node equal the reference to the bit" in text
    assert re.search(r"16 native kernel runs of 160 rows \(\w+\) equal the reference to the bit", text)


def test_verify_without_node_says_so(kimic, pack):
    error = kimic("verify", pack, code=1, env={"KIMIC_NODE": "/nonexistent/node"}).stderr
    assert "Node.js is needed" in error and "--integrity-only" in error


def test_integrity_needs_no_node(kimic, pack):
    kimic("verify", pack, "--integrity-only", env={"KIMIC_NODE": "/nonexistent/node"})


def test_broken_node_is_a_failure(kimic, pack):
    assert "Node failed with exit code 1" in kimic("verify", pack, code=1, env={"KIMIC_NODE": "false"}).stderr


def sections(kimic, pack):
    return {section["name"]: section for section in inspect(kimic, pack)["sections"]}


@pytest.mark.parametrize("name", ["header", "root", "leaves", "metadata", "kernels", "data"])
def test_damage_anywhere_is_exit_code_3(kimic, pack, tmp_path, name):
    section = sections(kimic, pack)[name]
    flip(pack, tmp_path / "bad.kpk", section["offset"] + section["bytes"] - 1)
    kimic("verify", "bad.kpk", "--integrity-only", code=3)


@pytest.mark.parametrize("command", [["inspect"], ["verify"], ["run", "--route", "--data", "x.data"]], ids=lambda c: c[0])
def test_something_else_than_a_pack_is_exit_code_3(kimic, tmp_path, command):
    (tmp_path / "x.kpk").write_text("<!doctype html><title>404</title>" + " " * 400)
    assert "magic" in kimic(command[0], "x.kpk", *command[1:], code=3).stderr


def test_truncated_pack_is_exit_code_3(kimic, pack, tmp_path):
    (tmp_path / "cut.kpk").write_bytes(pack.read_bytes()[:-100])
    kimic("inspect", "cut.kpk", code=3)


def with_hash_of_header(data):
    data[224:256] = hashlib.sha256(data[:224]).digest()
    return data


def test_pack_of_the_future_is_unsupported(kimic, pack, tmp_path):
    data = bytearray(pack.read_bytes())
    data[8:10] = struct.pack("<H", 2)
    (tmp_path / "new.kpk").write_bytes(with_hash_of_header(data))
    kimic("inspect", "new.kpk", code=5)


def with_metadata(kimic, pack, text):
    """The pack with other metadata of the same stored length, and every hash made right again."""
    data = bytearray(pack.read_bytes())
    place = sections(kimic, pack)
    begin, length = place["metadata"]["offset"], place["metadata"]["bytes"]
    data[begin:begin + length] = text.ljust(length).encode()
    row = 256 + 32  # stored length, raw length, codec, 3 zeros, SHA-256
    data[row:row + 12] = struct.pack("<IIBxxx", length, length, 0)
    data[row + 12:row + 44] = hashlib.sha256(data[begin:begin + length]).digest()
    root = place["root"]
    data[192:224] = hashlib.sha256(data[root["offset"]:root["offset"] + root["bytes"]]).digest()
    return with_hash_of_header(data)


@pytest.mark.parametrize("text", ["x", "[]", '{"a": ' + "[" * 100 + "]" * 100 + "}"], ids=["text", "array", "deep"])
def test_strange_metadata_leave_experts_without_names(kimic, pack, tmp_path, text):
    (tmp_path / "strange.kpk").write_bytes(with_metadata(kimic, pack, text))
    facts = inspect(kimic, "strange.kpk")
    assert facts["metadata"] is None and facts["experts"][1]["id"] == "#1"
    kimic("verify", "strange.kpk", code=3)


@pytest.mark.parametrize("experts", ["7", "[7]", '[{"id": 7, "labels": [7, {}]}]'])
def test_metadata_of_other_types_are_ignored(kimic, pack, tmp_path, experts):
    (tmp_path / "strange.kpk").write_bytes(with_metadata(kimic, pack, '{"name": [], "experts": ' + experts + "}"))
    assert "#0" in kimic("inspect", "strange.kpk").stdout
    kimic("run", "strange.kpk", "--route", "--data", pack.parent / "rows.npy")


def test_metadata_cannot_drive_the_terminal(kimic, pack, tmp_path):
    (tmp_path / "strange.kpk").write_bytes(with_metadata(kimic, pack, '{"name": "\\u001b[2J\\u009b2J"}'))
    assert "name        ?[2J?2J\n" in kimic("inspect", "strange.kpk").stdout


def patched_module(kimic, pack, old, new):
    """The pack with an instruction of its simd128 module replaced and every hash made right again."""
    module = inspect(kimic, pack)["groups"][0]["modules"]["simd128"]
    data = bytearray(pack.read_bytes())
    begin, end = module["offset"], module["offset"] + module["stored_bytes"]
    # The first occurrence is a literal even in an LZ4 block; later ones refer to it.
    at = data.index(old, begin, end)
    data[at:at + len(old)] = new
    digest = data.index(bytes.fromhex(module["sha256"]))
    data[digest:digest + 32] = hashlib.sha256(data[begin:end]).digest()
    root = next(s for s in inspect(kimic, pack)["sections"] if s["name"] == "root")
    data[192:224] = hashlib.sha256(data[root["offset"]:root["offset"] + root["bytes"]]).digest()
    return with_hash_of_header(data)


DOT, MUL = b"\xfd\xba\x01", b"\xfd\xb5\x01"  # i32x4.dot_i16x8_s, i32x4.mul


def test_kernel_that_computes_something_else_is_exit_code_3(kimic, pack, tmp_path):
    (tmp_path / "wrong.kpk").write_bytes(patched_module(kimic, pack, DOT, MUL))
    kimic("verify", "wrong.kpk", "--integrity-only")  # nothing but running it can show this
    result = kimic("verify", "wrong.kpk", code=3)
    assert re.search(r"kernel 0 \(simd128\), expert \w+, 1 rows: row 0, output \d is \S+, the reference computes \S+",
                     result.stderr)
    assert "kernel runs do not agree with the reference" in result.stderr


def test_kernel_that_may_not_run_is_exit_code_6(kimic, pack, tmp_path):
    # An instruction number that no engine knows.
    (tmp_path / "evil.kpk").write_bytes(patched_module(kimic, pack, DOT, b"\xfd\xff\x7f"))
    assert "kernel module" in kimic("verify", "evil.kpk", code=6).stderr
