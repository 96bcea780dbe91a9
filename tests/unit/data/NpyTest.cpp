// The .npy reader: bytes written out here, and arrays that NumPy itself saved.
#include "formats/data/Npy.h"

#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <gtest/gtest.h>
#include <unistd.h>

using namespace kimic;

namespace {

std::string npy(const std::string &header, const std::string &elements, int version = 1) {
  std::string out = "\x93NUMPY";
  out += static_cast<char>(version);
  out += '\0';
  std::size_t length = header.size();
  for (int i = 0; i < (version == 1 ? 2 : 4); ++i, length >>= 8)
    out += static_cast<char>(length & 255);
  return out + header + elements;
}

template <class T> std::string bytesOf(std::initializer_list<T> values) {
  std::string out;
  for (T value : values)
    out.append(reinterpret_cast<const char *>(&value), sizeof value);
  return out;
}

std::string header(const std::string &descr, const std::string &shape, const std::string &order = "False") {
  return "{'descr': '" + descr + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }  \n";
}

void expectMatrix(const std::string &bytes, const Matrix &expected) {
  auto matrix = readNpy(bytes, "a.npy");
  ASSERT_TRUE(matrix.ok()) << matrix.error().message();
  EXPECT_EQ(*matrix, expected);
}

const Matrix kTwoByThree{2, 3, {1, 2, 3, 4, 5, 6}};

TEST(Npy, ReadsEveryVersion) {
  for (int version : {1, 2, 3})
    expectMatrix(npy(header("<f4", "(2, 3)"), bytesOf<float>({1, 2, 3, 4, 5, 6}), version), kTwoByThree);
}

TEST(Npy, ReadsFortranOrder) {
  expectMatrix(npy(header("<f4", "(2, 3)", "True"), bytesOf<float>({1, 4, 2, 5, 3, 6})), kTwoByThree);
}

TEST(Npy, ReadsEveryNumberType) {
  expectMatrix(npy(header("<f8", "(2, 3)"), bytesOf<double>({1, 2, 3, 4, 5, 6})), kTwoByThree);
  expectMatrix(npy(header("|i1", "(2, 3)"), bytesOf<std::int8_t>({1, 2, 3, 4, 5, 6})), kTwoByThree);
  expectMatrix(npy(header("|u1", "(2, 3)"), bytesOf<std::uint8_t>({1, 2, 3, 4, 5, 6})), kTwoByThree);
  expectMatrix(npy(header("<i2", "(2, 3)"), bytesOf<std::int16_t>({1, 2, 3, 4, 5, 6})), kTwoByThree);
  expectMatrix(npy(header("<u2", "(2, 3)"), bytesOf<std::uint16_t>({1, 2, 3, 4, 5, 6})), kTwoByThree);
  expectMatrix(npy(header("<i4", "(2, 3)"), bytesOf<std::int32_t>({1, 2, 3, 4, 5, 6})), kTwoByThree);
  expectMatrix(npy(header("<u4", "(2, 3)"), bytesOf<std::uint32_t>({1, 2, 3, 4, 5, 6})), kTwoByThree);
  expectMatrix(npy(header("<i8", "(2, 3)"), bytesOf<std::int64_t>({1, 2, 3, 4, 5, 6})), kTwoByThree);
  expectMatrix(npy(header("<u8", "(2, 3)"), bytesOf<std::uint64_t>({1, 2, 3, 4, 5, 6})), kTwoByThree);
  expectMatrix(npy(header("|b1", "(3,)"), std::string("\1\0\1", 3)), Matrix{3, 1, {1, 0, 1}});
}

TEST(Npy, KeepsSigns) {
  expectMatrix(npy(header("<i2", "(2,)"), bytesOf<std::int16_t>({-3, 7})), Matrix{2, 1, {-3, 7}});
}

TEST(Npy, ReadsAVectorAsOneColumn) {
  expectMatrix(npy(header("<f4", "(3,)"), bytesOf<float>({1, 2, 3})), Matrix{3, 1, {1, 2, 3}});
}

TEST(Npy, ReadsNoRows) { expectMatrix(npy(header("<f4", "(0, 4)"), ""), Matrix{0, 4, {}}); }

TEST(Npy, ReadsWhatNumPySaves) {
  std::string path = "/tmp/kimic-npy-" + std::to_string(::getpid()) + ".npy";
  for (std::string array : {"np.arange(1, 7, dtype='f4').reshape(2, 3)", "np.asfortranarray([[1., 2, 3], [4, 5, 6]])",
                            "np.arange(1, 7).reshape(2, 3)", "np.array([[1, 2, 3], [4, 5, 6]], 'u1')"}) {
    std::string command =
        "/usr/bin/python3 -c \"import numpy as np; np.save('" + path + "', " + array + ")\" 2>/dev/null";
    if (std::system(command.c_str()) != 0)
      GTEST_SKIP() << "no NumPy";
    auto matrix = readNpyFile(path);
    ASSERT_TRUE(matrix.ok()) << matrix.error().message();
    EXPECT_EQ(*matrix, kTwoByThree) << array;
  }
  std::remove(path.c_str());
}

