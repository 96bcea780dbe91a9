// kimic's float evaluator against Debian's libfloatfann 2.2.0: the same bits, on networks made and trained here.
#include "formats/data/FannData.h"
#include "formats/fann/Evaluator.h"
#include "formats/fann/FannReader.h"
#include "tests/unit/fann/OracleSupport.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <floatfann.h>
#include <gtest/gtest.h>
#include <memory>

using namespace kimic;
using namespace kimic::fann;
using kimic::test::Random;
using kimic::test::TemporaryFile;

/// libfann 2.2.0 leaks when cascade training adds no neuron.
extern "C" const char *__lsan_default_suppressions() { return "leak:fann_train_candidates"; }

namespace {

struct Free {
  void operator()(struct ::fann *ann) const { fann_destroy(ann); }
  void operator()(struct fann_train_data *data) const { fann_destroy_train(data); }
};
using Ann = std::unique_ptr<struct ::fann, Free>;
using TrainData = std::unique_ptr<struct fann_train_data, Free>;

constexpr float kSteepnesses[] = {0.0f, 0.1f, 0.25f, 0.5f, 0.75f, 1.0f, 1.3f, 2.0f, 7.0f};
/// From weights of an untrained network to those that RPROP's limit leaves.
constexpr float kWeightRanges[] = {0.1f, 1.0f, 10.0f, 1500.0f};

std::size_t agreements = 0;
std::size_t disagreements = 0;

/// Counts what was compared and prints it at the end: the numbers stand in the log.
class Report : public ::testing::Environment {
  void TearDown() override {
    std::printf("libfloatfann: %zu outputs compared, %zu equal to the bit, %zu not\n", agreements + disagreements,
                agreements, disagreements);
  }
};
const auto *const report = ::testing::AddGlobalTestEnvironment(new Report);

bool isSame(float a, float b) { return std::memcmp(&a, &b, sizeof a) == 0 || (std::isnan(a) && std::isnan(b)); }

float randomInput(Random &random) {
  constexpr float kSpecial[] = {0.0f, -0.0f, 1.0f, -1.0f, 1e-40f, 1e6f, -1e6f};
  switch (random.below(16)) {
  case 0:
    return random.pick(kSpecial);
  case 1:
    return random.symmetric() * 1000;
  default:
    return random.symmetric() * 2;
  }
}

/// Saves `ann`, reads it back with both, runs both on `rows` random inputs.
void expectSameBits(struct ::fann *ann, std::size_t rows, std::uint64_t seed) {
  TemporaryFile file(".net");
  ASSERT_EQ(fann_save(ann, file.path().c_str()), 0);
  Ann saved(fann_create_from_file(file.path().c_str()));
  ASSERT_TRUE(saved);
  auto network = readNetworkFile(file.path());
  ASSERT_TRUE(network.ok()) << network.error().message();
  ASSERT_EQ(network->numInputs, fann_get_num_input(ann));
  ASSERT_EQ(network->numOutputs, fann_get_num_output(ann));
  ASSERT_EQ(network->connections.size(), fann_get_total_connections(ann));

  Random random(seed);
  Matrix inputs{rows, network->numInputs, std::vector<float>(rows * network->numInputs)};
  for (float &value : inputs.values)
    value = randomInput(random);
  Matrix outputs = evaluate(*network, inputs);
  for (std::size_t r = 0; r < rows; ++r) {
    const fann_type *expected = fann_run(saved.get(), inputs.row(r).data());
    for (std::size_t i = 0; i < network->numOutputs; ++i) {
      if (isSame(outputs.row(r)[i], expected[i])) {
        ++agreements;
        continue;
      }
      if (disagreements++ == 0) {
        file.keep();
        ADD_FAILURE() << "row " << r << " output " << i << ": " << outputs.row(r)[i] << " instead of " << expected[i]
                      << "; the network is " << file.path();
      }
    }
  }
}

void setRandomWeights(struct ::fann *ann, Random &random, float range) {
  std::vector<fann_connection> connections(fann_get_total_connections(ann));
  fann_get_connection_array(ann, connections.data());
  for (fann_connection &connection : connections)
    connection.weight = random.symmetric() * range;
  fann_set_weight_array(ann, connections.data(), static_cast<unsigned>(connections.size()));
}

/// Another function and steepness for every neuron, from the functions that libfann 2.2.0 implements.
void setRandomActivations(struct ::fann *ann, Random &random) {
  int layers = static_cast<int>(fann_get_num_layers(ann));
  std::vector<unsigned> sizes(static_cast<std::size_t>(layers));
  fann_get_layer_array(ann, sizes.data());
  for (int l = 1; l < layers; ++l)
    for (int n = 0; n < static_cast<int>(sizes[static_cast<std::size_t>(l)]); ++n) {
      fann_set_activation_function(ann, static_cast<fann_activationfunc_enum>(random.below(18)), l, n);
      fann_set_activation_steepness(ann, random.pick(kSteepnesses), l, n);
    }
}

/// y = a smooth function of x with `outputs` components in -1..1.
TrainData makeData(unsigned rows, unsigned inputs, unsigned outputs, Random &random) {
  TrainData data(fann_create_train(rows, inputs, outputs));
  for (unsigned r = 0; r < rows; ++r) {
    float sum = 0;
    for (unsigned i = 0; i < inputs; ++i)
      sum += (data->input[r][i] = random.symmetric()) * static_cast<float>(i + 1);
    for (unsigned o = 0; o < outputs; ++o)
      data->output[r][o] = std::sin(sum * static_cast<float>(o + 1));
  }
  return data;
}

class EveryActivation : public ::testing::TestWithParam<int> {};

TEST_P(EveryActivation, AgreesInLayeredNetworks) {
  Random random(static_cast<std::uint64_t>(GetParam()) + 100);
  auto activation = static_cast<fann_activationfunc_enum>(GetParam());
  for (float steepness : kSteepnesses)
    for (float range : kWeightRanges) {
      Ann ann(
          fann_create_standard(4, 1 + random.below(9), 1 + random.below(9), 1 + random.below(9), 1 + random.below(5)));
      setRandomWeights(ann.get(), random, range);
      fann_set_activation_function_hidden(ann.get(), activation);
      fann_set_activation_function_output(ann.get(), activation);
      fann_set_activation_steepness_hidden(ann.get(), steepness);
      fann_set_activation_steepness_output(ann.get(), steepness);
      expectSameBits(ann.get(), 2000, random.bits());
    }
}

TEST_P(EveryActivation, AgreesFarOutsideItsRange) {
  Random random(static_cast<std::uint64_t>(GetParam()) + 300);
  Ann ann(fann_create_standard(2, 1, 1));
  fann_set_activation_function_output(ann.get(), static_cast<fann_activationfunc_enum>(GetParam()));
  fann_set_activation_steepness_output(ann.get(), 1);
  for (float range : {3.0f, 300.0f, 1e6f, 1e30f}) {
    setRandomWeights(ann.get(), random, range);
    expectSameBits(ann.get(), 2000, random.bits());
  }
}

INSTANTIATE_TEST_SUITE_P(FloatFann, EveryActivation, ::testing::Range(0, 18));

TEST(FloatFann, AgreesOnMixedLayeredNetworks) {
  Random random(1);
  for (int i = 0; i < 60; ++i) {
    Ann ann(
        fann_create_standard(4, 1 + random.below(40), 1 + random.below(40), 1 + random.below(20), 1 + random.below(9)));
    setRandomWeights(ann.get(), random, random.pick(kWeightRanges));
    setRandomActivations(ann.get(), random);
    expectSameBits(ann.get(), 1000, random.bits());
  }
}

TEST(FloatFann, AgreesOnSparseNetworks) {
  Random random(2);
  for (int i = 0; i < 60; ++i) {
    float rate = 0.05f + 0.9f * std::fabs(random.symmetric());
    Ann ann(fann_create_sparse(rate, 4, 1 + random.below(30), 1 + random.below(30), 1 + random.below(20),
                               1 + random.below(9)));
    setRandomWeights(ann.get(), random, random.pick(kWeightRanges));
    setRandomActivations(ann.get(), random);
    expectSameBits(ann.get(), 1000, random.bits());
  }
}

TEST(FloatFann, AgreesOnShortcutNetworks) {
  Random random(3);
  for (int i = 0; i < 60; ++i) {
    Ann ann(
        fann_create_shortcut(4, 1 + random.below(20), 1 + random.below(20), 1 + random.below(20), 1 + random.below(9)));
    setRandomWeights(ann.get(), random, random.pick(kWeightRanges));
    setRandomActivations(ann.get(), random);
    expectSameBits(ann.get(), 1000, random.bits());
  }
}

TEST(FloatFann, AgreesOnTrainedNetworks) {
  Random random(4);
  constexpr fann_train_enum kTrainers[] = {FANN_TRAIN_INCREMENTAL, FANN_TRAIN_BATCH, FANN_TRAIN_RPROP,
                                           FANN_TRAIN_QUICKPROP, FANN_TRAIN_SARPROP};
  for (fann_train_enum trainer : kTrainers)
    for (bool isSparse : {false, true}) {
      TrainData data = makeData(60, 5, 2, random);
      Ann ann(isSparse ? fann_create_sparse(0.6f, 3, 5, 11, 2) : fann_create_standard(3, 5, 11, 2));
      setRandomWeights(ann.get(), random, 0.5f);
      fann_set_activation_function_hidden(ann.get(), FANN_SIGMOID_SYMMETRIC);
      fann_set_activation_function_output(ann.get(), isSparse ? FANN_LINEAR : FANN_SIGMOID_SYMMETRIC);
      fann_set_training_algorithm(ann.get(), trainer);
      fann_train_on_data(ann.get(), data.get(), 60, 0, 0.001f);
      expectSameBits(ann.get(), 3000, random.bits());
    }
}

TEST(FloatFann, AgreesOnCascadeTrainedNetworks) {
  Random random(5);
  std::srand(5);
  for (unsigned neurons : {0u, 1u, 6u, 15u}) {
    TrainData data = makeData(50, 3, 2, random);
    Ann ann(fann_create_shortcut(2, 3, 2));
    fann_set_activation_function_output(ann.get(), FANN_LINEAR);
    fann_set_training_algorithm(ann.get(), FANN_TRAIN_RPROP);
    fann_set_cascade_max_cand_epochs(ann.get(), 40);
    fann_set_cascade_max_out_epochs(ann.get(), 40);
    fann_set_cascade_min_cand_epochs(ann.get(), 5);
    fann_set_cascade_min_out_epochs(ann.get(), 5);
    fann_cascadetrain_on_data(ann.get(), data.get(), neurons, 0, 0.0001f);
    expectSameBits(ann.get(), 3000, random.bits());
  }
}

TEST(FloatFann, AgreesWhenARateOfAlmostOneIsPrintedAsOne) {
  // libfann reads back a fully connected network: other sources than the file's indices say.
  Ann ann(fann_create_sparse(0.5f, 3, 4, 5, 2));
  Random random(6);
  setRandomWeights(ann.get(), random, 2);
  TemporaryFile file(".net");
  ASSERT_EQ(fann_save(ann.get(), file.path().c_str()), 0);
  std::string text = file.read();
  text.replace(text.find("connection_rate=0.5"), 19, "connection_rate=1.0");
  file.write(text);
  Ann loaded(fann_create_from_file(file.path().c_str()));
  ASSERT_TRUE(loaded);
  auto network = readNetworkFile(file.path());
  ASSERT_TRUE(network.ok()) << network.error().message();
  ASSERT_EQ(network->warnings.size(), 1u);
  for (int r = 0; r < 1000; ++r) {
    Matrix input{1, 4, {}};
    for (int i = 0; i < 4; ++i)
      input.values.push_back(randomInput(random));
    const fann_type *expected = fann_run(loaded.get(), input.values.data());
    Matrix output = evaluate(*network, input);
    for (std::size_t i = 0; i < 2; ++i) {
      ASSERT_TRUE(isSame(output.values[i], expected[i])) << output.values[i] << " instead of " << expected[i];
      ++agreements;
    }
  }
}

TEST(FloatFann, AgreesOnVersion11) {
  const char *text = "FANN_FLO_1.1\n3 0.700000 1.000000 0 5 3 0.50000000000000000000e+00 1.00000000000000000000e+00\n"
                     "3 4 2 \n0 0 0 \n3 3 3 0 \n4 0 \n"
                     "(0 -3.4e+00) (1 4.3e+00) (2 5.3) (0 -3.7) (1 3.8) (2 -3.6) (0 3.4) (1 -4.0) (2 3.5) "
                     "(3 -6.9) (4 4.09) (5 -1.6) (6 6.2) \n";
  TemporaryFile file(".net");
  file.write(text);
  Ann loaded(fann_create_from_file(file.path().c_str()));
  ASSERT_TRUE(loaded);
  auto network = readNetworkFile(file.path());
  ASSERT_TRUE(network.ok()) << network.error().message();
  Random random(7);
  for (int r = 0; r < 2000; ++r) {
    Matrix input{1, 2, {randomInput(random), randomInput(random)}};
    float expected = *fann_run(loaded.get(), input.values.data());
    ASSERT_TRUE(isSame(evaluate(*network, input).values[0], expected));
    ++agreements;
  }
}

TEST(FloatFann, ScalesAsFannScaleInputAndDescaleOutput) {
  Random random(8);
  for (int round = 0; round < 10; ++round) {
    TrainData data = makeData(40, 4, 3, random);
    for (unsigned r = 0; r < 40; ++r)
      for (unsigned i = 0; i < 4; ++i)
        data->input[r][i] = data->input[r][i] * 37.5f * static_cast<float>(i + 1) + 11;
    Ann ann(fann_create_standard(3, 4, 6, 3));
    setRandomWeights(ann.get(), random, 1);
    fann_set_scaling_params(ann.get(), data.get(), -1, 1, round % 2 ? 0.1f : -0.9f, 0.9f);
    TemporaryFile file(".net");
    ASSERT_EQ(fann_save(ann.get(), file.path().c_str()), 0);
    Ann loaded(fann_create_from_file(file.path().c_str()));
    auto network = readNetworkFile(file.path());
    ASSERT_TRUE(network.ok()) << network.error().message();
    ASSERT_TRUE(network->scalingIn && network->scalingOut);
    for (int r = 0; r < 500; ++r) {
      Matrix input{1, 4, {}};
      for (int i = 0; i < 4; ++i)
        input.values.push_back(random.symmetric() * 100);
      Matrix output = evaluate(*network, input, {.applyScaling = true});
      std::vector<float> expected = input.values;
      fann_scale_input(loaded.get(), expected.data());
      fann_type *raw = fann_run(loaded.get(), expected.data());
      fann_descale_output(loaded.get(), raw);
      for (std::size_t i = 0; i < 3; ++i) {
        ASSERT_TRUE(isSame(output.values[i], raw[i])) << output.values[i] << " instead of " << raw[i];
        ++agreements;
      }
    }
  }
}

TEST(FloatFann, ReadsTrainingDataAsFannSavesIt) {
  Random random(9);
  TrainData data = makeData(30, 3, 2, random);
  TemporaryFile file(".data");
  ASSERT_EQ(fann_save_train(data.get(), file.path().c_str()), 0);
  TrainData loaded(fann_read_train_from_file(file.path().c_str()));
  auto read = readFannDataFile(file.path());
  ASSERT_TRUE(read.ok()) << read.error().message();
  ASSERT_EQ(read->inputs.rows, 30u);
  for (unsigned r = 0; r < 30; ++r) {
    for (unsigned i = 0; i < 3; ++i)
      EXPECT_EQ(read->inputs.row(r)[i], loaded->input[r][i]);
    for (unsigned i = 0; i < 2; ++i)
      EXPECT_EQ(read->outputs.row(r)[i], loaded->output[r][i]);
  }
}

/// The train and test sets that Debian's libfann packages carry; none where documentation is not installed.
std::vector<std::string> installedDatasets() {
  std::vector<std::string> paths;
  for (const char *package : {"libfann-dev", "libfann-doc"}) {
    std::error_code error;
    std::filesystem::path folder = std::string("/usr/share/doc/") + package + "/examples/datasets";
    for (const auto &entry : std::filesystem::directory_iterator(folder, error))
      if (entry.path().extension() == ".train" || entry.path().extension() == ".test" ||
          entry.path().extension() == ".data")
        paths.push_back(entry.path().string());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

TEST(FloatFann, ReadsLibfannsDatasetsAsLibfannDoes) {
  std::vector<std::string> paths = installedDatasets();
  if (paths.empty())
    GTEST_SKIP() << "the datasets of libfann-doc are not installed";
  std::size_t numbers = 0;
  for (const std::string &path : paths) {
    TrainData expected(fann_read_train_from_file(path.c_str()));
    auto data = readFannDataFile(path);
    ASSERT_TRUE(expected && data.ok()) << path;
    ASSERT_EQ(data->inputs.rows, expected->num_data) << path;
    for (unsigned r = 0; r < expected->num_data; ++r) {
      for (unsigned i = 0; i < expected->num_input; ++i, ++numbers)
        ASSERT_TRUE(isSame(data->inputs.row(r)[i], expected->input[r][i])) << path << " row " << r;
      for (unsigned i = 0; i < expected->num_output; ++i, ++numbers)
        ASSERT_TRUE(isSame(data->outputs.row(r)[i], expected->output[r][i])) << path << " row " << r;
    }
  }
  std::printf("libfann's datasets: %zu files, %zu numbers equal to the bit\n", paths.size(), numbers);
}

TEST(FloatFann, AgreesOnNetworksTrainedOnLibfannsDatasets) {
  std::vector<std::string> paths = installedDatasets();
  if (paths.empty())
    GTEST_SKIP() << "the datasets of libfann-doc are not installed";
  Random random(10);
  for (const std::string &path : paths) {
    bool isSmallTrainSet = path.ends_with(".train") && std::filesystem::file_size(path) < 400000;
    if (!isSmallTrainSet)
      continue;
    TrainData data(fann_read_train_from_file(path.c_str()));
    Ann ann(fann_create_standard(3, data->num_input, 12, data->num_output));
    setRandomWeights(ann.get(), random, 0.3f);
    fann_set_activation_function_hidden(ann.get(), FANN_SIGMOID_SYMMETRIC);
    fann_set_activation_function_output(ann.get(), FANN_SIGMOID);
    fann_set_training_algorithm(ann.get(), FANN_TRAIN_RPROP);
    fann_train_on_data(ann.get(), data.get(), 15, 0, 0.0001f);
    TemporaryFile file(".net");
    ASSERT_EQ(fann_save(ann.get(), file.path().c_str()), 0);
    Ann saved(fann_create_from_file(file.path().c_str()));
    auto network = readNetworkFile(file.path());
    ASSERT_TRUE(network.ok()) << network.error().message();
    auto rows = readFannDataFile(path);
    Matrix outputs = evaluate(*network, rows->inputs);
    for (std::size_t r = 0; r < outputs.rows; ++r) {
      const fann_type *expected = fann_run(saved.get(), rows->inputs.row(r).data());
      for (std::size_t i = 0; i < outputs.cols; ++i, ++agreements)
        ASSERT_TRUE(isSame(outputs.row(r)[i], expected[i])) << path << " row " << r;
    }
  }
}

} // namespace
