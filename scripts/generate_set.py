#!/usr/bin/env python3
"""Writes an expert set of any size for tests and measurements of scale: generated, not trained.

Every expert is a network of the demo, its parent, with each weight w changed to w * (1 + noise * normal()), as if it had
been fine-tuned; shapes, activations and calibration data are the parent's. What the experts answer means nothing.

Usage: generate_set.py FOLDER --experts N [--parents iris,spirals,...] [--noise 0.02] [--seed 1] [--trace STEPS]
--trace also writes FOLDER/trace.jsonl, sessions that stay in a topic of 20 experts.
"""
import argparse
import json
import pathlib
import random
import re
import shutil
import sys

DEMO = pathlib.Path(__file__).resolve().parent.parent / "examples/demo"
CONNECTION = re.compile(r"\((\d+), ([^)]+)\)")


def split(text):
    """A FANN text before its connections, and these: (source, weight)."""
    at = text.index("connections (connected_to_neuron, weight)=")
    at = text.index("=", at) + 1
    pairs = CONNECTION.findall(text[at:])
    return text[:at], [(source, float(weight)) for source, weight in pairs]


def write_trace(path, ids, steps, source):
    order = list(ids)
    source.shuffle(order)  # a topic's experts are anywhere in the manifest
    topics = [order[i:i + 20] for i in range(0, len(order), 20)]
    with path.open("w") as file:
        for step in range(steps):
            if step % 24 == 0 or source.random() < 0.03:
                topic = source.choice(topics)
            chosen = source.sample(topic, min(2, len(topic)))
            file.write(json.dumps({"experts": chosen, "sequence": step // 24}) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--experts", type=int, required=True)
    parser.add_argument("--parents", default="iris,wine,spirals,waves,arm,diabetes")
    parser.add_argument("--noise", type=float, default=0.02)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trace", type=int, default=0, metavar="STEPS")
    arguments = parser.parse_args()
    if arguments.experts < 1 or arguments.folder.exists():
        sys.exit("generate_set: --experts is at least 1, and FOLDER must not exist")

    demo = {entry["id"]: entry for entry in json.loads((DEMO / "experts.json").read_text())["experts"]}
    parents = []
    (arguments.folder / "nets").mkdir(parents=True)
    for name in arguments.parents.split(","):
        entry = demo[name]
        shutil.copy(DEMO / entry["calibration"], arguments.folder)
        parents.append((entry, split((DEMO / entry["network"]).read_text())))

    source, experts = random.Random(arguments.seed), []
    for number in range(arguments.experts):
        entry, (head, connections) = parents[number % len(parents)]
        changed = [f"({neuron}, {weight * (1 + arguments.noise * source.gauss(0, 1)):.9e})" for neuron, weight in connections]
        network = f"nets/{number // 1000:04}/e{number:07}.net"
        path = arguments.folder / network
        path.parent.mkdir(exist_ok=True)
        path.write_text(head + " ".join(changed) + " \n")
        experts.append({"id": f"e{number:07}", "domain": entry["domain"], "network": network,
                        "calibration": entry["calibration"]})
    manifest = {"kimic": 1, "name": f"{arguments.experts} generated experts", "experts": experts}
    if arguments.trace:
        write_trace(arguments.folder / "trace.jsonl", [expert["id"] for expert in experts], arguments.trace,
                    source)
        manifest["routing_data"] = "trace.jsonl"
    (arguments.folder / "experts.json").write_text(json.dumps(manifest, indent=0))


if __name__ == "__main__":
    main()
