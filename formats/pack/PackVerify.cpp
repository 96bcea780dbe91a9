#include "formats/pack/PackVerify.h"

#include "formats/abi/KernelVerifier.h"
#include "formats/pack/ContentId.h"
#include "formats/pack/JsonSyntax.h"
#include "formats/pack/PackReader.h"
#include "formats/quant/Parameters.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>

namespace kimic::pack {
namespace {

using Bytes = std::vector<std::uint8_t>;

/// Walks the file once, in file order as far as blocks place each other.
class Verifier {
public:
  explicit Verifier(std::span<const std::uint8_t> file) : file_(file) {}

  /// The content id.
  Result<Digest> run() {
    KIMIC_ASSIGN(header_, parseHeader(file_));
    if (file_.size() != header_.fileBytes())
      return makeError(ErrorId::PackFileSize, file_.size(), header_.fileBytes());
    KIMIC_TRY(parseSignatureSlots(file_));
    KIMIC_ASSIGN(root_, parseRoot(header_, file_.subspan(header_.root.offset, header_.root.length)));
    KIMIC_ASSIGN(leaves_, leafRows(header_, root_, file_));
    KIMIC_TRY(checkPaddings());
    KIMIC_ASSIGN(Bytes meta, raw(root_.meta));
    if (std::size_t at = findJsonObjectError(meta); at != kNoJsonError)
      return makeError(ErrorId::PackMetaSyntax, at);

    uses_.reserve(std::min<std::size_t>(header_.listed(), file_.size()));
    ContentId id(header_, file_.subspan(header_.root.offset, kRouterBytes));
    id.add(sha256(meta));
    for (std::uint32_t group = 0; group < header_.groupCount(); ++group)
      KIMIC_TRY(checkGroup(group, id));
    for (std::uint32_t leaf = 0; leaf < header_.leafCount(); ++leaf)
      KIMIC_TRY(forEachEntry(
          leaf, [&](std::uint32_t expert, const LeafEntry &entry, const Leaf &) { return checkEntry(expert, entry); }));
    KIMIC_TRY(checkBases());
    KIMIC_ASSIGN(Digest plan, checkPlan());
    KIMIC_TRY(checkData());
    for (std::uint32_t leaf = 0; leaf < header_.leafCount(); ++leaf)
      KIMIC_TRY(forEachEntry(leaf, [&](std::uint32_t, const LeafEntry &entry, const Leaf &whole) -> Result<void> {
        id.add(entry, rawHashOf(entry.data), whole.nextOf(entry));
        return {};
      }));
    if (root_.router)
      KIMIC_TRY(checkRouterData(id));
    if (header_.hasPlan())
      id.add(plan);
    return id.finish();
  }

  const Header &header() const { return header_; }

private:
  struct Kernel {
    quant::Signature signature;
    quant::Layout layout;
  };

  /// What an expert says about its data block.
  struct Use {
    BlockRef data;
    std::uint32_t expert, kernel, base;
  };

  Result<Bytes> raw(const BlockRef &block, std::span<const std::uint8_t> base = {}) const {
    Bytes bytes(block.rawLength);
    KIMIC_TRY(decodeBlock(block, file_.subspan(block.offset, block.storedLength), base, bytes));
    return bytes;
  }

  /// The bytes before `to` that belong to no block.
  Result<void> checkPadding(std::uint64_t from, std::uint64_t to) const {
    for (std::uint64_t at = from; at < to; ++at)
      if (file_[at])
        return makeError(ErrorId::PackPadding, at, file_[at]);
    return {};
  }

