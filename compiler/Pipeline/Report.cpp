// JSON of reports and of the pack's metadata.
#include "compiler/Pipeline/Report.h"

#include "compiler/Pipeline/Gate.h"
#include "formats/abi/KernelAbi.h"
#include "formats/pack/PackFormat.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

using Json = nlohmann::ordered_json;

namespace kimic {

/// Six significant digits; null if not finite, which JSON cannot say.
static Json number(double value) {
  if (!std::isfinite(value))
    return nullptr;
  char text[32];
  auto end = std::to_chars(text, text + sizeof text, value, std::chars_format::scientific, 5).ptr;
  std::from_chars(text, end, value);
  return value;
}

static void setIfPresent(Json &object, const char *key, const std::optional<double> &value) {
  if (value)
    object[key] = number(*value);
}

static Json accuracy(const ExpertReport &expert) {
  Json out;
  out["calibration"] = nameOf(expert.calibration);
  out["calibrationRows"] = expert.calibrationRows;
  out["measuredOn"] = nameOf(expert.measuredOn);
  out["rows"] = expert.rows;
  out["precision"] = nameOf(expert.precision);
  out["maxError"] = number(expert.maxError);
  out["maxErrorRow"] = expert.maxErrorRow;
  out["meanError"] = number(expert.meanError);
  out["sqnrDb"] = number(expert.sqnrDb);
  setIfPresent(out, "predictedSqnrDb", expert.predictedSqnrDb);
  out["cosine"] = number(expert.cosine);
  setIfPresent(out, "agreement", expert.agreement);
  setIfPresent(out, "floatAccuracy", expert.floatAccuracy);
  setIfPresent(out, "compiledAccuracy", expert.compiledAccuracy);
  if (expert.accuracyChange)
    out["accuracyChange95"] = {number(expert.accuracyChange->lo), number(expert.accuracyChange->hi)};
  setIfPresent(out, "floatMse", expert.floatMse);
  setIfPresent(out, "compiledMse", expert.compiledMse);
  setIfPresent(out, "floatNmse", expert.floatNmse);
  setIfPresent(out, "compiledNmse", expert.compiledNmse);
  setIfPresent(out, "kl", expert.kl);
  setIfPresent(out, "top1Agreement", expert.top1Agreement);
  setIfPresent(out, "topKAgreement", expert.topKAgreement);
  return out;
}

static Json budgetJson(const manifest::AccuracyBudget &budget) {
  Json out = Json::object();
  auto set = [&](const char *key, const std::optional<float> &limit) {
    if (limit)
      out[key] = number(*limit);
  };
  set("max_drop", budget.maxDrop);
  set("min_agreement", budget.minAgreement);
  set("max_error", budget.maxError);
  set("min_sqnr_db", budget.minSqnrDb);
  set("max_nmse_rise", budget.maxNmseRise);
  set("max_kl", budget.maxKl);
  set("min_top_k_agreement", budget.minTopKAgreement);
  return out;
}

static Json tryJson(const TryReport &entry) {
  return {{"precision", nameOf(entry.precision)},
          {"residualRows", entry.residualRows},
          {"blockBytes", entry.blockBytes},
          {"sqnrDb", number(entry.sqnrDb)},
          {"missed", entry.missed.empty() ? Json() : Json(entry.missed)}};
}

static Json layerJson(const LayerReport &layer) {
  Json out;
  out["inputs"] = layer.inputs;
  out["outputs"] = layer.outputs;
  out["functions"] = layer.functions;
  out["residualRows"] = layer.residualRows;
  out["weightBytes"] = layer.weightBytes;
  out["sqnrDb"] = number(layer.sqnrDb);
  setIfPresent(out, "predictedSqnrDb", layer.predictedSqnrDb);
  out["maxError"] = number(layer.maxError);
  out["cosine"] = number(layer.cosine);
  out["worstRow"] = layer.worstRow;
  out["worstRowSqnrDb"] = number(layer.worstRowSqnrDb);
  return out;
}

/// What only the report has, not the pack.
static void addDetails(Json &out, const ExpertReport &expert) {
  out["reason"] = expert.reason;
  out["budget"] = budgetJson(expert.budget);
  out["tries"] = Json::array();
  for (const TryReport &entry : expert.tries)
    out["tries"].push_back(tryJson(entry));
  out["layerReports"] = Json::array();
  for (const LayerReport &layer : expert.layerReports)
    out["layerReports"].push_back(layerJson(layer));
  out["scatter"] = Json::array();
  for (const ScatterPoint &point : expert.scatter)
    out["scatter"].push_back({number(point.original), number(point.compiled)});
  if (!expert.reliability.empty()) {
    out["reliability"] = Json::array();
    for (const ReliabilityBin &bin : expert.reliability)
      out["reliability"].push_back(
          {{"rows", bin.rows}, {"confidence", number(bin.confidence)}, {"correct", number(bin.correct)}});
  }
}

static std::string dump(const Json &json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

const char *nameOf(CalibrationSource source) {
  switch (source) {
  case CalibrationSource::Data:
    return "data";
  case CalibrationSource::InputRange:
    return "input range";
  case CalibrationSource::TestData:
    return "test data";
  case CalibrationSource::Assumed:
    return "assumed";
  }
  return "";
}

const char *nameOf(MeasuredOn rows) {
  switch (rows) {
  case MeasuredOn::TestData:
    return "test data";
  case MeasuredOn::HeldOut:
    return "held-out data";
  case MeasuredOn::Generated:
    return "generated";
  }
  return "";
}

const char *nameOf(Precision precision) {
  switch (precision) {
  case Precision::Int8:
    return "int8";
  case Precision::Int8Residual:
    return "int8+residual";
  case Precision::Int16:
    return "int16";
  case Precision::Float32:
    return "float32";
  }
  return "";
}

std::vector<std::size_t> worstFirst(const Report &report) {
  std::vector<double> used;
  for (const ExpertReport &expert : report.experts) {
    auto tightest = tightestLimit(expert.budget, expert);
    used.push_back(tightest ? tightest->used : 0);
  }
  std::vector<std::size_t> order(report.experts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return used[a] != used[b] ? used[a] > used[b] : report.experts[a].sqnrDb < report.experts[b].sqnrDb;
  });
  return order;
}

std::string toJson(const Report &report, int indent) {
  Json out;
  out["schema"] = "kimic-report/1";
  out["name"] = report.name;
  out["experts"] = Json::array();
  for (const ExpertReport &expert : report.experts) {
    Json entry;
    entry["id"] = expert.id;
    entry["kernel"] = expert.kernel;
    entry["kernelId"] = expert.kernelId;
    entry["inputs"] = expert.inputs;
    entry["outputs"] = expert.outputs;
    entry["layers"] = expert.layers;
    entry["parameters"] = expert.parameters;
    entry["floatBytes"] = expert.floatBytes;
    entry["blockBytes"] = expert.blockBytes;
    entry["weightBytes"] = expert.weightBytes;
    entry["bytesPerParameter"] = number(
        expert.parameters ? static_cast<double>(expert.weightBytes) / static_cast<double>(expert.parameters) : 0);
    entry["storedBytes"] = expert.storedBytes;
    entry["codec"] = expert.codec;
    entry["codecReason"] = expert.codecReason;
    if (!expert.base.empty())
      entry["base"] = expert.base;
    entry["bitsPerParameter"] = number(8.0 * expert.storedBytes / static_cast<double>(expert.parameters));
    entry["entropyPerParameter"] =
        number(expert.entropyBits * expert.blockBytes / static_cast<double>(expert.parameters));
    entry.update(accuracy(expert));
    addDetails(entry, expert);
    entry["warnings"] = expert.warnings;
    out["experts"].push_back(std::move(entry));
  }
  out["worstFirst"] = worstFirst(report);
  out["router"] = report.hasRouter;
  out["kernels"] = Json::array();
  for (const KernelReport &kernel : report.kernels)
    out["kernels"].push_back({{"name", kernel.name},
                              {"experts", kernel.experts},
                              {"parameterBytes", kernel.parameterBytes},
                              {"scratchBytes", kernel.scratchBytes}});
  out["modules"] = Json::array();
  for (const ModuleReport &module : report.modules)
    out["modules"].push_back({{"group", module.group},
                              {"variant", module.variant},
                              {"kernels", module.kernels},
                              {"bytes", module.bytes},
                              {"storedBytes", module.storedBytes}});
  out["totals"] = {{"experts", report.experts.size()},  {"kernels", report.kernels.size()},
                   {"floatBytes", report.floatBytes},   {"blockBytes", report.blockBytes},
                   {"storedBytes", report.storedBytes}, {"moduleBytes", report.moduleBytes},
                   {"packBytes", report.packBytes}};
  out["warnings"] = report.warnings;
  return dump(out, indent);
}

/// `text` is a JSON object that the manifest's reader has checked, or empty.
static void setMetadata(Json &object, const std::string &text) {
  if (text.empty())
    return;
  Json metadata = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (metadata.is_object())
    object["metadata"] = std::move(metadata);
}

static const char *nameOf(manifest::Task task) {
  return task == manifest::Task::Classification ? "classification"
         : task == manifest::Task::Regression   ? "regression"
                                                : nullptr;
}

static const char *nameOf(manifest::ExpertHead head) {
  switch (head) {
  case manifest::ExpertHead::None:
    break;
  case manifest::ExpertHead::Softmax:
    return "softmax";
  case manifest::ExpertHead::Argmax:
    return "argmax";
  case manifest::ExpertHead::Sigmoid:
    return "sigmoid";
  }
  return nullptr;
}

static Json describe(const manifest::Expert &expert, const std::vector<std::uint32_t> &idOf) {
  Json out;
  out["id"] = expert.id;
  out["name"] = expert.name;
  out["domain"] = nameOf(expert.domain);
  if (!expert.specialization.empty())
    out["specialization"] = expert.specialization;
  if (const char *task = nameOf(expert.task))
    out["task"] = task;
  if (!expert.labels.empty())
    out["labels"] = expert.labels;
  if (!expert.inputNames.empty())
    out["inputs"] = expert.inputNames;
  if (!expert.outputNames.empty())
    out["outputs"] = expert.outputNames;
  if (const char *head = nameOf(expert.head)) {
    out["head"] = head;
    if (expert.head != manifest::ExpertHead::Argmax)
      out["temperature"] = number(expert.temperature);
  }
  out["confidenceThreshold"] = number(expert.confidenceThreshold);
  if (!expert.dependsOn.empty()) {
    out["dependsOn"] = Json::array();
    for (std::uint32_t index : expert.dependsOn)
      out["dependsOn"].push_back(idOf[index]);
  }
  if (expert.fallback)
    out["fallback"] = idOf[*expert.fallback];
  setMetadata(out, expert.metadata);
  return out;
}

Result<std::string, Diagnostic> packMetadata(const manifest::ExpertSet &set, const std::vector<std::uint32_t> &order,
                                             const std::vector<std::uint32_t> &idOf, Report &report) {
  Json out;
  out["kimic"] = {{"version", KIMIC_VERSION}, {"packVersion", pack::kMajor}, {"kernelAbi", abi::kVersion}};
  out["name"] = report.name;
  if (!set.featureNames.empty())
    out["features"] = set.featureNames;
  out["experts"] = Json::array();
  for (std::uint32_t index : order)
    out["experts"].push_back(describe(set.experts[index], idOf));
  if (set.router)
    out["experts"].push_back({{"id", manifest::kRouterId}, {"name", "router"}});
  for (std::size_t id = 0; id < report.experts.size(); ++id)
    out["experts"][id]["parameters"] = report.experts[id].parameters;
  out["kernels"] = Json::array();
  for (const KernelReport &kernel : report.kernels)
    out["kernels"].push_back(kernel.name);
  setMetadata(out, set.metadata);

  Json withReport = out;
  withReport["report"]["experts"] = Json::array();
  for (const ExpertReport &expert : report.experts)
    withReport["report"]["experts"].push_back(accuracy(expert));
  std::string text = dump(withReport, -1);
  if (text.size() > pack::kMaxMetaBytes)
    text = dump(out, -1);
  if (text.size() > pack::kMaxMetaBytes) {
    report.warnings.push_back("the metadata of all experts need " + std::to_string(text.size()) +
                              " bytes, but at most " + std::to_string(pack::kMaxMetaBytes) +
                              " are allowed: only ids are kept");
    for (Json &expert : out["experts"])
      expert = {{"id", expert["id"]}};
    text = dump(out, -1);
  }
  if (text.size() > pack::kMaxMetaBytes) {
    report.warnings.back() += "; and not even those, so experts have numbers only";
    out.erase("experts");
    text = dump(out, -1);
  }
  if (text.size() > pack::kMaxMetaBytes) {
    Diagnostic diagnostic;
    diagnostic.id = ErrorId::PackNotWritable;
    diagnostic.file = set.file;
    diagnostic.key = "metadata of all experts";
    diagnostic.found = std::to_string(text.size()) + " bytes";
    diagnostic.expected = "at most " + std::to_string(pack::kMaxMetaBytes);
    return diagnostic;
  }
  return text;
}

} // namespace kimic
