#include "formats/pack/DataEncoder.h"

#include <optional>

namespace kimic::pack {

namespace {

/// Whether an order that is not empty names each of so many experts once.
Result<void> checkOrder(std::span<const std::uint32_t> order, std::size_t experts) {
  std::vector<std::uint32_t> times(order.empty() ? 0 : experts);
  for (std::uint32_t expert : order)
    if (expert >= experts || ++times[expert] > 1)
      return makeError(ErrorId::PackContentsOrder, expert, expert < experts ? times[expert] : 1, experts);
  for (std::size_t expert = 0; expert < times.size(); ++expert)
    if (times[expert] == 0)
      return makeError(ErrorId::PackContentsOrder, expert, 0, experts);
  return {};
}

} // namespace

Result<EncodedData> DataEncoder::encodeAlone(std::span<const std::uint8_t> raw) const {
  EncodedData known;
  known.block.rawSha256 = sha256(raw);
  if (blockWith_.contains(known.block.rawSha256))
    return known;
  return encodeData(raw);
}

Result<bool> DataEncoder::add(std::uint32_t kernel, std::span<const std::uint8_t> raw, EncodedData alone,
                              std::vector<std::uint8_t> &stored) {
  const auto expert = static_cast<std::uint32_t>(blockOf_.size());
  auto [known, isNew] = blockWith_.emplace(alone.block.rawSha256, static_cast<std::uint32_t>(blocks_.size()));
  blockOf_.push_back(known->second);
  stored.clear();
  if (!isNew)
    return false;
  if (const std::optional<std::uint32_t> base = bases_.find(kernel, raw)) {
    KIMIC_TRY(raw_(*base, base_));
    encodeAsDifferences(raw, *base, base_, alone);
  }
  if (alone.block.codec != Codec::Delta)
    bases_.keep(expert, kernel, raw);
  blocks_.push_back(alone.block);
  stored = std::move(alone.stored);
  return true;
}

Result<std::vector<std::uint32_t>> DataEncoder::place(std::span<const std::uint32_t> order,
                                                      PackDirectory &directory) const {
  KIMIC_TRY(checkOrder(order, blockOf_.size()));
  std::vector<std::uint32_t> numbers, indexOf(blocks_.size(), kNoExpert); // in the directory
  for (std::uint32_t i = 0; i < blockOf_.size(); ++i) {
    const std::uint32_t block = blockOf_[order.empty() ? i : order[i]];
    if (indexOf[block] != kNoExpert)
      continue;
    indexOf[block] = static_cast<std::uint32_t>(directory.blocks.size());
    directory.blocks.push_back(blocks_[block]);
    numbers.push_back(block);
  }
  for (std::uint32_t expert = 0; expert < blockOf_.size(); ++expert)
    directory.experts[expert].block = indexOf[blockOf_[expert]];
  return numbers;
}

} // namespace kimic::pack
