#include "formats/pack/PackWriter.h"

#include "formats/base/Bytes.h"
#include "formats/pack/ContentId.h"
#include "formats/pack/DataEncoder.h"
#include "formats/pack/Lz4Block.h"
#include "formats/pack/PackReader.h"
#include "formats/pack/PackVerify.h"
#include "formats/quant/Layout.h"

#include <algorithm>
#include <set>

namespace kimic::pack {
namespace {

using Bytes = std::vector<std::uint8_t>;

std::span<const std::uint8_t> bytesOf(const std::string &text) {
  return {reinterpret_cast<const std::uint8_t *>(text.data()), text.size()};
}

void writeRow(ByteWriter &out, const BlockRef &row) {
  out.u32(row.storedLength);
  out.u32(row.rawLength);
  out.u8(static_cast<std::uint8_t>(row.codec));
  out.zeros(3);
  out.append(row.sha256);
}

/// A section as it grows: its bytes so far, and the rows of its blocks.
struct SectionBuilder {
  Bytes bytes;
  std::vector<BlockRef> rows;

  void append(BlockRef row, std::span<const std::uint8_t> stored) {
    row.offset = alignUp(bytes.size());
    bytes.resize(row.offset);
    bytes.insert(bytes.end(), stored.begin(), stored.end());
    rows.push_back(row);
  }

  /// Appends a block, compressed if that makes it smaller.
  Result<void> add(std::span<const std::uint8_t> raw, std::uint32_t limit = kMaxBlockBytes) {
    if (raw.empty())
      return makeError(ErrorId::PackBlockLength, alignUp(bytes.size()), 0, 0);
    if (raw.size() > limit)
      return makeError(ErrorId::PackBlockTooLarge, alignUp(bytes.size()), raw.size(), limit);
    const Bytes compressed = encodeLz4(raw);
    const std::span<const std::uint8_t> stored = compressed.empty() ? raw : compressed;
    BlockRef row;
    row.codec = compressed.empty() ? Codec::Stored : Codec::Lz4;
    row.storedLength = static_cast<std::uint32_t>(stored.size());
    row.rawLength = static_cast<std::uint32_t>(raw.size());
    row.sha256 = sha256(stored);
    append(row, stored);
    return {};
  }

  void writeRows(ByteWriter &out) const {
    for (const BlockRef &row : rows)
      writeRow(out, row);
  }
};

/// The root's end for header.leafLog2 and branchLog2.
std::uint64_t rootEnd(const Header &header) { return kRootOffset + header.rootBytes(); }

/// Leaves and branches as pack-v1 §4 recommends. False if nothing fits.
bool chooseDirectory(Header &header) {
  constexpr std::uint64_t kSmallRoot = 6144;
  auto fits = [&](std::uint8_t leafLog2, std::uint8_t branchLog2, std::uint64_t limit) {
    header.leafLog2 = leafLog2;
    header.branchLog2 = branchLog2;
    return rootEnd(header) <= limit;
  };
  for (std::uint8_t log2 = kMinLeafLog2; log2 <= kMaxLeafLog2; ++log2)
    if (fits(log2, 0, kSmallRoot))
      return true;
  if (fits(kMaxLeafLog2, 0, kFirstReadBytes))
    return true;
  return fits(kMaxLeafLog2, kMaxBranchLog2, kFirstReadBytes);
}

Bytes routerRecord(const PackDirectory &directory) {
  ByteWriter out;
  if (const std::optional<Router> &router = directory.router) {
    out.u8(static_cast<std::uint8_t>(router->head));
    out.u8(static_cast<std::uint8_t>(router->strategy));
    out.u8(static_cast<std::uint8_t>(router->merge));
    out.u8(static_cast<std::uint8_t>(directory.routerExpert.domain));
    out.u32(router->routed);
    out.u32(router->topK);
    out.f32(router->temperature);
    out.u32(directory.routerExpert.kernel);
    out.f32(directory.routerExpert.confidenceThreshold);
    out.u8(directory.routerExpert.flags);
    out.u8(static_cast<std::uint8_t>((router->isNormalised ? 0 : kRouterPlainWeights) |
                                     (router->hasBias ? kRouterBias : 0) | (router->hasWeights ? kRouterWeights : 0) |
                                     (router->hasThresholds ? kRouterThresholds : 0)));
    out.zeros(2);
    out.u32(router->minVotes);
    out.f32(router->scale == 1 ? 0 : router->scale);
    out.f32(router->threshold);
    out.u32(router->fallback + 1);
  }
  out.zeros(kRouterBytes - out.size());
  return std::move(out).take();
}

Bytes signatureBytes(std::span<const Bytes> signatures) {
  ByteWriter out;
  out.u32(static_cast<std::uint32_t>(signatures.size()));
  for (const Bytes &signature : signatures) {
    out.u32(static_cast<std::uint32_t>(signature.size()));
    out.append(signature);
  }
  return std::move(out).take();
}

/// One pack on its way into a sink.
class PackStream {
public:
  PackStream(const PackDirectory &directory, const BlockSource &source, const ByteSink &sink)
      : directory_(directory), source_(source), sink_(sink) {}

