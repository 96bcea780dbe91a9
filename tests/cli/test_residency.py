"""What a bonus for experts in memory brings, and what it costs in right answers: on the demo's trained experts for
handwritten digits, in a stream of visits that each stay with one kind of image for a while."""

import json

import numpy as np
import pytest
from conftest import ROOT, run_kimic

DEMO = ROOT / "examples/demo"
EXPERTS = ["upright", "quarter_turn", "upside_down", "mirrored", "inverted", "noisy"]
TOP_K = 2


def fann_data(path):
    numbers = path.read_text().split()
    rows, inputs, _ = map(int, numbers[:3])
    table = np.array(numbers[3:], np.float32).reshape(rows, -1)
    return table[:, :inputs], table[:, inputs:].argmax(axis=1)


@pytest.fixture(scope="module")
def stream():
    """Images and labels of 200 visits."""
    kinds = [fann_data(DEMO / f"digits_{name}.test.data") for name in EXPERTS]
    random = np.random.default_rng(1)
    images, labels = [], []
    for _ in range(200):
        x, y = kinds[random.integers(len(kinds))]
        for i in random.integers(len(x), size=random.integers(5, 40)):
            images.append(x[i])
            labels.append(y[i])
    return np.array(images), np.array(labels)


@pytest.fixture(scope="module")
def answered(tmp_path_factory, stream):
    """The pack, a trace of the stream, the router's scores, and what each expert answers."""
    folder = tmp_path_factory.mktemp("residency")
    pack = folder / "demo.kpk"
    assert run_kimic("compile", DEMO, "-o", pack, "-q").returncode == 0
    np.save(folder / "x.npy", stream[0])

    def outputs(expert):
        result = run_kimic("run", pack, "--expert", expert, "--data", folder / "x.npy", "--json")
        return np.array(json.loads(result.stdout)["outputs"])

    logits = outputs("router")
    exponents = np.exp((logits - logits.max(axis=1, keepdims=True)) / 0.1)  # the demo's temperature
    scores = exponents / exponents.sum(axis=1, keepdims=True)
    chosen = np.argsort(-logits, axis=1, kind="stable")[:, :TOP_K]
    steps = [{"experts": e.tolist(), "logits": l.tolist()} for e, l in zip(chosen, logits)]
    (folder / "trace.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))
    answers = np.stack([outputs(f"digits-{name.replace('_', '-')}") for name in EXPERTS], axis=1)
    return pack, folder / "trace.jsonl", scores, answers


def played(scores, answers, labels, capacity, bonus):
    """Hit rate, and share of right answers, of a cache that evicts what was used longest ago."""
    resident, hits, right = [], 0, 0
    for row, outputs, label in zip(scores, answers, labels):
        key = row + bonus * np.isin(np.arange(len(row)), resident)
        key[row.argmax()] = 2  # the best one stays the best
        chosen = np.argsort(-key, kind="stable")[:TOP_K]
        for expert in chosen:
            if expert in resident:
                hits += 1
                resident.remove(expert)
            elif len(resident) == capacity:
                resident.remove(next(other for other in resident if other not in chosen))
            resident.append(expert)
        right += (row[chosen] @ outputs[chosen]).argmax() == label
    return hits / (TOP_K * len(scores)), right / len(scores)


@pytest.mark.parametrize("capacity", [2, 3, 4])
def test_a_small_bonus_brings_hits_near_the_optimum_and_costs_no_accuracy(kimic, stream, answered, capacity):
    pack, trace, scores, answers = answered
    _, labels = stream

    def simulated(bonus):
        # Experts of 3,056 and 3,216 bytes: room for so many of the larger, and not for one more of the smaller.
        result = json.loads(kimic("simulate", pack, "--trace", trace, "--memory", str(3216 * capacity), "--bonus",
                                  str(bonus), "--json").stdout)
        return {policy["policy"]: policy for policy in result["policies"]}

    plain, helped = simulated(0), simulated(0.02)
    for bonus, policies in ((0, plain), (0.02, helped)):
        hit_rate, _ = played(scores, answers, labels, capacity, bonus)
        assert policies["lru"]["hit_rate"] == pytest.approx(hit_rate, abs=1e-3)
    _, right = played(scores, answers, labels, capacity, 0)
    _, right_with_bonus = played(scores, answers, labels, capacity, 0.02)
    assert right > 0.9 and right_with_bonus >= right - 0.001
    for policy in ("lru", "score", "adaptive"):
        assert helped[policy]["hit_rate"] >= 0.95 * plain["belady"]["hit_rate"]


def test_simulate_reads_logits_for_a_pack_without_a_router(kimic, tmp_path):
    manifest = json.loads(DEMO.joinpath("experts.json").read_text())
    del manifest["router"]
    manifest["experts"] = [expert for expert in manifest["experts"] if expert["id"] in ("iris", "wine")]
    for name in ("iris", "wine"):
        for file in DEMO.glob(f"{name}.*"):
            (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "experts.json").write_text(json.dumps(manifest))
    kimic("compile", tmp_path / "experts.json", "-o", tmp_path / "two.kpk", "-q")
    (tmp_path / "t.jsonl").write_text('{"experts": [0], "logits": [1, 0]}\n' * 3)
    result = json.loads(kimic("simulate", tmp_path / "two.kpk", "--trace", tmp_path / "t.jsonl", "--memory", "50%",
                              "--json").stdout)
    assert {policy["hits"] for policy in result["policies"]} == {2}
