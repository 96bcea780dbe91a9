// The pack's wire format as C++: constants and structures in the order of formats/spec/pack-v1.md, which is normative.
//
// The structures are decoded values, not memory images. No offset inside a section is stored in a pack: blocks follow
// each other at the next multiple of 64, so offsets are sums of lengths. The exception are data blocks, which experts
// share.
#pragma once

#include "formats/abi/KernelAbi.h"
#include "formats/base/Array.h"
#include "formats/base/Domain.h"
#include "formats/base/Grid.h"
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
inline constexpr std::size_t kSignatureSlots = 4;
inline constexpr std::size_t kSignatureSlotBytes = 96; ///< public key, 32, and signature, 64
inline constexpr std::size_t kRootOffset = kHeaderBytes + kSignatureSlots * kSignatureSlotBytes;
inline constexpr std::size_t kAlignment = 64;         ///< of every block
inline constexpr std::size_t kFirstReadBytes = 16384; ///< the root ends within them
inline constexpr std::size_t kOpenReadBytes = 36864;  ///< what a reader over a network reads at first, pack-v1 §13
inline constexpr std::size_t kMostHotBytes = 49152;   ///< of the hot range, what it reads in one piece besides

// pack-v1 §10, "Limits".
inline constexpr std::uint64_t kMaxFileBytes = (std::uint64_t{1} << 53) - 1;
inline constexpr std::uint32_t kMaxBlockBytes = 16u << 20; ///< raw, of any block
inline constexpr std::uint32_t kMaxMetaBytes = 4u << 20;   ///< raw
inline constexpr std::uint32_t kMaxExperts = 1u << 24;
inline constexpr std::uint32_t kMaxKernels = 65536;
inline constexpr std::uint8_t kMinLeafLog2 = 6, kMaxLeafLog2 = 9;
inline constexpr std::uint8_t kMinGroupLog2 = 6, kMaxGroupLog2 = 8;
inline constexpr std::uint8_t kMaxBranchLog2 = 8; ///< 0: no branches
inline constexpr std::uint8_t kMaxTransitions = 16;
inline constexpr std::uint32_t kMaxPlanBytes = 4u << 20; ///< raw
inline constexpr std::uint32_t kMaxPlanLevel = 16;
inline constexpr std::uint32_t kMaxNeeds = 255, kMaxSources = 255; ///< of an expert

/// Bits of Header::requiredFeatures.
inline constexpr std::uint32_t kFeaturePlan = 1;

/// Offsets of header fields, pack-v1 §3; they are also the first arguments of errors about these fields.
inline constexpr std::size_t kVariantsAt = 25, kLeafLog2At = 26, kGroupLog2At = 27, kBranchLog2At = 28, kRouterAt = 29,
                             kTransitionsAt = 30, kExpertsAt = 32, kKernelsAt = 36, kDataBlocksAt = 40,
                             kDataRawLengthAt = 48, kLengthsAt = 56, kContentIdAt = 128, kRootHashAt = 192,
                             kHeaderHashAt = 224;

inline constexpr std::size_t kRouterBytes = 64; ///< router record
inline constexpr std::size_t kBlockRowBytes = 44;
inline constexpr std::size_t kBranchRowBytes = 40;

inline constexpr unsigned kVariantCount = 3;
/// Index of a variant in arrays and its bit in Header::variants: 0 scalar, 1 simd128, 2 relaxed.
constexpr unsigned variantIndex(abi::Variant variant) { return static_cast<unsigned>(variant) - 1; }
constexpr abi::Variant variantAt(unsigned index) { return static_cast<abi::Variant>(index + 1); }

enum class Codec : std::uint8_t {
  Stored = 0,
  Lz4 = 1,    ///< one LZ4 block, smaller than the raw bytes
  Sparse = 2, ///< differences from zero weights
  Delta = 3,  ///< differences from the raw bytes of another data block
  Zero = 4,   ///< no bytes: all raw bytes are 0
};
inline constexpr unsigned kCodecCount = 5;

constexpr const char *nameOf(Codec codec) {
  constexpr const char *kNames[kCodecCount] = {"stored", "lz4", "sparse", "delta", "zero"};
  return kNames[static_cast<unsigned>(codec)];
}

enum class Head : std::uint8_t { Softmax = 0, Sigmoid = 1, ProductKeys = 2 };
enum class Strategy : std::uint8_t { Top1 = 0, TopK = 1, Threshold = 2 };
enum class Merge : std::uint8_t { Average = 0, Weighted = 1, Best = 2, Learned = 3, Vote = 4, Cascade = 5 };

inline constexpr const char *kHeadNames[] = {"softmax", "sigmoid", "product-keys"};
inline constexpr const char *kStrategyNames[] = {"top-1", "top-k", "threshold"};
inline constexpr const char *kMergeNames[] = {"average", "weighted", "best", "learned", "vote", "cascade"};

constexpr const char *nameOf(Head head) { return kHeadNames[static_cast<unsigned>(head)]; }
constexpr const char *nameOf(Strategy strategy) { return kStrategyNames[static_cast<unsigned>(strategy)]; }
constexpr const char *nameOf(Merge merge) { return kMergeNames[static_cast<unsigned>(merge)]; }

