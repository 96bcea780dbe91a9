#include "formats/pack/PackReader.h"

#include "formats/base/Bytes.h"
#include "formats/pack/Lz4Block.h"
#include "formats/quant/Layout.h"

#include <algorithm>

namespace kimic::pack {
namespace {

/// Bytes of an entry in a leaf at least: one per varint and u8 column, the threshold, the hash.
constexpr std::size_t kMinEntryBytes = 4 + 3 + 4 + 32;

/// Whether a number is at least 1 and at most `limit`.
Result<void> checkField(std::size_t offset, std::uint64_t value, std::uint64_t limit) {
  if (value == 0 || value > limit)
    return makeError(ErrorId::PackHeaderField, offset, value, limit);
  return {};
}

Result<void> checkZero(std::span<const std::uint8_t> bytes, std::size_t offsetInFile) {
  for (std::size_t i = 0; i < bytes.size(); ++i)
    if (bytes[i])
      return makeError(ErrorId::PackReserved, offsetInFile + i, bytes[i]);
  return {};
}

/// The rules of pack-v1 §8 and §9 for one block.
Result<void> checkBlock(const BlockRef &block, std::uint32_t limit = kMaxBlockBytes) {
  if (block.codec > Codec::Lz4)
    return makeError(ErrorId::PackBlockCodec, block.offset, static_cast<unsigned>(block.codec),
                     static_cast<unsigned>(Codec::Lz4));
  bool fits =
      block.codec == Codec::Stored ? block.storedLength == block.rawLength : block.storedLength < block.rawLength;
  if (block.storedLength == 0 || !fits || block.rawLength > maxRawLength(block.storedLength))
    return makeError(ErrorId::PackBlockLength, block.offset, block.storedLength, block.rawLength);
  if (block.rawLength > limit)
    return makeError(ErrorId::PackBlockTooLarge, block.offset, block.rawLength, limit);
  return {};
}

Digest readDigest(ByteReader &in) {
  Digest digest{};
  std::span<const std::uint8_t> bytes = in.take(digest.size());
  std::copy(bytes.begin(), bytes.end(), digest.begin());
  return digest;
}

/// Reads the rows of one section, which place each other: pack-v1 §2.
class RowReader {
public:
  RowReader(ByteReader &in, std::size_t offsetInFile) : in_(in), offsetInFile_(offsetInFile) {}

  void enter(const Section &section) {
    section_ = section;
    next_ = section.offset;
  }

  Result<void> read(BlockRef &block, std::uint32_t limit = kMaxBlockBytes) {
    block.offset = alignUp(next_);
    block.storedLength = in_.u32();
    block.rawLength = in_.u32();
    block.codec = static_cast<Codec>(in_.u8());
    const std::size_t reservedAt = offsetInFile_ + in_.position();
    KIMIC_TRY(checkZero(in_.take(3), reservedAt));
    block.sha256 = readDigest(in_);
    KIMIC_TRY(checkBlock(block, limit));
    // Checked per row, so that the sum cannot leave the file, let alone overflow.
    if (block.end() > section_.end())
      return makeError(ErrorId::PackSectionLength, section_.offset, section_.length, block.end() - section_.offset);
    next_ = block.end();
    return {};
  }

