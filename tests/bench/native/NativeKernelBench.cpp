// Times of native kernels: the shapes of the reference results, batches of 1, 8 and 64 rows, for each kind of vectors.
// ns of one row = time / rows; GMAC/s as a counter.
#include "formats/quant/KernelName.h"
#include "kimic/NativeKernels.h"
#include "tests/support/KernelCases.h"

#include <benchmark/benchmark.h>
#include <cstring>

namespace kimic {
namespace {

using native::Vectors;

/// The same `rows` rows in each call; below an `activity` of 1, 256 batches in turn, where only that share of the inputs
/// is not 0.
void run(benchmark::State &state, quant::Signature signature, Vectors vectors, std::uint32_t rows,
         double activity = 1) {
  native::Kernels kernels({vectors, native::defaultCacheDirectory()});
  testing::ExpertGenerator generator(1);
  quant::ExpertParameters parameters = generator.parameters(signature);
  quant::Layout layout = quant::layoutOf(signature).value();
  if (signature.weights() == quant::WeightFormat::Int8Residual)
    for (std::size_t l = 0; l < signature.layers.size(); ++l) {
      parameters.layers[l].residuals.clear();
      std::uint32_t outputs = signature.layers[l].outputs();
      for (std::uint32_t n = 0; n < outputs; ++n)
        parameters.layers[l].residuals.push_back({n, std::vector<std::int8_t>(signature.fanIn(l), 3), 1e-6f});
    }
  testing::AlignedBytes params(packParameters(signature, layout, parameters)), scratch(layout.scratchBytes);
  const std::size_t inputSets = activity < 1 ? 256 : 1, size = std::size_t{rows} * signature.inputs;
  std::vector<float> x(inputSets * size), y(std::size_t{rows} * signature.outputs());
  for (float &value : x)
    value = generator.real(0, 1) < activity ? generator.real(-1, 1) : 0;
  native::Function function = kernels.get(encode(signature)).value();
  std::size_t set = 0;
  for (auto _ : state) {
    function(params.data(), x.data() + set * size, y.data(), scratch.data(), rows);
    set = (set + 1) % inputSets;
    benchmark::ClobberMemory();
  }
  double macs = 0;
  for (std::size_t l = 0; l < signature.layers.size(); ++l)
    macs += static_cast<double>(signature.fanIn(l)) * signature.layers[l].outputs();
  using benchmark::Counter;
  state.counters["ns_per_row"] = Counter(rows * 1e-9, Counter::kIsIterationInvariantRate | Counter::kInvert);
  state.counters["GMAC/s"] = Counter(macs * rows * 1e-9, Counter::kIsIterationInvariantRate);
}

void declare() {
  const std::vector<std::vector<std::uint32_t>> shapes = {
      {16, 32, 8}, {64, 128, 64, 16}, {128, 256, 128, 32}, {256, 256, 128}, {128, 128}};
  for (Vectors vectors : {Vectors::Bits128, Vectors::Avx2, Vectors::Avx512}) {
    if (native::Kernels({vectors, ""}).vectors() != vectors)
      continue;
    for (unsigned format = 0; format < quant::kWeightFormatCount; ++format)
      for (const auto &shape : shapes)
        for (std::uint32_t rows : {1u, 8u, 64u}) {
          quant::Signature signature = testing::tanhLayers(static_cast<quant::WeightFormat>(format), shape);
          std::string name = std::string(nameOf(vectors)) + "/" + kernelName(signature) + "/" + std::to_string(rows);
          benchmark::RegisterBenchmark(name.c_str(),
                                       [=](benchmark::State &state) { run(state, signature, vectors, rows); });
        }
    for (const auto &shape : {std::vector<std::uint32_t>{1024, 48, 26}, {784, 64, 10}, {512, 128, 16}, {256, 32, 8}})
      for (int percent : {1, 5, 15, 30, 50})
        for (bool isSparse : {false, true}) {
          quant::Signature signature = testing::tanhLayers(quant::WeightFormat::Int8, shape);
          signature.sparseInputs = isSparse;
          std::string name =
              std::string(nameOf(vectors)) + "/" + kernelName(signature) + "/1/active:" + std::to_string(percent) + "%";
          benchmark::RegisterBenchmark(
              name.c_str(), [=](benchmark::State &state) { run(state, signature, vectors, 1, percent / 100.0); });
        }
    for (unsigned function = 0; function < kActivationCount; ++function) {
      quant::Signature signature =
          testing::layered(quant::WeightFormat::Int8, static_cast<Activation>(function), {2, 256, 1});
      std::string name = std::string(nameOf(vectors)) + "/" + kernelName(signature) + "/1";
      benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State &state) { run(state, signature, vectors, 1); });
    }
  }
}

} // namespace
} // namespace kimic

int main(int argc, char **argv) {
  kimic::declare();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv))
    return 1;
  benchmark::RunSpecifiedBenchmarks();
}
