// kimic's fixed-point evaluator against Debian's libfixedfann 2.2.0: the same integers, on trained networks that
// fann_save_to_fixed wrote and on networks with random integers.
#include "formats/fann/Evaluator.h"
#include "formats/fann/FannReader.h"
#include "tests/unit/fann/OracleSupport.h"

#include <cmath>
#include <filesystem>
#include <fixedfann.h>
#include <gtest/gtest.h>
#include <memory>

using namespace kimic;
using namespace kimic::fann;
using kimic::test::Random;
using kimic::test::TemporaryFile;

namespace {

struct Free {
  void operator()(struct ::fann *ann) const { fann_destroy(ann); }
};
using Ann = std::unique_ptr<struct ::fann, Free>;

std::size_t agreements = 0;
std::size_t disagreements = 0;

class Report : public ::testing::Environment {
  void TearDown() override {
    std::printf("libfixedfann: %zu outputs compared, %zu equal, %zu not\n", agreements + disagreements, agreements,
                disagreements);
  }
};
const auto *const report = ::testing::AddGlobalTestEnvironment(new Report);

void expectSameIntegers(const std::string &path, std::size_t rows, Random &random) {
  Ann ann(fann_create_from_file(path.c_str()));
  ASSERT_TRUE(ann) << path;
  auto network = readNetworkFile(path);
  ASSERT_TRUE(network.ok()) << network.error().message();
  ASSERT_EQ(network->decimalPoint, fann_get_decimal_point(ann.get()));
  std::int32_t one = 1 << network->decimalPoint;
  std::vector<std::int32_t> input(network->numInputs), output(network->numOutputs);
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::int32_t &value : input)
      value = static_cast<std::int32_t>(random.symmetric() * static_cast<float>(one));
    const fann_type *expected = fann_run(ann.get(), input.data());
    evaluateFixed(*network, input, output);
    for (std::size_t i = 0; i < output.size(); ++i) {
      if (output[i] == expected[i])
        ++agreements;
      else if (disagreements++ < 10)
        ADD_FAILURE() << path << " row " << r << " output " << i << ": " << output[i] << " instead of " << expected[i];
    }
  }
}

TEST(FixedFann, AgreesOnTrainedNetworksSavedToFixed) {
  constexpr int kNetworks = 60;
  TemporaryFile folder(".d");
  std::filesystem::create_directory(folder.path());
  std::string command = std::string(WRITE_FIXED_NETWORKS) + " " + folder.path() + " " + std::to_string(kNetworks);
  ASSERT_EQ(std::system(command.c_str()), 0);
  Random random(1);
  for (int i = 0; i < kNetworks; ++i)
    expectSameIntegers(folder.path() + "/" + std::to_string(i) + ".net", 1000, random);
  std::filesystem::remove_all(folder.path());
}

/// What libfixedfann expects before `layer_sizes`, in its order.
std::string fixedHeader(int decimalPoint, int layers) {
  return "FANN_FIX_2.0\ndecimal_point=" + std::to_string(decimalPoint) + "\nnum_layers=" + std::to_string(layers) +
         "\nlearning_rate=0.700000\nconnection_rate=1.000000\nnetwork_type=0\n"
         "learning_momentum=0.000000\ntraining_algorithm=2\ntrain_error_function=1\ntrain_stop_function=0\n"
         "cascade_output_change_fraction=0.010000\nquickprop_decay=-0.000100\nquickprop_mu=1.750000\n"
         "rprop_increase_factor=1.200000\nrprop_decrease_factor=0.500000\nrprop_delta_min=0.000000\n"
         "rprop_delta_max=50.000000\nrprop_delta_zero=0.100000\ncascade_output_stagnation_epochs=12\n"
         "cascade_candidate_change_fraction=0.010000\ncascade_candidate_stagnation_epochs=12\n"
         "cascade_max_out_epochs=150\ncascade_min_out_epochs=50\ncascade_max_cand_epochs=150\n"
         "cascade_min_cand_epochs=50\ncascade_num_candidate_groups=2\nbit_fail_limit=2867\n"
         "cascade_candidate_limit=8192000\ncascade_weight_multiplier=3277\n"
         "cascade_activation_functions_count=1\ncascade_activation_functions=3 \n"
         "cascade_activation_steepnesses_count=1\ncascade_activation_steepnesses=2048 \n";
}

