#include "formats/manifest/Json.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <nlohmann/json.hpp>
#include <numeric>

namespace kimic::manifest {

namespace {

/// Walks the text for the parser and tells how far it has come, which is how values learn their lines.
class CountingIterator {
public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char *;
  using reference = const char &;

  CountingIterator(const char *position, const char **furthest) : position_(position), furthest_(furthest) {}
  reference operator*() const { return *position_; }
  CountingIterator &operator++() {
    *furthest_ = ++position_;
    return *this;
  }
  friend bool operator==(const CountingIterator &a, const CountingIterator &b) { return a.position_ == b.position_; }

private:
  const char *position_;
  const char **furthest_;
};

using Json = nlohmann::json;

/// Receives the parser's events and builds the tree.
class TreeBuilder {
public:
  TreeBuilder(const char *begin, const char *const *furthest, const std::string &fileName, JsonLimits limits)
      : furthest_(furthest), counted_(begin), fileName_(fileName), limits_(limits) {}

  bool null() { return add(JsonValue(JsonValue::Kind::Null)); }
  bool boolean(bool value) {
    JsonValue leaf(JsonValue::Kind::Boolean);
    leaf.boolean = value;
    return add(std::move(leaf));
  }
  bool number_integer(Json::number_integer_t value) {
    return addNumber(static_cast<double>(value), std::to_string(value));
  }
  bool number_unsigned(Json::number_unsigned_t value) {
    return addNumber(static_cast<double>(value), std::to_string(value));
  }
  bool number_float(Json::number_float_t value, const std::string &digits) { return addNumber(value, digits); }
  bool string(std::string &value) {
    JsonValue leaf(JsonValue::Kind::String);
    leaf.text = std::move(value);
    return add(std::move(leaf));
  }
  bool binary(Json::binary_t &) { return false; } // JSON text has none

  bool start_object(std::size_t) { return open(JsonValue::Kind::Object); }
  bool start_array(std::size_t) { return open(JsonValue::Kind::Array); }
  bool key(std::string &value) {
    open_.back()->keys.push_back(std::move(value));
    return true;
  }
  bool end_array() {
    open_.pop_back();
    return true;
  }
  bool end_object() {
    const JsonValue &object = *open_.back();
    std::vector<const std::string *> sorted;
    for (const std::string &key : object.keys)
      sorted.push_back(&key);
    std::sort(sorted.begin(), sorted.end(), [](const auto *a, const auto *b) { return *a < *b; });
    auto repeated =
        std::adjacent_find(sorted.begin(), sorted.end(), [](const auto *a, const auto *b) { return *a == *b; });
    if (repeated != sorted.end())
      return fail(ErrorId::ManifestKeyRepeated, object.line, quote(**repeated), "each key once");
    open_.pop_back();
    return true;
  }

  bool parse_error(std::size_t, const std::string &, const Json::exception &exception) {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error while parsing value - unexpected
    // X; expected Y". Line and sentence are ours, what it found and expected are taken from it.
    std::string_view text = exception.what();
    for (std::string_view separator : {"] ", " - ", "unexpected "})
      if (std::size_t at = text.find(separator); at != text.npos)
        text.remove_prefix(at + separator.size());
    std::size_t at = text.find("; expected ");
    std::string_view expected = at == text.npos ? "" : text.substr(at + std::string_view("; expected ").size());
    return fail(ErrorId::ManifestNotJson, line(), std::string(text.substr(0, at)), std::string(expected));
  }

  JsonValue &root() { return root_; }
  const Diagnostic &error() const { return error_; }

private:
  bool addNumber(double value, std::string digits) {
    JsonValue leaf(JsonValue::Kind::Number);
    leaf.number = value;
    leaf.text = std::move(digits);
    return add(std::move(leaf));
  }

  bool open(JsonValue::Kind kind) {
    if (open_.size() == limits_.maxDepth)
      return fail(ErrorId::ManifestTooLarge, line(), "deeper nesting",
                  "at most " + std::to_string(limits_.maxDepth) + " levels");
    if (!add(JsonValue(kind)))
      return false;
    open_.push_back(open_.empty() ? &root_ : &open_.back()->items.back());
    return true;
  }

