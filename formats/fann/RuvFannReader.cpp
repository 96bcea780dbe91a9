// ruv-FANN's JSON: {"layers": [{"neurons": [{"activation_function": "Sigmoid", "activation_steepness": 1.0,
// "is_bias": false, "connections": [{"from_neuron": 0, "weight": 0.5}]}]}], "connection_rate": 1.0}.
//
// `from_neuron` counts within the layer before. The functions that ruv-FANN's forward pass does not implement compute
// the identity there, so they are read as Linear with steepness 1.
#include "formats/fann/FannReader.h"

#include "formats/data/TextScanner.h"

#include <cmath>
#include <nlohmann/json.hpp>

namespace kimic::fann {

namespace {

using Json = nlohmann::json;

// Parsed JSON takes many times its text's memory. These leave room for a million connections.
constexpr std::size_t kMaxTextBytes = 256u << 20;
constexpr std::size_t kMaxValues = 4u << 20;
constexpr std::size_t kMaxDepth = 32;

/// A first pass that builds nothing: where the text stops being JSON, or asks for more memory than a network needs.
class JsonCheck : public nlohmann::json_sax<Json> {
public:
  std::size_t errorOffset = 0;
  std::size_t depth = 0;
  std::size_t valueCount = 0;

  bool isTooLarge() const { return depth > kMaxDepth || valueCount > kMaxValues; }

  bool null() override { return count(); }
  bool boolean(bool) override { return count(); }
  bool number_integer(number_integer_t) override { return count(); }
  bool number_unsigned(number_unsigned_t) override { return count(); }
  bool number_float(number_float_t, const string_t &) override { return count(); }
  bool string(string_t &) override { return count(); }
  bool binary(binary_t &) override { return count(); }
  bool start_object(std::size_t) override { return open(); }
  bool key(string_t &) override { return true; }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(); }
  bool end_array() override { return close(); }
  bool parse_error(std::size_t position, const std::string &, const nlohmann::detail::exception &) override {
    errorOffset = position ? position - 1 : 0;
    return false;
  }

private:
  bool count() {
    ++valueCount;
    return !isTooLarge();
  }
  bool open() {
    ++depth;
    return count();
  }
  bool close() {
    --depth;
    return true;
  }
};

std::string at(const std::string &path, std::size_t index) { return path + "[" + std::to_string(index) + "]"; }

class RuvFannReader {
public:
  RuvFannReader(std::string_view text, const std::string &fileName)
      : text(withoutByteOrderMark(text)), fileName(fileName) {}

  Result<Network, Diagnostic> read() {
    if (text.size() > kMaxTextBytes)
      return fail("", ErrorId::NetworkTooLarge, std::to_string(text.size()) + " bytes",
                  "at most " + std::to_string(kMaxTextBytes));
    JsonCheck check;
    if (!Json::sax_parse(text, &check)) {
      if (check.isTooLarge())
        return fail("", ErrorId::NetworkTooLarge,
                    check.depth > kMaxDepth ? std::to_string(check.depth) + " levels" : "more values",
                    "at most " + std::to_string(kMaxValues) + " values on " + std::to_string(kMaxDepth) + " levels");
      std::size_t offset = std::min(check.errorOffset, text.size());
      Diagnostic error = fail("", ErrorId::NetworkBadJson, excerpt(text.substr(offset)), "JSON");
      error.line = lineAt(text, offset);
      return error;
    }
    Json root = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    network.semantics = Semantics::RuvFann;
    network.format = "ruv-FANN JSON";
    KIMIC_ASSIGN(const Json *layers, member(root, "", "layers", Json::value_t::array));
    if (layers->size() < 2)
      return fail("layers", ErrorId::NetworkOutOfRange, std::to_string(layers->size()) + " layers", "at least 2");
    if (root.contains("connection_rate"))
      KIMIC_TRY(readFloat(root, "", "connection_rate", network.connectionRate));
    for (std::size_t l = 0; l < layers->size(); ++l)
      KIMIC_TRY(readLayer((*layers)[l], at("layers", l), l == 0, l + 1 == layers->size()));
    return std::move(network);
  }

private:
  using Status = Result<void, Diagnostic>;

