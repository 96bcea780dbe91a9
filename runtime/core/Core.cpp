#include "runtime/core/Core.h"

namespace kimic::runtime {

Status Core::needParts() {
#ifdef __EMSCRIPTEN__
  constexpr std::uint32_t kFunctions = sizeof(Parts) / sizeof(parts.evaluate);
  if (parts.evaluate)
    return KIMIC_OK;
  if (partsLink.state == Ticket::State::Idle)
    requests.link(partsLink, nullptr, 0, 0, kFunctions, KIMIC_VARIANT_GENERIC);
  if (partsLink.state == Ticket::State::Waiting)
    return KIMIC_PENDING;
  const Ticket link = partsLink;
  partsLink.reset();
  if (link.state == Ticket::State::Failed)
    return fail(link.error);
  auto *functions = reinterpret_cast<std::uintptr_t *>(&parts); // a function pointer is a table index
  for (std::uint32_t i = 0; i < kFunctions; ++i)
    functions[i] = link.value + i;
#endif
  return KIMIC_OK;
}

} // namespace kimic::runtime
