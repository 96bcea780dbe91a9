#include "formats/fann/FannReader.h"

#include "formats/base/File.h"
#include "formats/data/TextScanner.h"

#include <cmath>
#include <map>

namespace kimic::fann {

namespace {

constexpr std::uint64_t kMaxFileBytes = 256ull << 20;
constexpr std::uint64_t kMaxCount = 1ull << 31;
constexpr std::string_view kSpace = " \t\r\n\v\f";

/// Keys that matter to inference; all others are ignored. `shortcut_connections` is version 2.0's `network_type`.
constexpr std::string_view kKeys[] = {"num_layers",       "connection_rate", "network_type",        "layer_sizes",
                                      "scale_included",   "scale_mean_in",   "scale_deviation_in",  "scale_new_min_in",
                                      "scale_factor_in",  "scale_mean_out",  "scale_deviation_out", "scale_new_min_out",
                                      "scale_factor_out", "neurons",         "connections",         "decimal_point"};

class FannReader {
public:
  FannReader(std::string_view text, const std::string &fileName)
      : fileName(fileName), text(withoutByteOrderMark(text)), scanner(this->text) {}

  Result<Network, Diagnostic> read() {
    KIMIC_TRY(readVersion());
    KIMIC_TRY(isVersion1 ? readVersion1() : readVersion2());
    KIMIC_TRY(resolveNeurons());
    return std::move(network);
  }

private:
  using Status = Result<void, Diagnostic>;

  const std::string &fileName;
  std::string_view text;
  TextScanner scanner; ///< over the value that is being read
  std::string key;     ///< the key that is being read, for errors
  std::map<std::string_view, TextScanner> values;
  bool isFixed = false;
  bool isVersion1 = false;
  std::size_t sourceMismatches = 0;
  Network network;

  //===-------------------------------------------------------------------------------------------------------------===//
  // Errors
  //===-------------------------------------------------------------------------------------------------------------===//

  Diagnostic failAt(std::size_t offset, ErrorId id, std::string found, std::string expected) const {
    return Diagnostic{id, fileName, lineAt(text, offset), key, std::move(found), std::move(expected)};
  }

  /// An error at the next thing that is not white space.
  Diagnostic fail(ErrorId id, std::string found, std::string expected) {
    scanner.skipSpace();
    return failAt(scanner.offset(), id, std::move(found), std::move(expected));
  }

  /// Whether only white space is left of the text.
  bool isAtEndOfText() const { return text.find_first_not_of(kSpace, scanner.offset()) == std::string_view::npos; }

  /// The next word is not what it should be; or the text ends.
  Diagnostic unexpected(ErrorId id, std::string expected) {
    scanner.skipSpace();
    if (!scanner.atEnd())
      return fail(id, excerpt(scanner.rest()), std::move(expected));
    if (isAtEndOfText())
      return fail(ErrorId::NetworkTruncated, "end of text", std::move(expected));
    return fail(id, "end of value", std::move(expected));
  }

  //===-------------------------------------------------------------------------------------------------------------===//
  // Numbers
  //===-------------------------------------------------------------------------------------------------------------===//

  Status readInteger(std::int64_t &value, std::int64_t least, std::int64_t most) {
    std::string range = "an integer from " + std::to_string(least) + " to " + std::to_string(most);
    scanner.skipSpace();
    TextScanner start = scanner;
    NumberStatus status = scanner.readInteger(value);
    if (status == NumberStatus::NotANumber)
      return unexpected(ErrorId::NetworkBadNumber, range);
    if (status == NumberStatus::NotFinite || value < least || value > most) {
      scanner = start;
      return fail(ErrorId::NetworkOutOfRange, excerpt(scanner.rest()), range);
    }
    return {};
  }

  template <class T> Status readCount(T &value, std::int64_t least, std::int64_t most) {
    std::int64_t wide = 0;
    KIMIC_TRY(readInteger(wide, least, most));
    value = static_cast<T>(wide);
    return {};
  }

