#include "formats/pack/JsonSyntax.h"

#include <string_view>

namespace kimic::pack {
namespace {

class Checker {
public:
  explicit Checker(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}

  std::size_t run() {
    skipSpace();
    if (peek() != '{' || !value(0))
      return position_;
    skipSpace();
    return position_ == bytes_.size() ? kNoJsonError : position_;
  }

private:
  int peek() const { return position_ < bytes_.size() ? bytes_[position_] : -1; }

  bool accept(int byte) {
    if (peek() != byte)
      return false;
    ++position_;
    return true;
  }

  bool acceptInRange(int low, int high) {
    if (peek() < low || peek() > high)
      return false;
    ++position_;
    return true;
  }

  void skipSpace() {
    while (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r')
      ++position_;
  }

  bool literal(std::string_view word) {
    for (char letter : word)
      if (!accept(letter))
        return false;
    return true;
  }

  bool digits() {
    if (!acceptInRange('0', '9'))
      return false;
    while (acceptInRange('0', '9'))
      ;
    return true;
  }

  bool number() {
    accept('-');
    if (!accept('0') && !digits())
      return false;
    if (accept('.') && !digits())
      return false;
    if (accept('e') || accept('E')) {
      if (!accept('+'))
        accept('-');
      return digits();
    }
    return true;
  }

  bool escape() {
    if (accept('u')) {
      for (int i = 0; i < 4; ++i)
        if (!acceptInRange('0', '9') && !acceptInRange('a', 'f') && !acceptInRange('A', 'F'))
          return false;
      return true;
    }
    for (char letter : std::string_view("\"\\/bfnrt"))
      if (accept(letter))
        return true;
    return false;
  }

  bool continuation(int count) {
    for (; count; --count)
      if (!acceptInRange(0x80, 0xBF))
        return false;
    return true;
  }

  /// One UTF-8 sequence of two to four bytes: no overlong forms, no surrogates, nothing past U+10FFFF.
  bool multibyte() {
    if (acceptInRange(0xC2, 0xDF))
      return continuation(1);
    if (accept(0xE0))
      return acceptInRange(0xA0, 0xBF) && continuation(1);
    if (accept(0xED))
      return acceptInRange(0x80, 0x9F) && continuation(1);
    if (acceptInRange(0xE1, 0xEF))
      return continuation(2);
    if (accept(0xF0))
      return acceptInRange(0x90, 0xBF) && continuation(2);
    if (accept(0xF4))
      return acceptInRange(0x80, 0x8F) && continuation(2);
    return acceptInRange(0xF1, 0xF3) && continuation(3);
  }

  bool string() {
    if (!accept('"'))
      return false;
    while (!accept('"')) {
      if (accept('\\')) {
        if (!escape())
          return false;
      } else if (!acceptInRange(0x20, 0x7F) && !multibyte()) {
        return false;
      }
    }
    return true;
  }

  bool value(unsigned depth) {
    switch (peek()) {
    case '{':
    case '[':
      return depth < kMaxJsonDepth && container(depth);
    case '"':
      return string();
    case 't':
      return literal("true");
    case 'f':
      return literal("false");
    case 'n':
      return literal("null");
    default:
      return number();
    }
  }

  bool container(unsigned depth) {
    const bool isObject = peek() == '{';
    const int close = isObject ? '}' : ']';
    ++position_;
    skipSpace();
    if (accept(close))
      return true;
    for (;;) {
      skipSpace();
      if (isObject) {
        if (!string())
          return false;
        skipSpace();
        if (!accept(':'))
          return false;
        skipSpace();
      }
      if (!value(depth + 1))
        return false;
      skipSpace();
      if (accept(close))
        return true;
      if (!accept(','))
        return false;
    }
  }

  std::span<const std::uint8_t> bytes_;
  std::size_t position_ = 0;
};

} // namespace

std::size_t findJsonObjectError(std::span<const std::uint8_t> bytes) { return Checker(bytes).run(); }

} // namespace kimic::pack
