"""kimic eval against libfann itself, to the bit."""
import json
import struct

import numpy as np
import pytest

from conftest import fann_data, fann_text, random_weights


def evaluate(kimic, network, data, *options):
    return json.loads(kimic("eval", network, "--data", data, "--json", *options).stdout)


def bits(rows):
    return [[struct.pack("<f", float(value)) for value in row] for row in rows]


@pytest.mark.parametrize("activation", [0, 3, 5, 7, 10, 13, 14])
def test_outputs_are_those_of_libfann(kimic, tmp_path, floatfann, activation):
    (tmp_path / "a.net").write_text(fann_text(random_weights(activation, 7, 9, 4), activation))
    inputs = np.random.default_rng(1).uniform(-3, 3, (200, 7)).astype(np.float32)
    np.save(tmp_path / "x.npy", inputs)
    result = evaluate(kimic, "a.net", "x.npy")
    assert result["semantics"] == "fann" and result["format"] == "FANN_FLO_2.1"
    assert bits(result["outputs"]) == bits(floatfann.run(tmp_path / "a.net", inputs.tolist()))


def test_fixed_point_outputs_are_those_of_libfixedfann(kimic, tmp_path, fixedfann):
    point = 6
    random = np.random.default_rng(2)
    hidden, out = ([f"({k}, {w})" for k, w in zip(keys, random.integers(-90, 90, len(keys)))]
                   for keys in ([0, 1, 2] * 3, [3, 4, 5, 6] * 2))
    float_text = fann_text(random_weights(0, 2, 3, 2)).splitlines()
    lines = ["FANN_FIX_2.0", f"decimal_point={point}"]
    for line in float_text[1:]:
        key = line.split("=")[0]
        if key == "scale_included":
            continue
        if key in ("bit_fail_limit", "cascade_candidate_limit", "cascade_weight_multiplier"):
            line = f"{key}=22"
        elif key == "cascade_activation_steepnesses":
            line = key + "=" + 4 * "32 "
        elif key.startswith("neurons"):
            line = key + " activation_steepness)=" if "steepness" not in key else key + "="
            line += " ".join(["(0, 0, 0)"] * 3 + ["(3, 5, 32)"] * 3 + ["(0, 5, 0)"] + ["(4, 3, 32)"] * 2 + ["(0, 5, 0)"])
        elif key.startswith("connections"):
            line = key + "=" + " ".join(hidden + out) + " "
        lines.append(line)
    (tmp_path / "fixed.net").write_text("\n".join(lines) + "\n")
    # Multiples of 2^-6, so that nothing is lost on the way to integers.
    integers = random.integers(-100, 100, (50, 2))
    np.save(tmp_path / "x.npy", (integers / 2**point).astype(np.float32))
    result = evaluate(kimic, "fixed.net", "x.npy")
    assert result["semantics"] == "fann-fixed"
    expected = fixedfann.run(tmp_path / "fixed.net", integers.tolist())
    assert [[value * 2**point for value in row] for row in result["outputs"]] == expected


def test_ruv_fann_has_its_own_sigmoid(kimic, tmp_path):
    neuron = {"sum": 0.0, "value": 0.0, "activation_steepness": 1.0, "is_bias": False, "connections": []}
    network = {"layers": [
        {"neurons": [{**neuron, "activation_function": "Linear"},
                     {**neuron, "activation_function": "Linear", "is_bias": True, "value": 1.0}]},
        {"neurons": [{**neuron, "activation_function": "Sigmoid", "connections": [
            {"from_neuron": 0, "to_neuron": 0, "weight": 1.0}, {"from_neuron": 1, "to_neuron": 1, "weight": 0.0}]}]}],
        "connection_rate": 1.0}
    (tmp_path / "r.json").write_text(json.dumps(network))
    (tmp_path / "x.data").write_text("1 1 1\n1\n0\n")
    result = evaluate(kimic, "r.json", "x.data")
    assert result["semantics"] == "ruv-fann"
    assert result["outputs"][0][0] == pytest.approx(0.7310586, abs=1e-7)  # 1 / (1 + e^-1), not FANN's 1 / (1 + e^-2)


def test_scaling_parameters_apply_on_request(kimic, tmp_path):
    text = fann_text([np.array([[1, 0]], np.float32)], activation=0, steepness=1)
    scaling = ("scale_included=1\nscale_mean_in=10 \nscale_deviation_in=2 \nscale_new_min_in=-1 \nscale_factor_in=1 \n"
               "scale_mean_out=100 \nscale_deviation_out=5 \nscale_new_min_out=-1 \nscale_factor_out=1 \n")
    (tmp_path / "s.net").write_text(text.replace("scale_included=0\n", scaling))
    (tmp_path / "x.data").write_text("1 1 1\n14\n0\n")
    assert evaluate(kimic, "s.net", "x.data")["outputs"] == [[14.0]]
    assert evaluate(kimic, "s.net", "x.data", "--scale")["outputs"] == [[110.0]]  # (14 - 10) / 2 * 5 + 100


def test_numbers_are_the_shortest_that_read_back(kimic, tmp_path):
    (tmp_path / "i.net").write_text(fann_text([np.array([[1, 0]], np.float32)], activation=0, steepness=1))
    (tmp_path / "x.data").write_text("4 1 1\n0.1\n0\n149\n0\n1e-7\n0\n-0.333333333\n0\n")
    assert kimic("eval", "i.net", "--data", "x.data").stdout.split() == ["0.1", "149", "1e-07", "-0.33333334"]
    assert '"outputs": [\n    [0.1],\n    [149.0],\n    [1e-07],\n    [-0.33333334]\n  ]' in kimic(
        "eval", "i.net", "--data", "x.data", "--json").stdout


def test_targets_give_accuracy_and_error(kimic, tmp_path):
    (tmp_path / "i.net").write_text(fann_text([np.array([[1, 0, 0], [0, 1, 0]], np.float32)], activation=0, steepness=1))
    rows = np.array([[1, 0], [0, 1], [0.5, 0.25], [0, 1]])
    (tmp_path / "x.data").write_text(fann_data(rows, np.array([[1, 0], [0, 1], [0, 1], [0, 1]])))
    result = evaluate(kimic, "i.net", "x.data")
    assert result["accuracy"] == 0.75
    assert result["mean_squared_error"] == (0.5**2 + 0.75**2) / 8


@pytest.mark.parametrize("name, text, code, error", [
    ("missing.net", None, 1, "there is no such file"),
    ("snns.net", "SNNS network definition file V1.4-3D\n", 5, "SNNS"),
    ("cut.net", fann_text(random_weights(0, 3, 2))[:-60], 1, "cut.net"),
])
def test_bad_networks_are_refused(kimic, tmp_path, name, text, code, error):
    if text is not None:
        (tmp_path / name).write_text(text)
    (tmp_path / "x.data").write_text("1 3 2\n1 2 3\n0 0\n")
    assert error in kimic("eval", name, "--data", "x.data", code=code).stderr


def test_rows_of_another_width_are_refused(kimic, tmp_path):
    (tmp_path / "a.net").write_text(fann_text(random_weights(0, 3, 2)))
    (tmp_path / "x.data").write_text("1 4 2\n1 2 3 4\n0 0\n")
    assert "found 4 input columns, expected 3 inputs" in kimic("eval", "a.net", "--data", "x.data", code=1).stderr
