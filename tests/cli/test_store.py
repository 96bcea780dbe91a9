"""kimic compile --cas, --shard, kimic merge: the bytes of a single build, from any store, after any accident."""
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import time

import pytest

from conftest import EXPERTS, KIMIC, ROOT, write_set
from store_server import StoreServer

DEMO = ROOT / "examples/demo/experts.json"
IDS = ["alpha", "beta", "gamma", "router"]


@pytest.fixture
def server():
    server = StoreServer()
    yield server
    server.close()


@pytest.fixture
def single(kimic, small_set, tmp_path):
    kimic("compile", small_set, "-o", "single.kpk", "-q")
    return (tmp_path / "single.kpk").read_bytes()


def compile_cas(kimic, small_set, tmp_path, store, *options):
    """(pack, reused, compiled, stderr)"""
    result = kimic("compile", small_set, "-o", "out.kpk", "--force", "--json", "--progress=none", "--cas", store, *options)
    counts = json.loads(result.stdout)["store"]
    return (tmp_path / "out.kpk").read_bytes(), counts["reused"], counts["compiled"], result.stderr


def entries(store, kind):
    return sorted(path for path in (store / kind).rglob("*") if path.is_file())


def shard_of(name, shards):
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % shards


def test_second_build_compiles_nothing_and_has_the_same_bytes(kimic, small_set, tmp_path, single):
    assert compile_cas(kimic, small_set, tmp_path, "store")[:3] == (single, 0, 4)
    assert compile_cas(kimic, small_set, tmp_path, "store")[:3] == (single, 4, 0)


def test_report_of_a_cached_build_is_the_same(kimic, small_set, tmp_path):
    kimic("compile", DEMO, "-o", "a.kpk", "--cas", "store", "--report=fresh.json")
    kimic("compile", DEMO, "-o", "b.kpk", "--cas", "store", "--report=cached.json")
    assert (tmp_path / "fresh.json").read_text() == (tmp_path / "cached.json").read_text()


def test_warnings_of_a_cached_build_are_the_same(kimic, tmp_path):
    manifest = write_set(tmp_path, [{**EXPERTS[0], "accuracy": {"max_error": 1e-12}}, *EXPERTS[1:]])
    text = (tmp_path / "rows.data").read_text()
    (tmp_path / "rows.data").write_text(text + "left over\n")
    options = ("--allow-loss",)
    fresh, cached = (compile_cas(kimic, manifest, tmp_path, "store", *options)[3] for _ in range(2))
    assert "misses its accuracy budget" in fresh and "rows.data" in fresh
    assert fresh == cached


def test_missed_budget_of_a_cached_expert_is_an_error_at_its_line_of_today(kimic, tmp_path):
    manifest = write_set(tmp_path, [{**EXPERTS[0], "accuracy": {"max_error": 1e-12}}, *EXPERTS[1:]])
    first = kimic("compile", manifest, "-o", "a.kpk", "--cas=store", "-q", code=4).stderr
    manifest.write_text("\n\n" + manifest.read_text())
    second = kimic("compile", manifest, "-o", "a.kpk", "--cas=store", "-q", code=4).stderr
    line = int(first.split("experts.json:")[1].split(":")[0])
    assert second == first.replace(f"experts.json:{line}:", f"experts.json:{line + 2}:")


@pytest.mark.parametrize("change", ["network", "data", "budget", "option"])
def test_what_has_changed_is_compiled_again(kimic, small_set, tmp_path, change):
    compile_cas(kimic, small_set, tmp_path, "store")
    options = []
    if change == "network":
        (tmp_path / "alpha.net").write_text((tmp_path / "gamma.net").read_text())
    elif change == "data":
        rows = (tmp_path / "rows.data").read_text().splitlines()
        (tmp_path / "rows.data").write_text("\n".join([rows[0], rows[1].replace("0.", "0.1", 1), *rows[2:]]) + "\n")
    elif change == "budget":
        manifest = json.loads(small_set.read_text())
        manifest["experts"][0]["accuracy"] = {"min_sqnr_db": 30}
        small_set.write_text(json.dumps(manifest))
    else:
        options = ["--no-scale"]
    kimic("compile", small_set, "-o", "fresh.kpk", "-q", *options)
    bytes_, reused, compiled, _ = compile_cas(kimic, small_set, tmp_path, "store", *options)
    assert compiled == {"network": 1, "data": 3, "budget": 1, "option": 4}[change] and reused == 4 - compiled
    assert bytes_ == (tmp_path / "fresh.kpk").read_bytes()


