// Trains float networks with libfloatfann and saves them with fann_save_to_fixed into the folder argv[1].
//
// A program of its own because FixedFannTest links libfixedfann, which defines the same symbols.
#include "tests/unit/fann/OracleSupport.h"

#include <cmath>
#include <floatfann.h>
#include <vector>

using kimic::test::Random;

static void makeNetwork(const std::string &path, int kind, Random &random) {
  constexpr unsigned kRows = 60, kInputs = 4, kOutputs = 2;
  struct fann_train_data *data = fann_create_train(kRows, kInputs, kOutputs);
  for (unsigned r = 0; r < kRows; ++r) {
    float sum = 0;
    for (unsigned i = 0; i < kInputs; ++i)
      sum += (data->input[r][i] = random.symmetric()) * static_cast<float>(i + 1);
    for (unsigned o = 0; o < kOutputs; ++o)
      data->output[r][o] = std::sin(sum * static_cast<float>(o + 1));
  }
  struct ::fann *ann = kind % 3 == 0   ? fann_create_standard(3, kInputs, 9, kOutputs)
                       : kind % 3 == 1 ? fann_create_sparse(0.6f, 4, kInputs, 9, 7, kOutputs)
                                       : fann_create_shortcut(4, kInputs, 5, 4, kOutputs);
  std::vector<struct fann_connection> connections(fann_get_total_connections(ann));
  fann_get_connection_array(ann, connections.data());
  for (struct fann_connection &connection : connections)
    connection.weight = random.symmetric() * 0.3f;
  fann_set_weight_array(ann, connections.data(), static_cast<unsigned>(connections.size()));

  constexpr fann_activationfunc_enum kFunctions[] = {FANN_LINEAR,
                                                     FANN_SIGMOID,
                                                     FANN_SIGMOID_STEPWISE,
                                                     FANN_SIGMOID_SYMMETRIC,
                                                     FANN_SIGMOID_SYMMETRIC_STEPWISE,
                                                     FANN_LINEAR_PIECE,
                                                     FANN_LINEAR_PIECE_SYMMETRIC};
  fann_set_activation_function_hidden(ann, random.pick(kFunctions));
  fann_set_activation_function_output(ann, random.pick(kFunctions));
  constexpr float kSteepnesses[] = {0.1f, 0.25f, 0.5f, 1.0f, 2.0f};
  fann_set_activation_steepness_hidden(ann, random.pick(kSteepnesses));
  fann_set_activation_steepness_output(ann, random.pick(kSteepnesses));
  fann_set_training_algorithm(ann, kind % 2 ? FANN_TRAIN_BATCH : FANN_TRAIN_INCREMENTAL);
  fann_set_learning_rate(ann, 0.05f);
  fann_train_on_data(ann, data, 40, 0, 0.0001f);
  fann_save_to_fixed(ann, path.c_str());
  fann_destroy(ann);
  fann_destroy_train(data);
}

int main(int argc, char **argv) {
  if (argc != 3)
    return 2;
  Random random(11);
  for (int i = 0; i < std::stoi(argv[2]); ++i)
    makeNetwork(std::string(argv[1]) + "/" + std::to_string(i) + ".net", i, random);
  return 0;
}
