// What the programs that compare kimic with Debian's libfann share: repeatable random numbers, a file per network.
#pragma once

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <unistd.h>

namespace kimic::test {

/// xorshift64*: the same numbers everywhere.
class Random {
public:
  explicit Random(std::uint64_t seed) : state(seed * 0x9E3779B97F4A7C15u + 1) {}

  std::uint64_t bits() {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545F4914F6CDD1Du;
  }
  std::uint32_t below(std::uint32_t n) { return static_cast<std::uint32_t>((bits() >> 32) % n); }
  /// -1 to 1.
  float symmetric() { return static_cast<float>(static_cast<std::int64_t>(bits()) * 0x1p-63); }
  template <class T, std::size_t N> T pick(const T (&choices)[N]) { return choices[below(N)]; }

private:
  std::uint64_t state;
};

/// A file name that is the test's own; the file is removed at the end unless keep() was called.
class TemporaryFile {
public:
  explicit TemporaryFile(const std::string &suffix) {
    static int count = 0;
    name = "/tmp/kimic-" + std::to_string(::getpid()) + "-" + std::to_string(count++) + suffix;
  }
  TemporaryFile(const TemporaryFile &) = delete;
  ~TemporaryFile() {
    if (!isKept)
      std::remove(name.c_str());
  }

  const std::string &path() const { return name; }
  void keep() { isKept = true; }
  void write(const std::string &text) const { std::ofstream(name, std::ios::binary) << text; }
  std::string read() const {
    std::ostringstream out;
    out << std::ifstream(name, std::ios::binary).rdbuf();
    return out.str();
  }

private:
  std::string name;
  bool isKept = false;
};

} // namespace kimic::test
