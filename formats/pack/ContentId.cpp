#include "formats/pack/ContentId.h"

#include "formats/base/Bytes.h"

#include <string_view>

namespace kimic::pack {

ContentId::ContentId(const Header &header, std::span<const std::uint8_t> routerRecord) {
  constexpr std::string_view kName = "kimic-content-v1";
  ByteWriter out;
  out.append({reinterpret_cast<const std::uint8_t *>(kName.data()), kName.size()});
  out.u8(0);
  out.u32(header.experts);
  out.u32(header.kernels);
  out.u8(header.variants);
  out.u8(header.groupLog2);
  out.u8(header.routers);
  out.u8(header.transitions);
  out.append(routerRecord);
  hash_.add(std::move(out).take());
}

void ContentId::add(const ExpertEntry &entry, const Digest &parameters, std::span<const Transition> next) {
  ByteWriter out;
  out.u32(entry.kernel);
  out.u8(static_cast<std::uint8_t>(entry.domain));
  out.u8(entry.flags);
  out.f32(entry.confidenceThreshold);
  out.append(parameters);
  out.u8(static_cast<std::uint8_t>(next.size()));
  for (const Transition &transition : next) {
    out.u32(transition.expert);
    out.u8(transition.chance);
  }
  hash_.add(std::move(out).take());
}

} // namespace kimic::pack
