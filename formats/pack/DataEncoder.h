// Encodes the parameter blocks of a set's experts: equal ones once, and as differences where an earlier expert is
// similar. Native only.
#pragma once

#include "formats/pack/DataCodec.h"
#include "formats/pack/PackWriter.h"

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <vector>

namespace kimic::pack {

/// Holds one base at a time, and some 150 bytes for each expert. What it decides depends on the blocks and on the order
/// of the experts' numbers, on nothing else.
class DataEncoder {
public:
  /// Gets the raw parameter block of an expert that was added.
  using RawSource = std::function<Result<void>(std::uint32_t expert, std::vector<std::uint8_t> &raw)>;

  explicit DataEncoder(RawSource raw) : raw_(std::move(raw)) {}

  /// What add() starts from, and most of its work: encodeData() of the block, or no more than its digest if an equal
  /// one was added. Threads may call it at the same time while nobody calls add(), and for several experts ahead.
  Result<EncodedData> encodeAlone(std::span<const std::uint8_t> raw) const;

  /// Adds the next expert, whose number is the count of experts so far, and its block as encodeAlone() returned it. If
  /// no earlier one had an equal block, `stored` gets the bytes that the caller keeps, for the block number that is the
  /// count of blocks so far; else it becomes empty. Returns whether the block is new. Errors of the source.
  Result<bool> add(std::uint32_t kernel, std::span<const std::uint8_t> raw, EncodedData alone,
                   std::vector<std::uint8_t> &stored);

  /// How an expert's block is stored.
  const DataBlock &blockOf(std::uint32_t expert) const { return blocks_[blockOf_[expert]]; }

  /// Puts the blocks into the directory in the order of the experts in `order` (each once; empty: by number) and tells
  /// its experts which is theirs. Returns add()'s number of each of the directory's blocks. PackContentsOrder.
  Result<std::vector<std::uint32_t>> place(std::span<const std::uint32_t> order, PackDirectory &directory) const;

private:
  RawSource raw_;
  std::map<Digest, std::uint32_t> blockWith_; ///< by digest of the raw bytes
  std::vector<DataBlock> blocks_;
  std::vector<std::uint32_t> blockOf_; ///< by expert
  BaseFinder bases_;
  std::vector<std::uint8_t> base_;
};

} // namespace kimic::pack
