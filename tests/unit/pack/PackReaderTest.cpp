// Reading part by part, as the runtime does: from the first 16 KiB on, every part says where the next ones are.
#include "formats/pack/PackReader.h"
#include "formats/pack/PackText.h"
#include "formats/pack/PackVerify.h"
#include "tests/support/BadPack.h"
#include "tests/support/PackRehash.h"

#include <gtest/gtest.h>

namespace kimic::pack {
namespace {

class PackReader : public testing::Test {
protected:
  void SetUp() override {
    std::string problem;
    std::optional<std::vector<std::uint8_t>> file = test::readGoodPack(KIMIC_GOLDEN_DIR, "routed", problem);
    ASSERT_TRUE(file) << problem;
    file_ = *file;
    Result<Header> header = parseHeader(std::span(file_).first(kHeaderBytes));
    ASSERT_TRUE(header.ok());
    header_ = *header;
    Result<Root> root = parseRoot(header_, std::span(file_).subspan(header_.root.offset, header_.root.length));
    ASSERT_TRUE(root.ok());
    root_ = *root;
  }

  std::span<const std::uint8_t> storedBytes(const BlockRef &block) const {
    return std::span(file_).subspan(block.offset, block.storedLength);
  }

  std::vector<std::uint8_t> raw(const BlockRef &block) const {
    std::vector<std::uint8_t> bytes(block.rawLength);
    EXPECT_TRUE(decodeBlock(block, storedBytes(block), bytes).ok());
    return bytes;
  }