  Status readFloat(float &value) {
    NumberStatus status = scanner.readFloat(value);
    if (status == NumberStatus::NotFinite)
      return fail(ErrorId::NetworkNotFinite, excerpt(scanner.rest()), "a finite number");
    if (status == NumberStatus::NotANumber)
      return unexpected(ErrorId::NetworkBadNumber, "a number");
    return {};
  }

  Status readChar(char c) {
    if (!scanner.accept(c))
      return unexpected(ErrorId::NetworkBadSyntax, std::string("'") + c + "'");
    return {};
  }

  //===-------------------------------------------------------------------------------------------------------------===//
  // Version and keys
  //===-------------------------------------------------------------------------------------------------------------===//

  Status readVersion() {
    constexpr const char *kKnown = "FANN_FLO_1.1, FANN_FLO_2.0, FANN_FLO_2.1, FANN_FIX_1.1 or FANN_FIX_2.0";
    scanner.skipSpace();
    std::size_t begin = scanner.offset();
    std::size_t stop = text.find_first_of(kSpace, begin);
    std::string_view word = text.substr(begin, stop == std::string_view::npos ? stop : stop - begin);
    if (word == "FANN_FLO:2.1" || word.substr(0, 9) == "FANN_FLO:" || word.substr(0, 9) == "FANN_FIX:")
      return fail(ErrorId::NetworkForeignFormat, excerpt(word) + ", ruv-FANN's text format, which keeps no topology",
                  "FANN's own FANN_FLO_2.1, or ruv-FANN's JSON");
    if (word.substr(0, 5) != "FANN_")
      return fail(ErrorId::NetworkUnknownFormat, excerpt(scanner.rest(), true), kKnown);
    bool isKnown = false;
    for (std::string_view known : {"FANN_FLO_1.1", "FANN_FLO_2.0", "FANN_FLO_2.1", "FANN_FIX_1.1", "FANN_FIX_2.0"})
      isKnown = isKnown || word == known;
    if (!isKnown)
      return fail(ErrorId::NetworkUnknownVersion, excerpt(word), kKnown);
    isFixed = word[6] == 'I';
    isVersion1 = word[9] == '1';
    network.format = word;
    network.semantics = isFixed ? Semantics::FannFixed : Semantics::FannFloat;
    scanner.skip(word.size());
    return {};
  }

  /// Cuts the text after the version into `key=value`. A line without '=' belongs to the value above it.
  Status findKeys() {
    TextScanner *open = nullptr;
    std::size_t valueBegin = 0;
    std::string_view openKey;
    for (std::size_t begin = scanner.offset(); begin < text.size();) {
      std::size_t stop = text.find_first_of("\r\n", begin);
      std::string_view line = text.substr(begin, stop == std::string_view::npos ? stop : stop - begin);
      std::size_t next = stop == std::string_view::npos ? text.size() : stop + 1;
      std::size_t equals = line.find('=');
      if (equals == std::string_view::npos) {
        TextScanner junk(text, begin, begin + line.size());
        junk.skipSpace();
        if (openKey.empty() && !junk.atEnd()) {
          scanner = junk;
          return fail(ErrorId::NetworkBadSyntax, excerpt(line, true), "key=value");
        }
        begin = next;
        continue;
      }
      if (open)
        *open = valueBetween(valueBegin, begin);
      open = nullptr;
      TextScanner word(line);
      word.skipSpace();
      openKey = line.substr(word.offset());
      openKey = openKey.substr(0, openKey.find_first_of(" \t(="));
      valueBegin = begin + equals + 1;
      if (openKey == "shortcut_connections")
        openKey = "network_type";
      for (std::string_view known : kKeys)
        if (openKey == known) {
          key = known;
          auto [entry, isNew] = values.try_emplace(known, valueBetween(valueBegin, text.size()));
          if (!isNew)
            return failAt(begin, ErrorId::NetworkDuplicateKey, excerpt(line), "one " + key);
          open = &entry->second;
        }
      begin = next;
    }
    for (std::string_view required : {"num_layers", "layer_sizes", "neurons", "connections"})
      if (!values.contains(required))
        return missing(required);
    if (isFixed && !values.contains("decimal_point"))
      return missing("decimal_point");
    return {};
  }

