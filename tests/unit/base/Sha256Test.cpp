#include "formats/base/Sha256.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace kimic {
namespace {

std::string hex(const Digest &digest) {
  std::string text;
  for (std::uint8_t byte : digest) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

std::string hashOf(std::string_view text) {
  return hex(sha256({reinterpret_cast<const std::uint8_t *>(text.data()), text.size()}));
}

// The examples of FIPS 180-4 and of NIST's cryptographic algorithm validation program.
TEST(Sha256, HashesTheEmptyMessage) {
  EXPECT_EQ(hashOf(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Sha256, HashesOneBlock) {
  EXPECT_EQ(hashOf("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Sha256, HashesTwoBlocks) {
  EXPECT_EQ(hashOf("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST(Sha256, HashesFourBlocks) {
  EXPECT_EQ(
      hashOf("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnop"
             "qrstnopqrstu"),
      "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
}

TEST(Sha256, HashesAMillionLetters) {
  EXPECT_EQ(hashOf(std::string(1000000, 'a')), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, HashesOneByte) {
  EXPECT_EQ(hashOf("\xbd"), "68325720aabd7c82f30f554b313d0570c95accbb7dc4b5aae11204c08ffe732b");
}

TEST(Sha256, DoesNotDependOnHowTheBytesArrive) {
  std::vector<std::uint8_t> bytes(300);
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::uint8_t>(i * 7);
  for (std::size_t length = 0; length <= bytes.size(); ++length) {
    std::span<const std::uint8_t> message = std::span(bytes).first(length);
    Sha256 hash;
    for (std::size_t at = 0, piece = 1; at < length; at += piece, piece = piece % 70 + 1)
      hash.add(message.subspan(at, std::min(piece, length - at)));
    EXPECT_EQ(hash.finish(), sha256(message)) << length;
  }
}

} // namespace
} // namespace kimic
