"""Tables and plots of what `run` measured: results.md and *.svg."""
import html
import math

GOALS_AT = {"64-128-64-16": "M", "128-256-128-32": "L"}
WEB = ("ort-web", "tfjs", "LiteRT")


def engines(rows):
    return list(dict.fromkeys(r["engine"] for r in rows))


def measured(rows):
    return [r for r in rows if "failure" not in r]


def number(value, unit=1.0):
    value = value / unit
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def row_of(results, engine, network, rows, peer):
    return next((r for r in measured(results["product"]) if (r["engine"], r["network"], r["rows"], r["peer"]) ==
                 (engine, network, rows, peer)), None)


def best(results, engine, network, rows, prefixes, which, lane="kimic"):
    """The fastest peer of those whose name starts so: the least `which` of its times over those of kimic's lane."""
    own = row_of(results, engine, network, rows, lane)
    peers = [r for r in measured(results["product"]) if (r["engine"], r["network"], r["rows"]) ==
             (engine, network, rows) and r["peer"].startswith(prefixes)]
    return min((r["nsPerRow"][which] / own["nsPerRow"][which] for r in peers), default=None) if own else None


def goal_rows(results):
    """(what, goal, {engine: (ratio of the medians, of the least times)})"""
    native = ("ort native",), "kimic native (Python)"
    ratios = [("M, batch 1: onnxruntime-web, its best", 21, "64-128-64-16", 1, ("ort-web",)),
              ("M, batch 1: libfann native", 13, "64-128-64-16", 1, ("libfann native",)),
              ("M, batch 1: f32 by hand", 2.4, "64-128-64-16", 1, ("f32 by hand",)),
              ("M, batch 64: fastest web runtime", 2.5, "64-128-64-16", 64, WEB),
              ("L, batch 1: onnxruntime-web, its best", 8.5, "128-256-128-32", 1, ("ort-web",)),
              ("L, batch 64: fastest web runtime", 1.7, "128-256-128-32", 64, WEB),
              ("mixture, batch 1: onnxruntime-web, its best", 20, "mixture", 1, ("ort-web",)),
              ("M, batch 1, native: onnxruntime, its best", 8, "64-128-64-16", 1, *native),
              ("M, batch 64, native: onnxruntime, its best", 1, "64-128-64-16", 64, *native)]
    for what, goal, network, rows, prefixes, *own in ratios:
        values = {e: tuple(best(results, e, network, rows, prefixes, w, *own) for w in ("median", "least"))
                  for e in engines(results["product"])}
        yield what, f">= {goal}x", {e: v for e, v in values.items() if None not in v}, lambda v, g=goal: v >= g
    starts = {(r["engine"], r["peer"]): r["ms"] for r in measured(results.get("coldStart", []))}
    for what, goal, is_node, relative in (("cold start with M, ms", 8, True, False),
                                         ("cold start with M, over f32 by hand", 1.5, False, True)):
        values = {e: tuple(ms[w] / (starts[e, "f32 by hand"][w] if relative else 1) for w in ("median", "least"))
                  for (e, peer), ms in starts.items() if peer == "kimic" and (e == "node") == is_node
                  and (not relative or (e, "f32 by hand") in starts)}
        yield what, f"<= {goal}", values, lambda v, g=goal: v <= g
    yield ("64 kernels linked, ms", "<= 2", {r["engine"]: (r["ms"]["median"], r["ms"]["least"])
                                             for r in results.get("linking", [])}, lambda v: v <= 2)
    yield ("tanh, ns an element", "<= 0.5",
           {r["engine"]: (r["nsPerElement"]["median"], r["leastDifference"]) for r in results.get("functions", [])
            if r["name"].startswith("w8a14") and r["function"] == "sigmoid_symmetric" and r["place"] == "hidden"},
           lambda v: v <= 0.5)
    layers = [r for r in results.get("kernels", []) if r["name"] == "w8a14_128-128_linear" and r["rows"] == 1]
    yield ("128x128: XNNPACK's sequence", ">= 2.1x",
           {r["engine"]: (r["timesXnnpack"]["median"], r["xnnpackNs"]["least"] / r["nsPerRow"]["least"])
            for r in layers if "timesXnnpack" in r}, lambda v: v >= 2.1)
    yield ("128x128: share of the native limit", ">= 0.85",
           {r["engine"]: (r["shareOfNative"]["median"], r["nativeNs"]["least"] / r["nsPerRow"]["least"])
            for r in layers if r.get("shareOfNative")}, lambda v: v >= 0.85)
    errors = {e: max((r["maxError"] for r in measured(results["product"]) if r["engine"] == e and r["peer"] == "kimic"
                      and r["network"] in GOALS_AT), default=None) for e in engines(results.get("product", []))}
    yield ("M and L: max error against float64", "<= 2e-3", {e: (v, v) for e, v in errors.items() if v is not None},
           lambda v: v <= 2e-3)


