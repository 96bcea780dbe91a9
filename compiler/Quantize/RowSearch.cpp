#include "compiler/Quantize/RowSearch.h"

#include "compiler/Quantize/VectorOps.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>

namespace kimic::quantize {

namespace {
/// Ridge of the moments, relative to their mean diagonal: for rounding, and for fitting weights to the sums.
constexpr double kRoundingRidge = 1e-3;
constexpr double kFitRidge = 0.1;
constexpr unsigned kClipSteps = 25;
constexpr double kLeastClip = 0.01;
constexpr unsigned kMaxSweeps = 16;
constexpr unsigned kBiasSteps = 3;
/// Of the difference quotients in these steps.
constexpr double kLeastWidth = 1e-4;
/// Rows in saturation count a little where the mean error of the sums is taken by slope.
constexpr float kSlopeFloor = 1e-3f;
/// Candidates are compared on so many rows that this many inputs are looked at, but no fewer rows than these.
constexpr Eigen::Index kComparedInputs = 1 << 17, kMinComparedRows = 256;
/// Candidates that are refined.
constexpr std::size_t kFinalists = 4;
constexpr Eigen::Index kLanes = VectorOps::kLanes;

Eigen::Index padded(Eigen::Index rows) { return (rows + kLanes - 1) / kLanes * kLanes; }

Eigen::VectorXd rounded(const Eigen::VectorXd &weights, double scale, double most) {
  return (weights / scale).unaryExpr([=](double w) { return std::clamp(std::nearbyint(w), -most, most); });
}
} // namespace

LayerInputs::LayerInputs(Eigen::MatrixXd given) : values(std::move(given)) {
  Eigen::Index rows = values.rows(), fanIn = values.cols();
  mean = values.colwise().mean();
  centred.setZero(padded(rows), fanIn);
  centred.topRows(rows) = (values.rowwise() - mean).cast<float>();
  Eigen::Index compared = std::clamp(kComparedInputs / fanIn, kMinComparedRows, std::max(kMinComparedRows, rows));
  step = std::max<Eigen::Index>(1, rows / compared);
  Eigen::Index count = (rows + step - 1) / step;
  thinned.setZero(padded(count), fanIn);
  for (Eigen::Index r = 0; r < count; ++r)
    thinned.row(r) = centred.row(r * step);
}

Moments::Moments(const LayerInputs &layer, const Eigen::VectorXd &weights, bool isCentred, std::size_t distinctRows)
    : inputs(layer.values), rowWeights(weights / weights.sum()), isCentred(isCentred) {
  Eigen::Index rows = inputs.rows(), fanIn = inputs.cols();
  Eigen::MatrixXf weighted;
  Eigen::VectorXf roots = rowWeights.cwiseSqrt().cast<float>();
  if (isCentred) {
    centre.noalias() = inputs.transpose() * rowWeights;
    Eigen::RowVectorXf shift = (centre.transpose() - layer.mean).cast<float>();
    weighted.noalias() = roots.asDiagonal() * (layer.centred.topRows(rows).rowwise() - shift);
  } else {
    centre.setZero(fanIn);
    weighted.noalias() = roots.asDiagonal() * inputs.cast<float>();
  }
  Eigen::MatrixXf products = Eigen::MatrixXf::Zero(fanIn, fanIn);
  products.selfadjointView<Eigen::Lower>().rankUpdate(weighted.transpose());
  moments = products.cast<double>();
  moments.triangularView<Eigen::StrictlyUpper>() = moments.transpose();
  // With fewer rows than inputs, errors can hide where no row looks: shrink towards independent inputs.
  double rowsPerInput = static_cast<double>(distinctRows) / static_cast<double>(fanIn);
  Eigen::VectorXd diagonal = moments.diagonal();
  moments *= rowsPerInput * rowsPerInput / (1 + rowsPerInput * rowsPerInput);
  double mean = std::max(diagonal.mean(), 1e-12);
  moments.diagonal().array() = diagonal.array() + kFitRidge * mean;
  fitFactor.compute(moments);
  moments.diagonal().array() = diagonal.array() + kRoundingRidge * mean;

  // Inputs of much power are rounded first, so that many others can make up for them.
  order.resize(fanIn);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return moments(a, a) < moments(b, b); });
  Eigen::MatrixXd sorted(fanIn, fanIn);
  for (Eigen::Index i = 0; i < fanIn; ++i)
    for (Eigen::Index j = 0; j < fanIn; ++j)
      sorted(j, i) = moments(order[j], order[i]);
  Eigen::LLT<Eigen::MatrixXd> factor(std::move(sorted));
  feedback = factor.matrixL().transpose();
  for (Eigen::Index i = 0; i < fanIn; ++i)
    feedback.row(i) /= feedback(i, i);
}

