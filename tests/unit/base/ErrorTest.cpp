#include "formats/base/Diagnostic.h"
#include "formats/base/Result.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <type_traits>

namespace kimic {
namespace {

struct CatalogueEntry {
  const char *name;
  unsigned number;
  std::string text;
};

const CatalogueEntry kCatalogue[] = {
#define KIMIC_ERROR(name, number, kind, text) {#name, number, text},
#include "formats/base/Errors.def"
#undef KIMIC_ERROR
};

TEST(Errors, AreTriviallyCopyable) { static_assert(std::is_trivially_copyable_v<Error>); }

TEST(Errors, HaveUniqueNumbers) {
  std::map<unsigned, const char *> byNumber;
  for (const CatalogueEntry &entry : kCatalogue) {
    auto [other, isNew] = byNumber.emplace(entry.number, entry.name);
    EXPECT_TRUE(isNew) << entry.name << " and " << other->second << " are both " << entry.number;
  }
}

TEST(Errors, HaveSentencesInLowerCaseWithoutFullStop) {
  for (const CatalogueEntry &entry : kCatalogue) {
    ASSERT_FALSE(entry.text.empty()) << entry.name;
    EXPECT_NE(entry.text.back(), '.') << entry.name;
    bool startsWithCapital = entry.text[0] >= 'A' && entry.text[0] <= 'Z';
    bool startsWithAcronym = startsWithCapital && entry.text.size() > 1 && entry.text[1] >= 'A' && entry.text[1] <= 'Z';
    EXPECT_TRUE(!startsWithCapital || startsWithAcronym) << entry.name << ": " << entry.text;
  }
}

TEST(Errors, PutIntegersIntoTheirSentence) {
  std::string text = message(makeError(ErrorId::PackTruncated, 16, 256));
  EXPECT_NE(text.find("16"), std::string::npos) << text;
  EXPECT_NE(text.find("256"), std::string::npos) << text;
  EXPECT_EQ(text.find('{'), std::string::npos) << text;
}

TEST(Diagnostic, SaysWhereWhatWasFoundAndWhatWasExpected) {
  Diagnostic diagnostic{ErrorId::None, "net.net", 3, "num_layers", "0", "at least 2"};
  EXPECT_EQ(diagnostic.message(), "net.net:3: num_layers: unknown error: found 0, expected at least 2");
}

TEST(Diagnostic, LeavesOutWhatIsAbsent) {
  Diagnostic diagnostic{ErrorId::None, "net.net", 0, "", "", "a number"};
  EXPECT_EQ(diagnostic.message(), "net.net: unknown error: expected a number");
}

Result<int> half(int value) {
  if (value % 2)
    return makeError(ErrorId::None, value);
  return value / 2;
}

Result<int> quarter(int value) {
  KIMIC_ASSIGN(int halved, half(value));
  return half(halved);
}

TEST(Result, PassesTheFirstErrorOn) {
  EXPECT_EQ(quarter(12).value(), 3);
  ASSERT_FALSE(quarter(6).ok());
  EXPECT_EQ(quarter(6).error().args[0], 3u);
  EXPECT_EQ(quarter(5).error().args[0], 5u);
}

} // namespace
} // namespace kimic
