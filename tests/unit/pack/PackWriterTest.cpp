#include "formats/pack/PackWriter.h"
#include "formats/base/Diagnostic.h"
#include "formats/pack/PackReader.h"
#include "formats/pack/PackVerify.h"
#include "formats/quant/Layout.h"
#include "formats/quant/Parameters.h"
#include "tests/support/TestPack.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

namespace kimic::pack {
namespace {

using Bytes = std::vector<std::uint8_t>;
using kimic::testing::emptyKernelModule;
using kimic::testing::kernelModule;

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
    contents.modules[variantIndex(abi::Variant::Simd128)].push_back(
        emptyKernelModule(std::min(group, kernels - first)));
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
    EXPECT_EQ(headerOf(*file).leafCount(), (experts + 63) / 64);
    EXPECT_EQ(headerOf(*file).groupCount(), (kernels + 63) / 64);
  }
}

TEST(PackWriter, WritesTheSameBytesEveryTime) {
  EXPECT_EQ(writePack(makeContents(300, 70)).value(), writePack(makeContents(300, 70)).value());
}

TEST(PackWriter, WritesEqualParametersOnce) {
  PackContents contents = makeContents(3, 1);
  contents.experts[0].parameters.back() = 1;
  contents.experts[1].parameters.back() = 2;
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

/// A valid pack of so many experts, all with the same parameters.
Bytes packOf(std::uint32_t experts) {
  PackContents contents = makeContents(1, 1);
  contents.experts.resize(experts, contents.experts[0]);
  Result<Bytes> file = writePack(contents);
  EXPECT_TRUE(file.ok()) << message(file.error());
  Result<void> valid = verifyPack(*file);
  EXPECT_TRUE(valid.ok()) << message(valid.error());
  return *file;
}

TEST(PackWriter, KeepsTheRootWithin6KiBWhileLeavesMayGrow) {
  const std::pair<std::uint32_t, int> sizes[] = {{4000, 6}, {8000, 7}, {30000, 8}, {60000, 9}};
  for (auto [experts, leafLog2] : sizes) {
    const Header header = headerOf(packOf(experts));
    EXPECT_EQ(header.leafLog2, leafLog2) << experts;
    EXPECT_EQ(header.branchLog2, 0) << experts;
    EXPECT_LE(header.root.end(), 6144u) << experts;
  }
}

TEST(PackWriter, LetsTheRootGrowTo16KiBThen) {
  const Header header = headerOf(packOf(100000));
  EXPECT_EQ(header.leafLog2, 9);
  EXPECT_EQ(header.branchLog2, 0);
  EXPECT_LE(header.root.end(), kFirstReadBytes);
}

TEST(PackWriter, PutsLeavesBehindBranchesInLargePacks) {
  const Bytes file = packOf(200000);
  const Header header = headerOf(file);
  EXPECT_EQ(header.branchLog2, 8);
  EXPECT_EQ(header.leafLog2, 9);
  EXPECT_EQ(header.branchCount(), 2u); // ceil(200,000 / 512 / 256)
  const Root root = parseRoot(header, std::span(file).subspan(header.root.offset, header.root.length)).value();
  EXPECT_EQ(hotRange(header, root).end(), root.branches[0].block.end());
  EXPECT_EQ(readContents(file)->experts.size(), 200000u);
}

/// A pack with two branches, opened up to its root.
struct Branched {
  Bytes file = packOf(200000);
  Header header = headerOf(file);
  Root root = parseRoot(header, std::span(file).subspan(header.root.offset, header.root.length)).value();

  std::span<std::uint8_t> rows(std::uint32_t branch) {
    const BlockRef &block = root.branches[branch].block;
    return std::span(file).subspan(block.offset, block.storedLength);
  }
};

TEST(Branch, IsFilledByItsLeaves) {
  Branched pack;
  std::span<std::uint8_t> stored = pack.rows(1).subspan(kBlockRowBytes * 3, 4); // of its fourth leaf, which is LZ4
  std::uint32_t bytes;
  std::memcpy(&bytes, stored.data(), 4);
  bytes -= 64;
  std::memcpy(stored.data(), &bytes, 4);
  EXPECT_EQ(parseBranch(pack.header, pack.root, 1, pack.rows(1)).error().id, ErrorId::PackSectionLength);
}

TEST(Branch, HasARowForEachOfItsLeaves) {
  Branched pack;
  const auto rows = pack.rows(1);
  EXPECT_EQ(
      parseBranch(pack.header, pack.root, 1, rows.first(rows.size() - kBlockRowBytes)).error(),
      makeError(ErrorId::PackBlockSize, pack.root.branches[1].block.offset, rows.size(), rows.size() - kBlockRowBytes));
}

TEST(Branch, HasTheHashThatTheRootNames) {
  Branched pack;
  pack.rows(0)[12] ^= 1; // of the first leaf's hash
  EXPECT_EQ(verifyPack(pack.file).error(), makeError(ErrorId::PackBlockHash, pack.root.branches[0].block.offset));
}

TEST(Base, IsNotStoredAsDifferencesItself) {
  EXPECT_TRUE(checkBase(3, 7, 96, Codec::Stored, 96).ok());
  EXPECT_EQ(checkBase(3, 7, 96, Codec::Delta, 96).error(), makeError(ErrorId::PackEntryBase, 3, 7));
}

TEST(Base, IsAsLongAsWhatDiffersFromIt) {
  EXPECT_EQ(checkBase(3, 7, 96, Codec::Stored, 112).error(), makeError(ErrorId::PackEntryBase, 3, 7));
}

/// A pack of 20,000 experts that share one block and take turns at two kernels, which read blocks of equal size.
Bytes packOfOneBlock(const DataBlock &block, const Bytes &stored, const quant::Signature &signature) {
  PackDirectory directory;
  for (Activation function : {Activation::Linear, Activation::LinearPieceRect}) {
    quant::Signature kernel = signature;
    kernel.layers[0].groups[0].function = function;
    directory.signatures.push_back(quant::encode(kernel));
  }
  directory.modules[1] = {emptyKernelModule(2)};
  directory.blocks = {block};
  directory.experts.resize(20000);
  for (std::uint32_t i = 0; i < directory.experts.size(); ++i)
    directory.experts[i].kernel = i % 2;
  Bytes pack;
  EXPECT_TRUE(writePack(
                  directory,
                  [&](std::uint32_t, Bytes &bytes) -> Result<void> {
                    bytes = stored;
                    return {};
                  },
                  [&](std::span<const std::uint8_t> bytes) -> Result<void> {
                    pack.insert(pack.end(), bytes.begin(), bytes.end());
                    return {};
                  })
                  .ok());
  return pack;
}

// What fails here is time, by the limit of this program in CMakeLists.txt: these 320 GB would take a quarter of an hour
// if each expert's block were looked at.
TEST(PackVerify, LooksAtABlockOncePerKernelHoweverManyExpertsShareIt) {
  const quant::Signature signature{
      2000, {{quant::WeightFormat::Float32, 0, {{Activation::Linear, true, 2048}}}}, false, false};
  const std::uint32_t size = quant::layoutOf(signature)->parameterBytes;
  ASSERT_GT(size, 15u << 20);
  Bytes parameters(size);
  EncodedData zeros = encodeData(parameters).value();
  ASSERT_EQ(zeros.block.codec, Codec::Zero);
  std::mt19937 random(1);
  for (std::size_t i = 0; i < size; i += 4) {
    const std::uint32_t word = random() & 0xBFBFBFBF; // every f32 is finite
    std::memcpy(&parameters[i], &word, 4);
  }
  DataBlock stored{Codec::Stored, size, size, sha256(parameters), sha256(parameters), kNoExpert};
  for (const auto &[block, bytes] : {std::pair(zeros.block, Bytes()), std::pair(stored, parameters)}) {
    Result<void> result = verifyPack(packOfOneBlock(block, bytes, signature));
    EXPECT_TRUE(result.ok()) << message(result.error());
  }
}

/// An expert of as many inputs as outputs whose weights are zero but for some; seeded.
Bytes weightsWith(double nonZero, std::uint32_t seed, std::uint32_t width = 64) {
  std::mt19937 random(seed);
  quant::Signature signature{width, {{quant::WeightFormat::Int8, 0, {{Activation::Linear, false, width}}}}, false};
  const quant::Layout layout = quant::layoutOf(signature).value();
  quant::ExpertParameters parameters;
  quant::LayerParameters layer;
  std::normal_distribution<double> normal(0, 40);
  for (std::uint32_t i = 0; i < width; ++i) {
    parameters.inputScale.push_back(static_cast<float>(normal(random)));
    layer.multiplier.push_back(static_cast<float>(normal(random)));
    layer.bias.push_back(static_cast<std::int32_t>(random()));
  }
  for (std::uint32_t i = 0; i < width * width; ++i)
    layer.weights.push_back(std::uniform_real_distribution<double>()(random) < nonZero
                                ? static_cast<std::int8_t>(std::clamp(std::lround(normal(random)), -127l, 127l))
                                : std::int8_t{0});
  parameters.layers.push_back(layer);
  return quant::packParameters(signature, layout, parameters);
}

PackContents contentsWith(std::vector<Bytes> parameters, std::uint32_t width = 64) {
  PackContents contents;
  quant::Signature signature{width, {{quant::WeightFormat::Int8, 0, {{Activation::Linear, false, width}}}}, false};
  contents.signatures = {quant::encode(signature)};
  contents.modules[1] = {emptyKernelModule(1)};
  for (Bytes &bytes : parameters) {
    PackContents::Expert &expert = contents.experts.emplace_back();
    expert.parameters = std::move(bytes);
  }
  return contents;
}

/// The entries of a pack's first leaf.
std::vector<LeafEntry> entriesOf(const Bytes &file) {
  const Header header = headerOf(file);
  const Root root = parseRoot(header, std::span(file).subspan(header.root.offset, header.root.length)).value();
  const BlockRef row = leafRows(header, root, file)->at(0);
  Bytes raw(row.rawLength);
  EXPECT_TRUE(decodeBlock(row, std::span(file).subspan(row.offset, row.storedLength), raw).ok());
  const Leaf leaf = parseLeaf(header, 0, raw).value();
  return {leaf.entries.begin(), leaf.entries.end()};
}

TEST(PackWriter, ChoosesTheSmallestCodec) {
  Bytes sibling = weightsWith(1, 1);
  for (std::size_t i = 200; i < sibling.size() - 300; i += 3)
    ++sibling[i];
  const PackContents contents =
      contentsWith({weightsWith(1, 1), weightsWith(0.1, 2), sibling, Bytes(sibling.size()), weightsWith(0, 3)});
  Result<Bytes> file = writePack(contents);
  ASSERT_TRUE(file.ok()) << message(file.error());
  Result<void> valid = verifyPack(*file);
  ASSERT_TRUE(valid.ok()) << message(valid.error());
  const std::vector<LeafEntry> entries = entriesOf(*file);
  EXPECT_EQ(entries[0].data.codec, Codec::Stored);
  EXPECT_EQ(entries[1].data.codec, Codec::Sparse);
  EXPECT_EQ(entries[2].data.codec, Codec::Delta);
  EXPECT_EQ(entries[2].base, 0u);
  EXPECT_EQ(entries[3].data.codec, Codec::Zero);
  EXPECT_EQ(entries[3].data.storedLength, 0u);
  EXPECT_TRUE(*readContents(*file) == contents);
}

/// What the weights of a layer of width x width add to the block of an expert that has none: scales and biases are
/// dense, whatever is pruned, and make smaller layers dearer (0.23 at 64x64).
std::uint32_t bytesOfWeights(double nonZero, std::uint32_t width) {
  const std::vector<LeafEntry> entries =
      entriesOf(*writePack(contentsWith({weightsWith(nonZero, 2, width), weightsWith(0, 2, width)}, width)));
  return entries[0].data.storedLength - entries[1].data.storedLength;
}

TEST(PackWriter, StoresNineTenthsPrunedWeightsInAFifthOfTheirBytes) {
  for (std::uint32_t width : {128u, 256u})
    EXPECT_LE(bytesOfWeights(0.1, width), width * width / 5) << width;
}

TEST(PackWriter, StoresSevenTenthsPrunedWeightsIn1Point45BytesEach) {
  for (std::uint32_t width : {128u, 256u})
    EXPECT_LE(bytesOfWeights(0.3, width), 0.3 * 1.45 * width * width) << width;
}

TEST(PackWriter, WritesDataInTheOrderThatItIsGiven) {
  PackContents contents = makeContents(5, 1);
  for (std::uint8_t i = 0; i < 5; ++i)
    contents.experts[i].parameters.back() = i + 1; // no two are equal, and none is zero
  const std::uint32_t order[] = {3, 1, 4, 0, 2};
  const Bytes file = writePack(contents, order).value();
  ASSERT_TRUE(verifyPack(file).ok());
  const std::vector<LeafEntry> entries = entriesOf(file);
  for (std::size_t i = 1; i < std::size(order); ++i)
    EXPECT_LT(entries[order[i - 1]].data.offset, entries[order[i]].data.offset);
  EXPECT_TRUE(*readContents(file) == contents);
}

TEST(PackWriter, ARouterThatReadsOthersIsRefused) {
  PackContents contents = contentsWith({weightsWith(1, 1), weightsWith(1, 2)});
  contents.router.emplace().routed = 1;
  contents.features = 64;
  contents.experts.back().reads = {{kNoExpert, 0, 32}, {0, 0, 32}};
  EXPECT_EQ(writePack(contents).error(), makeError(ErrorId::PackContentsRouterReads, 2));
}

TEST(PackWriter, TheOrderOfTheDataDoesNotChangeTheContentId) {
  const PackContents contents = makeContents(5, 1);
  const std::uint32_t order[] = {3, 1, 4, 0, 2};
  EXPECT_EQ(headerOf(writePack(contents, order).value()).contentId, headerOf(writePack(contents).value()).contentId);
}

TEST(PackWriter, AnotherThresholdChangesTheContentId) {
  PackContents contents = makeContents(5, 1);
  const Digest before = headerOf(writePack(contents).value()).contentId;
  contents.experts[4].confidenceThreshold = 0.125f;
  EXPECT_NE(headerOf(writePack(contents).value()).contentId, before);
}

TEST(PackWriter, RefusesAnOrderThatNamesAnExpertTwice) {
  for (const std::vector<std::uint32_t> &order : {std::vector<std::uint32_t>{0, 1, 1}, {2, 1, 0, 1}})
    EXPECT_EQ(writePack(makeContents(3, 1), order).error(), makeError(ErrorId::PackContentsOrder, 1, 2, 3));
}

TEST(PackWriter, RefusesAnOrderThatLeavesAnExpertOut) {
  const std::uint32_t order[] = {2, 0};
  EXPECT_EQ(writePack(makeContents(3, 1), order).error(), makeError(ErrorId::PackContentsOrder, 1, 0, 3));
}

TEST(PackWriter, RefusesAnOrderOfAnExpertThatIsNotThere) {
  const std::uint32_t order[] = {0, 1, 3};
  EXPECT_EQ(writePack(makeContents(3, 1), order).error(), makeError(ErrorId::PackContentsOrder, 3, 1, 3));
}

TEST(PackWriter, WritesNextExperts) {
  PackContents contents = makeContents(70, 1);
  contents.experts[2].next = {{69, 200}, {0, 56}};
  contents.experts[69].next = {{2, 1}};
  Result<Bytes> file = writePack(contents);
  ASSERT_TRUE(file.ok()) << message(file.error());
  ASSERT_TRUE(verifyPack(*file).ok());
  EXPECT_EQ(headerOf(*file).transitions, 2);
  EXPECT_TRUE(*readContents(*file) == contents);
}

TEST(PackWriter, TakesLargerGroups) {
  PackContents contents = makeContents(10, 300);
  contents.groupLog2 = 8;
  contents.modules = {};
  contents.modules[0] = {emptyKernelModule(256), emptyKernelModule(44)};
  Result<Bytes> file = writePack(contents);
  ASSERT_TRUE(file.ok());
  Result<void> valid = verifyPack(*file);
  EXPECT_TRUE(valid.ok()) << message(valid.error());
}

/// A module of kernels that take up some 500 bytes each and do not compress.
Bytes bulkyModule(std::uint32_t kernels) {
  std::mt19937 random(9);
  std::vector<Bytes> bodies(kernels, {0});
  for (Bytes &body : bodies) {
    for (int j = 0; j < 100; ++j) {
      body.push_back(0x41); // i32.const, three bytes
      for (std::uint8_t more : {0x80, 0x80, 0})
        body.push_back(static_cast<std::uint8_t>((random() & 0x3f) | more | (more ? 0 : 1)));
      body.push_back(0x1a); // drop
    }
    body.push_back(0x0b);
  }
  return kernelModule(bodies);
}

/// A file of which only ranges can be had, and which remembers what they cost.
struct RangeFile {
  std::span<const std::uint8_t> fetch(std::uint64_t offset, std::uint64_t length) {
    ++ranges;
    length = std::min<std::uint64_t>(length, file.size() - offset);
    bytes += length;
    for (std::uint64_t i = offset; i < offset + length; ++i)
      isThere[i] = true;
    return std::span(file).subspan(offset, length);
  }
  /// A block that was fetched, decoded.
  Bytes raw(const BlockRef &block) const {
    for (std::uint64_t i = block.offset; i < block.end(); ++i)
      EXPECT_TRUE(isThere[i]) << "byte " << i << " was not fetched";
    Bytes bytes(block.rawLength);
    EXPECT_TRUE(decodeBlock(block, std::span(file).subspan(block.offset, block.storedLength), bytes).ok());
    return bytes;
  }

  Bytes file;
  std::vector<bool> isThere = std::vector<bool>(file.size());
  unsigned ranges = 0;
  std::uint64_t bytes = 0;
};

TEST(ColdStart, APackOf20000ExpertsRoutesAndAnswersAfterThreeRangesOf64KiBTogether) {
  constexpr std::uint32_t kKernels = 32, kExperts = 20000, kRouted = 256;
  PackContents contents;
  std::mt19937 random(4);
  std::vector<std::uint32_t> parameterBytes;
  auto addKernel = [&](std::uint32_t outputs) {
    quant::Signature signature{64, {{quant::WeightFormat::Int8, 0, {{Activation::Linear, false, outputs}}}}, false};
    parameterBytes.push_back(quant::layoutOf(signature)->parameterBytes);
    contents.signatures.push_back(quant::encode(signature));
  };
  addKernel(kRouted); // the router's: 17 KB
  for (std::uint32_t i = 1; i < kKernels; ++i)
    addKernel(20 + i);
  contents.modules[0] = {bulkyModule(kKernels)};
  contents.modules[1] = {bulkyModule(kKernels)};
  for (std::uint32_t i = 0; i <= kExperts; ++i) {
    PackContents::Expert &expert = contents.experts.emplace_back();
    expert.kernel = i == kExperts ? 0 : 1 + random() % (kKernels - 1);
    expert.parameters.resize(parameterBytes[expert.kernel]);
    for (std::size_t j = 0; j + 4 <= expert.parameters.size(); j += 4) {
      const std::uint32_t word = random() & 0xBFBFBFBF; // every f32 is finite
      std::memcpy(&expert.parameters[j], &word, 4);
    }
  }
  contents.router = Router{kRouted};
  RangeFile file{writePack(contents).value()};

  std::span<const std::uint8_t> first = file.fetch(0, kOpenReadBytes);
  const Header header = parseHeader(first).value();
  const Root root = parseRoot(header, first.subspan(header.root.offset, header.root.length)).value();
  const Section hot = hotRange(header, root);
  ASSERT_GT(hot.end(), kOpenReadBytes);
  file.fetch(kOpenReadBytes, hot.end() - kOpenReadBytes);
  EXPECT_EQ(parseSignatures(header, 0, file.raw(root.groups[0].signatures))->size(), kKernels);
  EXPECT_EQ(file.raw(root.groups[0].module(abi::Variant::Simd128)), contents.modules[1][0]);
  EXPECT_EQ(file.raw(root.routerEntry.data), contents.experts[kExperts].parameters);
  const std::uint32_t chosen = kRouted - 1;
  const Leaf leaf = parseLeaf(header, header.leafOf(chosen), file.raw(root.leaves[header.leafOf(chosen)])).value();
  const BlockRef &data = leaf.entries[chosen - header.firstExpert(header.leafOf(chosen))].data;
  file.fetch(data.offset, data.storedLength);
  EXPECT_EQ(file.raw(data), contents.experts[chosen].parameters);
  EXPECT_EQ(file.ranges, 3u);
  EXPECT_LE(file.bytes, 64u << 10);
  RecordProperty("bytes", static_cast<int>(file.bytes));
}

/// The error of a pack that would be written but for one change.
template <class Change> Error errorAfter(Change change) {
  PackContents contents = makeContents(3, 2);
  change(contents);
  Result<Bytes> result = writePack(contents);
  return result.ok() ? Error{} : result.error();
}

TEST(PackWriter, RefusesChancesThatAscend) {
  EXPECT_EQ(errorAfter([](PackContents &contents) { contents.experts[0].next = {{1, 10}, {2, 11}}; }),
            makeError(ErrorId::PackEntryNext, 0, 2, 1));
}

TEST(PackWriter, RefusesChancesOfMoreThanAll) {
  EXPECT_EQ(errorAfter([](PackContents &contents) { contents.experts[0].next = {{1, 129}, {2, 128}}; }),
            makeError(ErrorId::PackEntryNext, 0, 2, 1));
  EXPECT_EQ(errorAfter([](PackContents &contents) { contents.experts[0].next = {{1, 128}, {2, 128}}; }), Error{});
}

TEST(PackWriter, RefusesNoExperts) {
  EXPECT_EQ(errorAfter([](PackContents &contents) { contents.experts.clear(); }),
            makeError(ErrorId::PackHeaderField, 32, 0, 1u << 24));
}

TEST(PackWriter, RefusesNoKernels) {
  EXPECT_EQ(errorAfter([](PackContents &contents) { contents.signatures.clear(); }),
            makeError(ErrorId::PackHeaderField, 36, 0, 65536));
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

TEST(PackWriter, RefusesResidualRowsThatLeaveTheColumnsOfARouterUnaligned) {
  EXPECT_EQ(errorAfter([](PackContents &contents) {
              const quant::Signature signature{
                  4, {{quant::WeightFormat::Int8Residual, 0, {{Activation::Linear, false, 2}}}}};
              contents.signatures[1] = quant::encode(signature);
              contents.experts[0].kernel = contents.experts[1].kernel = 0;
              for (int i : {0, 1})
                contents.experts[i].parameters.resize(
                    quant::layoutOf(quant::decodeSignature(contents.signatures[0]).value())->parameterBytes);
              contents.experts[2].kernel = 1;
              contents.experts[2].parameters.assign(quant::layoutOf(signature)->parameterBytes + 2 + 2 * 4, 0);
              contents.router = Router{2};
              contents.router->hasBias = true;
            }).id,
            ErrorId::PackParameterBytes);
}

TEST(PackWriter, RefusesABrokenSignature) {
  EXPECT_EQ(errorAfter([](PackContents &contents) { contents.signatures[1] = {9}; }).id, ErrorId::SignatureMalformed);
}

TEST(PackWriter, RefusesARouterOfMoreExpertsThanThereAre) {
  EXPECT_EQ(errorAfter([](PackContents &contents) { contents.router = Router{3}; }),
            makeError(ErrorId::PackRouterField, 644, 3, 2));
}

TEST(PackWriter, RefusesARouterWithOtherOutputsThanExperts) {
  EXPECT_EQ(errorAfter([](PackContents &contents) {
              contents.experts[2].kernel = 0; // one output; its parameters have the size of the other kernel's
              contents.router = Router{2};
            }).id,
            ErrorId::PackRouterOutputs);
}

TEST(PackWriter, RefusesMoreRowsThanFitIntoTheFirstRead) {
  EXPECT_EQ(errorAfter([](PackContents &contents) {
              contents.signatures.resize(65536, contents.signatures[0]);
              contents.modules[1].resize(1024, contents.modules[1][0]);
            }),
            makeError(ErrorId::PackTooManyRows, 2051, 357));
}

} // namespace
} // namespace kimic::pack
