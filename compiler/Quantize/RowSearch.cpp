#include "compiler/Quantize/RowSearch.h"

#include "formats/quant/ActivationMath.h"
#include "formats/reference/FloatOps.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace kimic::quantize {

namespace {
constexpr double kMaxWeight = 127;
/// Ridge of the moments, relative to their mean diagonal: for rounding, and for fitting weights to the sums.
constexpr double kRoundingRidge = 1e-3;
constexpr double kFitRidge = 0.1;
constexpr unsigned kClipSteps = 25;
constexpr double kLeastClip = 0.01;
constexpr unsigned kMaxSweeps = 16;
constexpr unsigned kBiasSteps = 3;
/// Rows of a candidate's evaluation are thinned out beyond about this many multiplications per row of weights.
constexpr double kEvaluationBudget = 1.5e6;
/// Candidates that are refined.
constexpr std::size_t kFinalists = 4;

double activation(Activation function, double limit, double sum) {
  auto table = quant::constantTableOf(function);
  reference::FloatOps ops(table ? quant::constantsOf(*table).data() : nullptr);
  return quant::evaluateOutput(ops, function, static_cast<float>(std::clamp(sum, -limit, limit)));
}

Eigen::VectorXd rounded(const Eigen::VectorXd &weights, double scale) {
  Eigen::VectorXd out(weights.size());
  for (Eigen::Index k = 0; k < weights.size(); ++k)
    out[k] = std::clamp(std::nearbyint(weights[k] / scale), -kMaxWeight, kMaxWeight);
  return out;
}
} // namespace

Moments::Moments(const Eigen::MatrixXd &inputs, const Eigen::VectorXd &weights, bool isCentred,
                 std::size_t distinctRows)
    : inputs(inputs), rowWeights(weights / weights.sum()), isCentred(isCentred) {
  Eigen::Index fanIn = inputs.cols();
  centre.setZero(fanIn);
  if (isCentred)
    centre.noalias() = inputs.transpose() * rowWeights;
  Eigen::MatrixXd weighted = rowWeights.cwiseSqrt().asDiagonal() * (inputs.rowwise() - centre.transpose());
  undamped.setZero(fanIn, fanIn);
  undamped.selfadjointView<Eigen::Lower>().rankUpdate(weighted.transpose());
  undamped.triangularView<Eigen::StrictlyUpper>() = undamped.transpose();
  // With fewer rows than inputs, errors can hide where no row looks: shrink towards independent inputs.
  double rowsPerInput = static_cast<double>(distinctRows) / static_cast<double>(fanIn);
  Eigen::VectorXd diagonal = undamped.diagonal();
  undamped *= rowsPerInput * rowsPerInput / (1 + rowsPerInput * rowsPerInput);
  undamped.diagonal() = diagonal;
  double mean = std::max(diagonal.mean(), 1e-12);
  moments = undamped;
  moments.diagonal().array() += kRoundingRidge * mean;

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

Eigen::VectorXd Moments::fit(const Eigen::VectorXd &weights, const Eigen::VectorXd &sums) const {
  Eigen::VectorXd missing = sums - inputs * weights;
  if (isCentred)
    missing.array() -= mean(missing);
  missing.array() *= rowWeights.array();
  Eigen::VectorXd right = inputs.transpose() * missing;
  if (isCentred)
    right -= centre * missing.sum();
  Eigen::MatrixXd damped = undamped;
  damped.diagonal().array() += kFitRidge * std::max(undamped.diagonal().mean(), 1e-12);
  return weights + damped.llt().solve(right);
}

Eigen::MatrixXd Moments::roundSequentially(const Eigen::VectorXd &weights, const Eigen::VectorXd &scales) const {
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
      double integer = std::clamp(std::nearbyint(wanted[c] / scales[c]), -kMaxWeight, kMaxWeight);
      out(order[i], c) = integer;
      errors(i, c) = weight - integer * scales[c];
    }
  }
  return out;
}

