// A feed-forward network as its file describes it, with everything resolved that the file leaves implicit.
//
// Every network reader makes one of these, and the evaluators and the compiler only ever look at one of these. Sources
// are the neurons that the network's own library really reads (FANN ignores the index column of fully connected
// files), activation and steepness are what it really computes (a fixed-point FANN network, for instance, evaluates
// every sigmoid stepwise). A Network is immutable after reading: any number of threads may evaluate it.
#pragma once

#include "formats/base/Activation.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace kimic::fann {

/// Whose arithmetic defines the network's outputs.
enum class Semantics : std::uint8_t {
  FannFloat, ///< libfann 2.2.0, float32: sums in blocks of four, steepness * sum clamped to +-150/steepness
  FannFixed, ///< libfixedfann 2.2.0: int32 numbers with `decimalPoint` fraction bits, no clamp
  RuvFann,   ///< ruv-FANN's CPU path, float32: sums in order, no clamp
};

enum class NetworkType : std::uint8_t {
  Layered = 0,  ///< neurons read the layer before theirs
  Shortcut = 1, ///< neurons read all layers before theirs (also what FANN's cascade training makes)
};

/// `count` consecutive neurons from `first`.
struct NeuronRange {
  std::uint32_t first = 0;
  std::uint32_t count = 0;
};

enum class NeuronKind : std::uint8_t {
  Input,    ///< input number = its index, for the first Network::numInputs neurons
  Constant, ///< always 1: a bias neuron, or any neuron of a FANN network without connections
  Computed, ///< y = activation(clamp(steepness * sum of weight * source))
};

struct Neuron {
  std::uint32_t firstConnection = 0; ///< into Network::connections
  std::uint32_t connectionCount = 0; ///< 0 unless Computed; a Computed neuron of ruv-FANN may have 0 (its sum is 0)
  NeuronKind kind = NeuronKind::Computed;
  Activation activation = Activation::Linear; ///< meaningless unless Computed
  float steepness = 0;                        ///< >= 0 under FANN's semantics; meaningless unless Computed
  std::int32_t fixedSteepness = 0;            ///< FannFixed: as stored; the stepwise functions divide by it
};

struct Connection {
  std::uint32_t source = 0;     ///< global neuron index, always before the first neuron of the reader's own layer
  float weight = 0;             ///< FannFixed: fixedWeight / 2^decimalPoint, rounded to float
  std::int32_t fixedWeight = 0; ///< FannFixed: as stored
};

/// One side's scaling parameters, one number per input (or output), as FANN's fann_set_scaling_params computes them.
struct Scaling {
  std::vector<float> mean;
  std::vector<float> deviation; ///< 0: this element is left unscaled (so is an output whose factor is 0)
  std::vector<float> newMin;
  std::vector<float> factor;
};

struct Network {
  Semantics semantics = Semantics::FannFloat;
  std::string format; ///< "FANN_FLO_2.1", "ruv-FANN JSON": for reports
  NetworkType type = NetworkType::Layered;
  float connectionRate = 1;
  std::uint32_t numInputs = 0;     ///< neurons 0 .. numInputs-1 hold the inputs
  std::uint32_t numOutputs = 0;    ///< the first numOutputs neurons of the last layer are the outputs
  std::vector<NeuronRange> layers; ///< at least 2, in order, together all neurons; [0] holds inputs and bias
  std::vector<Neuron> neurons;
  std::vector<Connection> connections; ///< in neuron order, within a neuron in the order in which its sum adds them
  std::uint32_t decimalPoint = 0;      ///< FannFixed only
  std::optional<Scaling> scalingIn;    ///< both or neither; FANN applies them only on request (see Evaluator.h)
  std::optional<Scaling> scalingOut;
  std::vector<std::string> warnings; ///< oddities that were accepted, one sentence each

  std::span<const Connection> connectionsOf(const Neuron &neuron) const {
    return std::span(connections).subspan(neuron.firstConnection, neuron.connectionCount);
  }
  NeuronRange inputs() const { return {0, numInputs}; }
  NeuronRange outputs() const { return {layers.back().first, numOutputs}; }

  /// Whether steepness * sum is clamped to +-150/steepness before the activation.
  bool clampsSum() const { return semantics == Semantics::FannFloat; }
};

} // namespace kimic::fann