  /// Of all blocks but data blocks, whose order only the leaves tell.
  Result<void> checkPaddings() const {
    std::uint64_t end = header_.root.end();
    auto follow = [&](const BlockRef &block) {
      Result<void> result = checkPadding(end, block.offset);
      end = block.end();
      return result;
    };
    auto followGroup = [&](const KernelGroup &group) -> Result<void> {
      KIMIC_TRY(follow(group.signatures));
      for (unsigned index = kVariantCount; index-- > 1;)
        if (header_.hasVariant(variantAt(index)))
          KIMIC_TRY(follow(group.modules[index]));
      return {};
    };
    KIMIC_TRY(followGroup(root_.groups[0]));
    if (root_.router && root_.routerEntry.data.storedLength)
      KIMIC_TRY(follow(root_.routerEntry.data));
    for (std::uint32_t leaf = 0; leaf < leaves_.size(); ++leaf) {
      if (header_.branchLog2 && leaf % (1u << header_.branchLog2) == 0)
        KIMIC_TRY(follow(root_.branches[leaf >> header_.branchLog2].block));
      KIMIC_TRY(follow(leaves_[leaf]));
    }
    if (header_.data.length) {
      KIMIC_TRY(checkPadding(end, header_.data.offset));
      end = header_.data.end();
    }
    for (std::size_t group = 1; group < root_.groups.size(); ++group)
      KIMIC_TRY(followGroup(root_.groups[group]));
    if (header_.scalar.length)
      for (const KernelGroup &group : root_.groups)
        KIMIC_TRY(follow(group.modules[0]));
    KIMIC_TRY(follow(root_.meta));
    if (header_.extensions.length)
      KIMIC_TRY(checkPadding(end, header_.extensions.offset));
    return {};
  }

  Result<void> checkGroup(std::uint32_t group, ContentId &id) {
    KIMIC_ASSIGN(Bytes bytes, raw(root_.groups[group].signatures));
    KIMIC_ASSIGN(std::vector<quant::Signature> signatures, parseSignatures(header_, group, bytes));
    id.add(sha256(bytes));
    for (quant::Signature &signature : signatures) {
      KIMIC_ASSIGN(quant::Layout layout, quant::layoutOf(signature));
      kernels_.push_back({std::move(signature), std::move(layout)});
    }
    for (unsigned index = 0; index < kVariantCount; ++index)
      if (header_.hasVariant(variantAt(index))) {
        KIMIC_ASSIGN(Bytes module, raw(root_.groups[group].modules[index]));
        KIMIC_TRY(abi::verifyKernelModule(module, header_.kernelsIn(group), variantAt(index)));
        id.add(sha256(module));
      }
    return {};
  }

  template <class Visit> Result<void> forEachEntry(std::uint32_t number, Visit visit) const {
    KIMIC_ASSIGN(Bytes bytes, raw(leaves_[number]));
    KIMIC_ASSIGN(Leaf leaf, parseLeaf(header_, number, bytes));
    std::uint32_t expert = header_.firstExpert(number);
    for (const LeafEntry &entry : leaf.entries)
      KIMIC_TRY(visit(expert++, entry, leaf));
    return {};
  }

  Result<void> checkEntry(std::uint32_t expert, const LeafEntry &entry) {
    const Kernel &kernel = kernels_[entry.kernel];
    KIMIC_TRY(checkParameters(expert, entry, kernel.signature, kernel.layout));
    uses_.push_back({entry.data, expert, entry.kernel, entry.base});
    return {};
  }

  /// While uses_ is still in the order of the experts.
  Result<void> checkBases() const {
    for (const Use &use : uses_)
      if (use.data.codec == Codec::Delta)
        KIMIC_TRY(checkBase(use.expert, use.base, use.data.rawLength, uses_[use.base].data.codec,
                            uses_[use.base].data.rawLength));
    return {};
  }

  /// Its digest. While uses_ is still in the order of the experts.
  Result<Digest> checkPlan() const {
    if (!header_.hasPlan())
      return Digest{};
    KIMIC_ASSIGN(Bytes bytes, raw(root_.plan));
    KIMIC_ASSIGN(Plan plan, parsePlan(bytes));
    KIMIC_TRY(pack::checkPlan(header_, plan, [&](std::uint32_t expert) -> const quant::Signature & {
      return kernels_[expert < uses_.size() ? uses_[expert].kernel : root_.routerEntry.kernel].signature;
    }));
    return sha256(bytes);
  }

  Result<void> validate(std::uint32_t kernel, std::span<const std::uint8_t> parameters) const {
    return quant::validateParameters(kernels_[kernel].signature, kernels_[kernel].layout, parameters);
  }

