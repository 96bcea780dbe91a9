// All memory that the runtime uses, from one region with a hard cap.
//
// Blocks follow each other without gaps; each begins with a 16-byte header that knows its size and its predecessor's,
// so that freed neighbours merge. Free blocks are on lists by their size, a power of two each. The region may start
// small and grow at its end up to the cap (a WebAssembly memory) or be whole from the start (native memory). Not
// thread-safe.
#pragma once

#include "runtime/include/kimic/Runtime.h"

#include <cstddef>
#include <cstdint>

namespace kimic::runtime {

class Arena {
public:
  /// Makes `bytes` more usable at the end of the region; false if the system refuses.
  using Grow = bool (*)(std::size_t bytes);

  /// Which of the free blocks that are large enough is taken.
  enum class Placement : std::uint8_t {
    Tightest, ///< the smallest
    Lowest,   ///< that at the lowest address: keeps small things that stay from cutting the region into pieces
  };

  constexpr Arena() = default;
  Arena(const Arena &) = delete;
  Arena &operator=(const Arena &) = delete;

  /// Takes over a 16-byte-aligned region of which `bytes` are usable now and that `grow` (may be null) extends to at
  /// most `cap` bytes. REQUIRES: called once, bytes <= cap < 4 GiB.
  void reset(void *base, std::size_t bytes, std::size_t cap, Grow grow);

  /// Changes the cap; growth beyond it stops, what is in use stays.
  void setCap(std::size_t cap) { cap_ = static_cast<std::uint32_t>(cap); }

  /// 16-byte-aligned memory with undefined content, for KIMIC_MEMORY_OTHER, or null if no free range is large enough
  /// within the cap.
  void *allocate(std::size_t bytes, Placement placement = Placement::Tightest);

  /// Takes back what allocate() returned; null is allowed.
  void free(void *address);

  /// Says what the block that allocate() returned is for.
  static void tag(void *address, KimicMemoryUse use);

  /// Says what there is, and looks at every block: what the live ones are for, and how large the largest free one is,
  /// the end of the region included. The fields that are about experts stay as they are.
  void survey(KimicMemory &memory) const;

  std::uint64_t cap() const { return cap_; }
  /// Bytes of live allocations, with their headers and rounding.
  std::uint64_t used() const { return used_; }
  std::uint64_t peak() const { return peak_; }

private:
  struct Block;
  static constexpr std::uint32_t kClasses = 32;
  std::uint32_t &listOf(const Block *block);
  Block *blockAt(std::uint32_t offset) const;
  std::uint32_t offsetOf(const Block *block) const;
  Block *next(const Block *block) const;
  void link(Block *block);
  void unlink(Block *block);
  Block *findFree(std::uint32_t bytes, Placement placement) const;
  Block *extend(std::uint32_t bytes);

  std::uint8_t *base_ = nullptr;
  std::uint32_t size_ = 0;   ///< bytes of the region that are divided into blocks
  std::uint32_t usable_ = 0; ///< bytes of the region that may be touched, >= size_
  std::uint32_t cap_ = 0;
  std::uint32_t last_ = 0;                 ///< offset of the last block, meaningless while size_ is 0
  std::uint32_t firstFree_[kClasses] = {}; ///< offsets of free blocks, by the power of two in their sizes
  std::uint32_t used_ = 0, peak_ = 0;
  std::uint64_t allocations_ = 0;
  Grow grow_ = nullptr;

  static constexpr std::uint32_t kNoBlock = 0xFFFFFFFFu;
};

} // namespace kimic::runtime
