// The pack's wire format as C++: constants and structures in the order of formats/spec/pack-v1.md, which is normative.
//
// The structures are decoded values, not memory images. No offset inside a section is stored in a pack: blocks follow
// each other at the next multiple of 64, so offsets are sums of lengths. The exception are data blocks, which experts
// share.
#pragma once

#include "formats/abi/KernelAbi.h"
#include "formats/base/Domain.h"
#include "formats/base/Sha256.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace kimic::pack {

inline constexpr std::array<std::uint8_t, 8> kMagic = {0x89, 'K', 'P', 'K', 0x0D, 0x0A, 0x1A, 0x0A};
inline constexpr std::uint16_t kMajor = 1;
inline constexpr std::uint16_t kMinor = 0;
inline constexpr std::uint8_t kHashSha256 = 1;

inline constexpr std::size_t kHeaderBytes = 256;
inline constexpr std::size_t kAlignment = 64;         ///< of every block
inline constexpr std::size_t kFirstReadBytes = 16384; ///< the root ends within them

// pack-v1 §9, "Limits".
inline constexpr std::uint64_t kMaxFileBytes = (std::uint64_t{1} << 53) - 1;
inline constexpr std::uint32_t kMaxBlockBytes = 16u << 20; ///< raw, of any block
inline constexpr std::uint32_t kMaxMetaBytes = 4u << 20;   ///< raw
inline constexpr std::uint32_t kMaxExperts = 1u << 24;
inline constexpr std::uint32_t kMaxKernels = 65536;
inline constexpr std::uint8_t kMinLeafLog2 = 8, kMaxLeafLog2 = 16;
inline constexpr std::uint8_t kMinGroupLog2 = 6, kMaxGroupLog2 = 8;

/// Offsets of header fields, pack-v1 §3; they are also the first arguments of errors about these fields.
inline constexpr std::size_t kVariantsAt = 25, kLeafLog2At = 26, kGroupLog2At = 27, kExpertsAt = 28, kKernelsAt = 32,
                             kDataBlocksAt = 36, kDataRawLengthAt = 40, kLengthsAt = 48, kReservedAt = 96,
                             kRootHashAt = 192, kHeaderHashAt = 224;

inline constexpr std::size_t kRootFixedBytes = 76; ///< router record and meta row
inline constexpr std::size_t kBlockRowBytes = 44;

inline constexpr unsigned kVariantCount = 3;
/// Index of a variant in arrays and its bit in Header::variants: 0 scalar, 1 simd128, 2 relaxed.
constexpr unsigned variantIndex(abi::Variant variant) { return static_cast<unsigned>(variant) - 1; }
constexpr abi::Variant variantAt(unsigned index) { return static_cast<abi::Variant>(index + 1); }

enum class Codec : std::uint8_t {
  Stored = 0,
  Lz4 = 1, ///< one LZ4 block, smaller than the raw bytes
};

enum class Head : std::uint8_t { Softmax = 0, Sigmoid = 1, ProductKeys = 2 };
enum class Strategy : std::uint8_t { Top1 = 0, TopK = 1, Threshold = 2 };
enum class Merge : std::uint8_t { Average = 0, Weighted = 1, Best = 2, Learned = 3, Vote = 4, Cascade = 5 };

/// Bits of the router record's first byte.
inline constexpr std::uint8_t kRouterPresent = 1, kRouterPlainWeights = 2, kRouterBias = 4, kRouterWeights = 8,
                              kRouterThresholds = 16, kRouterAllFlags = 31;
inline constexpr std::uint32_t kMaxTopK = 65535;
inline constexpr std::uint32_t kNoFallback = 0xFFFFFFFF;

constexpr std::uint64_t alignUp(std::uint64_t offset) {
  return (offset + (kAlignment - 1)) & ~std::uint64_t{kAlignment - 1};
}

/// The most raw bytes that `storedLength` bytes may stand for: LZ4's largest ratio, so nothing honest is refused and a
/// bomb needs 1/255 of its size in stored bytes.
constexpr std::uint64_t maxRawLength(std::uint64_t storedLength) { return 255 * storedLength + 64; }

/// Where a block lies in the file and what it must be.
struct BlockRef {
  std::uint64_t offset = 0; ///< from the start of the file
  std::uint32_t storedLength = 0;
  std::uint32_t rawLength = 0;
  Codec codec = Codec::Stored;
  Digest sha256{}; ///< of the stored bytes

  std::uint64_t end() const { return offset + storedLength; }
  friend bool operator==(const BlockRef &, const BlockRef &) = default;
};

struct Section {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;

  std::uint64_t end() const { return offset + length; }
};

