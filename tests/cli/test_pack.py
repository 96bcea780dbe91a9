"""inspect, run and verify, on good packs and on bad ones."""
import hashlib
import http.server
import json
import re
import struct
import subprocess
import sys
import threading

import numpy as np
import pytest

from conftest import ROOT, SHAPE, write_set

sys.path.insert(0, str(ROOT / "tests/python"))
from quantization import lz4_decoded, sparse_decoded

DOMAINS = ["Reasoning", "Coding", "Language", "Mathematics", "ToolUse", "Context", "Planning", "Creativity"]


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
    for section in ["header", "signatures", "root", "first", "leaves", "data", "scalar", "metadata"]:
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
        "temperature": 1, "scale": 1, "normalised": True, "threshold": 0, "min_votes": 0, "fallback": None,
        "columns": []}
    assert [(kernel["shape"], kernel["experts"]) for kernel in facts["kernels"]] == [
        ("12-20-2", 1), ("12-60-3", 2), ("12-33-20-3", 1)]
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


@pytest.mark.parametrize("name", ["header", "signatures", "root", "first", "leaves", "data", "scalar", "metadata"])
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
    """The pack with other metadata of the same stored length, and every hash and the content id made right again."""
    data = bytearray(pack.read_bytes())
    place = sections(kimic, pack)
    begin, length = place["metadata"]["offset"], place["metadata"]["bytes"]
    data[begin:begin + length] = text.ljust(length).encode()
    row = place["root"]["offset"] + place["root"]["bytes"] - 44  # stored length, raw length, codec, 3 zeros, SHA-256
    data[row:row + 12] = struct.pack("<IIBxxx", length, length, 0)
    data[row + 12:row + 44] = hashlib.sha256(data[begin:begin + length]).digest()
    root = place["root"]
    data[192:224] = hashlib.sha256(data[root["offset"]:root["offset"] + root["bytes"]]).digest()
    data[128:160] = content_id(data, inspect(kimic, pack))
    return with_hash_of_header(data)


@pytest.mark.parametrize("text", ["x", "[]", '{"a": ' + "[" * 100 + "]" * 100 + "}"], ids=["text", "array", "deep"])
def test_strange_metadata_leave_experts_without_names(kimic, pack, tmp_path, text):
    (tmp_path / "strange.kpk").write_bytes(with_metadata(kimic, pack, text))
    facts = inspect(kimic, "strange.kpk")
    assert facts["metadata"] is None and facts["experts"][1]["id"] == "#1"
    assert "metadata are not one JSON object" in kimic("verify", "strange.kpk", code=3).stderr


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


def raw_bytes(data, row):
    """Of the block that a row of inspect describes."""
    stored = bytes(data[row["offset"]:row["offset"] + row["stored_bytes"]])
    decode = {"stored": bytes, "lz4": lz4_decoded, "sparse": lambda block: sparse_decoded(block, row["raw_bytes"])}
    return decode[row["codec"]](stored)


def content_id(data, facts):
    """pack-v1 §9, of a pack with a router and without next experts. `facts`: what inspect says about it."""
    def raw_hash(row):
        return hashlib.sha256(raw_bytes(data, row)).digest()

    place = {section["name"]: section for section in facts["sections"]}
    root_end = place["root"]["offset"] + place["root"]["bytes"]
    metadata = {"offset": place["metadata"]["offset"], "stored_bytes": place["metadata"]["bytes"],
                "raw_bytes": struct.unpack_from("<I", data, root_end - 40)[0],
                "codec": ["stored", "lz4"][data[root_end - 36]]}
    text = b"kimic-content-v1\0" + data[32:40] + bytes([data[25], data[27], data[29], data[30]]) + data[640:704]
    text += raw_hash(metadata)
    for group in facts["groups"]:
        for row in [group["signatures"], group["modules"]["scalar"], group["modules"]["simd128"]]:
            text += raw_hash(row)
    *listed, router = facts["experts"]
    for expert in listed:
        text += struct.pack("<IBBf", expert["kernel"], DOMAINS.index(expert["domain"]), 0,
                            expert["confidence_threshold"])
        text += raw_hash(expert["data"]) + b"\0"
    return hashlib.sha256(text + raw_hash(router["data"])).digest()


def test_content_id_is_that_of_the_specification(kimic, pack):
    assert content_id(pack.read_bytes(), inspect(kimic, pack)).hex() == inspect(kimic, pack)["content_id"]


def test_kernel_that_computes_something_else_is_exit_code_3(kimic, pack, tmp_path):
    data = bytearray(patched_module(kimic, pack, DOT, MUL))
    data[128:160] = content_id(data, inspect(kimic, pack))
    (tmp_path / "wrong.kpk").write_bytes(with_hash_of_header(data))
    kimic("verify", "wrong.kpk", "--integrity-only")  # nothing but running it can show this
    result = kimic("verify", "wrong.kpk", code=3)
    assert re.search(r"kernel 0 \(simd128\), expert \w+, 1 rows: row 0, output \d is \S+, the reference computes \S+",
                     result.stderr)
    assert "kernel runs do not agree with the reference" in result.stderr


