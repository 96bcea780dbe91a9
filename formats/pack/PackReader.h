// Reads a pack without doing I/O: the caller hands over the bytes of one part, the answer says where the next parts
// lie.
//
//   parseHeader(first 256 bytes)          -> sizes and places of all sections
//   parseRoot(header, root bytes)         -> rows of the leaves or branches, kernel blocks and metadata; the router
//   parseBranch(header, root, branch, raw) -> rows of the branch's leaves
//   decodeBlock(row, stored, base, output) -> raw bytes of any block, hash verified before decoding
//   parseLeaf(header, leaf, raw)          -> the experts' entries, with the rows of their data blocks
//   parseSignatures(header, group, raw)   -> what the group's kernels compute
//   parsePlan(raw)                        -> what experts read
//
// Those with a last parameter for the result fill that in; it means nothing after a failure. The runtime uses them so.
//
// Every function is pure and thread-safe, checks everything that its bytes can show, and allocates at most in
// proportion to those bytes. What only a whole file can show (coverage, padding, counts) is checked by PackVerify.h.
// All errors are of the range 2000-2999, those of signatures 3000-3999.
#pragma once

#include "formats/base/Bytes.h"
#include "formats/base/Result.h"
#include "formats/pack/PackFormat.h"
#include "formats/quant/Layout.h"

#include <span>
#include <vector>