  Result<void> leave() const {
    if (next_ != section_.end())
      return makeError(ErrorId::PackSectionLength, section_.offset, section_.length, next_ - section_.offset);
    return {};
  }

private:
  ByteReader &in_;
  std::size_t offsetInFile_;
  Section section_;
  std::uint64_t next_ = 0;
};

Result<void> parseRouter(const Header &header, std::span<const std::uint8_t> bytes, std::optional<Router> &result) {
  const std::size_t at = kHeaderBytes;
  if (bytes[0] > kRouterAllFlags)
    return makeError(ErrorId::PackRouterField, at, bytes[0], kRouterAllFlags);
  if (!(bytes[0] & kRouterPresent))
    return checkZero(bytes, at);
  ByteReader in(bytes.subspan(1));
  std::uint8_t head = in.u8(), strategy = in.u8(), merge = in.u8();
  Router &router = result.emplace();
  router.head = static_cast<Head>(head);
  router.strategy = static_cast<Strategy>(strategy);
  router.merge = static_cast<Merge>(merge);
  router.expert = in.u32();
  router.routed = in.u32();
  router.topK = in.u16();
  router.minVotes = in.u16();
  router.temperature = in.f32();
  if (float scale = in.f32(); scale != 0)
    router.scale = scale;
  router.threshold = in.f32();
  router.fallback = in.u32() - 1;
  router.isNormalised = !(bytes[0] & kRouterPlainWeights);
  router.hasBias = bytes[0] & kRouterBias;
  router.hasWeights = bytes[0] & kRouterWeights;
  router.hasThresholds = bytes[0] & kRouterThresholds;
  if (router.head > Head::ProductKeys)
    return makeError(ErrorId::PackRouterUnknown, at + 1, head, static_cast<unsigned>(Head::ProductKeys));
  if (router.strategy > Strategy::Threshold)
    return makeError(ErrorId::PackRouterUnknown, at + 2, strategy, static_cast<unsigned>(Strategy::Threshold));
  if (router.merge > Merge::Cascade)
    return makeError(ErrorId::PackRouterUnknown, at + 3, merge, static_cast<unsigned>(Merge::Cascade));
  // The choice among product keys would not be exact with a bias; learned weights need their column.
  if ((router.hasBias && router.head == Head::ProductKeys) || router.hasWeights != (router.merge == Merge::Learned))
    return makeError(ErrorId::PackRouterField, at, bytes[0], kRouterAllFlags);
  if (router.expert != header.experts - 1)
    return makeError(ErrorId::PackRouterField, at + 4, router.expert, header.experts - 1);
  if (router.routed == 0 || router.routed > header.experts - 1)
    return makeError(ErrorId::PackRouterField, at + 8, router.routed, header.experts - 1);
  std::uint32_t maxTopK = router.strategy == Strategy::Top1 ? 1 : router.routed;
  if (router.topK == 0 || router.topK > maxTopK)
    return makeError(ErrorId::PackRouterField, at + 12, router.topK, maxTopK);
  std::uint32_t maxVotes = router.merge == Merge::Vote ? router.topK : 0;
  if (router.minVotes > maxVotes)
    return makeError(ErrorId::PackRouterField, at + 14, router.minVotes, maxVotes);
  constexpr std::uint32_t kInfinity = 0x7F800000, kOne = 0x3F800000;
  for (std::size_t field : {16, 20, 24}) {
    // As integers positive floats keep their order, and negative ones have the top bit set.
    std::uint32_t number = ByteReader(bytes.subspan(field)).u32(), limit = field == 24 ? kOne : kInfinity - 1;
    if (number > limit || (number == 0 && field == 16))
      return makeError(ErrorId::PackRouterField, at + field, number, limit);
  }
  if (router.fallback != kNoFallback && router.fallback >= router.expert)
    return makeError(ErrorId::PackRouterField, at + 28, router.fallback + 1, router.expert);
  return {};
}

} // namespace

Result<Header> parseHeader(std::span<const std::uint8_t> bytes) {
  // Magic and version first: they are what can be said about a file that is something else, or newer.
  for (std::size_t i = 0; i < std::min(bytes.size(), kMagic.size()); ++i)
    if (bytes[i] != kMagic[i])
      return makeError(ErrorId::PackMagic, i, bytes[i], kMagic[i]);
  if (bytes.size() < kHeaderBytes)
    return makeError(ErrorId::PackTruncated, bytes.size(), kHeaderBytes);
  ByteReader in(bytes.subspan(kMagic.size(), kHeaderBytes - kMagic.size()));
  Header header;
  header.major = in.u16();
  header.minor = in.u16();
  if (header.major != kMajor)
    return makeError(ErrorId::PackVersion, header.major, header.minor, kMajor);
  Digest digest = sha256(bytes.first(kHeaderHashAt));
  if (!std::equal(digest.begin(), digest.end(), bytes.begin() + kHeaderHashAt))
    return makeError(ErrorId::PackHeaderHash);

  header.requiredFeatures = in.u32();
  header.optionalFeatures = in.u32();
  const bool extended = header.optionalFeatures != 0;
  if (header.requiredFeatures)
    return makeError(ErrorId::PackFeatures, header.requiredFeatures);
  header.kernelAbi = in.u32();
  std::uint8_t hash = in.u8();
  if (hash != kHashSha256)
    return makeError(ErrorId::PackHashAlgorithm, hash, kHashSha256);
  if (header.kernelAbi != abi::kVersion)
    return makeError(ErrorId::PackKernelAbi, header.kernelAbi, abi::kVersion);
  header.variants = in.u8();
  header.leafLog2 = in.u8();
  header.groupLog2 = in.u8();
  KIMIC_TRY(checkField(kVariantsAt, header.variants, (1u << kVariantCount) - 1));
  if (header.leafLog2 < kMinLeafLog2 || header.leafLog2 > kMaxLeafLog2)
    return makeError(ErrorId::PackHeaderField, kLeafLog2At, header.leafLog2, kMaxLeafLog2);
  if (header.groupLog2 < kMinGroupLog2 || header.groupLog2 > kMaxGroupLog2)
    return makeError(ErrorId::PackHeaderField, kGroupLog2At, header.groupLog2, kMaxGroupLog2);
  header.experts = in.u32();
  header.kernels = in.u32();
  header.dataBlocks = in.u32();
  header.dataRawLength = in.u64();
  KIMIC_TRY(checkField(kExpertsAt, header.experts, kMaxExperts));
  KIMIC_TRY(checkField(kKernelsAt, header.kernels, kMaxKernels));
  KIMIC_TRY(checkField(kDataBlocksAt, header.dataBlocks, header.experts));

  std::uint64_t end = kHeaderBytes;
  unsigned number = 0;
  for (Section *section : {&header.root, &header.leaves, &header.meta, &header.kernelBlocks, &header.data}) {
    *section = {alignUp(end), in.u64()};
    KIMIC_TRY(checkField(kLengthsAt + 8 * number, section->length, ~std::uint64_t{0}));
    if (section->offset > kMaxFileBytes || section->length > kMaxFileBytes - section->offset)
      return makeError(ErrorId::PackFileTooLarge, number, section->length, kMaxFileBytes);
    end = section->end();
    ++number;
  }
  header.extensions = {alignUp(end), in.u64()};
  if (header.extensions.length) {
    if (!extended)
      return makeError(ErrorId::PackExtensions, header.extensions.length);
    if (header.extensions.offset > kMaxFileBytes || header.extensions.length > kMaxFileBytes - header.extensions.offset)
      return makeError(ErrorId::PackFileTooLarge, number, header.extensions.length, kMaxFileBytes);
  }
  KIMIC_TRY(checkField(kDataBlocksAt, header.dataBlocks, (header.data.length - 1) / kAlignment + 1));

  std::uint64_t modules = 0;
  for (unsigned variant = 0; variant < kVariantCount; ++variant)
    modules += header.variants >> variant & 1;
  std::uint64_t rows = header.leafCount() + header.groupCount() * (1 + modules);
  std::uint64_t rootLength = kRootFixedBytes + kBlockRowBytes * rows;
  if (extended ? header.root.length < rootLength : header.root.length != rootLength)
    return makeError(ErrorId::PackRootLength, header.root.length, rootLength);
  if (header.root.end() > kFirstReadBytes)
    return makeError(ErrorId::PackRootTooLarge, header.root.end(), kFirstReadBytes);
  if (!extended)
    KIMIC_TRY(checkZero(bytes.subspan(kReservedAt, kRootHashAt - kReservedAt), kReservedAt));
  std::copy_n(bytes.begin() + kRootHashAt, header.rootSha256.size(), header.rootSha256.begin());
  return header;
}

Digest packDigest(std::span<const std::uint8_t> headerBytes) { return sha256(headerBytes.first(kHeaderBytes)); }

Result<Root> parseRoot(const Header &header, std::span<const std::uint8_t> bytes) {
  if (bytes.size() != header.root.length)
    return makeError(ErrorId::PackBlockSize, header.root.offset, header.root.length, bytes.size());
  if (sha256(bytes) != header.rootSha256)
    return makeError(ErrorId::PackRootHash, bytes.size());
  ByteReader in(bytes);
  constexpr std::size_t kRouterBytes = kRootFixedBytes - kBlockRowBytes;
  Root root;
  KIMIC_TRY(parseRouter(header, in.take(kRouterBytes), root.router));

  RowReader rows(in, kHeaderBytes);
  rows.enter(header.meta);
  KIMIC_TRY(rows.read(root.meta, kMaxMetaBytes));
  KIMIC_TRY(rows.leave());

  rows.enter(header.leaves);
  root.leaves = std::vector<BlockRef>(header.leafCount());
  for (BlockRef &leaf : root.leaves)
    KIMIC_TRY(rows.read(leaf));
  KIMIC_TRY(rows.leave());

  rows.enter(header.kernelBlocks);
  root.groups = std::vector<KernelGroup>(header.groupCount());
  for (KernelGroup &group : root.groups) {
    KIMIC_TRY(rows.read(group.signatures));
    for (unsigned index = kVariantCount; index-- > 0;)
      if (header.hasVariant(variantAt(index)))
        KIMIC_TRY(rows.read(group.modules[index]));
  }
  KIMIC_TRY(rows.leave());
  return root;
}

Result<void> decodeBlock(const BlockRef &block, std::span<const std::uint8_t> stored, std::span<std::uint8_t> output) {
  if (stored.size() != block.storedLength)
    return makeError(ErrorId::PackBlockSize, block.offset, block.storedLength, stored.size());
  if (output.size() != block.rawLength)
    return makeError(ErrorId::PackBlockSize, block.offset, block.rawLength, output.size());
  KIMIC_TRY(checkBlock(block));
  if (sha256(stored) != block.sha256)
    return makeError(ErrorId::PackBlockHash, block.offset);
  if (block.codec == Codec::Lz4)
    return decodeLz4(stored, output);
  std::copy(stored.begin(), stored.end(), output.begin());
  return {};
}

Result<Leaf> parseLeaf(const Header &header, std::uint32_t leaf, std::span<const std::uint8_t> raw) {
  const std::uint32_t first = header.firstExpert(leaf), count = header.expertsIn(leaf);
  if (raw.size() / kMinEntryBytes < count)
    return makeError(ErrorId::PackLeafMalformed, leaf, raw.size());
  Leaf entries(count);
  ByteReader in(raw);

  std::uint64_t kernel = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    kernel += static_cast<std::uint64_t>(in.zigzag());
    if (in.ok() && kernel >= header.kernels)
      return makeError(ErrorId::PackEntryKernel, first + i, kernel, header.kernels);
    entries[i].kernel = static_cast<std::uint32_t>(kernel);
  }
  for (LeafEntry &entry : entries)
    entry.data.offset = static_cast<std::uint64_t>(in.zigzag()); // relative to `next` until its turn comes
  constexpr std::uint64_t kMaxLength = 0xFFFFFFFF; // of what a row can say; checkBlock() applies the real limits
  std::uint64_t stored = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    stored += static_cast<std::uint64_t>(in.zigzag());
    if (stored > kMaxLength)
      return makeError(ErrorId::PackLeafMalformed, leaf, in.position());
    entries[i].data.storedLength = static_cast<std::uint32_t>(stored);
  }
  for (LeafEntry &entry : entries) {
    std::uint64_t saved = in.varint();
    if (saved > kMaxLength - entry.data.storedLength)
      return makeError(ErrorId::PackLeafMalformed, leaf, in.position());
    entry.data.rawLength = entry.data.storedLength + static_cast<std::uint32_t>(saved);
  }
  for (LeafEntry &entry : entries)
    entry.data.codec = static_cast<Codec>(in.u8());
  for (std::uint32_t i = 0; i < count; ++i) {
    std::uint8_t domain = in.u8();
    if (in.ok() && domain >= kDomainCount)
      return makeError(ErrorId::PackEntryDomain, first + i, domain, kDomainCount);
    entries[i].domain = static_cast<Domain>(domain);
  }
  for (std::uint32_t i = 0; i < count; ++i) {
    entries[i].flags = in.u8();
    if (in.ok() && entries[i].flags)
      return makeError(ErrorId::PackEntryFlags, first + i, entries[i].flags);
  }
  for (std::uint32_t i = 0; i < count; ++i) {
    entries[i].confidenceThreshold = in.f32();
    if (!(entries[i].confidenceThreshold >= 0 && entries[i].confidenceThreshold <= 1)) {
      std::uint32_t bits = ByteReader(raw.subspan(in.position() - 4)).u32();
      return makeError(ErrorId::PackEntryThreshold, first + i, bits);
    }
  }
  for (LeafEntry &entry : entries)
    entry.data.sha256 = readDigest(in);
  if (!in.ok())
    return makeError(ErrorId::PackLeafMalformed, leaf, in.position());
  if (in.remaining())
    return makeError(ErrorId::PackLeafTrailing, leaf, in.position(), raw.size());

  std::uint64_t next = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    BlockRef &block = entries[i].data;
    std::uint64_t place = next + block.offset;
    if (place > (header.data.length - 1) / kAlignment || block.storedLength > header.data.length - place * kAlignment)
      return makeError(ErrorId::PackEntryRange, first + i, place, header.data.length);
    block.offset = header.data.offset + place * kAlignment;
    KIMIC_TRY(checkBlock(block));
    next = (alignUp(block.end()) - header.data.offset) / kAlignment;
  }
  return entries;
}

