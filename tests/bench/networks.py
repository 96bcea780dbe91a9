"""The networks of the product benchmarks: trained by libfann on scikit-learn's digits, tanh everywhere.

A single network restores digits from noisy pixels, at the resolution that its outputs allow. The experts of the mixture
are M networks of which each is trained on the digits nearest to its centre, one of 64 by k-means; the router learns
which centre a digit is nearest to. All peers get the same weights; float64 values of the same network are the truth.
"""
import json
import pathlib
import sys

import numpy as np
import sklearn.cluster
import sklearn.datasets

sys.path.append(str(pathlib.Path(__file__).parent.parent / "accuracy"))
import datasets  # noqa: E402
import libfann  # noqa: E402
import network  # noqa: E402

SHAPES = {"16-32-8": (16, 32, 8), "64-128-64-16": (64, 128, 64, 16), "128-256-128-32": (128, 256, 128, 32),
          "256-256-128": (256, 256, 128)}
EXPERTS, EXPERT_SHAPE, ROUTER_SHAPE, TOP_K, TEMPERATURE = 64, (64, 128, 64, 16), (64, 64, 64), 2, 0.1
ROWS = 64  # of the benchmarks; training does not see them
# (height, width) of a picture of so many pixels
RESOLUTION = {8: (4, 2), 16: (4, 4), 32: (8, 4), 64: (8, 8), 128: (16, 8), 256: (16, 16)}
TANH = [network.NUMBER["sigmoid_symmetric"]]


def pictures():
    """[1797, 8, 8], ink 1 on -1, always in the same shuffled order."""
    images = sklearn.datasets.load_digits().images / 8 - 1
    return images[np.random.default_rng(1).permutation(len(images))]


