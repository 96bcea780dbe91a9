#include "formats/trace/TraceReader.h"

#include <cstring>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace kimic::trace {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

ExpertNumbers abc() { return {{{"a", 0}, {"b", 1}, {"gamma", 2}}, 3, 2}; }

Result<Step, Diagnostic> parse(std::string_view text) { return parseStep(text, "t.jsonl", 7, abc()); }

TEST(JsonLine, SaysEverythingThatWasRecorded) {
  Step step = parse(R"({"experts": ["b", 0], "weights": [0.75, 0.25], "features": [1, -2.5e0, 3], "logits": [0.5, 1],)"
                    R"( "outcome": true, "target": "gamma", "sequence": "s-1", "metadata": {"x": [1, {"y": "]"}]}})")
                  .value();
  EXPECT_THAT(step.experts, ElementsAre(1, 0));
  EXPECT_THAT(step.weights, ElementsAre(0.75f, 0.25f));
  EXPECT_THAT(step.features, ElementsAre(1, -2.5f, 3));
  EXPECT_THAT(step.logits, ElementsAre(0.5f, 1));
  EXPECT_EQ(step.outcome, 1.0f);
  EXPECT_EQ(step.target, 2u);
}

TEST(JsonLine, NeedsOnlyExperts) { EXPECT_THAT(parse(R"({"experts":[2]})")->experts, ElementsAre(2)); }

TEST(JsonLine, SequencesAreEqualIfTheirNamesAre) {
  auto sequence = [](const char *name) {
    return parse(std::string(R"({"experts":[0],"sequence":)") + name + "}")->sequence;
  };
  EXPECT_EQ(sequence("\"x\""), sequence("\"x\""));
  EXPECT_NE(sequence("\"x\""), sequence("\"y\""));
  EXPECT_NE(sequence("1"), sequence("\"1\""));
}

struct Bad {
  const char *text;
  ErrorId id;
  const char *message;
};

class BadLine : public testing::TestWithParam<Bad> {};

TEST_P(BadLine, IsRefusedWithLineAndColumn) {
  auto step = parse(GetParam().text);
  ASSERT_FALSE(step.ok()) << GetParam().text;
  EXPECT_EQ(step.error().id, GetParam().id);
  EXPECT_THAT(step.error().message(), HasSubstr(GetParam().message)) << GetParam().text;
}

INSTANTIATE_TEST_SUITE_P(
    Table, BadLine,
    testing::Values(
        Bad{"", ErrorId::TraceBadSyntax, "t.jsonl:7: column 1: "}, Bad{"[1]", ErrorId::TraceBadSyntax, "column 1"},
        Bad{R"({"experts":[0]} x)", ErrorId::TraceBadSyntax, "column 17"},
        Bad{R"({"experts":[0])", ErrorId::TraceBadSyntax, "found end of the line"},
        Bad{R"({"experts":[0],})", ErrorId::TraceBadSyntax, "column 16"},
        Bad{R"({"experts":[]})", ErrorId::TraceOutOfRange, "column 12: experts"},
        Bad{R"({"weights":[1]})", ErrorId::TraceBadSyntax, "no \"experts\""},
        Bad{R"({"expert":[0]})", ErrorId::TraceKeyUnknown, "expected \"experts\""},
        Bad{R"({"experts":[0],"experts":[0]})", ErrorId::TraceBadSyntax, "each key once"},
        Bad{R"({"experts":["gama"]})", ErrorId::TraceUnknownExpert,
            "column 13: experts: no expert of the set has this id or number: found \"gama\", expected \"gamma\""},
        Bad{R"({"experts":[3]})", ErrorId::TraceUnknownExpert, "0 to 2"},
        Bad{R"({"experts":[-1]})", ErrorId::TraceUnknownExpert, "found -1"},
        Bad{R"({"experts":[0.5]})", ErrorId::TraceUnknownExpert, "0 to 2"},
        Bad{R"({"experts":[0,0]})", ErrorId::TraceOutOfRange, "each expert once"},
        Bad{R"({"experts":[0,"a"]})", ErrorId::TraceOutOfRange, "column 15"},
        Bad{R"({"experts":[0],"weights":[1,2]})", ErrorId::TraceCountMismatch, "expected 1, one for each chosen"},
        Bad{R"({"experts":[0],"logits":[1,2,3]})", ErrorId::TraceCountMismatch, "expected 2"},
        Bad{R"({"experts":[0],"features":[1e40]})", ErrorId::TraceOutOfRange, "float32"},
        Bad{R"({"experts":[0],"features":[1e400]})", ErrorId::TraceOutOfRange, "float32"},
        Bad{R"({"experts":[0],"features":[NaN]})", ErrorId::TraceBadSyntax, "a number"},
        Bad{R"({"experts":[0],"features":[01]})", ErrorId::TraceBadSyntax, "column 29"},
        Bad{R"({"experts":[0],"features":[1.]})", ErrorId::TraceBadSyntax, "a number"},
        Bad{R"({"experts":[0],"features":[+1]})", ErrorId::TraceBadSyntax, "a number"},
        Bad{R"({"experts":[0],"outcome":1.5})", ErrorId::TraceOutOfRange, "0 to 1"},
        Bad{R"({"experts":[0],"outcome":"yes"})", ErrorId::TraceBadSyntax, "a number"},
        Bad{R"({"experts":[0],"sequence":"a)", ErrorId::TraceBadSyntax, "end of the string"},
        Bad{R"({"experts":[0],"sequence":"\q"})", ErrorId::TraceBadSyntax, "escape"},
        Bad{R"({"experts":[0],"sequence":"\u12"})", ErrorId::TraceBadSyntax, "escape"},
        Bad{"{\"experts\":[0],\"sequence\":\"a\x01\"}", ErrorId::TraceBadSyntax, "control"},
        Bad{R"({"experts":[0],"metadata":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[)", ErrorId::TraceBadSyntax,
            "32 levels"}));

