#include "compiler/Quantize/Quantize.h"

#include "compiler/Quantize/Activation.h"
#include "compiler/Quantize/Calibration.h"
#include "compiler/Quantize/RowSearch.h"
#include "formats/quant/ActivationMath.h"
#include "formats/reference/FloatOps.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

namespace kimic::quantize {

using quant::CodeKind;

namespace {
/// The calibrated range maps to these codes, so that codes saturate at twice or four times the range.
constexpr double kWideCode = 16383, kNarrowCode = 8191;
/// Readers of more codes than this get narrow ones, so that their sums keep room.
constexpr std::uint32_t kMaxWideFanIn = 1000;
/// With at most so many readers' inputs, all 16 bits may be used: their sums fit whatever the weights.
constexpr std::uint32_t kMaxFullFanIn = 512;
/// Inputs may leave their calibrated range by this part of its width before their codes saturate.
constexpr double kInputMargin = 1;
/// An input whose range is that many times its root mean square is rare: data that is new may well leave its range.
constexpr double kRarePeak = 6;
constexpr double kRareMargin = 4;
/// Balanced inputs: how far they may leave their calibrated range at least and at most, by how rarely they are near its
/// end; the least code at its end; and the least importance of an input relative to the most important one.
constexpr double kLeastMargin = 1.5, kMostMargin = 4;
constexpr double kLeastInputCode = 2048;
constexpr double kLeastImportance = 1e-6;
/// Rows on which choices of input scales are compared.
constexpr Eigen::Index kInputTestRows = 512;
constexpr std::int64_t kMaxSum = 0x7FFFFFFF;
/// A bias takes at most half of the accumulator's range, so that the weights keep the other half.
constexpr double kMaxBias = 0x1p30;
/// Ranges below are no signal; their reciprocals would not fit float32.
constexpr double kMinRange = 1e-30;
constexpr double kMaxWeight = 127;
/// The scale of a first plane, in units of the second one's.
constexpr std::int32_t kPlaneRatio = 254;
/// Added to every sensitivity, relative to the mean: derivatives are only right for small errors.
constexpr double kSensitivityFloor = 0.1;
/// Multiplications that moments of one layer may take; beyond, its rows share one matrix of moments.
constexpr double kMomentsBudget = 4e8;
/// Inputs of a row beyond which moments are not computed at all.
constexpr std::uint32_t kMaxMomentsFanIn = 1536;

/// Fewer calibration rows are joined by mixtures of them.
constexpr std::size_t kMixedRows = 1024;

/// Largest |code| of inputs and of unbounded layers, tightest last.
constexpr std::int32_t kCodeBounds[] = {32768, 16384, 8192};

/// A code and what it stands for: value = (code - zeroPoint) * scale.
struct Code {
  double scale;
  std::int32_t zeroPoint;
  std::uint32_t producer; ///< 0: the inputs, l: layer l - 1; whose bounds hold if it is not bounded by its function
  bool isBounded;         ///< |code| <= 8192 by its function
};

/// A producer's bounds for codes, tightened until the sums of its readers fit.
struct Bounds {
  unsigned step = 0; ///< index into kCodeBounds
  unsigned tightest = 2;

  std::int64_t largest() const { return kCodeBounds[step]; }
  float lo() const { return -static_cast<float>(kCodeBounds[step]); }
  float hi() const { return static_cast<float>(std::min(kCodeBounds[step], 32767)); }
};

/// Integers and the real value of one unit of them times one unit of a code.
struct Plane {
  std::vector<std::int32_t> integers; ///< [fanIn]; empty: no plane
  double scale = 0;
};

struct Row {
  Plane first, second;
  std::int64_t bias = 0; ///< in units of first.scale
};

double magnitude(const Range &range) { return std::max(std::fabs(range[0]), std::fabs(range[1])); }

/// From which |t| on clamping t at it changes no value of the function: by quantization-v1, bounded functions are
/// constant there up to what float32 resolves. Infinity for functions that are not.
double saturationOf(Activation function) {
  switch (function) {
  case Activation::Threshold:
  case Activation::ThresholdSymmetric:
  case Activation::GaussianStepwise:
    return 0;
  case Activation::LinearPiece:
  case Activation::LinearPieceSymmetric:
    return 1;
  case Activation::SigmoidStepwise:
  case Activation::SigmoidSymmetricStepwise:
    return 2.7;
  case Activation::Sigmoid:
  case Activation::SigmoidSymmetric:
    return 5.8; // the tanh core's own clamp
  case Activation::Gaussian:
  case Activation::GaussianSymmetric:
    return 9.5; // exp(-90)
  default:
    return std::numeric_limits<double>::infinity();
  }
}

/// SplitMix64: a generator whose numbers are the same everywhere.
class Random {
public:
  std::uint64_t next() {
    std::uint64_t z = state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  float nextFloat() { return static_cast<float>(next() >> 40) * 0x1p-24f; } ///< in [0, 1)

private:
  std::uint64_t state = 0;
};

/// Evenly spaced rows and, as there are `mixed`, rows between two random ones: the float network gives a target
/// everywhere, and what is fitted to a few rows alone fits nothing else.
Matrix rowsToFit(const Matrix &rows, std::size_t most, std::size_t mixed) {
  std::size_t count = std::min(rows.rows, most);
  Matrix out{count + mixed, rows.cols, {}};
  out.values.reserve(out.rows * rows.cols);
  for (std::size_t r = 0; r < count; ++r) {
    auto row = rows.row(r * rows.rows / count);
    out.values.insert(out.values.end(), row.begin(), row.end());
  }
  Random random;
  for (std::size_t r = 0; r < mixed; ++r) {
    auto a = rows.row(random.next() % rows.rows), b = rows.row(random.next() % rows.rows);
    float part = random.nextFloat();
    for (std::size_t i = 0; i < rows.cols; ++i)
      out.values.push_back(a[i] + (b[i] - a[i]) * part);
  }
  return out;
}

class Quantizer {
public:
  Quantizer(const Network &network, const Matrix &rows, std::size_t distinctRows, const Plan &plan,
            const Options &options)
      : network(network), calibration(calibrate(network, rows)), plan(plan), options(options),
        rowCount(static_cast<Eigen::Index>(rows.rows)), rows(rows), distinctRows(distinctRows) {}

