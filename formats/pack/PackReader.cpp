#include "formats/pack/PackReader.h"

#include "formats/pack/Lz4Block.h"
#include "formats/pack/SparseBlock.h"
#include "formats/quant/Layout.h"

#include <algorithm>

namespace kimic::pack {
namespace {

/// Bytes of an entry in a leaf at least: one per varint and u8 column, the threshold, the hash.
constexpr std::size_t kMinEntryBytes = 4 + 3 + 4 + 32;

/// The codecs that a kind of block may have, as bits.
constexpr unsigned kPlainCodecs = 1u << static_cast<unsigned>(Codec::Stored) | 1u << static_cast<unsigned>(Codec::Lz4);
constexpr unsigned kDataCodecs = (1u << kCodecCount) - 1;
constexpr unsigned kRouterCodecs = kDataCodecs & ~(1u << static_cast<unsigned>(Codec::Delta));

/// Whether a number is at least `least` and at most `limit`.
Result<void> checkField(std::size_t offset, std::uint64_t value, std::uint64_t limit, std::uint64_t least = 1) {
  if (value < least || value > limit)
    return makeError(ErrorId::PackHeaderField, offset, value, limit);
  return {};
}

Result<void> checkZero(std::span<const std::uint8_t> bytes, std::size_t offsetInFile) {
  for (std::size_t i = 0; i < bytes.size(); ++i)
    if (bytes[i])
      return makeError(ErrorId::PackReserved, offsetInFile + i, bytes[i]);
  return {};
}

/// The rules of pack-v1 §8 and §10 for one block.
Result<void> checkBlock(const BlockRef &block, unsigned codecs, std::uint32_t limit = kMaxBlockBytes) {
  const unsigned codec = static_cast<unsigned>(block.codec);
  if (codec >= kCodecCount || !(codecs >> codec & 1))
    return makeError(ErrorId::PackBlockCodec, block.offset, codec);
  bool fits = block.rawLength <= maxRawLength(block.storedLength) && block.storedLength < block.rawLength;
  if (block.codec == Codec::Stored)
    fits = block.storedLength == block.rawLength;
  if (block.codec == Codec::Zero ? block.storedLength != 0 || block.rawLength == 0 : block.storedLength == 0 || !fits)
    return makeError(ErrorId::PackBlockLength, block.offset, block.storedLength, block.rawLength);
  if (block.rawLength > limit)
    return makeError(ErrorId::PackBlockTooLarge, block.offset, block.rawLength, limit);
  return {};
}

/// The bytes at `in`, if they are there.
void readDigest(ByteReader &in, Digest &digest) {
  std::span<const std::uint8_t> bytes = in.take(digest.size());
  std::copy(bytes.begin(), bytes.end(), digest.begin());
}

constexpr std::uint32_t kBitsOfOne = 0x3F800000; ///< of f32

bool isThreshold(float value) { return value >= 0 && value <= 1; }

/// Reads the rows of one section or branch, which place each other: pack-v1 §2.
class RowReader {
public:
  RowReader(const Header &header, ByteReader &in, std::size_t offsetInFile)
      : in_(in), offsetInFile_(offsetInFile), isExtended_(header.isExtended()) {}

  void enter(std::uint64_t begin, std::uint64_t end) {
    begin_ = next_ = begin;
    end_ = end;
  }
  [[gnu::noinline]] void enter(const Section &section) { enter(section.offset, section.end()); }

  Result<void> read(BlockRef &block, std::uint32_t limit = kMaxBlockBytes, unsigned codecs = kPlainCodecs) {
    block.offset = alignUp(next_);
    block.storedLength = in_.u32();
    block.rawLength = in_.u32();
    block.codec = static_cast<Codec>(in_.u8());
    const std::size_t reservedAt = offsetInFile_ + in_.position();
    const std::span<const std::uint8_t> reserved = in_.take(3);
    if (!isExtended_)
      KIMIC_TRY(checkZero(reserved, reservedAt));
    readDigest(in_, block.sha256);
    KIMIC_TRY(checkBlock(block, codecs, limit));
    return follow(block.end());
  }

