// Runs both, compares.
#include "compiler/Pipeline/Measure.h"

#include "compiler/Pipeline/Gate.h"
#include "compiler/Transforms/Evaluate.h"
#include "formats/base/Grid.h"
#include "formats/fann/Evaluator.h"
#include "formats/quant/Constants.h"
#include "formats/reference/Reference.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

namespace kimic {

namespace {
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::size_t kLayerRows = 256;
constexpr std::size_t kScatterPoints = 256;
constexpr std::size_t kBins = 10;
constexpr unsigned kResamples = 1000;

/// Bytes aligned as kernels need them.
class AlignedBytes {
public:
  explicit AlignedBytes(std::size_t size) : blocks((size + 15) / 16 + 1) {}
  std::uint8_t *data() { return blocks.data()->bytes; }

private:
  struct alignas(16) Block {
    std::uint8_t bytes[16];
  };
  std::vector<Block> blocks;
};

/// Sums over pairs of a float and a compiled number.
struct Comparison {
  double signal = 0, compiledSignal = 0, product = 0, noise = 0, maxError = 0, sumOfErrors = 0;

  /// Whether the error is the largest so far.
  bool add(double expected, double actual) {
    double error = std::fabs(actual - expected);
    // A NaN on either side must not hide: it counts as an infinite error.
    if (!(error >= 0))
      error = kInfinity;
    sumOfErrors += error;
    signal += expected * expected;
    compiledSignal += actual * actual;
    product += expected * actual;
    noise += error * error;
    if (!(error > maxError))
      return false;
    maxError = error;
    return true;
  }
  void add(const Comparison &other) {
    signal += other.signal;
    compiledSignal += other.compiledSignal;
    product += other.product;
    noise += other.noise;
    maxError = std::max(maxError, other.maxError);
  }