  Result<Quantized> run() {
    signature().inputs = network.inputs;
    signature().outputAffine = !network.outputGain.empty();
    signature().head = network.head;
    out.parameters.outputGain = network.outputGain;
    out.parameters.outputOffset = network.outputOffset;
    out.parameters.headScale = network.headScale;
    out.signal = calibration.outputPower;
    KIMIC_TRY(quantizeInputs());
    for (std::size_t l = 0; l < network.layers.size(); ++l)
      KIMIC_TRY(quantizeLayer(l));
    out.parameters.inputLow = bounds[0].lo();
    out.parameters.inputHigh = bounds[0].hi();
    for (std::size_t l = 0; l + 1 < network.layers.size(); ++l) {
      out.parameters.layers[l].codeLow = bounds[l + 1].lo();
      out.parameters.layers[l].codeHigh = bounds[l + 1].hi();
    }
    return std::move(out);
  }

private:
  const Network &network;
  Calibration calibration;
  const Plan &plan;
  const Options &options;
  Eigen::Index rowCount;
  const Matrix &rows;
  std::size_t distinctRows; ///< of them, the others being mixtures
  std::vector<Code> codes;
  std::vector<Bounds> bounds; ///< by producer
  Eigen::MatrixXd codeValues; ///< [rows][codes so far]: codes less their zero points
  Quantized out;

  quant::Signature &signature() { return out.signature; }
  bool isLast(std::size_t l) const { return l + 1 == network.layers.size(); }

  /// Inputs of the widest row that reads producer p.
  std::uint32_t widestReader(std::size_t producer) const {
    std::uint32_t fanIn = 0, end = network.inputs;
    for (std::size_t l = 0; l < producer; ++l)
      end += network.layers[l].outputs();
    for (std::size_t l = producer; l < network.layers.size(); ++l)
      if (network.layers[l].readBegin < end)
        fanIn = std::max(fanIn, network.layers[l].fanIn());
    return fanIn;
  }

  /// The code that the calibrated range of an unbounded layer maps to; sets its bounds.
  double calibratedCode(std::size_t producer) {
    bool isWide = options.wideCodes && widestReader(producer) <= kMaxWideFanIn;
    bounds.push_back({0, isWide ? 1u : 2u});
    return isWide ? kWideCode : kNarrowCode;
  }

  /// Codes per unit of an input, by the ranges alone; sets the inputs' bounds.
  std::vector<double> scalesOfRanges() {
    double largest = 0, smallest = std::numeric_limits<double>::infinity();
    for (const Range &range : network.inputRange) {
      double m = magnitude(range);
      largest = std::max(largest, m);
      if (m >= kMinRange)
        smallest = std::min(smallest, m);
    }
    if (largest < kMinRange)
      largest = smallest = 1;
    bool isUniform = largest <= smallest * options.uniformInputRatio;
    bool isFull = options.wideCodes && widestReader(0) <= kMaxFullFanIn;
    double code = calibratedCode(0);
    if (isFull)
      bounds[0].tightest = 0;
    std::vector<double> scales;
    for (const Range &range : network.inputRange) {
      double m = magnitude(range), codeOfInput = code;
      if (m < kMinRange) {
        m = largest;
      } else if (isFull) {
        // A range away from zero needs less margin than its magnitude. An integer, so that the range's end is exact.
        double margin = kInputMargin * (static_cast<double>(range[1]) - range[0]);
        codeOfInput = std::max(std::floor(32767 * m / (m + margin) - 1), code);
      }
      scales.push_back(codeOfInput / m);
    }
    if (isUniform) {
      std::fill(scales.begin(), scales.end(), *std::min_element(scales.begin(), scales.end()));
    } else if (options.wideCodes) {
      for (std::size_t k = 0; k < scales.size(); ++k) {
        double power =
            calibration.values.col(static_cast<Eigen::Index>(k)).squaredNorm() / static_cast<double>(rowCount);
        if (magnitude(network.inputRange[k]) > kRarePeak * std::sqrt(power))
          scales[k] /= kRareMargin;
      }
    }
    return scales;
  }

