// Between the runtime and a host whose replies get lost, come late, twice, or in another order.
//
// The runtime owns the memory of a read until its request is completed, and a host that writes there afterwards would
// damage what lies there by then. So replies are handed over here with their bytes: they are copied if somebody still
// waits for them, and dropped if not. A request that is not answered in time is completed with ReadStalled, and
// whoever needed it asks again. No I/O, no clock of its own.
#pragma once

#include "runtime/include/kimic/Runtime.h"
#include "runtime/recover/Recovery.h"

#include <map>
#include <span>

namespace kimic::runtime {

class Exchange {
public:
  /// `patience`: how long a reply may take.
  Exchange(KimicRuntime *runtime, Milliseconds patience) : runtime_(runtime), patience_(patience) {}

  /// Takes the next request that the host has not seen; false if there is none.
  bool next(KimicRequest &request, Milliseconds now);

  /// Bytes that arrived for a read, however many. False if nobody waits for them any more.
  bool deliver(std::uint32_t request, std::span<const std::uint8_t> bytes);
  /// The outcome of a link request, as kimic_complete() takes it.
  bool linked(std::uint32_t request, std::uintptr_t value);
  /// The request failed: a number of Errors.def.
  bool fail(std::uint32_t request, ErrorId error);

  /// Completes what is overdue; how many requests that were.
  std::uint32_t expire(Milliseconds now);
  /// When the next request is overdue, or kNever.
  Milliseconds nextDeadline() const;

  std::size_t underWay() const { return waiting_.size(); }

private:
  struct Waiting {
    KimicRequest request;
    Milliseconds deadline;
  };
  /// Ends the request: false if it is unknown.
  bool complete(std::uint32_t request, ErrorId error, std::uintptr_t value);

  KimicRuntime *runtime_;
  Milliseconds patience_;
  std::map<std::uint32_t, Waiting> waiting_; ///< by request id, so by time of asking and so by deadline
};

} // namespace kimic::runtime
