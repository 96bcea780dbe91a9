#include "runtime/recover/Exchange.h"

#include <algorithm>
#include <cstring>

namespace kimic::runtime {

bool Exchange::next(KimicRequest &request, Milliseconds now) {
  if (!kimic_next_request(runtime_, KIMIC_PREFETCH, &request))
    return false;
  waiting_.emplace(request.id, Waiting{request, now + patience_});
  return true;
}

bool Exchange::complete(std::uint32_t request, ErrorId error, std::uintptr_t value) {
  if (waiting_.erase(request) == 0)
    return false;
  kimic_complete(runtime_, request, static_cast<std::int32_t>(error), value);
  return true;
}

bool Exchange::deliver(std::uint32_t request, std::span<const std::uint8_t> bytes) {
  auto at = waiting_.find(request);
  if (at == waiting_.end())
    return false;
  const KimicRequest &asked = at->second.request;
  std::size_t count = std::min<std::size_t>(bytes.size(), asked.length);
  if (count)
    std::memcpy(reinterpret_cast<void *>(static_cast<std::uintptr_t>(asked.address)), bytes.data(), count);
  return complete(request, ErrorId::None, count);
}

bool Exchange::linked(std::uint32_t request, std::uintptr_t value) { return complete(request, ErrorId::None, value); }

bool Exchange::fail(std::uint32_t request, ErrorId error) { return complete(request, error, 0); }

std::uint32_t Exchange::expire(Milliseconds now) {
  std::uint32_t count = 0;
  while (!waiting_.empty() && waiting_.begin()->second.deadline <= now) {
    complete(waiting_.begin()->first, ErrorId::ReadStalled, static_cast<std::uintptr_t>(patience_));
    ++count;
  }
  return count;
}

Milliseconds Exchange::nextDeadline() const { return waiting_.empty() ? kNever : waiting_.begin()->second.deadline; }

} // namespace kimic::runtime
