"""kimic compile: packs, reports, refusals; never a file half written or overwritten unasked."""
import json
import re
import signal
import subprocess
from xml.etree import ElementTree

import pytest

from conftest import EXPERTS, KIMIC, ROOT, SHAPE, fann_text, random_weights, write_set

DEMO = ROOT / "examples/demo/experts.json"


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_writes_a_pack_and_a_table(kimic, small_set, tmp_path):
    result = kimic("compile", small_set, "-o", "small.kpk")
    assert (tmp_path / "small.kpk").read_bytes().startswith(b"\x89KPK\r\n\x1a\n")
    for word in ["alpha", "beta", "gamma", "router", "4 experts, 3 distinct kernels", "cold start: ", "as f32", "precision"]:
        assert word in result.stdout


def test_folder_stands_for_its_manifest(kimic, small_set, tmp_path):
    kimic("compile", tmp_path, "-o", "small.kpk")


def test_json_is_the_report(kimic, small_set, tmp_path):
    result = json.loads(kimic("compile", small_set, "-o", "small.kpk", "--json").stdout)
    assert result["schema"] == "kimic-compile/1"
    assert result["bytes"] == (tmp_path / "small.kpk").stat().st_size
    assert 1 <= result["cold_start"]["requests"] <= 4
    assert [expert["id"] for expert in result["report"]["experts"]] == ["beta", "alpha", "gamma", "router"]


def test_progress_goes_to_stderr(kimic, small_set):
    result = kimic("compile", small_set, "-o", "small.kpk")
    assert "compiling experts 4/4" in result.stderr and "compiling" not in result.stdout


def test_quiet_prints_only_the_result(kimic, small_set):
    assert kimic("compile", small_set, "-o", "small.kpk", "-q").stderr == ""


@pytest.mark.parametrize("manifest", [None, DEMO], ids=["small", "demo"])
def test_bytes_do_not_depend_on_the_number_of_threads(kimic, small_set, tmp_path, manifest):
    for jobs in (1, 8):
        kimic("compile", manifest or small_set, "-o", f"{jobs}.kpk", f"-j{jobs}", "-q")
    assert (tmp_path / "1.kpk").read_bytes() == (tmp_path / "8.kpk").read_bytes()


def test_existing_file_is_refused_and_unchanged(kimic, small_set, tmp_path):
    (tmp_path / "small.kpk").write_text("precious")
    before = files(tmp_path)
    result = kimic("compile", small_set, "-o", "small.kpk", code=1)
    assert "file exists already" in result.stderr and "--force" in result.stderr
    assert (tmp_path / "small.kpk").read_text() == "precious" and files(tmp_path) == before


def test_force_replaces_an_existing_file(kimic, small_set, tmp_path):
    (tmp_path / "small.kpk").write_text("old")
    kimic("compile", small_set, "-o", "small.kpk", "--force")
    assert (tmp_path / "small.kpk").stat().st_size > 1000


def test_failure_leaves_an_existing_file_alone(kimic, small_set, tmp_path):
    (tmp_path / "small.kpk").write_text("precious")
    (tmp_path / "beta.net").write_text("FANN_FLO_2.1\n")
    kimic("compile", small_set, "-o", "small.kpk", "--force", code=1)
    assert (tmp_path / "small.kpk").read_text() == "precious"


def test_success_leaves_no_other_file(kimic, small_set, tmp_path):
    before = files(tmp_path)
    kimic("compile", small_set, "-o", "small.kpk")
    assert files(tmp_path) == sorted([*before, "small.kpk"])


def test_missing_folder_is_refused(kimic, small_set):
    assert "no folder" in kimic("compile", small_set, "-o", "none/small.kpk", code=1).stderr


