// The report as one page: well-formed XML, styles inside, plots as SVG, no script, nothing loaded from elsewhere.
#include "compiler/Pipeline/Gate.h"
#include "formats/base/Html.h"
#include "kimic/Compiler.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace kimic {

namespace {

/// Experts that are shown with layers and plots; the table lists all.
constexpr std::size_t kMaxDetailed = 200;

constexpr const char *kStyle = R"css(
:root { color-scheme: light dark; --ink: #1d2330; --paper: #ffffff; --line: #c9ced8; --soft: #f3f5f8; --mark: #1f6feb;
  --other: #c2571a; --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7ed; --paper: #14171d; --line: #3b4250; --soft: #1e232c; --mark: #6aa8ff; --other: #f0a063;
    --bad: #ff8a80; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto;
  max-width: 76rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .87rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child, td.text { text-align: left; }
td.reason { white-space: normal; text-align: left; min-width: 16rem; }
th { background: var(--soft); }
.missed { color: var(--bad); font-weight: 600; }
details { border: 1px solid var(--line); border-radius: 6px; margin: .8rem 0; padding: .4rem .9rem; }
summary { cursor: pointer; font-weight: 600; }
.plots { display: flex; flex-wrap: wrap; gap: 1rem; margin: .8rem 0; }
figure { margin: 0; } figcaption { font-size: .82rem; }
svg { background: var(--soft); border-radius: 4px; }
svg text { fill: var(--ink); font: 10px system-ui, sans-serif; }
.axis { stroke: var(--line); fill: none; } .mark { fill: var(--mark); } .other { fill: var(--other); }
.ideal { stroke: var(--line); stroke-dasharray: 4 3; }
)css";

template <class... Arguments> std::string format(const char *pattern, Arguments... arguments) {
  char text[256];
  std::snprintf(text, sizeof text, pattern, arguments...);
  return text;
}

std::string decibels(double value) { return std::isinf(value) && value > 0 ? "exact" : format("%.1f dB", value); }
std::string percent(double fraction) { return format("%.2f %%", fraction * 100); }

std::string cell(const std::string &text, const char *kind = nullptr) {
  return kind ? format("<td class=\"%s\">", kind) + text + "</td>" : "<td>" + text + "</td>";
}

std::string row(const std::vector<std::string> &cells) {
  std::string out = "<tr>";
  for (const std::string &text : cells)
    out += text;
  return out + "</tr>\n";
}

std::string head(const std::vector<const char *> &names) {
  std::string out = "<div class=\"wide\"><table><thead><tr>";
  for (const char *name : names)
    out += std::string("<th>") + name + "</th>";
  return out + "</tr></thead><tbody>\n";
}
constexpr const char *kTableEnd = "</tbody></table></div>\n";

std::string change(const ExpertReport &expert) {
  if (expert.floatAccuracy)
    return percent(*expert.floatAccuracy) + " &#8594; " + percent(*expert.compiledAccuracy) +
           (expert.accuracyChange
                ? format(" [%+.2f, %+.2f] pt", expert.accuracyChange->lo * 100, expert.accuracyChange->hi * 100)
                : "");
  if (expert.floatNmse)
    return format("NMSE %.4g &#8594; %.4g", *expert.floatNmse, *expert.compiledNmse);
  if (expert.kl)
    return format("KL %.2g", *expert.kl) + ", top-k " + percent(*expert.topKAgreement);
  return "";
}

//===--------------------------------------------------------------------===//
// Plots
//===--------------------------------------------------------------------===//

constexpr double kLeft = 40, kTop = 12, kSize = 200, kBottom = kTop + kSize;

std::string frame(double width, const std::string &label, const std::string &content) {
  return format("<svg viewBox=\"0 0 %g %g\" width=\"%g\" height=\"%g\" role=\"img\" aria-label=\"", kLeft + width + 12,
                kBottom + 32, kLeft + width + 12, kBottom + 32) +
         label + "\">" + format("<path class=\"axis\" d=\"M%g %g V%g H%g\"/>", kLeft, kTop, kBottom, kLeft + width) +
         content + "</svg>";
}

std::string figure(const std::string &plot, const std::string &caption) {
  return "<figure>" + plot + "<figcaption>" + caption + "</figcaption></figure>\n";
}

std::string text(double x, double y, const char *anchor, const std::string &content) {
  return format("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor) + content + "</text>";
}

/// SQNR of each layer; what the noise model predicts as a second bar.
std::string layerPlot(const ExpertReport &expert) {
  constexpr double kMost = 120; // dB; more looks the same
  const auto &layers = expert.layerReports;
  double width = std::max(kSize, 26.0 * static_cast<double>(layers.size()));
  double step = width / static_cast<double>(layers.size()), bar = std::min(12.0, step / 3);
  std::string content;
  for (double tick = 0; tick <= kMost; tick += 40)
    content += text(kLeft - 4, kBottom - kSize * tick / kMost + 3, "end", format("%g", tick));
  auto draw = [&](double x, double value, const char *kind) {
    double height = kSize * std::clamp(std::isnan(value) ? 0.0 : value, 0.0, kMost) / kMost;
    content += format("<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>", kind, x,
                      kBottom - height, bar, height) +
               decibels(value) + "</title></rect>";
  };
  for (std::size_t l = 0; l < layers.size(); ++l) {
    double x = kLeft + step * (static_cast<double>(l) + 0.5);
    draw(x - bar, layers[l].sqnrDb, "mark");
    if (layers[l].predictedSqnrDb)
      draw(x, *layers[l].predictedSqnrDb, "other");
    content += text(x, kBottom + 13, "middle", std::to_string(l + 1));
  }
  content += text(kLeft + width / 2, kBottom + 27, "middle", "layer");
  return figure(frame(width, "SQNR of each layer", content),
                "SQNR of each layer in dB: measured, and as the noise model predicts for its own rounding");
}

std::string scatterPlot(const ExpertReport &expert) {
  double lo = INFINITY, hi = -INFINITY;
  for (const ScatterPoint &point : expert.scatter)
    for (double value : {point.original, point.compiled})
      if (std::isfinite(value)) {
        lo = std::min(lo, value);
        hi = std::max(hi, value);
      }
  if (!(lo <= hi))
    return "";
  if (lo == hi) {
    lo -= 1;
    hi += 1;
  }
  auto at = [&](double value) { return kSize * (value - lo) / (hi - lo); };
  std::string content = format("<path class=\"ideal\" d=\"M%g %g L%g %g\"/>", kLeft, kBottom, kLeft + kSize, kTop);
  for (const ScatterPoint &point : expert.scatter)
    if (std::isfinite(point.original) && std::isfinite(point.compiled))
      content += format("<circle class=\"mark\" r=\"1.6\" cx=\"%.1f\" cy=\"%.1f\"/>", kLeft + at(point.original),
                        kBottom - at(point.compiled));
  content += text(kLeft - 4, kBottom, "end", format("%.3g", lo)) +
             text(kLeft - 4, kTop + 8, "end", format("%.3g", hi)) +
             text(kLeft, kBottom + 13, "start", format("%.3g", lo)) +
             text(kLeft + kSize, kBottom + 13, "end", format("%.3g", hi)) +
             text(kLeft + kSize / 2, kBottom + 27, "middle", "float original");
  return figure(frame(kSize, "compiled outputs over float outputs", content), "Outputs: compiled over float original");
}

std::string reliabilityPlot(const ExpertReport &expert) {
  std::string content = format("<path class=\"ideal\" d=\"M%g %g L%g %g\"/>", kLeft, kBottom, kLeft + kSize, kTop);
  std::size_t most = 1;
  for (const ReliabilityBin &bin : expert.reliability)
    most = std::max(most, bin.rows);
  for (const ReliabilityBin &bin : expert.reliability)
    if (bin.rows > 0)
      content += format("<circle class=\"mark\" r=\"%.1f\" cx=\"%.1f\" cy=\"%.1f\"><title>%zu rows</title></circle>",
                        3 + 5 * std::sqrt(static_cast<double>(bin.rows) / static_cast<double>(most)),
                        kLeft + kSize * bin.confidence, kBottom - kSize * bin.correct, bin.rows);
  content += text(kLeft - 4, kBottom, "end", "0") + text(kLeft - 4, kTop + 8, "end", "1") +
             text(kLeft, kBottom + 13, "start", "0") + text(kLeft + kSize, kBottom + 13, "end", "1") +
             text(kLeft + kSize / 2, kBottom + 27, "middle", "confidence");
  return figure(frame(kSize, "reliability of the router", content),
                "Reliability of the router: fraction of right choices over confidence");
}

//===--------------------------------------------------------------------===//
// The page
//===--------------------------------------------------------------------===//

std::string expertsTable(const Report &report, const std::vector<std::size_t> &order) {
  std::string out = head({"expert", "in-out", "precision", "SQNR", "predicted", "max error", "cosine", "agreement",
                          "float &#8594; compiled", "weight bytes", "per parameter", "measured on", "why"});
  for (std::size_t id : order) {
    const ExpertReport &e = report.experts[id];
    bool isMissed = !e.tries.empty() && !e.tries.back().missed.empty();
    double perParameter = e.parameters ? static_cast<double>(e.weightBytes) / static_cast<double>(e.parameters) : 0;
    out +=
        row({cell(htmlEscaped(e.id), isMissed ? "missed" : nullptr), cell(format("%u-%u", e.inputs, e.outputs)),
             cell(nameOf(e.precision)), cell(decibels(e.sqnrDb)),
             cell(e.predictedSqnrDb ? decibels(*e.predictedSqnrDb) : ""), cell(format("%.2g", e.maxError)),
             cell(format("%.7f", e.cosine)), cell(e.agreement ? percent(*e.agreement) : ""), cell(change(e)),
             cell(format("%llu", static_cast<unsigned long long>(e.weightBytes))), cell(format("%.2f", perParameter)),
             cell(format("%zu rows, %s", e.rows, nameOf(e.measuredOn))), cell(htmlEscaped(e.reason), "reason")});
  }
  return out + kTableEnd;
}

std::string details(const ExpertReport &expert, bool isOpen) {
  std::string out = std::string("<details") + (isOpen ? " open=\"open\"" : "") + "><summary>" + htmlEscaped(expert.id) +
                    ": " + nameOf(expert.precision) + ", " + decibels(expert.sqnrDb) + "</summary>\n";
  for (const std::string &warning : expert.warnings)
    out += "<p>" + htmlEscaped(warning) + "</p>\n";
  out += head({"tried", "rows with a second plane", "bytes", "SQNR", "missed"});
  for (const TryReport &entry : expert.tries)
    out += row({cell(nameOf(entry.precision)), cell(std::to_string(entry.residualRows)),
                cell(std::to_string(entry.blockBytes)), cell(decibels(entry.sqnrDb)),
                cell(htmlEscaped(entry.missed), "text")});
  out += kTableEnd;

  std::vector<std::size_t> order(expert.layerReports.size());
  for (std::size_t l = 0; l < order.size(); ++l)
    order[l] = l;
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return expert.layerReports[a].sqnrDb < expert.layerReports[b].sqnrDb;
  });
  out += head({"layer, worst first", "in-out", "functions", "rows with a second plane", "weight bytes", "SQNR",
               "predicted", "max error", "cosine", "worst row"});
  for (std::size_t l : order) {
    const LayerReport &layer = expert.layerReports[l];
    out += row({cell(std::to_string(l + 1)), cell(format("%u-%u", layer.inputs, layer.outputs)),
                cell(htmlEscaped(layer.functions), "reason"), cell(std::to_string(layer.residualRows)),
                cell(std::to_string(layer.weightBytes)), cell(decibels(layer.sqnrDb)),
                cell(layer.predictedSqnrDb ? decibels(*layer.predictedSqnrDb) : ""),
                cell(format("%.2g", layer.maxError)), cell(format("%.7f", layer.cosine)),
                cell(std::to_string(layer.worstRow) + " (" + decibels(layer.worstRowSqnrDb) + ")")});
  }
  out += kTableEnd;
  out += "<div class=\"plots\">\n";
  if (!expert.layerReports.empty())
    out += layerPlot(expert);
  if (!expert.scatter.empty())
    out += scatterPlot(expert);
  if (!expert.reliability.empty())
    out += reliabilityPlot(expert);
  return out + "</div></details>\n";
}

} // namespace

