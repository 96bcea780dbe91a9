// The golden packs: good ones have the bytes whose hash stands in their text, bad ones give exactly the error in
// theirs.
#include "formats/base/File.h"
#include "formats/pack/PackReader.h"
#include "formats/pack/PackText.h"
#include "formats/pack/PackVerify.h"
#include "tests/support/BadPack.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <sstream>

namespace kimic::pack {
namespace {

const std::string kGolden = KIMIC_GOLDEN_DIR;

std::vector<std::string> namesIn(const std::string &folder) {
  std::vector<std::string> names;
  for (const auto &entry : std::filesystem::directory_iterator(kGolden + "/" + folder))
    if (entry.path().extension() == ".txt")
      names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

std::string testName(const testing::TestParamInfo<std::string> &info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

std::string hex(const Digest &digest) {
  std::string text;
  for (std::uint8_t byte : digest) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

class GoodPack : public testing::TestWithParam<std::string> {
protected:
  void SetUp() override {
    Result<std::string, Diagnostic> text = readFile(kGolden + "/good/" + GetParam() + ".txt", 1 << 20);
    ASSERT_TRUE(text.ok());
    text_ = *text;
    std::string problem;
    std::optional<std::vector<std::uint8_t>> file = test::readGoodPack(kGolden, GetParam(), problem);
    ASSERT_TRUE(file) << problem;
    file_ = *file;
  }

  std::string text_;
  std::vector<std::uint8_t> file_;
};

TEST_P(GoodPack, HasTheBytesThatItsTextNames) {
  const std::string line = "# " + std::to_string(file_.size()) + " bytes, sha256 " + hex(sha256(file_)) + "\n";
  EXPECT_NE(text_.find(line), text_.npos) << "bytes have changed; now they are\n" << line;
}

TEST_P(GoodPack, IsValid) {
  Result<void> result = verifyPack(file_);
  EXPECT_TRUE(result.ok()) << message(result.error());
}

TEST_P(GoodPack, PrintsTheTextThatItWasBuiltFrom) {
  Result<PackContents> contents = readContents(file_);
  ASSERT_TRUE(contents.ok()) << message(contents.error());
  std::string withoutComments;
  for (std::string_view rest = text_; !rest.empty();) {
    std::string_view line = rest.substr(0, rest.find('\n') + 1);
    if (!line.starts_with('#'))
      withoutComments += line;
    rest.remove_prefix(line.size());
  }
  EXPECT_EQ(printContents(*contents), withoutComments);
}

TEST_P(GoodPack, IsASeedOfTheFuzzer) {
  const std::string path = std::string(KIMIC_FUZZ_CORPUS_DIR) + "/pack/" + GetParam() + ".kpk";
  const std::string pack(file_.begin(), file_.end());
  Result<std::string, Diagnostic> seed = readFile(path, 1 << 20);
  if (seed.ok() && *seed == pack)
    return;
  const std::string wanted = testing::TempDir() + GetParam() + ".kpk";
  EXPECT_TRUE(writeFileAtomically(wanted, pack, true).ok());
  ADD_FAILURE() << path << " is not the pack of this text, which is in " << wanted;
}

INSTANTIATE_TEST_SUITE_P(Golden, GoodPack, testing::ValuesIn(namesIn("good")), testName);

class BadPack : public testing::TestWithParam<std::string> {};

TEST_P(BadPack, GivesTheErrorThatItsTextNames) {
  Result<std::string, Diagnostic> text = readFile(kGolden + "/bad/" + GetParam() + ".txt", 1 << 20);
  ASSERT_TRUE(text.ok());
  std::string problem;
  std::optional<test::BadPack> bad = test::readBadPack(kGolden, *text, problem);
  ASSERT_TRUE(bad) << problem;
  Result<void> result = verifyPack(bad->file);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error(), bad->expected) << nameOf(result.error().id) << ": " << message(result.error());
}

INSTANTIATE_TEST_SUITE_P(Golden, BadPack, testing::ValuesIn(namesIn("bad")), testName);

/// The errors of all bad packs.
std::vector<ErrorId> coveredErrors() {
  std::vector<ErrorId> covered;
  for (const std::string &name : namesIn("bad")) {
    std::string problem;
    Result<std::string, Diagnostic> text = readFile(kGolden + "/bad/" + name + ".txt", 1 << 20);
    EXPECT_TRUE(text.ok());
    if (std::optional<test::BadPack> bad = test::readBadPack(kGolden, *text, problem))
      covered.push_back(bad->expected.id);
  }
  return covered;
}

TEST(BadPacks, CoverEveryErrorOfAReader) {
  const std::vector<ErrorId> covered = coveredErrors();
  // Those that no bytes cause: a caller's mistake, and what only the writer and the text form refuse.
  const ErrorId notInFiles[] = {ErrorId::PackBlockSize,     ErrorId::PackContentsModules,     ErrorId::PackTooManyRows,
                                ErrorId::PackContentsOrder, ErrorId::PackContentsRouterReads, ErrorId::PackTextSyntax};
#define KIMIC_ERROR(name, number, kind, text)                                                                          \
  if (number >= 2000 && number < 3000 &&                                                                               \
      std::find(std::begin(notInFiles), std::end(notInFiles), ErrorId::name) == std::end(notInFiles))                  \
    EXPECT_NE(std::find(covered.begin(), covered.end(), ErrorId::name), covered.end()) << #name " has no bad pack";
#include "formats/base/Errors.def"
#undef KIMIC_ERROR
}

/// The last column of the tables of pack-v1 §11.
std::vector<std::string> errorsOfTheSpecification() {
  Result<std::string, Diagnostic> text = readFile(kGolden + "/../../formats/spec/pack-v1.md", 1 << 20);
  EXPECT_TRUE(text.ok());
  const std::size_t begin = text->find("\n## 11 ");
  std::istringstream lines(text->substr(begin, text->find("\n## 12 ") - begin));
  std::vector<std::string> errors;
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("| ") && line != "| rule | error |") {
      const std::size_t column = line.rfind(" | ", line.size() - 3) + 3;
      std::istringstream names(line.substr(column, line.size() - 2 - column));
      for (std::string name; std::getline(names >> std::ws, name, ',');)
        errors.push_back(name);
    }
  return errors;
}

TEST(BadPacks, CoverEveryErrorOfTheSpecification) {
  const std::vector<ErrorId> covered = coveredErrors();
  const std::vector<std::string> errors = errorsOfTheSpecification();
  EXPECT_GE(errors.size(), 54u) << "of both tables";
  for (const std::string &error : errors)
    EXPECT_TRUE(std::any_of(covered.begin(), covered.end(),
                            [&](ErrorId id) {
                              const std::string name = nameOf(id);
                              return name == error ||
                                     (error == "the error of the signature" && name.starts_with("Signature")) ||
                                     (error == "the error of the module" && name.starts_with("Kernel"));
                            }))
        << error << " has no bad pack";
}

} // namespace
} // namespace kimic::pack
