"""The Python package: compiling, running, routing, errors."""

import concurrent.futures
import gc
import hashlib
import json
import struct
import threading

import kimic
import numpy as np
import pytest
from quantization import TanhExpert

f32 = np.float32


def layers_of(sizes, seed, activation="sigmoid_symmetric", steepness=0.5, gain=1.5):
    rng = np.random.default_rng(seed)
    return [
        kimic.Layer(
            (rng.standard_normal((outputs, inputs)) * gain / steepness / np.sqrt(inputs)).astype(f32),
            (rng.standard_normal(outputs) * 0.3).astype(f32),
            activation,
            steepness,
        )
        for inputs, outputs in zip(sizes, sizes[1:])
    ]


def inputs_of(columns, rows, seed, magnitude=1.0):
    return (np.random.default_rng(seed).uniform(-magnitude, magnitude, (rows, columns))).astype(f32)


def expert_of(sizes=(4, 6, 3), seed=1, id="e", **fields):
    fields.setdefault("calibration", inputs_of(sizes[0], 100, 7))
    return kimic.Expert(id, layers_of(sizes, seed), **fields)


def float_outputs(layers, x):
    """Float64, with FANN's clamp."""
    y = x.astype(np.float64)
    for layer in layers:
        t = layer.steepness * (y @ layer.weights.T.astype(np.float64) + layer.bias)
        y = np.tanh(np.clip(t, -150 / layer.steepness, 150 / layer.steepness))
    return y


# Running


@pytest.mark.parametrize("sizes", [(1, 1), (3, 1, 2), (4, 6, 3), (7, 33, 17, 5), (64, 128, 64, 16), (300, 9, 40)])
@pytest.mark.parametrize("magnitude", [1.0, 30.0])
def test_outputs_are_those_of_the_specification_to_the_bit(sizes, magnitude, tmp_path):
    layers = layers_of(sizes, seed=sum(sizes))
    calibration = inputs_of(sizes[0], 100, 7)
    x = inputs_of(sizes[0], 50, 11, magnitude)  # beyond the calibrated range codes saturate
    # Without a limit the weights stay 8 bits wide.
    expert = kimic.Expert("e", layers, calibration=calibration, accuracy={"min_sqnr_db": 0})
    pack = kimic.compile([expert])
    path = tmp_path / "e.kpk"
    pack.save(path)
    assert np.array_equal(pack.run(x), TanhExpert(path.read_bytes(), sizes).run(x))


def test_outputs_are_near_the_float_network():
    expert = expert_of((20, 40, 5))
    x = inputs_of(20, 200, 3)
    assert np.abs(kimic.compile([expert]).run(x) - float_outputs(expert.network, x)).max() < 0.03


def test_outputs_are_float32():
    assert kimic.compile([expert_of()]).run(inputs_of(4, 2, 3)).dtype == f32


def test_one_row_gives_one_row():
    pack = kimic.compile([expert_of()])
    x = inputs_of(4, 5, 3)
    assert np.array_equal(pack.run(x[2]), pack.run(x)[2])


def test_arrays_that_are_not_contiguous_float32_are_converted():
    pack = kimic.compile([expert_of()])
    x = inputs_of(4, 5, 3)
    assert np.array_equal(pack.run(np.asfortranarray(x.astype(np.float64))), pack.run(x))


def test_experts_are_run_by_name_and_by_number():
    pack = kimic.compile([expert_of(id="a", seed=1), expert_of(id="b", seed=2)])
    x = inputs_of(4, 5, 3)
    assert pack.experts == ["a", "b"]
    assert np.array_equal(pack.run(x, expert="b"), pack.run(x, expert=1))
    assert not np.array_equal(pack.run(x, expert="a"), pack.run(x, expert="b"))


@pytest.mark.parametrize("rows", [1, 3, 64])
def test_engines_compute_the_same_bits(rows):
    content = kimic.compile([expert_of((64, 128, 64, 16))]).to_bytes()
    x = inputs_of(64, rows, 3)
    assert np.array_equal(kimic.open(content, engine="native").run(x), kimic.open(content, engine="reference").run(x))


def test_unknown_engine_is_a_value_error():
    with pytest.raises(ValueError, match="'gpu' is not an engine"):
        kimic.open(kimic.compile([expert_of()]).to_bytes(), engine="gpu")