std::string toHtml(const Report &report) {
  std::vector<std::size_t> order = worstFirst(report);
  std::string title = htmlEscaped(report.name) + ": accuracy of the compiled experts";
  std::string out = "<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\"><head><meta "
                    "charset=\"utf-8\"/><meta name=\"viewport\" content=\"width=device-width\"/>\n<title>" +
                    title + "</title><style>" + kStyle + "</style></head><body>\n<h1>" + title + "</h1>\n";
  out +=
      format("<p>%zu experts, %zu kernels. Parameters: %llu bytes as f32, %llu as compiled, %llu stored; the pack has "
             "%llu bytes.</p>\n",
             report.experts.size(), report.kernels.size(), static_cast<unsigned long long>(report.floatBytes),
             static_cast<unsigned long long>(report.blockBytes), static_cast<unsigned long long>(report.storedBytes),
             static_cast<unsigned long long>(report.packBytes));
  for (const std::string &warning : report.warnings)
    out += "<p>" + htmlEscaped(warning) + "</p>\n";
  out += "<h2>Experts, the one nearest to its limits first</h2>\n" + expertsTable(report, order);
  out += "<h2>Layers and outputs</h2>\n";
  for (std::size_t i = 0; i < std::min(order.size(), kMaxDetailed); ++i)
    out += details(report.experts[order[i]], i == 0);
  if (order.size() > kMaxDetailed)
    out += format("<p>The other %zu experts are in the JSON report.</p>\n", order.size() - kMaxDetailed);
  return out + "</body></html>\n";
}

} // namespace kimic