namespace kimic::pack {

/// Reads the header from the first 256 bytes of a file; further bytes are ignored. Neither the section lengths nor the
/// counts are larger than the limits of pack-v1 §10, and fileBytes() cannot overflow.
Result<void> parseHeader(std::span<const std::uint8_t> bytes, Header &header);
inline Result<Header> parseHeader(std::span<const std::uint8_t> bytes) {
  Header header;
  KIMIC_TRY(parseHeader(bytes, header));
  return header;
}

/// SHA-256 of the header: the digest that names a pack and, through the chain of hashes, pins every byte of it but the
/// signatures. REQUIRES: at least 256 bytes.
Digest packDigest(std::span<const std::uint8_t> headerBytes);

/// Verifies the hash of the root and reads it. `bytes` is exactly the section header.root.
Result<void> parseRoot(const Header &header, std::span<const std::uint8_t> bytes, Root &root);
inline Result<Root> parseRoot(const Header &header, std::span<const std::uint8_t> bytes) {
  Root root;
  KIMIC_TRY(parseRoot(header, bytes, root));
  return root;
}

/// What the first answer needs, pack-v1 §13, in one range: kernel group 0, the router's parameters, and the leaves of
/// the routed experts, or leaf 0 without a router; with branches, branch 0 instead of leaves.
Section hotRange(const Header &header, const Root &root);

/// Reads the rows of a branch from its raw bytes: one per leaf of the branch.
/// REQUIRES: header.branchLog2 is not 0, branch < header.branchCount().
Result<void> parseBranch(const Header &header, const Root &root, std::uint32_t branch,
                         std::span<const std::uint8_t> raw, Array<BlockRef> &leaves);
inline Result<Array<BlockRef>> parseBranch(const Header &header, const Root &root, std::uint32_t branch,
                                           std::span<const std::uint8_t> raw) {
  Array<BlockRef> leaves;
  KIMIC_TRY(parseBranch(header, root, branch, raw, leaves));
  return leaves;
}

/// The rows of all leaves of a whole file, whose branches are verified. PackBlockHash besides the errors of
/// parseBranch. REQUIRES: file.size() >= header.fileBytes().
Result<std::vector<BlockRef>> leafRows(const Header &header, const Root &root, std::span<const std::uint8_t> file);

/// Turns stored bytes into raw ones. `stored` must be block.storedLength and `output` block.rawLength bytes, `base` the
/// raw bytes of the base, as many as `output`, if block.codec is Delta, else it is not looked at; all of `output` is
/// written on success, nothing useful on failure. The hash is verified before anything is decoded.
/// PackBlockSize, PackBlockHash, PackLz4*, PackSparseMalformed.
Result<void> decodeBlock(const BlockRef &block, std::span<const std::uint8_t> stored,
                         std::span<const std::uint8_t> base, std::span<std::uint8_t> output);

/// The same for blocks whose codec is not Delta.
inline Result<void> decodeBlock(const BlockRef &block, std::span<const std::uint8_t> stored,
                                std::span<std::uint8_t> output) {
  return decodeBlock(block, stored, {}, output);
}

/// Reads leaf number `leaf` from its raw bytes. Every data block of the result lies within header.data, is aligned and
/// within the limits, and every kernel, base and next expert exists. REQUIRES: leaf < header.leafCount().
Result<void> parseLeaf(const Header &header, std::uint32_t leaf, std::span<const std::uint8_t> raw, Leaf &result);
inline Result<Leaf> parseLeaf(const Header &header, std::uint32_t leaf, std::span<const std::uint8_t> raw) {
  Leaf result;
  KIMIC_TRY(parseLeaf(header, leaf, raw, result));
  return result;
}

/// Whether expert `base` can be the base of an expert whose block of codec Delta stands for `rawLength` bytes:
/// PackEntryBase.
Result<void> checkBase(std::uint32_t expert, std::uint32_t base, std::uint32_t rawLength, Codec baseCodec,
                       std::uint32_t baseRawLength);

/// Reads the signatures of kernel group number `group` from the raw bytes of its block: one valid signature per kernel,
/// each into what `at(index)` refers to. REQUIRES: group < header.groupCount().
template <class At>
Result<void> parseSignatures(const Header &header, std::uint32_t group, std::span<const std::uint8_t> raw, At at) {
  ByteReader in(raw);
  const std::uint32_t expected = header.kernelsIn(group), count = in.u32();
  if (in.ok() && count != expected)
    return makeError(ErrorId::PackSignatureCount, group, count, expected);
  for (std::uint32_t i = 0; i < count; ++i) {
    std::span<const std::uint8_t> bytes = in.take(in.u32());
    if (!in.ok())
      break;
    KIMIC_TRY(quant::decodeSignature(bytes, at(i)));
  }
  if (!in.ok() || in.remaining())
    return makeError(ErrorId::PackSignaturesMalformed, group, in.position());
  return {};
}
inline Result<std::vector<quant::Signature>> parseSignatures(const Header &header, std::uint32_t group,
                                                             std::span<const std::uint8_t> raw) {
  std::vector<quant::Signature> signatures(header.kernelsIn(group));
  KIMIC_TRY(parseSignatures(header, group, raw, [&](std::size_t i) -> auto & { return signatures[i]; }));
  return signatures;
}

/// Looks at the plan in the raw bytes of its block, which the result refers to: the lists of every expert are where it
/// says, but nothing is known of what is in them. verifyPack() judges that; who runs experts does as it meets them.
/// On an error `plan` stays as it was. REQUIRES: the bytes are 4-byte aligned.
Result<void> parsePlan(std::span<const std::uint8_t> raw, Plan &plan);
inline Result<Plan> parsePlan(std::span<const std::uint8_t> raw) {
  Plan plan;
  KIMIC_TRY(parsePlan(raw, plan));
  return plan;
}

/// Whether the expert's data block has a size that its kernel can read: layout.parameterBytes, or some multiples of 16
/// more if residual rows may follow, and `columnBytes` behind them: Router::columnBytes() of the router's own network,
/// else 0.
/// quant::validateParameters judges the bytes before the columns. REQUIRES: layout == layoutOf(signature).
Result<void> checkParameters(std::uint32_t expert, const ExpertEntry &entry, const quant::Signature &signature,
                             const quant::Layout &layout, std::uint64_t columnBytes = 0);

/// Whether the router's own network has one output per routed expert, or those of a grid of product keys.
Result<void> checkRouter(const Router &router, std::uint32_t outputs);

/// The columns at the end of the raw data block of the router's own network. REQUIRES: the block is 4-byte aligned and
/// checkParameters accepts its size.
RouterColumns columnsOf(const Router &router, std::span<const std::uint8_t> block);

/// Whether the numbers in the columns are finite and in range. PackRouterColumn.
Result<void> checkColumns(const RouterColumns &columns);

} // namespace kimic::pack