Eigen::VectorXd Moments::fit(const Eigen::VectorXd &missing) const {
  double mean = isCentred ? missing.dot(rowWeights) : 0;
  Eigen::VectorXd weighted = (missing.array() - mean) * rowWeights.array();
  Eigen::VectorXd right = inputs.transpose() * weighted;
  right -= centre * weighted.sum();
  return fitFactor.solve(right);
}

Eigen::MatrixXd Moments::roundSequentially(const Eigen::VectorXd &weights, const Eigen::VectorXd &scales,
                                           double most) const {
  Eigen::Index fanIn = weights.size(), count = scales.size();
  Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> errors(fanIn, count);
  Eigen::MatrixXd out(fanIn, count);
  Eigen::RowVectorXd wanted(count);
  for (Eigen::Index i = fanIn; i-- > 0;) {
    Eigen::Index rest = fanIn - 1 - i;
    double weight = weights[order[i]];
    wanted.setConstant(weight);
    if (rest > 0)
      wanted.noalias() += feedback.row(i).tail(rest) * errors.bottomRows(rest);
    for (Eigen::Index c = 0; c < count; ++c) {
      double integer = std::clamp(std::nearbyint(wanted[c] / scales[c]), -most, most);
      out(order[i], c) = integer;
      errors(i, c) = weight - integer * scales[c];
    }
  }
  return out;
}

void Moments::descend(const Eigen::VectorXd &weights, double scale, double most,
                      Eigen::Ref<Eigen::VectorXd> integers) const {
  Eigen::VectorXd gradient = moments * (weights - scale * integers);
  for (unsigned sweep = 0; sweep < kMaxSweeps; ++sweep) {
    bool moved = false;
    for (Eigen::Index k = 0; k < weights.size(); ++k) {
      double step = gradient[k] > 0 ? 1 : -1;
      if (2 * std::fabs(gradient[k]) <= scale * moments(k, k) * (1 + 1e-9) || std::fabs(integers[k] + step) > most)
        continue;
      integers[k] += step;
      gradient -= scale * step * moments.col(k);
      moved = true;
    }
    if (!moved)
      return;
  }
}

namespace {
/// What a row's values should be on some rows of data, padded with rows of no weight.
struct Samples {
  Eigen::VectorXf sums, values, valueWeight;
  Eigen::VectorXf biasWeight, slopeWeight; ///< sum 1
};

class Search {
public:
  Search(const RowProblem &problem, const Moments *moments, const Options &options)
      : problem(problem), moments(moments), options(options),
        limit(static_cast<float>(std::min<double>(problem.limit, std::numeric_limits<float>::max()))) {
    auto table = quant::constantTableOf(problem.function);
    constants = table ? quant::constantsOf(*table).data() : nullptr;
    all = samplesOf(1);
    if (problem.inputs.step > 1)
      some = samplesOf(problem.inputs.step);
  }