/// Bits of the router record's byte 25.
inline constexpr std::uint8_t kRouterPlainWeights = 1, kRouterBias = 2, kRouterWeights = 4, kRouterThresholds = 8;

/// Stands for no expert.
inline constexpr std::uint32_t kNoExpert = 0xFFFFFFFF;

constexpr std::uint64_t alignUp(std::uint64_t offset) {
  return (offset + (kAlignment - 1)) & ~std::uint64_t{kAlignment - 1};
}

/// The most raw bytes that `storedLength` bytes may stand for: LZ4's largest ratio, so nothing honest is refused and a
/// bomb needs 1/255 of its size in stored bytes. Codec::Zero is apart.
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
  std::uint8_t branchLog2 = 0;  ///< 0: the root has the rows of all leaves
  std::uint8_t routers = 0;     ///< 1 if the last expert is the router, else 0
  std::uint8_t transitions = 0; ///< most next experts of an entry
  std::uint32_t experts = 0;    ///< the router included
  std::uint32_t kernels = 0;
  std::uint32_t dataBlocks = 0;    ///< distinct ones in the data section
  std::uint64_t dataRawLength = 0; ///< sum over the distinct data blocks
  /// In file order. kernelBlocks are those of groups 1 and up, except scalar modules.
  Section root, first, leaves, data, kernelBlocks, scalar, meta, extensions;
  Digest contentId{}, rootSha256{};

  std::uint64_t fileBytes() const { return extensions.length ? extensions.end() : meta.end(); }
  bool hasPlan() const { return (requiredFeatures & kFeaturePlan) != 0; }
  /// Whether an optional feature may use what is reserved, pack-v1 §3.
  bool isExtended() const { return optionalFeatures != 0; }
  /// Experts that have entries in leaves: all but the router.
  std::uint32_t listed() const { return experts - routers; }
  std::uint32_t leafCount() const { return ((listed() - 1) >> leafLog2) + 1; }
  /// REQUIRES: branchLog2 is not 0.
  std::uint32_t branchCount() const { return ((leafCount() - 1) >> branchLog2) + 1; }
  std::uint32_t groupCount() const { return ((kernels - 1) >> groupLog2) + 1; }
  std::uint32_t leafOf(std::uint32_t expert) const { return expert >> leafLog2; }
  std::uint32_t groupOf(std::uint32_t kernel) const { return kernel >> groupLog2; }
  /// First expert of a leaf, and how many it holds.
  std::uint32_t firstExpert(std::uint32_t leaf) const { return leaf << leafLog2; }
  std::uint32_t expertsIn(std::uint32_t leaf) const { return partOf(listed(), firstExpert(leaf), leafLog2); }
  /// First leaf of a branch, and how many it holds.
  std::uint32_t firstLeaf(std::uint32_t branch) const { return branch << branchLog2; }
  std::uint32_t leavesIn(std::uint32_t branch) const { return partOf(leafCount(), firstLeaf(branch), branchLog2); }
  /// First kernel of a group (export `k0` of its modules), and how many it holds.
  std::uint32_t firstKernel(std::uint32_t group) const { return group << groupLog2; }
  std::uint32_t kernelsIn(std::uint32_t group) const { return partOf(kernels, firstKernel(group), groupLog2); }
  bool hasVariant(abi::Variant variant) const { return (variants >> variantIndex(variant) & 1) != 0; }
  /// Bytes of the root as the counts want it. REQUIRES: counts within their limits.
  std::uint64_t rootBytes() const;

private:
  /// Not inlined: copies weigh on the size of the runtime.
  [[gnu::noinline]] static std::uint32_t partOf(std::uint32_t all, std::uint32_t first, std::uint8_t log2) {
    return all - first < (1u << log2) ? all - first : 1u << log2;
  }
};

inline std::uint64_t Header::rootBytes() const {
  std::uint64_t modules = 0;
  for (unsigned index = 0; index < kVariantCount; ++index)
    modules += variants >> index & 1;
  const std::uint64_t rows =
      groupCount() * (1 + modules) + routers + 1 + unsigned{hasPlan()} + (branchLog2 ? 0 : leafCount());
  return kRouterBytes + kBlockRowBytes * rows + (branchLog2 ? kBranchRowBytes * std::uint64_t{branchCount()} : 0);
}

/// Who claims to have signed a pack, pack-v1 §3, "Signatures". Whether it is true is not known here.
struct SignatureSlot {
  std::array<std::uint8_t, 32> publicKey{};
  std::array<std::uint8_t, 64> signature{};

  friend bool operator==(const SignatureSlot &, const SignatureSlot &) = default;
};

/// What every expert has, in a leaf or, for the router, in the root.
struct ExpertEntry {
  std::uint32_t kernel = 0;
  Domain domain = Domain::Reasoning;
  std::uint8_t flags = 0;        ///< no bits are defined
  float confidenceThreshold = 0; ///< 0..1
  BlockRef data;                 ///< the parameter block; rawLength >= Layout::parameterBytes of the kernel's signature