  /// Without the white space at its end, so that what is missing there is missing in the value's last line.
  TextScanner valueBetween(std::size_t begin, std::size_t end) const {
    std::size_t last = text.substr(begin, end - begin).find_last_not_of(kSpace);
    return TextScanner(text, begin, last == std::string_view::npos ? begin : begin + last + 1);
  }

  Status missing(std::string_view name) {
    key = name;
    return failAt(text.size(), ErrorId::NetworkMissingKey, "end of text", std::string(name) + "=...");
  }

  /// Makes `name` the value that is being read; false if there is none.
  bool open(std::string_view name) {
    auto entry = values.find(name);
    if (entry == values.end())
      return false;
    key = name;
    scanner = entry->second;
    return true;
  }

  /// The value must end here.
  Status close() {
    scanner.skipSpace();
    if (!scanner.atEnd())
      return fail(ErrorId::NetworkBadSyntax, excerpt(scanner.rest()), "the end of the value");
    return {};
  }

  //===-------------------------------------------------------------------------------------------------------------===//
  // Version 2
  //===-------------------------------------------------------------------------------------------------------------===//

  Status readVersion2() {
    KIMIC_TRY(findKeys());
    if (isFixed) {
      open("decimal_point");
      KIMIC_TRY(readDecimalPoint());
      KIMIC_TRY(close());
    }
    open("num_layers");
    std::size_t layerCount = 0;
    KIMIC_TRY(readLayerCount(layerCount));
    KIMIC_TRY(close());
    if (open("connection_rate")) {
      KIMIC_TRY(readFloat(network.connectionRate));
      KIMIC_TRY(close());
    }
    if (open("network_type")) {
      KIMIC_TRY(readCount(network.type, 0, 1));
      KIMIC_TRY(close());
    }
    open("layer_sizes");
    KIMIC_TRY(readLayerSizes(layerCount));
    KIMIC_TRY(close());
    KIMIC_TRY(readScaling());
    open("neurons");
    KIMIC_TRY(readNeuronTuples());
    KIMIC_TRY(layOutNeurons());
    open("connections");
    return readConnections();
  }

  Status readDecimalPoint() { return readCount(network.decimalPoint, 0, 30); }

  Status readLayerCount(std::size_t &layerCount) {
    // Every layer's size takes two bytes of text: more layers than that are a lie, and not worth allocating for.
    return readCount(layerCount, 2, static_cast<std::int64_t>(std::max<std::size_t>(text.size() / 2, 2)));
  }

  Status readLayerSizes(std::size_t layerCount) {
    std::uint64_t neuronCount = 0;
    for (std::size_t i = 0; i < layerCount; ++i) {
      scanner.skipSpace();
      if (scanner.atEnd())
        return unexpected(ErrorId::NetworkCountMismatch, std::to_string(layerCount) + " sizes (num_layers)");
      NeuronRange layer{static_cast<std::uint32_t>(neuronCount), 0};
      TextScanner start = scanner;
      KIMIC_TRY(readCount(layer.count, 1, kMaxCount - 1));
      neuronCount += layer.count;
      if (neuronCount >= kMaxCount) {
        scanner = start;
        return fail(ErrorId::NetworkTooLarge, std::to_string(neuronCount) + " neurons", "fewer than 2147483648");
      }
      network.layers.push_back(layer);
    }
    scanner.skipSpace();
    if (!isVersion1 && !scanner.atEnd())
      return fail(ErrorId::NetworkCountMismatch, excerpt(scanner.rest()),
                  "only " + std::to_string(layerCount) + " sizes (num_layers)");
    if (neuronCount > text.size())
      return fail(ErrorId::NetworkCountMismatch, std::to_string(neuronCount) + " neurons",
                  "no more than " + std::to_string(text.size()) + " bytes of text can describe");

    network.neurons.resize(neuronCount);
    std::uint32_t outputLayer = network.layers.back().count;
    network.numInputs = network.layers.front().count - 1;
    // Only a layered network has a (useless) bias neuron in its output layer.
    network.numOutputs = network.type == NetworkType::Layered ? outputLayer - 1 : outputLayer;
    if (network.numInputs == 0 || network.numOutputs == 0)
      return fail(ErrorId::NetworkOutOfRange,
                  network.numInputs == 0 ? "1 neuron in the first layer" : "1 neuron in the last layer",
                  "at least 2: its last neuron is the bias");
    return {};
  }

