// Trains the networks of the demo expert set with libfann, and measures each on its held-out rows with fann_run.
//
//   train_examples OUT WORK [NAME...]
//
// Reads WORK/NAME.train.data, writes OUT/NAME.net, then loads that file again and prints one line per network:
// topology, connections, metric on OUT/NAME.test.data. After the last network it measures what the router is worth.
// With names, only those networks are trained. Exit code 1 if a file cannot be read or written.

#include <fann.h>

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

static unsigned currentSeed = 0;

/// Replaces libfann's own seeding from /dev/urandom, which it calls whenever a network is created: the dynamic linker
/// prefers the program's definition.
extern "C" void fann_seed_rand() { std::srand(currentSeed); }

namespace {

struct NetDeleter {
  void operator()(fann *net) const { fann_destroy(net); }
};
struct DataDeleter {
  void operator()(fann_train_data *data) const { fann_destroy_train(data); }
};
using Net = std::unique_ptr<fann, NetDeleter>;
using Data = std::unique_ptr<fann_train_data, DataDeleter>;

enum class Topology { Layered, Sparse, Shortcut, Cascade };
enum class Scaling { None, Inputs, Both };
enum class Metric { Accuracy, Nmse };

struct Layer {
  unsigned size;
  fann_activationfunc_enum activation;
  float steepness;
};

/// How one network is made. `hidden` is empty for a cascade, where `hiddenLimit` neurons are added one by one.
struct Recipe {
  const char *name;
  unsigned seed;
  std::vector<Layer> hidden;
  Layer output; // size is taken from the data
  unsigned epochs;
  Topology topology = Topology::Layered;
  float connectionRate = 1.0f;
  unsigned hiddenLimit = 0;
  Scaling scaling = Scaling::None;
  Metric metric = Metric::Accuracy;
  fann_train_enum algorithm = FANN_TRAIN_INCREMENTAL;
  float stepLimit = 50.0f;   // RPROP's largest change of a weight; 50 is libfann's default
  float learningRate = 0.1f; // incremental training
  float weightRange = 0.1f;  // initial weights lie within +-weightRange
};

[[noreturn]] void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::fputs("train_examples: ", stderr);
  std::vfprintf(stderr, format, arguments);
  std::fputc('\n', stderr);
  va_end(arguments);
  std::exit(1);
}

Data readData(const std::string &path) {
  Data data(fann_read_train_from_file(path.c_str()));
  if (!data)
    fail("cannot read %s", path.c_str());
  return data;
}

Net readNet(const std::string &path) {
  Net net(fann_create_from_file(path.c_str()));
  if (!net)
    fail("cannot read %s", path.c_str());
  return net;
}

