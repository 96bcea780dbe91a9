#include "formats/pack/JsonSyntax.h"

#include <gtest/gtest.h>

#include <string>

namespace kimic::pack {
namespace {

std::size_t errorIn(std::string_view text) {
  return findJsonObjectError({reinterpret_cast<const std::uint8_t *>(text.data()), text.size()});
}

class GoodJson : public testing::TestWithParam<std::string> {};
TEST_P(GoodJson, HasNoError) { EXPECT_EQ(errorIn(GetParam()), kNoJsonError); }
INSTANTIATE_TEST_SUITE_P(Texts, GoodJson,
                         testing::Values("{}", " { }\r\n\t", R"({"a":[1,-0,0.5,1e9,1.25E-3,2e+1],"b":{"c":null}})",
                                         R"({"":[true,false,[],{}]})", R"({"\u00e9\n\"\\\/":"x"})",
                                         "{\"\x7f\":\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"}"));

struct Bad {
  std::string text;
  std::size_t at;
};
class BadJson : public testing::TestWithParam<Bad> {};
TEST_P(BadJson, IsRefusedWhereItBreaks) { EXPECT_EQ(errorIn(GetParam().text), GetParam().at) << GetParam().text; }
INSTANTIATE_TEST_SUITE_P(
    Texts, BadJson,
    testing::Values(Bad{"", 0}, Bad{"[]", 0}, Bad{"1", 0}, Bad{"{", 1}, Bad{"{}x", 2}, Bad{"{a:1}", 1},
                    Bad{R"({"a"1})", 4}, Bad{R"({"a":})", 5}, Bad{R"({"a":1,})", 7}, Bad{R"({"a":1 "b"})", 7},
                    Bad{R"({"a":[1,]})", 8}, Bad{R"({"a":01})", 6}, Bad{R"({"a":+1})", 5}, Bad{R"({"a":1.})", 7},
                    Bad{R"({"a":1e})", 7}, Bad{R"({"a":-})", 6}, Bad{R"({"a":nul})", 8}, Bad{R"({"a":NaN})", 5},
                    Bad{R"({"a\x":1})", 4}, Bad{R"({"\u12g4":1})", 6}, Bad{"{\"\n\":1}", 2}, Bad{"{\"a", 3},
                    Bad{"{\"\x80\":1}", 2}, Bad{"{\"\xc0\x80\":1}", 2}, Bad{"{\"\xed\xa0\x80\":1}", 3},
                    Bad{"{\"\xf4\x90\x80\x80\":1}", 3}, Bad{"{\"\xe2\x82\":1}", 4}, Bad{"{\"\xff\":1}", 2}));

TEST(JsonSyntax, StopsAtSixtyFourLevels) {
  auto nested = [](std::size_t arrays) {
    return "{\"a\":" + std::string(arrays, '[') + std::string(arrays, ']') + "}";
  };
  EXPECT_EQ(errorIn(nested(63)), kNoJsonError);
  EXPECT_EQ(errorIn(nested(64)), 5u + 63u);
}

} // namespace
} // namespace kimic::pack
