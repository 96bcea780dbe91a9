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


def entry(name, path):
    return {"id": name, "domain": "Reasoning", "network": path.name, "task": "regression",
            "calibration": path.with_suffix(".calibration.data").name}


def make(folder: pathlib.Path):
    """Trains and writes everything into `folder`, unless it is there."""
    done = folder / "networks.json"
    if done.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    images = pictures()
    random = np.random.default_rng(2)
    facts = {"networks": {}, "rows": ROWS}
    manifest = {"kimic": 1, "name": "bench", "experts": []}
    for name, sizes in SHAPES.items():
        print(f"training {name}", file=sys.stderr)
        x = resample(images, sizes[0])
        x = (x + random.normal(0, 0.15, x.shape)).astype(np.float32)
        y = 0.9 * resample(images, sizes[-1])
        net = train(folder / f"{name}.net", sizes, x[ROWS:], y[ROWS:], 20, 0.02, 3)
        layers = matrices(net)
        write_weights(folder / f"{name}.f32", layers)
        truth = run(layers, x[:ROWS].astype(float))
        (folder / f"{name}.x.f32").write_bytes(x[:ROWS].tobytes())
        (folder / f"{name}.y.f64").write_bytes(truth.tobytes())
        baseline = np.mean((y[:ROWS] - y[ROWS:].mean(0)) ** 2)
        facts["networks"][name] = {"sizes": sizes, "nmse": float(np.mean((truth - y[:ROWS]) ** 2) / baseline)}
        manifest["experts"].append(entry(name, folder / f"{name}.net"))
    (folder / "experts.json").write_text(json.dumps(manifest, indent=1))

    print(f"training {EXPERTS} experts and their router", file=sys.stderr)
    x = resample(images, 64)
    clusters = sklearn.cluster.KMeans(EXPERTS, n_init=2, random_state=4).fit(x[ROWS:])
    noisy = (x + random.normal(0, 0.15, x.shape)).astype(np.float32)
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

    logits = run(router, noisy[:ROWS].astype(float))
    order = np.argsort(-logits, 1, kind="stable")
    chosen = order[:, :TOP_K]
    weight = np.exp((np.take_along_axis(logits, chosen, 1) - logits.max(1, keepdims=True)) / TEMPERATURE)
    weight /= weight.sum(1, keepdims=True)
    outputs = [run(e, noisy[:ROWS].astype(float)) for e in experts]
    truth = np.array([sum(weight[r, j] * outputs[chosen[r, j]][r] for j in range(TOP_K)) for r in range(ROWS)])
    (folder / "mixture.x.f32").write_bytes(noisy[:ROWS].tobytes())
    (folder / "mixture.y.f64").write_bytes(truth.tobytes())
    facts["mixture"] = {"experts": EXPERTS, "sizes": EXPERT_SHAPE, "router": ROUTER_SHAPE, "topK": TOP_K,
                        "temperature": TEMPERATURE, "chosen": chosen.tolist(),
                        "routerAccuracy": float(np.mean(chosen[:, 0] == nearest[:ROWS]))}
    done.write_text(json.dumps(facts))


if __name__ == "__main__":
    make(pathlib.Path(sys.argv[1]))