  /// As scalesOfRanges, but so that the largest weights of all inputs, per unit of a code, are alike: weights of inputs
  /// that are small or rare then need no coarser a scale than the others. Where codes are finer than weights need
  /// them, they leave more room beyond the calibrated range.
  std::vector<double> balancedScales() const {
    bool isFull = options.wideCodes && widestReader(0) <= kMaxFullFanIn;
    double widest = isFull ? 32767 : widestReader(0) <= kMaxWideFanIn && options.wideCodes ? kWideCode : kNarrowCode;
    std::vector<double> importance = columnImportance(), scales;
    double fallback = 0;
    for (const Range &range : network.inputRange)
      fallback = std::max(fallback, magnitude(range));
    if (fallback < kMinRange)
      fallback = 1;
    double common = std::numeric_limits<double>::infinity();
    double least = kLeastImportance * *std::max_element(importance.begin(), importance.end());
    std::vector<double> most;
    for (std::uint32_t k = 0; k < network.inputs; ++k) {
      double m = magnitude(network.inputRange[k]);
      if (m < kMinRange)
        m = fallback;
      double code = isFull ? widest / marginOf(k) : std::min(widest, 2 * widest / marginOf(k));
      most.push_back(code / m);
      importance[k] = std::max({importance[k], least, std::numeric_limits<double>::min()});
      common = std::min(common, most[k] / importance[k]);
    }
    for (std::uint32_t k = 0; k < network.inputs; ++k) {
      double m = magnitude(network.inputRange[k]);
      if (m < kMinRange)
        m = fallback;
      double scale = std::min(std::max(importance[k] * common, kLeastInputCode / m), most[k]);
      // An integer, so that the range's end is exact.
      scales.push_back(std::max(std::floor(scale * m), 1.0) / m);
    }
    return scales;
  }

  /// How far inputs may leave their calibrated range, as a factor: the more, the fewer rows reach its end.
  double marginOf(std::uint32_t k) const {
    std::vector<double> magnitudes;
    for (std::size_t r = 0; r < distinctRows; ++r)
      magnitudes.push_back(std::fabs(calibration.values(static_cast<Eigen::Index>(r), k)));
    auto tail = magnitudes.begin() + static_cast<std::ptrdiff_t>(0.99 * static_cast<double>(magnitudes.size() - 1));
    std::nth_element(magnitudes.begin(), tail, magnitudes.end());
    double m = magnitude(network.inputRange[k]);
    return *tail > 0 ? std::clamp(m / *tail, kLeastMargin, kMostMargin) : kMostMargin;
  }

  /// By input, the largest part of its weight in any row that reads it; a row's largest is 1, all per unit of the
  /// inputs' standard deviations.
  std::vector<double> columnImportance() const {
    std::vector<double> deviation, out(network.inputs);
    for (std::uint32_t k = 0; k < network.inputs; ++k) {
      auto column = calibration.values.col(k).array();
      deviation.push_back(std::sqrt((column - column.mean()).square().mean()));
    }
    for (const Layer &layer : network.layers)
      for (std::uint32_t n = 0; layer.readBegin < network.inputs && n < layer.outputs(); ++n) {
        const float *row = layer.weights.data() + n * std::size_t(layer.fanIn());
        double largest = 0;
        for (std::uint32_t k = layer.readBegin; k < network.inputs; ++k)
          largest = std::max(largest, std::fabs(row[k - layer.readBegin]) * deviation[k]);
        for (std::uint32_t k = layer.readBegin; largest > 0 && k < network.inputs; ++k)
          out[k] = std::max(out[k], std::fabs(row[k - layer.readBegin]) / largest);
      }
    return out;
  }

  /// Codes per unit of an input; sets the inputs' bounds. Of two choices the one with the smaller error of the sums
  /// that read inputs, if weights are rounded to nearest.
  std::vector<double> inputScales() {
    std::vector<double> scales = scalesOfRanges();
    if (!options.balancedInputs)
      return scales;
    std::vector<double> balanced = balancedScales();
    auto errorOf = [&](const std::vector<double> &candidate) {
      auto [input, weights] = inputErrors(candidate);
      return input + weights;
    };
    if (errorOf(balanced) < errorOf(scales))
      scales = std::move(balanced);
    return scales;
  }