  Status readScaling() {
    std::int64_t included = 0;
    if (!open("scale_included"))
      return {};
    KIMIC_TRY(readInteger(included, 0, 1));
    KIMIC_TRY(close());
    if (!included)
      return {};
    if (isFixed) {
      network.warnings.push_back("scaling parameters of a fixed-point network are ignored");
      return {};
    }
    for (bool isInput : {true, false}) {
      Scaling scaling;
      std::string side = isInput ? "_in" : "_out";
      std::uint32_t count = isInput ? network.numInputs : network.numOutputs;
      KIMIC_TRY(readScale("scale_mean" + side, count, scaling.mean));
      KIMIC_TRY(readScale("scale_deviation" + side, count, scaling.deviation));
      KIMIC_TRY(readScale("scale_new_min" + side, count, scaling.newMin));
      KIMIC_TRY(readScale("scale_factor" + side, count, scaling.factor));
      std::size_t unscaled = 0;
      for (std::uint32_t i = 0; i < count; ++i)
        unscaled += scaling.deviation[i] == 0 || (!isInput && scaling.factor[i] == 0);
      if (unscaled)
        network.warnings.push_back(std::to_string(unscaled) + " of " + std::to_string(count) +
                                   (isInput ? " inputs have a scale_deviation_in"
                                            : " outputs have a scale_deviation_out or scale_factor_out") +
                                   " of 0: they are left unscaled");
      (isInput ? network.scalingIn : network.scalingOut) = std::move(scaling);
    }
    return {};
  }

  Status readScale(const std::string &name, std::uint32_t count, std::vector<float> &out) {
    if (!open(name))
      return missing(name);
    std::string expected = std::to_string(count) + " numbers";
    for (std::uint32_t i = 0; i < count; ++i) {
      scanner.skipSpace();
      if (scanner.atEnd())
        return unexpected(ErrorId::NetworkCountMismatch, expected);
      float value = 0;
      KIMIC_TRY(readFloat(value));
      out.push_back(value);
    }
    scanner.skipSpace();
    if (!scanner.atEnd())
      return fail(ErrorId::NetworkCountMismatch, excerpt(scanner.rest()), "only " + expected);
    return {};
  }

  Status readNeuronTuples() {
    std::string expected = std::to_string(network.neurons.size()) + " neurons (the sum of layer_sizes)";
    for (std::size_t k = 0; k < network.neurons.size(); ++k) {
      Neuron &neuron = network.neurons[k];
      scanner.skipSpace();
      if (scanner.atEnd())
        return fail(ErrorId::NetworkCountMismatch, std::to_string(k) + " neurons", expected);
      KIMIC_TRY(readChar('('));
      KIMIC_TRY(readCount(neuron.connectionCount, 0, kMaxCount - 1));
      KIMIC_TRY(readChar(','));
      KIMIC_TRY(readActivation(neuron.activation, neuron.connectionCount == 0));
      KIMIC_TRY(readChar(','));
      KIMIC_TRY(readSteepness(neuron, neuron.connectionCount == 0));
      KIMIC_TRY(readChar(')'));
    }
    scanner.skipSpace();
    if (!scanner.atEnd())
      return fail(ErrorId::NetworkCountMismatch, excerpt(scanner.rest()), "only " + expected);
    return {};
  }