  /// Of blocks of codec Zero, in the order of their lengths and kernels. A few bytes of a file can stand for many of
  /// them, each of 16 MiB, so each length is hashed once, on from the one before, and judged once for each kernel.
  Result<void> checkZeros(std::span<const std::uint32_t> experts) {
    Bytes zeros;
    Sha256 hash; // of all of them
    std::uint32_t kernel = kNoExpert;
    const Digest stored = sha256({});
    for (std::uint32_t expert : experts) {
      const Use &use = uses_[expert];
      if (use.data.sha256 != stored)
        return makeError(ErrorId::PackBlockHash, use.data.offset);
      if (use.data.rawLength == zeros.size() && use.kernel == kernel)
        continue;
      if (use.data.rawLength != zeros.size()) {
        const std::size_t known = zeros.size();
        zeros.resize(use.data.rawLength);
        hash.add(std::span(zeros).subspan(known));
        zeroHashes_[use.data.rawLength] = Sha256(hash).finish();
      }
      kernel = use.kernel;
      KIMIC_TRY(validate(kernel, zeros));
    }
    return {};
  }

  Result<void> checkData() {
    // Blocks of no bytes have no place: they come last, in the order of their lengths. Experts of one kernel follow
    // each other, so that a block that experts share is judged once for each of its kernels.
    std::vector<std::uint32_t> order(uses_.size());
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(), [&](std::uint32_t left, std::uint32_t right) {
      auto keyOf = [](const Use &use) {
        const bool isZero = use.data.codec == Codec::Zero;
        return std::make_tuple(isZero, isZero ? use.data.rawLength : use.data.offset, use.kernel, use.expert);
      };
      return keyOf(uses_[left]) < keyOf(uses_[right]);
    });
    const auto zeros = std::find_if(order.begin(), order.end(),
                                    [&](std::uint32_t expert) { return uses_[expert].data.codec == Codec::Zero; });
    KIMIC_TRY(checkZeros(std::span(order).subspan(static_cast<std::size_t>(zeros - order.begin()))));
    order.erase(zeros, order.end());
    rawHashes_.reserve(header_.dataBlocks);
    std::uint64_t end = header_.data.offset, rawLength = 0, blocks = 0;
    Bytes base;
    std::uint32_t baseExpert = kNoExpert;
    for (std::size_t i = 0; i < order.size();) {
      const Use &first = uses_[order[i]];
      if (first.data.offset != alignUp(end))
        return makeError(ErrorId::PackDataPlacement, first.data.offset, alignUp(end));
      KIMIC_TRY(checkPadding(end, first.data.offset));
      if (first.data.codec == Codec::Delta && first.base != baseExpert) {
        KIMIC_ASSIGN(base, raw(uses_[first.base].data));
        baseExpert = first.base;
      }
      KIMIC_ASSIGN(Bytes parameters, raw(first.data, base));
      rawHashes_.emplace_back(first.data.offset, sha256(parameters));
      std::uint32_t kernel = kNoExpert; // the one that was checked last
      for (; i < order.size() && uses_[order[i]].data.offset == first.data.offset; ++i) {
        const Use &use = uses_[order[i]];
        if (use.data != first.data || use.base != first.base)
          return makeError(ErrorId::PackDataConflict, use.expert, use.data.offset);
        if (use.kernel != kernel)
          KIMIC_TRY(validate(use.kernel, parameters));
        kernel = use.kernel;
      }
      end = first.data.end();
      rawLength += first.data.rawLength;
      ++blocks;
    }
    if (end != header_.data.end())
      return makeError(ErrorId::PackDataPlacement, header_.data.end(), end);
    if (blocks != header_.dataBlocks)
      return makeError(ErrorId::PackDataTotals, kDataBlocksAt, header_.dataBlocks, blocks);
    if (rawLength != header_.dataRawLength)
      return makeError(ErrorId::PackDataTotals, kDataRawLengthAt, header_.dataRawLength, rawLength);
    return {};
  }

  /// Of a data block that checkData() has seen.
  const Digest &rawHashOf(const BlockRef &block) const {
    if (block.codec == Codec::Zero)
      return zeroHashes_.find(block.rawLength)->second;
    auto byOffset = [](const auto &known, std::uint64_t offset) { return known.first < offset; };
    return std::lower_bound(rawHashes_.begin(), rawHashes_.end(), block.offset, byOffset)->second;
  }

