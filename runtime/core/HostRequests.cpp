#include "runtime/core/HostRequests.h"

namespace kimic::runtime {

void HostRequests::ask(Ticket &ticket, KimicRequest request) {
  ticket = Ticket{};
  ticket.state = Ticket::State::Waiting;
  request.id = ++lastId_;
  pending_.push_back({request, &ticket, false});
}

void HostRequests::read(Ticket &ticket, std::uint64_t offset, std::uint32_t length, void *address) {
  KimicRequest request{};
  request.kind = KIMIC_REQUEST_READ;
  request.offset = offset;
  request.address = reinterpret_cast<std::uintptr_t>(address);
  request.length = length;
  ask(ticket, request);
}

void HostRequests::link(Ticket &ticket, const void *address, std::uint32_t length, std::uint32_t firstKernel,
                        std::uint32_t kernelCount, std::uint32_t variant) {
  KimicRequest request{};
  request.kind = KIMIC_REQUEST_LINK;
  request.address = reinterpret_cast<std::uintptr_t>(address);
  request.length = length;
  request.firstKernel = firstKernel;
  request.kernelCount = kernelCount;
  request.variant = variant;
  ask(ticket, request);
}

bool HostRequests::next(KimicRequest &request) {
  for (Pending &pending : pending_)
    if (!pending.taken) {
      pending.taken = true;
      request = pending.request;
      return true;
    }
  return false;
}

Result<void> HostRequests::complete(std::uint32_t id, ErrorId error, std::uintptr_t value) {
  for (std::size_t i = 0; i < pending_.size(); ++i) {
    const KimicRequest &request = pending_[i].request;
    if (request.id != id || !pending_[i].taken)
      continue;
    Ticket &ticket = *pending_[i].ticket;
    if (error == ErrorId::None) {
      ticket.state = Ticket::State::Done;
      ticket.value = value;
    } else {
      ticket.state = Ticket::State::Failed;
      std::uint64_t where = request.kind == KIMIC_REQUEST_READ ? request.offset : request.firstKernel;
      ticket.error = makeError(error, value, where, request.length);
    }
    pending_.erase(pending_.begin() + static_cast<std::ptrdiff_t>(i));
    return {};
  }
  return makeError(ErrorId::UnknownRequest, id);
}

} // namespace kimic::runtime
