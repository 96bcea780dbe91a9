#include "formats/base/Bytes.h"

namespace kimic {

std::uint64_t ByteReader::fixed(unsigned bytes) {
  if (!ok_ || remaining() < bytes) {
    ok_ = false;
    return 0;
  }
  std::uint64_t value = 0;
  for (unsigned i = 0; i < bytes; ++i)
    value |= std::uint64_t{bytes_[position_ + i]} << (8 * i);
  position_ += bytes;
  return value;
}

std::span<const std::uint8_t> ByteReader::take(std::size_t count) {
  if (!ok_ || remaining() < count) {
    ok_ = false;
    return {};
  }
  std::span<const std::uint8_t> taken = bytes_.subspan(position_, count);
  position_ += count;
  return taken;
}

std::uint64_t ByteReader::varint() {
  std::uint64_t value = 0;
  std::size_t length = 0;
  while (ok_) {
    if (length == remaining() || length == 10) {
      ok_ = false;
      break;
    }
    std::uint8_t byte = bytes_[position_ + length];
    // The tenth byte holds one bit of a 64-bit number; a last byte of 0 after another one says nothing.
    if ((length == 9 && byte > 1) || (length > 0 && byte == 0)) {
      ok_ = false;
      break;
    }
    value |= std::uint64_t{byte & 0x7Fu} << (7 * length);
    ++length;
    if (byte < 0x80) {
      position_ += length;
      return value;
    }
  }
  return 0;
}

std::int64_t ByteReader::zigzag() {
  std::uint64_t value = varint();
  return static_cast<std::int64_t>((value >> 1) ^ (0 - (value & 1)));
}

void ByteWriter::fixed(std::uint64_t value, unsigned bytes) {
  for (unsigned i = 0; i < bytes; ++i)
    bytes_.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
}

void ByteWriter::varint(std::uint64_t value) {
  for (; value >= 0x80; value >>= 7)
    bytes_.push_back(static_cast<std::uint8_t>(value | 0x80));
  bytes_.push_back(static_cast<std::uint8_t>(value));
}

void ByteWriter::zigzag(std::int64_t value) {
  varint((static_cast<std::uint64_t>(value) << 1) ^ (value < 0 ? ~std::uint64_t{0} : 0));
}

} // namespace kimic
