// Reads a pack without doing I/O: the caller hands over the bytes of one part, the answer says where the next parts
// lie.
//
//   parseHeader(first 256 bytes)          -> sizes and places of all sections
//   parseRoot(header, root bytes)         -> rows of the leaves or branches, kernel blocks and metadata; the router
//   parseBranch(header, root, branch, raw) -> rows of the branch's leaves
//   decodeBlock(row, stored, base, output) -> raw bytes of any block, hash verified before decoding
//   parseLeaf(header, leaf, raw)          -> the experts' entries, with the rows of their data blocks
//   parseSignatures(header, group, raw)   -> what the group's kernels compute
//
// Every function is pure and thread-safe, checks everything that its bytes can show, and allocates at most in
// proportion to those bytes. What only a whole file can show (coverage, padding, counts) is checked by PackVerify.h.
// All errors are of the range 2000-2999, those of signatures 3000-3999.
#pragma once

#include "formats/base/Result.h"
#include "formats/pack/PackFormat.h"
#include "formats/quant/Layout.h"

#include <span>
#include <vector>

namespace kimic::pack {

/// Reads the header from the first 256 bytes of a file; further bytes are ignored. Neither the section lengths nor the
/// counts are larger than the limits of pack-v1 §9, and fileBytes() cannot overflow.
Result<Header> parseHeader(std::span<const std::uint8_t> bytes);

/// SHA-256 of the header: the digest that names a pack and, through the chain of hashes, pins every byte of it but the
/// signatures. REQUIRES: at least 256 bytes.
Digest packDigest(std::span<const std::uint8_t> headerBytes);

/// Verifies the hash of the root and reads it. `bytes` is exactly the section header.root.
Result<Root> parseRoot(const Header &header, std::span<const std::uint8_t> bytes);

/// What the first answer needs, pack-v1 §13, in one range: kernel group 0, the router's parameters, and the leaves of the
/// routed experts, or leaf 0 without a router; with branches, branch 0 instead of leaves.
Section hotRange(const Header &header, const Root &root);

/// Reads the rows of a branch from its raw bytes: one per leaf of the branch.
/// REQUIRES: header.branchLog2 is not 0, branch < header.branchCount().
Result<std::vector<BlockRef>> parseBranch(const Header &header, const Root &root, std::uint32_t branch,
                                          std::span<const std::uint8_t> raw);

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
Result<Leaf> parseLeaf(const Header &header, std::uint32_t leaf, std::span<const std::uint8_t> raw);

/// Whether the base of an entry of codec Delta can be one: PackEntryBase. `base` is the entry of expert entry.base.
Result<void> checkBase(std::uint32_t expert, const LeafEntry &entry, const LeafEntry &base);

/// Reads the signatures of kernel group number `group` from the raw bytes of its block: one valid signature per kernel.
/// REQUIRES: group < header.groupCount().
Result<std::vector<quant::Signature>> parseSignatures(const Header &header, std::uint32_t group,
                                                      std::span<const std::uint8_t> raw);

/// Whether the expert's data block has a size that its kernel can read: layout.parameterBytes, or at least that if
/// residual blocks may follow. quant::validateParameters judges the bytes. REQUIRES: layout == layoutOf(signature).
Result<void> checkParameters(std::uint32_t expert, const ExpertEntry &entry, const quant::Signature &signature,
                             const quant::Layout &layout);

/// Whether the signature of the router's own network has one output per routed expert.
Result<void> checkRouter(const Router &router, const quant::Signature &signature);

} // namespace kimic::pack
