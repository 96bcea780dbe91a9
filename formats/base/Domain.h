// What an expert is about: a closed set, with the numbers that packs store.
#pragma once

#include <cstdint>

namespace kimic {

enum class Domain : std::uint8_t {
  Reasoning = 0,
  Coding = 1,
  Language = 2,
  Mathematics = 3,
  ToolUse = 4,
  Context = 5,
  Planning = 6,
  Creativity = 7,
};

inline constexpr unsigned kDomainCount = 8;

/// The word that manifests and reports use, "ToolUse" for example. REQUIRES: a number below kDomainCount.
constexpr const char *nameOf(Domain domain) {
  constexpr const char *kNames[kDomainCount] = {"Reasoning", "Coding",  "Language", "Mathematics",
                                                "ToolUse",   "Context", "Planning", "Creativity"};
  return kNames[static_cast<unsigned>(domain)];
}

} // namespace kimic