  Result<Header> run() {
    KIMIC_TRY(count());
    placeData();
    KIMIC_TRY(buildKernels());
    KIMIC_TRY(buildLeaves());
    KIMIC_TRY(meta_.add(bytesOf(directory_.meta), kMaxMetaBytes));
    if (header_.hasPlan()) {
      KIMIC_ASSIGN(plan_, planBytes());
      KIMIC_TRY(extensions_.add(plan_, kMaxPlanBytes));
    }
    const Bytes root = rootBytes();
    const Bytes head = headerBytes(root);
    KIMIC_ASSIGN(Header header, parseHeader(head));
    KIMIC_TRY(checkWritten(header, root));

    KIMIC_TRY(emit(head));
    KIMIC_TRY(padTo(kRootOffset));
    KIMIC_TRY(emit(root));
    KIMIC_TRY(emitSection(first_.bytes));
    KIMIC_TRY(emitSection(leaves_.bytes));
    KIMIC_TRY(emitData(header));
    for (const SectionBuilder *section : {&kernels_, &scalar_, &meta_, &extensions_})
      KIMIC_TRY(emitSection(section->bytes));
    return header;
  }

private:
  /// The counts have to be sound before anything is computed from them; the reader's own checks follow at the end.
  Result<void> count() {
    const std::size_t experts = directory_.experts.size() + (directory_.router ? 1 : 0);
    if (directory_.experts.empty() || experts > kMaxExperts)
      return makeError(ErrorId::PackHeaderField, kExpertsAt, experts, kMaxExperts);
    if (directory_.signatures.empty() || directory_.signatures.size() > kMaxKernels)
      return makeError(ErrorId::PackHeaderField, kKernelsAt, directory_.signatures.size(), kMaxKernels);
    if (directory_.groupLog2 < kMinGroupLog2 || directory_.groupLog2 > kMaxGroupLog2)
      return makeError(ErrorId::PackHeaderField, kGroupLog2At, directory_.groupLog2, kMaxGroupLog2);
    header_.experts = static_cast<std::uint32_t>(experts);
    header_.routers = directory_.router ? 1 : 0;
    header_.kernels = static_cast<std::uint32_t>(directory_.signatures.size());
    header_.groupLog2 = directory_.groupLog2;
    for (const PackDirectory::Expert &expert : directory_.experts) {
      header_.transitions =
          static_cast<std::uint8_t>(std::max<std::uint32_t>(header_.transitions, std::min(expert.nextCount, 255u)));
      if (expert.sourceCount)
        header_.requiredFeatures |= kFeaturePlan;
    }
    const std::uint32_t groups = header_.groupCount();
    for (unsigned index = 0; index < kVariantCount; ++index) {
      const std::size_t modules = directory_.modules[index].size();
      if (modules != 0 && modules != groups)
        return makeError(ErrorId::PackContentsModules, static_cast<unsigned>(variantAt(index)), modules, groups);
      header_.variants |= static_cast<std::uint8_t>((modules != 0) << index);
    }
    if (!chooseDirectory(header_))
      return makeError(ErrorId::PackTooManyRows, header_.rootBytes() / kBlockRowBytes,
                       (kFirstReadBytes - kRootOffset) / kBlockRowBytes);
    return {};
  }

