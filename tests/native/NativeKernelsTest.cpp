// Native kernels against the reference evaluator, to the bit.
#include "kimic/NativeKernels.h"
#include "tests/support/KernelCases.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <gtest/gtest.h>
#include <sstream>
#include <string>
#include <thread>
#include <tuple>

namespace kimic::native {
namespace {

using quant::Layout;
using quant::Signature;
using testing::everyFunction;
using testing::ExpertGenerator;
using testing::RandomExpert;
using testing::RandomExpertLimits;
using testing::tanhLayers;

constexpr std::size_t kGuard = 64;
constexpr std::uint8_t kGuardByte = 0xA5;

/// Bytes that start at a multiple of 16 but of no more, between bytes that must stay what they are.
class Guarded {
public:
  explicit Guarded(std::size_t size) : size_(size), bytes_(size + 2 * kGuard + 64, kGuardByte) {
    auto address = reinterpret_cast<std::uintptr_t>(bytes_.data());
    begin_ = kGuard + (16 + 32 - address % 32) % 32;
  }
  std::uint8_t *data() { return bytes_.data() + begin_; }
  float *floats() { return reinterpret_cast<float *>(data()); }
  bool isIntact() const {
    auto isGuard = [](std::uint8_t byte) { return byte == kGuardByte; };
    return std::all_of(bytes_.begin(), bytes_.begin() + begin_, isGuard) &&
           std::all_of(bytes_.begin() + begin_ + size_, bytes_.end(), isGuard);
  }

private:
  std::size_t size_, begin_;
  std::vector<std::uint8_t> bytes_;
};

class NativeKernels : public ::testing::TestWithParam<Vectors> {
protected:
  void SetUp() override {
    if (kernels.vectors() != GetParam())
      GTEST_SKIP() << "this processor has no " << nameOf(GetParam());
  }

  /// The native kernel's outputs are the reference's, and nothing else is written.
  void expectSameBits(const RandomExpert &expert, std::uint32_t rows, ExpertGenerator &generator,
                      const std::string &what) {
    const Signature &signature = expert.signature;
    ASSERT_TRUE(validate(signature).ok()) << what;
    Layout layout = quant::layoutOf(signature).value();
    std::vector<std::uint8_t> block = packParameters(signature, layout, expert.parameters);
    auto function = kernels.get(encode(signature));
    ASSERT_TRUE(function.ok()) << what << ": " << function.error().message();

    std::vector<float> x = testing::kernelInputs(generator, signature, rows);
    std::size_t outputs = std::size_t{rows} * signature.outputs();
    Guarded params(block.size()), inputs(x.size() * 4), expected(outputs * 4), found(outputs * 4),
        scratch(layout.scratchBytes);
    std::memcpy(params.data(), block.data(), block.size());
    std::memcpy(inputs.data(), x.data(), x.size() * 4);
    reference::run(signature, layout, params.data(), inputs.floats(), expected.floats(), scratch.data(), rows);
    std::memset(scratch.data(), 0x7F, layout.scratchBytes);
    (*function)(params.data(), inputs.floats(), found.floats(), scratch.data(), rows);

    for (std::size_t i = 0; i < outputs; ++i)
      ASSERT_EQ(std::memcmp(expected.data() + 4 * i, found.data() + 4 * i, 4), 0)
          << what << ": row " << i / signature.outputs() << ", output " << i % signature.outputs() << " is "
          << found.floats()[i] << ", the reference computes " << expected.floats()[i];
    EXPECT_TRUE(params.isIntact() && inputs.isIntact() && found.isIntact() && scratch.isIntact()) << what;
    EXPECT_EQ(std::memcmp(params.data(), block.data(), block.size()), 0) << what;
  }