TEST(JsonLine, TooSmallNumbersAreZero) {
  EXPECT_THAT(parse(R"({"experts":[0],"features":[1e-400]})")->features, ElementsAre(0));
}

TEST(JsonLine, FeaturesAreAsManyAsBefore) {
  EXPECT_EQ(parseStep(R"({"experts":[0],"features":[1,2]})", "t", 1, abc(), 3).error().id, ErrorId::TraceCountMismatch);
}

class TraceFile : public testing::Test {
protected:
  std::string folder_ = testing::TempDir() + "kimic-trace-" + std::to_string(::getpid());
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string write(const char *name, const std::string &bytes) {
    std::ofstream(folder_ + "/" + name, std::ios::binary) << bytes;
    return folder_ + "/" + name;
  }

  /// A `.npy` file of version 1.
  template <class T> void writeNpy(const char *name, const char *descr, const char *shape, std::vector<T> values) {
    std::string header = "{'descr': '" + std::string(descr) + "', 'fortran_order': False, 'shape': " + shape + ", }";
    header.resize((10 + header.size() + 64) / 64 * 64 - 10 - 1, ' ');
    header += '\n';
    std::string bytes("\x93NUMPY\x01\x00", 8);
    bytes += static_cast<char>(header.size() & 255);
    bytes += static_cast<char>(header.size() >> 8);
    bytes += header;
    bytes.append(reinterpret_cast<const char *>(values.data()), values.size() * sizeof(T));
    write(name, bytes);
  }

  static Result<std::vector<Step>, Diagnostic> readAll(const std::string &path) {
    KIMIC_ASSIGN(auto reader, openTrace(path, abc()));
    std::vector<Step> steps;
    for (;;) {
      Step step;
      KIMIC_ASSIGN(bool isStep, reader->next(step));
      if (!isStep)
        return steps;
      steps.push_back(std::move(step));
    }
  }
};

TEST_F(TraceFile, BlankLinesMarkAndLineEndsDoNotMatter) {
  auto steps = readAll(write("t.jsonl", "\xEF\xBB\xBF{\"experts\":[0]}\r\n\n  \n{\"experts\":[1]}"));
  ASSERT_TRUE(steps.ok());
  ASSERT_EQ(steps->size(), 2u);
  EXPECT_THAT((*steps)[1].experts, ElementsAre(1));
}

TEST_F(TraceFile, ErrorNamesTheLine) {
  auto steps = readAll(write("t.jsonl", "{\"experts\":[0]}\n\n{\"experts\":[9]}\n"));
  EXPECT_THAT(steps.error().message(), HasSubstr("t.jsonl:3: column 13: experts"));
}

TEST_F(TraceFile, LongerThanTheBufferIsReadThrough) {
  std::string text;
  for (int i = 0; i < 50'000; ++i)
    text += "{\"experts\":[" + std::to_string(i % 3) + "],\"features\":[0.125,0.25]}\n";
  auto steps = readAll(write("t.jsonl", text));
  ASSERT_EQ(steps.value().size(), 50'000u);
  EXPECT_THAT(steps->back().experts, ElementsAre(49'999 % 3));
}

TEST_F(TraceFile, EndlessLineIsRefused) {
  auto steps = readAll(write("t.jsonl", std::string(6 << 20, ' ')));
  EXPECT_EQ(steps.error().id, ErrorId::TraceTooLarge);
}

TEST_F(TraceFile, MissingFileIsNotFound) {
  EXPECT_EQ(readAll(folder_ + "/none.jsonl").error().id, ErrorId::FileNotFound);
}

TEST_F(TraceFile, FolderOfArraysIsTheSameTrace) {
  writeNpy<std::int64_t>("experts.npy", "<i8", "(2, 2)", {1, 0, 2, -1});
  writeNpy<float>("weights.npy", "<f4", "(2, 2)", {0.75f, 0.25f, 1, 0});
  writeNpy<std::int32_t>("sequence.npy", "<i4", "(2,)", {5, 6});
  writeNpy<std::uint8_t>("outcome.npy", "|b1", "(2,)", {1, 0});
  auto steps = readAll(folder_).value();
  ASSERT_EQ(steps.size(), 2u);
  EXPECT_THAT(steps[0].experts, ElementsAre(1, 0));
  EXPECT_THAT(steps[1].experts, ElementsAre(2));
  EXPECT_THAT(steps[1].weights, ElementsAre(1));
  EXPECT_EQ(steps[0].outcome, 1.0f);
  EXPECT_NE(steps[0].sequence, steps[1].sequence);
}

TEST_F(TraceFile, ArraysOfDifferentLengthAreRefused) {
  writeNpy<std::int32_t>("experts.npy", "<i4", "(2,)", {0, 1});
  writeNpy<std::int32_t>("sequence.npy", "<i4", "(3,)", {5, 6, 7});
  EXPECT_THAT(readAll(folder_).error().message(), HasSubstr("found 3 rows, expected 2"));
}

TEST_F(TraceFile, ArrayWithUnknownExpertNamesTheRow) {
  writeNpy<std::int32_t>("experts.npy", "<i4", "(2,)", {0, 3});
  EXPECT_THAT(readAll(folder_).error().message(), HasSubstr("experts.npy: row 1: no expert of the set"));
}

TEST_F(TraceFile, TruncatedArrayIsRefused) {
  writeNpy<std::int32_t>("experts.npy", "<i4", "(9,)", {0, 1});
  EXPECT_EQ(readAll(folder_).error().id, ErrorId::DataTruncated);
}

} // namespace
} // namespace kimic::trace
