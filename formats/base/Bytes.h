// Little-endian numbers in byte arrays: a reader that cannot leave its span, and the writer that makes such bytes.
//
// A ByteReader fails once and stays failed: after the first read past the end (or malformed varint) every read yields 0
// and ok() is false. So a parser reads a whole structure and asks once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace kimic {

/// The number at an address, little-endian and perhaps not aligned.
template <class T> T load(const std::uint8_t *at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

class ByteReader {
public:
  explicit ByteReader(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}

  bool ok() const { return ok_; }
  /// Offset of the next byte; after a failure, of the value that could not be read.
  std::size_t position() const { return position_; }
  std::size_t remaining() const { return bytes_.size() - position_; }

  std::uint8_t u8() { return static_cast<std::uint8_t>(fixed(1)); }
  std::uint16_t u16() { return static_cast<std::uint16_t>(fixed(2)); }
  std::uint32_t u32() { return static_cast<std::uint32_t>(fixed(4)); }
  std::uint64_t u64() { return fixed(8); }
  float f32() {
    std::uint32_t bits = u32();
    return load<float>(reinterpret_cast<const std::uint8_t *>(&bits));
  }

  /// The next `count` bytes, or an empty span and a failure.
  std::span<const std::uint8_t> take(std::size_t count);

  /// LEB128 of at most 64 bits in its shortest form; a longer form is a failure, so that bytes are canonical.
  std::uint64_t varint();
  /// A varint of at most 32 bits.
  std::uint32_t varint32() {
    std::uint64_t value = varint();
    ok_ &= value <= 0xFFFFFFFF;
    return ok_ ? static_cast<std::uint32_t>(value) : 0;
  }
  /// A varint that holds a zigzag-coded signed number.
  std::int64_t zigzag();

private:
  std::uint64_t fixed(unsigned bytes);

  std::span<const std::uint8_t> bytes_;
  std::size_t position_ = 0;
  bool ok_ = true;
};

class ByteWriter {
public:
  std::size_t size() const { return bytes_.size(); }
  std::vector<std::uint8_t> take() && { return std::move(bytes_); }

  void u8(std::uint8_t value) { bytes_.push_back(value); }
  void u16(std::uint16_t value) { fixed(value, 2); }
  void u32(std::uint32_t value) { fixed(value, 4); }
  void u64(std::uint64_t value) { fixed(value, 8); }
  void f32(float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    u32(bits);
  }
  void append(std::span<const std::uint8_t> bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }
  void zeros(std::size_t count) { bytes_.insert(bytes_.end(), count, std::uint8_t{0}); }
  void varint(std::uint64_t value);
  void zigzag(std::int64_t value);

private:
  void fixed(std::uint64_t value, unsigned bytes);

  std::vector<std::uint8_t> bytes_;
};

} // namespace kimic