  /// A row of a branch.
  Result<void> read(Branch &branch, std::uint32_t leaves) {
    branch.block.offset = alignUp(next_);
    branch.block.storedLength = branch.block.rawLength = static_cast<std::uint32_t>(kBlockRowBytes * leaves);
    const std::uint64_t length = in_.u64();
    readDigest(in_, branch.block.sha256);
    if (length > end_ - std::min(end_, branch.block.offset) || length < branch.block.storedLength)
      return sectionError(length);
    branch.end = branch.block.offset + length;
    return follow(branch.end);
  }

  [[gnu::noinline]] Result<void> leave() const { return next_ == end_ ? Result<void>() : sectionError(next_ - begin_); }

private:
  // Checked per row, so that the sum cannot leave the file, let alone overflow.
  Result<void> follow(std::uint64_t end) {
    if (end > end_)
      return sectionError(end - begin_);
    next_ = end;
    return {};
  }
  Error sectionError(std::uint64_t found) const {
    return makeError(ErrorId::PackSectionLength, begin_, end_ - begin_, found);
  }

  ByteReader &in_;
  std::size_t offsetInFile_;
  bool isExtended_;
  std::uint64_t begin_ = 0, next_ = 0, end_ = 0;
};

Result<void> parseRouter(const Header &header, std::span<const std::uint8_t> bytes, Root &root) {
  const std::size_t at = kRootOffset;
  root.router.reset();
  if (!header.routers)
    return checkZero(bytes, at);
  constexpr std::uint8_t kKnown[] = {static_cast<std::uint8_t>(Head::ProductKeys),
                                     static_cast<std::uint8_t>(Strategy::Threshold),
                                     static_cast<std::uint8_t>(Merge::Cascade)};
  for (std::size_t i = 0; i < std::size(kKnown); ++i)
    if (bytes[i] > kKnown[i])
      return makeError(ErrorId::PackRouterUnknown, at + i, bytes[i], kKnown[i]);

  const std::uint8_t *in = bytes.data();
  Router &router = root.router.emplace();
  ExpertEntry &entry = root.routerEntry;
  router.head = static_cast<Head>(in[0]);
  router.strategy = static_cast<Strategy>(in[1]);
  router.merge = static_cast<Merge>(in[2]);
  entry.domain = static_cast<Domain>(in[3]);
  router.routed = load<std::uint32_t>(in + 4);
  router.topK = load<std::uint32_t>(in + 8);
  router.temperature = load<float>(in + 12);
  entry.kernel = load<std::uint32_t>(in + 16);
  entry.confidenceThreshold = load<float>(in + 20);
  entry.flags = in[24];
  const std::uint8_t given = in[25];
  router.minVotes = load<std::uint32_t>(in + 28);
  const float scale = load<float>(in + 32);
  if (scale == 1)
    return makeError(ErrorId::PackRouterField, at + 32, kBitsOfOne, 0);
  if (scale != 0)
    router.scale = scale;
  router.threshold = load<float>(in + 36);
  router.fallback = load<std::uint32_t>(in + 40) - 1;
  router.isNormalised = !(given & kRouterPlainWeights);
  router.hasBias = given & kRouterBias;
  router.hasWeights = given & kRouterWeights;
  router.hasThresholds = given & kRouterThresholds;
  // The choice among product keys would not be exact with a bias; learned weights need their column.
  const bool isLearned = router.merge == Merge::Learned;
  const std::uint8_t allowed =
      static_cast<std::uint8_t>(kRouterPlainWeights | kRouterThresholds | (isLearned ? kRouterWeights : 0) |
                                (router.head == Head::ProductKeys ? 0 : kRouterBias));
  if ((given & ~allowed) || router.hasWeights != isLearned)
    return makeError(ErrorId::PackRouterField, at + 25, given, allowed);

  // As integers: those of positive f32 are in the order of the numbers, those of negative ones have the top bit set.
  enum Limit : std::uint8_t { Domains, Listed, TopK, Finite, Kernels, One, Zero, Votes, LimitCount };
  const std::uint32_t limits[LimitCount] = {kDomainCount - 1,
                                            header.listed(),
                                            router.strategy == Strategy::Top1 ? 1 : router.routed,
                                            0x7F800000 - 1,
                                            header.kernelsIn(0) - 1,
                                            kBitsOfOne,
                                            0,
                                            router.merge == Merge::Vote ? router.topK : 0};
  constexpr struct {
    std::uint8_t offset, bytes, least;
    Limit limit;
  } kFields[] = {{3, 1, 0, Domains},  {4, 4, 1, Listed}, {8, 4, 1, TopK},   {12, 4, 1, Finite},
                 {16, 4, 0, Kernels}, {20, 4, 0, One},   {24, 1, 0, Zero},  {28, 4, 0, Votes},
                 {32, 4, 0, Finite},  {36, 4, 0, One},   {40, 4, 0, Listed}};
  for (const auto &field : kFields) {
    std::uint32_t value = field.bytes == 1 ? in[field.offset] : load<std::uint32_t>(in + field.offset);
    if (field.limit == One && value == 0x80000000)
      value = 0; // -0
    if (value < field.least || value > limits[field.limit])
      return makeError(ErrorId::PackRouterField, at + field.offset, value, limits[field.limit]);
  }
  if (header.isExtended())
    return {};
  KIMIC_TRY(checkZero(bytes.subspan(26, 2), at + 26));
  return checkZero(bytes.subspan(44), at + 44);
}

} // namespace

Result<void> parseHeader(std::span<const std::uint8_t> bytes, Header &header) {
  // Magic and version first: they are what can be said about a file that is something else, or newer.
  for (std::size_t i = 0; i < std::min(bytes.size(), kMagic.size()); ++i)
    if (bytes[i] != kMagic[i])
      return makeError(ErrorId::PackMagic, i, bytes[i], kMagic[i]);
  if (bytes.size() < kHeaderBytes)
    return makeError(ErrorId::PackTruncated, bytes.size(), kHeaderBytes);
  const std::uint8_t *in = bytes.data();
  header.major = load<std::uint16_t>(in + 8);
  header.minor = load<std::uint16_t>(in + 10);
  if (header.major != kMajor)
    return makeError(ErrorId::PackVersion, header.major, header.minor, kMajor);
  if (Digest digest = sha256(bytes.first(kHeaderHashAt)); !std::equal(digest.begin(), digest.end(), in + kHeaderHashAt))
    return makeError(ErrorId::PackHeaderHash);

  header.requiredFeatures = load<std::uint32_t>(in + 12);
  header.optionalFeatures = load<std::uint32_t>(in + 16);
  if (std::uint32_t unknown = header.requiredFeatures & ~kFeaturePlan)
    return makeError(ErrorId::PackFeatures, unknown);
  if (in[24] != kHashSha256)
    return makeError(ErrorId::PackHashAlgorithm, in[24], kHashSha256);
  header.kernelAbi = load<std::uint32_t>(in + 20);
  if (header.kernelAbi != abi::kVersion)
    return makeError(ErrorId::PackKernelAbi, header.kernelAbi, abi::kVersion);
  header.variants = in[kVariantsAt];
  header.leafLog2 = in[kLeafLog2At];
  header.groupLog2 = in[kGroupLog2At];
  header.branchLog2 = in[kBranchLog2At];
  header.routers = in[kRouterAt];
  header.transitions = in[kTransitionsAt];
  header.experts = load<std::uint32_t>(in + kExpertsAt);
  header.kernels = load<std::uint32_t>(in + kKernelsAt);
  header.dataBlocks = load<std::uint32_t>(in + kDataBlocksAt);
  header.dataRawLength = load<std::uint64_t>(in + kDataRawLengthAt);
  constexpr struct {
    std::uint8_t offset, least, limit;
  } kBytes[] = {{kVariantsAt, 1, (1u << kVariantCount) - 1},
                {kLeafLog2At, kMinLeafLog2, kMaxLeafLog2},
                {kGroupLog2At, kMinGroupLog2, kMaxGroupLog2},
                {kBranchLog2At, 0, kMaxBranchLog2},
                {kRouterAt, 0, 1},
                {kTransitionsAt, 0, kMaxTransitions}};
  for (const auto &[offset, least, limit] : kBytes)
    KIMIC_TRY(checkField(offset, in[offset], limit, least));
  KIMIC_TRY(checkField(kExpertsAt, header.experts, kMaxExperts, 1 + header.routers));
  KIMIC_TRY(checkField(kKernelsAt, header.kernels, kMaxKernels));
  KIMIC_TRY(checkField(kDataBlocksAt, header.dataBlocks, header.listed(), 0));

  constexpr Section Header::*kSections[] = {&Header::root, &Header::first,        &Header::leaves,
                                            &Header::data, &Header::kernelBlocks, &Header::scalar,
                                            &Header::meta, &Header::extensions};
  constexpr unsigned kExtensions = std::size(kSections) - 1;
  const unsigned hasBlocks = 0b1000111 | (header.dataBlocks != 0) << 3 | (header.groupCount() > 1) << 4 |
                             header.hasVariant(abi::Variant::Scalar) << 5;
  std::uint64_t end = kRootOffset;
  for (unsigned number = 0; number <= kExtensions; ++number) {
    Section &section = header.*kSections[number];
    section = {alignUp(end), load<std::uint64_t>(in + kLengthsAt + 8 * number)};
    const bool isExpected = hasBlocks >> number & 1;
    if (number == kExtensions) {
      if (section.length ? !header.isExtended() && !header.hasPlan() : header.hasPlan())
        return makeError(ErrorId::PackExtensions, section.length);
    } else if ((section.length != 0) != isExpected) {
      return makeError(ErrorId::PackHeaderField, kLengthsAt + 8 * number, section.length, isExpected ? ~0ull : 0);
    }
    if (section.offset > kMaxFileBytes || section.length > kMaxFileBytes - section.offset)
      return makeError(ErrorId::PackFileTooLarge, number, section.length, kMaxFileBytes);
    if (section.length)
      end = section.end();
  }
  KIMIC_TRY(checkField(kDataBlocksAt, header.dataBlocks, (header.data.length + kAlignment - 1) / kAlignment, 0));

  const std::uint64_t rootLength = header.rootBytes();
  if (header.isExtended() ? header.root.length < rootLength : header.root.length != rootLength)
    return makeError(ErrorId::PackRootLength, header.root.length, rootLength);
  if (header.root.end() > kFirstReadBytes)
    return makeError(ErrorId::PackRootTooLarge, header.root.end(), kFirstReadBytes);
  constexpr struct {
    std::size_t offset, length;
  } kReserved[] = {{31, 1}, {44, 4}, {120, 8}, {160, 32}};
  for (const auto &reserved : kReserved)
    if (!header.isExtended())
      KIMIC_TRY(checkZero(bytes.subspan(reserved.offset, reserved.length), reserved.offset));
  header.contentId = load<Digest>(in + kContentIdAt);
  header.rootSha256 = load<Digest>(in + kRootHashAt);
  return {};
}

Digest packDigest(std::span<const std::uint8_t> headerBytes) { return sha256(headerBytes.first(kHeaderBytes)); }

Result<void> parseRoot(const Header &header, std::span<const std::uint8_t> bytes, Root &root) {
  if (bytes.size() != header.root.length)
    return makeError(ErrorId::PackBlockSize, header.root.offset, header.root.length, bytes.size());
  if (sha256(bytes) != header.rootSha256)
    return makeError(ErrorId::PackRootHash, bytes.size());
  ByteReader in(bytes);
  KIMIC_TRY(parseRouter(header, in.take(kRouterBytes), root));

  RowReader rows(header, in, kRootOffset);
  root.groups.renew(header.groupCount());
  auto readGroup = [&](KernelGroup &group) -> Result<void> {
    KIMIC_TRY(rows.read(group.signatures));
    for (unsigned index = kVariantCount; index-- > 1;)
      if (header.hasVariant(variantAt(index)))
        KIMIC_TRY(rows.read(group.modules[index]));
    return {};
  };
  rows.enter(header.first);
  KIMIC_TRY(readGroup(root.groups[0]));
  if (root.router)
    KIMIC_TRY(rows.read(root.routerEntry.data, kMaxBlockBytes, kRouterCodecs));
  KIMIC_TRY(rows.leave());

  rows.enter(header.leaves);
  root.branches.renew(header.branchCount());
  if (header.branchLog2) {
    for (std::uint32_t i = 0; i < header.branchCount(); ++i)
      KIMIC_TRY(rows.read(root.branches[i], header.leavesIn(i)));
  } else {
    root.leaves.renew(header.leafCount());
    for (BlockRef &leaf : root.leaves)
      KIMIC_TRY(rows.read(leaf));
  }
  KIMIC_TRY(rows.leave());

  if (header.kernelBlocks.length) {
    rows.enter(header.kernelBlocks);
    for (std::uint32_t i = 1; i < header.groupCount(); ++i)
      KIMIC_TRY(readGroup(root.groups[i]));
    KIMIC_TRY(rows.leave());
  }
  if (header.scalar.length) {
    rows.enter(header.scalar);
    for (KernelGroup &group : root.groups)
      KIMIC_TRY(rows.read(group.modules[0]));
    KIMIC_TRY(rows.leave());
  }
  rows.enter(header.meta);
  KIMIC_TRY(rows.read(root.meta, kMaxMetaBytes));
  if (header.hasPlan()) {
    KIMIC_TRY(rows.leave());
    rows.enter(header.extensions);
    KIMIC_TRY(rows.read(root.plan, kMaxPlanBytes));
    if (header.optionalFeatures)
      return {};
  }
  return rows.leave();
}

Section hotRange(const Header &header, const Root &root) {
  const std::uint32_t lastExpert = root.router ? root.router->routed - 1 : 0;
  const BlockRef &last = header.branchLog2 ? root.branches[0].block : root.leaves[header.leafOf(lastExpert)];
  return {header.first.offset, last.end() - header.first.offset};
}

Result<void> parseBranch(const Header &header, const Root &root, std::uint32_t branch,
                         std::span<const std::uint8_t> raw, Array<BlockRef> &leaves) {
  const Branch &place = root.branches[branch];
  if (raw.size() != place.block.rawLength)
    return makeError(ErrorId::PackBlockSize, place.block.offset, place.block.rawLength, raw.size());
  ByteReader in(raw);
  RowReader rows(header, in, static_cast<std::size_t>(place.block.offset));
  rows.enter(place.block.end(), place.end);
  leaves.renew(header.leavesIn(branch));
  for (BlockRef &leaf : leaves)
    KIMIC_TRY(rows.read(leaf));
  return rows.leave();
}

Result<std::vector<BlockRef>> leafRows(const Header &header, const Root &root, std::span<const std::uint8_t> file) {
  if (!header.branchLog2)
    return std::vector<BlockRef>(root.leaves.begin(), root.leaves.end());
  std::vector<BlockRef> rows;
  for (std::uint32_t i = 0; i < root.branches.size(); ++i) {
    const BlockRef &block = root.branches[i].block;
    std::vector<std::uint8_t> raw(block.rawLength);
    KIMIC_TRY(decodeBlock(block, file.subspan(block.offset, block.storedLength), raw));
    KIMIC_ASSIGN(Array<BlockRef> leaves, parseBranch(header, root, i, raw));
    rows.insert(rows.end(), leaves.begin(), leaves.end());
  }
  return rows;
}

Result<void> decodeBlock(const BlockRef &block, std::span<const std::uint8_t> stored,
                         std::span<const std::uint8_t> base, std::span<std::uint8_t> output) {
  if (stored.size() != block.storedLength)
    return makeError(ErrorId::PackBlockSize, block.offset, block.storedLength, stored.size());
  if (output.size() != block.rawLength)
    return makeError(ErrorId::PackBlockSize, block.offset, block.rawLength, output.size());
  KIMIC_TRY(checkBlock(block, kDataCodecs));
  if (block.codec == Codec::Delta && base.size() != block.rawLength)
    return makeError(ErrorId::PackBlockSize, block.offset, block.rawLength, base.size());
  if (sha256(stored) != block.sha256)
    return makeError(ErrorId::PackBlockHash, block.offset);
  switch (block.codec) {
  case Codec::Stored:
    std::copy(stored.begin(), stored.end(), output.begin());
    return {};
  case Codec::Lz4:
    return decodeLz4(stored, output);
  case Codec::Sparse:
    return decodeSparse(stored, output);
  case Codec::Delta:
    return decodeDelta(stored, base, output);
  case Codec::Zero:
    std::fill(output.begin(), output.end(), std::uint8_t{0});
    return {};
  }
  return {};
}

/// The last columns of a leaf, pack-v1 §5.
static Result<void> readTransitions(const Header &header, std::uint32_t first, ByteReader &in, Leaf &leaf) {
  std::uint32_t total = 0, expert = first;
  for (LeafEntry &entry : leaf.entries) {
    entry.firstNext = total;
    entry.nextCount = in.u8();
    if (entry.nextCount > header.transitions)
      return makeError(ErrorId::PackEntryNext, expert, entry.nextCount, entry.nextCount);
    total += entry.nextCount;
    ++expert;
  }
  if (!in.ok() || in.remaining() / 2 < total)
    return makeError(ErrorId::PackLeafMalformed, header.leafOf(first), in.position());
  leaf.next.renew(total);
  // A column of experts, then one of chances.
  for (const bool isChance : {false, true}) {
    expert = first;
    for (const LeafEntry &entry : leaf.entries) {
      unsigned sum = 0, last = 255;
      for (std::uint32_t i = 0; i < entry.nextCount; ++i) {
        Transition *const nexts = leaf.next.data() + entry.firstNext, &next = nexts[i];
        std::uint64_t number;
        bool isWrong;
        if (isChance) {
          number = next.expert;
          next.chance = in.u8();
          sum += next.chance;
          isWrong = next.chance == 0 || next.chance > last || sum > 256;
          last = next.chance;
        } else {
          number = expert + static_cast<std::uint64_t>(in.zigzag());
          next.expert = static_cast<std::uint32_t>(number);
          isWrong = number == expert || number >= header.listed();
          for (std::uint32_t j = 0; j < i; ++j)
            isWrong |= nexts[j].expert == number;
        }
        if (in.ok() && isWrong)
          return makeError(ErrorId::PackEntryNext, expert, number, i);
      }
      ++expert;
    }
  }
  return {};
}

Result<void> parseLeaf(const Header &header, std::uint32_t leaf, std::span<const std::uint8_t> raw, Leaf &result) {
  const std::uint32_t first = header.firstExpert(leaf), count = header.expertsIn(leaf);
  if (raw.size() / kMinEntryBytes < count)
    return makeError(ErrorId::PackLeafMalformed, leaf, raw.size());
  result.entries.renew(count);
  ByteReader in(raw);

  // Column by column, in the order of the leaf.
  enum Column : unsigned { Kernel, Place, Stored, Saved, CodecNumber, Base, DomainNumber, Flags, Threshold, Hash, End };
  constexpr std::uint64_t kMaxLength = 0xFFFFFFFF; // of what a row can say; checkBlock() applies the real limits
  for (unsigned column = 0; column != End; ++column) {
    std::uint64_t sum = 0;
    for (std::uint32_t i = 0; i < count; ++i) {
      LeafEntry &entry = result.entries[i];
      const std::uint32_t expert = first + i;
      const bool isDelta = entry.data.codec == Codec::Delta;
      std::uint64_t value = column <= Stored || (column == Base && isDelta) ? static_cast<std::uint64_t>(in.zigzag())
                            : column == Saved                               ? in.varint()
                            : column == Threshold                           ? in.u32()
                            : column < Threshold && column != Base          ? in.u8()
                                                                            : 0;
      sum += value;
      const bool isRead = in.ok();
      switch (column) {
      case Kernel:
        if (isRead && sum >= header.kernels)
          return makeError(ErrorId::PackEntryKernel, expert, sum, header.kernels);
        entry.kernel = static_cast<std::uint32_t>(sum);
        break;
      case Place:
        entry.data.offset = value; // relative to `next` until its turn comes
        break;
      case Stored:
        if (sum > kMaxLength)
          return makeError(ErrorId::PackLeafMalformed, leaf, in.position());
        entry.data.storedLength = static_cast<std::uint32_t>(sum);
        break;
      case Saved:
        if (value > kMaxLength - entry.data.storedLength)
          return makeError(ErrorId::PackLeafMalformed, leaf, in.position());
        entry.data.rawLength = entry.data.storedLength + static_cast<std::uint32_t>(value);
        break;
      case CodecNumber:
        entry.data.codec = static_cast<Codec>(value);
        break;
      case Base:
        entry.base = kNoExpert;
        if (!isDelta)
          break;
        value += expert;
        if (isRead && (value == expert || value >= header.listed()))
          return makeError(ErrorId::PackEntryBase, expert, value);
        entry.base = static_cast<std::uint32_t>(value);
        break;
      case DomainNumber:
        if (isRead && value >= kDomainCount)
          return makeError(ErrorId::PackEntryDomain, expert, value, kDomainCount);
        entry.domain = static_cast<Domain>(value);
        break;
      case Flags:
        if (isRead && value)
          return makeError(ErrorId::PackEntryFlags, expert, value);
        break;
      case Threshold: {
        const std::uint32_t bits = static_cast<std::uint32_t>(value);
        std::memcpy(&entry.confidenceThreshold, &bits, sizeof bits);
        if (!isThreshold(entry.confidenceThreshold))
          return makeError(ErrorId::PackEntryThreshold, expert, bits);
        break;
      }
      case Hash:
        readDigest(in, entry.data.sha256);
        break;
      }
    }
  }
  if (header.transitions)
    KIMIC_TRY(readTransitions(header, first, in, result));
  if (!in.ok())
    return makeError(ErrorId::PackLeafMalformed, leaf, in.position());
  if (in.remaining())
    return makeError(ErrorId::PackLeafTrailing, leaf, in.position(), raw.size());

  std::uint64_t next = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    BlockRef &block = result.entries[i].data;
    const bool isZero = block.codec == Codec::Zero;
    std::uint64_t place = next + block.offset;
    if (isZero
            ? block.offset != 0
            : place > header.data.length / kAlignment || block.storedLength > header.data.length - place * kAlignment)
      return makeError(ErrorId::PackEntryRange, first + i, place, header.data.length);
    block.offset = header.data.offset + place * kAlignment;
    KIMIC_TRY(checkBlock(block, kDataCodecs));
    if (!isZero)
      next = (alignUp(block.end()) - header.data.offset) / kAlignment;
  }
  return {};
}

