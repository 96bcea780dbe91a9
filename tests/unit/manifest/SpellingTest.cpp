#include "formats/manifest/Spelling.h"

#include <gtest/gtest.h>

namespace kimic::manifest {
namespace {

TEST(Spelling, FindsAWordWithOneWrongLetter) { EXPECT_EQ(nearest("iris", {"wine", "irid", "digits"}), "irid"); }

TEST(Spelling, CountsSwappedLettersAsOneEdit) { EXPECT_EQ(nearest("wnie", {"wine", "wind"}), "wine"); }

TEST(Spelling, PrefersTheSameWordInAnotherCase) { EXPECT_EQ(nearest("Wine", {"Wind", "wine"}), "wine"); }

TEST(Spelling, TakesTheFirstOfEquals) {
  EXPECT_EQ(nearest("b1", {"a1", "c1"}), "");
  EXPECT_EQ(nearest("net-b", {"net-a", "net-c"}), "net-a");
}

TEST(Spelling, FindsNothingFarAway) { EXPECT_EQ(nearest("chess", {"iris", "wine"}), ""); }

TEST(Spelling, ListsTheWordsWhenNoneIsNear) { EXPECT_EQ(expectedWord("chess", {"iris", "wine"}), R"("iris", "wine")"); }

TEST(Spelling, ListsTheFirstOfManyWords) {
  std::vector<std::string_view> words(30, "iris");
  EXPECT_TRUE(expectedWord("chess", words).ends_with("\"iris\" or one of 6 more"));
}

} // namespace
} // namespace kimic::manifest
