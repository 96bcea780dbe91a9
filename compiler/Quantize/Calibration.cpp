#include "compiler/Quantize/Calibration.h"

#include "compiler/Quantize/Activation.h"

#include <algorithm>
#include <cmath>

namespace kimic::quantize {

namespace {
constexpr unsigned kProbes = 8;
/// What 8-bit weights move a weighted sum by, relative to its root mean square.
constexpr double kRelativeStep = 1.0 / 256;

/// +1 or -1, a function of both numbers (a round of SplitMix64).
double randomSign(std::uint64_t probe, std::uint64_t output) {
  std::uint64_t z = (probe * 0x9E3779B97F4A7C15u + output + 1) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return (z ^ (z >> 31)) >> 63 ? 1 : -1;
}

using Weights = Eigen::Map<const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;
} // namespace

Calibration calibrate(const Network &network, const Matrix &rows) {
  Calibration out;
  Eigen::Index total = network.inputs, count = static_cast<Eigen::Index>(rows.rows);
  for (const Layer &layer : network.layers)
    total += layer.outputs();
  out.values.resize(count, total);
  out.sums.resize(count, total - network.inputs);
  Eigen::MatrixXd slopes(count, total - network.inputs);
  for (Eigen::Index r = 0; r < count; ++r)
    for (std::uint32_t i = 0; i < network.inputs; ++i)
      out.values(r, i) = rows.row(static_cast<std::size_t>(r))[i];

  Eigen::Index end = network.inputs;
  for (const Layer &layer : network.layers) {
    Eigen::Index outputs = layer.outputs(), fanIn = layer.fanIn();
    Eigen::MatrixXd weights = Weights(layer.weights.data(), outputs, fanIn).cast<double>();
    auto sums = out.sums.middleCols(end - network.inputs, outputs);
    sums.noalias() = out.values.middleCols(layer.readBegin, fanIn) * weights.transpose();
    Eigen::Index n = 0;
    for (const Run &run : layer.runs)
      for (std::uint32_t i = 0; i < run.count; ++i, ++n) {
        sums.col(n).array() += layer.bias[n];
        double limit = layer.limit.empty() ? std::numeric_limits<double>::infinity() : layer.limit[n];
        auto value = [&](double sum) { return activate(run.function, std::clamp(sum, -limit, limit)); };
        double step = std::max(kRelativeStep * std::sqrt(sums.col(n).squaredNorm() / static_cast<double>(count)), 1e-6);
        for (Eigen::Index r = 0; r < count; ++r) {
          double sum = sums(r, n);
          out.values(r, end + n) = value(sum);
          slopes(r, end - network.inputs + n) = (value(sum + step) - value(sum - step)) / (2 * step);
        }
      }
    end += outputs;
  }

  Eigen::Index outputs = network.layers.back().outputs();
  auto gain = [&](Eigen::Index n) { return network.outputGain.empty() ? 1.0 : network.outputGain[n]; };
  for (Eigen::Index n = 0; n < outputs; ++n) {
    double offset = network.outputOffset.empty() ? 0.0 : network.outputOffset[n];
    out.outputPower += ((out.values.col(total - outputs + n) * gain(n)).array() + offset).square().sum();
  }

  out.valueSensitivity.setZero(count, total);
  out.sumSensitivity.setZero(count, total - network.inputs);
  bool isExact = outputs <= kProbes;
  Eigen::Index probes = isExact ? outputs : kProbes;
  Eigen::MatrixXd gradient(count, total);
  for (Eigen::Index probe = 0; probe < probes; ++probe) {
    gradient.setZero();
    for (Eigen::Index n = 0; n < outputs; ++n) {
      double sign =
          isExact ? (n == probe ? 1 : 0) : randomSign(static_cast<std::uint64_t>(probe), static_cast<std::uint64_t>(n));
      gradient.col(total - outputs + n).setConstant(sign * gain(n));
    }
    Eigen::Index begin = total;
    for (auto layer = network.layers.rbegin(); layer != network.layers.rend(); ++layer) {
      begin -= layer->outputs();
      Eigen::MatrixXd weights = Weights(layer->weights.data(), layer->outputs(), layer->fanIn()).cast<double>();
      Eigen::MatrixXd ofSums = gradient.middleCols(begin, layer->outputs())
                                   .cwiseProduct(slopes.middleCols(begin - network.inputs, layer->outputs()));
      out.sumSensitivity.middleCols(begin - network.inputs, layer->outputs()) += ofSums.cwiseAbs2();
      gradient.middleCols(layer->readBegin, layer->fanIn()).noalias() += ofSums * weights;
    }
    out.valueSensitivity += gradient.cwiseAbs2();
  }
  double scale = isExact ? 1 : 1.0 / kProbes;
  out.valueSensitivity *= scale;
  out.sumSensitivity *= scale;
  return out;
}

} // namespace kimic::quantize
