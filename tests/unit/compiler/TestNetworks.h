// Networks for tests: random weights, any shape, as FANN would have written them.
#pragma once

#include "formats/fann/Network.h"
#include "formats/manifest/ExpertSet.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

namespace kimic::test {

/// The same numbers on every machine, whatever its standard library.
class Random {
public:
  explicit Random(std::uint64_t seed) : state(seed * 0x9E3779B97F4A7C15u + 1) {}

  std::uint32_t bits() {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return static_cast<std::uint32_t>(state >> 32);
  }
  /// Uniform in [-1, 1).
  float symmetric() { return static_cast<float>(bits()) / 2147483648.0f - 1.0f; }
  std::uint32_t below(std::uint32_t n) { return bits() % n; }

private:
  std::uint64_t state;
};

struct NetworkShape {
  fann::NetworkType type = fann::NetworkType::Layered;
  std::vector<std::uint32_t> sizes = {2, 3, 1};                       ///< without bias neurons
  std::vector<Activation> functions = {Activation::SigmoidSymmetric}; ///< of hidden neurons, in turn
  Activation output = Activation::SigmoidSymmetric;
  float steepness = 0.5f;
  float connectionRate = 1;
  float gain = 2; ///< standard deviation of sums is about gain for inputs of magnitude 1
};

inline fann::Network makeNetwork(const NetworkShape &shape, std::uint64_t seed) {
  Random random(seed);
  fann::Network network;
  network.format = "FANN_FLO_2.1";
  network.type = shape.type;
  network.connectionRate = shape.connectionRate;
  network.numInputs = shape.sizes.front();
  network.numOutputs = shape.sizes.back();
  bool isShortcut = shape.type == fann::NetworkType::Shortcut;
  std::size_t turn = 0;
  for (std::size_t l = 0; l < shape.sizes.size(); ++l) {
    std::uint32_t first = static_cast<std::uint32_t>(network.neurons.size());
    std::uint32_t begin = l == 0 ? 0 : isShortcut ? 0 : network.layers.back().first;
    for (std::uint32_t n = 0; n < shape.sizes[l]; ++n) {
      fann::Neuron neuron;
      neuron.firstConnection = static_cast<std::uint32_t>(network.connections.size());
      if (l == 0) {
        neuron.kind = fann::NeuronKind::Input;
      } else {
        bool isOutput = l + 1 == shape.sizes.size();
        neuron.activation = isOutput ? shape.output : shape.functions[turn++ % shape.functions.size()];
        neuron.steepness = shape.steepness;
        float scale = shape.gain / shape.steepness * std::sqrt(3.0f / static_cast<float>(first - begin));
        for (std::uint32_t source = begin; source < first; ++source)
          if (shape.connectionRate >= 1 || random.below(1000) < 1000 * shape.connectionRate || source + 1 == first)
            network.connections.push_back({source, random.symmetric() * scale, 0});
        neuron.connectionCount = static_cast<std::uint32_t>(network.connections.size()) - neuron.firstConnection;
      }
      network.neurons.push_back(neuron);
    }
    if (l == 0 || !isShortcut) { // the bias neuron
      fann::Neuron bias;
      bias.kind = fann::NeuronKind::Constant;
      bias.firstConnection = static_cast<std::uint32_t>(network.connections.size());
      network.neurons.push_back(bias);
    }
    network.layers.push_back({first, static_cast<std::uint32_t>(network.neurons.size()) - first});
  }
  return network;
}

inline Matrix randomRows(std::size_t rows, std::size_t cols, std::uint64_t seed, float magnitude = 1) {
  Random random(seed);
  Matrix out{rows, cols, std::vector<float>(rows * cols)};
  for (float &value : out.values)
    value = random.symmetric() * magnitude;
  return out;
}

inline manifest::Expert makeExpert(const std::string &id, fann::Network network) {
  manifest::Expert expert;
  expert.id = expert.name = id;
  expert.calibration = std::make_shared<const Matrix>(randomRows(200, network.numInputs, 7));
  expert.network = std::move(network);
  return expert;
}

} // namespace kimic::test