  /// Where each block lies in the data section.
  void placeData() {
    places_.reserve(directory_.blocks.size());
    for (const DataBlock &block : directory_.blocks) {
      places_.push_back(alignUp(dataLength_));
      if (block.codec == Codec::Zero)
        continue;
      ++header_.dataBlocks;
      header_.dataRawLength += block.rawLength;
      dataLength_ = places_.back() + block.storedLength;
    }
  }

  Result<void> buildKernels() {
    for (std::uint32_t group = 0; group < header_.groupCount(); ++group) {
      SectionBuilder &section = group ? kernels_ : first_;
      const Bytes signatures = signatureBytes(
          std::span(directory_.signatures).subspan(header_.firstKernel(group), header_.kernelsIn(group)));
      groupHashes_.push_back(sha256(signatures));
      KIMIC_TRY(section.add(signatures));
      for (unsigned index = kVariantCount; index-- > 1;)
        if (header_.hasVariant(variantAt(index)))
          KIMIC_TRY(section.add(directory_.modules[index][group]));
      if (header_.hasVariant(abi::Variant::Scalar))
        KIMIC_TRY(scalar_.add(directory_.modules[0][group]));
      for (const std::vector<Bytes> &modules : directory_.modules)
        if (!modules.empty())
          groupHashes_.push_back(sha256(modules[group]));
    }
    if (directory_.router) {
      const DataBlock &block = directory_.routerData.block;
      first_.append({0, block.storedLength, block.rawLength, block.codec, block.sha256}, directory_.routerData.stored);
    }
    return {};
  }

  /// Of the leaves section, by branches, or one that holds all leaves.
  Result<void> buildLeaves() {
    if (!header_.branchLog2) {
      for (std::uint32_t leaf = 0; leaf < header_.leafCount(); ++leaf)
        KIMIC_TRY(leaves_.add(leafBytes(leaf)));
      return {};
    }
    for (std::uint32_t branch = 0; branch < header_.branchCount(); ++branch) {
      SectionBuilder leaves;
      leaves.bytes.resize(kBlockRowBytes * header_.leavesIn(branch)); // the rows, written below
      for (std::uint32_t i = 0; i < header_.leavesIn(branch); ++i)
        KIMIC_TRY(leaves.add(leafBytes(header_.firstLeaf(branch) + i)));
      ByteWriter rows;
      leaves.writeRows(rows);
      const Bytes block = std::move(rows).take();
      std::copy(block.begin(), block.end(), leaves.bytes.begin());
      leaves_.append({}, leaves.bytes);
      branchRows_.u64(leaves.bytes.size());
      branchRows_.append(sha256(block));
    }
    return {};
  }

  /// The columns of pack-v1 §5.
  Bytes leafBytes(std::uint32_t leaf) const {
    const std::uint32_t first = header_.firstExpert(leaf);
    const auto experts = std::span(directory_.experts).subspan(first, header_.expertsIn(leaf));
    auto blockOf = [&](const PackDirectory::Expert &expert) -> const DataBlock & {
      return directory_.blocks[expert.block];
    };
    ByteWriter out;
    std::int64_t kernel = 0;
    for (const auto &expert : experts) {
      out.zigzag(std::int64_t{expert.kernel} - kernel);
      kernel = expert.kernel;
    }
    std::int64_t next = 0;
    for (const auto &expert : experts) {
      if (blockOf(expert).codec == Codec::Zero) {
        out.zigzag(0);
        continue;
      }
      const std::uint64_t place = places_[expert.block];
      out.zigzag(static_cast<std::int64_t>(place / kAlignment) - next);
      next = static_cast<std::int64_t>(alignUp(place + blockOf(expert).storedLength) / kAlignment);
    }
    std::int64_t stored = 0;
    for (const auto &expert : experts) {
      out.zigzag(std::int64_t{blockOf(expert).storedLength} - stored);
      stored = blockOf(expert).storedLength;
    }
    for (const auto &expert : experts)
      out.varint(blockOf(expert).rawLength - blockOf(expert).storedLength);
    for (const auto &expert : experts)
      out.u8(static_cast<std::uint8_t>(blockOf(expert).codec));
    for (std::size_t i = 0; i < experts.size(); ++i)
      if (const DataBlock &block = blockOf(experts[i]); block.codec == Codec::Delta)
        out.zigzag(std::int64_t{block.base} - static_cast<std::int64_t>(first + i));
    for (const auto &expert : experts)
      out.u8(static_cast<std::uint8_t>(expert.domain));
    for (const auto &expert : experts)
      out.u8(expert.flags);
    for (const auto &expert : experts)
      out.f32(expert.confidenceThreshold);
    for (const auto &expert : experts)
      out.append(blockOf(expert).sha256);
    if (header_.transitions) {
      for (const auto &expert : experts)
        out.u8(static_cast<std::uint8_t>(expert.nextCount));
      for (std::size_t i = 0; i < experts.size(); ++i)
        for (const Transition &transition : nextOf(experts[i]))
          out.zigzag(std::int64_t{transition.expert} - static_cast<std::int64_t>(first + i));
      for (const auto &expert : experts)
        for (const Transition &transition : nextOf(expert))
          out.u8(transition.chance);
    }
    return std::move(out).take();
  }