Result<std::vector<quant::Signature>> parseSignatures(const Header &header, std::uint32_t group,
                                                      std::span<const std::uint8_t> raw) {
  ByteReader in(raw);
  const std::uint32_t expected = header.kernelsIn(group), count = in.u32();
  if (in.ok() && count != expected)
    return makeError(ErrorId::PackSignatureCount, group, count, expected);
  // Made in its final size, 256 at most: code that grows it weighs on the size of the runtime.
  std::vector<quant::Signature> signatures(count);
  for (quant::Signature &signature : signatures) {
    std::span<const std::uint8_t> bytes = in.take(in.u32());
    if (!in.ok())
      break;
    KIMIC_ASSIGN(signature, quant::decodeSignature(bytes));
  }
  if (!in.ok() || in.remaining())
    return makeError(ErrorId::PackSignaturesMalformed, group, in.position());
  return signatures;
}

Result<void> checkParameters(std::uint32_t expert, const LeafEntry &entry, const quant::Signature &signature,
                             const quant::Layout &layout, std::uint64_t columnBytes) {
  std::uint64_t bytes = entry.data.rawLength, least = layout.parameterBytes + columnBytes;
  bool mayExceed = signature.weights() == quant::WeightFormat::Int8Residual;
  if (bytes < least || (bytes > least && !mayExceed))
    return makeError(ErrorId::PackParameterBytes, expert, entry.data.rawLength, least);
  return {};
}

