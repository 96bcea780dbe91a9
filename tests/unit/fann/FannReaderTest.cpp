// What the reader of FANN's text format accepts, and what it says about everything else.
#include "formats/fann/FannReader.h"
#include "formats/fann/Evaluator.h"

#include <gtest/gtest.h>

using namespace kimic;
using namespace kimic::fann;

namespace {

const std::string kNeurons =
    "neurons (num_inputs, activation_function, activation_steepness)=(0, 0, 0.00000000000000000000e+00) (0, 0, "
    "0.00000000000000000000e+00) (0, 0, 0.00000000000000000000e+00) (3, 5, 5.00000000000000000000e-01) (3, 5, "
    "5.00000000000000000000e-01) (3, 5, 5.00000000000000000000e-01) (0, 5, 0.00000000000000000000e+00) (4, 5, "
    "5.00000000000000000000e-01) (0, 5, 0.00000000000000000000e+00) \n";
const std::string kConnections =
    "connections (connected_to_neuron, weight)=(0, -3.45292568206787109375e+00) (1, 4.34912633895874023438e+00) (2, "
    "5.34541749954223632812e+00) (0, -3.74142813682556152344e+00) (1, 3.84549641609191894531e+00) (2, "
    "-3.65777254104614257812e+00) (0, 3.48607277870178222656e+00) (1, -4.04511547088623046875e+00) (2, "
    "3.51283073425292968750e+00) (3, -6.97096490859985351562e+00) (4, 4.09244298934936523438e+00) (5, "
    "-1.60974979400634765625e+00) (6, 6.24074506759643554688e+00) \n";
const std::string kShape = "num_layers=3\nlearning_rate=0.700000\nconnection_rate=1.000000\nnetwork_type=0\n";
const std::string kTraining =
    "learning_momentum=0.000000\ntraining_algorithm=2\ntrain_error_function=1\ntrain_stop_function=0\n"
    "cascade_output_change_fraction=0.010000\nquickprop_decay=-0.000100\nquickprop_mu=1.750000\n"
    "rprop_increase_factor=1.200000\nrprop_decrease_factor=0.500000\nrprop_delta_min=0.000000\n"
    "rprop_delta_max=50.000000\nrprop_delta_zero=0.100000\n";
const std::string kCascade =
    "cascade_output_stagnation_epochs=12\ncascade_candidate_change_fraction=0.010000\n"
    "cascade_candidate_stagnation_epochs=12\ncascade_max_out_epochs=150\ncascade_min_out_epochs=50\n"
    "cascade_max_cand_epochs=150\ncascade_min_cand_epochs=50\ncascade_num_candidate_groups=2\n"
    "bit_fail_limit=3.49999994039535522461e-01\ncascade_candidate_limit=1.00000000000000000000e+03\n"
    "cascade_weight_multiplier=4.00000005960464477539e-01\ncascade_activation_functions_count=10\n"
    "cascade_activation_functions=3 5 7 8 10 11 14 15 16 17 \ncascade_activation_steepnesses_count=4\n"
    "cascade_activation_steepnesses=2.50000000000000000000e-01 5.00000000000000000000e-01 "
    "7.50000000000000000000e-01 1.00000000000000000000e+00 \n";

/// XOR, trained by libfann 2.2.0, as it saves it; lines 33 to 36 hold what follows the training parameters.
std::string xorText() {
  return "FANN_FLO_2.1\n" + kShape + kTraining + kCascade + "layer_sizes=3 4 2 \nscale_included=0\n" + kNeurons +
         kConnections;
}

std::string replaced(std::string text, const std::string &from, const std::string &to, bool everywhere = false) {
  std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  for (; at != std::string::npos; at = everywhere ? text.find(from, at + to.size()) : std::string::npos)
    text.replace(at, from.size(), to);
  return text;
}

/// Removes from `from` up to and including the end of its line.
std::string withoutLine(const std::string &text, const std::string &from) {
  std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.substr(0, at) + text.substr(text.find('\n', at) + 1);
}

/// The text computes XOR with the bits that libfann 2.2.0 computes, after `warnings` warnings.
void expectXor(const std::string &text, std::size_t warnings = 0) {
  auto network = readNetwork(text, "xor.net");
  ASSERT_TRUE(network.ok()) << network.error().message();
  EXPECT_EQ(network->warnings.size(), warnings);
  Matrix outputs = evaluate(*network, Matrix{4, 2, {-1, -1, -1, 1, 1, -1, 1, 1}});
  EXPECT_EQ(outputs.values, (std::vector<float>{-0.995207667f, 0.982968986f, 0.996711731f, -0.995142996f}));
}

TEST(FannReader, ReadsWhatLibfannSaves) { expectXor(xorText()); }

TEST(FannReader, ResolvesTheNetwork) {
  auto read = readNetwork(xorText(), "xor.net");
  ASSERT_TRUE(read.ok());
  const Network &network = *read;
  EXPECT_EQ(network.format, "FANN_FLO_2.1");
  EXPECT_EQ(network.semantics, Semantics::FannFloat);
  EXPECT_EQ(network.numInputs, 2u);
  EXPECT_EQ(network.numOutputs, 1u);
  ASSERT_EQ(network.layers.size(), 3u);
  EXPECT_EQ(network.layers[2].first, 7u);
  std::string kinds;
  for (const Neuron &neuron : network.neurons)
    kinds += neuron.kind == NeuronKind::Input ? 'i' : neuron.kind == NeuronKind::Constant ? '1' : 'c';
  EXPECT_EQ(kinds, "ii1ccc1c1");
  const Neuron &output = network.neurons[7];
  EXPECT_EQ(output.activation, Activation::SigmoidSymmetric);
  EXPECT_EQ(output.steepness, 0.5f);
  ASSERT_EQ(network.connectionsOf(output).size(), 4u);
  EXPECT_EQ(network.connectionsOf(output)[3].source, 6u);
  EXPECT_EQ(network.connectionsOf(output)[3].weight, 6.24074506759643554688f);
}

// The rows of the table of files that libfann 2.2.0 accepts or refuses.

TEST(FannReader, AcceptsCrLf) { expectXor(replaced(xorText(), "\n", "\r\n", true)); }

TEST(FannReader, AcceptsCrAlone) { expectXor(replaced(xorText(), "\n", "\r", true)); }

TEST(FannReader, AcceptsCrLfAfterAnLfHeader) {
  expectXor("FANN_FLO_2.1\n" + replaced(xorText().substr(13), "\n", "\r\n", true));
}

TEST(FannReader, AcceptsThe210LayoutWithoutMinimumEpochs) {
  expectXor(withoutLine(withoutLine(xorText(), "cascade_min_out_epochs"), "cascade_min_cand_epochs"));
}

TEST(FannReader, AcceptsAdamKeys) {
  expectXor(replaced(xorText(), "cascade_output_stag",
                     "adam_beta1=0.900000\nadam_beta2=0.999000\nadam_epsilon=0.00000001\n"
                     "cascade_output_stag"));
}

TEST(FannReader, AcceptsVersion20WithNetworkType) {
  expectXor(withoutLine(replaced(xorText(), "FANN_FLO_2.1", "FANN_FLO_2.0"), "scale_included"));
}

TEST(FannReader, AcceptsVersion20WithShortcutConnections) {
  expectXor(replaced(withoutLine(replaced(xorText(), "FANN_FLO_2.1", "FANN_FLO_2.0"), "scale_included"),
                     "network_type=0", "shortcut_connections=0"));
}

TEST(FannReader, AcceptsVersion21WithoutScaleIncluded) { expectXor(withoutLine(xorText(), "scale_included")); }

TEST(FannReader, AcceptsVersion11) {
  std::string connections = replaced(kConnections.substr(kConnections.find('=') + 1), ",", "", true);
  expectXor("FANN_FLO_1.1\n3 0.700000 1.000000 0 5 5 5.00000000000000000000e-01 5.00000000000000000000e-01\n"
            "3 4 2 \n0 0 0 \n3 3 3 0 \n4 0 \n" +
            connections);
}

TEST(FannReader, ReadsByPositionAtRateOne) {
  std::string text = replaced(replaced(xorText(), "(3, -6.97", "(99999, -6.97"), "(4, 4.09", "(-7, 4.09");
  expectXor(text, 1);
}

TEST(FannReader, ReadsByIndexBelowRateOne) {
  std::string swapped = replaced(replaced(xorText(), "(1, 4.34912633895874023438e+00) (2, 5.34541749954223632812e+00)",
                                          "(2, 5.34541749954223632812e+00) (1, 4.34912633895874023438e+00)"),
                                 "connection_rate=1.000000", "connection_rate=0.500000");
  auto network = readNetwork(swapped, "xor.net");
  ASSERT_TRUE(network.ok()) << network.error().message();
  EXPECT_TRUE(network->warnings.empty());
  EXPECT_EQ(network->connections[1].source, 2u);
  EXPECT_EQ(network->connections[2].source, 1u);
}

TEST(FannReader, GivesReluItsMeaningOfLaterVersions) {
  std::string text = "FANN_FLO_2.1\nnum_layers=2\nlayer_sizes=2 3\nneurons=(0,0,0)(0,0,0)(2,18,0.5)(2,19,0.5)(0,0,0)\n"
                     "connections=(0,2)(1,0)(0,2)(1,0)";
  auto network = readNetwork(text, "relu.net");
  ASSERT_TRUE(network.ok()) << network.error().message();
  EXPECT_EQ(network->warnings.size(), 1u);
  // The clamp comes after the steepness: 0.5 * 2x is cut at 150 / 0.5.
  Matrix outputs = evaluate(*network, Matrix{3, 1, {3, -2, 1000}});
  EXPECT_EQ(outputs.values, (std::vector<float>{3, 3, 0, -0.02f, 300, 300}));
}

TEST(FannReader, AcceptsSteepnessZero) {
  auto network = readNetwork(replaced(xorText(), "(4, 5, 5.00000000000000000000e-01)", "(4, 5, 0.0)"), "xor.net");
  ASSERT_TRUE(network.ok()) << network.error().message();
  EXPECT_EQ(evaluate(*network, Matrix{1, 2, {1, -1}}).values[0], 0.0f);
}

TEST(FannReader, AcceptsWhiteSpaceAnywhere) {
  std::string text = replaced(xorText(), ") (", ")\n\n  (", true);
  text = replaced(replaced(text, "num_layers=3", "num_layers= \t3  \n"), "layer_sizes=3 4 2 ", "layer_sizes = 3\n4\n2");
  expectXor("\n" + text);
}

TEST(FannReader, AcceptsTuplesWithoutSpaces) {
  expectXor(replaced(replaced(xorText(), ") (", ")(", true), ", ", ",", true));
}

TEST(FannReader, AcceptsFewDigits) {
  std::string text = replaced(xorText(), "-6.97096490859985351562e+00", "-6.970965");
  auto network = readNetwork(text, "xor.net");
  ASSERT_TRUE(network.ok()) << network.error().message();
  EXPECT_EQ(network->connections[9].weight, -6.970965f);
}

TEST(FannReader, WarnsAboutTextAfterTheConnections) { expectXor(xorText() + "and some more\n", 1); }

TEST(FannReader, AcceptsAMissingFinalNewline) {
  std::string text = xorText();
  expectXor(text.substr(0, text.find_last_not_of(" \n") + 1));
}

TEST(FannReader, AcceptsThreeDigitExponents) {
  expectXor(replaced(replaced(xorText(), "e+00", "e+000", true), "e-01", "e-001", true));
}

TEST(FannReader, AcceptsAByteOrderMark) { expectXor("\xEF\xBB\xBF" + xorText()); }

TEST(FannReader, AcceptsCommaDecimals) {
  std::string text = xorText().substr(13);
  for (char digit = '0'; digit <= '9'; ++digit)
    if (text.find(std::string(1, digit) + ".") != std::string::npos)
      text = replaced(text, std::string(1, digit) + ".", std::string(1, digit) + ",", true);
  expectXor("FANN_FLO_2.1\n" + text);
}

TEST(FannReader, AcceptsKeysInAnyOrder) {
  expectXor("FANN_FLO_2.1\n" + kConnections + kNeurons + "layer_sizes=3 4 2 \nmy_key=1\nmy_key=2\nnum_layers=3\n");
}

TEST(FannReader, NeedsOnlyFourKeys) {
  expectXor("FANN_FLO_2.1\nnum_layers=3\nlayer_sizes=3 4 2\n" + kNeurons + kConnections);
}

TEST(FannReader, ReadsScalingParameters) {
  std::string text =
      replaced(xorText(), "scale_included=0",
               "scale_included=1\nscale_mean_in=1.000000 2.000000 \nscale_deviation_in=0.500000 0.000000 \n"
               "scale_new_min_in=-1.000000 -1.000000 \nscale_factor_in=1.000000 1.000000 \n"
               "scale_mean_out=3.000000 \nscale_deviation_out=2.000000 \nscale_new_min_out=-1.000000 \n"
               "scale_factor_out=1.000000 ");
  auto network = readNetwork(text, "xor.net");
  ASSERT_TRUE(network.ok()) << network.error().message();
  ASSERT_TRUE(network->scalingIn.has_value());
  EXPECT_EQ(network->scalingIn->mean, (std::vector<float>{1, 2}));
  EXPECT_EQ(network->scalingOut->deviation, (std::vector<float>{2}));
  EXPECT_EQ(network->warnings.size(), 1u) << "the deviation of 0";
  // Input 0 becomes (x - 1) / 0.5, input 1 stays; output o becomes 2 o + 3.
  Matrix scaled = evaluate(*network, Matrix{1, 2, {0.5f, 1}}, {.applyScaling = true});
  Matrix plain = evaluate(*network, Matrix{1, 2, {-1, 1}});
  EXPECT_EQ(scaled.values[0], plain.values[0] * 2 + 3);
}

// Refusals: file, line, key, what was found, what was expected.

void expectError(const std::string &text, ErrorId id, const std::string &message) {
  auto network = readNetwork(text, "a.net");
  ASSERT_FALSE(network.ok());
  EXPECT_EQ(nameOf(network.error().id), std::string(nameOf(id)));
  EXPECT_EQ(network.error().message(), message);
}

TEST(FannReaderErrors, UnknownVersion) {
  for (std::string version : {"FANN_FLO_0.1", "FANN_FLO_1.0", "FANN_FLO_1.3", "FANN_FIX_2.1", "FANN_FLO_2.2"})
    expectError(version + "\n3 0.7 1 2 2 0.5 0.5\n", ErrorId::NetworkUnknownVersion,
                "a.net:1: unknown version of the FANN format: found '" + version +
                    "', expected FANN_FLO_1.1, FANN_FLO_2.0, FANN_FLO_2.1, FANN_FIX_1.1 or FANN_FIX_2.0");
}

TEST(FannReaderErrors, ForeignFormats) {
  expectError(
      "SNNS network definition file V1.4-3D\ngenerated at x\n", ErrorId::NetworkForeignFormat,
      "a.net:1: the network of another program: found 'SNNS network definition file V1.4-3D', a network of SNNS, "
      "expected a FANN network or ruv-FANN's JSON");
  expectError(
      "\n*Vertices 3\n", ErrorId::NetworkForeignFormat,
      "a.net:2: the network of another program: found '*Vertices 3', a graph of Pajek, expected a FANN network or "
      "ruv-FANN's JSON");
  expectError("FANN_FLO:2.1\nnum_layers=3\n", ErrorId::NetworkForeignFormat,
              "a.net:1: the network of another program: found 'FANN_FLO:2.1', ruv-FANN's text format, which keeps no "
              "topology, expected FANN's own FANN_FLO_2.1, or ruv-FANN's JSON");
}

TEST(FannReaderErrors, UnknownFormat) {
  const char *expected = ", expected FANN_FLO_1.1, FANN_FLO_2.0, FANN_FLO_2.1, FANN_FIX_1.1 or FANN_FIX_2.0";
  expectError("", ErrorId::NetworkUnknownFormat,
              std::string("a.net:1: not a network that kimic reads: found end of text") + expected);
  expectError("\x7F"
              "ELF\x02",
              ErrorId::NetworkUnknownFormat,
              std::string("a.net:1: not a network that kimic reads: found '\\x7fELF\\x02'") + expected);
  expectError("4 2 1\n0 0\n0\n", ErrorId::NetworkUnknownFormat,
              std::string("a.net:1: not a network that kimic reads: found '4 2 1'") + expected);
}

TEST(FannReaderErrors, MissingKeys) {
  expectError(withoutLine(xorText(), "num_layers"), ErrorId::NetworkMissingKey,
              "a.net:36: num_layers: key is missing: found end of text, expected num_layers=...");
  expectError(withoutLine(xorText(), "layer_sizes"), ErrorId::NetworkMissingKey,
              "a.net:36: layer_sizes: key is missing: found end of text, expected layer_sizes=...");
  expectError(withoutLine(xorText(), "neurons"), ErrorId::NetworkMissingKey,
              "a.net:36: neurons: key is missing: found end of text, expected neurons=...");
  expectError(withoutLine(xorText(), "connections"), ErrorId::NetworkMissingKey,
              "a.net:36: connections: key is missing: found end of text, expected connections=...");
  expectError(replaced(xorText(), "FANN_FLO_2.1", "FANN_FIX_2.0"), ErrorId::NetworkMissingKey,
              "a.net:37: decimal_point: key is missing: found end of text, expected decimal_point=...");
  expectError(replaced(xorText(), "scale_included=0", "scale_included=1"), ErrorId::NetworkMissingKey,
              "a.net:37: scale_mean_in: key is missing: found end of text, expected scale_mean_in=...");
}

TEST(FannReaderErrors, DuplicateKey) {
  expectError(replaced(xorText(), "learning_rate", "num_layers"), ErrorId::NetworkDuplicateKey,
              "a.net:3: num_layers: key stands twice: found 'num_layers=0.700000', expected one num_layers");
}

TEST(FannReaderErrors, TextThatIsNoKey) {
  expectError("FANN_FLO_2.1\nhello\n" + kShape, ErrorId::NetworkBadSyntax,
              "a.net:2: text does not follow the format: found 'hello', expected key=value");
  expectError(replaced(xorText(), "num_layers=3", "num_layers=3 x"), ErrorId::NetworkBadSyntax,
              "a.net:2: num_layers: text does not follow the format: found 'x', expected the end of the value");
}

TEST(FannReaderErrors, BadNumbers) {
  expectError(replaced(xorText(), "network_type=0", "network_type=no"), ErrorId::NetworkBadNumber,
              "a.net:5: network_type: not a number: found 'no', expected an integer from 0 to 1");
  expectError(replaced(xorText(), "network_type=0", "network_type=2"), ErrorId::NetworkOutOfRange,
              "a.net:5: network_type: number is out of range: found '2', expected an integer from 0 to 1");
  expectError(replaced(xorText(), "network_type=0", "network_type="), ErrorId::NetworkBadNumber,
              "a.net:5: network_type: not a number: found end of value, expected an integer from 0 to 1");
  expectError(replaced(xorText(), "(3, -6.97", "(3, x6.97"), ErrorId::NetworkBadNumber,
              "a.net:36: connections: not a number: found 'x6.97096490859985351562e+00)', expected a number");
  expectError(replaced(xorText(), "connection_rate=1.000000", "connection_rate=nan"), ErrorId::NetworkNotFinite,
              "a.net:4: connection_rate: number is not finite: found 'nan', expected a finite number");
}

TEST(FannReaderErrors, NumbersThatAreNotFinite) {
  for (std::string bad : {"nan", "inf", "-inf", "-nan(ind)", "1.#QNAN", "-1.#IND", "1e39", "1e400", "-1e99999"})
    expectError(replaced(xorText(), "-6.97096490859985351562e+00", bad), ErrorId::NetworkNotFinite,
                "a.net:36: connections: number is not finite: found '" + bad + ")', expected a finite number");
}

TEST(FannReader, RoundsTooSmallNumbersToZero) {
  for (std::string tiny : {"1e-60", "-1e-400", "0.0e-99999"}) {
    auto network = readNetwork(replaced(xorText(), "-6.97096490859985351562e+00", tiny), "a.net");
    ASSERT_TRUE(network.ok()) << network.error().message();
    EXPECT_EQ(network->connections[9].weight, 0.0f);
  }
}

TEST(FannReaderErrors, Layers) {
  expectError(replaced(xorText(), "num_layers=3", "num_layers=1"), ErrorId::NetworkOutOfRange,
              "a.net:2: num_layers: number is out of range: found '1', expected an integer from 2 to " +
                  std::to_string(xorText().size() / 2));
  expectError(replaced(xorText(), "num_layers=3", "num_layers=4"), ErrorId::NetworkCountMismatch,
              "a.net:33: layer_sizes: counts do not agree: found end of value, expected 4 sizes (num_layers)");
  expectError(replaced(xorText(), "num_layers=3", "num_layers=2"), ErrorId::NetworkCountMismatch,
              "a.net:33: layer_sizes: counts do not agree: found '2', expected only 2 sizes (num_layers)");
  expectError(replaced(xorText(), "layer_sizes=3 4 2", "layer_sizes=3 0 2"), ErrorId::NetworkOutOfRange,
              "a.net:33: layer_sizes: number is out of range: found '0', expected an integer from 1 to 2147483647");
  expectError(
      replaced(xorText(), "layer_sizes=3 4 2", "layer_sizes=1 4 2"), ErrorId::NetworkOutOfRange,
      "a.net:33: layer_sizes: number is out of range: found 1 neuron in the first layer, expected at least 2: its "
      "last neuron is the bias");
  expectError(
      replaced(xorText(), "layer_sizes=3 4 2", "layer_sizes=3 4 1"), ErrorId::NetworkOutOfRange,
      "a.net:33: layer_sizes: number is out of range: found 1 neuron in the last layer, expected at least 2: its "
      "last neuron is the bias");
}

TEST(FannReaderErrors, HugeSizesBeforeTheyAreAllocated) {
  expectError(replaced(xorText(), "num_layers=3", "num_layers=2000000000"), ErrorId::NetworkOutOfRange,
              "a.net:2: num_layers: number is out of range: found '2000000000', expected an integer from 2 to " +
                  std::to_string((xorText().size() + 9) / 2));
  expectError(replaced(xorText(), "layer_sizes=3 4 2", "layer_sizes=3 4 1000000000"), ErrorId::NetworkCountMismatch,
              "a.net:33: layer_sizes: counts do not agree: found 1000000007 neurons, expected no more than " +
                  std::to_string(xorText().size() + 9) + " bytes of text can describe");
  expectError(replaced(xorText(), "layer_sizes=3 4 2", "layer_sizes=2147483647 4 2"), ErrorId::NetworkTooLarge,
              "a.net:33: layer_sizes: network is too large: found 2147483651 neurons, expected fewer than 2147483648");
  expectError(
      replaced(xorText(), "layer_sizes=3 4 2", "layer_sizes=99999999999999999999 4 2"), ErrorId::NetworkOutOfRange,
      "a.net:33: layer_sizes: number is out of range: found '99999999999999999999', expected an integer from 1 to "
      "2147483647");
  std::string sparse = replaced(xorText(), "connection_rate=1.000000", "connection_rate=0.500000");
  expectError(replaced(sparse, "(4, 5,", "(2000000000, 5,"), ErrorId::NetworkCountMismatch,
              "a.net:35: neurons: counts do not agree: found 2000000009 connections, expected no more than " +
                  std::to_string(sparse.size() + 9) + " bytes of text can describe");
  sparse = replaced(replaced(sparse, "(3, 5,", "(2000000000, 5,"), "(3, 5,", "(2000000000, 5,");
  expectError(sparse, ErrorId::NetworkTooLarge,
              "a.net:35: neurons: network is too large: found 4000000000 connections, expected fewer than 2147483648");
}

TEST(FannReaderErrors, Neurons) {
  expectError(replaced(xorText(), "(4, 5, 5.00000000000000000000e-01)", ""), ErrorId::NetworkCountMismatch,
              "a.net:35: neurons: counts do not agree: found 8 neurons, expected 9 neurons (the sum of layer_sizes)");
  expectError(replaced(xorText(), "(4, 5, 5.00000000000000000000e-01)", "(4, 5, 0.5) (4, 5, 0.5)"),
              ErrorId::NetworkCountMismatch,
              "a.net:35: neurons: counts do not agree: found '(0,', expected only 9 neurons (the sum of layer_sizes)");
  expectError(replaced(xorText(), "(4, 5, 5.", "(4, 20, 5."), ErrorId::NetworkUnknownActivation,
              "a.net:35: neurons: unknown activation function: found 20, expected 0 to 19");
  expectError(
      replaced(xorText(), "(4, 5, 5.", "(4, 5, -5."), ErrorId::NetworkBadSteepness,
      "a.net:35: neurons: activation steepness cannot be evaluated: found '-5.00000000000000000000e-01)', expected "
      "0 or more");
  expectError(replaced(xorText(), "(4, 5, 5.", "(4; 5, 5."), ErrorId::NetworkBadSyntax,
              "a.net:35: neurons: text does not follow the format: found ';', expected ','");
  expectError(
      replaced(xorText(), "(4, 5, 5.", "(5, 5, 5."), ErrorId::NetworkCountMismatch,
      "a.net:35: neurons: counts do not agree: found 5 connections of neuron 7, expected at most 4, the neurons "
      "that it can read");
  expectError(replaced(xorText(), "=(0, 0,", "=(2, 0,"), ErrorId::NetworkCountMismatch,
              "a.net:35: neurons: counts do not agree: found 2 connections of neuron 0, expected 0 in the input layer");
}

TEST(FannReaderErrors, Connections) {
  std::string text = xorText();
  std::string cut = text.substr(0, text.find("(6, 6.24"));
  expectError(
      cut, ErrorId::NetworkTruncated,
      "a.net:36: connections: text ends too early: found 12 connections, expected 13 connections (the sum of the "
      "neurons' inputs)");
  expectError(cut + "(6, 6.", ErrorId::NetworkTruncated,
              "a.net:36: connections: text ends too early: found end of text, expected ')'");
  expectError(
      cut + "\nmore=1\n", ErrorId::NetworkCountMismatch,
      "a.net:36: connections: counts do not agree: found 12 connections, expected 13 connections (the sum of the "
      "neurons' inputs)");
  expectError(
      text + "(7, 1.0)", ErrorId::NetworkCountMismatch,
      "a.net:37: connections: counts do not agree: found more connections, expected only 13 connections (the sum "
      "of the neurons' inputs)");
  expectError(
      replaced(text, "(1, 4.34", "x (1, 4.34"), ErrorId::NetworkBadSyntax,
      "a.net:36: connections: text does not follow the format: found 'x', expected '(': 13 connections (the sum of "
      "the neurons' inputs)");
}

TEST(FannReaderErrors, SourcesThatAreNotBeforeTheLayer) {
  std::string sparse = replaced(xorText(), "connection_rate=1.000000", "connection_rate=0.500000");
  // Out of range; the neuron itself; its own layer; a later neuron.
  for (std::string source : {"9", "7", "8", "-1", "4294967295"})
    expectError(replaced(sparse, "(6, 6.24", "(" + source + ", 6.24"), ErrorId::NetworkBadSource,
                "a.net:36: connections: connection reads a neuron that is not in an earlier layer: found " + source +
                    ", expected 0 to 6, as neuron 7 reads it");
  expectError(
      replaced(sparse, "(6, 6.24", "(4294967296, 6.24"), ErrorId::NetworkOutOfRange,
      "a.net:36: connections: number is out of range: found '4294967296,', expected an integer from -2147483648 to "
      "4294967295");
}

TEST(FannReaderErrors, EveryTruncation) {
  // A prefix either still holds all of the network or is refused; never a crash, never another network.
  std::string text = xorText();
  std::size_t complete = text.rfind(')') + 1;
  for (std::size_t length = 0; length < complete; ++length)
    ASSERT_FALSE(readNetwork(text.substr(0, length), "a.net").ok()) << length << " bytes";
  for (std::size_t length = complete; length <= text.size(); ++length)
    ASSERT_TRUE(readNetwork(text.substr(0, length), "a.net").ok()) << length << " bytes";
}

TEST(FannReaderErrors, FilesThatAreNotThere) {
  auto network = readNetworkFile("/nonexistent/a.net");
  ASSERT_FALSE(network.ok());
  EXPECT_EQ(network.error().message(), "/nonexistent/a.net: there is no such file");
  network = readNetworkFile("/tmp");
  ASSERT_FALSE(network.ok());
  EXPECT_EQ(network.error().message(), "/tmp: file cannot be read: found a directory, expected a file");
}

} // namespace
