"""kimic compile: packs, reports, refusals; never a file half written or overwritten unasked."""
import json
import re
import signal
import subprocess

import pytest

from conftest import EXPERTS, KIMIC, ROOT, write_set

DEMO = ROOT / "examples/demo/experts.json"


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_writes_a_pack_and_a_table(kimic, small_set, tmp_path):
    result = kimic("compile", small_set, "-o", "small.kpk")
    assert (tmp_path / "small.kpk").read_bytes().startswith(b"\x89KPK\r\n\x1a\n")
    for word in ["alpha", "beta", "gamma", "router", "4 experts, 3 distinct kernels", "cold start: ", "as f32", "as int8"]:
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


BUDGET = [{**EXPERTS[0], "accuracy": {"max_error": 1e-9}}, *EXPERTS[1:]]


def test_missed_accuracy_budget_is_exit_code_4(kimic, tmp_path):
    result = kimic("compile", write_set(tmp_path, BUDGET), "-o", "x.kpk", code=4)
    assert "experts[0].accuracy.max_error: the compiled expert misses its accuracy budget" in result.stderr
    assert not (tmp_path / "x.kpk").exists()


def test_allow_loss_makes_a_missed_budget_a_warning(kimic, tmp_path):
    assert "alpha" in kimic("compile", write_set(tmp_path, BUDGET), "-o", "x.kpk", "--allow-loss").stderr


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