  /// Weighted squared errors of the sums that read inputs: by rounding the inputs, and besides by rounding weights to
  /// nearest. What is constant goes into the bias.
  std::pair<double, double> inputErrors(const std::vector<double> &scales) const {
    Eigen::Index step = std::max<Eigen::Index>(1, rowCount / kInputTestRows), count = (rowCount + step - 1) / step;
    Eigen::MatrixXd exact(count, network.inputs), rounded(count, network.inputs);
    for (Eigen::Index k = 0; k < network.inputs; ++k)
      for (Eigen::Index r = 0; r < count; ++r) {
        exact(r, k) = calibration.values(r * step, k);
        rounded(r, k) =
            std::clamp(std::nearbyint(exact(r, k) * scales[static_cast<std::size_t>(k)]), -32768.0, 32767.0) /
            scales[static_cast<std::size_t>(k)];
      }
    double ofInputs = 0, ofWeights = 0;
    Eigen::Index firstSum = 0;
    for (std::size_t l = 0; l < network.layers.size(); ++l) {
      const Layer &layer = network.layers[l];
      Eigen::Index outputs = layer.outputs(), used = static_cast<Eigen::Index>(network.inputs) - layer.readBegin;
      if (used > 0) {
        Eigen::MatrixXd weights(used, outputs), roundedWeights(used, outputs);
        std::vector<bool> hasResidual = residualRows(l);
        for (Eigen::Index n = 0; n < outputs; ++n) {
          for (Eigen::Index k = 0; k < used; ++k)
            weights(k, n) = layer.weights[static_cast<std::size_t>(n * layer.fanIn() + k)];
          double largest = 0;
          for (Eigen::Index k = 0; k < used; ++k)
            largest =
                std::max(largest, std::fabs(weights(k, n)) / scales[layer.readBegin + static_cast<std::size_t>(k)]);
          double unit = largest / (hasResidual[static_cast<std::size_t>(n)] ? kMaxWeight * 2 * kMaxWeight : kMaxWeight);
          for (Eigen::Index k = 0; k < used; ++k) {
            double perCode = unit * scales[layer.readBegin + static_cast<std::size_t>(k)];
            roundedWeights(k, n) = unit > 0 ? std::nearbyint(weights(k, n) / perCode) * perCode : 0;
          }
        }
        Eigen::MatrixXd inputError = (rounded - exact).rightCols(used) * weights;
        Eigen::MatrixXd weightError = rounded.rightCols(used) * (roundedWeights - weights);
        auto add = [&](Eigen::MatrixXd &error, double &sum) {
          error.rowwise() -= error.colwise().mean().eval();
          for (Eigen::Index n = 0; n < outputs; ++n) {
            auto sensitivity = calibration.sumSensitivity.col(firstSum + n);
            double floor = kSensitivityFloor * sensitivity.mean();
            for (Eigen::Index r = 0; r < count; ++r)
              sum += error(r, n) * error(r, n) * (sensitivity[r * step] + floor);
          }
        };
        add(inputError, ofInputs);
        add(weightError, ofWeights);
      }
      firstSum += outputs;
    }
    return {ofInputs, ofWeights};
  }

  Result<void> quantizeInputs() {
    std::vector<double> scales = inputScales();
    codeValues.resize(rowCount, network.inputs);
    for (std::uint32_t k = 0; k < network.inputs; ++k) {
      auto scale = static_cast<float>(scales[k]);
      if (!std::isnormal(scale))
        return makeError(ErrorId::InputRangeTooLarge, k);
      out.parameters.inputScale.push_back(scale);
      codes.push_back({1.0 / scale, 0, 0, false});
      reference::FloatOps ops(nullptr);
      for (Eigen::Index r = 0; r < rowCount; ++r) {
        float v = quant::clamp(ops, bounds[0].lo(), bounds[0].hi(), rows.row(static_cast<std::size_t>(r))[k] * scale);
        codeValues(r, k) = saturated(quant::roundToCode(ops, v));
        double d = codeValues(r, k) / scale - calibration.values(r, k);
        out.inputContribution += calibration.valueSensitivity(r, k) * d * d;
      }
    }
    out.inputActivity = inputActivity();
    return {};
  }

  /// Rows that are mixtures do not count: they have no zeros of their own.
  double inputActivity() const {
    std::size_t active = 0, pairs = (network.inputs + 1) / 2;
    for (std::size_t r = 0; r < distinctRows; ++r)
      for (Eigen::Index k = 0; k < network.inputs; k += 2)
        active += codeValues(static_cast<Eigen::Index>(r), k) != 0 ||
                  (k + 1 < network.inputs && codeValues(static_cast<Eigen::Index>(r), k + 1) != 0);
    return static_cast<double>(active) / static_cast<double>(pairs * distinctRows);
  }

  static double saturated(std::uint32_t code) {
    return std::clamp<std::int32_t>(static_cast<std::int32_t>(code), -32768, 32767);
  }

