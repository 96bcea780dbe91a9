// What a fuzzer claims of a result.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace kimic::test {

/// Ends the program, which a fuzzer takes for a crash, and says where, if the claim is false.
inline void require(bool claim, const char *file = __builtin_FILE(), int line = __builtin_LINE()) {
  if (claim)
    return;
  std::fprintf(stderr, "%s:%d: does not hold\n", file, line);
  std::abort();
}

} // namespace kimic::test