def goals(results):
    names = engines(results.get("product", []) + results.get("kernels", []))
    lines = ["## Goals", "", "Times kimic, of the medians / of the least times. **Bold**: missed by both.", "",
             "| what | goal | " + " | ".join(names) + " |", "|---|---|" + "---:|" * len(names)]
    for what, goal, values, holds in goal_rows(results):
        cells = []
        for name in names:
            if name not in values:
                cells.append("")
                continue
            text = " / ".join(f"{v:.1e}" if v < 0.01 else f"{v:.2f}" if v < 10 else f"{v:.1f}"
                              for v in dict.fromkeys(values[name]))
            cells.append(text if any(map(holds, values[name])) else f"**{text}**")
        lines.append(f"| {what} | {goal} | " + " | ".join(cells) + " |")
    return lines


def spread(rows):
    values = [(r["nsPerRow"]["p90"] - r["nsPerRow"]["p10"]) / r["nsPerRow"]["median"] for r in rows]
    return f"{100 * sorted(values)[len(values) // 2]:.0f} %" if values else "-"


def product(results):
    lines = []
    for engine in engines(results["product"]):
        rows = [r for r in results["product"] if r["engine"] == engine]
        cells = list(dict.fromkeys((r["network"], r["rows"]) for r in rows))
        peers = list(dict.fromkeys(r["peer"] for r in rows))
        lines += ["", f"## Networks in {engine}", "",
                  "Microseconds per row: median (least), and times kimic round by round. Spread, the 10 % to 90 % range "
                  f"over the median: {spread(measured(rows))} for the median row.", ""]
        for network in dict.fromkeys(n for n, _ in cells):
            batches = [b for n, b in cells if n == network]
            lines += [f"### {network}", "",
                      "| | " + " | ".join(f"batch {b}" for b in batches) + " | max error |",
                      "|---|" + "---:|" * len(batches) + "---:|"]
            for peer in peers:
                line, errors = [], []
                for batch in batches:
                    r = row_of(results, engine, network, batch, peer)
                    if not r:
                        line.append("")
                        continue
                    errors.append(r["maxError"])
                    ns = r["nsPerRow"]
                    times = "" if peer == "kimic" else f", {number(r['timesKimic']['median'])}x"
                    line.append(f"{number(ns['median'], 1e3)} ({number(ns['least'], 1e3)}){times}")
                if errors:
                    other = (row_of(results, engine, network, batches[0], peer) or {}).get("otherChoices")
                    note = f", {other} other choices" if other else ""
                    lines.append(f"| {peer} | " + " | ".join(line) + f" | {max(errors):.1e}{note} |")
            lines.append("")
    return lines