  Result<void> checkRouterData(ContentId &id) const {
    const ExpertEntry &entry = root_.routerEntry;
    const Kernel &kernel = kernels_[entry.kernel];
    const std::uint64_t columnBytes = root_.router->columnBytes();
    KIMIC_TRY(checkParameters(header_.experts - 1, entry, kernel.signature, kernel.layout, columnBytes));
    KIMIC_TRY(checkRouter(*root_.router, kernel.signature.outputs()));
    KIMIC_ASSIGN(Bytes parameters, raw(entry.data));
    id.add(sha256(parameters));
    KIMIC_TRY(validate(entry.kernel, std::span(parameters).first(parameters.size() - columnBytes)));
    return checkColumns(columnsOf(*root_.router, parameters));
  }

  std::span<const std::uint8_t> file_;
  Header header_;
  Root root_;
  std::vector<BlockRef> leaves_;
  std::vector<Kernel> kernels_;
  std::vector<Use> uses_;                                   ///< by expert
  std::vector<std::pair<std::uint64_t, Digest>> rawHashes_; ///< of data blocks, by offset
  std::map<std::uint32_t, Digest> zeroHashes_;              ///< of blocks of codec Zero, by raw length
};

} // namespace

Result<void> checkPlan(const Header &header, const Plan &plan,
                       const std::function<const quant::Signature &(std::uint32_t)> &signatureOf) {
  auto *numbers = reinterpret_cast<const std::uint8_t *>(plan.entries.data() - 1);
  auto fieldError = [&](const std::uint32_t &field, std::uint64_t limit) {
    return makeError(ErrorId::PackPlanField,
                     static_cast<std::uint64_t>(reinterpret_cast<const std::uint8_t *>(&field) - numbers), field,
                     limit);
  };
  const Plan::Entry &head = plan.entries.data()[-1]; // features, entries, 0, 0
  if (head.expert == 0 || head.expert > quant::kMaxWidth)
    return fieldError(head.expert, quant::kMaxWidth);
  if (head.level == 0 || head.level > header.listed())
    return fieldError(head.level, header.listed());
  for (const std::uint32_t *reserved : {&head.needsEnd, &head.sourcesEnd})
    if (*reserved)
      return fieldError(*reserved, 0);
  std::vector<std::uint8_t> levels(header.listed()); // by expert
  std::uint32_t least = 0;
  for (const Plan::Entry &entry : plan.entries) {
    if (entry.expert < least || entry.expert >= header.listed())
      return fieldError(entry.expert, header.listed() - 1);
    least = entry.expert + 1;
    if (entry.level == 0 || entry.level > kMaxPlanLevel)
      return fieldError(entry.level, kMaxPlanLevel);
    const std::uint32_t needsBegin = (&entry)[-1].needsEnd, sourcesBegin = (&entry)[-1].sourcesEnd;
    if (entry.needsEnd - needsBegin > kMaxNeeds)
      return fieldError(entry.needsEnd, needsBegin + kMaxNeeds);
    if (entry.sourcesEnd == sourcesBegin || entry.sourcesEnd - sourcesBegin > kMaxSources)
      return fieldError(entry.sourcesEnd, sourcesBegin + kMaxSources);
    levels[entry.expert] = static_cast<std::uint8_t>(entry.level);
  }
  std::vector<std::uint32_t> neededBy(header.listed(), kNoExpert); // the last entry that needs the expert
  std::vector<std::uint32_t> needs;                                // of the entry
  for (const Plan::Entry &entry : plan.entries) {
    needs.clear();
    auto need = [&](std::uint32_t expert) {
      if (neededBy[expert] != entry.expert)
        needs.push_back(expert);
      neededBy[expert] = entry.expert;
    };
    std::uint64_t inputs = 0;
    std::uint32_t below = 0;
    for (const Source &source : plan.sourcesOf(entry)) {
      const bool isRequest = source.expert == kNoExpert;
      if (!isRequest && source.expert >= header.listed())
        return fieldError(source.expert, header.listed() - 1);
      const std::uint32_t limit = isRequest ? plan.features : signatureOf(source.expert).outputs();
      const std::uint64_t end = std::uint64_t{source.first} + source.count;
      if (isRequest && source.first >= limit)
        return fieldError(source.first, limit - 1);
      if (source.count == 0 || (isRequest && end > limit))
        return fieldError(source.count, limit - std::min(limit, source.first));
      if (end > limit)
        return makeError(ErrorId::PackPlanOutputs, source.expert, limit, end);
      inputs += source.count;
      if (isRequest)
        continue;
      const Plan::Entry *read = plan.find(source.expert);
      if (const std::uint32_t wanted = signatureOf(source.expert).inputs; !read && wanted != plan.features)
        return makeError(ErrorId::PackPlanInputs, source.expert, wanted, plan.features);
      below = std::max<std::uint32_t>(below, levels[source.expert]);
      need(source.expert);
      if (read)
        for (std::uint32_t expert : plan.needsOf(*read))
          need(expert < header.listed() ? expert : source.expert); // an error of `read`
    }
    if (entry.level != below + 1)
      return makeError(ErrorId::PackPlanLevel, entry.expert, entry.level, below + 1);
    if (const std::uint32_t wanted = signatureOf(entry.expert).inputs; wanted != inputs)
      return makeError(ErrorId::PackPlanInputs, entry.expert, wanted, inputs);
    std::sort(needs.begin(), needs.end(), [&](std::uint32_t a, std::uint32_t b) {
      return std::make_pair(levels[a], a) < std::make_pair(levels[b], b);
    });
    const std::span<const std::uint32_t> listed = plan.needsOf(entry);
    for (std::size_t i = 0; i < std::max(needs.size(), listed.size()); ++i)
      if (i >= needs.size() || i >= listed.size() || needs[i] != listed[i])
        return makeError(ErrorId::PackPlanNeeds, entry.expert, i, i < listed.size() ? listed[i] : kNoExpert);
  }
  if (header.routers)
    if (const std::uint32_t wanted = signatureOf(header.listed()).inputs; wanted != plan.features)
      return makeError(ErrorId::PackPlanInputs, header.listed(), wanted, plan.features);
  return {};
}

