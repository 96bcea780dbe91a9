#include "formats/pack/DataCodec.h"

#include "formats/pack/Lz4Block.h"
#include "formats/pack/SparseBlock.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace kimic::pack {

Result<EncodedData> encodeData(std::span<const std::uint8_t> raw) {
  if (raw.empty())
    return makeError(ErrorId::PackBlockLength, 0, 0, 0);
  if (raw.size() > kMaxBlockBytes)
    return makeError(ErrorId::PackBlockTooLarge, 0, raw.size(), kMaxBlockBytes);
  EncodedData result;
  DataBlock &block = result.block;
  block.rawLength = static_cast<std::uint32_t>(raw.size());
  block.rawSha256 = sha256(raw);
  if (std::all_of(raw.begin(), raw.end(), [](std::uint8_t byte) { return byte == 0; })) {
    block.codec = Codec::Zero;
    block.sha256 = sha256({});
    return result;
  }
  result.stored.assign(raw.begin(), raw.end());
  auto consider = [&](Codec codec, std::vector<std::uint8_t> stored, std::size_t limit) {
    if (!stored.empty() && stored.size() < limit) {
      block.codec = codec;
      result.stored = std::move(stored);
    }
  };
  std::vector<std::uint8_t> sparse = encodeSparse(raw);
  // High compression is slow on sparse data, where it has no chance: not if the fast one is far from the sparse form.
  const std::size_t worthwhile = sparse.empty() ? SIZE_MAX : sparse.size() + sparse.size() / 4;
  consider(Codec::Lz4, encodeLz4(raw, worthwhile), raw.size());
  consider(Codec::Sparse, std::move(sparse), result.stored.size());
  block.storedLength = static_cast<std::uint32_t>(result.stored.size());
  block.sha256 = block.codec == Codec::Stored ? block.rawSha256 : sha256(result.stored);
  return result;
}

void encodeAsDifferences(std::span<const std::uint8_t> raw, std::uint32_t base, std::span<const std::uint8_t> baseRaw,
                         EncodedData &data) {
  std::vector<std::uint8_t> stored = encodeDelta(raw, baseRaw);
  if (stored.empty() || stored.size() >= data.stored.size() - data.stored.size() / 4)
    return;
  data.block.codec = Codec::Delta;
  data.block.base = base;
  data.block.storedLength = static_cast<std::uint32_t>(stored.size());
  data.block.sha256 = sha256(stored);
  data.stored = std::move(stored);
}

double entropyOf(std::span<const std::uint8_t> bytes) {
  std::array<std::size_t, 256> counts{};
  for (std::uint8_t byte : bytes)
    ++counts[byte];
  double bits = 0;
  for (std::size_t count : counts)
    if (count) {
      double p = static_cast<double>(count) / static_cast<double>(bytes.size());
      bits -= p * std::log2(p);
    }
  return bits;
}

std::string reasonFor(const DataBlock &block, std::span<const std::uint8_t> raw) {
  const double kept = static_cast<double>(block.storedLength) / static_cast<double>(raw.size());
  char text[96];
  switch (block.codec) {
  case Codec::Stored:
    std::snprintf(text, sizeof text, "dense: %.2f bits of entropy a byte", entropyOf(raw));
    return text;
  case Codec::Lz4:
    std::snprintf(text, sizeof text, "repeats: %.1f %% of raw", 100 * kept);
    return text;
  case Codec::Sparse:
    std::snprintf(text, sizeof text, "zero weights: %.1f %% of raw", 100 * kept);
    return text;
  case Codec::Delta:
    std::snprintf(text, sizeof text, "like expert %u: %.1f %% of raw", block.base, 100 * kept);
    return text;
  case Codec::Zero:
    return "nothing but zeros";
  }
  return "";
}

std::array<std::uint8_t, BaseFinder::kSamples> BaseFinder::samplesOf(std::span<const std::uint8_t> raw) {
  std::array<std::uint8_t, kSamples> samples{};
  // From the second half of each stretch on, so that constants and scales at the start count little.
  for (std::size_t i = 0; i < kSamples; ++i)
    samples[i] = raw[raw.size() * (2 * i + 1) / (2 * kSamples)];
  return samples;
}

std::optional<std::uint32_t> BaseFinder::find(std::uint32_t kernel, std::span<const std::uint8_t> raw) const {
  auto known = bases_.find({kernel, raw.size()});
  if (known == bases_.end())
    return std::nullopt;
  const std::array<std::uint8_t, kSamples> samples = samplesOf(raw);
  // Bits that the differences take, roughly. Unrelated weights need about 6.5 a byte.
  unsigned fewest = 4 * kSamples;
  std::optional<std::uint32_t> best;
  for (const Base &base : known->second) {
    unsigned bits = 0;
    for (std::size_t i = 0; i < kSamples; ++i) {
      unsigned difference = static_cast<std::uint8_t>(samples[i] - base.samples[i]);
      for (unsigned code = difference < 128 ? 2 * difference : 511 - 2 * difference; code; code >>= 1)
        ++bits;
    }
    if (bits < fewest) {
      fewest = bits;
      best = base.expert;
    }
  }
  return best;
}

void BaseFinder::keep(std::uint32_t expert, std::uint32_t kernel, std::span<const std::uint8_t> raw) {
  std::vector<Base> &bases = bases_[{kernel, raw.size()}];
  if (bases.size() == kBases)
    bases.erase(bases.begin());
  bases.push_back({expert, samplesOf(raw)});
}

} // namespace kimic::pack