  Eigen::VectorXd weightOf(const Eigen::MatrixXd &sensitivity, Eigen::Index column) const {
    if (!options.sensitivity)
      return Eigen::VectorXd::Ones(rowCount);
    Eigen::VectorXd weight = sensitivity.col(column);
    double mean = weight.mean();
    if (!(mean > 0) || !std::isfinite(mean))
      return Eigen::VectorXd::Ones(rowCount);
    return (weight.array() / mean + kSensitivityFloor).matrix();
  }

  Result<void> quantizeLayer(std::size_t l) {
    const Layer &layer = network.layers[l];
    Eigen::Index fanIn = layer.fanIn(), outputs = layer.outputs(), firstSum = 0;
    for (std::size_t i = 0; i < l; ++i)
      firstSum += network.layers[i].outputs();
    LayerInputs inputs(codeValues.middleCols(layer.readBegin, fanIn));

    bool usesMoments = layer.fanIn() <= kMaxMomentsFanIn &&
                       (options.sequential || options.errorCompensation || options.biasCorrection);
    bool isShared = !options.sensitivity || double(rowCount) * double(fanIn * fanIn) * double(outputs) > kMomentsBudget;
    std::optional<Moments> shared;
    if (usesMoments && isShared) {
      Eigen::VectorXd weight = Eigen::VectorXd::Zero(rowCount);
      for (Eigen::Index n = 0; n < outputs; ++n)
        weight += weightOf(calibration.sumSensitivity, firstSum + n);
      shared.emplace(inputs, weight, options.biasCorrection, distinctRows);
    }

    Eigen::MatrixXd weights = perCode(l);
    Eigen::MatrixXd missing = calibration.sums.middleCols(firstSum, outputs) - inputs.values * weights;
    std::vector<bool> hasResidual = residualRows(l);
    std::vector<Activation> functions;
    for (const Run &run : layer.runs)
      functions.insert(functions.end(), run.count, run.function);
    std::vector<Row> quantizedRows(layer.outputs());
    for (Eigen::Index n = 0; n < outputs; ++n) {
      auto row = static_cast<std::size_t>(n);
      std::optional<Moments> own;
      if (usesMoments && !isShared)
        own.emplace(inputs, weightOf(calibration.sumSensitivity, firstSum + n), options.biasCorrection, distinctRows);
      const Moments *moments = own ? &*own : shared ? &*shared : nullptr;
      RowProblem problem{inputs,
                         weights.col(n),
                         layer.bias[row],
                         calibration.sums.col(firstSum + n),
                         missing.col(n).array() - layer.bias[row],
                         weightOf(calibration.valueSensitivity, network.inputs + firstSum + n),
                         functions[row],
                         layer.limit.empty() ? std::numeric_limits<double>::infinity() : layer.limit[row],
                         0,
                         kMaxWeight};
      quantizedRows[row] = quantizeRow(l, problem, moments, hasResidual[row]);
    }
    return finishLayer(l, quantizedRows, hasResidual, inputs.values);
  }

  /// [fanIn][outputs]: the layer's weights per unit of the codes that they multiply.
  Eigen::MatrixXd perCode(std::size_t l) const {
    const Layer &layer = network.layers[l];
    Eigen::Map<const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>> weights(
        layer.weights.data(), layer.outputs(), layer.fanIn());
    Eigen::VectorXd units(layer.fanIn());
    for (Eigen::Index k = 0; k < units.size(); ++k)
      units[k] = codes[layer.readBegin + static_cast<std::size_t>(k)].scale;
    return units.asDiagonal() * weights.cast<double>().transpose();
  }

  std::vector<bool> residualRows(std::size_t l) const {
    std::vector<bool> out(network.layers[l].outputs());
    if (plan.weights != quant::WeightFormat::Int8Residual)
      return out;
    if (plan.allResidual)
      out.flip();
    else if (l < plan.residualRows.size())
      for (std::uint32_t row : plan.residualRows[l])
        out[row] = true;
    return out;
  }

  Row quantizeRow(std::size_t l, RowProblem &problem, const Moments *moments, bool hasResidual) {
    double largest = problem.weights.cwiseAbs().maxCoeff();
    // A bias that is huge beside the weights makes them coarser; a row of zeros only needs a scale for its bias.
    double least = std::max(std::fabs(problem.bias) / kMaxBias * 1.0001, largest * 1e-6 / kMaxWeight);
    if (!(least > 0))
      least = 1;
    std::int32_t ratio = hasResidual ? kPlaneRatio : 1; // of the planes' scales
    for (double scale = least;;) {
      problem.minScale = scale / ratio;
      // Together, two planes are one of more integers.
      problem.most = hasResidual ? kMaxWeight * ratio + ratio / 2 - 1 : kMaxWeight;
      RowSolution solution = solveRow(problem, moments, options);
      Row row = split(solution, ratio, hasResidual);
      row.bias = biasOf(l, row, solution.bias);
      if (hasResidual && !fits(l, row.second, 0) && ratio > 2) {
        ratio /= 2;
        continue;
      }
      if (fits(l, row.first, row.bias))
        return row;
      double sum = largestSum(l, row.first, row.bias);
      scale = std::max(scale, row.first.scale) * (sum > 2.0 * kMaxSum ? 2 : 1.0625);
    }
  }

