// What the runtime has asked of the host: a queue of requests not yet taken, and the tickets of those under way.
//
// Whoever needs something owns a Ticket, asks with it, and looks at it again when polled. Nothing is called back.
#pragma once

#include "formats/base/Error.h"
#include "runtime/include/kimic/Runtime.h"

namespace kimic::runtime {

/// One thing asked of the host. Must stay at its address while it is Waiting.
struct Ticket {
  enum class State : std::uint8_t { Idle, Waiting, Done, Failed };

  State state = State::Idle;
  bool isTaken = false;     ///< the host has seen the request
  std::uintptr_t value = 0; ///< Done: what kimic_complete() was given
  Error error;              ///< Failed: why
  KimicRequest request{};
  Ticket *next = nullptr; ///< Waiting: the one asked after this
};

class HostRequests {
public:
  /// Asks for bytes [offset, offset + length) of the pack at `address`, valid until the ticket is Done or Failed.
  void read(Ticket &ticket, std::uint64_t offset, std::uint32_t length, void *address, KimicPriority priority);

  /// Asks for the kernels of the module at `address` to be put into the function table.
  void link(Ticket &ticket, const void *address, std::uint32_t length, std::uint32_t firstKernel,
            std::uint32_t kernelCount, std::uint32_t variant);

  /// The next request that was not taken yet, demanded ones first, then in order of asking; false if there is none of
  /// priority `lowest` or higher.
  bool next(KimicPriority lowest, KimicRequest &request);

  /// Takes back a read that the host has not seen: its ticket is Idle again. False if the host has seen it.
  bool withdraw(Ticket &ticket);

  /// Settles the ticket of a request: Done with `value` if `error` is None, else Failed. False if
  /// there is no such request.
  bool complete(std::uint32_t id, ErrorId error, std::uintptr_t value);

private:
  void ask(Ticket &ticket, std::uint32_t kind, const void *address, std::uint32_t length);

  Ticket *first_ = nullptr; ///< Waiting tickets in order of asking
  std::uint32_t lastId_ = 0;
};

} // namespace kimic::runtime
