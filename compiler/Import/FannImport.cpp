// Resolves constants into biases and sparse connections into dense rows.
#include "compiler/Import/FannImport.h"

#include "compiler/Dialect/Expert/Layers.h"
#include "formats/quant/Layout.h"

#include <algorithm>
#include <cmath>
#include <limits>

using namespace mlir;
using namespace kimic;
using namespace kimic::expert;

/// A parameter block holds no more 8-bit weights.
static constexpr std::uint64_t kMaxDenseWeights = quant::kMaxBlockBytes;

/// FANN's fann_scale_input as scale * x + offset; elements of deviation 0 are left as they are.
static Affine inputAffine(const fann::Scaling &scaling) {
  Affine affine;
  for (std::size_t i = 0; i < scaling.mean.size(); ++i) {
    double mean = scaling.mean[i], deviation = scaling.deviation[i], factor = scaling.factor[i];
    bool isScaled = deviation != 0;
    affine.scale.push_back(static_cast<float>(isScaled ? factor / deviation : 1));
    affine.offset.push_back(static_cast<float>(isScaled ? factor * (1 - mean / deviation) + scaling.newMin[i] : 0));
  }
  return affine;
}

/// FANN's fann_descale_output.
static Affine outputAffine(const fann::Scaling &scaling) {
  Affine affine;
  for (std::size_t i = 0; i < scaling.mean.size(); ++i) {
    double mean = scaling.mean[i], deviation = scaling.deviation[i], factor = scaling.factor[i];
    bool isScaled = deviation != 0;
    affine.scale.push_back(static_cast<float>(isScaled ? deviation / factor : 1));
    affine.offset.push_back(static_cast<float>(isScaled ? mean - deviation * (scaling.newMin[i] / factor + 1) : 0));
  }
  return affine;
}

namespace {
constexpr std::uint32_t kNoValue = 0xFFFFFFFFu;

class Importer {
public:
  Importer(DefineOp define, const fann::Network &network)
      : define(define), network(network), valueOf(network.neurons.size(), kNoValue) {}

  FailureOr<Layers> run() {
    out.inputs = network.numInputs;
    for (std::uint32_t i = 0; i < network.numInputs; ++i)
      valueOf[i] = i;
    segmentBegins = {0};
    end = out.inputs;
    for (std::size_t l = 1; l < network.layers.size(); ++l)
      if (failed(importLayer(network.layers[l], l + 1 == network.layers.size())))
        return failure();
    return std::move(out);
  }

private:
  DefineOp define;
  const fann::Network &network;
  std::vector<std::uint32_t> valueOf; ///< number of a neuron's value; kNoValue for constants
  std::vector<std::uint32_t> segmentBegins;
  std::uint32_t end = 0;
  std::uint64_t denseWeights = 0;
  Layers out;

  LogicalResult importLayer(const fann::NeuronRange &range, bool isLast) {
    std::vector<std::uint32_t> rows; // neurons of the layer that become outputs
    std::uint32_t count = isLast ? network.numOutputs : range.count;
    for (std::uint32_t k = range.first; k < range.first + count; ++k)
      if (isLast || network.neurons[k].kind == fann::NeuronKind::Computed)
        rows.push_back(k);
    if (rows.empty())
      return success(); // nothing but bias neurons

    std::uint32_t readBegin = segmentBegins.back();
    for (std::uint32_t k : rows)
      for (const fann::Connection &connection : network.connectionsOf(network.neurons[k]))
        readBegin = std::min(readBegin, valueOf[connection.source]); // kNoValue is the largest
    // Values are read by whole layers.
    readBegin = *std::prev(std::upper_bound(segmentBegins.begin(), segmentBegins.end(), readBegin));

    std::size_t fanIn = end - readBegin;
    denseWeights += static_cast<std::uint64_t>(fanIn) * rows.size();
    if (rows.size() > quant::kMaxWidth || out.layers.size() >= quant::kMaxLayers || denseWeights > kMaxDenseWeights)
      return define.emitOpError() << "is too large: layer " << out.layers.size() + 1 << " has " << rows.size()
                                  << " neurons that read " << fanIn << " values";

    Layer &layer = out.layers.emplace_back();
    layer.readBegin = readBegin;
    layer.weights.resize(fanIn * rows.size());
    layer.clamp = network.clampsSum();
    std::vector<Activation> functions;
    std::vector<double> row(fanIn);
    for (std::size_t n = 0; n < rows.size(); ++n) {
      const fann::Neuron &neuron = network.neurons[rows[n]];
      std::fill(row.begin(), row.end(), 0.0);
      double bias = 0;
      if (neuron.kind == fann::NeuronKind::Computed) {
        for (const fann::Connection &connection : network.connectionsOf(neuron))
          (valueOf[connection.source] == kNoValue ? bias : row[valueOf[connection.source] - readBegin]) +=
              connection.weight;
        functions.push_back(neuron.activation);
        layer.steepness.push_back(neuron.steepness);
      } else {
        bias = 1;
        functions.push_back(Activation::Linear);
        layer.steepness.push_back(1);
      }
      std::copy(row.begin(), row.end(), layer.weights.begin() + n * fanIn);
      layer.bias.push_back(static_cast<float>(bias));
      bool isFinite = std::isfinite(layer.bias.back()) &&
                      std::all_of(layer.weights.begin() + n * fanIn, layer.weights.begin() + (n + 1) * fanIn,
                                  [](float weight) { return std::isfinite(weight); });
      if (!isFinite)
        return define.emitOpError() << "neuron " << rows[n] << " has several connections from one source whose "
                                    << "weights together leave float32";
      if (!isLast)
        valueOf[rows[n]] = end + n;
    }
    layer.setFunctions(functions);
    segmentBegins.push_back(end);
    end += rows.size();
    return success();
  }
};
} // namespace

