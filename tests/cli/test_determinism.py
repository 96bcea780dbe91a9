"""The same inputs give the same bytes: whatever the threads, shards, accidents, layout of the text, folder, time, locale."""
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import time

import pytest

from conftest import KIMIC, ROOT

DEMO = ROOT / "examples/demo"


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo set, compiled plainly into a fresh store: (folder, SHA-256)."""
    folder = tmp_path_factory.mktemp("determinism")
    run = subprocess.run([KIMIC, "compile", DEMO, "-o", folder / "demo.kpk", "-q", "-j1"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return folder, digest(folder / "demo.kpk")


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def compiled(kimic, tmp_path, manifest, *options, **changes):
    kimic("compile", manifest, "-o", tmp_path / "out.kpk", "-q", *options, **changes)
    return digest(tmp_path / "out.kpk")


def test_two_threads(kimic, tmp_path, demo):
    assert compiled(kimic, tmp_path, DEMO, "-j2") == demo[1]


@pytest.mark.parametrize("shards", [3, 16])
def test_shards_in_any_order_with_one_killed_and_repeated(kimic, tmp_path, demo, shards):
    order = list(range(shards))
    random.Random(shards).shuffle(order)
    child = subprocess.Popen([KIMIC, "compile", DEMO, f"--shard={order[0]}/{shards}", "--cas", tmp_path / "store", "-q"])
    time.sleep(0.3)
    child.send_signal(signal.SIGKILL)
    child.wait()
    for shard in order[1:] + order[:1]:
        kimic("compile", DEMO, f"--shard={shard}/{shards}", "--cas", tmp_path / "store", "-q")
    kimic("merge", DEMO, "--cas", tmp_path / "store", "-o", tmp_path / "out.kpk", "-q")
    assert digest(tmp_path / "out.kpk") == demo[1]


def shuffled(value, source):
    """The same JSON value with the keys of its objects in another order."""
    if isinstance(value, dict):
        items = list(value.items())
        source.shuffle(items)
        return {key: shuffled(item, source) if key != "metadata" else item for key, item in items}
    return [shuffled(item, source) for item in value] if isinstance(value, list) else value


def test_layout_of_the_text_and_names_of_files(kimic, tmp_path, demo):
    """... in another folder, another time zone, with newer files."""
    shutil.copytree(DEMO, tmp_path / "elsewhere")
    manifest = json.loads((DEMO / "experts.json").read_text())
    for entry in [*manifest["experts"], manifest["router"]]:
        name = f"nets-{entry['network']}"
        os.rename(tmp_path / "elsewhere" / entry["network"], tmp_path / "elsewhere" / name)
        entry["network"] = name
    text = json.dumps(shuffled(manifest, random.Random(1)), indent=7).replace("\n", "\r\n")
    (tmp_path / "elsewhere/other.json").write_text("\ufeff" + text, newline="")
    environment = {"TZ": "Pacific/Kiritimati", "HOME": str(tmp_path), "SOURCE_DATE_EPOCH": "1"}
    assert compiled(kimic, tmp_path, "other.json", env=environment, cwd=tmp_path / "elsewhere") == demo[1]


def test_locale_with_a_decimal_comma(kimic, tmp_path, demo):
    made = subprocess.run(["localedef", "-i", "de_DE", "-f", "UTF-8", tmp_path / "de_DE.UTF-8"], capture_output=True) \
        if shutil.which("localedef") else None
    if made is None or made.returncode:
        pytest.skip("no locale with a decimal comma can be made here")
    environment = {"LOCPATH": str(tmp_path), "LC_ALL": "de_DE.UTF-8"}
    assert compiled(kimic, tmp_path, DEMO, env=environment) == demo[1]
