#include "runtime/core/Arena.h"

namespace kimic::runtime {

struct Arena::Block {
  std::uint32_t bytes;         // with this header, a multiple of 16
  std::uint32_t previousBytes; // of the block before it, 0 for the first
  std::uint32_t isFree;
  std::uint32_t use; // KimicMemoryUse of a live one
  // Only in free blocks, inside what would be the payload:
  std::uint32_t nextFree, previousFree;
};

static constexpr std::uint32_t kHeaderBytes = 16;
static constexpr std::uint32_t kSmallestBlock = 32;

Arena::Block *Arena::blockAt(std::uint32_t offset) const { return reinterpret_cast<Block *>(base_ + offset); }

std::uint32_t Arena::offsetOf(const Block *block) const {
  return static_cast<std::uint32_t>(reinterpret_cast<const std::uint8_t *>(block) - base_);
}

Arena::Block *Arena::next(const Block *block) const {
  std::uint32_t end = offsetOf(block) + block->bytes;
  return end < size_ ? blockAt(end) : nullptr;
}

void Arena::reset(void *base, std::size_t bytes, std::size_t cap, Grow grow) {
  base_ = static_cast<std::uint8_t *>(base);
  usable_ = static_cast<std::uint32_t>(bytes) & ~15u;
  cap_ = static_cast<std::uint32_t>(cap);
  grow_ = grow;
  for (std::uint32_t &first : firstFree_)
    first = kNoBlock;
}

static std::uint32_t classOf(std::uint32_t bytes) { return 31 - static_cast<std::uint32_t>(__builtin_clz(bytes)); }

std::uint32_t &Arena::listOf(const Block *block) { return firstFree_[classOf(block->bytes)]; }

void Arena::link(Block *block) {
  std::uint32_t &first = listOf(block);
  block->isFree = 1;
  block->previousFree = kNoBlock;
  block->nextFree = first;
  if (first != kNoBlock)
    blockAt(first)->previousFree = offsetOf(block);
  first = offsetOf(block);
}

void Arena::unlink(Block *block) {
  block->isFree = 0;
  if (block->previousFree != kNoBlock)
    blockAt(block->previousFree)->nextFree = block->nextFree;
  else
    listOf(block) = block->nextFree;
  if (block->nextFree != kNoBlock)
    blockAt(block->nextFree)->previousFree = block->previousFree;
}

Arena::Block *Arena::findFree(std::uint32_t bytes, Placement placement) const {
  Block *best = nullptr;
  for (std::uint32_t list = classOf(bytes); list < kClasses; ++list) {
    for (std::uint32_t offset = firstFree_[list]; offset != kNoBlock; offset = blockAt(offset)->nextFree) {
      Block *block = blockAt(offset);
      if (block->bytes < bytes)
        continue;
      if (!best || (placement == Placement::Lowest ? block < best : block->bytes < best->bytes))
        best = block;
    }
    if (best && placement == Placement::Tightest)
      break; // those of later lists are larger
  }
  return best;
}

// Appends a block of `bytes` at the end of the region, reusing a free last block.
Arena::Block *Arena::extend(std::uint32_t bytes) {
  Block *end = size_ ? blockAt(last_) : nullptr;
  bool reuses = end && end->isFree;
  std::uint32_t start = reuses ? last_ : size_;
  if (start > cap_ || bytes > cap_ - start)
    return nullptr;
  if (start + bytes > usable_) {
    constexpr std::uint32_t kGranule = 65536;
    std::uint32_t missing = start + bytes - usable_;
    // Grows by an eighth at least, so that many small allocations do not mean many growths.
    std::uint32_t generous = missing > usable_ / 8 ? missing : usable_ / 8;
    generous = (generous + kGranule - 1) / kGranule * kGranule;
    if (generous > cap_ - usable_)
      generous = missing;
    if (!grow_ || !grow_(generous))
      return nullptr;
    usable_ += generous;
  }
  std::uint32_t before = reuses ? end->previousBytes : end ? end->bytes : 0;
  if (reuses)
    unlink(end);
  Block *block = blockAt(start);
  block->bytes = bytes;
  block->previousBytes = before;
  block->isFree = 0;
  size_ = start + bytes;
  last_ = start;
  return block;
}

void *Arena::allocate(std::size_t bytes, Placement placement) {
  if (bytes > cap_)
    return nullptr;
  std::uint32_t needed = (static_cast<std::uint32_t>(bytes) + kHeaderBytes + 15u) & ~15u;
  if (needed < kSmallestBlock)
    needed = kSmallestBlock;
  Block *block = findFree(needed, placement);
  if (block) {
    unlink(block);
    if (block->bytes - needed >= kSmallestBlock) {
      Block *after = next(block);
      std::uint32_t restBytes = block->bytes - needed;
      block->bytes = needed;
      Block *rest = blockAt(offsetOf(block) + needed);
      rest->bytes = restBytes;
      rest->previousBytes = needed;
      link(rest);
      if (after)
        after->previousBytes = restBytes;
      else
        last_ = offsetOf(rest);
    }
  } else {
    block = extend(needed);
    if (!block)
      return nullptr;
  }
  block->use = KIMIC_MEMORY_OTHER;
  ++allocations_;
  used_ += block->bytes;
  if (used_ > peak_)
    peak_ = used_;
  return reinterpret_cast<std::uint8_t *>(block) + kHeaderBytes;
}

void Arena::tag(void *address, KimicMemoryUse use) {
  reinterpret_cast<Block *>(static_cast<std::uint8_t *>(address) - kHeaderBytes)->use = use;
}

void Arena::survey(KimicMemory &memory) const {
#ifdef __EMSCRIPTEN__
  memory.linear = std::uint64_t{__builtin_wasm_memory_size(0)} << 16;
#else
  memory.linear = size_;
#endif
  memory.cap = cap_;
  memory.used = used_;
  memory.peak = peak_;
  memory.allocations = allocations_;
  for (const Block *block = size_ ? blockAt(0) : nullptr; block; block = next(block)) {
    std::uint32_t free = block->isFree ? block->bytes : 0;
    if (!block->isFree)
      memory.byUse[block->use] += block->bytes;
    if (offsetOf(block) == last_)
      free += cap_ - size_;
    if (free > memory.largestFree)
      memory.largestFree = free;
  }
}

void Arena::free(void *address) {
  if (!address)
    return;
  Block *block = reinterpret_cast<Block *>(static_cast<std::uint8_t *>(address) - kHeaderBytes);
  used_ -= block->bytes;
  Block *after = next(block);
  if (after && after->isFree) {
    unlink(after);
    block->bytes += after->bytes;
  }
  if (block->previousBytes) {
    Block *before = blockAt(offsetOf(block) - block->previousBytes);
    if (before->isFree) {
      unlink(before);
      before->bytes += block->bytes;
      block = before;
    }
  }
  link(block);
  if (Block *follower = next(block))
    follower->previousBytes = block->bytes;
  else
    last_ = offsetOf(block);
}

} // namespace kimic::runtime