  static Row split(const RowSolution &solution, std::int32_t ratio, bool hasResidual) {
    Row row{{{}, solution.scale * ratio}, {{}, hasResidual ? solution.scale : 0}, 0};
    for (double integer : solution.integers) {
      auto first = static_cast<std::int32_t>(std::nearbyint(integer / ratio));
      row.first.integers.push_back(first);
      if (hasResidual)
        row.second.integers.push_back(static_cast<std::int32_t>(integer) - first * ratio);
    }
    return row;
  }

  double zeroPoints(std::size_t l, const Plane &plane) const {
    double sum = 0;
    for (std::size_t k = 0; k < plane.integers.size(); ++k)
      sum += static_cast<double>(plane.integers[k]) * codes[network.layers[l].readBegin + k].zeroPoint;
    return sum;
  }

  std::int64_t biasOf(std::size_t l, const Row &row, double bias) const {
    double integer = std::nearbyint((bias - row.second.scale * zeroPoints(l, row.second)) / row.first.scale) -
                     zeroPoints(l, row.first);
    return static_cast<std::int64_t>(std::clamp<double>(integer, -kMaxSum, kMaxSum));
  }

  std::int64_t boundOf(const Code &code) const {
    return code.isBounded ? quant::kCodeLimit : bounds[code.producer].largest();
  }

  /// |bias| + sum |weight| * bound(code): no sum of the row can be larger.
  double largestSum(std::size_t l, const Plane &plane, std::int64_t bias) const {
    std::int64_t sum = std::llabs(bias);
    for (std::size_t k = 0; k < plane.integers.size(); ++k)
      sum += std::abs(plane.integers[k]) * boundOf(codes[network.layers[l].readBegin + k]);
    return static_cast<double>(sum);
  }

  /// Whether the plane's sum fits i32, by tighter bounds of the codes that it reads if need be: those of the inputs
  /// first, as their margin beyond the calibrated range is the least likely to be used.
  bool fits(std::size_t l, const Plane &plane, std::int64_t bias) {
    const Layer &layer = network.layers[l];
    while (largestSum(l, plane, bias) > static_cast<double>(kMaxSum)) {
      unsigned widest = std::size(kCodeBounds);
      std::uint32_t producer = 0;
      for (std::size_t k = 0; k < plane.integers.size(); ++k) {
        const Code &code = codes[layer.readBegin + k];
        const Bounds &bound = bounds[code.producer];
        if (!code.isBounded && bound.step < bound.tightest && bound.step < widest) {
          widest = bound.step;
          producer = code.producer;
        }
      }
      if (widest == std::size(kCodeBounds))
        return false;
      ++bounds[producer].step;
    }
    return true;
  }