def test_names_order_places_and_layout_of_the_text_do_not_matter(kimic, small_set, tmp_path):
    compile_cas(kimic, small_set, tmp_path, "store")
    manifest = json.loads(small_set.read_text())
    manifest["experts"].reverse()
    for expert in manifest["experts"]:
        os.rename(tmp_path / expert["network"], tmp_path / f"moved-{expert['network']}")
        expert.update(network=f"moved-{expert['network']}", name="Other", specialization="other")
    small_set.write_text(json.dumps(manifest))
    assert compile_cas(kimic, small_set, tmp_path, "store")[1:3] == (4, 0)


@pytest.mark.parametrize("kind", ["ac", "cas"])
@pytest.mark.parametrize("damage", ["flipped", "truncated", "empty", "gone", "longer"])
def test_damaged_entries_are_ignored_and_written_anew(kimic, small_set, tmp_path, single, kind, damage):
    compile_cas(kimic, small_set, tmp_path, "store")
    path = entries(tmp_path / "store", kind)[0]
    good = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes({"flipped": good[:20] + bytes([good[20] ^ 1]) + good[21:], "truncated": good[:-1], "empty": b"",
                          "longer": good + b"x"}[damage])
    assert compile_cas(kimic, small_set, tmp_path, "store")[:3] == (single, 3, 1)
    assert path.read_bytes() == good


def test_networks_of_cached_experts_are_not_parsed(kimic, small_set, tmp_path):
    """... but their bytes count: a broken network is an error, not what it was before."""
    compile_cas(kimic, small_set, tmp_path, "store")
    (tmp_path / "gamma.net").write_text("FANN_FLO_2.1\n")
    assert "gamma.net" in kimic("compile", small_set, "-o", "x.kpk", "--cas=store", code=1).stderr


def test_store_that_is_no_folder_is_refused(kimic, small_set, tmp_path):
    (tmp_path / "file").write_text("")
    assert "the store cannot be used" in kimic("compile", small_set, "-o", "x.kpk", "--cas=file", code=1).stderr
    assert "the store cannot be used" in kimic("compile", small_set, "-o", "x.kpk", "--cas=ftp://x/", code=1).stderr


def test_ir_tree_is_written_whatever_the_store_has(kimic, small_set, tmp_path):
    compile_cas(kimic, small_set, tmp_path, "store")
    compile_cas(kimic, small_set, tmp_path, "store", "--print-ir-tree=ir")
    assert {"alpha", "router"} <= {path.name for path in (tmp_path / "ir").iterdir()}


# --- shards ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("shards", [1, 3, 16])
def test_merged_pack_is_the_single_build(kimic, small_set, tmp_path, single, shards):
    for shard in reversed(range(shards)):
        result = json.loads(kimic("compile", small_set, f"--shard={shard}/{shards}", "--cas=store", "--json").stdout)
        assert result["schema"] == "kimic-shard/1" and result["shards"] == shards
        assert sorted(result["experts"]) == [i for i in IDS if shard_of(i, shards) == shard]
    result = json.loads(kimic("merge", small_set, "--cas=store", "-o", "merged.kpk", "--json").stdout)
    assert result["store"] == {"reused": 4, "compiled": 0}
    assert (tmp_path / "merged.kpk").read_bytes() == single


