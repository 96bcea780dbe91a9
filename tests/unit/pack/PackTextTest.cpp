#include "formats/pack/PackText.h"
#include "formats/quant/Signature.h"
#include "tests/support/BadPack.h"

#include <gtest/gtest.h>

namespace kimic::pack {
namespace {

Diagnostic errorOf(std::string_view text) {
  Result<PackContents, Diagnostic> result = parseContents(text, "p.txt");
  return result.ok() ? Diagnostic{} : result.error();
}

TEST(PackText, ReadsBytesWithRepeats) {
  Result<PackContents, Diagnostic> contents = parseContents("expert kernel=1 0a ff*3\n  00\n", "p.txt");
  ASSERT_TRUE(contents.ok());
  EXPECT_EQ(contents->experts.at(0).parameters, (std::vector<std::uint8_t>{0x0a, 0xff, 0xff, 0xff, 0x00}));
  EXPECT_EQ(contents->experts.at(0).kernel, 1u);
}

TEST(PackText, ReadsSignatures) {
  Result<PackContents, Diagnostic> contents =
      parseContents("kernel 4 | 0 sin*3:clamped linear*2 | 4 elliot*1 | affine\n", "p.txt");
  ASSERT_TRUE(contents.ok());
  quant::Signature signature = quant::decodeSignature(contents->signatures.at(0)).value();
  EXPECT_EQ(signature.inputs, 4u);
  EXPECT_TRUE(signature.outputAffine);
  ASSERT_EQ(signature.layers.size(), 2u);
  EXPECT_EQ(signature.layers[1].readBegin, 4u);
  EXPECT_EQ(signature.layers[0].groups,
            (std::vector<quant::ActivationGroup>{{Activation::Sin, true, 3}, {Activation::Linear, false, 2}}));
}

TEST(PackText, ReadsAndPrintsWeightFormatsAndHeads) {
  PackContents contents;
  for (quant::WeightFormat weights :
       {quant::WeightFormat::Int8, quant::WeightFormat::Int8Residual, quant::WeightFormat::Float32})
    for (quant::Head head : {quant::Head::None, quant::Head::Softmax, quant::Head::Argmax})
      for (bool affine : {false, true})
        for (bool sparse : {false, true})
          contents.signatures.push_back(
              quant::encode({3, {{weights, 0, {{Activation::Cos, true, 9}}}}, affine, sparse, head}));
  std::string text = printContents(contents);
  EXPECT_NE(text.find("kernel 3 | 0 cos*9:clamped | float32 affine argmax\n"), text.npos);
  EXPECT_NE(text.find("kernel 3 | 0 cos*9:clamped | sparse softmax\n"), text.npos);
  Result<PackContents, Diagnostic> again = parseContents(text, "p.txt");
  ASSERT_TRUE(again.ok()) << again.error().message();
  EXPECT_EQ(again->signatures, contents.signatures);
}

TEST(PackText, JoinsLinesOfMetadata) {
  Result<PackContents, Diagnostic> contents = parseContents("meta {\nmeta   \"a\": 1}\n", "p.txt");
  ASSERT_TRUE(contents.ok());
  EXPECT_EQ(contents->meta, "{\n  \"a\": 1}");
}

TEST(PackText, ReadsBackWhatItPrints) {
  PackContents contents;
  contents.meta = "{\"a\":\n 1}";
  contents.groupLog2 = 7;
  contents.signatures = {quant::encode({3, {{quant::WeightFormat::Int8, 0, {{Activation::Cos, true, 9}}}}, true})};
  contents.modules[0] = {{1, 2, 3}};
  contents.modules[2] = {{0, 0, 0, 0, 0, 9}};
  contents.experts = {{0, Domain::Creativity, 0, 0.1f, {5}, {{7, 255}, {1, 2}}, {}},
                      {7, static_cast<Domain>(200), 3, 1e-30f, {}, {}, {{kNoExpert, 0, 2}, {0, 3, 9}}}};
  contents.features = 5;
  // No field has its default.
  contents.router =
      Router{1,    Head::Sigmoid, Strategy::Threshold, static_cast<Merge>(9), 2, 0.3f, 7, 2.827f, 0.25f, 4, false, true,
             true, true};
  Result<PackContents, Diagnostic> again = parseContents(printContents(contents), "p.txt");
  ASSERT_TRUE(again.ok()) << again.error().message();
  EXPECT_EQ(*again, contents);
}

TEST(PackText, NamesTheLineOfAMistake) {
  EXPECT_EQ(errorOf("meta {}\n\nexpert kernel=0 zz\n").message(),
            "p.txt:3: bytes: text does not describe a pack: found zz, expected two hexadecimal digits, then perhaps "
            "*COUNT");
}

TEST(PackText, ListsTheBlocksOfAPack) {
  std::string problem;
  std::optional<std::vector<std::uint8_t>> file = test::readGoodPack(KIMIC_GOLDEN_DIR, "routed", problem);
  ASSERT_TRUE(file) << problem;
  EXPECT_EQ(printLayout(*file).value(), R"(    offset    stored       raw codec  sha256           block
         0       256       256 stored f36ce6c9c09c36e6 header
       640       328       328 stored 344271f2638b0b07 root
      1024        35        35 stored 4e13df1622781a57 signatures 0
      1088        75        75 stored c14c3e6192c53d79 module simd128 0
      1216        18        96 sparse 1846770fe2b9d714 data of the router
      1280       106       132 lz4    1ac3aac94867f15a leaf 0
      1408        21       384 sparse 36e357bbb629f317 data of expert 0 and 1 more
      1472       384       384 stored ebb8245c60e35a37 data of expert 2
      1856        73        73 stored f79db5dc5039c1ad module scalar 0
      1984        98       116 lz4    7b2c011923286e93 metadata
)");
}

TEST(PackText, ListsNothingOfABrokenPack) {
  EXPECT_EQ(printLayout({}).error(), makeError(ErrorId::PackTruncated, 0, 256));
}

class BadText : public testing::TestWithParam<std::string> {};
TEST_P(BadText, IsRefused) { EXPECT_EQ(errorOf(GetParam()).id, ErrorId::PackTextSyntax); }
INSTANTIATE_TEST_SUITE_P(Lines, BadText,
                         testing::Values("x\n", "group 63\n", "group\n", "kernel\n", "kernel 1 |\n", "kernel 1 | x\n",
                                         "kernel 1 0\n", "kernel 1 | 0 linear\n", "kernel 1 | 0 lin*1\n",
                                         "kernel 1 | 0 linear*1:x\n", "kernel 0 | 0 linear*1\n", "module\n",
                                         "module fast 00\n", "expert kernel=x\n", "expert size=1\n", "expert 0\n",
                                         "expert 00*\n", "expert 00*99999999\n", "expert kernel=0 kernel=1\n",
                                         "router head=hard\n", "router top-k=2 00\n",
                                         "router routed=1\nrouter routed=1\n", "expert next=1\n", "expert next=1:256\n",
                                         "expert next=1:2,\n", "router expert=1\n"));

} // namespace
} // namespace kimic::pack