def test_kernel_that_is_not_of_the_contents_is_exit_code_3(kimic, pack, tmp_path):
    (tmp_path / "wrong.kpk").write_bytes(patched_module(kimic, pack, DOT, MUL))
    assert "content id" in kimic("verify", "wrong.kpk", code=3).stderr


def test_kernel_that_may_not_run_is_exit_code_6(kimic, pack, tmp_path):
    # An instruction number that no engine knows.
    (tmp_path / "evil.kpk").write_bytes(patched_module(kimic, pack, DOT, b"\xfd\xff\x7f"))
    assert "kernel module" in kimic("verify", "evil.kpk", code=6).stderr


PEM = "-----BEGIN PRIVATE KEY-----"


@pytest.fixture
def keys(kimic, tmp_path):
    """Private key files a and b, and their public halves."""
    return {name: kimic("keygen", "-o", f"{name}.pem").stdout.strip() for name in "ab"}


def test_keygen_writes_a_private_key_for_its_owner_alone(kimic, tmp_path):
    public = json.loads(kimic("keygen", "-o", "key.pem", "--json").stdout)["public_key"]
    assert re.fullmatch("[0-9a-f]{64}", public)
    assert (tmp_path / "key.pem").read_text().startswith(PEM)
    assert (tmp_path / "key.pem").stat().st_mode & 0o077 == 0
    kimic("keygen", "-o", "key.pem", code=1)


def test_signing_keeps_the_digest_and_verifies(kimic, pack, tmp_path, keys):
    signed = json.loads(kimic("sign", pack, "--key", "a.pem", "-o", "signed.kpk", "--json").stdout)
    before, after = inspect(kimic, pack), inspect(kimic, "signed.kpk")
    assert signed["signed_by"] == after["signed_by"] == [keys["a"]] and before["signed_by"] == []
    assert before["digest"] == after["digest"] == signed["digest"]
    result = json.loads(kimic("verify", "signed.kpk", "--integrity-only", "--pubkey", keys["a"], "--json").stdout)
    assert result["signed_by"] == keys["a"]


def test_signatures_are_those_of_openssl(kimic, pack, tmp_path, keys):
    kimic("sign", pack, "--key", "a.pem", "-o", "signed.kpk")
    data = (tmp_path / "signed.kpk").read_bytes()
    assert data[256:288].hex() == keys["a"]
    (tmp_path / "message").write_bytes(b"kimic-pack-v1\0" + hashlib.sha256(data[:256]).digest())
    (tmp_path / "signature").write_bytes(data[288:352])
    subprocess.run(["openssl", "pkeyutl", "-verify", "-rawin", "-inkey", "a.pem", "-in", "message", "-sigfile",
                    "signature"], cwd=tmp_path, check=True, capture_output=True)


def test_keys_of_openssl_serve(kimic, pack, tmp_path):
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", "key.pem"], cwd=tmp_path, check=True)
    subprocess.run(["openssl", "pkey", "-in", "key.pem", "-pubout", "-out", "public.pem"], cwd=tmp_path, check=True)
    kimic("sign", pack, "--key", "key.pem", "-o", "signed.kpk")
    kimic("verify", "signed.kpk", "--integrity-only", "--pubkey", "public.pem")


def test_a_pack_without_a_trusted_signature_is_exit_code_6(kimic, pack, keys):
    assert "of a trusted key" in kimic("verify", pack, "--pubkey", keys["a"], code=6).stderr
    kimic("sign", pack, "--key", "a.pem", "-o", "signed.kpk")
    kimic("verify", "signed.kpk", "--pubkey", keys["b"], code=6)


def test_a_wrong_signature_is_exit_code_6(kimic, pack, tmp_path, keys):
    kimic("sign", pack, "--key", "a.pem", "-o", "signed.kpk")
    flip(tmp_path / "signed.kpk", tmp_path / "bad.kpk", 300)
    assert "not valid" in kimic("verify", "bad.kpk", "--pubkey", keys["a"], code=6).stderr


def test_keys_rotate(kimic, pack, keys):
    kimic("sign", pack, "--key", "a.pem", "-o", "signed.kpk")
    kimic("sign", "signed.kpk", "--key", "b.pem")
    for key in keys.values():
        kimic("verify", "signed.kpk", "--integrity-only", "--pubkey", key)
    kimic("sign", "signed.kpk", "--remove", keys["a"])
    assert inspect(kimic, "signed.kpk")["signed_by"] == [keys["b"]]


def test_diff_of_equal_contents(kimic, pack):
    result = json.loads(kimic("diff", pack, pack, "--exit-code", "--json").stdout)
    assert result["same_contents"] is True
    assert result["added"] == result["removed"] == result["changed"] == result["pack"] == []


