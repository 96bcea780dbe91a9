// What the reader of FANN's training data accepts, and what it says about everything else.
#include "formats/data/FannData.h"

#include <gtest/gtest.h>

using namespace kimic;

namespace {

const Matrix kInputs{2, 3, {1, -0.5f, 2, 0, 0.25f, 1e-3f}};
const Matrix kOutputs{2, 1, {1, -1}};

void expectData(const std::string &text, std::size_t warnings = 0) {
  auto data = readFannData(text, "a.data");
  ASSERT_TRUE(data.ok()) << data.error().message();
  EXPECT_EQ(data->inputs, kInputs);
  EXPECT_EQ(data->outputs, kOutputs);
  EXPECT_EQ(data->warnings.size(), warnings);
}

TEST(FannData, ReadsRows) { expectData("2 3 1\n1 -0.5 2 \n1 \n0 0.25 0.001 \n-1 \n"); }

TEST(FannData, AcceptsCrLf) { expectData("2 3 1\r\n1 -0.5 2 \r\n1 \r\n0 0.25 0.001 \r\n-1 \r\n"); }

TEST(FannData, IgnoresLineStructure) { expectData("2\n3 1 1\t-.5 2.\n\n1 0 +0.25 1e-3 -1"); }

TEST(FannData, AcceptsCommaDecimals) { expectData("2 3 1\n1 -0,5 2 \n1 \n0 0,25 0,001000 \n-1 \n"); }

TEST(FannData, AcceptsAByteOrderMark) {
  expectData("\xEF\xBB\xBF"
             "2 3 1\n1 -0.5 2\n1\n0 0.25 0.001\n-1\n");
}

TEST(FannData, WarnsAboutTextAfterTheLastRow) { expectData("2 3 1\n1 -0.5 2 \n1 \n0 0.25 0.001 \n-1 \n3.5 junk\n", 1); }

TEST(FannData, AcceptsNoRowsAndNoOutputs) {
  auto data = readFannData("0 3 0", "a.data");
  ASSERT_TRUE(data.ok()) << data.error().message();
  EXPECT_EQ(data->inputs.cols, 3u);
  EXPECT_EQ(data->outputs.cols, 0u);
}

void expectError(const std::string &text, const std::string &message) {
  auto data = readFannData(text, "a.data");
  ASSERT_FALSE(data.ok());
  EXPECT_EQ(data.error().message(), message);
}

TEST(FannDataErrors, Header) {
  expectError("",
              "a.data:1: number of rows: header does not follow the format: found end of text, expected three counts: "
              "rows, inputs, outputs");
  expectError("2 x 1",
              "a.data:1: number of inputs: header does not follow the format: found 'x', expected three counts: "
              "rows, inputs, outputs");
  expectError("2 3 -1\n",
              "a.data:1: number of outputs: header does not follow the format: found -1, expected 0 to 2147483647");
  expectError("2 3 99999999999999999999\n", "a.data:1: number of outputs: header does not follow the format: found "
                                            "'99999999999999999999', expected 0 to 2147483647");
  expectError("2.5 3 1\n",
              "a.data:1: number of rows: header does not follow the format: found '.5', expected an integer");
  expectError("2 0 1\n", "a.data:1: number of inputs: header does not follow the format: found 0, expected at least 1");
  expectError("FANN_FLO_2.1\n", "a.data:1: number of rows: header does not follow the format: found 'FANN_FLO_2.1', "
                                "expected three counts: rows, inputs, outputs");
}

TEST(FannDataErrors, SizesThatTheTextCannotHold) {
  expectError(
      "2147483647 2147483647 2147483647\n1 2 3\n",
      "a.data:1: data end too early: found 7 bytes after the header, expected 2147483647 rows of 4294967294 numbers");
}

TEST(FannDataErrors, Values) {
  expectError("2 3 1\n1 -0.5 2 \n1 \n0 0.25 0.001 \n",
              "a.data:5: row 1 output 0: data end too early: found end of text, expected a number");
  expectError("2 3 1\n1 -0.5 2 \n1 \n0 abc 0.001 \n-1\n",
              "a.data:4: row 1 input 1: value is not a number: found 'abc', expected a number");
  expectError("2 3 1\n1 -0.5 2 \n1 \n0 0.25;0 0.001 \n-1\n",
              "a.data:4: row 1 input 1: value is not a number: found ';0', expected a number");
  expectError("2 3 1\n1 1,234.5 2 \n1 \n0 0.25 0.001 \n-1\n",
              "a.data:2: row 0 input 1: value is not a number: found '.5', expected a number");
  for (std::string bad : {"nan", "inf", "-Infinity", "1e39", "1.#INF"})
    expectError("2 3 1\n1 " + bad + " 2 \n1 \n0 0.25 0.001 \n-1\n",
                "a.data:2: row 0 input 1: value is not finite: found '" + bad + "', expected a finite number");
}

TEST(FannDataErrors, MissingFile) {
  auto data = readFannDataFile("/nonexistent/a.data");
  ASSERT_FALSE(data.ok());
  EXPECT_EQ(data.error().message(), "/nonexistent/a.data: there is no such file");
}

} // namespace