Result<void> checkBase(std::uint32_t expert, std::uint32_t base, std::uint32_t rawLength, Codec baseCodec,
                       std::uint32_t baseRawLength) {
  if (baseCodec == Codec::Delta || baseRawLength != rawLength)
    return makeError(ErrorId::PackEntryBase, expert, base);
  return {};
}

const Plan::Entry *Plan::find(std::uint32_t expert) const {
  const Entry *first = entries.data();
  std::size_t count = entries.size();
  while (count) {
    const Entry *middle = first + count / 2;
    if (middle->expert == expert)
      return middle;
    if (middle->expert < expert)
      first += count - count / 2;
    count /= 2;
  }
  return nullptr;
}

Result<void> parsePlan(std::span<const std::uint8_t> raw, Plan &plan) {
  // The first four numbers are in the places of an entry's: features, how many entries there are, 0, 0.
  const Plan::Entry *head = reinterpret_cast<const Plan::Entry *>(raw.data());
  const std::size_t size = raw.size();
  if (size < sizeof(Plan::Entry) || head->level >= size / sizeof(Plan::Entry))
    return makeError(ErrorId::PackPlanLength, size);
  const std::span<const Plan::Entry> entries(head + 1, head->level);
  std::uint64_t needs = head->needsEnd, sources = head->sourcesEnd;
  bool isSound = true;
  for (const Plan::Entry &entry : entries) {
    isSound &= entry.needsEnd >= needs && entry.sourcesEnd >= sources;
    needs = entry.needsEnd;
    sources = entry.sourcesEnd;
  }
  if (!isSound || size != sizeof(Plan::Entry) * (std::uint64_t{1} + head->level) + 4 * needs + sizeof(Source) * sources)
    return makeError(ErrorId::PackPlanLength, size);
  plan.features = head->expert;
  plan.entries = entries;
  plan.needs = reinterpret_cast<const std::uint32_t *>(head + 1 + head->level);
  plan.sources = reinterpret_cast<const Source *>(plan.needs + needs);
  return {};
}

Result<void> checkParameters(std::uint32_t expert, const ExpertEntry &entry, const quant::Signature &signature,
                             const quant::Layout &layout, std::uint64_t columnBytes) {
  std::uint64_t bytes = entry.data.rawLength, least = layout.parameterBytes + columnBytes;
  bool mayExceed = signature.weights() == quant::WeightFormat::Int8Residual;
  if (bytes < least || (bytes > least && (!mayExceed || (bytes - least) % 16)))
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
