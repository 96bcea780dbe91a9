#include "formats/data/TextScanner.h"

#include <charconv>
#include <cmath>

namespace kimic {

static bool isSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
static bool isDigit(char c) { return c >= '0' && c <= '9'; }

std::uint32_t lineAt(std::string_view text, std::size_t offset) {
  std::uint32_t line = 1;
  for (std::size_t i = 0; i < offset && i < text.size(); ++i)
    if (text[i] == '\n' || (text[i] == '\r' && (i + 1 == text.size() || text[i + 1] != '\n')))
      ++line;
  return line;
}

std::string_view withoutByteOrderMark(std::string_view text) {
  if (text.substr(0, 3) == "\xEF\xBB\xBF")
    text.remove_prefix(3);
  return text;
}

std::string excerpt(std::string_view text, bool wholeLine) {
  constexpr std::size_t kLongest = 40;
  std::size_t begin = 0;
  while (begin < text.size() && isSpace(text[begin]))
    ++begin;
  if (begin == text.size())
    return "end of text";
  std::string out = "'";
  for (std::size_t i = begin; i < text.size(); ++i) {
    unsigned char c = static_cast<unsigned char>(text[i]);
    bool isEndOfLine = c == '\n' || c == '\r';
    if (isEndOfLine || (!wholeLine && isSpace(text[i])))
      break;
    if (i - begin == kLongest) {
      out += "...";
      break;
    }
    if (c >= 32 && c < 127) {
      out += text[i];
    } else {
      out += "\\x";
      out += "0123456789abcdef"[c >> 4];
      out += "0123456789abcdef"[c & 15];
    }
  }
  return out + "'";
}

void TextScanner::skipSpace() {
  while (at < end && isSpace(text[at]))
    ++at;
}

bool TextScanner::accept(char c) {
  skipSpace();
  if (atEnd() || text[at] != c)
    return false;
  ++at;
  return true;
}

NumberStatus TextScanner::readInteger(std::int64_t &value) {
  skipSpace();
  std::size_t start = at + (peek() == '+' && isDigit(peek(1)) ? 1 : 0);
  auto [stop, code] = std::from_chars(text.data() + start, text.data() + end, value);
  if (code == std::errc::result_out_of_range)
    return NumberStatus::NotFinite;
  if (code != std::errc())
    return NumberStatus::NotANumber;
  at = static_cast<std::size_t>(stop - text.data());
  return NumberStatus::Ok;
}

/// Whether `word` begins, in any case, with the letters of `lower`.
static bool beginsWith(std::string_view word, std::string_view lower) {
  if (word.size() < lower.size())
    return false;
  for (std::size_t i = 0; i < lower.size(); ++i)
    if ((word[i] | 0x20) != lower[i])
      return false;
  return true;
}

NumberStatus TextScanner::readFloat(float &value) {
  skipSpace();
  // The number's text with a point instead of a comma and without '+', for from_chars. Longer than any number that
  // printf writes for a double.
  constexpr std::size_t kLongest = 1200;
  char digits[kLongest];
  std::size_t length = 0;
  std::size_t i = 0;
  bool isTooLong = false;
  auto take = [&](char c) {
    if (length < kLongest)
      digits[length++] = c;
    else
      isTooLong = true;
    ++i;
  };

  if (peek() == '-')
    take('-');
  else if (peek() == '+')
    ++i;
  if (beginsWith(rest().substr(i), "inf") || beginsWith(rest().substr(i), "nan"))
    return NumberStatus::NotFinite;
  std::size_t digitCount = 0;
  for (; isDigit(peek(i)); ++digitCount)
    take(peek(i));
  bool hasPoint = peek(i) == '.' || (peek(i) == ',' && isDigit(peek(i + 1)));
  if (hasPoint) {
    if (digitCount && peek(i + 1) == '#') // Microsoft's 1.#INF, 1.#QNAN
      return NumberStatus::NotFinite;
    take('.');
    for (; isDigit(peek(i)); ++digitCount)
      take(peek(i));
  }
  if (digitCount == 0 || isTooLong)
    return NumberStatus::NotANumber;
  std::size_t signs = peek(i + 1) == '-' || peek(i + 1) == '+' ? 1 : 0;
  bool hasNegativeExponent = false;
  if ((peek(i) == 'e' || peek(i) == 'E') && isDigit(peek(i + 1 + signs))) {
    hasNegativeExponent = peek(i + 1) == '-';
    take('e');
    if (signs) {
      if (hasNegativeExponent)
        take('-');
      else
        ++i;
    }
    while (isDigit(peek(i)))
      take(peek(i));
  }
  if (isTooLong)
    return NumberStatus::NotANumber;

  float parsed = 0;
  auto code = std::from_chars(digits, digits + length, parsed).ec;
  if (code == std::errc::result_out_of_range) {
    // from_chars does not say in which direction; a double tells, or else the exponent's sign.
    double wide = 0;
    bool isDouble = std::from_chars(digits, digits + length, wide).ec == std::errc();
    if (isDouble ? std::fabs(wide) > 1 : !hasNegativeExponent && digits[digits[0] == '-'] != '0')
      return NumberStatus::NotFinite;
    parsed = isDouble ? static_cast<float>(wide) : 0.0f;
    if (digits[0] == '-' && parsed == 0)
      parsed = -0.0f;
  } else if (code != std::errc()) {
    return NumberStatus::NotANumber;
  }
  if (!std::isfinite(parsed))
    return NumberStatus::NotFinite;
  value = parsed;
  at += i;
  return NumberStatus::Ok;
}

} // namespace kimic
