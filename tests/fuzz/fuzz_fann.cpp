// Network readers: whatever the bytes, no crash; and what is accepted keeps the promises of Network.h.
#include "formats/fann/Evaluator.h"
#include "formats/fann/FannReader.h"
#include "tests/fuzz/Require.h"

using namespace kimic;
using namespace kimic::fann;
using kimic::test::require;

static void checkNetwork(const Network &network) {
  require(network.layers.size() >= 2 && network.numInputs > 0 && network.numOutputs > 0);
  std::size_t neuronCount = 0, connectionCount = 0;
  for (const NeuronRange &layer : network.layers) {
    require(layer.first == neuronCount && layer.count > 0);
    neuronCount += layer.count;
    for (std::uint32_t k = layer.first; k < layer.first + layer.count; ++k) {
      const Neuron &neuron = network.neurons[k];
      require((neuron.kind == NeuronKind::Input) == (k < network.numInputs));
      if (neuron.kind != NeuronKind::Computed)
        continue;
      require(neuron.firstConnection == connectionCount);
      connectionCount += neuron.connectionCount;
      for (const Connection &connection : network.connectionsOf(neuron))
        require(connection.source < layer.first);
    }
  }
  require(neuronCount == network.neurons.size() && connectionCount == network.connections.size());
  require(network.outputs().first + network.numOutputs <= neuronCount);
  Matrix input{1, network.numInputs, std::vector<float>(network.numInputs, 0.75f)};
  require(evaluate(network, input, {.applyScaling = true}).values.size() == network.numOutputs);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char *>(data), size);
  for (auto reader : {readNetwork, readFann, readRuvFann}) {
    auto network = reader(text, "fuzz");
    if (network.ok())
      checkNetwork(*network);
    else
      require(!network.error().message().empty());
  }
  return 0;
}
