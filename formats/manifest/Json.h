// JSON text as a tree that remembers its lines: what a reader of hand-written files needs for its errors.
#pragma once

#include "formats/base/Diagnostic.h"
#include "formats/base/Result.h"

#include <string>
#include <string_view>
#include <vector>

namespace kimic::manifest {

struct JsonValue {
  enum class Kind : std::uint8_t { Null, Boolean, Number, String, Array, Object };

  JsonValue() = default;
  explicit JsonValue(Kind kind) : kind(kind) {}

  Kind kind = Kind::Null;
  bool boolean = false;
  std::uint32_t line = 0;        ///< 1-based, where the value starts (for an object or array: its bracket)
  double number = 0;             ///< Number: rounded to double
  std::string text;              ///< String: its UTF-8 characters; Number: its digits as written
  std::vector<std::string> keys; ///< Object: as many as items, in the order written, all different
  std::vector<JsonValue> items;  ///< Array: elements; Object: the keys' values

  /// The member `key` of an object, or null.
  const JsonValue *find(std::string_view key) const;
};

/// A word for an error: `12`, `"relu"`, `an object`. At most about 60 printable characters.
std::string describe(const JsonValue &value);

/// Puts `text` in quotes, escapes what does not print and shortens it to about 60 characters.
std::string quote(std::string_view text);

/// The value as JSON without white space, members in their order, numbers as they were written.
std::string compact(const JsonValue &value);

struct JsonLimits {
  std::size_t maxDepth = 32;
  std::size_t maxValues = 4u << 20;
};

/// Reads RFC 8259 JSON in UTF-8 (a byte order mark is skipped). Refuses what most parsers let pass: a repeated key.
/// ManifestNotJson, ManifestTooLarge, ManifestKeyRepeated. `fileName` only goes into errors.
Result<JsonValue, Diagnostic> parseJson(std::string_view text, const std::string &fileName, JsonLimits limits = {});

} // namespace kimic::manifest
