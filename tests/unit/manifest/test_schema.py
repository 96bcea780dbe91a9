"""The JSON Schema of the manifest agrees with the reader: both take the good manifests, both refuse the bad ones."""
import json
import pathlib

import jsonschema
import pytest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
SCHEMA = json.loads((ROOT / "formats/spec/experts.schema.json").read_text())
BAD = json.loads((HERE / "bad-manifests.json").read_text())
GOOD = [HERE / "complete.json", *sorted((ROOT / "examples").glob("*/experts.json"))]
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def test_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_lists_for_each_expert_are_as_long_as_the_list_of_experts():
    router = SCHEMA["$defs"]["router"]["properties"]
    most = router["experts"]["maxItems"]
    assert most == 1 << 20
    assert [router[key]["maxItems"] for key in ("selection_bias", "merge_weights")] == [most, most]
    assert router["threshold"]["anyOf"][1]["maxItems"] == most
    assert [router[key]["maximum"] for key in ("top_k", "min_votes")] == [most, most]


@pytest.mark.parametrize("path", GOOD, ids=lambda path: str(path.relative_to(ROOT)))
def test_accepts(path):
    assert [error.message for error in VALIDATOR.iter_errors(json.loads(path.read_text()))] == []


@pytest.mark.parametrize("case", [c for c in BAD if c["schema"]], ids=lambda case: case["fact"])
def test_refuses(case):
    assert not VALIDATOR.is_valid(case["manifest"])


@pytest.mark.parametrize("case", [c for c in BAD if not c["schema"]], ids=lambda case: case["fact"])
def test_leaves_to_the_reader(case):
    """What a schema cannot say. A case that fails here can be refused by the schema: say so in the table."""
    assert VALIDATOR.is_valid(case["manifest"])