  std::string_view text;
  const std::string &fileName;
  Network network;

  Diagnostic fail(std::string path, ErrorId id, std::string found, std::string expected) const {
    return Diagnostic{id, fileName, 0, std::move(path), std::move(found), std::move(expected)};
  }

  static std::string joined(const std::string &path, const char *name) {
    return path.empty() ? name : path + "." + name;
  }

  static std::string textOf(const Json &value) {
    if (value.is_object() || value.is_array())
      return value.is_object() ? "an object" : "an array";
    return excerpt(value.dump(-1, ' ', true, Json::error_handler_t::replace), true);
  }

  Result<const Json *, Diagnostic> member(const Json &object, const std::string &path, const char *name,
                                          Json::value_t type) const {
    if (!object.is_object())
      return fail(path, ErrorId::NetworkBadSyntax, textOf(object), "an object");
    auto found = object.find(name);
    if (found == object.end())
      return fail(joined(path, name), ErrorId::NetworkMissingKey, "", "");
    if (found->type() != type) {
      const char *expected = type == Json::value_t::array    ? "an array"
                             : type == Json::value_t::string ? "a string"
                                                             : "true or false";
      return fail(joined(path, name), ErrorId::NetworkBadSyntax, textOf(*found), expected);
    }
    return &*found;
  }

  Status readFloat(const Json &object, const std::string &path, const char *name, float &value) const {
    auto found = object.find(name);
    if (found == object.end())
      return fail(joined(path, name), ErrorId::NetworkMissingKey, "", "");
    // serde writes numbers that are not finite as null.
    if (found->is_null())
      return fail(joined(path, name), ErrorId::NetworkNotFinite, "null", "a finite number");
    if (!found->is_number())
      return fail(joined(path, name), ErrorId::NetworkBadNumber, textOf(*found), "a number");
    value = static_cast<float>(found->get<double>());
    if (!std::isfinite(value))
      return fail(joined(path, name), ErrorId::NetworkNotFinite, textOf(*found), "a finite float32");
    return {};
  }

  Status readLayer(const Json &layer, const std::string &path, bool isFirst, bool isLast) {
    KIMIC_ASSIGN(const Json *neurons, member(layer, path, "neurons", Json::value_t::array));
    NeuronRange range{static_cast<std::uint32_t>(network.neurons.size()), static_cast<std::uint32_t>(neurons->size())};
    std::uint32_t biasCount = 0;
    for (std::uint32_t i = 0; i < range.count; ++i) {
      std::string neuronPath = at(joined(path, "neurons"), i);
      const Json &json = (*neurons)[i];
      Neuron neuron;
      neuron.firstConnection = static_cast<std::uint32_t>(network.connections.size());
      KIMIC_ASSIGN(const Json *isBias, member(json, neuronPath, "is_bias", Json::value_t::boolean));
      KIMIC_ASSIGN(const Json *connections, member(json, neuronPath, "connections", Json::value_t::array));
      if (isBias->get<bool>()) {
        if (i + 1 != range.count)
          return fail(joined(neuronPath, "is_bias"), ErrorId::NetworkBadSyntax, "true",
                      "false: only the last neuron of a layer can be its bias");
        KIMIC_TRY(checkBiasValue(json, neuronPath));
        biasCount = 1;
        neuron.kind = NeuronKind::Constant;
      } else if (isFirst) {
        neuron.kind = NeuronKind::Input;
      } else {
        KIMIC_TRY(readActivation(json, neuronPath, neuron));
        KIMIC_TRY(readConnections(*connections, joined(neuronPath, "connections")));
        neuron.connectionCount = static_cast<std::uint32_t>(connections->size());
      }
      network.neurons.push_back(neuron);
    }
    std::uint32_t regular = range.count - biasCount;
    if (range.count == 0 || ((isFirst || isLast) && regular == 0))
      return fail(joined(path, "neurons"), ErrorId::NetworkOutOfRange, std::to_string(regular) + " neurons",
                  "at least 1");
    if (isFirst)
      network.numInputs = regular;
    if (isLast)
      network.numOutputs = regular;
    network.layers.push_back(range);
    return {};
  }