  RowSolution run() {
    double largest = problem.weights.cwiseAbs().maxCoeff();
    Eigen::VectorXd plain = rounded(problem.weights, scaleFor(largest), problem.most);
    Eigen::VectorXf products = problem.inputs.centred * plain.cast<float>();
    start(plain, scaleFor(largest), products);
    Eigen::VectorXd fitted = problem.weights;
    if (moments && options.sequential)
      fitted += moments->fit(problem.missing);
    if (!fitted.allFinite())
      fitted = problem.weights;
    largest = fitted.cwiseAbs().maxCoeff();

    std::vector<double> list{scaleFor(largest)};
    if (options.clipSearch)
      for (unsigned i = 0; i < kClipSteps; ++i) {
        double scale = scaleFor(largest * std::pow(kLeastClip, 1 - i / double(kClipSteps)));
        if (scale != list.front())
          list.push_back(scale);
      }
    Eigen::VectorXd scales = Eigen::Map<Eigen::VectorXd>(list.data(), static_cast<Eigen::Index>(list.size()));

    bool compensates = moments && options.errorCompensation;
    Eigen::MatrixXd candidates(fitted.size(), scales.size() * (compensates ? 2 : 1));
    for (Eigen::Index c = 0; c < scales.size(); ++c)
      candidates.col(c) = rounded(fitted, scales[c], problem.most);
    if (compensates)
      candidates.rightCols(scales.size()) = moments->roundSequentially(fitted, scales, problem.most);
    Eigen::MatrixXf rough = problem.inputs.thinned * candidates.cast<float>();
    const Samples &samples = problem.inputs.step > 1 ? some : all;
    std::vector<std::pair<double, Eigen::Index>> entries;
    for (Eigen::Index c = 0; c < candidates.cols(); ++c) {
      double scale = scales[c % scales.size()], error = std::numeric_limits<double>::infinity();
      for (double bias : biasesFor(samples, candidates.col(c), rough.col(c), scale))
        error = std::min(error, errorOf(samples, rough.col(c), scale, bias));
      entries.emplace_back(error, c);
    }
    std::stable_sort(entries.begin(), entries.end(), [](const auto &a, const auto &b) { return a.first < b.first; });
    entries.resize(std::min(entries.size(), kFinalists));

    auto count = static_cast<Eigen::Index>(entries.size());
    Eigen::MatrixXd finalists(fitted.size(), compensates ? 2 * count : count);
    for (Eigen::Index i = 0; i < count; ++i) {
      Eigen::Index c = entries[static_cast<std::size_t>(i)].second;
      finalists.col(i) = candidates.col(c);
      if (compensates) {
        finalists.col(count + i) = candidates.col(c);
        moments->descend(fitted, scales[c % scales.size()], problem.most, finalists.col(count + i));
      }
    }
    Eigen::MatrixXf fine = problem.inputs.centred * finalists.cast<float>();
    for (Eigen::Index i = 0; i < finalists.cols(); ++i)
      propose(finalists.col(i), scales[entries[static_cast<std::size_t>(i % count)].second % scales.size()],
              fine.col(i));
    return best;
  }

private:
  using V = VectorOps::V;
  using Column = Eigen::Ref<const Eigen::VectorXf>;

  const RowProblem &problem;
  const Moments *moments;
  const Options &options;
  float limit;
  const float *constants;
  Samples all, some;
  RowSolution best;

  double scaleFor(double largest) const { return std::max(largest / problem.most, problem.minScale); }

  Samples samplesOf(Eigen::Index step) const {
    Eigen::Index rows = problem.sums.size(), count = (rows + step - 1) / step;
    Samples out;
    for (Eigen::VectorXf *column : {&out.sums, &out.values, &out.valueWeight, &out.biasWeight, &out.slopeWeight})
      column->setZero(padded(count));
    double sum = 0;
    for (Eigen::Index i = 0; i < count; ++i)
      sum += moments ? moments->weights()[i * step] : 1;
    for (Eigen::Index i = 0; i < count; ++i) {
      Eigen::Index r = i * step;
      out.sums[i] = static_cast<float>(problem.sums[r]);
      out.valueWeight[i] = static_cast<float>(problem.valueWeight[r] / static_cast<double>(count));
      out.biasWeight[i] = static_cast<float>((moments ? moments->weights()[r] : 1) / sum);
    }
    // Over what rounding to nearest moves a sum by, so that steps have a slope too.
    V width = VectorOps(constants).literal(static_cast<float>(typicalError()));
    for (Eigen::Index i = 0; i < out.sums.size(); i += kLanes) {
      V z = VectorOps::load(&out.sums[i]), value = activate(z);
      store(value, &out.values[i]);
      V up = activate(z + width) - value, down = activate(z - width) - value;
      store(VectorOps::load(&out.valueWeight[i]) * (up * up + down * down), &out.slopeWeight[i]);
    }
    out.slopeWeight += kSlopeFloor * out.slopeWeight.maxCoeff() * out.biasWeight;
    float total = out.slopeWeight.sum();
    if (total > 0)
      out.slopeWeight /= total;
    else
      out.slopeWeight = out.biasWeight;
    return out;
  }

  /// Root mean square over the rows of what rounding to nearest does to a sum, if inputs are independent.
  double typicalError() const {
    double step = scaleFor(problem.weights.cwiseAbs().maxCoeff());
    double power = problem.inputs.centred.squaredNorm() / static_cast<double>(problem.sums.size());
    return std::max(step * std::sqrt(power / 12), kLeastWidth);
  }

  static void store(V v, float *to) { std::memcpy(to, &v, sizeof v); }

  V activate(V sum) const {
    VectorOps ops(constants);
    return quant::evaluateOutput(ops, problem.function,
                                 quant::clamp(ops, ops.literal(-limit), ops.literal(limit), sum));
  }

  /// Products are those with the centred inputs: the bias that they need beside that of the row itself.
  double shiftOf(const Eigen::Ref<const Eigen::VectorXd> &integers, double scale) const {
    return scale * problem.inputs.mean.dot(integers);
  }

