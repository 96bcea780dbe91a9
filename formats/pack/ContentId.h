// The content id of a pack, pack-v1 §9: what it contains, whatever its bytes look like.
#pragma once

#include "formats/pack/PackFormat.h"

namespace kimic::pack {

/// Takes the parts of a pack in the order of pack-v1 §9; use once. All digests are of raw bytes.
class ContentId {
public:
  /// The counts of the header and the 64 bytes of the router record.
  ContentId(const Header &header, std::span<const std::uint8_t> routerRecord);

  /// The metadata; then, for every group, the signatures and the modules, from the lowest variant on; at the end the
  /// router's parameters.
  void add(const Digest &raw) { hash_.add(raw); }
  /// A listed expert, by number. `entry.data` is not looked at.
  void add(const ExpertEntry &entry, const Digest &parameters, std::span<const Transition> next);

  Digest finish() { return hash_.finish(); }

private:
  Sha256 hash_;
};

} // namespace kimic::pack
