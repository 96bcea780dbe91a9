#include "formats/manifest/Json.h"

#include <gmock/gmock.h>

namespace kimic::manifest {
namespace {

JsonValue read(const std::string &text) {
  auto value = parseJson(text, "x.json");
  EXPECT_TRUE(value.ok()) << value.error().message();
  return value ? *value : JsonValue();
}

Diagnostic errorOf(const std::string &text, JsonLimits limits = {}) {
  auto value = parseJson(text, "x.json", limits);
  EXPECT_FALSE(value.ok()) << "accepted: " << text;
  return value ? Diagnostic{} : value.error();
}

TEST(Json, ValuesKnowTheirLines) {
  JsonValue value = read("\n{\"a\": 1,\n \"b\":\n\"x\", \"c\": [2\n,\n3\n], \"d\"\n:\n{}}");
  EXPECT_EQ(value.line, 2u);
  EXPECT_EQ(value.find("a")->line, 2u);
  EXPECT_EQ(value.find("b")->line, 4u);
  EXPECT_EQ(value.find("c")->line, 4u);
  EXPECT_EQ(value.find("c")->items[0].line, 4u);
  EXPECT_EQ(value.find("c")->items[1].line, 6u);
  EXPECT_EQ(value.find("d")->line, 9u);
}

TEST(Json, NumberAtTheEndOfALineIsOnThatLine) { EXPECT_EQ(read("[1\n]").items[0].line, 1u); }

TEST(Json, ByteOrderMarkIsSkipped) { EXPECT_EQ(read("\xEF\xBB\xBF[1]").items.size(), 1u); }

TEST(Json, CompactKeepsOrderAndDigits) {
  EXPECT_EQ(compact(read("{ \"z\": [1.50, -0, 1E+2], \"a\": \"\\u00e9\\n\\\"\", \"t\": [true, null] }")),
            "{\"z\":[1.50,0,1E+2],\"a\":\"é\\n\\\"\",\"t\":[true,null]}");
}

TEST(Json, SyntaxErrorTellsLineFoundAndExpected) {
  EXPECT_EQ(errorOf("{\"a\": 1,\n \"b\" 2}").message(),
            "x.json:2: text is not JSON: found number literal, expected ':'");
}

TEST(Json, EmptyTextIsRefused) {
  EXPECT_EQ(errorOf("").message(), "x.json:1: text is not JSON: found end of input, expected '[', '{', or a literal");
}

TEST(Json, TruncatedTextIsRefused) { EXPECT_EQ(errorOf("{\"a\": [1,").id, ErrorId::ManifestNotJson); }

TEST(Json, TextAfterTheValueIsRefused) { EXPECT_EQ(errorOf("[1] [2]").id, ErrorId::ManifestNotJson); }

TEST(Json, CommentsAreRefused) { EXPECT_EQ(errorOf("[1] // one").id, ErrorId::ManifestNotJson); }

TEST(Json, TextThatIsNotUtf8IsRefused) { EXPECT_EQ(errorOf("\"\xFF\"").id, ErrorId::ManifestNotJson); }

TEST(Json, NumberPastDoubleIsRefused) {
  Diagnostic error = errorOf("[1e999]");
  EXPECT_EQ(error.id, ErrorId::ManifestNotJson);
  EXPECT_EQ(error.found, "number overflow parsing '1e999'");
}

TEST(Json, RepeatedKeyIsRefused) {
  Diagnostic error = errorOf("{\"a\": 1,\n\"b\": 2, \"a\": 3}");
  EXPECT_EQ(error.id, ErrorId::ManifestKeyRepeated);
  EXPECT_EQ(error.found, "\"a\"");
}

TEST(Json, RepeatedKeyIsRefusedBehindItsEscape) {
  EXPECT_EQ(errorOf("{\"a\": 1, \"\\u0061\": 2}").id, ErrorId::ManifestKeyRepeated);
}

TEST(Json, NestingUpToTheLimitIsRead) {
  EXPECT_TRUE(parseJson("[[[1]]]", "", {.maxDepth = 3}).ok());
  EXPECT_EQ(errorOf("[[[[1]]]]", {.maxDepth = 3}).id, ErrorId::ManifestTooLarge);
}

TEST(Json, ValuesUpToTheLimitAreRead) {
  EXPECT_TRUE(parseJson("[1,2]", "", {.maxValues = 3}).ok());
  EXPECT_EQ(errorOf("[1,2,3]", {.maxValues = 3}).id, ErrorId::ManifestTooLarge);
}

TEST(Json, QuoteShortensAtACharacterOfUtf8) {
  EXPECT_EQ(quote(std::string(59, 'x') + "éé"), "\"" + std::string(59, 'x') + "\"...");
}

TEST(Json, QuoteEscapesWhatATerminalWouldObey) { EXPECT_EQ(quote("a\x1b[2J\n"), "\"a\\u001b[2J\\n\""); }

TEST(Json, QuoteReplacesBytesThatAreNotUtf8) { EXPECT_EQ(quote("a\xFF"), "\"a\xEF\xBF\xBD\""); }

} // namespace
} // namespace kimic::manifest