  Kernels kernels{{GetParam(), ""}};
};

std::string vectorsOf(const ::testing::TestParamInfo<Vectors> &info) { return nameOf(info.param); }
INSTANTIATE_TEST_SUITE_P(Widths, NativeKernels, ::testing::Values(Vectors::Bits128, Vectors::Avx2, Vectors::Avx512),
                         vectorsOf);

TEST_P(NativeKernels, ComputeTheReferencesBitsForEveryFunction) {
  ExpertGenerator generator(1);
  for (unsigned function = 0; function < kActivationCount; ++function)
    for (auto format : {quant::WeightFormat::Int8, quant::WeightFormat::Float32}) {
      bool isClamped = format == quant::WeightFormat::Float32 || function % 2 == 0;
      RandomExpert expert{everyFunction(format, function, isClamped, 21), {}};
      expert.parameters = generator.parameters(expert.signature);
      expectSameBits(expert, 6, generator,
                     std::string(nameOf(static_cast<Activation>(function))) + ", format " +
                         std::to_string(static_cast<int>(format)));
    }
}

TEST_P(NativeKernels, ComputeTheReferencesBitsForBlocksOfEverySize) {
  ExpertGenerator generator(2);
  for (unsigned format = 0; format < quant::kWeightFormatCount; ++format)
    for (std::uint32_t width : {1u, 3u, 8u, 9u, 17u, 25u, 32u, 40u, 64u, 81u, 121u, 160u})
      for (std::uint32_t inputs : {1u, 7u, 16u, 37u}) {
        RandomExpert expert{tanhLayers(static_cast<quant::WeightFormat>(format), {inputs, width}), {}};
        expert.parameters = generator.parameters(expert.signature);
        std::uint32_t rows = static_cast<std::uint32_t>(generator.integer(1, 9));
        expectSameBits(expert, rows, generator,
                       std::to_string(inputs) + "-" + std::to_string(width) + ", format " + std::to_string(format) +
                           ", " + std::to_string(rows) + " rows");
      }
}

TEST_P(NativeKernels, ComputeTheReferencesBitsForEveryHead) {
  ExpertGenerator generator(3);
  for (unsigned format = 0; format < quant::kWeightFormatCount; ++format)
    for (quant::Head head : {quant::Head::Softmax, quant::Head::Argmax})
      for (std::uint32_t width : {1u, 2u, 7u, 8u, 21u}) {
        Signature signature = tanhLayers(static_cast<quant::WeightFormat>(format), {4, width});
        signature.layers[0].groups[0].function = Activation::Linear;
        signature.outputAffine = width % 2 == 0;
        signature.head = head;
        expectSameBits({signature, generator.parameters(signature)}, 9, generator,
                       "head " + std::to_string(static_cast<int>(head)) + " of " + std::to_string(width));
      }
}

struct Batch {
  const char *name;
  RandomExpertLimits limits;
  unsigned count;
  bool isExtreme;
};
const Batch kBatches[] = {
    {"small", {8, 3, 8, 3}, 24, false},
    {"odd sizes and several groups", {40, 5, 40, 4}, 16, false},
    {"several blocks", {300, 3, 300, 5}, 12, false},
    {"deep", {20, 12, 24, 3}, 4, false},
    {"extreme", {100, 3, 70, 3}, 16, true},
};

TEST_P(NativeKernels, ComputeTheReferencesBitsForRandomExperts) {
  std::uint32_t seed = 100;
  for (Batch batch : kBatches)
    for (unsigned i = 0; i < batch.count; ++i, ++seed) {
      batch.limits.weightFormats = quant::kWeightFormatCount;
      batch.limits.heads = quant::kHeadCount;
      batch.limits.maybeSparse = true;
      ExpertGenerator generator(seed, batch.limits);
      RandomExpert expert = generator.expert();
      if (batch.isExtreme)
        testing::makeExtreme(generator, expert);
      std::uint32_t rows = static_cast<std::uint32_t>(generator.integer(1, 9));
      expectSameBits(expert, rows, generator, std::string(batch.name) + ", seed " + std::to_string(seed));
    }
}

TEST_P(NativeKernels, RunRowsOneByOneWhereATileWouldNeedMuchStack) {
  ExpertGenerator generator(4);
  RandomExpert expert{tanhLayers(quant::WeightFormat::Int8, {9000, 3}), {}};
  expert.parameters = generator.parameters(expert.signature);
  expectSameBits(expert, 5, generator, "9000-3");
}

//===----------------------------------------------------------------------===//
// Keeping kernels
//===----------------------------------------------------------------------===//

class KeptKernels : public ::testing::Test {
protected:
  KeptKernels() { std::filesystem::remove_all(directory); }
  ~KeptKernels() override { std::filesystem::remove_all(directory); }

