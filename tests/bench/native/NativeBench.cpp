// Native benchmarks with Google Benchmark: the default class's sequence with 128-bit vectors, the hand-written f32
// network and the reference evaluator.
//
// With `--sampler` it is asked for samples instead: `INPUTS OUTPUTS CALLS` on stdin, nanoseconds per call of the
// sequence on stdout, until stdin ends.
#include "tests/bench/native/PSequence.h"
#include "tests/support/KernelCases.h"

#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>

extern "C" void mlp_run(const float *weights, const int *sizes, int layers, const float *x, float *y, int rows);

namespace kimic::bench {
namespace {

void sequence(benchmark::State &state) {
  unsigned width = static_cast<unsigned>(state.range(0));
  PSequence layer(width, width);
  if (layer.check())
    return state.SkipWithError("wrong sums");
  for (auto _ : state)
    layer.run();
  state.counters["GMAC/s"] = benchmark::Counter(1e-9 * width * width, benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(sequence)->Arg(64)->Arg(128)->Arg(256);

void handWritten(benchmark::State &state) {
  const int sizes[] = {64, 128, 64, 16};
  int rows = static_cast<int>(state.range(0));
  std::mt19937 random(1);
  std::vector<float> weights(128 * 65 + 64 * 129 + 16 * 65), x(64 * rows), y(16 * rows);
  for (float &w : weights)
    w = static_cast<float>(random() >> 8) * 0x1p-24f - 0.5f;
  for (float &v : x)
    v = static_cast<float>(random() >> 8) * 0x1p-24f;
  for (auto _ : state) {
    mlp_run(weights.data(), sizes, 3, x.data(), y.data(), rows);
    benchmark::ClobberMemory();
  }
  state.counters["ns/row"] =
      benchmark::Counter(1e-9 * rows, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}
BENCHMARK(handWritten)->Arg(1)->Arg(8)->Arg(64);

void referenceEvaluator(benchmark::State &state) {
  quant::Signature signature = testing::tanhLayers(quant::WeightFormat::Int8, {64, 128, 64, 16});
  testing::ExpertGenerator generator(1);
  quant::Layout layout = quant::layoutOf(signature).value();
  testing::AlignedBytes params(packParameters(signature, layout, generator.parameters(signature)));
  testing::AlignedBytes scratch(layout.scratchBytes);
  std::vector<float> x(64, 0.25f), y(16);
  for (auto _ : state) {
    reference::run(signature, layout, params.data(), x.data(), y.data(), scratch.data(), 1);
    benchmark::ClobberMemory();
  }
}
BENCHMARK(referenceEvaluator);

int sample() {
  std::map<std::pair<unsigned, unsigned>, std::unique_ptr<PSequence>> layers;
  unsigned inputs, outputs, calls;
  while (std::scanf("%u %u %u", &inputs, &outputs, &calls) == 3) {
    std::unique_ptr<PSequence> &layer = layers[{inputs, outputs}];
    if (!layer) {
      layer = std::make_unique<PSequence>(inputs, outputs);
      if (layer->check())
        return 1;
    }
    auto begin = std::chrono::steady_clock::now();
    for (unsigned call = 0; call < calls; ++call) {
      layer->run();
      asm volatile("" ::: "memory");
    }
    std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
    std::printf("%.3f\n", took.count() / calls);
    std::fflush(stdout);
  }
  return 0;
}

} // namespace
} // namespace kimic::bench

int main(int argc, char **argv) {
  if (argc == 2 && !std::strcmp(argv[1], "--sampler"))
    return kimic::bench::sample();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv))
    return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