def test_threads_share_a_pack():
    pack = kimic.compile([expert_of((64, 128, 64, 16))])
    x = inputs_of(64, 200, 3)
    expected = pack.run(x)
    results = [None] * 4

    def work(i):
        results[i] = pack.run(x)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(result, expected) for result in results)


def test_bound_function_runs_on_what_its_array_holds():
    pack = kimic.compile([expert_of(id="a")])
    rows, x = inputs_of(4, 5, 3), np.zeros((1, 4), np.float32)
    run = pack.bind(x, expert="a")
    for row in rows:
        x[:] = row
        assert np.array_equal(run()[0], pack.run(row))


def test_bound_function_keeps_its_rows_whatever_shape_its_array_gets():
    pack = kimic.compile([expert_of()])
    x = inputs_of(4, 1, 3)
    expected = pack.run(x)
    run = pack.bind(x, expert=0)
    x.shape = (4, 1)
    assert run().shape == expected.shape and np.array_equal(run(), expected)


def test_bound_function_of_one_row_returns_one_row():
    pack = kimic.compile([expert_of()])
    x = inputs_of(4, 1, 3)[0]
    assert np.array_equal(pack.bind(x, expert=0)(), pack.run(x))


def test_bound_function_keeps_its_pack():
    x = inputs_of(4, 5, 3)
    expected = kimic.compile([expert_of()]).run(x)
    run = kimic.compile([expert_of()]).bind(x, expert=0)
    gc.collect()
    assert np.array_equal(run(), expected)


def test_threads_share_bound_functions():
    pack = kimic.compile([expert_of((64, 128, 64, 16))])
    inputs = [inputs_of(64, rows, 3) for rows in (1, 2, 100, 200)]  # some with and some without the interpreter's lock
    expected = [pack.run(x) for x in inputs]
    runs = [pack.bind(x, expert=0) for x in inputs]

    def wrong(i):
        return [n for n in range(100) if not np.array_equal(runs[i](), expected[i])]

    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        assert list(threads.map(wrong, range(4))) == [[]] * 4


def test_array_that_would_be_copied_is_not_bound():
    with pytest.raises(TypeError, match="row-major float32"):
        kimic.compile([expert_of()]).bind(np.zeros((1, 4)), expert=0)


def test_array_of_another_width_is_not_bound():
    with pytest.raises(kimic.Error):
        kimic.compile([expert_of()]).bind(np.zeros((1, 5), np.float32), expert=0)


# Packs


def test_saved_pack_is_opened_with_the_same_outputs(tmp_path):
    pack = kimic.compile([expert_of()])
    pack.save(tmp_path / "p.kpk")
    x = inputs_of(4, 5, 3)
    assert np.array_equal(kimic.open(tmp_path / "p.kpk").run(x), pack.run(x))
    assert np.array_equal(kimic.open(pack.to_bytes()).run(x), pack.run(x))
    assert [path.name for path in tmp_path.iterdir()] == ["p.kpk"]


def test_bytes_do_not_depend_on_jobs():
    experts = [expert_of(id=f"e{i}", seed=i, sizes=(4, 2 + i, 3)) for i in range(8)]
    assert kimic.compile(experts, jobs=1).to_bytes() == kimic.compile(experts, jobs=5).to_bytes()


def test_report_tells_sizes_and_errors():
    report = kimic.compile([expert_of((64, 128, 64, 16))]).report
    entry = report["experts"][0]
    assert entry["parameters"] == 64 * 128 + 128 + 128 * 64 + 64 + 64 * 16 + 16
    assert entry["floatBytes"] == 4 * entry["parameters"]
    assert 0 < entry["maxError"] < 0.05
    assert entry["sqnrDb"] > 35
    assert json.loads(json.dumps(report)) == report


def test_report_tells_accuracy_on_test_data():
    expert = expert_of((4, 6, 3), task="classification")
    x = inputs_of(4, 300, 3)
    targets = np.eye(3, dtype=f32)[float_outputs(expert.network, x).argmax(axis=1)]
    expert.test = (x, targets)
    entry = kimic.compile([expert]).report["experts"][0]
    assert entry["measuredOn"] == "test data"
    assert entry["floatAccuracy"] == 1.0
    assert entry["compiledAccuracy"] == entry["agreement"] >= 0.98


def test_report_is_a_page_in_a_notebook():
    page = kimic.compile([expert_of()]).report._repr_html_()
    assert page.startswith("<iframe") and "SQNR of each layer" in page and "sandbox" in page


