#include "formats/base/Diagnostic.h"

namespace kimic {

static const char *templateOf(ErrorId id) {
  switch (id) {
#define KIMIC_ERROR(name, number, kind, text)                                                                          \
  case ErrorId::name:                                                                                                  \
    return text;
#include "formats/base/Errors.def"
#undef KIMIC_ERROR
  case ErrorId::None:
    break;
  }
  return "unknown error";
}

const char *nameOf(ErrorId id) {
  switch (id) {
#define KIMIC_ERROR(name, number, kind, text)                                                                          \
  case ErrorId::name:                                                                                                  \
    return #name;
#include "formats/base/Errors.def"
#undef KIMIC_ERROR
  case ErrorId::None:
    break;
  }
  return "None";
}

static std::string hex(std::uint64_t value) {
  std::string digits;
  do {
    digits.insert(digits.begin(), "0123456789abcdef"[value & 15]);
    value >>= 4;
  } while (value);
  return digits;
}

std::string message(const Error &error) {
  std::string out;
  for (const char *p = templateOf(error.id); *p; ++p) {
    bool isArgument = p[0] == '{' && p[1] >= '0' && p[1] <= '2';
    if (isArgument && p[2] == '}') {
      out += std::to_string(error.args[p[1] - '0']);
      p += 2;
    } else if (isArgument && p[2] == ':' && p[3] == 'x' && p[4] == '}') {
      out += hex(error.args[p[1] - '0']);
      p += 4;
    } else {
      out += *p;
    }
  }
  return out;
}

std::string Diagnostic::message() const {
  std::string out = file;
  if (line)
    out += ":" + std::to_string(line);
  if (!out.empty())
    out += ": ";
  if (!key.empty())
    out += key + ": ";
  out += templateOf(id);
  if (!found.empty())
    out += ": found " + found;
  if (!expected.empty())
    out += (found.empty() ? ": expected " : ", expected ") + expected;
  return out;
}

} // namespace kimic