/// A layered 3-4-2 network in text with every number chosen.
std::string fixedText(int decimalPoint, int activation, int steepness, Random &random, std::int64_t largestWeight) {
  std::string text = fixedHeader(decimalPoint, 3) + "layer_sizes=4 5 3 \n"
                                                    "neurons (num_inputs, activation_function, activation_steepness)=";
  std::string neuron = std::to_string(activation) + ", " + std::to_string(steepness) + ") ";
  for (int i = 0; i < 12; ++i) {
    const char *inputs = i >= 4 && i < 8 ? "(4, " : i == 9 || i == 10 ? "(5, " : "(0, ";
    text += inputs + neuron;
  }
  text += "\nconnections (connected_to_neuron, weight)=";
  auto weight = [&] {
    return std::to_string(static_cast<std::int64_t>(random.symmetric() * static_cast<double>(largestWeight)));
  };
  for (int k = 0; k < 4; ++k)
    for (int i = 0; i < 4; ++i)
      text += "(" + std::to_string(i) + ", " + weight() + ") ";
  for (int k = 0; k < 2; ++k)
    for (int i = 0; i < 5; ++i)
      text += "(" + std::to_string(4 + i) + ", " + weight() + ") ";
  return text + "\n";
}

TEST(FixedFann, AgreesAtEveryStepOfTheStepwiseFunctions) {
  // 638, 1160 and 1322 tell knots that were divided in float32, as libfann's are, from exact ones.
  for (int decimalPoint : {6, 12, 13})
    for (int activation : {4, 6})
      for (int steepness : {(1 << decimalPoint) / 3, 1 << (decimalPoint - 1), 638, 1160, 1322})
        for (int gain : {1, 3, 5, 7}) {
          std::int32_t one = 1 << decimalPoint;
          std::string text =
              fixedHeader(decimalPoint, 2) +
              "layer_sizes=2 2 \n"
              "neurons (num_inputs, activation_function, activation_steepness)=(0, 0, 0) (0, 0, 0) (2, " +
              std::to_string(activation) + ", " + std::to_string(steepness) + ") (0, 0, 0) \n" +
              "connections (connected_to_neuron, weight)=(0, " + std::to_string(gain * one) + ") (1, 0) \n";
          TemporaryFile file(".net");
          file.write(text);
          Ann ann(fann_create_from_file(file.path().c_str()));
          ASSERT_TRUE(ann);
          auto network = readNetworkFile(file.path());
          ASSERT_TRUE(network.ok()) << network.error().message();
          for (std::int32_t input = -one; input <= one; ++input) {
            std::int32_t output = 0;
            evaluateFixed(*network, {&input, 1}, {&output, 1});
            std::int32_t expected = *fann_run(ann.get(), &input);
            ASSERT_EQ(output, expected) << "decimal point " << decimalPoint << ", activation " << activation
                                        << ", steepness " << steepness << ", sum " << input * gain;
            ++agreements;
          }
        }
}

class EveryDecimalPoint : public ::testing::TestWithParam<int> {};

TEST_P(EveryDecimalPoint, AgreesForEveryImplementedFunction) {
  Random random(static_cast<std::uint64_t>(GetParam()) + 20);
  std::int64_t one = std::int64_t(1) << GetParam();
  for (int activation : {0, 1, 2, 3, 4, 5, 6, 12, 13, 16, 17})
    for (std::int64_t steepness : {one / 10, one / 2, one, 2 * one})
      for (std::int64_t largest : {one, 8 * one, 200 * one}) {
        TemporaryFile file(".net");
        file.write(fixedText(GetParam(), activation, static_cast<int>(std::max<std::int64_t>(steepness, 1)), random,
                             std::min<std::int64_t>(largest, INT32_MAX)));
        expectSameIntegers(file.path(), 200, random);
      }
}

// 15 is the most that fann_save_to_fixed chooses: int32 overflows inside libfixedfann there.
INSTANTIATE_TEST_SUITE_P(FixedFann, EveryDecimalPoint, ::testing::Range(1, 16));

TEST(FixedFann, RefusesFunctionsThatLibfixedfannLacks) {
  Random random(3);
  for (int activation : {7, 8, 9, 10, 11, 14, 15}) {
    auto network = readNetwork(fixedText(6, activation, 32, random, 64), "a.net");
    ASSERT_FALSE(network.ok());
    EXPECT_EQ(network.error().id, ErrorId::NetworkFixedActivation);
    EXPECT_EQ(network.error().line, 35u);
    EXPECT_EQ(network.error().key, "neurons");
  }
}

TEST(FixedFann, GivesRealNumbersThroughEvaluate) {
  Random random(4);
  auto network = readNetwork(fixedText(6, 12, 32, random, 64), "a.net");
  ASSERT_TRUE(network.ok()) << network.error().message();
  Matrix input{1, 3, {0.25f, -0.5f, 0.999f}};
  std::vector<std::int32_t> integers = {16, -32, 63}, expected(2);
  evaluateFixed(*network, integers, expected);
  Matrix output = evaluate(*network, input);
  EXPECT_EQ(output.values[0], static_cast<float>(expected[0]) / 64);
  EXPECT_EQ(output.values[1], static_cast<float>(expected[1]) / 64);
}

} // namespace
