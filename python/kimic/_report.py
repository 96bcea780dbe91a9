"""What a compilation measured, as a notebook shows it."""

from __future__ import annotations

import html
from typing import Any, Optional


class Report(dict):
    """The compiler's report (docs/accuracy.md lists its members) with tables and plots.

    It is a dict: `report["experts"][0]["sqnrDb"]`. Of a pack that was opened, only the experts' accuracy is kept.
    """

    def __init__(self, content: dict, page: Optional[str] = None) -> None:
        super().__init__(content)
        self._page = page

    def to_dict(self) -> dict:
        return dict(self)

    def to_html(self) -> str:
        """One page that needs no other file: what `kimic compile --report out.html` writes."""
        return self._page if self._page is not None else f"<!DOCTYPE html>\n<html><body>{self._table()}</body></html>\n"

    def _repr_html_(self) -> str:
        if self._page is None:
            return self._table()
        # A frame of its own, so that the page's style does not reach the notebook.
        return (f'<iframe srcdoc="{html.escape(self._page)}" sandbox="" title="kimic report" '
                'style="width:100%;height:40em;border:0"></iframe>')

    def _table(self) -> str:
        columns = ["id", "precision", "sqnrDb", "maxError", "agreement", "floatAccuracy", "compiledAccuracy"]
        rows = "".join("<tr>" + "".join(f"<td>{html.escape(str(expert.get(c, '')))}</td>" for c in columns) + "</tr>"
                       for expert in self.get("experts", []))
        return f"<table><tr>{''.join(f'<th>{c}</th>' for c in columns)}</tr>{rows}</table>"

    def to_pandas(self, layers: bool = False) -> Any:
        """A DataFrame with a row for each expert, or for each layer of each expert. Needs pandas."""
        import pandas

        experts = self.get("experts", [])
        if layers:
            return pandas.DataFrame([{"expert": expert.get("id", i), "layer": l + 1, **layer}
                                     for i, expert in enumerate(experts)
                                     for l, layer in enumerate(expert.get("layerReports", []))])
        return pandas.DataFrame([{key: value for key, value in expert.items() if not isinstance(value, (list, dict))}
                                 for expert in experts])

    def plot(self, expert: Any = None) -> Any:
        """A matplotlib figure of one expert (its id or number; the worst one by default): the error of each layer,
        compiled over float outputs and, for the router, reliability. Needs matplotlib."""
        from matplotlib.figure import Figure

        experts = self.get("experts", [])
        if expert is None:
            expert = self["worstFirst"][0] if self.get("worstFirst") else 0
        if isinstance(expert, str):
            numbers = [i for i, e in enumerate(experts) if e.get("id") == expert]
            if not numbers:
                raise KeyError(f"the report has no expert {expert!r}")
            expert = numbers[0]
        entry = experts[expert]
        reliability = [b for b in entry.get("reliability", []) if b["rows"]]
        figure = Figure(figsize=(12 if reliability else 8, 4), layout="constrained")
        axes = figure.subplots(1, 3 if reliability else 2)
        figure.suptitle(f"{entry.get('id', expert)}: {entry.get('precision', '')}")

        layers = entry.get("layerReports", [])
        numbers = list(range(1, len(layers) + 1))
        axes[0].bar([n - 0.2 for n in numbers], [layer["sqnrDb"] or 0 for layer in layers], 0.4, label="measured")
        axes[0].bar([n + 0.2 for n in numbers], [layer.get("predictedSqnrDb") or 0 for layer in layers], 0.4,
                    label="predicted")
        axes[0].set(xlabel="layer", ylabel="SQNR in dB", xticks=numbers)
        axes[0].legend()

        points = [p for p in entry.get("scatter", []) if None not in p]
        axes[1].plot([p[0] for p in points], [p[0] for p in points], color="0.7", linewidth=1)
        axes[1].scatter([p[0] for p in points], [p[1] for p in points], s=6)
        axes[1].set(xlabel="float original", ylabel="compiled")

        if reliability:
            axes[2].plot([0, 1], [0, 1], color="0.7", linewidth=1)
            axes[2].plot([b["confidence"] for b in reliability], [b["correct"] for b in reliability], "o-")
            axes[2].set(xlabel="confidence", ylabel="right choices")
        return figure