  /// What stands in constant neurons does not matter, and libfann leaves anything there.
  Status readActivation(Activation &activation, bool isConstant) {
    std::int64_t number = 0;
    scanner.skipSpace();
    TextScanner start = scanner;
    KIMIC_TRY(readInteger(number, 0, UINT32_MAX));
    bool isKnown = number < std::int64_t(kActivationCount);
    if (!isKnown && !isConstant) {
      scanner = start;
      return fail(ErrorId::NetworkUnknownActivation, std::to_string(number), "0 to 19");
    }
    activation = isKnown ? static_cast<Activation>(number) : Activation::Linear;
    if (isConstant)
      return {};
    if (isFixed) {
      KIMIC_TRY(toFixedActivation(activation, start));
    } else if (activation == Activation::GaussianStepwise) {
      warnOnce("activation 9 (gaussian_stepwise) was never implemented by FANN: such neurons give 0");
    } else if (number > 17) {
      warnOnce(
          "activations 18 and 19 do not exist in libfann 2.2.0 (which computes 0): they follow its later versions");
    }
    return {};
  }

  /// What libfixedfann computes for `activation`: sigmoids are always stepwise.
  Status toFixedActivation(Activation &activation, const TextScanner &start) {
    switch (activation) {
    case Activation::Sigmoid:
      activation = Activation::SigmoidStepwise;
      return {};
    case Activation::SigmoidSymmetric:
      activation = Activation::SigmoidSymmetricStepwise;
      return {};
    case Activation::Sin:
    case Activation::Cos:
      warnOnce("fixed-point FANN does not implement sin and cos: such neurons give 0");
      activation = Activation::GaussianStepwise;
      return {};
    case Activation::Gaussian:
    case Activation::GaussianSymmetric:
    case Activation::GaussianStepwise:
    case Activation::Elliot:
    case Activation::ElliotSymmetric:
    case Activation::SinSymmetric:
    case Activation::CosSymmetric:
      scanner = start;
      return fail(ErrorId::NetworkFixedActivation,
                  std::to_string(static_cast<int>(activation)) + " (" + nameOf(activation) + ")",
                  "0 to 6, 12, 13, 18 or 19");
    default:
      return {};
    }
  }

  Status readSteepness(Neuron &neuron, bool isConstant) {
    scanner.skipSpace();
    TextScanner start = scanner;
    if (!isFixed) {
      KIMIC_TRY(readFloat(neuron.steepness));
      if (neuron.steepness < 0 && !isConstant) {
        scanner = start;
        return fail(ErrorId::NetworkBadSteepness, excerpt(scanner.rest()), "0 or more");
      }
      return {};
    }
    KIMIC_TRY(readCount(neuron.fixedSteepness, INT32_MIN, INT32_MAX));
    if (isConstant)
      return {};
    bool isStepwise =
        neuron.activation == Activation::SigmoidStepwise || neuron.activation == Activation::SigmoidSymmetricStepwise;
    if (isStepwise && neuron.fixedSteepness <= 0) {
      scanner = start;
      return fail(ErrorId::NetworkBadSteepness, excerpt(scanner.rest()), "1 or more: knots are divided by it");
    }
    // Only the stepwise functions of libfixedfann look at the steepness.
    neuron.steepness = isStepwise ? fromFixed(neuron.fixedSteepness) : 1;
    return {};
  }

  float fromFixed(std::int32_t value) const {
    return static_cast<float>(std::ldexp(double(value), -static_cast<int>(network.decimalPoint)));
  }

  void warnOnce(const char *warning) {
    for (const std::string &known : network.warnings)
      if (known == warning)
        return;
    network.warnings.push_back(warning);
  }