void Moments::descend(const Eigen::VectorXd &weights, double scale, Eigen::VectorXd &integers) const {
  Eigen::VectorXd gradient = moments * (weights - scale * integers);
  for (unsigned sweep = 0; sweep < kMaxSweeps; ++sweep) {
    bool moved = false;
    for (Eigen::Index k = 0; k < weights.size(); ++k) {
      double step = gradient[k] > 0 ? 1 : -1;
      if (2 * std::fabs(gradient[k]) <= scale * moments(k, k) * (1 + 1e-9) ||
          std::fabs(integers[k] + step) > kMaxWeight)
        continue;
      integers[k] += step;
      gradient -= scale * step * moments.col(k);
      moved = true;
    }
    if (!moved)
      return;
  }
}

double Moments::errorOf(const Eigen::VectorXd &weights, double scale, const Eigen::VectorXd &integers) const {
  Eigen::VectorXd difference = weights - scale * integers;
  return difference.dot(moments * difference);
}

namespace {
class Search {
public:
  Search(const RowProblem &problem, const Moments *moments, const Options &options)
      : problem(problem), moments(moments), options(options) {
    wanted = problem.sums;
    if (problem.base.size())
      wanted -= problem.base;
    values.resize(problem.sums.size());
    for (Eigen::Index r = 0; r < values.size(); ++r)
      values[r] = activation(problem.function, problem.limit, problem.sums[r]);
  }

  RowSolution run() {
    double largest = problem.weights.cwiseAbs().maxCoeff();
    RowSolution plain = candidate(rounded(problem.weights, scaleFor(largest)), scaleFor(largest), problem.bias);
    best = plain;
    if (options.biasCorrection)
      propose(best.integers, best.scale);
    Eigen::VectorXd fitted = moments && options.sequential ? moments->fit(problem.weights, wanted) : problem.weights;
    if (!fitted.allFinite())
      fitted = problem.weights;
    largest = fitted.cwiseAbs().maxCoeff();

    std::vector<double> scales{scaleFor(largest)};
    if (options.clipSearch && problem.mayClip)
      for (unsigned i = 0; i < kClipSteps; ++i) {
        double scale = scaleFor(largest * std::pow(kLeastClip, 1 - i / double(kClipSteps)));
        if (scale != scales.front())
          scales.push_back(scale);
      }
    Eigen::VectorXd all = Eigen::Map<Eigen::VectorXd>(scales.data(), static_cast<Eigen::Index>(scales.size()));

    std::vector<Entry> entries;
    auto add = [&](const Eigen::MatrixXd &integers) {
      Eigen::MatrixXd products = thinned() * integers;
      for (Eigen::Index c = 0; c < integers.cols(); ++c)
        entries.push_back({integers.col(c), all[c], roughError(products.col(c) * all[c])});
    };
    Eigen::MatrixXd nearest(fitted.size(), all.size());
    for (Eigen::Index c = 0; c < all.size(); ++c)
      nearest.col(c) = rounded(fitted, all[c]);
    add(nearest);
    if (moments && options.errorCompensation)
      add(moments->roundSequentially(fitted, all));
    std::stable_sort(entries.begin(), entries.end(), [](const Entry &a, const Entry &b) { return a.error < b.error; });
    entries.resize(std::min(entries.size(), kFinalists));
    for (const Entry &entry : entries) {
      propose(entry.integers, entry.scale);
      if (moments && options.errorCompensation) {
        Eigen::VectorXd moved = entry.integers;
        moments->descend(fitted, entry.scale, moved);
        propose(moved, entry.scale);
      }
    }
    return best;
  }

private:
  struct Entry {
    Eigen::VectorXd integers;
    double scale, error;
  };

  const RowProblem &problem;
  const Moments *moments;
  const Options &options;
  Eigen::VectorXd wanted; ///< sums without the base
  Eigen::VectorXd values;
  RowSolution best;

  double scaleFor(double largest) const { return std::max(largest / kMaxWeight, problem.minScale); }