Result<std::vector<SignatureSlot>> parseSignatureSlots(std::span<const std::uint8_t> bytes) {
  if (bytes.size() < kRootOffset)
    return makeError(ErrorId::PackTruncated, bytes.size(), kRootOffset);
  auto isZero = [](std::span<const std::uint8_t> part) {
    return std::all_of(part.begin(), part.end(), [](std::uint8_t byte) { return byte == 0; });
  };
  std::vector<SignatureSlot> slots;
  for (std::size_t i = 0; i < kSignatureSlots; ++i) {
    std::span<const std::uint8_t> slot = bytes.subspan(kHeaderBytes + i * kSignatureSlotBytes, kSignatureSlotBytes);
    if (isZero(slot))
      continue;
    SignatureSlot used;
    std::copy_n(slot.begin(), used.publicKey.size(), used.publicKey.begin());
    std::copy_n(slot.begin() + used.publicKey.size(), used.signature.size(), used.signature.begin());
    if (isZero(used.publicKey) || isZero(used.signature))
      return makeError(ErrorId::PackSignatureSlot, i, i);
    for (std::size_t j = 0; j < slots.size(); ++j)
      if (slots[j].publicKey == used.publicKey)
        return makeError(ErrorId::PackSignatureSlot, i, j);
    if (slots.size() != i)
      return makeError(ErrorId::PackSignatureSlot, i, slots.size());
    slots.push_back(used);
  }
  return slots;
}

Result<Digest> contentIdOf(std::span<const std::uint8_t> file) { return Verifier(file).run(); }

Result<void> verifyPack(std::span<const std::uint8_t> file) {
  Verifier verifier(file);
  KIMIC_ASSIGN(Digest id, verifier.run());
  return id == verifier.header().contentId ? Result<void>() : makeError(ErrorId::PackContentId);
}

} // namespace kimic::pack
