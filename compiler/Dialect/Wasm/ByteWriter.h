// Bytes of a WebAssembly binary as they are written: LEB128 in its shortest form, everything else little-endian.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace kimic::wasm {

class ByteWriter {
public:
  void byte(std::uint8_t value) { bytes_.push_back(value); }

  void unsignedLeb(std::uint32_t value) {
    for (; value >= 0x80; value >>= 7)
      byte(static_cast<std::uint8_t>(value | 0x80));
    byte(static_cast<std::uint8_t>(value));
  }

  void signedLeb(std::int32_t value) {
    for (; value < -64 || value > 63; value >>= 7)
      byte(static_cast<std::uint8_t>((value & 0x7F) | 0x80));
    byte(static_cast<std::uint8_t>(value & 0x7F));
  }

  void fixed32(std::uint32_t value) {
    for (int shift = 0; shift < 32; shift += 8)
      byte(static_cast<std::uint8_t>(value >> shift));
  }

  /// The immediate of loads and stores; `alignment` is an exponent.
  void memoryArgument(std::uint32_t alignment, std::uint32_t offset) {
    unsignedLeb(alignment);
    unsignedLeb(offset);
  }

  /// An opcode in the form of Instruction::opcode().
  void opcode(std::uint32_t code) {
    if (code < 0x100)
      return byte(static_cast<std::uint8_t>(code));
    byte(0xFD);
    unsignedLeb(code - 0xFD00);
  }

  void text(std::string_view value) {
    unsignedLeb(static_cast<std::uint32_t>(value.size()));
    bytes_.insert(bytes_.end(), value.begin(), value.end());
  }

  void append(const ByteWriter &other) { bytes_.insert(bytes_.end(), other.bytes_.begin(), other.bytes_.end()); }

  /// A section: its id, its size, its content.
  void section(std::uint8_t id, const ByteWriter &content) {
    byte(id);
    unsignedLeb(static_cast<std::uint32_t>(content.size()));
    append(content);
  }

  std::size_t size() const { return bytes_.size(); }
  std::vector<std::uint8_t> take() { return std::move(bytes_); }

private:
  std::vector<std::uint8_t> bytes_;
};

} // namespace kimic::wasm
