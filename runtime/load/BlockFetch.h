// One block of the pack on its way into memory: asked for, arrived, hash verified, decoded.
#pragma once

#include "formats/pack/PackFormat.h"
#include "runtime/core/Core.h"

namespace kimic::runtime {

/// Must stay at its address while a read is under way. Its memory goes back with release(), or with the arena.
class BlockFetch {
public:
  /// Starts the read, or looks whether it is done: KIMIC_OK as soon as bytes() hold the raw block. An error (of the
  /// host, of the hash, of decoding, of memory) frees everything, so that the next poll starts again. A read that the
  /// host cancelled is no error: whoever polls still wants the block, so it is read again. `block` must be the same in
  /// every poll; nothing is read for one without stored bytes (of codec Zero).
  /// `base`: raw bytes of the base of a block of codec Delta; null while they are not there, which holds the decoding.
  Status poll(Core &core, const pack::BlockRef &block, const std::span<std::uint8_t> *base = nullptr);

  /// The raw block, 16-byte aligned, in memory of the cache. REQUIRES: poll() returned KIMIC_OK.
  std::span<std::uint8_t> bytes() const { return raw_; }

  /// Nobody wants the block any more: takes the read back if the host has not seen it.
  void withdraw(Core &core);

  /// Gives the raw block to the caller, who frees it, and becomes as new.
  std::span<std::uint8_t> take();

  bool isWaiting() const { return ticket_.state == Ticket::State::Waiting; }
  bool isCancelled() const {
    return ticket_.state == Ticket::State::Failed && ticket_.error.id == ErrorId::OperationCancelled;
  }

  /// Frees whatever there is and becomes as new. REQUIRES: not isWaiting().
  void release(Core &core);

private:
  Status finish(Core &core, const pack::BlockRef &block, std::span<const std::uint8_t> base);

  Ticket ticket_;
  std::uint8_t *stored_ = nullptr;
  std::span<std::uint8_t> raw_;
};

} // namespace kimic::runtime