/// In the order of experts.json, the router last; its outputs are the first recipes. Sparse networks use RPROP:
/// incremental training in libfann 2.2.0 leaves them near chance.
std::vector<Recipe> recipes() {
  // Same hidden layer and output for all digit experts, and for the two text classifiers: one kernel each.
  const std::vector<Layer> digitHidden = {{32, FANN_SIGMOID_SYMMETRIC, 0.5f}};
  const std::vector<Layer> textHidden = {{24, FANN_SIGMOID_SYMMETRIC, 0.25f}};
  const Layer probability = {0, FANN_SIGMOID, 0.5f};

  std::vector<Recipe> list;
  unsigned seed = 1;
  for (const char *name : {"digits_upright", "digits_quarter_turn", "digits_upside_down", "digits_mirrored",
                           "digits_inverted", "digits_noisy"})
    list.push_back({.name = name,
                    .seed = seed++,
                    .hidden = digitHidden,
                    .output = probability,
                    .epochs = 25,
                    .learningRate = 0.3f});
  list.push_back({.name = "digits_generalist",
                  .seed = 7,
                  .hidden = digitHidden,
                  .output = probability,
                  .epochs = 60,
                  .learningRate = 0.2f});
  list.push_back({.name = "iris",
                  .seed = 11,
                  .hidden = {{32, FANN_GAUSSIAN_SYMMETRIC, 0.5f}, {24, FANN_SIGMOID_SYMMETRIC, 0.5f}},
                  .output = probability,
                  .epochs = 150,
                  .scaling = Scaling::Inputs,
                  .learningRate = 0.05f,
                  .weightRange = 0.5f});
  list.push_back({.name = "wine",
                  .seed = 12,
                  .hidden = {{64, FANN_ELLIOT_SYMMETRIC, 1.0f}},
                  .output = {0, FANN_ELLIOT, 1.0f},
                  .epochs = 40,
                  .scaling = Scaling::Inputs,
                  .algorithm = FANN_TRAIN_RPROP});
  list.push_back({.name = "breast_cancer",
                  .seed = 13,
                  .hidden = {{64, FANN_SIGMOID_SYMMETRIC_STEPWISE, 0.5f}},
                  .output = {0, FANN_SIGMOID_STEPWISE, 0.5f},
                  .epochs = 40,
                  .topology = Topology::Sparse,
                  .connectionRate = 0.5f,
                  .scaling = Scaling::Inputs,
                  .algorithm = FANN_TRAIN_RPROP});
  list.push_back({.name = "diabetes",
                  .seed = 14,
                  .hidden = {{84, FANN_SIGMOID_SYMMETRIC, 0.25f}},
                  .output = {0, FANN_LINEAR, 0.5f},
                  .epochs = 40,
                  .scaling = Scaling::Both,
                  .metric = Metric::Nmse,
                  .learningRate = 0.002f});
  list.push_back({.name = "waves",
                  .seed = 21,
                  .hidden = {{40, FANN_SIN_SYMMETRIC, 1.0f}, {24, FANN_COS_SYMMETRIC, 0.5f}},
                  .output = {0, FANN_LINEAR, 0.5f},
                  .epochs = 600,
                  .metric = Metric::Nmse,
                  .learningRate = 0.01f,
                  .weightRange = 1.0f});
  list.push_back({.name = "spirals",
                  .seed = 22,
                  .hidden = {},
                  .output = {0, FANN_SIGMOID, 0.5f},
                  .epochs = 0,
                  .topology = Topology::Cascade,
                  .hiddenLimit = 24,
                  .algorithm = FANN_TRAIN_RPROP});
  list.push_back({.name = "arm",
                  .seed = 23,
                  .hidden = {{32, FANN_SIGMOID_SYMMETRIC, 0.5f}, {24, FANN_GAUSSIAN, 0.5f}},
                  .output = {0, FANN_LINEAR, 1.0f},
                  .epochs = 1500,
                  .topology = Topology::Shortcut,
                  .scaling = Scaling::Both,
                  .metric = Metric::Nmse,
                  .algorithm = FANN_TRAIN_RPROP});
  list.push_back({.name = "rv32",
                  .seed = 24,
                  .hidden = {{48, FANN_SIGMOID_STEPWISE, 0.75f}},
                  .output = {0, FANN_SIGMOID, 0.5f},
                  .epochs = 100,
                  .topology = Topology::Sparse,
                  .connectionRate = 0.6f,
                  .algorithm = FANN_TRAIN_RPROP,
                  .stepLimit = 0.2f,
                  .weightRange = 1.0f});
  list.push_back({.name = "recall",
                  .seed = 25,
                  .hidden = {{64, FANN_LINEAR_PIECE_SYMMETRIC, 0.5f}, {32, FANN_SIGMOID_SYMMETRIC, 0.5f}},
                  .output = probability,
                  .epochs = 60,
                  .learningRate = 0.2f,
                  .weightRange = 0.5f});
  for (const char *name : {"number_language", "tool_picker"})
    list.push_back({.name = name,
                    .seed = name[0] == 'n' ? 26u : 27u,
                    .hidden = textHidden,
                    .output = probability,
                    .epochs = 20,
                    .learningRate = 0.3f});
  list.push_back({.name = "speller",
                  .seed = 28,
                  .hidden = {{48, FANN_ELLIOT_SYMMETRIC, 0.5f}},
                  .output = probability,
                  .epochs = 30,
                  .learningRate = 0.3f});
  list.push_back({.name = "router",
                  .seed = 31,
                  .hidden = {{32, FANN_SIGMOID_SYMMETRIC, 0.5f}},
                  .output = {0, FANN_LINEAR, 0.5f},
                  .epochs = 100,
                  .learningRate = 0.04f});
  return list;
}