Result<void> checkRouter(const Router &router, std::uint32_t outputs) {
  if (router.head == Head::ProductKeys ? productRows(router, outputs) == 0 : outputs != router.routed)
    return makeError(ErrorId::PackRouterOutputs, outputs, router.routed);
  return {};
}

RouterColumns columnsOf(const Router &router, std::span<const std::uint8_t> block) {
  auto *next = reinterpret_cast<const float *>(block.data() + (block.size() - router.columnBytes()));
  auto take = [&](bool isThere) {
    std::span<const float> column(next, isThere ? router.routed : 0);
    next += column.size();
    return column;
  };
  RouterColumns columns;
  columns.bias = take(router.hasBias);
  columns.weights = take(router.hasWeights);
  columns.thresholds = take(router.hasThresholds);
  return columns;
}

Result<void> checkColumns(const RouterColumns &columns) {
  constexpr float kLargest = 3.402823466e38f;
  struct Range {
    std::span<const float> column;
    float low, high;
  };
  unsigned number = 0;
  for (const Range &range : {Range{columns.bias, -kLargest, kLargest}, Range{columns.weights, 1e-30f, kLargest},
                             Range{columns.thresholds, 0, 1}}) {
    for (std::size_t i = 0; i < range.column.size(); ++i)
      if (!(range.column[i] >= range.low && range.column[i] <= range.high))
        return makeError(ErrorId::PackRouterColumn, number, i);
    ++number;
  }
  return {};
}

} // namespace kimic::pack
