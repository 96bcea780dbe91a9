"""--trace and routing_data: the pack is laid out by use, and nothing else changes."""
import json

import jsonschema
import numpy as np
import pytest

from conftest import ROOT, write_set

SCHEMA = jsonschema.Draft202012Validator(json.loads((ROOT / "formats/spec/traces.schema.json").read_text()))
IDS = [f"e{i:02}" for i in range(12)]
# e00 and e11 are used together, and so are e01 and e10; e05 follows e00.
STEPS = [step for i in range(20) for step in
         [{"experts": ["e00", "e11"], "sequence": i}, {"experts": ["e05"], "sequence": i},
          {"experts": ["e01", "e10"], "sequence": f"other {i}"}]]


@pytest.fixture
def plain(tmp_path):
    manifest = write_set(tmp_path, [{"id": i, "domain": "Language"} for i in IDS])
    text = json.loads(manifest.read_text())
    del text["router"]
    manifest.write_text(json.dumps(text))
    return manifest


@pytest.fixture
def trace(tmp_path):
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(json.dumps(step) + "\n" for step in STEPS))
    return path


def experts(kimic, pack):
    return json.loads(kimic("inspect", pack, "--json").stdout)["experts"]


def order(kimic, pack):
    """Ids by place in the file."""
    return [e["id"] for e in sorted(experts(kimic, pack), key=lambda e: e["data"]["offset"])]


def test_without_a_trace_the_order_is_the_manifests(kimic, plain):
    kimic("compile", plain, "-o", "x.kpk")
    assert order(kimic, "x.kpk") == IDS


def test_experts_used_together_lie_together(kimic, plain, trace):
    kimic("compile", plain, "-o", "x.kpk", "--trace", trace)
    found = order(kimic, "x.kpk")
    place = {id: found.index(id) for id in IDS}
    assert {found[i] for i in range(5)} == {"e00", "e11", "e05", "e01", "e10"}
    assert abs(place["e00"] - place["e11"]) == 1 and abs(place["e01"] - place["e10"]) == 1
    assert found[5:] == [id for id in IDS if id not in found[:5]]
    assert [e["id"] for e in experts(kimic, "x.kpk")] == IDS
    kimic("verify", "x.kpk")


def test_routing_data_of_the_manifest_is_the_same(kimic, plain, trace, tmp_path):
    kimic("compile", plain, "-o", "a.kpk", "--trace", trace)
    text = json.loads(plain.read_text())
    plain.write_text(json.dumps({**text, "routing_data": "trace.jsonl"}))
    kimic("compile", plain, "-o", "b.kpk")
    assert (tmp_path / "a.kpk").read_bytes() == (tmp_path / "b.kpk").read_bytes()


def test_arrays_are_the_same_trace(kimic, plain, trace, tmp_path):
    (tmp_path / "arrays").mkdir()
    names = {}
    chosen = [[IDS.index(id) for id in step["experts"]] for step in STEPS]
    np.save(tmp_path / "arrays/experts.npy", [row + [-1] * (2 - len(row)) for row in chosen])
    np.save(tmp_path / "arrays/sequence.npy", [names.setdefault(s["sequence"], len(names)) for s in STEPS])
    kimic("compile", plain, "-o", "a.kpk", "--trace", trace)
    kimic("compile", plain, "-o", "b.kpk", "--trace", "arrays")
    assert (tmp_path / "a.kpk").read_bytes() == (tmp_path / "b.kpk").read_bytes()


def test_answers_do_not_depend_on_the_trace(kimic, plain, trace):
    kimic("compile", plain, "-o", "a.kpk")
    kimic("compile", plain, "-o", "b.kpk", "--trace", trace)
    for id in IDS[:2]:
        answers = [kimic("run", pack, "--expert", id, "--data", "rows.npy", "--json").stdout
                   for pack in ("a.kpk", "b.kpk")]
        assert json.loads(answers[0])["outputs"] == json.loads(answers[1])["outputs"]


@pytest.mark.parametrize("line, message", [
    ('{"experts": ["e99"]}', "trace.jsonl:2: column 14: experts: no expert of the set"),
    ('{"expert": ["e00"]}', 'expected "experts"'), ("nonsense", "column 1: ")])
def test_errors_name_line_and_column(kimic, plain, trace, line, message):
    trace.write_text('{"experts": ["e00"]}\n' + line + "\n")
    assert message in kimic("compile", plain, "-o", "x.kpk", "--trace", trace, code=1).stderr


def test_empty_trace_is_refused(kimic, plain, trace):
    trace.write_text("\n\n")
    assert "trace has no steps" in kimic("compile", plain, "-o", "x.kpk", "--trace", trace, code=1).stderr


def test_schema_and_reader_accept_every_key(kimic, tmp_path):
    step = {"experts": ["alpha", 0], "weights": [0.75, 0.25], "features": [0.5] * 12, "logits": [2.5, -1],
            "outcome": 0.5, "target": "alpha", "sequence": "one", "metadata": {"ms": 3}}
    assert set(step) == set(SCHEMA.schema["properties"])
    SCHEMA.validate(step)
    (tmp_path / "steps.jsonl").write_text(json.dumps(step) + "\n")
    kimic("compile", write_set(tmp_path), "-o", "x.kpk", "--trace", "steps.jsonl")


def test_schema_accepts_what_the_reader_accepts():
    SCHEMA.check_schema(SCHEMA.schema)
    for step in STEPS:
        SCHEMA.validate(step)
    assert not SCHEMA.is_valid({"expert": ["a"]}) and not SCHEMA.is_valid({"experts": []})