  double sqnrDb() const {
    if (noise == 0)
      return kInfinity;
    // Noise without a signal, an infinite one included, is as bad as can be.
    return signal > 0 && noise < kInfinity ? 10 * std::log10(signal / noise) : -kInfinity;
  }
  double cosine() const {
    if (noise == 0)
      return 1;
    double length = std::sqrt(signal) * std::sqrt(compiledSignal);
    return length > 0 && length < kInfinity ? product / length : 0;
  }
};
} // namespace

Matrix runCompiled(const quant::Signature &signature, std::span<const std::uint8_t> parameters, const Matrix &inputs) {
  Matrix outputs{inputs.rows, signature.outputs(), std::vector<float>(inputs.rows * signature.outputs())};
  auto layout = quant::layoutOf(signature);
  if (!layout || inputs.rows == 0)
    return outputs;
  AlignedBytes block(parameters.size()), scratch(layout->scratchBytes);
  std::memcpy(block.data(), parameters.data(), parameters.size());
  constexpr std::size_t kRowsAtOnce = 1u << 20;
  for (std::size_t r = 0; r < inputs.rows; r += kRowsAtOnce)
    reference::run(signature, *layout, block.data(), inputs.row(r).data(), outputs.row(r).data(), scratch.data(),
                   static_cast<std::uint32_t>(std::min(kRowsAtOnce, inputs.rows - r)));
  return outputs;
}

//===--------------------------------------------------------------------===//
// Classes and scores
//===--------------------------------------------------------------------===//

/// Every row has one largest value and all others are equal.
static bool isOneHot(const Matrix &targets) {
  if (targets.cols < 2 || targets.rows == 0)
    return false;
  for (std::size_t r = 0; r < targets.rows; ++r) {
    auto row = targets.row(r);
    auto [least, greatest] = std::minmax_element(row.begin(), row.end());
    if (*least == *greatest || std::count(row.begin(), row.end(), *greatest) != 1 ||
        std::count(row.begin(), row.end(), *least) != static_cast<std::ptrdiff_t>(row.size()) - 1)
      return false;
  }
  return true;
}

static std::size_t classOf(std::span<const float> row, float threshold) {
  if (row.size() == 1)
    return row[0] >= threshold;
  return static_cast<std::size_t>(std::max_element(row.begin(), row.end()) - row.begin());
}

static std::vector<std::size_t> classesOf(const Matrix &rows, float threshold) {
  std::vector<std::size_t> classes(rows.rows);
  for (std::size_t r = 0; r < rows.rows; ++r)
    classes[r] = classOf(rows.row(r), threshold);
  return classes;
}

/// Fraction of rows of the same class.
static double agreement(const std::vector<std::size_t> &a, const std::vector<std::size_t> &b) {
  std::size_t same = 0;
  for (std::size_t r = 0; r < a.size(); ++r)
    same += a[r] == b[r];
  return static_cast<double>(same) / static_cast<double>(a.size());
}

static void softmax(std::span<const float> row, double temperature, std::vector<double> &out) {
  out.assign(row.begin(), row.end());
  double greatest = *std::max_element(out.begin(), out.end()), sum = 0;
  for (double &value : out)
    sum += value = std::exp((value - greatest) / temperature);
  for (double &value : out)
    value /= sum;
}

/// What a router makes of its network's outputs (pack-v1 §4), as far as it is measured.
struct RouterScores {
  std::vector<double> distribution; ///< of the scores over the experts: they add up to 1
  std::vector<double> keys;         ///< by which experts are chosen
};

static void scoresOf(std::span<const float> row, const MeasureOptions &options, RouterScores &out) {
  std::vector<double> &scores = out.distribution;
  if (options.routerHead == manifest::RouterHead::Sigmoid) {
    scores.assign(row.begin(), row.end());
    double sum = 0;
    for (double &value : scores)
      sum += value = 1 / (1 + std::exp(-value / options.routerTemperature));
    out.keys = scores;
    for (double &value : scores)
      value /= sum;
  } else if (options.routerHead == manifest::RouterHead::ProductKeys) {
    const std::uint32_t rows = gridRows(row.size(), options.routed);
    assert(rows && "the set's checks want a grid");
    std::vector<float> sums;
    for (std::size_t i = 0; i < options.routed; ++i)
      sums.push_back(row[i / (row.size() - rows)] + row[rows + i % (row.size() - rows)]);
    softmax(sums, options.routerTemperature, scores);
    out.keys = scores;
  } else {
    softmax(row, options.routerTemperature, scores);
    out.keys = scores;
  }
  for (std::size_t i = 0; i < options.routerBias.size(); ++i)
    out.keys[i] += options.routerBias[i];
}

static void applyHead(const Head &head, Matrix &rows) {
  std::vector<double> scores;
  switch (head.kind) {
  case manifest::ExpertHead::None:
  case manifest::ExpertHead::Argmax:
    return;
  case manifest::ExpertHead::Softmax:
    for (std::size_t r = 0; r < rows.rows; ++r) {
      softmax(rows.row(r), head.temperature, scores);
      std::copy(scores.begin(), scores.end(), rows.row(r).begin());
    }
    return;
  case manifest::ExpertHead::Sigmoid:
    for (float &value : rows.values)
      value = static_cast<float>(1 / (1 + std::exp(-static_cast<double>(value) / head.temperature)));
    return;
  }
}

/// The `count` largest, by index: the first of equals goes first.
static std::vector<std::size_t> largest(std::span<const double> scores, std::size_t count) {
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
  order.resize(std::min(count, order.size()));
  std::sort(order.begin(), order.end());
  return order;
}

static void measureRouter(const Matrix &expected, const Matrix &actual, const MeasureOptions &options,
                          Measurement &out) {
  RouterScores p, q;
  double sum = 0;
  std::size_t sameFirst = 0, sameChoice = 0;
  for (std::size_t r = 0; r < expected.rows; ++r) {
    scoresOf(expected.row(r), options, p);
    scoresOf(actual.row(r), options, q);
    for (std::size_t i = 0; i < p.distribution.size(); ++i)
      if (p.distribution[i] > 0)
        sum += p.distribution[i] * std::log(p.distribution[i] / q.distribution[i]);
    sameFirst += largest(p.keys, 1) == largest(q.keys, 1);
    sameChoice += largest(p.keys, options.topK) == largest(q.keys, options.topK);
  }
  auto rows = static_cast<double>(expected.rows);
  out.kl = std::isnan(sum) ? kInfinity : std::max(0.0, sum / rows);
  out.top1Agreement = static_cast<double>(sameFirst) / rows;
  out.topKAgreement = static_cast<double>(sameChoice) / rows;
}

//===--------------------------------------------------------------------===//
// The measurement
//===--------------------------------------------------------------------===//

Yardstick makeYardstick(const fann::Network &network, Matrix inputs, std::optional<Matrix> targets,
                        MeasuredOn measuredOn, const MeasureOptions &options) {
  Yardstick out;
  out.options = options;
  out.measuredOn = measuredOn;
  out.inputs = std::move(inputs);
  out.expected = fann::evaluate(network, out.inputs, {options.applyScaling});
  applyHead(options.head, out.expected);
  out.targets = std::move(targets);
  out.isClassifier = options.topK > 0 || options.task == manifest::Task::Classification ||
                     (options.task == manifest::Task::Unstated &&
                      (options.hasLabels || options.head.kind != manifest::ExpertHead::None ||
                       (out.targets && isOneHot(*out.targets))));
  if (out.targets && !out.targets->values.empty()) {
    auto [least, greatest] = std::minmax_element(out.targets->values.begin(), out.targets->values.end());
    out.targetThreshold = *least / 2 + *greatest / 2;
    // A sigmoid's values lie in 0..1, whatever the targets' do.
    if (options.head.kind == manifest::ExpertHead::None)
      out.outputThreshold = out.targetThreshold;
  }
  return out;
}

static Matrix outputsOf(const CompiledExpert &expert, const Matrix &inputs) {
  // What an argmax head does not show: the same numbers, before the head. It has no parameter.
  quant::Signature signature = expert.signature;
  if (signature.head == quant::Head::Argmax)
    signature.head = quant::Head::None;
  return runCompiled(signature, expert.parameters, inputs);
}

static double meanSquaredError(const Matrix &a, const Matrix &b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.values.size(); ++i) {
    double d = static_cast<double>(a.values[i]) - b.values[i];
    sum += d * d;
  }
  return std::isnan(sum) ? kInfinity : sum / static_cast<double>(a.values.size());
}