  /// Sets kinds and connection ranges from the counts, and checks what positions allow.
  Status layOutNeurons() {
    std::uint64_t total = 0;
    bool isPositional = network.connectionRate >= 1;
    for (std::size_t l = 0; l < network.layers.size(); ++l) {
      NeuronRange layer = network.layers[l];
      std::uint32_t most = l == 0 ? 0 : layer.first;
      if (l > 0 && isPositional && network.type == NetworkType::Layered)
        most = network.layers[l - 1].count;
      for (std::uint32_t k = layer.first; k < layer.first + layer.count; ++k) {
        Neuron &neuron = network.neurons[k];
        if (neuron.connectionCount > most && (l == 0 || isPositional))
          return fail(ErrorId::NetworkCountMismatch,
                      std::to_string(neuron.connectionCount) + " connections of neuron " + std::to_string(k),
                      l == 0 ? "0 in the input layer"
                             : "at most " + std::to_string(most) + ", the neurons that it can read");
        neuron.firstConnection = static_cast<std::uint32_t>(total);
        neuron.kind = k < network.numInputs         ? NeuronKind::Input
                      : neuron.connectionCount == 0 ? NeuronKind::Constant
                                                    : NeuronKind::Computed;
        total += neuron.connectionCount;
        if (total >= kMaxCount)
          return fail(ErrorId::NetworkTooLarge, std::to_string(total) + " connections", "fewer than 2147483648");
      }
    }
    // A connection takes at least five bytes of text, "(0 1)".
    if (total > text.size() / 5)
      return fail(ErrorId::NetworkCountMismatch, std::to_string(total) + " connections",
                  "no more than " + std::to_string(text.size()) + " bytes of text can describe");
    network.connections.resize(total);
    return {};
  }

  Status readConnections() {
    bool isPositional = network.connectionRate >= 1;
    std::string expected = std::to_string(network.connections.size()) + " connections (the sum of the neurons' inputs)";
    std::size_t read = 0;
    for (std::size_t l = 1; l < network.layers.size(); ++l) {
      NeuronRange layer = network.layers[l];
      std::uint32_t firstByPosition = network.type == NetworkType::Layered ? network.layers[l - 1].first : 0;
      for (std::uint32_t k = layer.first; k < layer.first + layer.count; ++k) {
        const Neuron &neuron = network.neurons[k];
        for (std::uint32_t i = 0; i < neuron.connectionCount; ++i, ++read) {
          Connection &connection = network.connections[neuron.firstConnection + i];
          scanner.skipSpace();
          if (scanner.atEnd() || scanner.rest()[0] != '(') {
            if (!scanner.atEnd())
              return unexpected(ErrorId::NetworkBadSyntax, "'(': " + expected);
            return fail(isAtEndOfText() ? ErrorId::NetworkTruncated : ErrorId::NetworkCountMismatch,
                        std::to_string(read) + " connections", expected);
          }
          std::uint32_t byPosition = firstByPosition + i;
          KIMIC_TRY(readConnection(connection, isPositional ? &byPosition : nullptr, layer.first, k));
        }
      }
    }
    if (scanner.accept('('))
      return fail(ErrorId::NetworkCountMismatch, "more connections", "only " + expected);
    scanner.skipSpace();
    if (!scanner.atEnd())
      network.warnings.push_back("line " + std::to_string(lineAt(text, scanner.offset())) +
                                 ": text after the last connection is ignored: " + excerpt(scanner.rest(), true));
    if (sourceMismatches)
      network.warnings.push_back(
          std::to_string(sourceMismatches) +
          " connection indices are not those of a fully connected network: connection_rate is 1, "
          "so FANN reads neurons by position and ignores them");
    return {};
  }

  Status readConnection(Connection &connection, const std::uint32_t *byPosition, std::uint32_t layerFirst,
                        std::uint32_t reader) {
    KIMIC_TRY(readChar('('));
    std::int64_t source = 0;
    scanner.skipSpace();
    TextScanner start = scanner;
    KIMIC_TRY(readInteger(source, INT32_MIN, UINT32_MAX));
    if (byPosition) {
      sourceMismatches += source != *byPosition;
      source = *byPosition;
    } else if (source < 0 || source >= layerFirst) {
      scanner = start;
      return fail(ErrorId::NetworkBadSource, std::to_string(source),
                  "0 to " + std::to_string(layerFirst - 1) + ", as neuron " + std::to_string(reader) + " reads it");
    }
    connection.source = static_cast<std::uint32_t>(source);
    if (!isVersion1)
      KIMIC_TRY(readChar(','));
    if (isFixed) {
      KIMIC_TRY(readCount(connection.fixedWeight, INT32_MIN, INT32_MAX));
      connection.weight = fromFixed(connection.fixedWeight);
    } else {
      KIMIC_TRY(readFloat(connection.weight));
    }
    return readChar(')');
  }

