// ruv-FANN's JSON under ruv-FANN's own semantics; expected values are worked out by hand in the comments.
#include "formats/fann/Evaluator.h"
#include "formats/fann/FannReader.h"

#include <cmath>
#include <gtest/gtest.h>

using namespace kimic;
using namespace kimic::fann;

namespace {

std::string neuron(const std::string &function, float steepness, const std::string &connections) {
  return R"({"sum":0.0,"value":0.25,"activation_steepness":)" + std::to_string(steepness) +
         R"(,"activation_function":")" + function + R"(","connections":[)" + connections + R"(],"is_bias":false})";
}

std::string connection(int from, const std::string &weight) {
  return R"({"from_neuron":)" + std::to_string(from) + R"(,"to_neuron":0,"weight":)" + weight + "}";
}

const std::string kBias =
    R"({"sum":1.0,"value":1.0,"activation_steepness":1.0,"activation_function":"Linear","connections":[],"is_bias":true})";

std::string layer(const std::string &neurons) { return R"({"neurons":[)" + neurons + "]}"; }

std::string networkText(const std::string &layers) { return R"({"layers":[)" + layers + R"(],"connection_rate":1.0})"; }

/// One input, a bias, one output neuron with 2 x + 1.
std::string oneNeuron(const std::string &function, float steepness) {
  return networkText(layer(neuron("Linear", 1, "") + "," + kBias) + "," +
                     layer(neuron(function, steepness, connection(0, "2.0") + "," + connection(1, "1.0"))));
}

float run(const std::string &text, float input) {
  auto network = readNetwork(text, "a.json");
  EXPECT_TRUE(network.ok()) << network.error().message();
  return network.ok() ? evaluate(*network, Matrix{1, 1, {input}}).values[0] : NAN;
}

TEST(RuvFann, ReadsTheNetwork) {
  auto network = readNetwork("\xEF\xBB\xBF\n" + oneNeuron("Sigmoid", 0.5f), "a.json");
  ASSERT_TRUE(network.ok()) << network.error().message();
  EXPECT_EQ(network->semantics, Semantics::RuvFann);
  EXPECT_EQ(network->format, "ruv-FANN JSON");
  EXPECT_EQ(network->numInputs, 1u);
  EXPECT_EQ(network->numOutputs, 1u);
  EXPECT_EQ(network->neurons[1].kind, NeuronKind::Constant);
  EXPECT_EQ(network->connections[1].source, 1u);
  EXPECT_FALSE(network->clampsSum());
}

TEST(RuvFann, SigmoidHasNoFactorTwo) { EXPECT_EQ(run(oneNeuron("Sigmoid", 0.5f), 1), 1 / (1 + std::exp(-1.5f))); }

TEST(RuvFann, TanhHasSteepness) {
  EXPECT_EQ(run(oneNeuron("Tanh", 0.5f), 1), std::tanh(1.5f));
  EXPECT_EQ(run(oneNeuron("SigmoidSymmetric", 0.5f), 1), std::tanh(1.5f));
}

TEST(RuvFann, GaussianHasSteepness) { EXPECT_EQ(run(oneNeuron("Gaussian", 0.5f), 1), std::exp(-2.25f)); }

TEST(RuvFann, LinearHasSteepness) { EXPECT_EQ(run(oneNeuron("Linear", 0.5f), 1), 1.5f); }

TEST(RuvFann, ReluIgnoresSteepness) {
  EXPECT_EQ(run(oneNeuron("ReLU", 0.5f), 1), 3.0f);
  EXPECT_EQ(run(oneNeuron("ReLU", 0.5f), -2), 0.0f);
  EXPECT_EQ(run(oneNeuron("ReLULeaky", 0.5f), -2), -3 * 0.01f);
}

TEST(RuvFann, DoesNotClamp) { EXPECT_EQ(run(oneNeuron("ReLU", 1), 1000), 2001.0f); }

TEST(RuvFann, ComputesTheIdentityForFunctionsItDoesNotImplement) {
  for (std::string function : {"Threshold", "ThresholdSymmetric", "GaussianSymmetric", "Elliot", "ElliotSymmetric",
                               "LinearPiece", "LinearPieceSymmetric", "Sin", "Cos", "SinSymmetric", "CosSymmetric"}) {
    EXPECT_EQ(run(oneNeuron(function, 0.5f), 1), 3.0f) << function;
    auto network = readNetwork(oneNeuron(function, 0.5f), "a.json");
    EXPECT_EQ(network->warnings,
              std::vector<std::string>{"ruv-FANN computes the identity for " + function + ": so does kimic"});
  }
}

TEST(RuvFann, ANeuronWithoutConnectionsHasSumZero) {
  std::string text = networkText(layer(neuron("Linear", 1, "") + "," + kBias) + "," + layer(neuron("Sigmoid", 1, "")));
  EXPECT_EQ(run(text, 1), 0.5f);
}

TEST(RuvFann, SourcesCountWithinTheLayerBefore) {
  // h = relu(x), y = 3 h + 0.5
  std::string text = networkText(layer(neuron("Linear", 1, "") + "," + kBias) + "," +
                                 layer(neuron("ReLU", 1, connection(0, "1.0")) + "," + kBias) + "," +
                                 layer(neuron("Linear", 1, connection(0, "3.0") + "," + connection(1, "0.5"))));
  EXPECT_EQ(run(text, 2), 6.5f);
}

void expectError(const std::string &text, ErrorId id, const std::string &message) {
  auto network = readNetwork(text, "a.json");
  ASSERT_FALSE(network.ok());
  EXPECT_EQ(nameOf(network.error().id), std::string(nameOf(id)));
  EXPECT_EQ(network.error().message(), message);
}

std::string replaced(std::string text, const std::string &from, const std::string &to) {
  std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(RuvFannErrors, Syntax) {
  expectError("{\"layers\": [\n1,}", ErrorId::NetworkBadJson, "a.json:2: text is not JSON: found '}', expected JSON");
  std::string text = oneNeuron("Sigmoid", 1);
  for (std::size_t length = 1; length < text.size(); ++length)
    ASSERT_FALSE(readNetwork(text.substr(0, length), "a.json").ok()) << length;
}

TEST(RuvFannErrors, MemoryBombs) {
  expectError("{\"layers\":" + std::string(1000000, '['), ErrorId::NetworkTooLarge,
              "a.json: network is too large: found 33 levels, expected at most 4194304 values on 32 levels");
  std::string zeros = "{\"layers\":[0";
  for (int i = 0; i < 4200000; ++i)
    zeros += ",0";
  expectError(zeros, ErrorId::NetworkTooLarge,
              "a.json: network is too large: found more values, expected at most 4194304 values on 32 levels");
}

TEST(RuvFannErrors, Structure) {
  expectError("{}", ErrorId::NetworkMissingKey, "a.json: layers: key is missing");
  expectError(R"({"layers":{}})", ErrorId::NetworkBadSyntax,
              "a.json: layers: text does not follow the format: found an object, expected an array");
  expectError(R"({"layers":[]})", ErrorId::NetworkOutOfRange,
              "a.json: layers: number is out of range: found 0 layers, expected at least 2");
  expectError(R"({"layers":[1,2]})", ErrorId::NetworkBadSyntax,
              "a.json: layers[0]: text does not follow the format: found '1', expected an object");
  expectError(R"({"layers":[{"neurons":[]},{"neurons":[]}]})", ErrorId::NetworkOutOfRange,
              "a.json: layers[0].neurons: number is out of range: found 0 neurons, expected at least 1");
  expectError(
      replaced(oneNeuron("Sigmoid", 1), "\"is_bias\":true", "\"is_bias\":1"), ErrorId::NetworkBadSyntax,
      "a.json: layers[0].neurons[1].is_bias: text does not follow the format: found '1', expected true or false");
  expectError(replaced(oneNeuron("Sigmoid", 1), "\"is_bias\":false", "\"is_bias\":true"), ErrorId::NetworkBadSyntax,
              "a.json: layers[0].neurons[0].is_bias: text does not follow the format: found true, expected false: only "
              "the last neuron of a layer can be its bias");
  expectError(replaced(oneNeuron("Sigmoid", 1), "\"value\":1.0", "\"value\":0.5"), ErrorId::NetworkOutOfRange,
              "a.json: layers[0].neurons[1].value: number is out of range: found '0.5', expected 1, as it is a bias");
}

TEST(RuvFannErrors, Values) {
  expectError(
      oneNeuron("Softmax", 1), ErrorId::NetworkUnknownActivation,
      "a.json: layers[1].neurons[0].activation_function: unknown activation function: found '\"Softmax\"', expected "
      "a function of ruv-FANN");
  expectError(replaced(oneNeuron("Sigmoid", 1), "\"weight\":2.0", "\"weight\":null"), ErrorId::NetworkNotFinite,
              "a.json: layers[1].neurons[0].connections[0].weight: number is not finite: found null, expected a finite "
              "number");
  expectError(replaced(oneNeuron("Sigmoid", 1), "\"weight\":2.0", "\"weight\":\"2\""), ErrorId::NetworkBadNumber,
              "a.json: layers[1].neurons[0].connections[0].weight: not a number: found '\"2\"', expected a number");
  expectError(
      replaced(oneNeuron("Sigmoid", 1), "\"weight\":2.0", "\"weight\":1e300"), ErrorId::NetworkNotFinite,
      "a.json: layers[1].neurons[0].connections[0].weight: number is not finite: found '1e+300', expected a finite "
      "float32");
  for (std::string bad : {"2", "-1", "1.5", "99999999999999999999"})
    expectError(replaced(oneNeuron("Sigmoid", 1), "\"from_neuron\":1", "\"from_neuron\":" + bad),
                ErrorId::NetworkBadSource,
                "a.json: layers[1].neurons[0].connections[1].from_neuron: connection reads a neuron that is not in an "
                "earlier layer: found '" +
                    std::string(bad.size() > 3 ? "1e+20" : bad) + "', expected 0 to 1, an index in the layer before");
}

} // namespace