  friend bool operator==(const ExpertEntry &, const ExpertEntry &) = default;
};

/// pack-v1 §4, "Router record": what the outputs of the router's network mean. That network is the last expert.
struct Router {
  std::uint32_t routed = 0; ///< experts 0 .. routed-1 can be chosen
  Head head = Head::Softmax;
  Strategy strategy = Strategy::Top1;
  Merge merge = Merge::Average;
  std::uint32_t topK = 1;
  float temperature = 1;
  std::uint32_t minVotes = 0;                                      ///< of Merge::Vote
  float scale = 1;                                                 ///< of the weights
  float threshold = 0;                                             ///< of scores, where there is no column of them
  std::uint32_t fallback = kNoExpert;                              ///< answers when the router abstains
  bool isNormalised = true;                                        ///< weights are shares of the chosen experts
  bool hasBias = false, hasWeights = false, hasThresholds = false; ///< columns behind the network's parameters

  /// Bytes of the columns.
  std::uint64_t columnBytes() const {
    return std::uint64_t{4} * (unsigned{hasBias} + unsigned{hasWeights} + unsigned{hasThresholds}) * routed;
  }

  friend bool operator==(const Router &, const Router &) = default;
};

/// The numbers for each routed expert behind the parameters of the router's network, pack-v1 §4; empty where the record
/// has no such column.
struct RouterColumns {
  std::span<const float> bias;       ///< added to scores for choosing only
  std::span<const float> weights;    ///< of Merge::Learned
  std::span<const float> thresholds; ///< least scores
};

/// The rows of the grid of a product-key router whose network has that many outputs. 0 if there is no such grid, and
/// for other heads.
constexpr std::uint32_t productRows(const Router &router, std::uint64_t outputs) {
  return router.head == Head::ProductKeys ? gridRows(outputs, router.routed) : 0;
}

struct KernelGroup {
  BlockRef signatures;
  std::array<BlockRef, kVariantCount> modules; ///< by variantIndex; meaningful where Header::hasVariant

  const BlockRef &module(abi::Variant variant) const { return modules[variantIndex(variant)]; }
};

/// The rows of some leaves, in order, and where those leaves end.
struct Branch {
  BlockRef block; ///< the rows as a block of the file
  std::uint64_t end = 0;
};

/// pack-v1 §4.
struct Root {
  std::optional<Router> router;
  ExpertEntry routerEntry; ///< meaningful if there is a router
  BlockRef meta;
  BlockRef plan;          ///< meaningful if Header::hasPlan()
  Array<BlockRef> leaves; ///< empty if there are branches
  Array<Branch> branches; ///< empty if there are none
  Array<KernelGroup> groups;
};

/// An expert that often follows another one.
struct Transition {
  std::uint32_t expert = 0;
  std::uint8_t chance = 0; ///< about 256 times its probability, 1..255

  friend bool operator==(const Transition &, const Transition &) = default;
};

/// Numbers that an expert reads, pack-v1 §15.
struct Source {
  std::uint32_t expert = kNoExpert; ///< of whose outputs; kNoExpert: of the request
  std::uint32_t first = 0, count = 0;

  friend bool operator==(const Source &, const Source &) = default;
};

/// What experts read other than the whole request: a view of the raw bytes of the plan's block.
struct Plan {
  struct Entry {
    std::uint32_t expert, level;
    std::uint32_t needsEnd, sourcesEnd; ///< of its lists, which begin where those of the entry before it end
  };

  std::uint32_t features = 0;     ///< numbers in a request
  std::span<const Entry> entries; ///< by rising expert, behind the plan's first four numbers; empty without a plan
  const std::uint32_t *needs = nullptr;
  const Source *sources = nullptr;

  /// Null if the expert reads the whole request.
  const Entry *find(std::uint32_t expert) const;
  /// The experts that are needed before this one, each behind all that it reads.
  std::span<const std::uint32_t> needsOf(const Entry &entry) const {
    const std::uint32_t begin = (&entry)[-1].needsEnd;
    return {needs + begin, entry.needsEnd - begin};
  }
  std::span<const Source> sourcesOf(const Entry &entry) const {
    const std::uint32_t begin = (&entry)[-1].sourcesEnd;
    return {sources + begin, entry.sourcesEnd - begin};
  }
};

/// One listed expert, pack-v1 §5. Its number is Header::firstExpert(leaf) plus its index in the leaf.
struct LeafEntry : ExpertEntry {
  std::uint32_t base = kNoExpert;             ///< Codec::Delta: the expert from whose raw bytes `data` differs
  std::uint32_t firstNext = 0, nextCount = 0; ///< its next experts, in Leaf::next

  friend bool operator==(const LeafEntry &, const LeafEntry &) = default;
};

struct Leaf {
  Array<LeafEntry> entries;
  Array<Transition> next; ///< of all entries, one after another

  /// The experts that are likely after an entry, most likely first.
  std::span<const Transition> nextOf(const LeafEntry &entry) const {
    return {next.data() + entry.firstNext, entry.nextCount};
  }
};

} // namespace kimic::pack