def test_report_of_an_opened_pack_is_a_table_in_a_notebook():
    report = kimic.open(kimic.compile([expert_of()]).to_bytes()).report
    assert report._repr_html_().startswith("<table>") and "<td>e</td>" in report._repr_html_()


def test_report_becomes_a_plain_dict():
    report = kimic.compile([expert_of()]).report
    assert type(report.to_dict()) is dict and report.to_dict() == report


def test_report_becomes_data_frames():
    pytest.importorskip("pandas")
    report = kimic.compile([expert_of(id="a"), expert_of(id="b")]).report
    assert list(report.to_pandas()["id"]) == ["a", "b"]
    assert list(report.to_pandas(layers=True)["layer"]) == [1, 2, 1, 2]


def test_report_is_plotted():
    pytest.importorskip("matplotlib")
    report = kimic.compile([expert_of()]).report
    assert len(report.plot().axes) == 2
    assert len(report.plot("e").axes[0].patches) == 4  # two layers, measured and predicted
    with pytest.raises(KeyError, match="no expert 'x'"):
        report.plot("x")


def test_budget_of_an_expert_escalates_it():
    entry = kimic.compile([expert_of(accuracy={"min_sqnr_db": 100})]).report["experts"][0]
    assert entry["precision"] == "float32" and len(entry["tries"]) > 2


def test_budget_of_the_call_goes_before_the_experts():
    report = kimic.compile([expert_of(accuracy={"min_sqnr_db": 1000})], accuracy={"min_sqnr_db": 10}).report
    assert report["experts"][0]["budget"] == {"min_sqnr_db": 10}


def test_missed_budget_is_an_error_that_names_the_layer():
    with pytest.raises(kimic.Error, match="e as float32; worst in layer"):
        kimic.compile([expert_of()], accuracy={"min_sqnr_db": 1000})


def test_limits_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match="there is no limit 'max_drip'"):
        kimic.compile([expert_of()], accuracy={"max_drip": 0.1})


def test_softmax_head_gives_probabilities():
    x = inputs_of(4, 50, 3)
    expert = kimic.Expert("e", layers_of((4, 6, 3), 1, activation="linear"), calibration=inputs_of(4, 100, 7),
                          head="softmax", temperature=2)
    y = kimic.compile([expert]).run(x)
    logits = x.astype(np.float64)
    for layer in expert.network:
        logits = layer.steepness * (logits @ layer.weights.T + layer.bias)
    wanted = np.exp(logits / 2) / np.exp(logits / 2).sum(axis=1, keepdims=True)
    assert np.abs(y - wanted).max() < 0.01


def test_opened_pack_keeps_the_measured_accuracy(tmp_path):
    pack = kimic.compile([expert_of()])
    pack.save(tmp_path / "p.kpk")
    opened = kimic.open(tmp_path / "p.kpk")
    assert opened.report["experts"][0]["maxError"] == pack.report["experts"][0]["maxError"]


def test_expert_info_tells_shape_and_domain():
    info = kimic.compile([expert_of(domain="Mathematics", confidence_threshold=0.25)]).expert_info("e")
    assert (info["inputs"], info["outputs"], info["domain"]) == (4, 3, "Mathematics")
    assert info["confidence_threshold"] == 0.25


def test_progress_reaches_the_total():
    seen = []
    kimic.compile([expert_of(id="a"), expert_of(id="b")], progress=lambda *step: seen.append(step))
    assert seen[1] == ("experts", 2, 2)
    assert seen[-1] == ("pack", 1, 1)


def test_exception_in_progress_cancels():
    def stop(*_):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        kimic.compile([expert_of(id=f"e{i}") for i in range(5)], jobs=3, progress=stop)


# Manifests and routing


def net_of(layers):
    """The network as FANN_FLO_2.1."""
    sizes = [layers[0].weights.shape[1]] + [layer.weights.shape[0] for layer in layers]
    neurons, connections, first = [], [], 0
    for i, size in enumerate(sizes):
        for n in range(size):
            if i == 0:
                neurons.append("(0, 0, 0)")
            else:
                layer = layers[i - 1]
                neurons.append(f"({sizes[i - 1] + 1}, 5, {layer.steepness})")
                row = list(layer.weights[n]) + [layer.bias[n]]
                connections += [f"({first + k}, {float(w)!r})" for k, w in enumerate(row)]
        neurons.append("(0, 0, 0)")
        if i:
            first += sizes[i - 1] + 1
    return "\n".join([
        "FANN_FLO_2.1", f"num_layers={len(sizes)}", "connection_rate=1.0", "network_type=0",
        "layer_sizes=" + " ".join(str(size + 1) for size in sizes), "scale_included=0",
        "neurons (num_inputs, activation_function, activation_steepness)=" + " ".join(neurons),
        "connections (connected_to_neuron, weight)=" + " ".join(connections), ""])


