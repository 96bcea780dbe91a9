// Chooses how parameter blocks are stored: every codec is tried, the smallest wins. Native only.
//
// encodeData() is a pure function of its arguments, so blocks can be encoded in any order, by many threads or machines.
// Which experts are stored as differences from which is decided in the order of their numbers, by BaseFinder.
#pragma once

#include "formats/base/Result.h"
#include "formats/pack/PackFormat.h"

#include <array>
#include <map>
#include <optional>
#include <string>

namespace kimic::pack {

/// What is known about a block without its bytes.
struct DataBlock {
  Codec codec = Codec::Stored;
  std::uint32_t storedLength = 0, rawLength = 0;
  Digest sha256{};                ///< of the stored bytes
  Digest rawSha256{};             ///< of the raw bytes
  std::uint32_t base = kNoExpert; ///< Codec::Delta: an expert with the raw bytes that this block differs from

  friend bool operator==(const DataBlock &, const DataBlock &) = default;
};

struct EncodedData {
  DataBlock block;
  std::vector<std::uint8_t> stored;
};

/// The smallest form of a parameter block that needs no other block. PackBlockLength (no bytes), PackBlockTooLarge.
Result<EncodedData> encodeData(std::span<const std::uint8_t> raw);

/// Replaces encodeData() of a block by the differences from the expert `base`, whose raw bytes are as many, if that
/// saves a quarter: the base has to be read as well.
void encodeAsDifferences(std::span<const std::uint8_t> raw, std::uint32_t base, std::span<const std::uint8_t> baseRaw,
                         EncodedData &data);

/// Order-0 entropy of bytes, in bits per byte.
double entropyOf(std::span<const std::uint8_t> bytes);

/// Why a block got its codec, for people: "dense: 7.52 bits of entropy a byte". `raw` are its raw bytes.
std::string reasonFor(const DataBlock &block, std::span<const std::uint8_t> raw);

/// Finds, for each expert, an earlier one with similar parameters. Keeps 64 bytes for each of up to 8 possible bases
/// per kernel and length.
class BaseFinder {
public:
  /// The expert among those of keep() that `raw` is most similar to, if that is similar enough for an attempt.
  std::optional<std::uint32_t> find(std::uint32_t kernel, std::span<const std::uint8_t> raw) const;

  /// Makes the expert a possible base of later ones. REQUIRES: its own block is not stored as differences.
  void keep(std::uint32_t expert, std::uint32_t kernel, std::span<const std::uint8_t> raw);

private:
  static constexpr std::size_t kSamples = 64, kBases = 8;
  struct Base {
    std::uint32_t expert;
    std::array<std::uint8_t, kSamples> samples;
  };
  static std::array<std::uint8_t, kSamples> samplesOf(std::span<const std::uint8_t> raw);

  std::map<std::pair<std::uint32_t, std::size_t>, std::vector<Base>> bases_; ///< by kernel and length, oldest first
};

} // namespace kimic::pack