def cold(results):
    rows = measured(results.get("coldStart", []))
    if not rows:
        return []
    lines = ["", "## Cold start, bytes, memory", "",
             "64-128-64-16, one network. In Node from the first import to the first outputs, in a page from the "
             "navigation on: median (least). Bytes are those that the page asks for, as they are and by Brotli. Memory "
             "is what the resident set grew by in Node, what the page holds in Chromium.", "",
             "| | " + " | ".join(f"{e} ms" for e in engines(rows)) + " | requests | KB | KB Brotli | "
             + " | ".join(f"{e} MB" for e in engines(rows)) + " |", "|---|" + "---:|" * (2 * len(engines(rows)) + 3)]
    for peer in dict.fromkeys(r["peer"] for r in rows):
        of = {r["engine"]: r for r in rows if r["peer"] == peer}
        page = next((r for r in of.values() if "rawBytes" in r), {})
        cells = [f"{number(of[e]['ms']['median'])} ({number(of[e]['ms']['least'])})" if e in of else "" for e in engines(rows)]
        cells += [str(page.get("requests", "")), *(f"{page[k] / 1e3:.0f}" if k in page else "" for k in ("rawBytes", "brotliBytes"))]
        cells += [f"{of[e]['memoryBytes'] / 1e6:.1f}" if of.get(e, {}).get("memoryBytes") else "" for e in engines(rows)]
        lines.append(f"| {peer} | " + " | ".join(cells) + " |")
    return lines


def kernels(results):
    lines = []
    rows = results.get("kernels", [])
    for engine in engines(rows):
        of = [r for r in rows if r["engine"] == engine]
        batches = list(dict.fromkeys(r["rows"] for r in of))
        lines += ["", f"## Kernels in {engine}", "", "Called in the engine, ns per row: median (least), GMAC/s at the "
                  f"least. Spread of the median row: {spread(of)}.", "",
                  "| kernel | " + " | ".join(f"batch {b}" for b in batches) + " | module bytes |",
                  "|---|" + "---:|" * (len(batches) + 1)]
        for name in dict.fromkeys(r["name"] for r in of):
            cells = {r["rows"]: r for r in of if r["name"] == name}
            lines.append(f"| {name} | " + " | ".join(
                f"{cells[b]['nsPerRow']['median']:.0f} ({cells[b]['nsPerRow']['least']:.0f}), {cells[b]['gmacsBest']:.1f}"
                for b in batches) + f" | {cells[batches[0]]['moduleBytes']} |")
        layers = [r for r in of if "timesXnnpack" in r]
        lines += ["", "| one layer, batch 1 | ns | same sequence natively | share of it | XNNPACK's sequence | times kimic |",
                  "|---|---:|---:|---:|---:|---:|"]
        for r in layers:
            native = r.get("nativeNs")
            lines.append(f"| {r['name']} | {r['nsPerRow']['least']:.0f} | " +
                         (f"{native['least']:.0f} | {native['least'] / r['nsPerRow']['least']:.2f}" if native else "|") +
                         f" | {r['xnnpackNs']['least']:.0f} | {r['xnnpackNs']['least'] / r['nsPerRow']['least']:.2f} |")
        if layers:
            lines += ["", "Least times of one interleaved run; by the medians of the rounds: " + "; ".join(
                f"{r['name']} " + (f"{r['shareOfNative']['median']:.2f} of native, " if r.get("shareOfNative") else "") +
                f"{r['timesXnnpack']['median']:.2f} times XNNPACK's" for r in layers) + "."]
    return lines


def functions(results):
    rows = results.get("functions", [])
    if not rows:
        return []
    names = engines(rows)
    lines = ["", "## Activation functions", "",
             "Nanoseconds per element beyond those of FANN's constant function, which only stores: median of the rounds' "
             "differences, and the difference of the least times. So conversion, scale, function, rounding and the code's "
             "narrowing are in them. Layers of 1,024; heads over 1,024 logits.", "",
             "| | " + " | ".join(f"{e}, hidden | {e}, output" for e in names) + " |", "|---|" + "---:|" * (2 * len(names))]
    table = {}
    for r in rows:
        place = "output" if r["place"] == "head" else r["place"]
        table.setdefault(r["function"], {})[r["engine"], place] = f"{r['nsPerElement']['median']:.2f} / {r['leastDifference']:.2f}"
    for name, cells in table.items():
        lines.append(f"| {name} | " + " | ".join(cells.get((e, p), "") for e in names for p in ("hidden", "output")) + " |")
    return lines