  /// Of an expert of the plan that is `depth` readers away from where the question began. A cycle has no end.
  Result<std::uint32_t> levelOf(std::uint32_t expert, std::vector<std::uint8_t> &levels, std::uint32_t depth) const {
    if (expert >= directory_.experts.size() || directory_.experts[expert].sourceCount == 0)
      return 0u; // the reader's checks say whether there is such an expert
    if (!levels[expert]) {
      std::uint32_t below = 0;
      if (depth == kMaxPlanLevel)
        return makeError(ErrorId::PackPlanLevel, expert, kMaxPlanLevel, kMaxPlanLevel + 1);
      for (const Source &source : readsOf(directory_.experts[expert])) {
        KIMIC_ASSIGN(std::uint32_t level, levelOf(source.expert, levels, depth + 1));
        below = std::max(below, level);
      }
      levels[expert] = static_cast<std::uint8_t>(below + 1);
    }
    return std::uint32_t{levels[expert]};
  }

  /// The numbers of pack-v1 §15.
  Result<Bytes> planBytes() const {
    const std::vector<PackDirectory::Expert> &experts = directory_.experts;
    std::vector<std::uint8_t> levels(experts.size()); // 0: not known yet
    ByteWriter entries, needs, sources;
    std::uint32_t entryCount = 0, needCount = 0, sourceCount = 0;
    for (std::uint32_t expert = 0; expert < experts.size(); ++expert) {
      if (experts[expert].sourceCount == 0)
        continue;
      KIMIC_ASSIGN(std::uint32_t level, levelOf(expert, levels, 0));
      std::set<std::pair<std::uint32_t, std::uint32_t>> needed; // level and number
      std::vector<std::uint32_t> open{expert};
      while (!open.empty() && needed.size() <= kMaxNeeds) {
        const std::span<const Source> reads = readsOf(experts[open.back()]);
        open.pop_back();
        for (const Source &source : reads)
          if (source.expert < experts.size() && needed.emplace(levels[source.expert], source.expert).second)
            open.push_back(source.expert);
      }
      ++entryCount;
      needCount += static_cast<std::uint32_t>(needed.size());
      sourceCount += experts[expert].sourceCount;
      for (std::uint32_t number : {expert, level, needCount, sourceCount})
        entries.u32(number);
      for (const auto &[below, need] : needed)
        needs.u32(need);
      for (const Source &source : readsOf(experts[expert]))
        for (std::uint32_t number : {source.expert, source.first, source.count})
          sources.u32(number);
    }
    ByteWriter out;
    for (std::uint32_t number : {directory_.features, entryCount, 0u, 0u})
      out.u32(number);
    for (ByteWriter *part : {&entries, &needs, &sources})
      out.append(std::move(*part).take());
    return std::move(out).take();
  }

  std::span<const Source> readsOf(const PackDirectory::Expert &expert) const {
    return std::span(directory_.sources).subspan(expert.firstSource, expert.sourceCount);
  }

  std::span<const Transition> nextOf(const PackDirectory::Expert &expert) const {
    return std::span(directory_.next).subspan(expert.firstNext, expert.nextCount);
  }

  Bytes rootBytes() {
    ByteWriter out;
    out.append(routerRecord(directory_));
    first_.writeRows(out);
    if (header_.branchLog2)
      out.append(std::move(branchRows_).take());
    else
      leaves_.writeRows(out);
    for (const SectionBuilder *section : {&kernels_, &scalar_, &meta_, &extensions_})
      section->writeRows(out);
    return std::move(out).take();
  }

