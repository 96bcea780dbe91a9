// Where the bytes of a pack are: in memory, in a file, or behind a URL, whose server should know ranges.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace kimic::tool {

class PackSource {
public:
  virtual ~PackSource() = default;

  /// These bytes, or as many as there are. A Failure if they cannot be read.
  virtual std::vector<std::uint8_t> read(std::uint64_t offset, std::uint64_t length) = 0;

  /// Size of the whole, or 0 if it is not known.
  virtual std::uint64_t size() const = 0;

  /// Says that this range is wanted in parts soon, which saves requests.
  virtual void prefetch(std::uint64_t offset, std::uint64_t length) = 0;
};

std::unique_ptr<PackSource> sourceOf(std::string bytes);

/// `place`: a file, or a URL of http: or https:. A server that ignores ranges is read once, up to 64 MiB (else
/// RangeIgnored).
std::unique_ptr<PackSource> openSource(const std::string &place);

} // namespace kimic::tool