/// Mean over the columns of their variance.
static double varianceOf(const Matrix &rows) {
  double sum = 0;
  for (std::size_t c = 0; c < rows.cols; ++c) {
    double mean = 0;
    for (std::size_t r = 0; r < rows.rows; ++r)
      mean += rows.row(r)[c];
    mean /= static_cast<double>(rows.rows);
    for (std::size_t r = 0; r < rows.rows; ++r)
      sum += (rows.row(r)[c] - mean) * (rows.row(r)[c] - mean);
  }
  return sum / static_cast<double>(rows.values.size());
}

static void measureAgainstTargets(const Yardstick &yardstick, const Matrix &actual, Measurement &out) {
  if (yardstick.isClassifier) {
    auto wanted = classesOf(*yardstick.targets, yardstick.targetThreshold);
    out.floatAccuracy = agreement(classesOf(yardstick.expected, yardstick.outputThreshold), wanted);
    out.compiledAccuracy = agreement(classesOf(actual, yardstick.outputThreshold), wanted);
    return;
  }
  out.floatMse = meanSquaredError(yardstick.expected, *yardstick.targets);
  out.compiledMse = meanSquaredError(actual, *yardstick.targets);
  if (double variance = varianceOf(*yardstick.targets); variance > 0) {
    out.floatNmse = *out.floatMse / variance;
    out.compiledNmse = *out.compiledMse / variance;
  }
}

Measurement measure(const CompiledExpert &expert, const Yardstick &yardstick) {
  Measurement out;
  out.measuredOn = yardstick.measuredOn;
  const Matrix &expected = yardstick.expected;
  out.rows = expected.rows;
  if (expected.values.empty())
    return out;
  Matrix actual = outputsOf(expert, yardstick.inputs);
  Comparison all;
  for (std::size_t i = 0; i < expected.values.size(); ++i)
    if (all.add(expected.values[i], actual.values[i]))
      out.maxErrorRow = i / expected.cols;
  out.maxError = all.maxError;
  out.meanError = all.sumOfErrors / static_cast<double>(expected.values.size());
  out.sqnrDb = all.sqnrDb();
  out.cosine = all.cosine();
  if (yardstick.isClassifier)
    out.agreement =
        agreement(classesOf(expected, yardstick.outputThreshold), classesOf(actual, yardstick.outputThreshold));
  if (yardstick.options.topK > 0)
    measureRouter(expected, actual, yardstick.options, out);
  if (yardstick.targets)
    measureAgainstTargets(yardstick, actual, out);
  return out;
}