@pytest.fixture
def routed(tmp_path):
    """A manifest of two experts and a router, with the layers by id."""
    layers = {"a": layers_of((4, 6, 3), 1), "b": layers_of((4, 6, 3), 2), "router": layers_of((4, 5, 2), 3)}
    for id, network in layers.items():
        (tmp_path / f"{id}.net").write_text(net_of(network))
    manifest = {
        "kimic": 1,
        "name": "two",
        "experts": [{"id": id, "network": f"{id}.net", "domain": "Reasoning", "input_range": [-1, 1]} for id in "ab"],
        "router": {"network": "router.net", "experts": ["b", "a"], "input_range": [-1, 1]},
    }
    (tmp_path / "experts.json").write_text(json.dumps(manifest))
    return tmp_path, layers


def test_manifest_is_compiled(routed):
    folder, layers = routed
    pack = kimic.compile(folder / "experts.json")
    assert pack.experts == ["b", "a", "router"]
    x = inputs_of(4, 50, 3)
    assert np.abs(pack.run(x, expert="a") - float_outputs(layers["a"], x)).max() < 0.03


def test_fann_file_and_arrays_give_the_same_outputs(routed):
    folder, layers = routed
    x = inputs_of(4, 50, 3)
    from_file = kimic.compile([kimic.Expert("e", folder / "a.net", input_range=[(-1, 1)])])
    from_arrays = kimic.compile([kimic.Expert("e", layers["a"], input_range=[(-1, 1)])])
    assert np.array_equal(from_file.run(x), from_arrays.run(x))


def test_router_chooses_the_expert_with_the_highest_score(routed):
    folder, _ = routed
    pack = kimic.compile(folder)
    for row in inputs_of(4, 20, 3):
        logits = pack.run(row, expert="router")
        route = pack.route(row)
        assert route.choices[0].number == int(logits.argmax())
        assert route.choices[0].expert == pack.experts[int(logits.argmax())]
        assert np.isclose(route.scores.sum(), 1, atol=1e-6)


def test_run_without_expert_is_routed(routed):
    folder, _ = routed
    pack = kimic.compile(folder)
    for row in inputs_of(4, 20, 3):
        assert np.array_equal(pack.run(row), pack.run(row, expert=pack.route(row).choices[0].expert))


# Errors


def test_missing_manifest_is_an_error_of_the_catalogue(tmp_path):
    with pytest.raises(kimic.Error) as error:
        kimic.compile(tmp_path / "none.json")
    assert error.value.name == "FileNotFound"
    assert error.value.kind == "not found"
    assert "none.json" in str(error.value)


def test_expert_that_overflows_is_refused_by_name():
    layers = layers_of((2, 2), 1)
    layers[0].weights = np.full((2, 2), 3e38, f32)
    with pytest.raises(kimic.Error, match="big: the expert cannot be compiled") as error:
        kimic.compile([kimic.Expert("big", layers, input_range=[(1, 2)])])
    assert error.value.number == 5000


def test_corrupt_pack_is_refused():
    content = bytearray(kimic.compile([expert_of()]).to_bytes())
    content[700] ^= 1  # the root, which starts at 640
    with pytest.raises(kimic.Error) as error:
        kimic.open(bytes(content))
    assert error.value.kind == "data loss"


def test_truncated_pack_is_refused():
    with pytest.raises(kimic.Error):
        kimic.open(kimic.compile([expert_of()]).to_bytes()[:100])


def test_wrong_number_of_inputs_is_refused():
    with pytest.raises(kimic.Error) as error:
        kimic.compile([expert_of()]).run(np.zeros((2, 5), f32))
    assert error.value.kind == "invalid argument"


def test_unknown_expert_is_a_key_error():
    with pytest.raises(KeyError, match="the pack has no expert 'x'; it has e"):
        kimic.compile([expert_of()]).run(np.zeros(4, f32), expert="x")


