// A position in a text input: numbers without locale, white space, line numbers, excerpts for errors.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace kimic {

enum class NumberStatus : std::uint8_t {
  Ok,
  NotANumber, ///< no number here
  NotFinite,  ///< "inf", "nan", "1.#QNAN", or beyond the type's largest number
};

/// 1-based number of the line that holds `offset`; LF, CR LF and CR end lines.
std::uint32_t lineAt(std::string_view text, std::size_t offset);

/// `text` without a UTF-8 byte order mark.
std::string_view withoutByteOrderMark(std::string_view text);

/// The word (or line, if `wholeLine`) at the start of `text` in single quotes, cut to 40 characters, bytes that do not
/// print as \xNN; "end of text" if there is nothing but white space.
std::string excerpt(std::string_view text, bool wholeLine = false);

class TextScanner {
public:
  /// Scans text[begin, end); offsets count from the start of `text`.
  TextScanner(std::string_view text, std::size_t begin, std::size_t end) : text(text), at(begin), end(end) {}
  explicit TextScanner(std::string_view text) : TextScanner(text, 0, text.size()) {}

  std::size_t offset() const { return at; }
  bool atEnd() const { return at == end; }
  std::string_view rest() const { return text.substr(at, end - at); }
  /// REQUIRES: count <= rest().size().
  void skip(std::size_t count) { at += count; }
  /// White space is space, tab, CR, LF, vertical tab, form feed.
  void skipSpace();
  /// Skips white space, then takes `c` if it comes next.
  bool accept(char c);

  /// Skips white space, then takes [+-]digits. On failure the position is that of the bad text. NotFinite: not an
  /// int64.
  NumberStatus readInteger(std::int64_t &value);

  /// Skips white space, then takes a decimal number, rounded once to float as strtof does (too small becomes 0). A
  /// comma directly before a digit is a decimal point. On failure the position is that of the bad text.
  NumberStatus readFloat(float &value);

private:
  std::string_view text;
  std::size_t at;
  std::size_t end;

  char peek(std::size_t ahead = 0) const { return at + ahead < end ? text[at + ahead] : '\0'; }
};

} // namespace kimic