  Result<void> finishLayer(std::size_t l, const std::vector<Row> &quantizedRows, const std::vector<bool> &hasResidual,
                           const Eigen::MatrixXd &inputs) {
    const Layer &layer = network.layers[l];
    quant::LayerSignature &shape = signature().layers.emplace_back();
    quant::LayerParameters &numbers = out.parameters.layers.emplace_back();
    shape.weights = plan.weights;
    shape.readBegin = layer.readBegin;
    std::uint32_t fanIn = layer.fanIn(), outputs = layer.outputs();

    double unboundedRange = 0, outputScale = 1;
    std::uint32_t n = 0;
    for (const Run &run : layer.runs)
      for (std::uint32_t i = 0; i < run.count; ++i, ++n)
        if (quant::codeKindOf(run.function) == CodeKind::Unbounded)
          unboundedRange = std::max(unboundedRange, magnitude(layer.range[n]));
    if (!isLast(l))
      outputScale = (unboundedRange < kMinRange ? 1 : unboundedRange) / calibratedCode(l + 1);

    std::vector<float> secondMultiplier(outputs, 0);
    std::vector<float> limit;
    bool anyClamped = false;
    n = 0;
    for (const Run &run : layer.runs) {
      CodeKind kind = quant::codeKindOf(run.function);
      bool isUnbounded = !isLast(l) && kind == CodeKind::Unbounded;
      double unit = isUnbounded ? outputScale : 1;
      bool clamped = false;
      for (std::uint32_t i = 0; i < run.count; ++i, ++n) {
        const Row &row = quantizedRows[n];
        auto multiplier = static_cast<float>(row.first.scale / unit);
        secondMultiplier[n] = static_cast<float>(row.second.scale / unit);
        if (!std::isfinite(multiplier) || !std::isfinite(secondMultiplier[n]))
          return makeError(ErrorId::WeightsTooLarge, n, l + 1);
        numbers.multiplier.push_back(multiplier);
        for (std::int32_t integer : row.first.integers)
          numbers.weights.push_back(static_cast<std::int8_t>(integer));
        numbers.bias.push_back(static_cast<std::int32_t>(row.bias));
        if (layer.limit.empty())
          continue;
        // In units of what is clamped; half a unit in the last place aside, t cannot be larger than this.
        double largest =
            (largestSum(l, row.first, row.bias) * multiplier + largestSum(l, row.second, 0) * secondMultiplier[n]) *
            (1 + 0x1p-20);
        double limitOfRow = layer.limit[n] / unit;
        clamped |= largest > limitOfRow && limitOfRow < saturationOf(run.function);
        limit.push_back(static_cast<float>(std::min<double>(limitOfRow, std::numeric_limits<float>::max())));
      }
      if (!clamped && !limit.empty())
        std::fill(limit.end() - run.count, limit.end(), 0.0f);
      shape.groups.push_back({run.function, clamped, run.count});
      anyClamped |= clamped;
      if (!isLast(l))
        for (std::uint32_t i = 0; i < run.count; ++i)
          codes.push_back({isUnbounded ? outputScale : static_cast<double>(quant::codeScaleOf(kind)),
                           quant::zeroPointOf(kind), static_cast<std::uint32_t>(l + 1), !isUnbounded});
    }
    if (anyClamped)
      numbers.limit = std::move(limit);
    for (std::uint32_t n = 0; n < outputs; ++n) {
      if (!hasResidual[n])
        continue;
      quant::ResidualRow &residual = numbers.residuals.emplace_back();
      residual.output = n;
      residual.multiplier = secondMultiplier[n];
      for (std::uint32_t k = 0; k < fanIn; ++k)
        residual.weights.push_back(static_cast<std::int8_t>(quantizedRows[n].second.integers[k]));
    }
    simulate(l, quantizedRows, secondMultiplier, hasResidual, inputs);
    return {};
  }