  /// Of sums of centred products: the row's own, the one that makes up for the mean error of the sums, and that mean
  /// where the value follows the sum. In saturation sums may be far off, and their mean says nothing.
  std::vector<double> biasesFor(const Samples &samples, const Eigen::Ref<const Eigen::VectorXd> &integers,
                                const Column &products, double scale) const {
    std::vector<double> out{problem.bias + shiftOf(integers, scale)};
    if (options.biasCorrection)
      for (const Eigen::VectorXf *weight : {&samples.biasWeight, &samples.slopeWeight})
        out.push_back(weight->dot(samples.sums - products * static_cast<float>(scale)));
    return out;
  }

  /// The sum over blocks of rows, in double precision, of a function that adds up to four floats' worth in each lane.
  template <class Add> static double sumOf(Eigen::Index rows, Add add) {
    constexpr Eigen::Index kBlock = 256;
    double sum = 0;
    for (Eigen::Index begin = 0; begin < rows; begin += kBlock) {
      V lanes{};
      for (Eigen::Index i = begin; i < std::min(rows, begin + kBlock); i += kLanes)
        lanes += add(i);
      for (int lane = 0; lane < kLanes; ++lane)
        sum += static_cast<double>(lanes[lane]);
    }
    return sum;
  }

  double errorOf(const Samples &samples, const Column &products, double scale, double bias) const {
    VectorOps ops(constants);
    V s = ops.literal(static_cast<float>(scale)), b = ops.literal(static_cast<float>(bias));
    return sumOf(samples.sums.size(), [&](Eigen::Index i) {
      V d = activate(VectorOps::load(products.data() + i) * s + b) - VectorOps::load(&samples.values[i]);
      return VectorOps::load(&samples.valueWeight[i]) * d * d;
    });
  }

  /// One Gauss-Newton step of the error after the activation. Derivatives are difference quotients over `width`.
  std::optional<double> improvedBias(const Column &products, double scale, double bias, double width) const {
    VectorOps ops(constants);
    V s = ops.literal(static_cast<float>(scale)), b = ops.literal(static_cast<float>(bias)),
      w = ops.literal(static_cast<float>(width)), perWidth = ops.literal(static_cast<float>(0.5 / width));
    double numerator = 0;
    double denominator = sumOf(all.sums.size(), [&](Eigen::Index i) {
      V sum = VectorOps::load(products.data() + i) * s + b, weight = VectorOps::load(&all.valueWeight[i]);
      V slope = (activate(sum + w) - activate(sum - w)) * perWidth;
      V change = weight * (activate(sum) - VectorOps::load(&all.values[i])) * slope;
      for (int lane = 0; lane < kLanes; ++lane)
        numerator += static_cast<double>(change[lane]);
      return weight * slope * slope;
    });
    if (!(denominator > 0))
      return std::nullopt;
    return bias - numerator / denominator;
  }

  void start(const Eigen::VectorXd &integers, double scale, const Column &products) {
    double shift = shiftOf(integers, scale);
    best = {integers, scale, problem.bias, errorOf(all, products, scale, problem.bias + shift)};
    if (options.biasCorrection)
      propose(integers, scale, products);
  }

  void propose(const Eigen::Ref<const Eigen::VectorXd> &integers, double scale, const Column &products) {
    double shift = shiftOf(integers, scale);
    auto offer = [&](double bias) {
      double error = errorOf(all, products, scale, bias);
      // Not for an improvement that is rounding noise of the evaluation.
      if (error < best.error * (1 - 1e-5) && best.error > 1e-13)
        best = {integers, scale, bias - shift, error};
      return error;
    };
    double bias = 0, error = std::numeric_limits<double>::infinity();
    for (double candidate : biasesFor(all, integers, products, scale))
      if (double found = offer(candidate); found < error) {
        bias = candidate;
        error = found;
      }
    if (!options.biasCorrection)
      return;
    // Derivatives over what sums are off by, where that matters: steps have one too.
    auto off = products * static_cast<float>(scale) - all.sums;
    double width = std::sqrt((off.array() + static_cast<float>(bias)).square().matrix().dot(all.slopeWeight));
    width = std::max(width, kLeastWidth);
    for (unsigned i = 0; i < kBiasSteps; ++i) {
      auto next = improvedBias(products, scale, bias, width);
      if (!next)
        return;
      double nextError = offer(*next);
      if (!(nextError < error))
        return;
      bias = *next;
      error = nextError;
    }
  }
};
} // namespace

RowSolution solveRow(const RowProblem &problem, const Moments *moments, const Options &options) {
  return Search(problem, moments, options).run();
}

} // namespace kimic::quantize
