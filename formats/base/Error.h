// What went wrong, as a number of the catalogue plus up to three integers.
//
// An Error is trivially copyable and carries no text: the runtime's wasm holds no strings, and C++, TypeScript and
// Python print the same sentence from the same catalogue (Errors.def). What to do about an error depends on its kind.
#pragma once

#include <array>
#include <cstdint>

namespace kimic {

/// What kind of failure an error is. Recovery policy and exit codes are functions of the kind only.
enum class ErrorKind : std::uint8_t {
  InvalidArgument = 1, ///< the caller or an input file is wrong; the same call fails again
  NotFound,            ///< the named thing does not exist
  DataLoss,            ///< stored bytes are corrupt, truncated or inconsistent
  Unsupported,         ///< valid, but this version cannot do it
  ResourceExhausted,   ///< a budget (memory, count, size) is used up
  FailedPrecondition,  ///< right call, wrong state
  Unavailable,         ///< may succeed when tried again
  Cancelled,           ///< stopped on request
  AccuracyLoss,        ///< the compiled expert misses its accuracy budget
  Untrusted,           ///< signature, digest or kernel verification refused it
  Internal,            ///< a bug of kimic
};

enum class ErrorId : std::uint16_t {
  None = 0,
#define KIMIC_ERROR(name, number, kind, text) name = number,
#include "formats/base/Errors.def"
#undef KIMIC_ERROR
};

/// The kind of `id`; Internal for None and for numbers that are not in the catalogue.
constexpr ErrorKind kindOf(ErrorId id) {
  switch (id) {
#define KIMIC_ERROR(name, number, kind, text)                                                                          \
  case ErrorId::name:                                                                                                  \
    return ErrorKind::kind;
#include "formats/base/Errors.def"
#undef KIMIC_ERROR
  case ErrorId::None:
    break;
  }
  return ErrorKind::Internal;
}

struct Error {
  ErrorId id = ErrorId::None;
  std::array<std::uint64_t, 3> args{};

  constexpr ErrorKind kind() const { return kindOf(id); }
  friend bool operator==(const Error &, const Error &) = default;
};

/// Makes an Error with up to three integer arguments, in the order of the template's {0} {1} {2}. Inlined, so that
/// where it goes (Result, Core) can take the numbers themselves, out of line.
[[gnu::always_inline]] constexpr Error makeError(ErrorId id, std::uint64_t a = 0, std::uint64_t b = 0,
                                                 std::uint64_t c = 0) {
  return Error{id, {a, b, c}};
}

} // namespace kimic
