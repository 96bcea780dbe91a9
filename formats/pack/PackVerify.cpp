#include "formats/pack/PackVerify.h"

#include "formats/abi/KernelVerifier.h"
#include "formats/pack/JsonSyntax.h"
#include "formats/pack/PackReader.h"
#include "formats/quant/Parameters.h"

#include <map>
#include <set>

namespace kimic::pack {
namespace {

using Bytes = std::vector<std::uint8_t>;

/// Walks the file once, in file order as far as blocks place each other.
class Verifier {
public:
  explicit Verifier(std::span<const std::uint8_t> file) : file_(file) {}

  Result<void> run() {
    KIMIC_ASSIGN(header_, parseHeader(file_));
    if (file_.size() != header_.fileBytes())
      return makeError(ErrorId::PackFileSize, file_.size(), header_.fileBytes());
    KIMIC_ASSIGN(root_, parseRoot(header_, file_.subspan(header_.root.offset, header_.root.length)));
    KIMIC_TRY(checkPaddings());
    KIMIC_ASSIGN(Bytes meta, raw(root_.meta));
    if (std::size_t at = findJsonObjectError(meta); at != kNoJsonError)
      return makeError(ErrorId::PackMetaSyntax, at);
    for (std::uint32_t group = 0; group < header_.groupCount(); ++group)
      KIMIC_TRY(checkGroup(group));
    for (std::uint32_t leaf = 0; leaf < header_.leafCount(); ++leaf)
      KIMIC_TRY(checkLeaf(leaf));
    return checkData();
  }

private:
  Result<Bytes> raw(const BlockRef &block) const {
    Bytes bytes(block.rawLength);
    KIMIC_TRY(decodeBlock(block, file_.subspan(block.offset, block.storedLength), bytes));
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
    for (const BlockRef &leaf : root_.leaves)
      KIMIC_TRY(follow(leaf));
    KIMIC_TRY(follow(root_.meta));
    for (const KernelGroup &group : root_.groups) {
      KIMIC_TRY(follow(group.signatures));
      for (unsigned index = kVariantCount; index-- > 0;)
        if (header_.hasVariant(variantAt(index)))
          KIMIC_TRY(follow(group.modules[index]));
    }
    KIMIC_TRY(checkPadding(end, header_.data.offset));
    if (header_.extensions.length)
      KIMIC_TRY(checkPadding(header_.data.end(), header_.extensions.offset));
    return {};
  }

  Result<void> checkGroup(std::uint32_t group) {
    KIMIC_ASSIGN(Bytes bytes, raw(root_.groups[group].signatures));
    KIMIC_ASSIGN(std::vector<quant::Signature> signatures, parseSignatures(header_, group, bytes));
    for (quant::Signature &signature : signatures) {
      KIMIC_ASSIGN(quant::Layout layout, quant::layoutOf(signature));
      kernels_.push_back({std::move(signature), std::move(layout)});
    }
    for (unsigned index = 0; index < kVariantCount; ++index)
      if (header_.hasVariant(variantAt(index))) {
        KIMIC_ASSIGN(Bytes module, raw(root_.groups[group].modules[index]));
        KIMIC_TRY(abi::verifyKernelModule(module, header_.kernelsIn(group), variantAt(index)));
      }
    return {};
  }

  Result<void> checkLeaf(std::uint32_t number) {
    KIMIC_ASSIGN(Bytes bytes, raw(root_.leaves[number]));
    KIMIC_ASSIGN(Leaf leaf, parseLeaf(header_, number, bytes));
    std::uint32_t expert = header_.firstExpert(number);
    for (const LeafEntry &entry : leaf) {
      const Kernel &kernel = kernels_[entry.kernel];
      bool isRouter = root_.router && root_.router->expert == expert;
      std::uint64_t columnBytes = isRouter ? root_.router->columnBytes() : 0;
      KIMIC_TRY(checkParameters(expert, entry, kernel.signature, kernel.layout, columnBytes));
      if (isRouter)
        KIMIC_TRY(checkRouter(*root_.router, kernel.signature.outputs()));
      auto [known, isNew] = data_.emplace(entry.data.offset, entry.data);
      if (!isNew && known->second != entry.data)
        return makeError(ErrorId::PackDataConflict, expert, entry.data.offset);
      if (data_.size() > header_.dataBlocks)
        return makeError(ErrorId::PackDataTotals, kDataBlocksAt, header_.dataBlocks, data_.size());
      readers_.insert({entry.data.offset, Reader{entry.kernel, columnBytes}});
      ++expert;
    }
    return {};
  }

  Result<void> checkData() const {
    if (data_.size() != header_.dataBlocks)
      return makeError(ErrorId::PackDataTotals, kDataBlocksAt, header_.dataBlocks, data_.size());
    std::uint64_t end = header_.data.offset, rawLength = 0;
    auto reader = readers_.begin();
    for (const auto &[offset, block] : data_) {
      if (offset != alignUp(end))
        return makeError(ErrorId::PackDataPlacement, offset, alignUp(end));
      KIMIC_TRY(checkPadding(end, offset));
      KIMIC_ASSIGN(Bytes parameters, raw(block));
      for (; reader != readers_.end() && reader->first == offset; ++reader) {
        const Kernel &kernel = kernels_[reader->second.kernel];
        std::span<const std::uint8_t> own = std::span(parameters).first(parameters.size() - reader->second.columnBytes);
        KIMIC_TRY(quant::validateParameters(kernel.signature, kernel.layout, own));
        if (reader->second.columnBytes)
          KIMIC_TRY(checkColumns(columnsOf(*root_.router, parameters)));
      }
      end = block.end();
      rawLength += block.rawLength;
    }
    if (end != header_.data.end())
      return makeError(ErrorId::PackDataPlacement, header_.data.end(), end);
    if (rawLength != header_.dataRawLength)
      return makeError(ErrorId::PackDataTotals, kDataRawLengthAt, header_.dataRawLength, rawLength);
    return {};
  }

  struct Kernel {
    quant::Signature signature;
    quant::Layout layout;
  };

  struct Reader {
    std::uint32_t kernel;
    std::uint64_t columnBytes; ///< of the router's columns, behind what the kernel reads
    friend auto operator<=>(const Reader &, const Reader &) = default;
  };

  std::span<const std::uint8_t> file_;
  Header header_;
  Root root_;
  std::vector<Kernel> kernels_;
  std::map<std::uint64_t, BlockRef> data_; ///< distinct data blocks by offset; at most header_.dataBlocks + 1
  /// Data blocks by offset, and who reads them.
  std::set<std::pair<std::uint64_t, Reader>> readers_;
};

} // namespace

Result<void> verifyPack(std::span<const std::uint8_t> file) { return Verifier(file).run(); }

} // namespace kimic::pack