def test_shard_opens_no_file_of_another_one(kimic, small_set, tmp_path):
    others = [i for i in IDS if shard_of(i, 3) != shard_of("gamma", 3)]
    assert others
    for name in others:
        (tmp_path / f"{name}.net").unlink()
    kimic("compile", small_set, f"--shard={shard_of('gamma', 3)}/3", "--cas=store")


def test_repeated_shard_compiles_nothing(kimic, small_set):
    shard = shard_of("alpha", 2)
    kimic("compile", small_set, f"--shard={shard}/2", "--cas=store")
    assert " 0 of them compiled now" in kimic("compile", small_set, f"--shard={shard}/2", "--cas=store").stdout


def test_merge_names_missing_experts_and_the_shards_that_owe_them(kimic, small_set, tmp_path):
    shard = shard_of("alpha", 3)
    kimic("compile", small_set, f"--shard={shard}/3", "--cas=store")
    message = kimic("merge", small_set, "--cas=store", "--shards=3", "-o", "x.kpk", code=1).stderr
    missing = [i for i in IDS if shard_of(i, 3) != shard]
    assert f"{len(missing)} of 4 missing" in message
    for name in missing:
        assert f"{name} (shard {shard_of(name, 3)}/3)" in message
    assert not (tmp_path / "x.kpk").exists()


def test_merge_needs_the_options_of_the_shards(kimic, small_set):
    kimic("compile", small_set, "--shard=0/1", "--cas=store", "--min-sqnr=30")
    kimic("merge", small_set, "--cas=store", "-o", "x.kpk", code=1)
    kimic("merge", small_set, "--cas=store", "-o", "x.kpk", "--min-sqnr=30")


def test_changed_network_is_missing_in_a_merge(kimic, small_set, tmp_path):
    kimic("compile", small_set, "--shard=0/1", "--cas=store")
    (tmp_path / "alpha.net").write_text((tmp_path / "beta.net").read_text().replace("0.7", "0.6", 1))
    assert "1 of 4 missing: alpha" in kimic("merge", small_set, "--cas=store", "-o", "x.kpk", code=1).stderr


def test_killed_shard_is_repeated(tmp_path, kimic):
    experts = [{"id": f"e{i}", "domain": "Language"} for i in range(60)]
    manifest = write_set(tmp_path, experts)
    text = json.loads(manifest.read_text())
    del text["router"]
    manifest.write_text(json.dumps(text))
    child = subprocess.Popen([KIMIC, "compile", manifest, "--shard=0/1", "--cas", tmp_path / "store", "-q", "-j1"])
    while child.poll() is None and not list((tmp_path / "store").glob("ac/*/*")):
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    begun = len(entries(tmp_path / "store", "ac"))
    assert 1 <= begun < 60
    result = json.loads(kimic("compile", manifest, "--shard=0/1", "--cas=store", "--json").stdout)
    assert result["store"]["reused"] >= begun
    kimic("merge", manifest, "--cas=store", "-o", "merged.kpk")
    kimic("compile", manifest, "-o", "single.kpk")
    assert (tmp_path / "merged.kpk").read_bytes() == (tmp_path / "single.kpk").read_bytes()


@pytest.mark.parametrize("shard", ["3/3", "-1/3", "1", "a/b", "0/0", "1/2/3", ""])
def test_nonsense_shards_are_usage_errors(kimic, small_set, shard):
    assert "--shard" in kimic("compile", small_set, f"--shard={shard}", "--cas=store", code=2).stderr


def test_shard_writes_no_pack(kimic, small_set):
    kimic("compile", small_set, "--shard=0/1", "--cas=store", "-o", "x.kpk", code=2)
    kimic("compile", small_set, "--shard=0/1", code=2)


# --- over HTTP -------------------------------------------------------------------------------------------------------

