// An error in an input that a person wrote or a tool exported as text: where, what was found, what was expected.
#pragma once

#include "formats/base/Error.h"

#include <string>

namespace kimic {

struct Diagnostic {
  ErrorId id = ErrorId::None;
  std::string file;       ///< as the user named it
  std::uint32_t line = 0; ///< 1-based; 0 if the error is not at a line
  std::string key;        ///< FANN key, JSON path (`experts[3].network`), array name; may be empty
  std::string found;      ///< shortened to a printable excerpt by whoever sets it
  std::string expected;

  ErrorKind kind() const { return kindOf(id); }

  /// `file:line: key: <sentence of the catalogue>: found F, expected E`; absent parts are left out.
  std::string message() const;
};

/// The sentence of `error` with its arguments put in, as every language of kimic prints it.
std::string message(const Error &error);

/// The name in Errors.def ("PackTruncated"), or "None".
const char *nameOf(ErrorId id);

} // namespace kimic