Net createNet(const Recipe &recipe, unsigned inputs, unsigned outputs) {
  std::vector<unsigned> sizes = {inputs};
  for (const Layer &layer : recipe.hidden)
    sizes.push_back(layer.size);
  sizes.push_back(outputs);
  const unsigned count = static_cast<unsigned>(sizes.size());

  currentSeed = recipe.seed;
  Net net;
  switch (recipe.topology) {
  case Topology::Layered:
    net.reset(fann_create_standard_array(count, sizes.data()));
    break;
  case Topology::Sparse:
    net.reset(fann_create_sparse_array(recipe.connectionRate, count, sizes.data()));
    break;
  case Topology::Shortcut:
  case Topology::Cascade:
    net.reset(fann_create_shortcut_array(count, sizes.data()));
    break;
  }
  if (!net)
    fail("libfann cannot create %s", recipe.name);

  fann_randomize_weights(net.get(), -recipe.weightRange, recipe.weightRange);
  for (size_t i = 0; i < recipe.hidden.size(); ++i) {
    fann_set_activation_function_layer(net.get(), recipe.hidden[i].activation, static_cast<int>(i) + 1);
    fann_set_activation_steepness_layer(net.get(), recipe.hidden[i].steepness, static_cast<int>(i) + 1);
  }
  fann_set_activation_function_output(net.get(), recipe.output.activation);
  fann_set_activation_steepness_output(net.get(), recipe.output.steepness);
  fann_set_training_algorithm(net.get(), recipe.algorithm);
  fann_set_train_error_function(net.get(), FANN_ERRORFUNC_LINEAR);
  fann_set_rprop_delta_max(net.get(), recipe.stepLimit);
  fann_set_learning_rate(net.get(), recipe.learningRate);
  return net;
}

void trainNet(const Recipe &recipe, const std::string &dataPath, const std::string &netPath) {
  const Data data = readData(dataPath);
  const Net net = createNet(recipe, fann_num_input_train_data(data.get()), fann_num_output_train_data(data.get()));
  if (recipe.scaling == Scaling::Inputs)
    fann_set_input_scaling_params(net.get(), data.get(), -1.0f, 1.0f);
  else if (recipe.scaling == Scaling::Both)
    fann_set_scaling_params(net.get(), data.get(), -1.0f, 1.0f, -1.0f, 1.0f);
  if (recipe.scaling != Scaling::None)
    fann_scale_train(net.get(), data.get());
  if (recipe.topology == Topology::Cascade)
    fann_cascadetrain_on_data(net.get(), data.get(), recipe.hiddenLimit, 0, 0.0f);
  else
    fann_train_on_data(net.get(), data.get(), recipe.epochs, 0, 0.0f);
  if (fann_save(net.get(), netPath.c_str()) != 0)
    fail("cannot write %s", netPath.c_str());
}

/// One row through the network in the user's units: fann_run itself never applies the scaling a network carries.
std::vector<float> run(fann *net, const float *input, bool scaled) {
  std::vector<float> row(input, input + fann_get_num_input(net));
  if (scaled)
    fann_scale_input(net, row.data());
  const float *output = fann_run(net, row.data());
  std::vector<float> result(output, output + fann_get_num_output(net));
  if (scaled)
    fann_descale_output(net, result.data());
  return result;
}

size_t argmax(const float *values, size_t count) {
  return static_cast<size_t>(std::max_element(values, values + count) - values);
}
size_t argmax(const std::vector<float> &values) { return argmax(values.data(), values.size()); }

double accuracy(fann *net, const fann_train_data *data, bool scaled) {
  unsigned right = 0;
  for (unsigned i = 0; i < data->num_data; ++i)
    right += argmax(run(net, data->input[i], scaled)) == argmax(data->output[i], data->num_output);
  return 100.0 * right / data->num_data;
}

/// Squared error over the variance of the targets, summed over all outputs: 0 is perfect, 1 is as good as the mean.
double nmse(fann *net, const fann_train_data *data, bool scaled) {
  std::vector<double> mean(data->num_output);
  for (unsigned i = 0; i < data->num_data; ++i)
    for (unsigned k = 0; k < data->num_output; ++k)
      mean[k] += data->output[i][k] / static_cast<double>(data->num_data);
  double error = 0.0, variance = 0.0;
  for (unsigned i = 0; i < data->num_data; ++i) {
    const std::vector<float> output = run(net, data->input[i], scaled);
    for (unsigned k = 0; k < data->num_output; ++k) {
      error += std::pow(output[k] - data->output[i][k], 2.0);
      variance += std::pow(data->output[i][k] - mean[k], 2.0);
    }
  }
  return error / variance;
}