/// 1 / (1 + exp(-y / temperature)) is FANN's sigmoid of y / (2 * temperature).
static LogicalResult applySigmoid(DefineOp define, Layers &layers, float temperature) {
  Layer &layer = layers.layers.back();
  if (layers.outputAffine)
    return define.emitOpError() << "has a sigmoid head, but its outputs are scaled";
  for (const Run &run : layer.runs)
    if (run.function != Activation::Linear)
      return define.emitOpError() << "has a sigmoid head, but outputs of the function " << nameOf(run.function);
  // The steepness and its clamp go into the numbers, where a factor can follow them.
  double factor = 0.5 / temperature;
  if (layer.clamp)
    layer.limit.resize(layer.outputs());
  for (std::size_t n = 0; n < layer.outputs(); ++n) {
    double steepness = layer.steepness[n];
    for (std::size_t k = n * layer.fanIn(), end = k + layer.fanIn(); k < end; ++k)
      layer.weights[k] = static_cast<float>(layer.weights[k] * steepness * factor);
    layer.bias[n] = static_cast<float>(layer.bias[n] * steepness * factor);
    if (layer.clamp)
      layer.limit[n] =
          static_cast<float>(std::min<double>(150 / steepness * factor, std::numeric_limits<float>::max()));
  }
  layer.steepness.clear();
  layer.clamp = false;
  layer.setFunctions(std::vector<Activation>(layer.outputs(), Activation::Sigmoid));
  return success();
}

FailureOr<DefineOp> kimic::importFann(ModuleOp module, StringRef name, const fann::Network &network,
                                      FannImportOptions options) {
  OpBuilder builder = OpBuilder::atBlockEnd(module.getBody());
  bool isArgmax = options.head.kind == manifest::ExpertHead::Argmax;
  auto define =
      builder.create<DefineOp>(builder.getUnknownLoc(), name, network.numInputs, isArgmax ? 1 : network.numOutputs);
  FailureOr<Layers> layers = Importer(define, network).run();
  if (failed(layers))
    return failure();
  if (options.applyScaling && network.scalingIn && network.scalingOut) {
    layers->inputAffine = inputAffine(*network.scalingIn);
    layers->outputAffine = outputAffine(*network.scalingOut);
  }
  switch (options.head.kind) {
  case manifest::ExpertHead::None:
    break;
  case manifest::ExpertHead::Softmax:
    layers->head = quant::Head::Softmax;
    layers->headScale = 1 / options.head.temperature;
    break;
  case manifest::ExpertHead::Argmax:
    layers->head = quant::Head::Argmax;
    break;
  case manifest::ExpertHead::Sigmoid:
    if (failed(applySigmoid(define, *layers, options.head.temperature)))
      return failure();
    break;
  }
  setLayers(define, *layers);
  return define;
}