def test_diff_names_experts_and_what_changed(kimic, pack, tmp_path):
    experts = [{"id": "beta", "domain": "Language"}, {"id": "alpha", "domain": "Reasoning"}, {"id": "delta"}]
    kimic("compile", write_set(tmp_path, experts=[{"domain": "Planning", **e} for e in experts]), "-o", "other.kpk")
    result = json.loads(kimic("diff", pack, "other.kpk", "--json").stdout)
    assert (result["added"], result["removed"]) == (["delta"], ["gamma"])
    assert {change["id"]: change["what"] for change in result["changed"]}["beta"] == ["parameters", "domain"]
    kimic("diff", pack, "other.kpk", "--exit-code", code=1)


def test_extracted_experts_compute_the_same(kimic, pack):
    kimic("extract", pack, "gamma", "alpha", "-o", "two.kpk")
    assert [expert["id"] for expert in inspect(kimic, "two.kpk")["experts"]] == ["gamma", "alpha"]
    kimic("verify", "two.kpk")
    run = ["--expert", "gamma", "--data", pack.parent / "rows.npy"]
    assert kimic("run", "two.kpk", *run).stdout == kimic("run", pack, *run).stdout


def test_extracted_router_computes_its_logits(kimic, pack, tmp_path):
    manifest = write_set(tmp_path)
    content = json.loads(manifest.read_text())
    content["router"].update(head="sigmoid", selection_bias=[0, 1])
    manifest.write_text(json.dumps(content))
    kimic("compile", manifest, "-o", "biased.kpk", "--allow-loss")
    kimic("extract", "biased.kpk", "router", "-o", "router.kpk")
    kimic("verify", "router.kpk")
    run = ["--expert", "router", "--data", pack.parent / "rows.npy"]
    assert kimic("run", "router.kpk", *run).stdout == kimic("run", "biased.kpk", *run).stdout


def test_an_expert_is_extracted_once(kimic, pack):
    assert "'gamma' is named twice" in kimic("extract", pack, "gamma", "gamma", "-o", "two.kpk", code=2).stderr


def test_extract_refuses_a_folder(kimic, tmp_path):
    assert "a directory" in kimic("extract", tmp_path, "gamma", "-o", "x.kpk", code=1).stderr


def test_extract_writes_raw_bytes(kimic, pack, tmp_path):
    facts = inspect(kimic, pack)["experts"][1]
    kimic("extract", pack, "alpha", "--what", "parameters", "-o", "alpha.bin")
    assert (tmp_path / "alpha.bin").read_bytes() == raw_bytes(pack.read_bytes(), facts["data"])
    kimic("extract", pack, "alpha", "--what", "signature", "-o", "alpha.sig")
    assert (tmp_path / "alpha.sig").read_bytes()[:4] == bytes([1, 0, 12, 2])
    kimic("extract", pack, "alpha", "beta", "--what", "parameters", "-o", "x", code=2)


class Ranges(http.server.SimpleHTTPRequestHandler):
    """Serves one file by ranges, or as a whole if the server is told to ignore them."""
    def do_GET(self):
        data = self.server.data
        self.server.requests.append(self.headers["Range"])
        begin, end = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"]).groups())
        part = data if self.server.ignores else data[begin:end + 1]
        self.send_response(200 if self.server.ignores else 206)
        if not self.server.ignores:
            self.send_header("Content-Range", f"bytes {begin}-{begin + len(part) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(pack):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ranges) as server:
        server.data, server.requests, server.ignores = pack.read_bytes(), [], False
        server.url = f"http://127.0.0.1:{server.server_port}/small.kpk"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_inspect_reads_a_url_by_ranges(kimic, pack, server):
    remote, local = inspect(kimic, server.url), inspect(kimic, pack)
    assert {**remote, "pack": ""} == {**local, "pack": ""}
    assert server.requests[0] == "bytes=0-16383"


def test_inspect_reads_the_whole_pack_once_from_a_server_without_ranges(kimic, pack, server):
    server.ignores = True
    remote, local = inspect(kimic, server.url), inspect(kimic, pack)
    assert {**remote, "pack": ""} == {**local, "pack": ""}
    assert len(server.requests) == 1


def test_inspect_refuses_a_large_pack_from_a_server_without_ranges(kimic, server):
    server.ignores, server.data = True, server.data + bytes(64 << 20)
    assert "ignores ranges and the whole pack exceeds the 67108864 bytes" in kimic("inspect", server.url, code=5).stderr


def test_urls_are_shown_without_their_password(kimic, server):
    server.ignores, server.data = True, server.data + bytes(64 << 20)
    error = kimic("inspect", server.url.replace("//", "//me:secret@"), code=5).stderr
    assert server.url in error and "secret" not in error