  /// Appends the layer's codes for the calibration rows, bit for bit as kernels compute them, and rates its rows.
  void simulate(std::size_t l, const std::vector<Row> &quantizedRows, const std::vector<float> &secondMultiplier,
                const std::vector<bool> &hasResidual, const Eigen::MatrixXd &inputs) {
    const Layer &layer = network.layers[l];
    const quant::LayerParameters &numbers = out.parameters.layers[l];
    Eigen::Index outputs = layer.outputs(), fanIn = layer.fanIn();
    Eigen::Index firstValue = network.inputs;
    for (std::size_t i = 0; i < l; ++i)
      firstValue += network.layers[i].outputs();

    // All sums are integers below 2^53: exact in any order.
    Eigen::MatrixXd first(fanIn, outputs), second = Eigen::MatrixXd::Zero(fanIn, outputs);
    Eigen::VectorXd firstBias(outputs), secondBias(outputs);
    for (Eigen::Index n = 0; n < outputs; ++n) {
      const Row &row = quantizedRows[static_cast<std::size_t>(n)];
      for (Eigen::Index k = 0; k < fanIn; ++k) {
        auto at = static_cast<std::size_t>(k);
        first(k, n) = row.first.integers[at];
        if (!row.second.integers.empty())
          second(k, n) = row.second.integers[at];
      }
      firstBias[n] = static_cast<double>(row.bias) + zeroPoints(l, row.first);
      secondBias[n] = zeroPoints(l, row.second);
    }
    bool anyResidual = std::find(hasResidual.begin(), hasResidual.end(), true) != hasResidual.end();
    Eigen::MatrixXd sums = inputs * first, restSums, exactSums = inputs * perCode(l);
    if (anyResidual)
      restSums = inputs * second;
    if (!isLast(l))
      codeValues.conservativeResize(Eigen::NoChange, codeValues.cols() + outputs);

    std::size_t n = 0;
    std::size_t groupIndex = 0;
    for (const Run &run : layer.runs) {
      auto table = quant::constantTableOf(run.function);
      reference::FloatOps ops(table ? quant::constantsOf(*table).data() : nullptr);
      bool isUnbounded = quant::codeKindOf(run.function) == CodeKind::Unbounded;
      bool clamped = out.signature.layers[l].groups[groupIndex++].clamped;
      for (std::uint32_t i = 0; i < run.count; ++i, ++n) {
        auto column = static_cast<Eigen::Index>(n);
        double limit = layer.limit.empty() ? std::numeric_limits<double>::infinity() : layer.limit[n];
        double own = 0, contribution = 0;
        for (Eigen::Index r = 0; r < rowCount; ++r) {
          float t = static_cast<float>(static_cast<std::int32_t>(sums(r, column) + firstBias[column])) *
                    numbers.multiplier[n];
          if (hasResidual[n])
            t = t + static_cast<float>(static_cast<std::int32_t>(restSums(r, column) + secondBias[column])) *
                        secondMultiplier[n];
          if (clamped)
            t = quant::clamp(ops, -numbers.limit[n], numbers.limit[n], t);
          double value;
          if (isLast(l)) {
            value = quant::evaluateOutput(ops, run.function, t);
          } else {
            float v = quant::evaluateCode(ops, run.function, t);
            if (isUnbounded)
              v = quant::clamp(ops, bounds[l + 1].lo(), bounds[l + 1].hi(), v);
            const Code &code = codes[static_cast<std::size_t>(firstValue) + n];
            double units = saturated(quant::roundToCode(ops, v)) - code.zeroPoint;
            codeValues(r, firstValue + column) = units;
            value = units * code.scale;
          }
          double wanted = activate(run.function, std::clamp(exactSums(r, column) + layer.bias[n], -limit, limit));
          double d = value - wanted;
          own += d * d;
          contribution += calibration.valueSensitivity(r, firstValue + column) * d * d;
          if (isLast(l)) {
            double gain = network.outputGain.empty() ? 1 : network.outputGain[n];
            double error = gain * (value - calibration.values(r, firstValue + column));
            out.noise += error * error;
          }
        }
        auto values = calibration.values.col(firstValue + column).array();
        double mean = values.mean(), variance = (values - mean).square().mean();
        out.rows.push_back({static_cast<std::uint32_t>(l), static_cast<std::uint32_t>(n),
                            variance > 0 ? own / static_cast<double>(rowCount) / variance : 0, contribution,
                            hasResidual[n]});
      }
    }
  }
};

/// f32 weights need no choice.
Quantized convert(const Network &network) {
  Quantized out;
  out.signature.inputs = network.inputs;
  out.signature.outputAffine = !network.outputGain.empty();
  out.signature.head = network.head;
  out.parameters.outputGain = network.outputGain;
  out.parameters.outputOffset = network.outputOffset;
  out.parameters.headScale = network.headScale;
  out.parameters.inputLow = -std::numeric_limits<float>::max();
  out.parameters.inputHigh = std::numeric_limits<float>::max();
  for (const Layer &layer : network.layers) {
    quant::LayerSignature &shape = out.signature.layers.emplace_back();
    shape.weights = quant::WeightFormat::Float32;
    shape.readBegin = layer.readBegin;
    for (const Run &run : layer.runs)
      shape.groups.push_back({run.function, true, run.count});
    quant::LayerParameters &numbers = out.parameters.layers.emplace_back();
    numbers.floatWeights = layer.weights;
    numbers.floatBias = layer.bias;
    numbers.limit = layer.limit;
    numbers.limit.resize(layer.outputs(), std::numeric_limits<float>::max());
  }
  return out;
}

double decibels(double signal, double noise) {
  return noise > 0 ? 10 * std::log10(signal / noise) : std::numeric_limits<double>::infinity();
}
} // namespace

double Quantized::predictedSqnrDb() const {
  double predicted = inputContribution;
  for (const RowError &row : rows)
    predicted += row.contribution;
  return decibels(signal, predicted);
}

double Quantized::measuredSqnrDb() const { return decibels(signal, noise); }

Result<Quantized> quantize(const Network &network, const Matrix &calibration, const Plan &plan,
                           const Options &options) {
  if (plan.weights == quant::WeightFormat::Float32)
    return convert(network);
  Matrix rows = rowsToFit(calibration, kMaxRows, kMixedRows - std::min(calibration.rows, kMixedRows));
  return Quantizer(network, rows, std::min(calibration.rows, rows.rows), plan, options).run();
}

std::vector<std::size_t> residualSteps(std::size_t all) {
  std::vector<std::size_t> steps;
  for (std::size_t step = 1; step < all; step *= 2)
    for (std::size_t count : {step, step + step / 2})
      if (count < all && count >= all / 64 && (steps.empty() || count > steps.back()))
        steps.push_back(count);
  return steps;
}

std::vector<std::vector<std::uint32_t>> noisiestRows(const Quantized &quantized, std::size_t count) {
  std::vector<std::vector<std::uint32_t>> out(quantized.signature.layers.size());
  std::vector<double> fanIn;
  std::uint32_t values = quantized.signature.inputs;
  for (const quant::LayerSignature &layer : quantized.signature.layers) {
    fanIn.push_back(values - layer.readBegin);
    values += layer.outputs();
  }
  std::vector<const RowError *> ranked;
  for (const RowError &row : quantized.rows)
    ranked.push_back(&row);
  std::stable_sort(ranked.begin(), ranked.end(), [&](const RowError *a, const RowError *b) {
    return a->contribution / fanIn[a->layer] > b->contribution / fanIn[b->layer];
  });
  ranked.resize(std::min(ranked.size(), count));
  for (const RowError *row : ranked)
    out[row->layer].push_back(row->row);
  for (auto &rows : out)
    std::sort(rows.begin(), rows.end());
  return out;
}

} // namespace kimic::quantize
