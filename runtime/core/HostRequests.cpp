#include "runtime/core/HostRequests.h"

namespace kimic::runtime {

void HostRequests::ask(Ticket &ticket, std::uint32_t kind, const void *address, std::uint32_t length) {
  ticket = Ticket{};
  ticket.state = Ticket::State::Waiting;
  ticket.request.id = ++lastId_;
  ticket.request.kind = kind;
  ticket.request.address = reinterpret_cast<std::uintptr_t>(address);
  ticket.request.length = length;
  Ticket **end = &first_;
  while (*end)
    end = &(*end)->next;
  *end = &ticket;
}

void HostRequests::read(Ticket &ticket, std::uint64_t offset, std::uint32_t length, void *address,
                        KimicPriority priority) {
  ask(ticket, KIMIC_REQUEST_READ, address, length);
  ticket.request.priority = priority;
  ticket.request.offset = offset;
}

void HostRequests::link(Ticket &ticket, const void *address, std::uint32_t length, std::uint32_t firstKernel,
                        std::uint32_t kernelCount, std::uint32_t variant) {
  ask(ticket, KIMIC_REQUEST_LINK, address, length);
  ticket.request.firstKernel = firstKernel;
  ticket.request.kernelCount = kernelCount;
  ticket.request.variant = variant;
}

bool HostRequests::next(KimicPriority lowest, KimicRequest &request) {
  Ticket *best = nullptr;
  for (Ticket *ticket = first_; ticket; ticket = ticket->next)
    if (!ticket->isTaken && ticket->request.priority <= static_cast<std::uint32_t>(lowest) &&
        (!best || ticket->request.priority < best->request.priority))
      best = ticket;
  if (!best)
    return false;
  best->isTaken = true;
  request = best->request;
  return true;
}

bool HostRequests::withdraw(Ticket &ticket) {
  if (ticket.isTaken)
    return false;
  Ticket **link = &first_;
  while (*link != &ticket)
    link = &(*link)->next;
  *link = ticket.next;
  ticket = Ticket{};
  return true;
}

bool HostRequests::complete(std::uint32_t id, ErrorId error, std::uintptr_t value) {
  for (Ticket **link = &first_; *link; link = &(*link)->next) {
    Ticket &ticket = **link;
    const KimicRequest &request = ticket.request;
    if (request.id != id || !ticket.isTaken)
      continue;
    *link = ticket.next;
    ticket.value = value;
    ticket.state = Ticket::State::Done;
    if (error != ErrorId::None) {
      ticket.state = Ticket::State::Failed;
      std::uint64_t where = request.kind == KIMIC_REQUEST_READ ? request.offset : request.firstKernel;
      ticket.error = makeError(error, value, where, request.length);
    }
    return true;
  }
  return false;
}

} // namespace kimic::runtime
