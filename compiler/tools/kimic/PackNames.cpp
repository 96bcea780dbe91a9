#include "compiler/tools/kimic/PackNames.h"

#include "compiler/tools/kimic/Command.h"
#include "formats/manifest/Json.h"
#include "formats/manifest/Spelling.h"
#include "formats/pack/JsonSyntax.h"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>

namespace kimic::tool {

std::size_t argmax(std::span<const float> values) {
  return static_cast<std::size_t>(std::max_element(values.begin(), values.end()) - values.begin());
}

std::string ExpertNames::answer(std::span<const float> outputs) const {
  if (outputs.size() == 1 && labels.size() == 2)
    return labels[outputs[0] >= 0.5f];
  return !outputs.empty() && labels.size() == outputs.size() ? labels[argmax(outputs)] : "";
}

Json parseMetadata(const std::string &text) {
  // Checks the depth too, so that what walks over the tree may be recursive.
  std::span bytes(reinterpret_cast<const std::uint8_t *>(text.data()), text.size());
  if (pack::findJsonObjectError(bytes) != pack::kNoJsonError)
    return nullptr;
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  return json.is_object() ? json : Json();
}

/// Fit for a line of a terminal.
static std::string textOf(const Json &value) {
  std::string text = value.is_string() ? printable(value.get<std::string>()) : "";
  std::replace(text.begin(), text.end(), '\n', '?');
  return text;
}

static std::string textOf(const Json &object, const char *key) {
  auto at = object.find(key);
  return at != object.end() ? textOf(*at) : "";
}

std::vector<ExpertNames> expertNames(const Json &metadata, std::uint32_t count) {
  std::vector<ExpertNames> names(count);
  const Json *experts = nullptr;
  if (metadata.is_object())
    if (auto at = metadata.find("experts"); at != metadata.end() && at->is_array())
      experts = &*at;
  for (std::uint32_t i = 0; i < count; ++i) {
    ExpertNames &expert = names[i];
    if (experts && i < experts->size() && (*experts)[i].is_object()) {
      const Json &entry = (*experts)[i];
      expert.id = textOf(entry, "id");
      expert.name = textOf(entry, "name");
      expert.specialization = textOf(entry, "specialization");
      expert.task = textOf(entry, "task");
      if (auto labels = entry.find("labels"); labels != entry.end() && labels->is_array())
        for (const Json &label : *labels)
          expert.labels.push_back(textOf(label));
      if (auto fallback = entry.find("fallback");
          fallback != entry.end() && fallback->is_number_unsigned() && fallback->get<std::uint64_t>() < count)
        expert.fallback = fallback->get<std::uint32_t>();
    }
    if (expert.id.empty())
      expert.id = "#" + std::to_string(i);
  }
  return names;
}

std::uint32_t findExpert(const std::vector<ExpertNames> &names, const std::string &id, const std::string &pack) {
  std::vector<std::string_view> ids;
  for (std::uint32_t i = 0; i < names.size(); ++i) {
    if (names[i].id == id)
      return i;
    ids.push_back(names[i].id);
  }
  std::uint32_t number = 0;
  if (id.starts_with('#')) {
    auto [end, error] = std::from_chars(id.data() + 1, id.data() + id.size(), number);
    if (error == std::errc() && end == id.data() + id.size() && number < names.size())
      return number;
  }
  throw Failure(ExitCode::Failure, fmt::format("{}: the pack has no such expert: found {}, expected {}", pack,
                                               manifest::quote(id), manifest::expectedWord(id, ids)));
}

} // namespace kimic::tool
