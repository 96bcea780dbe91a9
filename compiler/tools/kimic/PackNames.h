// What a pack's metadata say about its experts. They come from outside and may say anything: what is missing or of the
// wrong type is left empty, and control characters become '?'.
#pragma once

#include "compiler/tools/kimic/JsonText.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kimic::tool {

struct ExpertNames {
  std::string id; ///< "#7" for expert 7 if the metadata do not say
  std::string name;
  std::string specialization;
  std::string task; ///< "classification", "regression" or empty
  std::vector<std::string> labels;
  std::optional<std::uint32_t> fallback; ///< the number of an expert that stands in for it

  /// The label of the strongest output ("no" or "yes" of two labels for a single output, by the middle of 0..1), or
  /// empty without labels.
  std::string answer(std::span<const float> outputs) const;
};

/// The metadata as JSON; null if they are no JSON object as pack-v1 wants it.
Json parseMetadata(const std::string &text);

/// Names of experts 0 .. count-1.
std::vector<ExpertNames> expertNames(const Json &metadata, std::uint32_t count);

/// The number of the expert with this id, or of "#7". A Failure that suggests an id if there is none.
std::uint32_t findExpert(const std::vector<ExpertNames> &names, const std::string &id, const std::string &pack);

/// Index of the greatest value, the first of equals. REQUIRES: not empty.
std::size_t argmax(std::span<const float> values);

} // namespace kimic::tool
