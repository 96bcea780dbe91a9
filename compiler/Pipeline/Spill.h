// Byte strings by number that need not all stay in memory.
#pragma once

#include "formats/base/Diagnostic.h"
#include "formats/base/Result.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace kimic {

/// Keeps the first 64 MiB in memory and the others in a file in the folder for temporary files (TMPDIR, else /tmp),
/// which has no name and goes with this object. Threads may use it at the same time.
class Spill {
public:
  static constexpr std::size_t kMostInMemory = 64 << 20;

  explicit Spill(std::size_t mostInMemory = kMostInMemory) : mostInMemory_(mostInMemory) {}
  Spill(const Spill &) = delete;
  Spill &operator=(const Spill &) = delete;
  ~Spill();

  /// REQUIRES: nothing was put under this number. FileNotWritten.
  Result<void, Diagnostic> put(std::uint32_t number, std::vector<std::uint8_t> bytes);

  /// REQUIRES: something was. FileUnreadable.
  Result<std::vector<std::uint8_t>, Diagnostic> get(std::uint32_t number) const;

private:
  struct Entry {
    std::vector<std::uint8_t> bytes;
    std::uint64_t offset = 0, length = 0; ///< in the file, if there are no bytes
  };

  mutable std::mutex lock_;
  std::map<std::uint32_t, Entry> entries_;
  std::size_t mostInMemory_, inMemory_ = 0;
  std::string folder_;
  int file_ = -1;
  std::uint64_t fileBytes_ = 0;
};

} // namespace kimic
