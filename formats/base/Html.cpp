#include "formats/base/Html.h"

namespace kimic {

std::string htmlEscaped(std::string_view text) {
  std::string out;
  for (char c : text) {
    switch (c) {
    case '&':
      out += "&amp;";
      break;
    case '<':
      out += "&lt;";
      break;
    case '>':
      out += "&gt;";
      break;
    case '"':
      out += "&quot;";
      break;
    default:
      auto code = static_cast<unsigned char>(c);
      out += code < 0x20 || code == 0x7F ? '?' : c;
    }
  }
  return out;
}

} // namespace kimic
