// Quantizes one network of random numbers and does nothing else, for whoever counts or times it: prints its parameters,
// the calibration rows and the processor's seconds. Usage: quantize_cost ROWS INPUTS HIDDEN ... OUTPUTS
#include "compiler/Quantize/Quantize.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <random>

using namespace kimic;

int main(int argc, char **argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: quantize_cost ROWS INPUTS HIDDEN ... OUTPUTS\n");
    return 2;
  }
  std::mt19937 random(1);
  auto uniform = [&] { return static_cast<float>(random()) * 0x1p-31f - 1; };
  auto argument = [&](int i) { return static_cast<std::uint32_t>(std::strtoul(argv[i], nullptr, 10)); };
  quantize::Network network;
  network.inputs = argument(2);
  network.inputRange.assign(network.inputs, {-1, 1});
  std::size_t parameters = 0;
  std::uint32_t begin = 0, fanIn = network.inputs;
  for (int i = 3; i < argc; ++i) {
    quantize::Layer &layer = network.layers.emplace_back();
    std::uint32_t outputs = argument(i);
    layer.readBegin = begin;
    layer.runs = {{Activation::SigmoidSymmetric, outputs}};
    for (std::uint32_t k = 0; k < outputs * fanIn; ++k)
      layer.weights.push_back(uniform() * std::sqrt(3.0f / static_cast<float>(fanIn)));
    for (std::uint32_t n = 0; n < outputs; ++n)
      layer.bias.push_back(uniform());
    layer.range.assign(outputs, {-1, 1});
    parameters += layer.weights.size() + layer.bias.size();
    begin += fanIn;
    fanIn = outputs;
  }
  Matrix rows{argument(1), network.inputs, {}};
  for (std::size_t k = 0; k < rows.rows * rows.cols; ++k)
    rows.values.push_back(uniform());
  std::clock_t start = std::clock();
  auto quantized = quantize::quantize(network, rows);
  double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  if (!quantized)
    return 1;
  std::printf("%zu parameters, %zu rows: %.2f s, predicted %.1f dB\n", parameters, rows.rows, seconds,
              quantized->predictedSqnrDb());
  return 0;
}