  Eigen::Index stride() const {
    double cost =
        static_cast<double>(problem.inputs.rows()) * static_cast<double>(problem.inputs.cols()) * 2 * kClipSteps;
    return std::max<Eigen::Index>(1, static_cast<Eigen::Index>(cost / (kEvaluationBudget * 2 * kClipSteps)));
  }

  Eigen::MatrixXd thinned() const {
    Eigen::Index step = stride(), rows = (problem.inputs.rows() + step - 1) / step;
    Eigen::MatrixXd out(rows, problem.inputs.cols());
    for (Eigen::Index r = 0; r < rows; ++r)
      out.row(r) = problem.inputs.row(r * step);
    return out;
  }

  double base(Eigen::Index r) const { return problem.base.size() ? problem.base[r] : 0; }

  double biasFor(const Eigen::VectorXd &products) const {
    if (!options.biasCorrection)
      return problem.bias;
    return moments ? moments->mean(wanted - products) : (wanted - products).mean();
  }

  /// On the thinned rows, with their plain weighted mean as the bias.
  double roughError(const Eigen::VectorXd &products) const {
    Eigen::Index step = stride();
    double bias = problem.bias;
    if (options.biasCorrection) {
      double sum = 0, weight = 0;
      for (Eigen::Index i = 0; i < products.size(); ++i) {
        double w = moments ? moments->weightOf(i * step) : 1;
        sum += w * (wanted[i * step] - products[i]);
        weight += w;
      }
      if (weight > 0)
        bias = sum / weight;
    }
    double error = 0;
    for (Eigen::Index i = 0; i < products.size(); ++i) {
      Eigen::Index r = i * step;
      double d = activation(problem.function, problem.limit, base(r) + products[i] + bias) - values[r];
      error += problem.valueWeight[r] * d * d;
    }
    return error;
  }

  double errorOf(const Eigen::VectorXd &products, double bias) const {
    double error = 0;
    for (Eigen::Index r = 0; r < products.size(); ++r) {
      double d = activation(problem.function, problem.limit, base(r) + products[r] + bias) - values[r];
      error += problem.valueWeight[r] * d * d;
    }
    return error / static_cast<double>(products.size());
  }

  RowSolution candidate(Eigen::VectorXd integers, double scale, double bias) const {
    double error = errorOf(problem.inputs * integers * scale, bias);
    return {std::move(integers), scale, bias, error};
  }

  void propose(const Eigen::VectorXd &integers, double scale) {
    Eigen::VectorXd products = problem.inputs * integers * scale;
    auto offer = [&](double bias) {
      double error = errorOf(products, bias);
      // Not for an improvement that is rounding noise of the evaluation.
      if (error < best.error * (1 - 1e-6) && best.error > 1e-15)
        best = {integers, scale, bias, error};
      return error;
    };
    offer(problem.bias);
    if (!options.biasCorrection)
      return;
    double bias = biasFor(products), error = offer(bias);
    for (unsigned i = 0; i < kBiasSteps; ++i) {
      // One Gauss-Newton step of the error after the activation.
      double numerator = 0, denominator = 0;
      double width = 1e-3 * std::max(1.0, std::fabs(bias));
      for (Eigen::Index r = 0; r < products.size(); ++r) {
        double sum = base(r) + products[r] + bias;
        double y = activation(problem.function, problem.limit, sum);
        double slope = (activation(problem.function, problem.limit, sum + width) -
                        activation(problem.function, problem.limit, sum - width)) /
                       (2 * width);
        numerator += problem.valueWeight[r] * (y - values[r]) * slope;
        denominator += problem.valueWeight[r] * slope * slope;
      }
      if (!(denominator > 0))
        return;
      double next = bias - numerator / denominator, nextError = offer(next);
      if (!(nextError < error))
        return;
      bias = next;
      error = nextError;
    }
  }
};
} // namespace

RowSolution solveRow(const RowProblem &problem, const Moments *moments, const Options &options) {
  return Search(problem, moments, options).run();
}

} // namespace kimic::quantize
