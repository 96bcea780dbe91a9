// Runs both, compares.
#include "compiler/Pipeline/Measure.h"

#include "formats/fann/Evaluator.h"
#include "formats/reference/Reference.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace kimic {

namespace {
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

/// Fraction of rows of the same class.
static double agreement(const Matrix &a, const Matrix &b, float threshold) {
  std::size_t same = 0;
  for (std::size_t r = 0; r < a.rows; ++r)
    same += classOf(a.row(r), threshold) == classOf(b.row(r), threshold);
  return static_cast<double>(same) / static_cast<double>(a.rows);
}

static double meanSquaredError(const Matrix &a, const Matrix &b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.values.size(); ++i) {
    double d = static_cast<double>(a.values[i]) - b.values[i];
    sum += d * d;
  }
  return sum / static_cast<double>(a.values.size());
}

void measure(const CompiledExpert &expert, const MeasureInput &input, ExpertReport &report) {
  Matrix expected = fann::evaluate(input.network, input.inputs, {input.applyScaling});
  Matrix actual = runCompiled(expert.signature, expert.parameters, input.inputs);
  report.rows = expected.rows;
  if (expected.values.empty())
    return;

  double signal = 0, noise = 0, errors = 0;
  for (std::size_t i = 0; i < expected.values.size(); ++i) {
    double y = expected.values[i], error = std::fabs(actual.values[i] - y);
    // A NaN on either side must not hide: it counts as an infinite error.
    if (!(error >= 0))
      error = std::numeric_limits<double>::infinity();
    report.maxError = std::max(report.maxError, error);
    errors += error;
    signal += y * y;
    noise += error * error;
  }
  report.meanError = errors / static_cast<double>(expected.values.size());
  report.sqnrDb = noise == 0 ? std::numeric_limits<double>::infinity() : 10 * std::log10(signal / noise);

  bool isClassifier =
      input.task == manifest::Task::Classification ||
      (input.task == manifest::Task::Unstated && (input.hasLabels || (input.targets && isOneHot(*input.targets))));
  float threshold = 0.5f;
  if (input.targets && !input.targets->values.empty()) {
    auto [least, greatest] = std::minmax_element(input.targets->values.begin(), input.targets->values.end());
    threshold = *least / 2 + *greatest / 2;
  }
  if (isClassifier)
    report.agreement = agreement(expected, actual, threshold);
  if (!input.targets)
    return;
  if (isClassifier) {
    report.floatAccuracy = agreement(expected, *input.targets, threshold);
    report.compiledAccuracy = agreement(actual, *input.targets, threshold);
  } else {
    report.floatMse = meanSquaredError(expected, *input.targets);
    report.compiledMse = meanSquaredError(actual, *input.targets);
  }
}

} // namespace kimic
