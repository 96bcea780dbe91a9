#include "formats/pack/PackWriter.h"

#include "formats/base/Bytes.h"
#include "formats/pack/Lz4Block.h"
#include "formats/pack/PackReader.h"
#include "formats/pack/PackVerify.h"
#include "formats/quant/Layout.h"

#include <algorithm>
#include <map>

namespace kimic::pack {
namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t kMaxRows = (kFirstReadBytes - kHeaderBytes - kRootFixedBytes) / kBlockRowBytes;

/// A section as it grows: its bytes so far, and the rows of its blocks with offsets from its start.
struct SectionBuilder {
  Bytes bytes;
  std::vector<BlockRef> rows;

  /// Appends a block, compressed if that makes it smaller.
  Result<BlockRef> add(std::span<const std::uint8_t> raw, std::uint32_t limit = kMaxBlockBytes) {
    BlockRef row;
    row.offset = alignUp(bytes.size());
    if (raw.empty())
      return makeError(ErrorId::PackBlockLength, row.offset, 0, 0);
    if (raw.size() > limit)
      return makeError(ErrorId::PackBlockTooLarge, row.offset, raw.size(), limit);
    const Bytes compressed = encodeLz4(raw);
    const std::span<const std::uint8_t> stored = compressed.empty() ? raw : compressed;
    row.codec = compressed.empty() ? Codec::Stored : Codec::Lz4;
    row.storedLength = static_cast<std::uint32_t>(stored.size());
    row.rawLength = static_cast<std::uint32_t>(raw.size());
    row.sha256 = sha256(stored);
    bytes.resize(row.offset);
    bytes.insert(bytes.end(), stored.begin(), stored.end());
    rows.push_back(row);
    return row;
  }
};

struct DataSection {
  SectionBuilder section;
  std::vector<BlockRef> blockOf; ///< by expert, offset from the section's start
};

/// Writes the parameters of every expert, equal ones once, in the order of the first expert.
Result<DataSection> writeData(const std::vector<PackContents::Expert> &experts) {
  DataSection data;
  std::map<Digest, std::size_t> firstWith; // digest of the raw bytes -> first expert
  for (std::size_t i = 0; i < experts.size(); ++i) {
    auto [known, isNew] = firstWith.emplace(sha256(experts[i].parameters), i);
    if (!isNew && experts[known->second].parameters == experts[i].parameters) {
      data.blockOf.push_back(data.blockOf[known->second]);
      continue;
    }
    KIMIC_ASSIGN(BlockRef block, data.section.add(experts[i].parameters));
    data.blockOf.push_back(block);
  }
  return data;
}

/// The columns of pack-v1 §5.
Bytes leafBytes(std::span<const PackContents::Expert> experts, std::span<const BlockRef> blocks) {
  ByteWriter out;
  std::int64_t kernel = 0;
  for (const PackContents::Expert &expert : experts) {
    out.zigzag(std::int64_t{expert.kernel} - kernel);
    kernel = expert.kernel;
  }
  std::int64_t next = 0;
  for (const BlockRef &block : blocks) {
    out.zigzag(static_cast<std::int64_t>(block.offset / kAlignment) - next);
    next = static_cast<std::int64_t>(alignUp(block.end()) / kAlignment);
  }
  std::int64_t stored = 0;
  for (const BlockRef &block : blocks) {
    out.zigzag(std::int64_t{block.storedLength} - stored);
    stored = block.storedLength;
  }
  for (const BlockRef &block : blocks)
    out.varint(block.rawLength - block.storedLength);
  for (const BlockRef &block : blocks)
    out.u8(static_cast<std::uint8_t>(block.codec));
  for (const PackContents::Expert &expert : experts)
    out.u8(static_cast<std::uint8_t>(expert.domain));
  for (const PackContents::Expert &expert : experts)
    out.u8(expert.flags);
  for (const PackContents::Expert &expert : experts)
    out.f32(expert.confidenceThreshold);
  for (const BlockRef &block : blocks)
    out.append(block.sha256);
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

void writeRow(ByteWriter &out, const BlockRef &row) {
  out.u32(row.storedLength);
  out.u32(row.rawLength);
  out.u8(static_cast<std::uint8_t>(row.codec));
  out.zeros(3);
  out.append(row.sha256);
}

void writeRouter(ByteWriter &out, const std::optional<Router> &router) {
  if (!router) {
    out.zeros(kRootFixedBytes - kBlockRowBytes);
    return;
  }
  out.u8(static_cast<std::uint8_t>(kRouterPresent | (router->isNormalised ? 0 : kRouterPlainWeights) |
                                   (router->hasBias ? kRouterBias : 0) | (router->hasWeights ? kRouterWeights : 0) |
                                   (router->hasThresholds ? kRouterThresholds : 0)));
  out.u8(static_cast<std::uint8_t>(router->head));
  out.u8(static_cast<std::uint8_t>(router->strategy));
  out.u8(static_cast<std::uint8_t>(router->merge));
  out.u32(router->expert);
  out.u32(router->routed);
  out.u16(static_cast<std::uint16_t>(router->topK));
  out.u16(static_cast<std::uint16_t>(router->minVotes));
  out.f32(router->temperature);
  out.f32(router->scale == 1 ? 0 : router->scale);
  out.f32(router->threshold);
  out.u32(router->fallback + 1);
}

/// Whether header, root and leaves are what a reader accepts, and every expert has the parameters of its kernel.
Result<void> checkWritten(const PackContents &contents, const Header &header, const Bytes &root,
                          const std::vector<Bytes> &leaves) {
  std::vector<quant::Signature> signatures;
  std::vector<quant::Layout> layouts;
  for (const Bytes &bytes : contents.signatures) {
    KIMIC_ASSIGN(quant::Signature signature, quant::decodeSignature(bytes));
    KIMIC_ASSIGN(quant::Layout layout, quant::layoutOf(signature));
    signatures.push_back(std::move(signature));
    layouts.push_back(std::move(layout));
  }
  KIMIC_ASSIGN(Root parsed, parseRoot(header, root));
  for (std::uint32_t i = 0; i < leaves.size(); ++i) {
    KIMIC_ASSIGN(Leaf leaf, parseLeaf(header, i, leaves[i]));
    for (std::uint32_t j = 0; j < leaf.size(); ++j) {
      std::uint32_t kernel = leaf[j].kernel;
      std::uint32_t expert = header.firstExpert(i) + j;
      std::uint64_t columnBytes = parsed.router && parsed.router->expert == expert ? parsed.router->columnBytes() : 0;
      KIMIC_TRY(checkParameters(expert, leaf[j], signatures[kernel], layouts[kernel], columnBytes));
    }
  }
  if (parsed.router)
    KIMIC_TRY(checkRouter(*parsed.router, signatures[contents.experts[parsed.router->expert].kernel].outputs()));
  return {};
}

} // namespace

Result<std::vector<std::uint8_t>> writePack(const PackContents &contents) {
  // The counts have to be sound before anything is computed from them; the reader's own checks follow at the end.
  if (contents.experts.empty() || contents.experts.size() > kMaxExperts)
    return makeError(ErrorId::PackHeaderField, kExpertsAt, contents.experts.size(), kMaxExperts);
  if (contents.signatures.empty() || contents.signatures.size() > kMaxKernels)
    return makeError(ErrorId::PackHeaderField, kKernelsAt, contents.signatures.size(), kMaxKernels);
  if (contents.router && (contents.router->topK > kMaxTopK || contents.router->minVotes > kMaxTopK))
    return makeError(ErrorId::PackRouterField, kHeaderBytes + 12,
                     std::max(contents.router->topK, contents.router->minVotes), kMaxTopK);
  if (contents.groupLog2 < kMinGroupLog2 || contents.groupLog2 > kMaxGroupLog2)
    return makeError(ErrorId::PackHeaderField, kGroupLog2At, contents.groupLog2, kMaxGroupLog2);
  Header header;
  header.experts = static_cast<std::uint32_t>(contents.experts.size());
  header.kernels = static_cast<std::uint32_t>(contents.signatures.size());
  header.groupLog2 = contents.groupLog2;
  const std::uint32_t groups = header.groupCount();
  std::size_t groupRows = groups;
  for (unsigned index = 0; index < kVariantCount; ++index) {
    const std::size_t count = contents.modules[index].size();
    if (count != 0 && count != groups)
      return makeError(ErrorId::PackContentsModules, static_cast<unsigned>(variantAt(index)), count, groups);
    header.variants |= static_cast<std::uint8_t>((count != 0) << index);
    groupRows += count;
  }
  while (header.leafCount() + groupRows > kMaxRows && header.leafLog2 < kMaxLeafLog2)
    ++header.leafLog2;
  if (header.leafCount() + groupRows > kMaxRows)
    return makeError(ErrorId::PackTooManyRows, header.leafCount() + groupRows, kMaxRows);

  KIMIC_ASSIGN(DataSection data, writeData(contents.experts));
  header.dataBlocks = static_cast<std::uint32_t>(data.section.rows.size());
  for (const BlockRef &row : data.section.rows)
    header.dataRawLength += row.rawLength;

  SectionBuilder leaves, meta, kernelBlocks;
  std::vector<Bytes> rawLeaves;
  for (std::uint32_t leaf = 0; leaf < header.leafCount(); ++leaf) {
    const std::size_t first = header.firstExpert(leaf), count = header.expertsIn(leaf);
    rawLeaves.push_back(
        leafBytes(std::span(contents.experts).subspan(first, count), std::span(data.blockOf).subspan(first, count)));
    KIMIC_TRY(leaves.add(rawLeaves.back()));
  }
  KIMIC_TRY(
      meta.add({reinterpret_cast<const std::uint8_t *>(contents.meta.data()), contents.meta.size()}, kMaxMetaBytes));
  for (std::uint32_t group = 0; group < groups; ++group) {
    KIMIC_TRY(kernelBlocks.add(
        signatureBytes(std::span(contents.signatures).subspan(header.firstKernel(group), header.kernelsIn(group)))));
    for (unsigned index = kVariantCount; index-- > 0;)
      if (header.hasVariant(variantAt(index)))
        KIMIC_TRY(kernelBlocks.add(contents.modules[index][group]));
  }

  ByteWriter rootWriter;
  writeRouter(rootWriter, contents.router);
  for (const SectionBuilder *section : {&meta, &leaves, &kernelBlocks})
    for (const BlockRef &row : section->rows)
      writeRow(rootWriter, row);
  const Bytes root = std::move(rootWriter).take();

  ByteWriter out;
  out.append(kMagic);
  out.u16(header.major);
  out.u16(header.minor);
  out.u32(header.requiredFeatures);
  out.u32(header.optionalFeatures);
  out.u32(header.kernelAbi);
  out.u8(kHashSha256);
  out.u8(header.variants);
  out.u8(header.leafLog2);
  out.u8(header.groupLog2);
  out.u32(header.experts);
  out.u32(header.kernels);
  out.u32(header.dataBlocks);
  out.u64(header.dataRawLength);
  const Bytes *const sections[] = {&root, &leaves.bytes, &meta.bytes, &kernelBlocks.bytes, &data.section.bytes};
  for (const Bytes *section : sections)
    out.u64(section->size());
  out.zeros(kRootHashAt - out.size()); // no extensions; reserved
  out.append(sha256(root));
  Bytes pack = std::move(out).take();
  const Digest headerHash = sha256(pack);
  pack.insert(pack.end(), headerHash.begin(), headerHash.end());

  KIMIC_ASSIGN(Header parsed, parseHeader(pack));
  KIMIC_TRY(checkWritten(contents, parsed, root, rawLeaves));
  pack.reserve(parsed.fileBytes());
  for (const Bytes *section : sections) {
    pack.resize(alignUp(pack.size()));
    pack.insert(pack.end(), section->begin(), section->end());
  }
  return pack;
}

Result<PackContents> readContents(std::span<const std::uint8_t> file) {
  KIMIC_TRY(verifyPack(file));
  auto rawOf = [&](const BlockRef &block) -> Result<Bytes> {
    Bytes raw(block.rawLength);
    KIMIC_TRY(decodeBlock(block, file.subspan(block.offset, block.storedLength), raw));
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
  for (std::uint32_t i = 0; i < header.leafCount(); ++i) {
    KIMIC_ASSIGN(Bytes raw, rawOf(root.leaves[i]));
    KIMIC_ASSIGN(Leaf leaf, parseLeaf(header, i, raw));
    for (const LeafEntry &entry : leaf) {
      KIMIC_ASSIGN(Bytes parameters, rawOf(entry.data));
      contents.experts.push_back(
          {entry.kernel, entry.domain, entry.flags, entry.confidenceThreshold, std::move(parameters)});
    }
  }
  return contents;
}

} // namespace kimic::pack