  bool add(JsonValue value) {
    if (++values_ > limits_.maxValues)
      return fail(ErrorId::ManifestTooLarge, line(), "more values", "at most " + std::to_string(limits_.maxValues));
    value.line = line();
    if (open_.empty())
      root_ = std::move(value);
    else
      open_.back()->items.push_back(std::move(value));
    return true;
  }

  bool fail(ErrorId id, std::uint32_t line, std::string found, std::string expected) {
    error_ = {id, fileName_, line, "", std::move(found), std::move(expected)};
    return false;
  }

  /// The line of the token just read. The last character read is left out: a number is known to end only when the
  /// character after it, often the end of the line, has been read.
  std::uint32_t line() {
    if (*furthest_ > counted_) {
      line_ += static_cast<std::uint32_t>(std::count(counted_, *furthest_ - 1, '\n'));
      counted_ = *furthest_ - 1;
    }
    return line_;
  }

  const char *const *furthest_;
  const char *counted_;
  std::uint32_t line_ = 1;
  const std::string &fileName_;
  JsonLimits limits_;
  std::size_t values_ = 0;
  JsonValue root_;
  /// From the root to the innermost open value. A pointer stays valid: its parent takes no new item before it closes.
  std::vector<JsonValue *> open_;
  Diagnostic error_;
};

void appendCompact(const JsonValue &value, std::string &out) {
  switch (value.kind) {
  case JsonValue::Kind::Null:
    out += "null";
    break;
  case JsonValue::Kind::Boolean:
    out += value.boolean ? "true" : "false";
    break;
  case JsonValue::Kind::Number:
    out += value.text;
    break;
  case JsonValue::Kind::String:
    out += Json(value.text).dump();
    break;
  case JsonValue::Kind::Array:
  case JsonValue::Kind::Object: {
    bool isObject = value.kind == JsonValue::Kind::Object;
    out += isObject ? '{' : '[';
    for (std::size_t i = 0; i < value.items.size(); ++i) {
      if (i)
        out += ',';
      if (isObject)
        out += Json(value.keys[i]).dump() + ':';
      appendCompact(value.items[i], out);
    }
    out += isObject ? '}' : ']';
    break;
  }
  }
}

} // namespace

const JsonValue *JsonValue::find(std::string_view key) const {
  auto at = std::find(keys.begin(), keys.end(), key);
  return at == keys.end() ? nullptr : &items[static_cast<std::size_t>(at - keys.begin())];
}

std::string quote(std::string_view text) {
  constexpr std::size_t kMaxBytes = 60;
  bool isCut = text.size() > kMaxBytes;
  if (isCut) {
    std::size_t end = kMaxBytes;
    while (end > 0 && (text[end] & 0xC0) == 0x80) // do not cut a UTF-8 sequence
      --end;
    text = text.substr(0, end);
  }
  // Bytes that are not UTF-8 come from file names and command lines.
  std::string out = Json(std::string(text)).dump(-1, ' ', false, Json::error_handler_t::replace);
  if (isCut)
    out += "...";
  return out;
}

std::string describe(const JsonValue &value) {
  switch (value.kind) {
  case JsonValue::Kind::Null:
    return "null";
  case JsonValue::Kind::Boolean:
    return value.boolean ? "true" : "false";
  case JsonValue::Kind::Number:
    return value.text.size() <= 60 ? value.text : value.text.substr(0, 60) + "...";
  case JsonValue::Kind::String:
    return quote(value.text);
  case JsonValue::Kind::Array:
    return "an array of " + std::to_string(value.items.size());
  case JsonValue::Kind::Object:
    return "an object";
  }
  return "";
}

std::string compact(const JsonValue &value) {
  std::string out;
  appendCompact(value, out);
  return out;
}

Result<JsonValue, Diagnostic> parseJson(std::string_view text, const std::string &fileName, JsonLimits limits) {
  const char *begin = text.data(), *end = begin + text.size(), *furthest = begin;
  TreeBuilder builder(begin, &furthest, fileName, limits);
  if (!Json::sax_parse(CountingIterator(begin, &furthest), CountingIterator(end, &furthest), &builder))
    return builder.error();
  return std::move(builder.root());
}

} // namespace kimic::manifest