def test_http_store_holds_what_a_folder_holds(kimic, small_set, tmp_path, single, server):
    assert compile_cas(kimic, small_set, tmp_path, "store")[0] == single
    assert compile_cas(kimic, small_set, tmp_path, server.url)[:3] == (single, 0, 4)
    assert compile_cas(kimic, small_set, tmp_path, server.url + "/")[:3] == (single, 4, 0)
    files = {f"/{kind}/{path.name}": path.read_bytes() for kind in ("ac", "cas")
             for path in entries(tmp_path / "store", kind)}
    assert server.entries == files


def test_http_shards_merge(kimic, small_set, tmp_path, single, server):
    for shard in range(2):
        kimic("compile", small_set, f"--shard={shard}/2", "--cas", server.url)
    kimic("merge", small_set, "--cas", server.url, "-o", "merged.kpk")
    assert (tmp_path / "merged.kpk").read_bytes() == single


def test_http_store_that_is_down_is_a_warning(kimic, small_set, tmp_path, single, server):
    server.close()
    bytes_, reused, compiled, messages = compile_cas(kimic, small_set, tmp_path, server.url)
    assert (bytes_, reused, compiled) == (single, 0, 4)
    assert "warning: store http://127.0.0.1" in messages and "not asked again" in messages


def test_http_store_that_is_down_fails_a_shard(kimic, small_set, server):
    server.close()
    message = kimic("compile", small_set, "--shard=0/1", "--cas", server.url, code=1).stderr
    assert "experts of the shard could not be stored" in message


def first(count, action):
    """A fault for the first `count` requests."""
    left = [count]

    def fault(handler):
        left[0] -= 1
        if left[0] >= 0:
            action(handler)
        return left[0] >= 0
    return fault


def test_http_errors_are_tried_again(kimic, small_set, tmp_path, single, server):
    server.fault = first(2, lambda handler: handler.answer(503))
    bytes_, reused, compiled, messages = compile_cas(kimic, small_set, tmp_path, server.url, "-j1")
    assert (bytes_, compiled) == (single, 4) and "store" not in messages
    assert compile_cas(kimic, small_set, tmp_path, server.url)[1] == 4


def drop(handler):
    handler.close_connection = True
    handler.connection.close()


def test_dropped_connections_are_tried_again(kimic, small_set, tmp_path, single, server):
    server.fault = first(1, drop)
    assert compile_cas(kimic, small_set, tmp_path, server.url, "-j1")[0] == single
    assert compile_cas(kimic, small_set, tmp_path, server.url)[1] == 4


def test_http_truncated_and_wrong_bodies_are_misses(kimic, small_set, tmp_path, single, server):
    compile_cas(kimic, small_set, tmp_path, server.url)
    good = dict(server.entries)
    for path in server.entries:
        server.entries[path] = good[path][:-3] if path.startswith("/ac") else b"something else"
    assert compile_cas(kimic, small_set, tmp_path, server.url)[:3] == (single, 0, 4)
    assert server.entries == good


def test_http_read_only_store_is_a_warning(kimic, small_set, tmp_path, single, server):
    server.fault = lambda handler: handler.command == "PUT" and (handler.answer(403), True)[1]
    bytes_, _, compiled, messages = compile_cas(kimic, small_set, tmp_path, server.url)
    assert (bytes_, compiled) == (single, 4) and "HTTP status 403 to a write" in messages


def test_http_endless_body_is_a_miss(kimic, small_set, tmp_path, single, server):
    compile_cas(kimic, small_set, tmp_path, server.url)

    def endless(handler):
        if not handler.path.startswith("/cas/") or handler.command != "GET":
            return False
        handler.send_response(200)
        handler.send_header("Content-Length", str(1 << 40))
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b"x" * 65536)
        except OSError:
            handler.close_connection = True
        return True
    server.fault = endless
    assert compile_cas(kimic, small_set, tmp_path, server.url)[:3] == (single, 0, 4)


def test_credentials_in_the_url_are_not_shown(kimic, small_set, tmp_path, server):
    server.close()
    url = server.url.replace("http://", "http://user:secret@")
    assert "secret" not in compile_cas(kimic, small_set, tmp_path, url)[3]