  //===-------------------------------------------------------------------------------------------------------------===//
  // Version 1: numbers without keys, one activation for all hidden layers and one for the output layer
  //===-------------------------------------------------------------------------------------------------------------===//

  Status readVersion1() {
    if (isFixed) {
      key = "decimal point";
      KIMIC_TRY(readDecimalPoint());
    }
    key = "number of layers";
    std::size_t layerCount = 0;
    KIMIC_TRY(readLayerCount(layerCount));
    key = "learning rate";
    float learningRate = 0;
    KIMIC_TRY(readFloat(learningRate));
    key = "connection rate";
    KIMIC_TRY(readFloat(network.connectionRate));
    key = "shortcut connections";
    KIMIC_TRY(readCount(network.type, 0, 1));

    Neuron hidden, output;
    key = "hidden activation";
    KIMIC_TRY(readActivation(hidden.activation, layerCount == 2));
    key = "output activation";
    KIMIC_TRY(readActivation(output.activation, false));
    key = "hidden steepness";
    KIMIC_TRY(readSteepness(hidden, layerCount == 2));
    key = "output steepness";
    KIMIC_TRY(readSteepness(output, false));

    key = "layer sizes";
    KIMIC_TRY(readLayerSizes(layerCount));
    key = "numbers of inputs";
    for (std::size_t l = 0; l < layerCount; ++l)
      for (std::uint32_t i = 0; i < network.layers[l].count; ++i) {
        Neuron &neuron = network.neurons[network.layers[l].first + i];
        neuron = l + 1 == layerCount ? output : hidden;
        KIMIC_TRY(readCount(neuron.connectionCount, 0, kMaxCount - 1));
        int number = static_cast<int>(neuron.activation);
        if (l > 0 && neuron.connectionCount && number >= 8 && number <= 10)
          warnOnce("activation numbers 8 to 10 had other meanings in FANN 1.2: they are read as libfann 2 reads them");
      }
    KIMIC_TRY(layOutNeurons());
    key = "connections";
    return readConnections();
  }

  //===-------------------------------------------------------------------------------------------------------------===//
  // Afterwards
  //===-------------------------------------------------------------------------------------------------------------===//

  /// Leaves nothing in neurons that do not compute, so that equal networks compare equal however they were written.
  Status resolveNeurons() {
    for (Neuron &neuron : network.neurons)
      if (neuron.kind != NeuronKind::Computed) {
        neuron.activation = Activation::Linear;
        neuron.steepness = 0;
        neuron.fixedSteepness = 0;
      }
    return {};
  }
};

} // namespace

Result<Network, Diagnostic> readFann(std::string_view text, const std::string &fileName) {
  return FannReader(text, fileName).read();
}

Result<Network, Diagnostic> readNetwork(std::string_view text, const std::string &fileName) {
  std::string_view content = withoutByteOrderMark(text);
  TextScanner scanner(content);
  scanner.skipSpace();
  std::string_view start = scanner.rest();
  auto startsWith = [&](std::string_view prefix) { return start.substr(0, prefix.size()) == prefix; };
  auto foreign = [&](const char *what) {
    return Diagnostic{ErrorId::NetworkForeignFormat,      fileName,
                      lineAt(content, scanner.offset()),  "",
                      excerpt(start, true) + ", " + what, "a FANN network or ruv-FANN's JSON"};
  };
  if (startsWith("{"))
    return readRuvFann(text, fileName);
  if (startsWith("SNNS network definition file"))
    return foreign("a network of SNNS");
  if (startsWith("*Vertices") || startsWith("*vertices") || startsWith("*Network") || startsWith("*network"))
    return foreign("a graph of Pajek");
  return readFann(text, fileName);
}

Result<Network, Diagnostic> readNetworkFile(const std::string &path) {
  KIMIC_ASSIGN(std::string text, readFile(path, kMaxFileBytes));
  return readNetwork(text, path);
}

} // namespace kimic::fann