def test_interrupt_ends_with_130_and_leaves_nothing(tmp_path):
    # Many experts, so that the compilation lasts longer than the time until the signal.
    manifest = write_set(tmp_path, [{"id": f"e{i}", "domain": "Language"} for i in range(400)], router=None)
    text = json.loads(manifest.read_text())
    del text["router"]
    manifest.write_text(json.dumps(text))
    before = files(tmp_path)
    child = subprocess.Popen([KIMIC, "compile", manifest, "-o", tmp_path / "many.kpk", "--progress=plain"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    child.stderr.readline()  # the first line of progress: the compilation is under way
    child.send_signal(signal.SIGINT)
    _, messages = child.communicate(timeout=60)
    assert child.returncode == 130 and "cancelled" in messages
    assert files(tmp_path) == before


def test_missing_manifest(kimic):
    assert "there is no such file" in kimic("compile", "none.json", "-o", "x.kpk", code=1).stderr


def test_manifest_errors_tell_file_line_and_path(kimic, tmp_path):
    (tmp_path / "experts.json").write_text('{"kimic": 1, "name": "s", "experts": [\n'
                                           '  {"id": "a", "domain": "Codign", "network": "a.net"}]}')
    assert kimic("compile", "experts.json", "-o", "x.kpk", code=1).stderr == (
        'error: experts.json:2: experts[0].domain: unknown domain: found "Codign", expected "Coding"\n')


def test_manifest_of_the_future_is_unsupported(kimic, tmp_path):
    (tmp_path / "experts.json").write_text('{"kimic": 2}')
    kimic("compile", "experts.json", "-o", "x.kpk", code=5)


def test_unusual_parameter_count_warns(kimic, small_set):
    assert "warning: " in (text := kimic("compile", small_set, "-o", "x.kpk").stderr)
    assert "parameter count is unusual for a micro-expert: found 963" in text


def test_unusual_parameter_count_is_an_error_if_strict(kimic, small_set, tmp_path):
    kimic("compile", small_set, "-o", "x.kpk", "--strict", code=1)
    assert not (tmp_path / "x.kpk").exists()


def with_budget(**limits):
    return [{**EXPERTS[0], "accuracy": limits}, *EXPERTS[1:]]


IMPOSSIBLE = with_budget(max_error=1e-12)


def expert(result, id="alpha"):
    return next(e for e in json.loads(result.stdout)["report"]["experts"] if e["id"] == id)


def test_easy_set_passes_at_8_bits(kimic, tmp_path):
    limits = dict(max_drop=1, min_agreement=0, min_sqnr_db=20)
    result = kimic("compile", write_set(tmp_path, with_budget(**limits)), "-o", "x.kpk", "--json", "--allow-loss")
    assert expert(result)["precision"] == "int8"
    assert expert(result)["tries"] == [{**expert(result)["tries"][0], "precision": "int8", "missed": None}]


def test_hard_budget_escalates_and_says_why(kimic, tmp_path):
    result = kimic("compile", write_set(tmp_path, with_budget(min_sqnr_db=100)), "-o", "x.kpk", "--json")
    assert expert(result)["precision"] == "float32"
    assert "min_sqnr_db" in expert(result)["tries"][0]["missed"]
    assert "int16 misses it" in expert(result)["reason"]


def test_pack_of_escalated_experts_is_valid(kimic, tmp_path):
    experts = [{**EXPERTS[0], "accuracy": {"min_sqnr_db": 100}}, {**EXPERTS[1], "accuracy": {"min_sqnr_db": 55}},
               EXPERTS[2]]
    kimic("compile", write_set(tmp_path, experts), "-o", "x.kpk")
    kimic("verify", "x.kpk")


def test_missed_accuracy_budget_is_exit_code_4(kimic, tmp_path):
    result = kimic("compile", write_set(tmp_path, IMPOSSIBLE), "-o", "x.kpk", code=4)
    assert "experts[0].accuracy.max_error: the compiled expert misses its accuracy budget" in result.stderr
    assert not (tmp_path / "x.kpk").exists()


def test_missed_accuracy_budget_names_expert_layer_and_row(kimic, tmp_path):
    result = kimic("compile", write_set(tmp_path, IMPOSSIBLE), "-o", "x.kpk", code=4)
    assert re.search(r"\(alpha as float32; worst in layer \d+, row \d+ .*; largest error .* row \d+\)", result.stderr)


@pytest.mark.parametrize("option", ["--allow-loss", "--no-gate"])
def test_missed_budget_can_be_a_warning(kimic, tmp_path, option):
    assert "alpha" in kimic("compile", write_set(tmp_path, IMPOSSIBLE), "-o", "x.kpk", option).stderr


@pytest.mark.parametrize("option", ["--min-sqnr=1000", "--max-error=1e-12", "--max-kl=0"])
def test_limits_on_the_command_line_hold_for_all(kimic, small_set, option):
    assert "misses its accuracy budget" in kimic("compile", small_set, "-o", "x.kpk", option, code=4).stderr


def test_limits_on_the_command_line_go_before_the_manifest(kimic, tmp_path):
    kimic("compile", write_set(tmp_path, IMPOSSIBLE), "-o", "x.kpk", "--max-error=10")


def test_fractions_may_be_percent(kimic, small_set):
    result = kimic("compile", small_set, "-o", "x.kpk", "--json", "--max-drop=12.5%", "--min-agreement=0.5")
    assert expert(result)["budget"] == {"max_drop": 0.125, "min_agreement": 0.5}


@pytest.mark.parametrize("option", ["--max-drop=2", "--max-drop=-1", "--min-agreement=most", "--min-sqnr=-3",
                                    "--max-error=nan", "--report=report.txt"])
def test_nonsense_limits_are_usage_errors(kimic, small_set, option):
    kimic("compile", small_set, "-o", "x.kpk", option, code=2)


def test_measured_rows_are_not_calibration_rows(kimic, small_set):
    entry = expert(kimic("compile", small_set, "-o", "x.kpk", "--json"))
    assert (entry["calibrationRows"], entry["rows"], entry["measuredOn"]) == (30, 10, "held-out data")


def test_json_report_has_experts_layers_and_plots(kimic, small_set, tmp_path):
    kimic("compile", small_set, "-o", "x.kpk", "--report=report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["schema"] == "kimic-report/1"
    assert sorted(report["worstFirst"]) == [0, 1, 2, 3]
    by_id = {e["id"]: e for e in report["experts"]}
    for entry in report["experts"]:
        assert {"precision", "reason", "tries", "budget", "layerReports", "scatter", "sqnrDb", "predictedSqnrDb", "cosine",
                "maxError", "maxErrorRow", "weightBytes", "bytesPerParameter", "measuredOn"} <= entry.keys()
        assert len(entry["layerReports"]) == entry["layers"]
        assert sum(layer["weightBytes"] for layer in entry["layerReports"]) == entry["weightBytes"]
    assert {"agreement", "floatAccuracy", "compiledAccuracy", "accuracyChange95"} <= by_id["alpha"].keys()
    assert {"floatNmse", "compiledNmse"} <= by_id["gamma"].keys()
    assert {"kl", "top1Agreement", "topKAgreement", "reliability"} <= by_id["router"].keys()
    assert {"inputs", "outputs", "functions", "residualRows", "sqnrDb", "predictedSqnrDb", "maxError", "cosine",
            "worstRow", "worstRowSqnrDb"} <= by_id["alpha"]["layerReports"][0].keys()


def test_json_report_is_the_same_every_time(kimic, small_set, tmp_path):
    for jobs in (1, 4):
        kimic("compile", small_set, "-o", f"{jobs}.kpk", f"-j{jobs}", f"--report={jobs}.json")
    assert (tmp_path / "1.json").read_text() == (tmp_path / "4.json").read_text()


def test_html_report_is_well_formed_and_self_contained(kimic, small_set, tmp_path):
    kimic("compile", small_set, "-o", "x.kpk", "--report=report.html")
    text = (tmp_path / "report.html").read_text()
    page = ElementTree.fromstring(text.removeprefix("<!DOCTYPE html>"))
    tags = {element.tag.rpartition("}")[2] for element in page.iter()}
    assert not tags & {"script", "link", "img", "iframe", "object", "base"}
    assert not any(name in ("src", "href") for element in page.iter() for name in element.attrib)
    assert "url(" not in text and "@import" not in text and "prefers-color-scheme: dark" in text
    labels = [element.get("aria-label") for element in page.iter() if element.tag.endswith("}svg")]
    assert labels.count("SQNR of each layer") == labels.count("compiled outputs over float outputs") == 4
    assert labels.count("reliability of the router") == 1


@pytest.mark.parametrize("head, outputs", [("softmax", 3), ("argmax", 1), ("sigmoid", 3)])
def test_heads_are_part_of_the_expert(kimic, tmp_path, head, outputs):
    manifest = write_set(tmp_path, [{**EXPERTS[0], "head": head}, EXPERTS[1]], router=None)
    text = json.loads(manifest.read_text())
    del text["router"]
    manifest.write_text(json.dumps(text))
    (tmp_path / "alpha.net").write_text(fann_text(random_weights(0, *SHAPE), activation=0))
    kimic("compile", manifest, "-o", "x.kpk")
    rows = json.loads(kimic("run", "x.kpk", "--expert", "alpha", "--data", "rows.npy", "--json").stdout)["outputs"]
    assert len(rows[0]) == outputs
    if head == "softmax":
        assert all(abs(sum(row) - 1) < 1e-5 for row in rows)
    kimic("verify", "x.kpk")


@pytest.mark.parametrize("phase, dialect", [("import", "expert"), ("normalize", "expert"), ("calibrate", "expert"),
                                            ("quantize", "qexpert"), ("pack", "qexpert"), ("outline", "qexpert"),
                                            ("lower", "wasm")])
def test_stop_after_prints_ir(kimic, small_set, tmp_path, phase, dialect):
    before = files(tmp_path)
    ir = kimic("compile", small_set, f"--stop-after={phase}", "--emit=mlir", "-q").stdout
    assert re.search(rf"^\s*{dialect}\.", ir, re.M) and files(tmp_path) == before


def test_stop_after_writes_ir_to_a_file(kimic, small_set, tmp_path):
    assert kimic("compile", small_set, "--stop-after=quantize", "-o", "x.mlir").stdout == ""
    assert "qexpert." in (tmp_path / "x.mlir").read_text()


def test_ir_tree_has_a_folder_per_expert(kimic, small_set, tmp_path):
    kimic("compile", small_set, "-o", "x.kpk", "--print-ir-tree=ir")
    assert {"alpha", "beta", "gamma", "router"} <= {path.name for path in (tmp_path / "ir").iterdir()}
    assert any("quantize" in path.name for path in (tmp_path / "ir/alpha").iterdir())


def test_verbose_tells_more(kimic, small_set):
    assert "3 experts and a router" in kimic("compile", small_set, "-o", "x.kpk", "-v").stderr