  Digest contentId() const {
    ContentId id(header_, routerRecord(directory_));
    id.add(sha256(bytesOf(directory_.meta)));
    for (const Digest &hash : groupHashes_)
      id.add(hash);
    for (const PackDirectory::Expert &expert : directory_.experts)
      id.add(entryOf(expert), directory_.blocks[expert.block].rawSha256, nextOf(expert));
    if (directory_.router)
      id.add(directory_.routerData.block.rawSha256);
    if (header_.hasPlan())
      id.add(sha256(plan_));
    return id.finish();
  }

  static ExpertEntry entryOf(const PackDirectory::Expert &expert) {
    ExpertEntry entry;
    entry.kernel = expert.kernel;
    entry.domain = expert.domain;
    entry.flags = expert.flags;
    entry.confidenceThreshold = expert.confidenceThreshold;
    return entry;
  }

  Bytes headerBytes(const Bytes &root) const {
    ByteWriter out;
    out.append(kMagic);
    out.u16(header_.major);
    out.u16(header_.minor);
    out.u32(header_.requiredFeatures);
    out.u32(header_.optionalFeatures);
    out.u32(header_.kernelAbi);
    out.u8(kHashSha256);
    out.u8(header_.variants);
    out.u8(header_.leafLog2);
    out.u8(header_.groupLog2);
    out.u8(header_.branchLog2);
    out.u8(header_.routers);
    out.u8(header_.transitions);
    out.u8(0);
    out.u32(header_.experts);
    out.u32(header_.kernels);
    out.u32(header_.dataBlocks);
    out.u32(0);
    out.u64(header_.dataRawLength);
    out.u64(root.size());
    out.u64(first_.bytes.size());
    out.u64(leaves_.bytes.size());
    out.u64(dataLength_);
    for (const SectionBuilder *section : {&kernels_, &scalar_, &meta_, &extensions_})
      out.u64(section->bytes.size());
    out.zeros(kContentIdAt - out.size());
    out.append(contentId());
    out.zeros(kRootHashAt - out.size());
    out.append(sha256(root));
    Bytes header = std::move(out).take();
    const Digest hash = sha256(header);
    header.insert(header.end(), hash.begin(), hash.end());
    return header;
  }

  /// Whether header, root and leaves are what a reader accepts, and every expert has the parameters of its kernel.
  Result<void> checkWritten(const Header &header, const Bytes &root) const {
    std::vector<quant::Signature> signatures;
    std::vector<quant::Layout> layouts;
    for (const Bytes &bytes : directory_.signatures) {
      KIMIC_ASSIGN(quant::Signature signature, quant::decodeSignature(bytes));
      KIMIC_ASSIGN(quant::Layout layout, quant::layoutOf(signature));
      signatures.push_back(std::move(signature));
      layouts.push_back(std::move(layout));
    }
    KIMIC_ASSIGN(Root parsed, parseRoot(header, root));
    for (std::uint32_t i = 0; i < header.leafCount(); ++i) {
      KIMIC_ASSIGN(Leaf leaf, parseLeaf(header, i, leafBytes(i)));
      for (std::uint32_t j = 0; j < leaf.entries.size(); ++j) {
        const LeafEntry &entry = leaf.entries[j];
        const std::uint32_t expert = header.firstExpert(i) + j;
        KIMIC_TRY(checkParameters(expert, entry, signatures[entry.kernel], layouts[entry.kernel]));
        if (entry.data.codec == Codec::Delta) {
          const DataBlock &base = directory_.blocks[directory_.experts[entry.base].block];
          KIMIC_TRY(checkBase(expert, entry.base, entry.data.rawLength, base.codec, base.rawLength));
        }
      }
    }
    if (parsed.router) {
      const ExpertEntry &entry = parsed.routerEntry;
      KIMIC_TRY(checkParameters(header.experts - 1, entry, signatures[entry.kernel], layouts[entry.kernel],
                                parsed.router->columnBytes()));
      KIMIC_TRY(checkRouter(*parsed.router, signatures[entry.kernel].outputs()));
    }
    if (!header.hasPlan())
      return {};
    KIMIC_ASSIGN(Plan plan, parsePlan(plan_));
    return checkPlan(header, plan, [&](std::uint32_t expert) -> const quant::Signature & {
      return signatures[(expert < header.listed() ? directory_.experts[expert] : directory_.routerExpert).kernel];
    });
  }

