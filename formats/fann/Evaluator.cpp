// Written from the documented behaviour of libfann, not from its code; the unit tests hold it against the library.
#include "formats/fann/Evaluator.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>

namespace kimic::fann {

namespace {

//===---------------------------------------------------------------------------------------------------------------===//
// libfann in float32
//===---------------------------------------------------------------------------------------------------------------===//

/// Six knots of a piecewise linear sigmoid; below the first and from the last on it is constant.
struct FloatKnots {
  std::array<double, 6> t;
  std::array<double, 6> y;
  double low;
  double high;
};

// libfann's constants: float32 values, not symmetric in their last digits.
constexpr FloatKnots kSigmoidKnots = {
    {-2.64665246009826660156, -1.47221946716308593750, -0.549306154251098632812, 0.549306154251098632812,
     1.47221934795379638672, 2.64665293693542480469},
    {0.00499999988824129104614, 0.0500000007450580596924, 0.25, 0.75, 0.949999988079071044922, 0.995000004768371582031},
    0,
    1};
constexpr FloatKnots kSymmetricKnots = {
    {-2.64665293693542480469, -1.47221934795379638672, -0.549306154251098632812, 0.549306154251098632812,
     1.47221934795379638672, 2.64665293693542480469},
    {-0.990000009536743164062, -0.899999976158142089844, -0.5, 0.5, 0.899999976158142089844, 0.990000009536743164062},
    -1,
    1};

float stepwise(const FloatKnots &knots, float t) {
  if (!(t >= knots.t.front()))
    return static_cast<float>(knots.low);
  if (!(t < knots.t.back()))
    return static_cast<float>(knots.high);
  std::size_t i = 0;
  while (t >= knots.t[i + 1])
    ++i;
  double t1 = knots.t[i], t2 = knots.t[i + 1], y1 = knots.y[i], y2 = knots.y[i + 1];
  return static_cast<float>(((y2 - y1) * (t - t1)) / (t2 - t1) + y1);
}

/// The function alone. exp, sin and cos are double on a float argument, and the rest of their expression is double.
float activateClamped(Activation activation, float t) {
  switch (activation) {
  case Activation::Linear:
    return t;
  case Activation::Threshold:
    return t < 0 ? 0.0f : 1.0f;
  case Activation::ThresholdSymmetric:
    return t < 0 ? -1.0f : 1.0f;
  case Activation::Sigmoid:
    return static_cast<float>(1.0 / (1.0 + std::exp(static_cast<double>(-2.0f * t))));
  case Activation::SigmoidStepwise:
    return stepwise(kSigmoidKnots, t);
  case Activation::SigmoidSymmetric:
    return static_cast<float>(2.0 / (1.0 + std::exp(static_cast<double>(-2.0f * t))) - 1.0);
  case Activation::SigmoidSymmetricStepwise:
    return stepwise(kSymmetricKnots, t);
  case Activation::Gaussian:
    return static_cast<float>(std::exp(static_cast<double>(-t * t)));
  case Activation::GaussianSymmetric:
    return static_cast<float>(std::exp(static_cast<double>(-t * t)) * 2.0 - 1.0);
  case Activation::GaussianStepwise:
    return 0;
  case Activation::Elliot:
    return t / 2.0f / (1.0f + std::fabs(t)) + 0.5f;
  case Activation::ElliotSymmetric:
    return t / (1.0f + std::fabs(t));
  case Activation::LinearPiece:
    return t < 0 ? 0.0f : t > 1 ? 1.0f : t;
  case Activation::LinearPieceSymmetric:
    return t < -1 ? -1.0f : t > 1 ? 1.0f : t;
  case Activation::SinSymmetric:
    return static_cast<float>(std::sin(static_cast<double>(t)));
  case Activation::CosSymmetric:
    return static_cast<float>(std::cos(static_cast<double>(t)));
  case Activation::Sin:
    return static_cast<float>(std::sin(static_cast<double>(t)) / 2.0 + 0.5);
  case Activation::Cos:
    return static_cast<float>(std::cos(static_cast<double>(t)) / 2.0 + 0.5);
  case Activation::LinearPieceRect:
    return t < 0 ? 0.0f : t;
  case Activation::LinearPieceRectLeaky:
    return t < 0 ? static_cast<float>(t * 0.01) : t;
  }
  return 0;
}

/// libfann's order: the odd ones from the highest down, then blocks of four, each summed before it is added.
float sumInBlocks(std::span<const Connection> connections, std::span<const float> values) {
  auto product = [&](std::size_t i) { return connections[i].weight * values[connections[i].source]; };
  std::size_t rest = connections.size() % 4;
  float sum = 0;
  for (std::size_t i = rest; i-- > 0;)
    sum += product(i);
  for (std::size_t i = rest; i < connections.size(); i += 4)
    sum += ((product(i) + product(i + 1)) + product(i + 2)) + product(i + 3);
  return sum;
}

//===---------------------------------------------------------------------------------------------------------------===//
// ruv-FANN in float32
//===---------------------------------------------------------------------------------------------------------------===//

float sumInOrder(std::span<const Connection> connections, std::span<const float> values) {
  float sum = 0;
  for (const Connection &connection : connections)
    sum += values[connection.source] * connection.weight;
  return sum;
}

/// The reader leaves only functions that ruv-FANN implements. Its sigmoid has no factor 2: the reader halves the
/// steepness instead, which is exact.
float activateRuv(Activation activation, float steepness, float sum) {
  float t = steepness * sum;
  switch (activation) {
  case Activation::Sigmoid:
    return 1.0f / (1.0f + std::exp(-2.0f * t));
  case Activation::SigmoidSymmetric:
    return std::tanh(t);
  case Activation::Gaussian:
    return std::exp(-t * t);
  case Activation::LinearPieceRect:
    return t > 0 ? t : 0.0f;
  case Activation::LinearPieceRectLeaky:
    return t > 0 ? t : 0.01f * t;
  default:
    return t;
  }
}

//===---------------------------------------------------------------------------------------------------------------===//
// libfixedfann in int32
//===---------------------------------------------------------------------------------------------------------------===//

/// Two's complement wrap-around, as x86-64 computes int32.
std::int32_t wrap(std::int64_t value) { return static_cast<std::int32_t>(static_cast<std::uint32_t>(value)); }

/// double to int32 as x86-64 truncates: what does not fit becomes the smallest int32.
std::int32_t truncate(double value) {
  return value > -2147483649.0 && value < 2147483648.0 ? static_cast<std::int32_t>(value) : INT32_MIN;
}

/// Knots on the axis of the weighted sum, for steepness 1 in units of 2^(2*decimalPoint), and their values.
struct FixedKnots {
  std::array<std::int32_t, 6> v;
  std::array<std::int32_t, 6> y;
  std::int32_t low;
  std::int32_t high;
};

FixedKnots fixedSigmoidKnots(std::int32_t one) {
  double m = one;
  FixedKnots knots;
  knots.y = {std::max(1, truncate(m / 200.0 + 0.5)),
             std::max(1, truncate(m / 20.0 + 0.5)),
             std::max(1, truncate(m / 4.0 + 0.5)),
             std::min(one - 1, truncate(m - m / 4.0 + 0.5)),
             std::min(one - 1, truncate(m - m / 20.0 + 0.5)),
             std::min(one - 1, truncate(m - m / 200.0 + 0.5))};
  for (std::size_t i = 0; i < 6; ++i) {
    // libfann divides in float32 here: its knots are off by up to some hundred units of 2^-(2*decimalPoint).
    float ratio = static_cast<float>(one) / static_cast<float>(knots.y[i]) - 1;
    knots.v[i] = truncate(std::log(double(ratio)) * m / -2.0 * m);
  }
  knots.low = 0;
  knots.high = one;
  return knots;
}

FixedKnots fixedSymmetricKnots(std::int32_t one) {
  double m = one;
  FixedKnots knots;
  knots.y = {std::max(1 - one, truncate(m / 100.0 - m - 0.5)),  std::max(1 - one, truncate(m / 10.0 - m - 0.5)),
             std::max(1 - one, truncate(m / 2.0 - m - 0.5)),    std::min(one - 1, one - truncate(m / 2.0 + 0.5)),
             std::min(one - 1, one - truncate(m / 10.0 + 0.5)), std::min(one - 1, one - truncate(m / 100.0 + 1))};
  for (std::size_t i = 0; i < 6; ++i) {
    float ratio = static_cast<float>(one - knots.y[i]) / static_cast<float>(knots.y[i] + one);
    knots.v[i] = truncate(std::log(double(ratio)) * m / -2.0 * m);
  }
  knots.low = -one;
  knots.high = one;
  return knots;
}

std::int32_t stepwise(const FixedKnots &knots, std::int32_t steepness, std::int32_t sum) {
  std::array<std::int64_t, 6> v;
  for (std::size_t i = 0; i < 6; ++i)
    v[i] = knots.v[i] / std::int64_t(steepness);
  if (sum < v.front())
    return knots.low;
  for (std::size_t i = 0; i < 5; ++i)
    if (sum < v[i + 1]) {
      std::int32_t product = wrap(std::int64_t(wrap(std::int64_t(knots.y[i + 1]) - knots.y[i])) * wrap(sum - v[i]));
      std::int32_t width = wrap(v[i + 1] - v[i]);
      return width == 0 ? knots.high : wrap(std::int64_t(product) / width + knots.y[i]);
    }
  return knots.high;
}

} // namespace

float activateFloat(Activation activation, float steepness, float sum) {
  float t = steepness * sum;
  float limit = 150.0f / steepness;
  if (t > limit)
    t = limit;
  else if (t < -limit)
    t = -limit;
  return activateClamped(activation, t);
}

void evaluateNeurons(const Network &network, std::span<const float> input, std::span<float> values,
                     std::span<float> sums) {
  assert(network.semantics != Semantics::FannFixed && "fixed-point networks have no float neurons");
  assert(input.size() == network.numInputs && values.size() == network.neurons.size());
  bool isRuv = network.semantics == Semantics::RuvFann;
  for (std::size_t k = 0; k < network.neurons.size(); ++k) {
    const Neuron &neuron = network.neurons[k];
    switch (neuron.kind) {
    case NeuronKind::Input:
      values[k] = input[k];
      break;
    case NeuronKind::Constant:
      values[k] = 1;
      break;
    case NeuronKind::Computed: {
      std::span<const Connection> connections = network.connectionsOf(neuron);
      float sum = isRuv ? sumInOrder(connections, values) : sumInBlocks(connections, values);
      if (!sums.empty())
        sums[k] = sum;
      values[k] = isRuv ? activateRuv(neuron.activation, neuron.steepness, sum)
                        : activateFloat(neuron.activation, neuron.steepness, sum);
    }
    }
  }
}

namespace {

/// A FannFixed network with what all rows share.
class FixedEvaluator {
public:
  explicit FixedEvaluator(const Network &network)
      : network(network), one(std::int32_t(1) << network.decimalPoint), sigmoid(fixedSigmoidKnots(one)),
        symmetric(fixedSymmetricKnots(one)), values(network.neurons.size()) {
    assert(network.semantics == Semantics::FannFixed);
  }

