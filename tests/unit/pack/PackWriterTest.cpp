#include "formats/pack/PackWriter.h"
#include "formats/base/Diagnostic.h"
#include "formats/pack/PackReader.h"
#include "formats/pack/PackVerify.h"
#include "formats/quant/Layout.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace kimic::pack {
namespace {

using Bytes = std::vector<std::uint8_t>;

/// A module with `kernels` empty functions.
Bytes emptyModule(std::uint32_t kernels) {
  auto number = [](std::uint32_t value) {
    Bytes bytes;
    for (; value >= 0x80; value >>= 7)
      bytes.push_back(static_cast<std::uint8_t>(value | 0x80));
    bytes.push_back(static_cast<std::uint8_t>(value));
    return bytes;
  };
  auto append = [](Bytes &to, const Bytes &from) { to.insert(to.end(), from.begin(), from.end()); };
  Bytes module = {0, 'a', 's', 'm', 1, 0,   0,   0,   1, 9,   1,   0x60, 5,   0x7f, 0x7f, 0x7f, 0x7f, 0x7f,
                  0, 2,   15,  1,   3, 'e', 'n', 'v', 6, 'm', 'e', 'm',  'o', 'r',  'y',  2,    0,    0};
  Bytes functions = number(kernels), exports = number(kernels), code = number(kernels);
  for (std::uint32_t i = 0; i < kernels; ++i) {
    functions.push_back(0);
    std::string name = "k" + std::to_string(i);
    exports.push_back(static_cast<std::uint8_t>(name.size()));
    exports.insert(exports.end(), name.begin(), name.end());
    exports.push_back(0);
    append(exports, number(i));
    append(code, {2, 0, 0x0b});
  }
  for (auto [section, bytes] : {std::pair{3, &functions}, std::pair{7, &exports}, std::pair{10, &code}}) {
    module.push_back(static_cast<std::uint8_t>(section));
    append(module, number(static_cast<std::uint32_t>(bytes->size())));
    append(module, *bytes);
  }
  return module;
}

/// A valid pack with linear kernels of 1, 2, ... outputs and experts that use them in turn.
PackContents makeContents(std::uint32_t experts, std::uint32_t kernels, std::uint32_t seed = 1) {
  std::mt19937 random(seed);
  PackContents contents;
  std::vector<std::uint32_t> parameterBytes;
  for (std::uint32_t i = 0; i < kernels; ++i) {
    quant::Signature signature{4, {{quant::WeightFormat::Int8, 0, {{Activation::Linear, false, i % 100 + 1}}}}, false};
    parameterBytes.push_back(quant::layoutOf(signature)->parameterBytes);
    contents.signatures.push_back(quant::encode(signature));
  }
  const std::uint32_t group = 1u << contents.groupLog2;
  for (std::uint32_t first = 0; first < kernels; first += group)
    contents.modules[variantIndex(abi::Variant::Simd128)].push_back(emptyModule(std::min(group, kernels - first)));
  for (std::uint32_t i = 0; i < experts; ++i) {
    PackContents::Expert expert;
    expert.kernel = random() % kernels;
    expert.domain = static_cast<Domain>(random() % kDomainCount);
    expert.confidenceThreshold = static_cast<float>(random() % 101) / 100;
    expert.parameters.resize(parameterBytes[expert.kernel]);
    if (random() % 8)
      for (std::uint8_t &byte : expert.parameters)
        byte = static_cast<std::uint8_t>(random() % (random() % 2 ? 256 : 4) & 0xBF); // every f32 is finite
    contents.experts.push_back(std::move(expert));
  }
  return contents;
}

Header headerOf(const Bytes &file) { return parseHeader(file).value(); }

TEST(PackWriter, WritesValidPacksThatReadBack) {
  const std::pair<std::uint32_t, std::uint32_t> sizes[] = {{1, 1}, {2, 1}, {255, 3}, {256, 64}, {257, 65}, {1000, 200}};
  for (auto [experts, kernels] : sizes) {
    const PackContents contents = makeContents(experts, kernels);
    Result<Bytes> file = writePack(contents);
    ASSERT_TRUE(file.ok()) << message(file.error());
    Result<void> valid = verifyPack(*file);
    ASSERT_TRUE(valid.ok()) << experts << " experts: " << message(valid.error());
    Result<PackContents> again = readContents(*file);
    ASSERT_TRUE(again.ok()) << message(again.error());
    EXPECT_TRUE(*again == contents) << experts << " experts, " << kernels << " kernels";
    EXPECT_EQ(headerOf(*file).leafCount(), (experts + 255) / 256);
    EXPECT_EQ(headerOf(*file).groupCount(), (kernels + 63) / 64);
  }
}

TEST(PackWriter, WritesTheSameBytesEveryTime) {
  EXPECT_EQ(writePack(makeContents(300, 70)).value(), writePack(makeContents(300, 70)).value());
}

TEST(PackWriter, WritesEqualParametersOnce) {
  PackContents contents = makeContents(3, 1);
  contents.experts[2].parameters = contents.experts[0].parameters;
  const Bytes file = writePack(contents).value();
  EXPECT_EQ(headerOf(file).dataBlocks, 2u);
  EXPECT_TRUE(verifyPack(file).ok());
}

TEST(PackWriter, StoresWhatDoesNotCompress) {
  const PackContents contents = makeContents(50, 5);
  const Bytes file = writePack(contents).value();
  std::uint64_t raw = 0;
  for (const PackContents::Expert &expert : contents.experts)
    raw += expert.parameters.size();
  EXPECT_LE(headerOf(file).data.length, raw + 64 * contents.experts.size());
}

TEST(PackWriter, TakesLargerLeavesWhereTheRootWouldNotFit) {
  PackContents contents = makeContents(1, 1);
  contents.experts.resize(100000, contents.experts[0]);
  Result<Bytes> file = writePack(contents);
  ASSERT_TRUE(file.ok()) << message(file.error());
  EXPECT_EQ(headerOf(*file).leafLog2, 9);
  EXPECT_LE(headerOf(*file).root.end(), kFirstReadBytes);
  Result<void> valid = verifyPack(*file);
  EXPECT_TRUE(valid.ok()) << message(valid.error());
}

TEST(PackWriter, TakesLargerGroups) {
  PackContents contents = makeContents(10, 300);
  contents.groupLog2 = 8;
  contents.modules = {};
  contents.modules[0] = {emptyModule(256), emptyModule(44)};
  Result<Bytes> file = writePack(contents);
  ASSERT_TRUE(file.ok());
  Result<void> valid = verifyPack(*file);
  EXPECT_TRUE(valid.ok()) << message(valid.error());
}

/// The error of a pack that would be written but for one change.
template <class Change> Error errorAfter(Change change) {
  PackContents contents = makeContents(3, 2);
  change(contents);
  Result<Bytes> result = writePack(contents);
  return result.ok() ? Error{} : result.error();
}

TEST(PackWriter, RefusesNoExperts) {
  EXPECT_EQ(errorAfter([](PackContents &contents) { contents.experts.clear(); }),
            makeError(ErrorId::PackHeaderField, 28, 0, 1u << 24));
}

TEST(PackWriter, RefusesNoKernels) {
  EXPECT_EQ(errorAfter([](PackContents &contents) { contents.signatures.clear(); }),
            makeError(ErrorId::PackHeaderField, 32, 0, 65536));
}

TEST(PackWriter, RefusesNoModules) {
  EXPECT_EQ(errorAfter([](PackContents &contents) { contents.modules = {}; }),
            makeError(ErrorId::PackHeaderField, 25, 0, 7));
}

TEST(PackWriter, RefusesAVariantWithoutAModuleForEveryGroup) {
  EXPECT_EQ(errorAfter([](PackContents &contents) { contents.modules[1].resize(2); }),
            makeError(ErrorId::PackContentsModules, 2, 2, 1));
}

TEST(PackWriter, RefusesAGroupSizeOutOfRange) {
  EXPECT_EQ(errorAfter([](PackContents &contents) { contents.groupLog2 = 9; }),
            makeError(ErrorId::PackHeaderField, 27, 9, 8));
}

TEST(PackWriter, RefusesAnEmptyModule) {
  EXPECT_EQ(errorAfter([](PackContents &contents) { contents.modules[1][0].clear(); }).id, ErrorId::PackBlockLength);
}

TEST(PackWriter, RefusesTooLargeMetadata) {
  EXPECT_EQ(errorAfter([](PackContents &contents) { contents.meta.resize((4u << 20) + 1, ' '); }),
            makeError(ErrorId::PackBlockTooLarge, 0, (4u << 20) + 1, 4u << 20));
}

TEST(PackWriter, RefusesAnUnknownKernel) {
  EXPECT_EQ(errorAfter([](PackContents &contents) { contents.experts[1].kernel = 2; }),
            makeError(ErrorId::PackEntryKernel, 1, 2, 2));
}

TEST(PackWriter, RefusesAThresholdThatIsNoNumber) {
  EXPECT_EQ(errorAfter([](PackContents &contents) { contents.experts[1].confidenceThreshold = NAN; }).id,
            ErrorId::PackEntryThreshold);
}

TEST(PackWriter, RefusesParametersOfTheWrongSize) {
  EXPECT_EQ(errorAfter([](PackContents &contents) { contents.experts[1].parameters.push_back(0); }).id,
            ErrorId::PackParameterBytes);
}

TEST(PackWriter, RefusesABrokenSignature) {
  EXPECT_EQ(errorAfter([](PackContents &contents) { contents.signatures[1] = {9}; }).id, ErrorId::SignatureMalformed);
}

TEST(PackWriter, RefusesARouterThatIsNotTheLastExpert) {
  EXPECT_EQ(errorAfter([](PackContents &contents) { contents.router = Router{1, 1}; }),
            makeError(ErrorId::PackRouterField, 260, 1, 2));
}

TEST(PackWriter, RefusesARouterWithOtherOutputsThanExperts) {
  EXPECT_EQ(errorAfter([](PackContents &contents) {
              contents.experts[2].kernel = 0; // one output; its parameters have the size of the other kernel's
              contents.router = Router{2, 2};
            }).id,
            ErrorId::PackRouterOutputs);
}

TEST(PackWriter, RefusesMoreRowsThanFitIntoTheFirstRead) {
  EXPECT_EQ(errorAfter([](PackContents &contents) {
              contents.signatures.resize(65536, contents.signatures[0]);
              contents.modules[1].resize(1024, contents.modules[1][0]);
            }),
            makeError(ErrorId::PackTooManyRows, 2049, 364));
}

} // namespace
} // namespace kimic::pack