  Result<void> emit(std::span<const std::uint8_t> bytes) {
    written_ += bytes.size();
    return sink_(bytes);
  }
  Result<void> padTo(std::uint64_t offset) {
    const Bytes zeros(static_cast<std::size_t>(offset - written_));
    return emit(zeros);
  }
  Result<void> emitSection(const Bytes &bytes) {
    if (bytes.empty())
      return {};
    KIMIC_TRY(padTo(alignUp(written_)));
    return emit(bytes);
  }
  Result<void> emitData(const Header &header) {
    Bytes stored;
    for (std::uint32_t i = 0; i < directory_.blocks.size(); ++i) {
      const DataBlock &block = directory_.blocks[i];
      if (block.codec == Codec::Zero)
        continue;
      const std::uint64_t offset = header.data.offset + places_[i];
      stored.clear();
      KIMIC_TRY(source_(i, stored));
      if (stored.size() != block.storedLength)
        return makeError(ErrorId::PackBlockSize, offset, block.storedLength, stored.size());
      if (sha256(stored) != block.sha256)
        return makeError(ErrorId::PackBlockHash, offset);
      KIMIC_TRY(padTo(offset));
      KIMIC_TRY(emit(stored));
    }
    return {};
  }

  const PackDirectory &directory_;
  const BlockSource &source_;
  const ByteSink &sink_;
  Header header_;
  SectionBuilder first_, leaves_, kernels_, scalar_, meta_, extensions_;
  Bytes plan_; ///< raw
  ByteWriter branchRows_;
  std::vector<std::uint64_t> places_; ///< by block, from the start of the data section
  std::uint64_t dataLength_ = 0, written_ = 0;
  std::vector<Digest> groupHashes_; ///< per group: raw signatures, then the modules from the lowest variant on
};

} // namespace

Result<Header> writePack(const PackDirectory &directory, const BlockSource &source, const ByteSink &sink) {
  return PackStream(directory, source, sink).run();
}

Result<std::vector<std::uint8_t>> writePack(const PackContents &contents, std::span<const std::uint32_t> order) {
  PackDirectory directory;
  directory.meta = contents.meta;
  directory.signatures = contents.signatures;
  directory.groupLog2 = contents.groupLog2;
  directory.modules = contents.modules;
  directory.router = contents.router;
  directory.features = contents.features;
  std::span<const PackContents::Expert> listed = contents.experts;
  if (contents.router && !listed.empty()) {
    const PackContents::Expert &expert = listed.back();
    if (!expert.reads.empty())
      return makeError(ErrorId::PackContentsRouterReads, expert.reads.size());
    listed = listed.first(listed.size() - 1);
    directory.routerExpert.kernel = expert.kernel;
    directory.routerExpert.domain = expert.domain;
    directory.routerExpert.flags = expert.flags;
    directory.routerExpert.confidenceThreshold = expert.confidenceThreshold;
    KIMIC_ASSIGN(directory.routerData, encodeData(expert.parameters));
  }
  DataEncoder encoder([&](std::uint32_t expert, Bytes &raw) -> Result<void> {
    raw = listed[expert].parameters;
    return {};
  });
  std::vector<Bytes> blocks;
  for (const PackContents::Expert &expert : listed) {
    Bytes stored;
    KIMIC_ASSIGN(EncodedData alone, encoder.encodeAlone(expert.parameters));
    KIMIC_ASSIGN(bool isNew, encoder.add(expert.kernel, expert.parameters, std::move(alone), stored));
    if (isNew)
      blocks.push_back(std::move(stored));
    directory.experts.push_back(
        {expert.kernel, expert.domain, expert.flags, expert.confidenceThreshold, 0,
         static_cast<std::uint32_t>(directory.next.size()), static_cast<std::uint32_t>(expert.next.size()),
         static_cast<std::uint32_t>(directory.sources.size()), static_cast<std::uint32_t>(expert.reads.size())});
    directory.next.insert(directory.next.end(), expert.next.begin(), expert.next.end());
    directory.sources.insert(directory.sources.end(), expert.reads.begin(), expert.reads.end());
  }
  KIMIC_ASSIGN(std::vector<std::uint32_t> numbers, encoder.place(order, directory));
  Bytes pack;
  KIMIC_TRY(writePack(
      directory,
      [&](std::uint32_t block, Bytes &bytes) -> Result<void> {
        bytes = std::move(blocks[numbers[block]]);
        return {};
      },
      [&](std::span<const std::uint8_t> bytes) -> Result<void> {
        pack.insert(pack.end(), bytes.begin(), bytes.end());
        return {};
      }));
  return pack;
}

std::uint8_t smallestGroupLog2(std::uint32_t experts, std::uint32_t kernels, std::uint8_t variants) {
  Header header;
  header.experts = experts;
  header.kernels = kernels;
  header.variants = variants;
  header.routers = experts > 1;
  for (header.groupLog2 = kMinGroupLog2; header.groupLog2 < kMaxGroupLog2; ++header.groupLog2)
    if (chooseDirectory(header))
      break;
  return header.groupLog2;
}

Result<PackContents> readContents(std::span<const std::uint8_t> file) {
  KIMIC_TRY(verifyPack(file));
  auto rawOf = [&](const BlockRef &block, std::span<const std::uint8_t> base = {}) -> Result<Bytes> {
    Bytes raw(block.rawLength);
    KIMIC_TRY(decodeBlock(block, file.subspan(block.offset, block.storedLength), base, raw));
    return raw;
  };
  KIMIC_ASSIGN(Header header, parseHeader(file));
  KIMIC_ASSIGN(Root root, parseRoot(header, file.subspan(header.root.offset, header.root.length)));

  PackContents contents;
  contents.router = root.router;
  contents.groupLog2 = header.groupLog2;
  KIMIC_ASSIGN(Bytes meta, rawOf(root.meta));
  contents.meta.assign(meta.begin(), meta.end());
  for (std::uint32_t group = 0; group < header.groupCount(); ++group) {
    KIMIC_ASSIGN(Bytes raw, rawOf(root.groups[group].signatures));
    KIMIC_ASSIGN(std::vector<quant::Signature> signatures, parseSignatures(header, group, raw));
    for (const quant::Signature &signature : signatures)
      contents.signatures.push_back(quant::encode(signature));
    for (unsigned index = 0; index < kVariantCount; ++index)
      if (header.hasVariant(variantAt(index))) {
        KIMIC_ASSIGN(Bytes module, rawOf(root.groups[group].modules[index]));
        contents.modules[index].push_back(std::move(module));
      }
  }
  KIMIC_ASSIGN(std::vector<BlockRef> rows, leafRows(header, root, file));
  std::vector<LeafEntry> entries;
  for (std::uint32_t i = 0; i < header.leafCount(); ++i) {
    KIMIC_ASSIGN(Bytes raw, rawOf(rows[i]));
    KIMIC_ASSIGN(Leaf leaf, parseLeaf(header, i, raw));
    for (const LeafEntry &entry : leaf.entries) {
      const std::span<const Transition> next = leaf.nextOf(entry);
      contents.experts.push_back(
          {entry.kernel, entry.domain, entry.flags, entry.confidenceThreshold, {}, {next.begin(), next.end()}, {}});
      entries.push_back(entry);
    }
  }
  // Bases first: they are never differences themselves.
  for (const bool isDelta : {false, true})
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if ((entries[i].data.codec == Codec::Delta) != isDelta)
        continue;
      std::span<const std::uint8_t> base;
      if (isDelta)
        base = contents.experts[entries[i].base].parameters;
      KIMIC_ASSIGN(contents.experts[i].parameters, rawOf(entries[i].data, base));
    }
  if (root.router) {
    const ExpertEntry &entry = root.routerEntry;
    KIMIC_ASSIGN(Bytes parameters, rawOf(entry.data));
    contents.experts.push_back(
        {entry.kernel, entry.domain, entry.flags, entry.confidenceThreshold, std::move(parameters), {}, {}});
  }
  if (header.hasPlan()) {
    KIMIC_ASSIGN(Bytes raw, rawOf(root.plan));
    KIMIC_ASSIGN(Plan plan, parsePlan(raw));
    contents.features = plan.features;
    for (const Plan::Entry &entry : plan.entries) {
      const std::span<const Source> sources = plan.sourcesOf(entry);
      contents.experts[entry.expert].reads.assign(sources.begin(), sources.end());
    }
  }
  return contents;
}

} // namespace kimic::pack