  std::int32_t unit() const { return one; }

  void run(std::span<const std::int32_t> input, std::span<std::int32_t> output) {
    for (std::size_t k = 0; k < network.neurons.size(); ++k) {
      const Neuron &neuron = network.neurons[k];
      values[k] = neuron.kind == NeuronKind::Input      ? input[k]
                  : neuron.kind == NeuronKind::Constant ? one
                                                        : activate(neuron, sumOf(neuron));
    }
    std::copy_n(values.begin() + network.outputs().first, network.numOutputs, output.begin());
  }

private:
  const Network &network;
  std::int32_t one;
  FixedKnots sigmoid;
  FixedKnots symmetric;
  std::vector<std::int32_t> values;

  std::int32_t sumOf(const Neuron &neuron) const {
    std::uint32_t sum = 0;
    for (const Connection &connection : network.connectionsOf(neuron)) {
      std::int32_t product = wrap(std::int64_t(connection.fixedWeight) * values[connection.source]);
      sum += static_cast<std::uint32_t>(product >> network.decimalPoint);
    }
    return static_cast<std::int32_t>(sum);
  }

  std::int32_t activate(const Neuron &neuron, std::int32_t sum) const {
    switch (neuron.activation) {
    case Activation::Threshold:
      return sum < 0 ? 0 : one;
    case Activation::ThresholdSymmetric:
      return sum < 0 ? -one : one;
    case Activation::SigmoidStepwise:
      return stepwise(sigmoid, neuron.fixedSteepness, sum);
    case Activation::SigmoidSymmetricStepwise:
      return stepwise(symmetric, neuron.fixedSteepness, sum);
    case Activation::GaussianStepwise:
      return 0;
    case Activation::LinearPiece:
      return std::clamp(sum, 0, one);
    case Activation::LinearPieceSymmetric:
      return std::clamp(sum, -one, one);
    case Activation::LinearPieceRect:
      return std::max(sum, 0);
    case Activation::LinearPieceRectLeaky:
      return sum < 0 ? truncate(sum * 0.01) : sum;
    default:
      return sum;
    }
  }
};

} // namespace

void evaluateFixed(const Network &network, std::span<const std::int32_t> input, std::span<std::int32_t> output) {
  assert(input.size() == network.numInputs && output.size() == network.numOutputs);
  FixedEvaluator(network).run(input, output);
}

void scaleInput(const Scaling &scaling, std::span<float> row) {
  assert(row.size() == scaling.mean.size());
  for (std::size_t i = 0; i < row.size(); ++i)
    if (scaling.deviation[i] != 0)
      row[i] = ((row[i] - scaling.mean[i]) / scaling.deviation[i] + 1.0f) * scaling.factor[i] + scaling.newMin[i];
}

void descaleOutput(const Scaling &scaling, std::span<float> row) {
  assert(row.size() == scaling.mean.size());
  for (std::size_t i = 0; i < row.size(); ++i)
    if (scaling.deviation[i] != 0 && scaling.factor[i] != 0)
      row[i] = ((row[i] - scaling.newMin[i]) / scaling.factor[i] - 1.0f) * scaling.deviation[i] + scaling.mean[i];
}

Matrix evaluate(const Network &network, const Matrix &inputs, EvaluateOptions options) {
  assert(inputs.cols == network.numInputs);
  Matrix outputs{inputs.rows, network.numOutputs, std::vector<float>(inputs.rows * network.numOutputs)};
  bool isScaled = options.applyScaling && network.scalingIn && network.scalingOut;

  if (network.semantics == Semantics::FannFixed) {
    FixedEvaluator evaluator(network);
    std::vector<std::int32_t> input(network.numInputs), output(network.numOutputs);
    float unit = static_cast<float>(evaluator.unit());
    for (std::size_t r = 0; r < inputs.rows; ++r) {
      for (std::size_t i = 0; i < input.size(); ++i) {
        double scaled = double(inputs.row(r)[i]) * unit;
        input[i] = scaled != scaled ? 0 : static_cast<std::int32_t>(std::clamp(scaled, -2147483648.0, 2147483647.0));
      }
      evaluator.run(input, output);
      for (std::size_t i = 0; i < output.size(); ++i)
        outputs.row(r)[i] = static_cast<float>(double(output[i]) / unit);
    }
    return outputs;
  }

  std::vector<float> input(network.numInputs), values(network.neurons.size());
  for (std::size_t r = 0; r < inputs.rows; ++r) {
    std::copy_n(inputs.row(r).begin(), input.size(), input.begin());
    if (isScaled)
      scaleInput(*network.scalingIn, input);
    evaluateNeurons(network, input, values);
    std::span<float> output = outputs.row(r);
    std::copy_n(values.begin() + network.outputs().first, output.size(), output.begin());
    if (isScaled)
      descaleOutput(*network.scalingOut, output);
  }
  return outputs;
}

} // namespace kimic::fann