@pytest.mark.parametrize("id", ["", "router", "a/b", "..", "x" * 65])
def test_bad_id_is_a_value_error(id):
    with pytest.raises(ValueError, match="expert id"):
        kimic.compile([expert_of(id=id)])


def test_repeated_id_is_a_value_error():
    with pytest.raises(ValueError, match="same id"):
        kimic.compile([expert_of(), expert_of()])


def test_layers_that_do_not_fit_are_a_value_error():
    with pytest.raises(ValueError, match="layer 1 has 5 inputs, but the layer before has 3 outputs"):
        kimic.compile([kimic.Expert("e", layers_of((2, 3), 1) + layers_of((5, 1), 1))])


def test_unknown_activation_is_a_value_error():
    with pytest.raises(ValueError, match="'relu' is not one of FANN's twenty activation functions"):
        kimic.compile([kimic.Expert("e", layers_of((2, 3), 1, activation="relu"))])


def test_nan_weight_is_a_value_error():
    layers = layers_of((2, 3), 1)
    layers[0].weights[0, 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        kimic.compile([kimic.Expert("e", layers)])


def test_calibration_of_another_width_is_a_value_error():
    with pytest.raises(ValueError, match="calibration has 5 columns, but the network needs 4"):
        kimic.compile([expert_of(calibration=inputs_of(5, 10, 1))])


# Plans


def planned_set(folder):
    """top (5 inputs) reads two outputs of base and three features."""
    for name, sizes, seed in (("base", (4, 9, 3), 1), ("top", (5, 8, 2), 2), ("spare", (4, 7, 2), 3)):
        (folder / f"{name}.net").write_text(net_of(layers_of(sizes, seed)))
    (folder / "experts.json").write_text(json.dumps({"kimic": 1, "name": "planned", "features": 4, "experts": [
        {"id": "top", "domain": "Planning", "network": "top.net", "fallback": "spare", "input_range": [-1, 1],
         "reads": [{"expert": "base", "outputs": [1, 3]}, {"features": [0, 3]}]},
        {"id": "base", "domain": "Coding", "network": "base.net", "input_range": [-1, 1]},
        {"id": "spare", "domain": "Coding", "network": "spare.net", "input_range": [-1, 1]}]}))
    return folder / "experts.json"


def test_an_expert_runs_with_what_it_reads(tmp_path):
    path = planned_set(tmp_path)
    pack = kimic.compile(path, enforce_budgets=False)
    plain = json.loads(path.read_text())
    del plain["experts"][0]["reads"], plain["experts"][0]["fallback"]
    path.write_text(json.dumps(plain))
    alone = kimic.compile(path, enforce_budgets=False)
    x = inputs_of(4, 20, 5)
    inputs = np.hstack([alone.run(x, expert="base")[:, 1:3], x[:, :3]])
    assert np.array_equal(pack.run(x, expert="top"), alone.run(inputs, expert="top"))


def test_plan_tells_what_an_answer_takes(tmp_path):
    pack = kimic.compile(planned_set(tmp_path), enforce_budgets=False)
    plan = pack.plan(experts=["top"], measured={"base": 3.5})
    assert plan.groups == (("base",), ("top",)) and plan.experts == ("top",)
    assert [(step.expert, step.level, step.outputs) for step in plan.steps] == [("base", 0, 3), ("top", 1, 2)]
    assert plan.bytes == sum(pack.expert_info(id)["parameter_bytes"] for id in ["base", "top"])
    assert plan.fallbacks == (("spare",),)
    assert plan.steps[0].microseconds == 3.5 and plan.microseconds == 3.5 + plan.steps[1].microseconds
    with pytest.raises(ValueError):
        pack.plan()


def test_plan_of_a_row_on_which_the_router_abstains_is_empty(tmp_path):
    for name, seed in (("a", 1), ("b", 2), ("router", 3)):
        (tmp_path / f"{name}.net").write_text(net_of(layers_of((4, 5, 2), seed)))
    (tmp_path / "experts.json").write_text(json.dumps({"kimic": 1, "name": "unsure", "experts": [
        {"id": id, "domain": "Coding", "network": f"{id}.net", "input_range": [-1, 1]} for id in ("a", "b")],
        "router": {"network": "router.net", "experts": ["a", "b"], "threshold": 1, "input_range": [-1, 1]}}))
    pack = kimic.compile(tmp_path / "experts.json", enforce_budgets=False)
    x = inputs_of(4, 1, 5)[0]
    assert pack.route(x).choices == ()
    assert pack.plan(x) == kimic.Plan((), (), (), (), 0, 0, 0.0)


def with_metadata(pack, text):
    """The bytes of a pack without a plan with other metadata, and the hashes on the way to them right again."""
    data = bytearray(pack.to_bytes())
    text = text.encode()
    (root_length,) = struct.unpack_from("<Q", data, 56)
    (length,) = struct.unpack_from("<Q", data, 104)
    data[len(data) - length:] = text
    data[104:112] = struct.pack("<Q", len(text))
    end = 640 + root_length
    data[end - 44:end] = struct.pack("<IIBxxx", len(text), len(text), 0) + hashlib.sha256(text).digest()
    data[192:224] = hashlib.sha256(data[640:end]).digest()
    data[224:256] = hashlib.sha256(data[:224]).digest()
    return data


@pytest.mark.parametrize("text", [
    "x", "[]", pytest.param("[" * 100000, id="deep"), '{"experts": 7}', '{"experts": [7, {"id": 3}]}',
    '{"experts": [{"id": "e"}, {"id": "e"}]}',
    '{"experts": [{"fallback": 1}, 7]}', '{"experts": [{"fallback": true}]}', '{"experts": [{"fallback": 9}]}',
    '{"experts": [{"fallback": -1}]}', '{"experts": [{"fallback": "b"}]}', '{"report": [], "experts": []}',
    '{"report": {"experts": [7]}, "experts": []}', '{"report": {"experts": {"a": 1}}, "experts": []}'])
def test_hostile_metadata_are_names_at_most(tmp_path, text):
    pack = kimic.compile([expert_of(id="a", seed=1), expert_of(id="b", seed=2)])
    (tmp_path / "strange.kpk").write_bytes(with_metadata(pack, text))
    strange = kimic.open(tmp_path / "strange.kpk")
    assert len(strange.experts) == 2 and all(isinstance(name, str) for name in strange.experts)
    assert set(strange.plan(experts=[0]).fallbacks[0]) <= {strange.experts[1]}
    assert len(strange.report["experts"]) <= 2
    assert np.array_equal(strange.run(inputs_of(4, 2, 3), expert=1), pack.run(inputs_of(4, 2, 3), expert="b"))


def test_history_remembers_runs_for_the_next_visit(tmp_path):
    content = kimic.compile(planned_set(tmp_path), enforce_budgets=False).to_bytes()
    pack = kimic.open(content, history=True)
    x = np.zeros((2, pack.expert_info("base")["inputs"]), np.float32)
    pack.run(x, expert="base")
    pack.run(x, expert="base")
    seen = pack.experience("base")
    assert (seen.runs, seen.success) == (2, 1) and seen.microseconds > 0
    assert pack.experience("spare") == kimic.Experience(0.5, 0.5, 0.5, 0, 0)
    assert kimic.open(content, history=pack.export_history()).experience("base") == seen
    with pytest.raises(kimic.Error, match="history"):
        kimic.open(content, history=b"KHIS")


def test_resident_bonus_is_a_share(tmp_path):
    content = kimic.compile(planned_set(tmp_path), enforce_budgets=False).to_bytes()
    assert kimic.open(content, resident_bonus=0.05).experts == kimic.open(content).experts
    with pytest.raises(kimic.Error):
        kimic.open(content, resident_bonus=2)


def test_memory_is_a_cap_under_every_cache_policy(tmp_path):
    content = kimic.compile(planned_set(tmp_path), enforce_budgets=False).to_bytes()
    x = inputs_of(4, 20, 5)
    expected = [kimic.open(content).run(x, expert=expert) for expert in range(3)]
    for policy in ["lru", "score", "adaptive"]:
        pack = kimic.open(content, memory=192 << 10, cache_policy=policy)
        for expert in [0, 1, 2, 0]:
            assert np.array_equal(pack.run(x, expert=expert), expected[expert])
        assert pack.memory_usage()["peak"] <= 192 << 10
    with pytest.raises(ValueError, match="fifo"):
        kimic.open(content, cache_policy="fifo")
    with pytest.raises(kimic.Error, match="131072"):
        kimic.open(content, memory=1000)