double measure(const Recipe &recipe, fann *net, const fann_train_data *data) {
  const bool scaled = recipe.scaling != Scaling::None;
  return recipe.metric == Metric::Accuracy ? accuracy(net, data, scaled) : nmse(net, data, scaled);
}

std::string describe(const Recipe &recipe, fann *net) {
  std::vector<unsigned> sizes(fann_get_num_layers(net));
  fann_get_layer_array(net, sizes.data());
  if (recipe.topology == Topology::Cascade)
    return "cascade " + std::to_string(sizes.front()) + "-(" + std::to_string(sizes.size() - 2) + " x 1)-" +
           std::to_string(sizes.back());
  std::string text;
  for (unsigned size : sizes)
    text += (text.empty() ? "" : "-") + std::to_string(size);
  if (recipe.topology == Topology::Sparse)
    return "sparse " + text;
  return (recipe.topology == Topology::Shortcut ? "shortcut " : "layered ") + text;
}

/// Accuracy on the mixture when the router picks `topK` experts and their outputs are averaged with renormalised
/// softmax weights, as the set's manifest asks for.
double routedAccuracy(fann *router, const std::vector<Net> &experts, const fann_train_data *data, size_t topK) {
  constexpr float kTemperature = 0.1f; // experts.json, router.temperature
  unsigned right = 0;
  for (unsigned i = 0; i < data->num_data; ++i) {
    const std::vector<float> scores = run(router, data->input[i], false);
    std::vector<size_t> order(scores.size());
    for (size_t k = 0; k < order.size(); ++k)
      order[k] = k;
    std::sort(order.begin(), order.end(),
              [&](size_t a, size_t b) { return scores[a] > scores[b] || (scores[a] == scores[b] && a < b); });
    std::vector<float> merged(data->num_output);
    for (size_t k = 0; k < topK; ++k) {
      const float weight = std::exp((scores[order[k]] - scores[order[0]]) / kTemperature);
      const std::vector<float> output = run(experts[order[k]].get(), data->input[i], false);
      for (size_t n = 0; n < merged.size(); ++n)
        merged[n] += weight * output[n];
    }
    right += argmax(merged) == argmax(data->output[i], data->num_output);
  }
  return 100.0 * right / data->num_data;
}

void reportRouting(const std::string &out, const std::string &path) {
  const Data data = readData(path);
  const Net router = readNet(out + "/router.net");
  const Net generalist = readNet(out + "/digits_generalist.net");
  std::vector<Net> experts;
  double best = 0.0;
  for (const Recipe &recipe : recipes()) {
    if (experts.size() == fann_get_num_output(router.get()))
      break;
    experts.push_back(readNet(out + "/" + recipe.name + ".net"));
    best = std::max(best, accuracy(experts.back().get(), data.get(), false));
  }
  std::printf("routing on %u rows: top-1 %.2f %%, top-2 %.2f %%, best specialist alone %.2f %%, generalist %.2f %%\n",
              data->num_data, routedAccuracy(router.get(), experts, data.get(), 1),
              routedAccuracy(router.get(), experts, data.get(), 2), best,
              accuracy(generalist.get(), data.get(), false));
}

} // namespace

int main(int argc, char **argv) {
  if (argc < 3)
    fail("usage: train_examples OUT WORK [NAME...]");
  const std::string out = argv[1], work = argv[2];
  for (const Recipe &recipe : recipes()) {
    const std::string name = recipe.name;
    if (argc > 3 && std::none_of(argv + 3, argv + argc, [&](const char *wanted) { return name == wanted; }))
      continue;
    const std::string netPath = out + "/" + name + ".net";
    trainNet(recipe, work + "/" + name + ".train.data", netPath);
    const Net net = readNet(netPath);
    const Data train = readData(work + "/" + name + ".train.data");
    const Data test = readData(out + "/" + name + ".test.data");
    const char *format = recipe.metric == Metric::Accuracy ? "%-20s %-22s %6u  accuracy %6.2f %% (training %6.2f %%)\n"
                                                           : "%-20s %-22s %6u  NMSE   %8.5f   (training %8.5f)\n";
    std::printf(format, recipe.name, describe(recipe, net.get()).c_str(), fann_get_total_connections(net.get()),
                measure(recipe, net.get(), test.get()), measure(recipe, net.get(), train.get()));
    std::fflush(stdout);
  }
  if (argc == 3) {
    reportRouting(out, out + "/digits_generalist.test.data");
    reportRouting(out, work + "/routing.heldout.data");
  }
  return 0;
}