//===--------------------------------------------------------------------===//
// Details
//===--------------------------------------------------------------------===//

ConfidenceInterval bootstrapMean(std::size_t count, std::size_t plus, std::size_t minus) {
  if (plus + minus == 0)
    return {};
  std::uint64_t state = 0;
  auto draw = [&] { // SplitMix64
    std::uint64_t z = state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return static_cast<std::size_t>(((z ^ (z >> 31)) >> 32) * count >> 32);
  };
  // More draws would only polish an interval that is narrow already.
  std::size_t draws = std::min<std::size_t>(count, 20'000);
  std::vector<double> means(kResamples);
  double stretch = std::sqrt(static_cast<double>(draws) / static_cast<double>(count));
  double mean = (static_cast<double>(plus) - static_cast<double>(minus)) / static_cast<double>(count);
  for (double &resampled : means) {
    std::int64_t sum = 0;
    for (std::size_t i = 0; i < draws; ++i) {
      std::size_t row = draw();
      sum += row < plus ? 1 : row < plus + minus ? -1 : 0;
    }
    resampled = mean + (static_cast<double>(sum) / static_cast<double>(draws) - mean) * stretch;
  }
  std::sort(means.begin(), means.end());
  return {means[kResamples / 40 - 1], means[kResamples - kResamples / 40]};
}

static std::uint32_t residualRows(const quant::Layout &layout, std::size_t layer,
                                  std::span<const std::uint8_t> parameters) {
  std::uint32_t offset = layout.layers[layer].residualCountOffset, count = 0;
  if (offset != quant::kNone)
    std::memcpy(&count, parameters.data() + offset, sizeof count);
  return count;
}

std::uint32_t residualRows(const CompiledExpert &expert) {
  auto layout = quant::layoutOf(expert.signature);
  std::uint32_t rows = 0;
  for (std::size_t l = 0; layout && l < layout->layers.size(); ++l)
    rows += residualRows(*layout, l, expert.parameters);
  return rows;
}

/// "sigmoid x 8, linear x 2".
static std::string functionsOf(const quant::LayerSignature &layer) {
  std::string out;
  for (const quant::ActivationGroup &group : layer.groups)
    out += (out.empty() ? "" : ", ") + std::string(nameOf(group.function)) + " x " + std::to_string(group.count);
  return out;
}

namespace {
/// The values of all layers of both networks on some rows.
class LayerValues {
public:
  LayerValues(const CompiledExpert &expert, const Yardstick &yardstick)
      : signature(expert.signature), network(*expert.layers), rows(std::min(yardstick.inputs.rows, kLayerRows)) {
    for (const quant::LayerSignature &layer : signature.layers) {
      floats.emplace_back(rows * layer.outputs());
      compiled.emplace_back(rows * layer.outputs());
    }
    auto layout = quant::layoutOf(signature);
    if (!layout)
      return;
    AlignedBytes block(expert.parameters.size()), scratch(layout->scratchBytes);
    std::memcpy(block.data(), expert.parameters.data(), expert.parameters.size());
    std::vector<float> outputs(signature.outputs());
    std::vector<double> values, sums;
    for (std::size_t i = 0; i < rows; ++i) {
      std::span<const float> x = yardstick.inputs.row(i * yardstick.inputs.rows / rows);
      reference::run(signature, *layout, block.data(), x.data(), outputs.data(), scratch.data(), 1);
      evaluate(network, x, values, sums);
      std::size_t value = network.inputs;
      for (std::size_t l = 0; l < signature.layers.size(); ++l) {
        readFloats(l, i, std::span<const double>(values).subspan(value));
        value += signature.layers[l].outputs();
        readCompiled(l, i, *layout, scratch.data(), outputs);
      }
    }
    for (std::size_t l = 0; l + 1 < signature.layers.size(); ++l)
      if (signature.weights() != quant::WeightFormat::Float32)
        fitScale(l);
  }

  /// The comparison of each row of layer `l`'s weights.
  std::vector<Comparison> compare(std::size_t l) const {
    std::vector<Comparison> out(signature.layers[l].outputs());
    for (std::size_t i = 0; i < floats[l].size(); ++i)
      out[i % out.size()].add(floats[l][i], compiled[l][i]);
    return out;
  }

  /// Variance of row n of layer l in the float network, times the number of rows of data.
  double spread(std::size_t l, std::size_t n) const {
    std::size_t width = signature.layers[l].outputs();
    double sum = 0, squares = 0;
    for (std::size_t i = n; i < floats[l].size(); i += width) {
      sum += floats[l][i];
      squares += floats[l][i] * floats[l][i];
    }
    return std::max(0.0, squares - sum * sum / static_cast<double>(rows));
  }

private:
  const quant::Signature &signature;
  const expert::Layers &network;
  std::size_t rows;
  std::vector<std::vector<double>> floats,
      compiled; ///< by layer: [rows][outputs]

  void readFloats(std::size_t l, std::size_t i, std::span<const double> values) {
    std::size_t width = signature.layers[l].outputs();
    for (std::size_t n = 0; n < width; ++n) {
      double value = values[n];
      if (l + 1 == signature.layers.size() && network.outputAffine)
        value = value * network.outputAffine->scale[n] + network.outputAffine->offset[n];
      floats[l][i * width + n] = value;
    }
  }

  void readCompiled(std::size_t l, std::size_t i, const quant::Layout &layout, const std::uint8_t *scratch,
                    const std::vector<float> &outputs) {
    std::size_t width = signature.layers[l].outputs();
    double *out = compiled[l].data() + i * width;
    if (l + 1 == signature.layers.size()) {
      for (std::size_t n = 0; n < width; ++n) {
        float value;
        if (signature.head == quant::Head::None)
          value = outputs[n];
        else
          std::memcpy(&value, scratch + layout.logitsOffset + n * sizeof value, sizeof value);
        out[n] = value;
      }
      return;
    }
    bool isFloat = signature.weights() == quant::WeightFormat::Float32;
    std::size_t first = layout.layers[l].codesBegin, n = 0;
    for (const quant::ActivationGroup &group : signature.layers[l].groups)
      for (std::uint32_t k = 0; k < group.count; ++k, ++n)
        if (isFloat) {
          float value;
          std::memcpy(&value, scratch + layout.codesOffset + (first + n) * sizeof value, sizeof value);
          out[n] = value;
        } else {
          std::int16_t code;
          std::memcpy(&code, scratch + layout.codesOffset + (first + n) * sizeof code, sizeof code);
          quant::CodeKind kind = quant::codeKindOf(group.function);
          out[n] =
              kind == quant::CodeKind::Unbounded ? code : (code - quant::zeroPointOf(kind)) * quant::codeScaleOf(kind);
        }
  }

  /// The scale of the codes of unbounded functions is folded into other numbers; the one that fits best stands for it.
  void fitScale(std::size_t l) {
    std::size_t width = signature.layers[l].outputs(), n = 0;
    std::vector<bool> isUnbounded(width);
    for (const quant::ActivationGroup &group : signature.layers[l].groups)
      for (std::uint32_t k = 0; k < group.count; ++k)
        isUnbounded[n++] = quant::codeKindOf(group.function) == quant::CodeKind::Unbounded;
    double product = 0, square = 0;
    for (std::size_t i = 0; i < floats[l].size(); ++i)
      if (isUnbounded[i % width]) {
        product += floats[l][i] * compiled[l][i];
        square += compiled[l][i] * compiled[l][i];
      }
    double scale = square > 0 ? product / square : 0;
    for (std::size_t i = 0; i < compiled[l].size(); ++i)
      if (isUnbounded[i % width])
        compiled[l][i] *= scale;
  }
};
} // namespace

static std::vector<LayerReport> reportLayers(const CompiledExpert &expert, const Yardstick &yardstick) {
  std::vector<LayerReport> out;
  auto layout = quant::layoutOf(expert.signature);
  if (!layout || yardstick.inputs.rows == 0)
    return out;
  LayerValues values(expert, yardstick);
  std::vector<std::vector<double>> relative(expert.signature.layers.size());
  for (const quantize::RowError &row : expert.quantized.rows) {
    auto &ofLayer = relative[row.layer];
    ofLayer.resize(expert.signature.layers[row.layer].outputs());
    ofLayer[row.row] = row.relative;
  }
  for (std::size_t l = 0; l < expert.signature.layers.size(); ++l) {
    const quant::LayerLayout &place = layout->layers[l];
    LayerReport &report = out.emplace_back();
    report.inputs = place.fanIn;
    report.outputs = place.outputs;
    report.functions = functionsOf(expert.signature.layers[l]);
    report.residualRows = residualRows(*layout, l, expert.parameters);
    report.weightBytes = quant::weightBytes(expert.signature.weights(), place) +
                         std::uint64_t{report.residualRows} * quant::residualRowBytes(place.fanIn);
    std::vector<Comparison> rows = values.compare(l);
    Comparison all;
    double predictedNoise = 0;
    report.worstRowSqnrDb = kInfinity;
    for (std::size_t n = 0; n < rows.size(); ++n) {
      all.add(rows[n]);
      if (!relative[l].empty())
        predictedNoise += relative[l][n] * values.spread(l, n);
      if (rows[n].sqnrDb() < report.worstRowSqnrDb) {
        report.worstRowSqnrDb = rows[n].sqnrDb();
        report.worstRow = static_cast<std::uint32_t>(n);
      }
    }
    report.sqnrDb = all.sqnrDb();
    report.maxError = all.maxError;
    report.cosine = all.cosine();
    if (predictedNoise > 0 && all.signal > 0)
      report.predictedSqnrDb = 10 * std::log10(all.signal / predictedNoise);
  }
  return out;
}

static std::vector<ReliabilityBin> reliabilityOf(const Yardstick &yardstick, const Matrix &actual) {
  std::vector<ReliabilityBin> bins(kBins);
  // The outputs of product keys are no classes.
  if (yardstick.options.routerHead == manifest::RouterHead::ProductKeys)
    return bins;
  auto right = classesOf(yardstick.targets ? *yardstick.targets : yardstick.expected, 0);
  RouterScores router;
  const std::vector<double> &scores = router.distribution;
  for (std::size_t r = 0; r < actual.rows; ++r) {
    scoresOf(actual.row(r), yardstick.options, router);
    std::size_t choice = largest(router.keys, 1)[0];
    if (!(scores[choice] >= 0))
      continue; // a NaN has no confidence
    ReliabilityBin &bin = bins[std::min(kBins - 1, static_cast<std::size_t>(scores[choice] * kBins))];
    ++bin.rows;
    bin.confidence += scores[choice];
    bin.correct += choice == right[r];
  }
  for (ReliabilityBin &bin : bins)
    if (bin.rows > 0) {
      bin.confidence /= static_cast<double>(bin.rows);
      bin.correct /= static_cast<double>(bin.rows);
    }
  return bins;
}

void measureInDetail(const CompiledExpert &expert, const Yardstick &yardstick, ExpertReport &report) {
  report.layerReports = reportLayers(expert, yardstick);
  for (const LayerReport &layer : report.layerReports)
    report.weightBytes += layer.weightBytes;
  if (!expert.quantized.rows.empty())
    report.predictedSqnrDb = expert.quantized.predictedSqnrDb();
  const Matrix &expected = yardstick.expected;
  if (expected.values.empty())
    return;
  Matrix actual = outputsOf(expert, yardstick.inputs);
  std::size_t points = std::min(expected.values.size(), kScatterPoints);
  for (std::size_t i = 0; i < points; ++i) {
    // One further each time, so that all columns have their turn.
    std::size_t size = expected.values.size(), at = size == points ? i : (i * (size / points) + i) % size;
    report.scatter.push_back({expected.values[at], actual.values[at]});
  }
  if (yardstick.options.topK > 0 && expected.cols > 1)
    report.reliability = reliabilityOf(yardstick, actual);
  if (!yardstick.targets || !yardstick.isClassifier)
    return;
  auto wanted = classesOf(*yardstick.targets, yardstick.targetThreshold);
  auto ofFloat = classesOf(expected, yardstick.outputThreshold);
  auto ofCompiled = classesOf(actual, yardstick.outputThreshold);
  std::size_t plus = 0, minus = 0;
  for (std::size_t r = 0; r < wanted.size(); ++r) {
    plus += ofCompiled[r] == wanted[r] && ofFloat[r] != wanted[r];
    minus += ofCompiled[r] != wanted[r] && ofFloat[r] == wanted[r];
  }
  report.accuracyChange = bootstrapMean(wanted.size(), plus, minus);
}

} // namespace kimic
