#include "runtime/recover/Recovery.h"

#include <algorithm>

namespace kimic::runtime {

Remedy remedyFor(ErrorKind kind, std::uint32_t attempt, bool hasCleanedUp, const RecoveryOptions &options) {
  switch (kind) {
  case ErrorKind::ResourceExhausted:
    if (!hasCleanedUp)
      return Remedy::EvictAndRetry;
    [[fallthrough]];
  case ErrorKind::Unavailable:
  case ErrorKind::DataLoss:
    return attempt < options.attempts ? Remedy::Retry : Remedy::Fallback;
  case ErrorKind::Internal:
  case ErrorKind::Unsupported:
  case ErrorKind::Untrusted:
  case ErrorKind::NotFound:
    return Remedy::Fallback;
  case ErrorKind::InvalidArgument:
  case ErrorKind::FailedPrecondition:
  case ErrorKind::Cancelled:
  case ErrorKind::AccuracyLoss:
    break;
  }
  return Remedy::Fail;
}

Milliseconds delayAfter(std::uint32_t attempt, double chance, const RecoveryOptions &options) {
  Milliseconds delay = std::min(options.firstDelay, options.longestDelay);
  if (options.backoff == RecoveryOptions::Backoff::Exponential)
    for (std::uint32_t i = 1; i < attempt && delay < options.longestDelay; ++i)
      delay = delay > options.longestDelay / 2 ? options.longestDelay : delay * 2;
  double part = 1 - options.jitter * chance;
  return static_cast<Milliseconds>(static_cast<double>(delay) * part);
}

bool CircuitBreaker::admits(Milliseconds now) {
  if (state_ == State::Open && now >= until_)
    state_ = State::HalfOpen;
  if (state_ == State::Open || isTrying_)
    return false;
  isTrying_ = state_ == State::HalfOpen;
  return true;
}

void CircuitBreaker::success() {
  state_ = State::Closed;
  isTrying_ = false;
  failures_ = 0;
}

void CircuitBreaker::failure(ErrorKind kind, Milliseconds now, const RecoveryOptions &options) {
  ++failures_;
  isTrying_ = false;
  // A trap is a bug, which does not go away.
  bool opens = state_ == State::HalfOpen || kind == ErrorKind::Internal || failures_ >= options.failuresToOpen;
  if (!opens)
    return;
  state_ = State::Open;
  until_ = now + options.openFor;
}

void CircuitBreaker::abandon() { isTrying_ = false; }

} // namespace kimic::runtime
