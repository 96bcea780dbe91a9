// Runs one thing natively, for whoever counts the instructions of `measured`; what comes before is not to be counted.
//
//   native-cost kernel bits128|avx2 ROWS   a 64-128-64-16 with tanh, on ROWS rows at once
//   native-cost sparse bits128|avx2        a 1024-48-26 that skips inputs, of which every 16th is not 0
//   native-cost request                    routing among 64 resident experts, running two, merging, with kernels that
//                                          only write their outputs: what the runtime itself takes
//
// Exits with 77 if this processor has no such vectors.
#include "compiler/include/kimic/NativeKernels.h"
#include "runtime/native/NativePack.h"
#include "tests/support/KernelCases.h"
#include "tests/support/TestPack.h"

#include <cstdio>
#include <cstdlib>

using namespace kimic;
using kimic::testing::ExpertGenerator;
using kimic::testing::RandomExpert;
using kimic::testing::TestPack;

extern "C" [[gnu::noinline]] void measured(const std::function<void()> &body) { body(); }

namespace {
constexpr int kSkipped = 77;
constexpr std::uint32_t kInputs = 64, kExperts = 64, kOutputs = 16;

/// Every `step`-th input is not 0.
int runKernel(RandomExpert expert, native::Vectors vectors, std::uint32_t rows, std::size_t step) {
  ExpertGenerator generator(1);
  expert.parameters = generator.parameters(expert.signature);
  quant::Layout layout = quant::layoutOf(expert.signature).value();
  std::vector<std::uint8_t> block = quant::packParameters(expert.signature, layout, expert.parameters);
  kimic::testing::AlignedBytes params(block), scratch(layout.scratchBytes);
  std::vector<float> x(std::size_t{rows} * expert.signature.inputs);
  std::vector<float> y(std::size_t{rows} * expert.signature.outputs());
  for (std::size_t i = 0; i < x.size(); i += step)
    x[i] = generator.real(-2, 2);

  native::Kernels kernels({vectors, ""});
  if (kernels.vectors() != vectors)
    return kSkipped;
  auto kernel = kernels.get(quant::encode(expert.signature));
  if (!kernel)
    return 1;
  measured([&] { (*kernel)(params.data(), x.data(), y.data(), scratch.data(), rows); });
  return 0;
}

template <std::uint32_t count>
void writeOutputs(const std::uint8_t *, const float *, float *y, std::uint8_t *, std::uint32_t) {
  for (std::uint32_t i = 0; i < count; ++i)
    y[i] = static_cast<float>(i);
}

int runRequest() {
  TestPack pack;
  for (std::uint32_t i = 0; i < kExperts; ++i)
    pack.add(kimic::testing::constantExpert(kInputs, std::vector<std::int32_t>(kOutputs, 1)));
  pack.addRouter(kimic::testing::constantExpert(kInputs, std::vector<std::int32_t>(kExperts, 1)), 2,
                 pack::Merge::Weighted);
  runtime::NativeOptions options;
  options.link = [](std::span<const std::uint8_t> bytes) -> runtime::KernelFunction {
    return quant::decodeSignature(bytes)->outputs() == kExperts ? writeOutputs<kExperts> : writeOutputs<kOutputs>;
  };
  auto opened = runtime::NativePack::open(pack.bytes(), options);
  std::vector<float> x(kInputs, 1.0f);
  if (!opened || !opened->runRouted(x)) // now they are resident
    return 1;
  bool isOk = false;
  measured([&] { isOk = opened->runRouted(x).ok(); });
  return isOk ? 0 : 1;
}
} // namespace

int main(int argc, char **argv) {
  std::string what = argc > 1 ? argv[1] : "";
  if (what == "request" && argc == 2)
    return runRequest();
  auto tanh = [](std::initializer_list<std::uint32_t> sizes) {
    return RandomExpert{kimic::testing::tanhLayers(quant::WeightFormat::Int8, sizes), {}};
  };
  RandomExpert dense = tanh({kInputs, 128, 64, kOutputs}), sparse = tanh({1024, 48, 26});
  sparse.signature.sparseInputs = true;
  for (native::Vectors vectors : {native::Vectors::Bits128, native::Vectors::Avx2})
    if (argc > 2 && argv[2] == std::string(native::nameOf(vectors))) {
      if (what == "kernel" && argc == 4)
        return runKernel(dense, vectors, static_cast<std::uint32_t>(std::strtoul(argv[3], nullptr, 10)), 1);
      if (what == "sparse" && argc == 3)
        return runKernel(sparse, vectors, 1, 16);
    }
  std::fprintf(stderr, "usage: native-cost kernel bits128|avx2 ROWS | native-cost sparse bits128|avx2 | "
                       "native-cost request\n");
  return 2;
}