/// pack-v1 §3.
struct Header {
  std::uint16_t major = kMajor;
  std::uint16_t minor = kMinor;
  std::uint32_t requiredFeatures = 0;
  std::uint32_t optionalFeatures = 0;
  std::uint32_t kernelAbi = abi::kVersion;
  std::uint8_t variants = 0; ///< bit variantIndex(v) is set if every kernel group has a module of variant v
  std::uint8_t leafLog2 = kMinLeafLog2;
  std::uint8_t groupLog2 = kMinGroupLog2;
  std::uint32_t experts = 0;
  std::uint32_t kernels = 0;
  std::uint32_t dataBlocks = 0;                               ///< distinct ones
  std::uint64_t dataRawLength = 0;                            ///< sum over the distinct data blocks
  Section root, leaves, meta, kernelBlocks, data, extensions; ///< in file order
  Digest rootSha256{};

  std::uint64_t fileBytes() const { return extensions.length ? extensions.end() : data.end(); }
  std::uint32_t leafCount() const { return ((experts - 1) >> leafLog2) + 1; }
  std::uint32_t groupCount() const { return ((kernels - 1) >> groupLog2) + 1; }
  std::uint32_t leafOf(std::uint32_t expert) const { return expert >> leafLog2; }
  std::uint32_t groupOf(std::uint32_t kernel) const { return kernel >> groupLog2; }
  /// First expert of a leaf, and how many it holds.
  std::uint32_t firstExpert(std::uint32_t leaf) const { return leaf << leafLog2; }
  std::uint32_t expertsIn(std::uint32_t leaf) const;
  /// First kernel of a group (export `k0` of its modules), and how many it holds.
  std::uint32_t firstKernel(std::uint32_t group) const { return group << groupLog2; }
  std::uint32_t kernelsIn(std::uint32_t group) const;
  bool hasVariant(abi::Variant variant) const { return (variants >> variantIndex(variant) & 1) != 0; }
};

inline std::uint32_t Header::expertsIn(std::uint32_t leaf) const {
  std::uint32_t left = experts - firstExpert(leaf);
  return left < (1u << leafLog2) ? left : 1u << leafLog2;
}

inline std::uint32_t Header::kernelsIn(std::uint32_t group) const {
  std::uint32_t left = kernels - firstKernel(group);
  return left < (1u << groupLog2) ? left : 1u << groupLog2;
}

/// pack-v1 §4.1: what the numbers of the router's network mean.
struct Router {
  std::uint32_t expert = 0; ///< the router's own network; always the last expert
  std::uint32_t routed = 0; ///< experts 0 .. routed-1 can be chosen
  Head head = Head::Softmax;
  Strategy strategy = Strategy::Top1;
  Merge merge = Merge::Average;
  std::uint32_t topK = 1;
  float temperature = 1;
  std::uint32_t minVotes = 0; ///< of Merge::Vote
  float scale = 1;            ///< of the weights
  float threshold = 0;        ///< of scores, where there is no column of them
  std::uint32_t fallback = kNoFallback; ///< answers when the router abstains
  bool isNormalised = true;             ///< weights are shares of the chosen experts
  bool hasBias = false, hasWeights = false, hasThresholds = false; ///< columns behind the network's parameters

  unsigned columns() const { return unsigned{hasBias} + unsigned{hasWeights} + unsigned{hasThresholds}; }
  /// Bytes of the columns.
  std::uint64_t columnBytes() const { return std::uint64_t{4} * columns() * routed; }

  friend bool operator==(const Router &, const Router &) = default;
};

/// The numbers for each routed expert behind the parameters of the router's network, pack-v1 §4.1; empty where the
/// record has no such column.
struct RouterColumns {
  std::span<const float> bias;       ///< added to scores for choosing only
  std::span<const float> weights;    ///< of Merge::Learned
  std::span<const float> thresholds; ///< least scores
};

/// The rows of the grid of a product-key router whose network has that many outputs: rows <= columns, rows + columns =
/// outputs, rows * columns = routed. 0 if there is no such grid, and for other heads.
constexpr std::uint32_t productRows(const Router &router, std::uint64_t outputs) {
  if (router.head == Head::ProductKeys)
    for (std::uint32_t rows = 1; rows <= outputs / 2; ++rows)
      if (rows * (outputs - rows) == router.routed)
        return rows;
  return 0;
}

struct KernelGroup {
  BlockRef signatures;
  std::array<BlockRef, kVariantCount> modules; ///< by variantIndex; meaningful where Header::hasVariant

  const BlockRef &module(abi::Variant variant) const { return modules[variantIndex(variant)]; }
};

/// pack-v1 §4.
struct Root {
  std::optional<Router> router;
  BlockRef meta;
  std::vector<BlockRef> leaves;
  std::vector<KernelGroup> groups;
};

/// One expert, pack-v1 §5. Its id is Header::firstExpert(leaf) plus its index in the leaf.
struct LeafEntry {
  std::uint32_t kernel = 0;
  Domain domain = Domain::Reasoning;
  std::uint8_t flags = 0;        ///< no bits are defined
  float confidenceThreshold = 0; ///< 0..1
  BlockRef data;                 ///< the parameter block; rawLength >= Layout::parameterBytes of the kernel's signature

  friend bool operator==(const LeafEntry &, const LeafEntry &) = default;
};

using Leaf = std::vector<LeafEntry>;

} // namespace kimic::pack