def native(results):
    rows = [r for r in results.get("native", []) if r.get("aggregate_name") == "median"]
    if not rows:
        return []
    lines = ["", "## Native, by Google Benchmark", "", "Median of the repetitions; 128-bit vectors.", "",
             "| | ns | |", "|---|---:|---:|"]
    for r in rows:
        rate = f"{r['GMAC/s']:.1f} GMAC/s" if "GMAC/s" in r else f"{1e9 * r['ns/row']:.0f} ns per row" if "ns/row" in r else ""
        lines.append(f"| {r['run_name']} | {r['real_time']:.0f} | {rate} |")
    return lines


def bars(title, rows):
    """A bar for each (label, microseconds), on a logarithmic axis; least time, the line goes to the median."""
    rows = sorted(rows, key=lambda r: r[1])
    low = 10 ** math.floor(math.log10(rows[0][1]))
    high = 10 ** math.ceil(math.log10(max(r[2] for r in rows)))
    left, width, step = 190, 520, 24
    at = lambda v: left + width * math.log(v / low) / math.log(high / low)  # noqa: E731
    height = 60 + step * len(rows)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 90} {height}" font-family="sans-serif" '
             f'font-size="13"><rect width="100%" height="100%" fill="white"/><text x="10" y="20" font-weight="bold">'
             f'{html.escape(title)}</text>']
    tick = low
    while tick <= high * 1.01:
        parts.append(f'<path d="M{at(tick):.1f} 32V{height - 22}" stroke="#ccc"/><text x="{at(tick):.1f}" y="{height - 6}" '
                     f'text-anchor="middle">{tick:g}</text>')
        tick *= 10
    for i, (label, least, median) in enumerate(rows):
        y = 36 + step * i
        color = "#c2410c" if label.startswith("kimic") else "#64748b"
        parts.append(f'<text x="{left - 8}" y="{y + 14}" text-anchor="end">{html.escape(label)}</text>'
                     f'<rect x="{left}" y="{y}" width="{max(1, at(least) - left):.1f}" height="18" fill="{color}"/>'
                     f'<path d="M{at(least):.1f} {y + 9}H{at(median):.1f}" stroke="{color}" stroke-width="2"/>'
                     f'<text x="{at(median) + 6:.1f}" y="{y + 14}">{number(least)}</text>')
    return "\n".join(parts + ["</svg>", ""])


def plots(results, folder):
    lines = []
    for engine in engines(results.get("product", [])):
        for network, rows in (("64-128-64-16", 1), ("64-128-64-16", 64), ("mixture", 1)):
            shown = [(r["peer"], r["nsPerRow"]["least"] / 1e3, r["nsPerRow"]["median"] / 1e3)
                     for r in measured(results["product"])
                     if (r["engine"], r["network"], r["rows"]) == (engine, network, rows)]
            if not shown:
                continue
            name = f"{engine.split()[0].lower()}-{network}-{rows}.svg"
            (folder / "plots").mkdir(exist_ok=True)
            (folder / "plots" / name).write_text(
                bars(f"{network}, batch {rows}, {engine}: µs per row, least (line: median)", shown))
            lines += [f"![{network}, batch {rows}, {engine}](plots/{name})"]
    return ["", *lines] if lines else []


def write(results, folder):
    results = {"product": [], **results}
    m = results["machine"]
    versions = {**results.get("engines", {}), **m["versions"]}
    lines = ["# Results of the benchmarks", "",
             f"Written by `tests/bench/run` on {results['date']} at {m['commit']}: {m['cpu']}, {m['cores']} cores, Linux "
             f"{m['kernel']}; load {m['load']:.1f} at the start. " +
             ", ".join(f"{k} {v}" for k, v in versions.items()) + ".", "",
             "All peers have the same trained weights and one thread, and are sampled in turn, so ratios compare samples "
             "that lie milliseconds apart. Where others use the machine too, the least time is the one to trust. "
             "[README.md](README.md) says what is measured and how.", ""]
    lines += goals(results) if results.get("product") or results.get("kernels") else []
    if results.get("product"):
        lines += plots(results, folder) + product(results)
    lines += cold(results) + kernels(results) + functions(results) + native(results)
    (folder / "results.md").write_text("\n".join(lines).rstrip() + "\n")