def resample(images, pixels):
    height, width = RESOLUTION[pixels]
    fine = np.kron(images, np.ones((1, 2, 2)))  # 16 x 16
    return fine.reshape(len(images), height, 16 // height, width, 16 // width).mean((2, 4)).reshape(len(images), -1)


def train(path, sizes, x, y, epochs, rate, seed):
    """Writes PATH.net, and the rows kept for calibration beside it."""
    random = np.random.default_rng(seed)
    layers = len(sizes) - 1
    net = network.build(sizes, [TANH] * layers, [1.0] * layers,
                        lambda l, n, sources: random.uniform(-1, 1, len(sources)) / np.sqrt(len(sources)))
    net.write(path)
    rows = path.with_suffix(".train")
    datasets.write_fann(rows, x, y)
    libfann.train(path, rows, libfann.INCREMENTAL, epochs, rate, seed)
    rows.unlink()
    datasets.write_fann(path.with_suffix(".calibration.data"), x[:1000], y[:1000])
    return network.read(path)


def matrices(net):
    """Per layer (W [outputs, inputs], b [outputs]) in f32; libfann computes in f32 too."""
    result = []
    for layer in net.layers():
        _, _, matrix = net.dense(layer)  # the bias is the last source
        result.append((matrix[:, :-1].astype(np.float32), matrix[:, -1].astype(np.float32)))
    return result


def run(layers, x):
    """float64."""
    for w, b in layers:
        x = np.tanh(x @ w.T.astype(float) + b)
    return x


def write_weights(path, layers):
    path.write_bytes(b"".join(w.tobytes() + b.tobytes() for w, b in layers))


def write(stem, layers, x, truth):
    """STEM.f32 with the weights, STEM.x.f32 and STEM.y.f64 with the benchmark's rows."""
    for suffix, content in ((".x.f32", x), (".y.f64", truth)):
        stem.with_name(stem.name + suffix).write_bytes(content.tobytes())
    write_weights(stem.with_name(stem.name + ".f32"), layers)


def entry(name, path):
    return {"id": name, "domain": "Reasoning", "network": path.name, "task": "regression",
            "calibration": path.with_suffix(".calibration.data").name}


def make_single(folder, names):
    """Returns the facts of the networks called `names`; experts.json is their manifest."""
    images = pictures()
    facts, manifest = {}, {"kimic": 1, "name": "bench", "experts": []}
    for seed, (name, sizes) in enumerate(SHAPES.items()):
        if name not in names:
            continue
        random = np.random.default_rng(10 + seed)
        x = resample(images, sizes[0])
        x = (x + random.normal(0, 0.15, x.shape)).astype(np.float32)
        y = 0.9 * resample(images, sizes[-1])
        net = train(folder / f"{name}.net", sizes, x[ROWS:], y[ROWS:], 20, 0.02, 3)
        layers = matrices(net)
        truth = run(layers, x[:ROWS].astype(float))
        write(folder / name, layers, x[:ROWS], truth)
        baseline = np.mean((y[:ROWS] - y[ROWS:].mean(0)) ** 2)
        facts[name] = {"sizes": sizes, "nmse": float(np.mean((truth - y[:ROWS]) ** 2) / baseline)}
        manifest["experts"].append(entry(name, folder / f"{name}.net"))
    (folder / "experts.json").write_text(json.dumps(manifest, indent=1))
    return facts


def make_mixture(folder):
    """Returns the facts of the mixture; mixture.json is its manifest."""
    images = pictures()
    x = resample(images, 64)
    clusters = sklearn.cluster.KMeans(EXPERTS, n_init=2, random_state=4).fit(x[ROWS:])
    noisy = (x + np.random.default_rng(2).normal(0, 0.15, x.shape)).astype(np.float32)
    distances = clusters.transform(x)
    manifest = {"kimic": 1, "name": "mixture", "experts": []}
    experts = []
    for i in range(EXPERTS):
        path = folder / f"expert{i:02}.net"
        near = ROWS + np.argsort(distances[ROWS:, i], kind="stable")[:300]
        near = near[np.random.default_rng(i).permutation(len(near))]
        net = train(path, EXPERT_SHAPE, noisy[near], 0.9 * resample(images, 16)[near], 15, 0.02, 100 + i)
        experts.append(matrices(net))
        write_weights(path.with_suffix(".f32"), experts[-1])
        manifest["experts"].append(entry(path.stem, path))
    nearest = np.argmin(distances, 1)
    target = np.where(nearest[:, None] == np.arange(EXPERTS), 0.9, -0.9)
    path = folder / "router.net"
    router = matrices(train(path, ROUTER_SHAPE, noisy[ROWS:], target[ROWS:], 60, 0.02, 5))
    write_weights(path.with_suffix(".f32"), router)
    manifest["router"] = {"network": path.name, "experts": [e["id"] for e in manifest["experts"]], "head": "softmax",
                          "temperature": TEMPERATURE, "top_k": TOP_K, "strategy": "top-k", "merge": "weighted",
                          "calibration": path.with_suffix(".calibration.data").name}
    (folder / "mixture.json").write_text(json.dumps(manifest, indent=1))

    x = noisy[:ROWS]
    logits = run(router, x.astype(float))
    chosen = np.argsort(-logits, 1, kind="stable")[:, :TOP_K]
    weight = np.exp((np.take_along_axis(logits, chosen, 1) - logits.max(1, keepdims=True)) / TEMPERATURE)
    weight /= weight.sum(1, keepdims=True)
    outputs = [run(e, x.astype(float)) for e in experts]
    truth = np.array([sum(weight[r, j] * outputs[chosen[r, j]][r] for j in range(TOP_K)) for r in range(ROWS)])
    (folder / "mixture.x.f32").write_bytes(x.tobytes())
    (folder / "mixture.y.f64").write_bytes(truth.tobytes())
    return {"experts": EXPERTS, "sizes": EXPERT_SHAPE, "router": ROUTER_SHAPE, "topK": TOP_K,
            "temperature": TEMPERATURE, "chosen": chosen.tolist(),
            "routerAccuracy": float(np.mean(chosen[:, 0] == nearest[:ROWS]))}


def make(folder: pathlib.Path, names):
    """Trains and writes the networks `names` and perhaps the "mixture" into `folder`, unless they are there."""
    done, stamp = folder / "networks.json", folder / "recipe"
    recipe = " ".join(names) + pathlib.Path(__file__).read_text()
    if done.exists() and stamp.exists() and stamp.read_text() == recipe:
        return
    folder.mkdir(parents=True, exist_ok=True)
    print("training networks", file=sys.stderr)
    facts = {"rows": ROWS, "networks": make_single(folder, names)}
    if "mixture" in names:
        facts["mixture"] = make_mixture(folder)
    done.write_text(json.dumps(facts))
    stamp.write_text(recipe)