void expectError(const std::string &bytes, const std::string &message) {
  auto matrix = readNpy(bytes, "a.npy");
  ASSERT_FALSE(matrix.ok());
  EXPECT_EQ(matrix.error().message(), message);
}

TEST(NpyErrors, Magic) {
  expectError("", "a.npy: header does not follow the format: found end of text, expected '\\x93NUMPY'");
  expectError("2 3 1\n", "a.npy: header does not follow the format: found '2', expected '\\x93NUMPY'");
  expectError("\x93NUMPY\x04\0\0\0", "a.npy: version: data end too early: found end of file, expected two bytes");
  expectError(npy("", "", 4), "a.npy: version: header does not follow the format: found 4, expected 1, 2 or 3");
}

TEST(NpyErrors, ObjectsAndOtherTypes) {
  expectError(npy(header("|O", "(2,)"), "pickle"),
              "a.npy: descr: element type is not supported: found a pickled object "
              "array, expected little-endian numbers, such as '<f4', '<f8' or '<i4'");
  expectError(npy(header(">f4", "(2,)"), "12345678"),
              "a.npy: descr: element type is not supported: found '>f4', expected "
              "little-endian numbers, such as '<f4', '<f8' or '<i4'");
  expectError(npy(header("<c8", "(1,)"), "12345678"),
              "a.npy: descr: element type is not supported: found '<c8', expected "
              "little-endian numbers, such as '<f4', '<f8' or '<i4'");
  expectError(
      npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", "1234"),
      "a.npy: descr: element type is not supported: found a structured type, expected a number type such as '<f4'");
}

TEST(NpyErrors, Shapes) {
  expectError(npy(header("<f4", "()"), "1234"),
              "a.npy: shape: shape is not supported: found 0 dimensions, expected 1 or 2");
  expectError(npy(header("<f4", "(1, 1, 1)"), "1234"),
              "a.npy: shape: shape is not supported: found 3 dimensions, expected 1 or 2");
  expectError(npy(header("<f4", "(2, 0)"), ""),
              "a.npy: shape: shape is not supported: found 2 x 0, expected at least 1 column");
  expectError(
      npy(header("<f4", "(9223372036854775807, 9223372036854775807)"), "1234"),
      "a.npy: shape: data end too early: found 4 bytes of data, expected 9223372036854775807 x 9223372036854775807 "
      "elements of 4 bytes");
  expectError(npy(header("<f4", "(-1, 1)"), "1234"),
              "a.npy: header: header does not follow the format: found '-1,', expected a tuple of sizes");
}

TEST(NpyErrors, Sizes) {
  expectError(npy(header("<f4", "(2, 3)"), "1234"),
              "a.npy: shape: data end too early: found 4 bytes of data, expected 2 x 3 elements of 4 bytes");
  expectError(npy(header("<f4", "(1,)"), "12345678"),
              "a.npy: shape: size of the data does not match their shape: found 8 "
              "bytes of data, expected 1 x 1 elements of 4 bytes");
  std::string whole = npy(header("<f4", "(2, 3)"), bytesOf<float>({1, 2, 3, 4, 5, 6}));
  for (std::size_t length = 0; length < whole.size(); ++length)
    ASSERT_FALSE(readNpy(whole.substr(0, length), "a.npy").ok()) << length;
}

TEST(NpyErrors, Headers) {
  expectError(
      npy("{'descr': '<f4', 'shape': (1,), }", "1234"),
      "a.npy: header: header does not follow the format: found no fortran_order, expected descr, fortran_order and "
      "shape, once each");
  expectError(
      npy("{'descr': '<f4', 'descr': '<f4'}", "1234"),
      "a.npy: header: header does not follow the format: found 'descr', expected descr, fortran_order and shape, "
      "once each");
  expectError(npy("[]", ""), "a.npy: header: header does not follow the format: found '[]', expected a dict: '{'");
}

TEST(NpyErrors, ValuesThatAreNotFinite) {
  expectError(npy(header("<f4", "(2,)"), bytesOf<float>({1, NAN})),
              "a.npy: element [1, 0]: value is not finite: found nan, expected a finite float32");
  expectError(npy(header("<f8", "(2,)"), bytesOf<double>({1e300, 1})),
              "a.npy: element [0, 0]: value is not finite: found infinity, expected a finite float32");
}

} // namespace