  /// ruv-FANN never recomputes a bias neuron: it gives the value in the file.
  Status checkBiasValue(const Json &neuron, const std::string &path) const {
    if (!neuron.contains("value"))
      return {};
    float value = 0;
    KIMIC_TRY(readFloat(neuron, path, "value", value));
    if (value != 1)
      return fail(joined(path, "value"), ErrorId::NetworkOutOfRange, textOf(neuron["value"]), "1, as it is a bias");
    return {};
  }

  Status readActivation(const Json &json, const std::string &path, Neuron &neuron) {
    struct Function {
      const char *name;
      Activation activation;
      float steepness; ///< what the file's steepness is multiplied by; 0: it is ignored and counts as 1
      bool isIdentity = false;
    };
    static constexpr Function kFunctions[] = {
        {"Linear", Activation::Linear, 1},
        {"Sigmoid", Activation::Sigmoid, 0.5f}, // 1 / (1 + exp(-s x)), without FANN's factor 2
        {"SigmoidSymmetric", Activation::SigmoidSymmetric, 1},
        {"Tanh", Activation::SigmoidSymmetric, 1},
        {"Gaussian", Activation::Gaussian, 1},
        {"ReLU", Activation::LinearPieceRect, 0},
        {"ReLULeaky", Activation::LinearPieceRectLeaky, 0},
        {"Threshold", Activation::Linear, 0, true},
        {"ThresholdSymmetric", Activation::Linear, 0, true},
        {"GaussianSymmetric", Activation::Linear, 0, true},
        {"Elliot", Activation::Linear, 0, true},
        {"ElliotSymmetric", Activation::Linear, 0, true},
        {"LinearPiece", Activation::Linear, 0, true},
        {"LinearPieceSymmetric", Activation::Linear, 0, true},
        {"Sin", Activation::Linear, 0, true},
        {"Cos", Activation::Linear, 0, true},
        {"SinSymmetric", Activation::Linear, 0, true},
        {"CosSymmetric", Activation::Linear, 0, true},
    };
    KIMIC_ASSIGN(const Json *name, member(json, path, "activation_function", Json::value_t::string));
    float steepness = 0;
    KIMIC_TRY(readFloat(json, path, "activation_steepness", steepness));
    for (const Function &function : kFunctions) {
      if (name->get_ref<const std::string &>() != function.name)
        continue;
      neuron.activation = function.activation;
      neuron.steepness = function.steepness == 0 ? 1 : steepness * function.steepness;
      if (function.isIdentity)
        warnOnce(std::string("ruv-FANN computes the identity for ") + function.name + ": so does kimic");
      return {};
    }
    return fail(joined(path, "activation_function"), ErrorId::NetworkUnknownActivation, textOf(*name),
                "a function of ruv-FANN");
  }

  void warnOnce(const std::string &warning) {
    for (const std::string &known : network.warnings)
      if (known == warning)
        return;
    network.warnings.push_back(warning);
  }

  Status readConnections(const Json &connections, const std::string &path) {
    NeuronRange before = network.layers.back();
    for (std::size_t i = 0; i < connections.size(); ++i) {
      const Json &json = connections[i];
      std::string connectionPath = at(path, i);
      if (!json.is_object())
        return fail(connectionPath, ErrorId::NetworkBadSyntax, textOf(json), "an object");
      auto from = json.find("from_neuron");
      if (from == json.end())
        return fail(joined(connectionPath, "from_neuron"), ErrorId::NetworkMissingKey, "", "");
      if (!from->is_number_unsigned() || from->get<std::uint64_t>() >= before.count)
        return fail(joined(connectionPath, "from_neuron"), ErrorId::NetworkBadSource, textOf(*from),
                    "0 to " + std::to_string(before.count - 1) + ", an index in the layer before");
      Connection connection;
      connection.source = before.first + static_cast<std::uint32_t>(from->get<std::uint64_t>());
      KIMIC_TRY(readFloat(json, connectionPath, "weight", connection.weight));
      network.connections.push_back(connection);
    }
    return {};
  }
};

} // namespace

Result<Network, Diagnostic> readRuvFann(std::string_view text, const std::string &fileName) {
  return RuvFannReader(text, fileName).read();
}

} // namespace kimic::fann