  std::string directory = ::testing::TempDir() + "kimic-native-kernels-test";
  std::vector<std::uint8_t> signature = encode(tanhLayers(quant::WeightFormat::Int8, {3, 5, 2}));

  std::vector<std::filesystem::path> entries() const {
    std::vector<std::filesystem::path> paths;
    for (const auto &entry : std::filesystem::recursive_directory_iterator(directory))
      if (entry.is_regular_file())
        paths.push_back(entry.path());
    return paths;
  }
};

TEST_F(KeptKernels, AreCompiledOnce) {
  Kernels kernels({Vectors::Widest, ""});
  Function first = kernels.get(signature).value();
  EXPECT_EQ(kernels.get(signature).value(), first);
  EXPECT_EQ(kernels.statistics().compiled, 1u);
}

TEST_F(KeptKernels, AreCompiledOnceForManyThreads) {
  Kernels kernels({Vectors::Widest, ""});
  std::vector<std::vector<std::uint8_t>> signatures;
  for (std::uint32_t width = 1; width <= 4; ++width)
    signatures.push_back(encode(tanhLayers(quant::WeightFormat::Int8, {3, width})));
  std::vector<std::vector<Function>> found(4);
  std::vector<std::thread> threads;
  for (auto &functions : found)
    threads.emplace_back([&] {
      for (const auto &bytes : signatures)
        functions.push_back(kernels.get(bytes).value());
    });
  for (std::thread &thread : threads)
    thread.join();
  for (const auto &functions : found)
    EXPECT_EQ(functions, found[0]);
  EXPECT_EQ(kernels.statistics().compiled, 4u);
}

TEST_F(KeptKernels, ComeFromDiskTheNextTime) {
  Kernels({Vectors::Widest, directory}).get(signature).value();
  Kernels kernels({Vectors::Widest, directory});
  ASSERT_TRUE(kernels.get(signature).ok());
  EXPECT_EQ(kernels.statistics().compiled, 0u);
  EXPECT_EQ(kernels.statistics().read, 1u);
}

TEST_F(KeptKernels, OfOtherVectorsAreNotUsed) {
  Kernels({Vectors::Bits128, directory}).get(signature).value();
  Kernels kernels({Vectors::Widest, directory});
  if (kernels.vectors() == Vectors::Bits128)
    GTEST_SKIP() << "this processor has only these";
  ASSERT_TRUE(kernels.get(signature).ok());
  EXPECT_EQ(kernels.statistics().compiled, 1u);
  EXPECT_EQ(entries().size(), 2u);
}

TEST_F(KeptKernels, ThatAreDamagedAreCompiledAgain) {
  Kernels({Vectors::Widest, directory}).get(signature).value();
  ASSERT_EQ(entries().size(), 1u);
  std::filesystem::resize_file(entries()[0], 500);
  Kernels kernels({Vectors::Widest, directory});
  ASSERT_TRUE(kernels.get(signature).ok());
  EXPECT_EQ(kernels.statistics().compiled, 1u);
  Kernels again({Vectors::Widest, directory});
  ASSERT_TRUE(again.get(signature).ok());
  EXPECT_EQ(again.statistics().read, 1u);
}

TEST(NativeKernelErrors, NameWhatCannotBeCompiled) {
  Kernels kernels({Vectors::Widest, ""});
  std::vector<std::uint8_t> nothing;
  EXPECT_EQ(kernels.get(nothing).error().id, ErrorId::KernelNotCompiled);
  Signature deep = tanhLayers(quant::WeightFormat::Int8, {1, 1});
  while (deep.layers.size() < 300)
    deep.layers.push_back(deep.layers.back());
  EXPECT_EQ(kernels.get(encode(deep)).error().found, "600 layers and groups");
}

TEST(NativeKernelDirectory, IsChosenByTheEnvironment) {
  ::setenv("HOME", "/home/someone", 1);
  ::setenv("XDG_CACHE_HOME", "/var/cache/someone", 1);
  ::unsetenv("KIMIC_NATIVE_CACHE");
  EXPECT_EQ(defaultCacheDirectory(), "/var/cache/someone/kimic/native");
  ::setenv("XDG_CACHE_HOME", "relative", 1);
  EXPECT_EQ(defaultCacheDirectory(), "/home/someone/.cache/kimic/native");
  ::unsetenv("HOME");
  EXPECT_EQ(defaultCacheDirectory(), "");
  ::setenv("KIMIC_NATIVE_CACHE", "/elsewhere", 1);
  EXPECT_EQ(defaultCacheDirectory(), "/elsewhere");
  ::setenv("KIMIC_NATIVE_CACHE", "off", 1);
  EXPECT_EQ(defaultCacheDirectory(), "");
}

//===----------------------------------------------------------------------===//
// Instructions
//===----------------------------------------------------------------------===//

bool isMultiplication(const std::string &instruction) {
  return instruction.find("pdpwssd") != std::string::npos || instruction.find("pmaddwd") != std::string::npos;
}

using Loop = std::vector<std::string>;

/// The instructions of the innermost loops over products, in order: that of a tile of four rows, that of one row.
std::vector<Loop> productLoops(const std::string &assembly) {
  std::vector<Loop> loops;
  Loop current;
  std::string label, line;
  for (std::istringstream lines(assembly); std::getline(lines, line);) {
    if (line.starts_with(".LBB")) {
      label = line.substr(0, line.find(':'));
      current.clear();
    } else if (line.starts_with("\t") && line[1] != '.') {
      current.push_back(line.substr(1));
      bool isLoop = line.starts_with("\tj") && line.ends_with("\t" + label);
      // Other loops sum up codes, with one multiplication.
      if (isLoop && std::count_if(current.begin(), current.end(), isMultiplication) > 1)
        loops.push_back(current);
    }
  }
  return loops;
}

struct Budget {
  unsigned multiplications, instructions; ///< of one iteration
};
struct Budgets {
  Vectors vectors;
  Budget tile, row;
};

void PrintTo(const Budgets &budgets, std::ostream *out) { *out << nameOf(budgets.vectors); }

/// A kind of vectors, and whose processors the code generator tunes for.
class ProductLoops : public ::testing::TestWithParam<std::tuple<Budgets, std::string>> {};

// Per vector of weights a load and a shift, and per row two multiplications, with an addition each where the processor
// has no instruction for both; per row and pair its codes; two pointers, a comparison and a jump. 128-bit instructions
// of two operands need copies.
//          vectors   MACs in an iteration: tile, row
// bits128     128      64     64
// avx2        256     128    256 (two pairs)
// avx512      512     512    512 (two pairs)
INSTANTIATE_TEST_SUITE_P(Widths, ProductLoops,
                         ::testing::Combine(::testing::Values(Budgets{Vectors::Bits128, {8, 38}, {8, 34}},
                                                              Budgets{Vectors::Avx2, {8, 26}, {16, 54}},
                                                              Budgets{Vectors::Avx512, {16, 28}, {16, 38}}),
                                            ::testing::Values("znver4", "sapphirerapids")),
                         [](const auto &info) {
                           return nameOf(std::get<0>(info.param).vectors) + ("_" + std::get<1>(info.param));
                         });

TEST_P(ProductLoops, StayWithinTheirBudgets) {
  const auto &[budgets, processor] = GetParam();
  if (Kernels({budgets.vectors, ""}).vectors() != budgets.vectors)
    GTEST_SKIP() << "this processor has no " << nameOf(budgets.vectors);
  auto assembly = assemblyOf(encode(tanhLayers(quant::WeightFormat::Int8, {128, 256})), budgets.vectors, processor);
  ASSERT_TRUE(assembly.ok());
  std::vector<Loop> loops = productLoops(*assembly);
  // Narrower vectors cover a block of weights in several loops, which are alike.
  ASSERT_GE(loops.size(), 2u);
  for (const Loop &loop : loops) {
    const Budget &budget = &loop == &loops.back() ? budgets.row : budgets.tile;
    std::string text;
    for (const std::string &instruction : loop)
      text += instruction + "\n";
    EXPECT_EQ(std::count_if(loop.begin(), loop.end(), isMultiplication), budget.multiplications) << text;
    EXPECT_LE(loop.size(), budget.instructions) << text;
    EXPECT_EQ(text.find("(%rsp)"), std::string::npos) << "something is spilled:\n" << text;
  }
}

} // namespace
} // namespace kimic::native
