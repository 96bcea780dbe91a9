#include "compiler/tools/kimic/JsonText.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fmt/format.h>

namespace kimic::tool {

std::string shortest(float value) { return fmt::format("{}", value); }

Json number(float value) {
  if (std::isnan(value))
    return "NaN";
  if (std::isinf(value))
    return value < 0 ? "-Infinity" : "Infinity";
  // The double nearest to the float's shortest decimal prints as that decimal.
  return std::strtod(shortest(value).c_str(), nullptr);
}

Json numbers(std::span<const float> values) {
  Json out = Json::array();
  for (float value : values)
    out.push_back(number(value));
  return out;
}

Json rows(const Matrix &matrix) {
  Json out = Json::array();
  for (std::size_t r = 0; r < matrix.rows; ++r)
    out.push_back(numbers(matrix.row(r)));
  return out;
}

static void append(const Json &value, std::string &out, std::size_t indent) {
  bool isNested =
      value.is_object() ||
      (value.is_array() && std::any_of(value.begin(), value.end(), [](const Json &e) { return e.is_structured(); }));
  if (!isNested || value.empty()) {
    out += value.dump(-1, ' ', false, Json::error_handler_t::replace);
    return;
  }
  out += value.is_object() ? "{" : "[";
  bool isFirst = true;
  for (const auto &item : value.items()) {
    out += (isFirst ? "\n" : ",\n") + std::string(indent + 2, ' ');
    isFirst = false;
    if (value.is_object())
      out += Json(item.key()).dump(-1, ' ', false, Json::error_handler_t::replace) + ": ";
    append(item.value(), out, indent + 2);
  }
  out += "\n" + std::string(indent, ' ') + (value.is_object() ? "}" : "]");
}

std::string pretty(const Json &value) {
  std::string out;
  append(value, out, 0);
  return out + "\n";
}

} // namespace kimic::tool