  std::vector<std::uint8_t> file_;
  Header header_;
  Root root_;
};

TEST_F(PackReader, ReadsTheHeader) {
  EXPECT_EQ(header_.experts, 4u);
  EXPECT_EQ(header_.kernels, 2u);
  EXPECT_EQ(header_.routers, 1u);
  EXPECT_EQ(header_.listed(), 3u);
  EXPECT_EQ(header_.dataBlocks, 2u);
  EXPECT_EQ(header_.dataRawLength, 384u + 384u);
  EXPECT_TRUE(header_.hasVariant(abi::Variant::Scalar));
  EXPECT_TRUE(header_.hasVariant(abi::Variant::Simd128));
  EXPECT_FALSE(header_.hasVariant(abi::Variant::Relaxed));
  EXPECT_EQ(header_.fileBytes(), file_.size());
}

TEST_F(PackReader, ReadsTheRouter) {
  EXPECT_EQ(root_.router, (Router{3, Head::Softmax, Strategy::TopK, Merge::Weighted, 2, 1.5f}));
}

TEST_F(PackReader, ReadsTheRoutersEntryFromTheRoot) {
  EXPECT_EQ(root_.routerEntry.kernel, 1u);
  EXPECT_EQ(root_.routerEntry.domain, Domain::Planning);
  EXPECT_EQ(root_.routerEntry.confidenceThreshold, 0.125f);
  EXPECT_EQ(root_.routerEntry.data.rawLength, 96u);
}

TEST_F(PackReader, PlacesKernelsRouterAndLeafDirectlyBehindTheRoot) {
  EXPECT_EQ(header_.root.offset, 640u);
  const KernelGroup &group = root_.groups[0];
  EXPECT_EQ(group.signatures.offset, alignUp(header_.root.end()));
  EXPECT_EQ(group.module(abi::Variant::Simd128).offset, alignUp(group.signatures.end()));
  EXPECT_EQ(root_.routerEntry.data.offset, alignUp(group.module(abi::Variant::Simd128).end()));
  EXPECT_EQ(root_.leaves[0].offset, alignUp(root_.routerEntry.data.end()));
}

TEST_F(PackReader, PlacesScalarModulesAndMetadataLast) {
  const BlockRef &scalar = root_.groups[0].module(abi::Variant::Scalar);
  EXPECT_EQ(scalar.offset, alignUp(header_.data.end()));
  EXPECT_EQ(root_.meta.offset, alignUp(scalar.end()));
  EXPECT_EQ(root_.meta.end(), file_.size());
}

TEST_F(PackReader, TheHotRangeRunsFromTheFirstKernelsToTheLeafOfTheRoutedExperts) {
  const Section hot = hotRange(header_, root_);
  EXPECT_EQ(hot.offset, root_.groups[0].signatures.offset);
  EXPECT_EQ(hot.end(), root_.leaves[0].end());
}

TEST_F(PackReader, ReadsTheEntriesOfALeaf) {
  Result<Leaf> leaf = parseLeaf(header_, 0, raw(root_.leaves[0]));
  ASSERT_TRUE(leaf.ok());
  const Array<LeafEntry> &entries = leaf->entries;
  ASSERT_EQ(entries.size(), 3u);
  EXPECT_EQ(entries[2].kernel, 0u);
  EXPECT_EQ(entries[1].domain, Domain::Coding);
  EXPECT_EQ(entries[2].confidenceThreshold, 0.9f);
  EXPECT_EQ(entries[0].data, entries[1].data);
  EXPECT_EQ(entries[0].data.codec, Codec::Sparse);
  EXPECT_EQ(entries[2].data.codec, Codec::Stored);
}

TEST_F(PackReader, AlignsDataBlocks) {
  const Leaf leaf = parseLeaf(header_, 0, raw(root_.leaves[0])).value();
  for (const LeafEntry &entry : leaf.entries)
    EXPECT_EQ(entry.data.offset % 64, 0u);
}

TEST_F(PackReader, DecodesParameters) {
  std::vector<std::uint8_t> expected = {0x00, 0x00, 0x00, 0xc7, 0x00, 0xfe, 0xff, 0x46};
  expected.resize(88);
  for (std::uint8_t byte = 0x09; byte <= 0x10; ++byte)
    expected.push_back(byte);
  EXPECT_EQ(raw(root_.routerEntry.data), expected);
}

TEST_F(PackReader, ReadsSignatures) {
  Result<std::vector<quant::Signature>> signatures = parseSignatures(header_, 0, raw(root_.groups[0].signatures));
  ASSERT_TRUE(signatures.ok());
  ASSERT_EQ(signatures->size(), 2u);
  EXPECT_EQ(signatures->at(1).outputs(), 3u);
}

TEST_F(PackReader, FindsParametersOfTheWrongSize) {
  Leaf leaf = parseLeaf(header_, 0, raw(root_.leaves[0])).value();
  std::vector<quant::Signature> signatures = parseSignatures(header_, 0, raw(root_.groups[0].signatures)).value();
  auto check = [&](const quant::Signature &signature) {
    return checkParameters(0, leaf.entries[0], signature, *quant::layoutOf(signature));
  };
  EXPECT_TRUE(check(signatures[0]).ok());
  EXPECT_EQ(check(signatures[1]).error(), makeError(ErrorId::PackParameterBytes, 0, 384, 96));
}

TEST_F(PackReader, VerifiesBeforeItDecodes) {
  BlockRef meta = root_.meta;
  ASSERT_EQ(meta.codec, Codec::Lz4);
  std::vector<std::uint8_t> damaged(storedBytes(meta).begin(), storedBytes(meta).end());
  damaged[5] ^= 1;
  std::vector<std::uint8_t> output(meta.rawLength, 0xAA);
  EXPECT_EQ(decodeBlock(meta, damaged, output).error(), makeError(ErrorId::PackBlockHash, meta.offset));
  EXPECT_EQ(output, std::vector<std::uint8_t>(meta.rawLength, 0xAA));
}

TEST_F(PackReader, RefusesSpansOfTheWrongSize) {
  const BlockRef &meta = root_.meta;
  std::vector<std::uint8_t> output(meta.rawLength + 1);
  EXPECT_EQ(decodeBlock(meta, storedBytes(meta), output).error(),
            makeError(ErrorId::PackBlockSize, meta.offset, meta.rawLength, meta.rawLength + 1));
  EXPECT_EQ(decodeBlock(meta, storedBytes(meta).subspan(1), std::span(output).first(meta.rawLength)).error(),
            makeError(ErrorId::PackBlockSize, meta.offset, meta.storedLength, meta.storedLength - 1));
  EXPECT_EQ(parseRoot(header_, std::span(file_).subspan(640, 5)).error().id, ErrorId::PackBlockSize);
}

TEST_F(PackReader, IgnoresWhatUnknownOptionalFeaturesAdd) {
  file_[10] = 7;                               // minor
  file_[16] = 1;                               // optional features
  file_[170] = 42;                             // reserved
  file_[kRootOffset + 27] = 43;                // of the router record
  file_[kRootOffset + 63] = 44;                // its last byte
  file_[kRootOffset + kRouterBytes + 10] = 45; // of the row of the signatures
  file_[56] += 3;                              // root length: into the padding before the first kernels
  file_[kRootOffset + header_.root.length] = 9;
  file_[112] = 2; // extensions length
  file_.resize(alignUp(file_.size()));
  file_.insert(file_.end(), {0xAA, 0xBB});
  test::rehashPack(file_);
  Result<void> result = verifyPack(file_);
  EXPECT_TRUE(result.ok()) << message(result.error());
}

TEST_F(PackReader, NamesAPackByTheHashOfItsHeader) {
  EXPECT_EQ(packDigest(file_), sha256(std::span(file_).first(256)));
}

} // namespace
} // namespace kimic::pack
