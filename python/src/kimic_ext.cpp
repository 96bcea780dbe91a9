// The extension module `_kimic`: compiles expert sets and runs packs. It owns no logic; the package `kimic` gives it
// its Python face.
#include "formats/fann/FannReader.h"
#include "formats/manifest/ExpertSet.h"
#include "kimic/Compiler.h"
#include "kimic/NativeKernels.h"
#include "runtime/native/NativePack.h"

#include <pybind11/functional.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <map>
#include <mutex>
#include <tuple>

namespace py = pybind11;
using namespace kimic;

namespace {

/// Row-major float32; the package converts, so nothing is copied here.
using FloatArray = py::array_t<float, py::array::c_style>;

py::object errorClass;

const char *kindName(ErrorKind kind) {
  switch (kind) {
  case ErrorKind::InvalidArgument:
    return "invalid argument";
  case ErrorKind::NotFound:
    return "not found";
  case ErrorKind::DataLoss:
    return "data loss";
  case ErrorKind::Unsupported:
    return "unsupported";
  case ErrorKind::ResourceExhausted:
    return "resource exhausted";
  case ErrorKind::FailedPrecondition:
    return "failed precondition";
  case ErrorKind::Unavailable:
    return "unavailable";
  case ErrorKind::Cancelled:
    return "cancelled";
  case ErrorKind::AccuracyLoss:
    return "accuracy loss";
  case ErrorKind::Untrusted:
    return "untrusted";
  case ErrorKind::Internal:
    return "internal";
  }
  return "internal";
}

[[noreturn]] void raise(ErrorId id, const std::string &text) {
  py::object error = errorClass(text);
  error.attr("number") = static_cast<int>(id);
  error.attr("name") = nameOf(id);
  error.attr("kind") = kindName(kindOf(id));
  PyErr_SetObject(errorClass.ptr(), error.ptr());
  throw py::error_already_set();
}

[[noreturn]] void raise(const Diagnostic &diagnostic) { raise(diagnostic.id, diagnostic.message()); }
[[noreturn]] void raise(const Error &error) { raise(error.id, message(error)); }

template <class T, class E> T take(Result<T, E> result) {
  if (!result.ok())
    raise(result.error());
  if constexpr (!std::is_void_v<T>)
    return std::move(result).value();
}

Matrix toMatrix(const FloatArray &array) {
  if (array.ndim() != 2)
    throw py::value_error("expected an array of 2 dimensions (rows x columns), found " + std::to_string(array.ndim()));
  auto rows = static_cast<std::size_t>(array.shape(0)), cols = static_cast<std::size_t>(array.shape(1));
  return Matrix{rows, cols, std::vector<float>(array.data(), array.data() + rows * cols)};
}

/// Gives NumPy the vector itself.
FloatArray toArray(std::vector<float> values, std::vector<py::ssize_t> shape) {
  auto owner = std::make_unique<std::vector<float>>(std::move(values));
  float *data = owner->data();
  py::capsule capsule(owner.release(), [](void *p) { delete static_cast<std::vector<float> *>(p); });
  return FloatArray(std::move(shape), data, capsule);
}

//===--------------------------------------------------------------------===//
// Networks and expert sets
//===--------------------------------------------------------------------===//

struct LayerArrays {
  FloatArray weights; ///< [outputs][inputs]
  FloatArray bias;    ///< [outputs]
  std::string activation;
  float steepness;
};

Activation activationNamed(const std::string &name) {
  for (unsigned i = 0; i < kActivationCount; ++i)
    if (name == nameOf(static_cast<Activation>(i)))
      return static_cast<Activation>(i);
  throw py::value_error("'" + name + "' is not one of FANN's twenty activation functions");
}

/// A layered FANN network: libfann's arithmetic, its clamp included.
fann::Network networkOf(const std::vector<LayerArrays> &layers) {
  if (layers.empty())
    throw py::value_error("a network needs at least one layer");
  fann::Network network;
  network.format = "arrays";
  std::uint32_t first = 0; // neuron of the layer before
  auto addBias = [&] {
    fann::Neuron bias;
    bias.kind = fann::NeuronKind::Constant;
    bias.firstConnection = static_cast<std::uint32_t>(network.connections.size());
    network.neurons.push_back(bias);
  };
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const LayerArrays &layer = layers[l];
    if (layer.weights.ndim() != 2 || layer.weights.shape(0) < 1 || layer.weights.shape(1) < 1)
      throw py::value_error("layer " + std::to_string(l) + ": weights need 2 dimensions (outputs x inputs)");
    auto outputs = static_cast<std::uint32_t>(layer.weights.shape(0));
    auto inputs = static_cast<std::uint32_t>(layer.weights.shape(1));
    if (layer.bias.ndim() != 1 || layer.bias.shape(0) != layer.weights.shape(0))
      throw py::value_error("layer " + std::to_string(l) + ": bias needs " + std::to_string(outputs) + " elements");
    if (l == 0) {
      network.numInputs = inputs;
      network.neurons.resize(inputs);
      for (fann::Neuron &neuron : network.neurons)
        neuron.kind = fann::NeuronKind::Input;
      addBias();
      network.layers.push_back({0, inputs + 1});
    } else if (layers[l - 1].weights.shape(0) != layer.weights.shape(1)) {
      throw py::value_error("layer " + std::to_string(l) + " has " + std::to_string(inputs) +
                            " inputs, but the layer before has " + std::to_string(layers[l - 1].weights.shape(0)) +
                            " outputs");
    }
    if (!(layer.steepness >= 0) || !std::isfinite(layer.steepness))
      throw py::value_error("layer " + std::to_string(l) + ": steepness must be a finite number of at least 0");
    auto begin = static_cast<std::uint32_t>(network.neurons.size());
    for (std::uint32_t n = 0; n < outputs; ++n) {
      fann::Neuron neuron;
      neuron.firstConnection = static_cast<std::uint32_t>(network.connections.size());
      neuron.connectionCount = inputs + 1;
      neuron.activation = activationNamed(layer.activation);
      neuron.steepness = layer.steepness;
      for (std::uint32_t k = 0; k <= inputs; ++k) {
        float weight = k == inputs ? layer.bias.at(n) : layer.weights.at(n, k);
        if (!std::isfinite(weight))
          throw py::value_error("layer " + std::to_string(l) + " holds a number that is not finite");
        network.connections.push_back({first + k, weight, 0});
      }
      network.neurons.push_back(neuron);
    }
    addBias();
    network.layers.push_back({begin, outputs + 1});
    first = begin;
  }
  network.numOutputs = static_cast<std::uint32_t>(layers.back().weights.shape(0));
  return network;
}

using Limits = std::map<std::string, float>;

/// Keys as in the manifest.
manifest::AccuracyBudget budgetOf(const Limits &limits) {
  using Budget = manifest::AccuracyBudget;
  struct Key {
    const char *name;
    std::optional<float> Budget::*limit;
    bool isFraction;
  };
  static constexpr Key kKeys[] = {{"max_drop", &Budget::maxDrop, true},
                                  {"min_agreement", &Budget::minAgreement, true},
                                  {"max_error", &Budget::maxError, false},
                                  {"min_sqnr_db", &Budget::minSqnrDb, false},
                                  {"max_nmse_rise", &Budget::maxNmseRise, false},
                                  {"max_kl", &Budget::maxKl, false},
                                  {"min_top_k_agreement", &Budget::minTopKAgreement, true}};
  Budget budget;
  for (const auto &[name, value] : limits) {
    auto key = std::find_if(std::begin(kKeys), std::end(kKeys), [&](const Key &k) { return name == k.name; });
    if (key == std::end(kKeys))
      throw py::value_error("accuracy: there is no limit '" + name + "'");
    if (!(value >= 0) || !std::isfinite(value) || (key->isFraction && value > 1))
      throw py::value_error("accuracy: " + name + (key->isFraction ? " is not in 0..1" : " is below 0 or not finite"));
    budget.*(key->limit) = value;
  }
  return budget;
}

/// What the package's Expert holds.
struct ExpertSpec {
  std::string id, name, domain, specialization, task;
  std::vector<std::string> labels;
  std::optional<std::string> file;
  std::vector<LayerArrays> layers; ///< if there is no file
  std::optional<FloatArray> calibration, testInputs, testTargets;
  std::vector<std::pair<float, float>> inputRange;
  float confidenceThreshold = 0;
  Limits accuracy;
  std::string head;
  float temperature = 1;
};

manifest::ExpertHead headNamed(const std::string &name) {
  if (name.empty())
    return manifest::ExpertHead::None;
  if (name == "softmax")
    return manifest::ExpertHead::Softmax;
  if (name == "argmax")
    return manifest::ExpertHead::Argmax;
  if (name == "sigmoid")
    return manifest::ExpertHead::Sigmoid;
  throw py::value_error("'" + name + "' is not a head: softmax, argmax or sigmoid");
}

manifest::Expert expertOf(const ExpertSpec &spec) {
  manifest::Expert expert;
  expert.id = spec.id;
  expert.name = spec.name.empty() ? spec.id : spec.name;
  expert.specialization = spec.specialization;
  bool isKnown = false;
  for (unsigned i = 0; i < kDomainCount; ++i)
    if (spec.domain == nameOf(static_cast<Domain>(i))) {
      expert.domain = static_cast<Domain>(i);
      isKnown = true;
    }
  if (!isKnown)
    throw py::value_error("expert '" + spec.id + "': '" + spec.domain + "' is not a domain");
  if (spec.task == "classification")
    expert.task = manifest::Task::Classification;
  else if (spec.task == "regression")
    expert.task = manifest::Task::Regression;
  else if (!spec.task.empty())
    throw py::value_error("expert '" + spec.id + "': task is neither 'classification' nor 'regression'");
  expert.labels = spec.labels;
  expert.confidenceThreshold = spec.confidenceThreshold;
  expert.accuracy = budgetOf(spec.accuracy);
  expert.head = headNamed(spec.head);
  if (!(spec.temperature >= 1e-6f && spec.temperature <= 1e6f))
    throw py::value_error("expert '" + spec.id + "': temperature is not in 1e-6..1e6");
  expert.temperature = spec.temperature;
  for (auto [lo, hi] : spec.inputRange) {
    if (!(lo < hi) || !std::isfinite(lo) || !std::isfinite(hi))
      throw py::value_error("expert '" + spec.id + "': an input range needs two finite numbers, the smaller one first");
    expert.inputRange.push_back({lo, hi});
  }
  expert.network = spec.file ? take(fann::readNetworkFile(*spec.file)) : networkOf(spec.layers);
  auto checked = [&](const FloatArray &array, const char *what, std::size_t columns) {
    Matrix matrix = toMatrix(array);
    if (matrix.cols != columns)
      throw py::value_error("expert '" + spec.id + "': " + what + " has " + std::to_string(matrix.cols) +
                            " columns, but the network needs " + std::to_string(columns));
    for (float value : matrix.values)
      if (!std::isfinite(value))
        throw py::value_error("expert '" + spec.id + "': " + what + " holds a number that is not finite");
    return matrix;
  };
  if (spec.calibration)
    expert.calibration =
        std::make_shared<const Matrix>(checked(*spec.calibration, "calibration", expert.network.numInputs));
  if (spec.testInputs && spec.testTargets) {
    auto test = std::make_shared<FannData>();
    test->inputs = checked(*spec.testInputs, "test inputs", expert.network.numInputs);
    test->outputs = checked(*spec.testTargets, "test targets", expert.network.numOutputs);
    if (test->inputs.rows != test->outputs.rows)
      throw py::value_error("expert '" + spec.id + "': test inputs and targets have different numbers of rows");
    expert.test = test;
  }
  return expert;
}

//===--------------------------------------------------------------------===//
// Compilation
//===--------------------------------------------------------------------===//

struct PythonOptions {
  unsigned jobs;
  bool applyScaling, enforceBudgets;
  Limits accuracy;
  std::optional<std::function<void(std::string, std::size_t, std::size_t)>> progress;
};

/// The pack's bytes, the report as JSON and as HTML. Runs without the GIL; an exception of `progress`, or a
/// KeyboardInterrupt, cancels.
std::tuple<py::bytes, std::string, std::string> compileSet(const manifest::ExpertSet &set,
                                                           const PythonOptions &python) {
  CompileOptions options;
  options.jobs = python.jobs;
  options.applyScaling = python.applyScaling;
  options.enforceBudgets = python.enforceBudgets;
  options.budget = budgetOf(python.accuracy);
  std::atomic<bool> cancelled{false};
  std::exception_ptr raised; // written under the compiler's lock of progress
  options.cancelled = &cancelled;
  options.progress = [&](const Progress &progress) {
    py::gil_scoped_acquire gil;
    if (cancelled)
      return;
    try {
      if (PyErr_CheckSignals() != 0)
        throw py::error_already_set();
      if (python.progress) {
        constexpr const char *kSteps[] = {"experts", "kernels", "pack"};
        (*python.progress)(kSteps[static_cast<unsigned>(progress.step)], progress.done, progress.total);
      }
    } catch (py::error_already_set &) {
      raised = std::current_exception();
      cancelled = true;
    }
  };
  auto output = [&] {
    py::gil_scoped_release noGil;
    return compile(set, options);
  }();
  if (raised)
    std::rethrow_exception(raised);
  CompileOutput compiled = take(std::move(output));
  return {py::bytes(reinterpret_cast<const char *>(compiled.pack.data()), compiled.pack.size()),
          toJson(compiled.report, -1), toHtml(compiled.report)};
}

//===--------------------------------------------------------------------===//
// Packs
//===--------------------------------------------------------------------===//

/// By KimicCachePolicy.
constexpr std::string_view kCachePolicies[] = {"lru", "score", "adaptive"};

runtime::NativeOptions optionsFor(const std::string &engine, float residentBonus, bool isTimed, std::uint64_t memory,
                                  const std::string &cachePolicy) {
  runtime::NativeOptions options;
  options.arenaBytes = memory;
  const auto policy = std::find(std::begin(kCachePolicies), std::end(kCachePolicies), cachePolicy);
  if (policy == std::end(kCachePolicies))
    throw py::value_error("'" + cachePolicy + "' is not a cache policy: lru, score or adaptive");
  options.cachePolicy = static_cast<KimicCachePolicy>(policy - std::begin(kCachePolicies));
  options.residentBonus = residentBonus;
  options.isTimed = isTimed;
  if (engine == "native")
    options.link = native::kernelOrNull;
  else if (engine != "reference")
    throw py::value_error("'" + engine + "' is not an engine: native or reference");
  return options;
}

/// A NativePack behind a lock: it is not thread-safe, and runs happen without the GIL.
class Pack {
public:
  explicit Pack(runtime::NativePack pack) : pack(std::move(pack)) {}

  template <class Call> auto locked(Call call) {
    py::gil_scoped_release noGil;
    std::lock_guard lock(mutex);
    return call(pack);
  }

  FloatArray run(std::uint32_t expert, const FloatArray &x) {
    std::span<const float> values = rowsOf(x);
    auto rows = static_cast<std::uint32_t>(x.shape(0));
    auto y = take(locked([&](runtime::NativePack &p) { return p.run(expert, values, rows); }));
    auto columns = static_cast<py::ssize_t>(y.size() / rows);
    return toArray(std::move(y), {x.shape(0), columns});
  }

  /// A function of no arguments that runs the expert on what `x` holds then, and returns the same array each time.
  py::object bind(py::object self, std::uint32_t expert, FloatArray x, bool isRow) {
    FloatArray y = run(expert, x); // also loads it and checks the shape
    py::object result = isRow ? py::object(y[py::int_(0)]) : y;
    const auto rows = static_cast<std::uint32_t>(x.shape(0));
    auto *binding = new Binding{std::move(self), this, expert, std::move(x), std::move(y), rows, std::move(result)};
    py::capsule owner(binding, [](void *p) { delete static_cast<Binding *>(p); });
    static PyMethodDef definition = {"run", runBinding, METH_NOARGS, "Runs the expert on what x holds now."};
    return py::reinterpret_steal<py::object>(PyCFunction_New(&definition, owner.ptr()));
  }

  py::dict memoryUsage() {
    const KimicMemory memory = locked([&](runtime::NativePack &p) { return p.memory(); });
    py::dict usage;
    usage["linear"] = memory.linear;
    usage["cap"] = memory.cap;
    usage["used"] = memory.used;
    usage["peak"] = memory.peak;
    constexpr const char *kUses[KIMIC_MEMORY_USES] = {"other", "experts", "compressed", "scratch", "host"};
    for (unsigned use = 0; use < KIMIC_MEMORY_USES; ++use)
      usage[kUses[use]] = memory.byUse[use];
    usage["largest_free"] = memory.largestFree;
    usage["pinned_bytes"] = memory.pinnedBytes;
    usage["allocations"] = memory.allocations;
    usage["resident_experts"] = memory.residentExperts;
    usage["pinned_experts"] = memory.pinnedExperts;
    return usage;
  }

  /// success, confidence, latency, microseconds, runs.
  py::tuple experience(std::uint32_t expert) {
    const KimicExperience e = take(locked([&](runtime::NativePack &p) { return p.experience(expert); }));
    return py::make_tuple(e.success, e.confidence, e.latency, e.microseconds, e.runs);
  }
  py::bytes exportHistory() {
    const std::vector<std::uint8_t> bytes = take(locked([](runtime::NativePack &p) { return p.exportHistory(); }));
    return {reinterpret_cast<const char *>(bytes.data()), bytes.size()};
  }
  void importHistory(const py::bytes &bytes) {
    const std::string_view view = bytes;
    take(locked([&](runtime::NativePack &p) {
      return p.importHistory({reinterpret_cast<const std::uint8_t *>(view.data()), view.size()});
    }));
  }

  /// Scores, choices and, for each routed expert, (logit, score, selection, threshold, reason).
  py::tuple explain(const FloatArray &x, std::uint32_t count) {
    std::span<const float> values = rowsOf(x);
    auto route = take(locked([&](runtime::NativePack &p) { return p.explain(values, count); }));
    py::list experts;
    for (const KimicExplanation &e : route.explanations)
      experts.append(py::make_tuple(e.logit, e.score, e.selection, e.threshold, e.reason));
    return tupleOf(std::move(route)) + py::make_tuple(experts);
  }

  py::tuple runRouted(const FloatArray &x, std::uint32_t count) {
    std::span<const float> values = rowsOf(x);
    auto result = take(locked([&](runtime::NativePack &p) { return p.runRouted(values, count); }));
    auto columns = static_cast<py::ssize_t>(result.y.size());
    return py::make_tuple(toArray(std::move(result.y), {columns}), tupleOf(std::move(result.route)));
  }

  /// What an answer of these experts takes: steps as (expert, level, group, inputs, outputs, bytes, microseconds).
  py::dict plan(const std::vector<std::uint32_t> &experts) {
    std::vector<KimicChoice> choices;
    for (std::uint32_t expert : experts)
      choices.push_back({expert, 1, 1});
    auto plan = take(locked([&](runtime::NativePack &p) { return p.plan(choices); }));
    py::list steps;
    for (const KimicStep &s : plan.inOrder)
      steps.append(py::make_tuple(s.expert, s.level, s.group, s.inputs, s.outputs, s.bytes, s.microseconds));
    py::dict out;
    out["steps"] = steps;
    out["bytes"] = plan.bytes;
    out["missing_bytes"] = plan.missingBytes;
    return out;
  }

  py::dict info() {
    const KimicPackInfo &info = pack.info();
    py::dict out;
    out["bytes"] = info.packBytes;
    out["experts"] = info.experts;
    out["kernels"] = info.kernels;
    out["top_k"] = info.topK;
    out["routed_experts"] = info.routedExperts;
    out["router"] = info.routerExpert == KIMIC_NO_EXPERT ? py::object(py::none()) : py::int_(info.routerExpert);
    return out;
  }

  py::dict expertInfo(std::uint32_t expert) {
    KimicExpertInfo info = take(locked([&](runtime::NativePack &p) { return p.expertInfo(expert); }));
    py::dict out;
    out["inputs"] = info.inputs;
    out["outputs"] = info.outputs;
    out["parameter_bytes"] = info.parameterBytes;
    out["kernel"] = info.kernel;
    out["domain"] = info.domain < kDomainCount ? nameOf(static_cast<Domain>(info.domain)) : "";
    out["confidence_threshold"] = info.confidenceThreshold;
    return out;
  }

  std::string metadata() {
    return take(locked([](runtime::NativePack &p) { return p.metadata(); }));
  }

private:
  runtime::NativePack pack;
  std::mutex mutex;

  struct Binding {
    py::object owner; ///< keeps the pack
    Pack *pack;
    std::uint32_t expert;
    FloatArray x, y;
    std::uint32_t rows; ///< of both; whoever else holds x may give it another shape
    py::object result;  ///< y, or its only row
  };

  /// To release the GIL would cost more than a run of this many numbers.
  static constexpr py::ssize_t kShort = 4096;

  static PyObject *runBinding(PyObject *capsule, PyObject *) {
    auto &binding = *static_cast<Binding *>(PyCapsule_GetPointer(capsule, nullptr));
    try {
      auto call = [&](runtime::NativePack &p) {
        return p.runInto(binding.expert, binding.x.data(), binding.rows, binding.y.mutable_data());
      };
      std::unique_lock lock(binding.pack->mutex, std::defer_lock);
      Result<void> done;
      if (binding.x.size() <= kShort && lock.try_lock())
        done = call(binding.pack->pack);
      else
        done = binding.pack->locked(call);
      if (lock)
        lock.unlock();
      if (!done.ok())
        raise(done.error());
      return binding.result.inc_ref().ptr();
    } catch (py::error_already_set &error) {
      error.restore();
    } catch (const std::exception &error) {
      PyErr_SetString(PyExc_RuntimeError, error.what());
    }
    return nullptr;
  }

  static std::span<const float> rowsOf(const FloatArray &x) {
    if (x.ndim() != 2 || x.shape(0) < 1 || x.shape(0) > std::numeric_limits<std::uint32_t>::max())
      throw py::value_error("expected at least one row of inputs");
    return {x.data(), static_cast<std::size_t>(x.size())};
  }

  static py::tuple tupleOf(runtime::NativePack::Route route) {
    py::list choices;
    for (const KimicChoice &choice : route.choices)
      choices.append(py::make_tuple(choice.expert, choice.score, choice.weight));
    auto count = static_cast<py::ssize_t>(route.scores.size());
    return py::make_tuple(choices, toArray(std::move(route.scores), {count}));
  }
};

} // namespace

PYBIND11_MODULE(_kimic, m) {
  errorClass = py::reinterpret_steal<py::object>(PyErr_NewExceptionWithDoc(
      "kimic.Error", "What kimic refuses: `number` and `name` in its error catalogue, and `kind`.", nullptr, nullptr));
  m.attr("Error") = errorClass;
  // The module outlives every call; the interpreter frees it before static destructors run.
  errorClass.inc_ref();

  py::class_<LayerArrays>(m, "Layer")
      .def(py::init([](FloatArray weights, FloatArray bias, std::string activation, float steepness) {
             return LayerArrays{std::move(weights), std::move(bias), std::move(activation), steepness};
           }),
           py::arg("weights"), py::arg("bias"), py::arg("activation"), py::arg("steepness"));

  py::class_<ExpertSpec>(m, "ExpertSpec")
      .def(py::init<>())
      .def_readwrite("id", &ExpertSpec::id)
      .def_readwrite("name", &ExpertSpec::name)
      .def_readwrite("domain", &ExpertSpec::domain)
      .def_readwrite("specialization", &ExpertSpec::specialization)
      .def_readwrite("task", &ExpertSpec::task)
      .def_readwrite("labels", &ExpertSpec::labels)
      .def_readwrite("file", &ExpertSpec::file)
      .def_readwrite("layers", &ExpertSpec::layers)
      .def_readwrite("calibration", &ExpertSpec::calibration)
      .def_readwrite("test_inputs", &ExpertSpec::testInputs)
      .def_readwrite("test_targets", &ExpertSpec::testTargets)
      .def_readwrite("input_range", &ExpertSpec::inputRange)
      .def_readwrite("confidence_threshold", &ExpertSpec::confidenceThreshold)
      .def_readwrite("accuracy", &ExpertSpec::accuracy)
      .def_readwrite("head", &ExpertSpec::head)
      .def_readwrite("temperature", &ExpertSpec::temperature);

  using ProgressArgument = std::optional<std::function<void(std::string, std::size_t, std::size_t)>>;
  m.def(
      "compile_manifest",
      [](const std::string &path, bool strict, unsigned jobs, bool applyScaling, bool enforceBudgets, Limits accuracy,
         ProgressArgument progress) {
        auto set = [&] {
          py::gil_scoped_release noGil;
          return manifest::readManifest(path, {strict});
        }();
        return compileSet(take(std::move(set)),
                          {jobs, applyScaling, enforceBudgets, std::move(accuracy), std::move(progress)});
      },
      py::arg("path"), py::arg("strict"), py::arg("jobs"), py::arg("apply_scaling"), py::arg("enforce_budgets"),
      py::arg("accuracy"), py::arg("progress"));
  m.def(
      "compile_experts",
      [](const std::string &name, const std::vector<ExpertSpec> &experts, bool strict, unsigned jobs, bool applyScaling,
         bool enforceBudgets, Limits accuracy, ProgressArgument progress) {
        manifest::ExpertSet set;
        set.name = name;
        for (const ExpertSpec &expert : experts)
          set.experts.push_back(expertOf(expert));
        if (auto valid = manifest::check(set, {strict}); !valid)
          raise(valid.error());
        return compileSet(set, {jobs, applyScaling, enforceBudgets, std::move(accuracy), std::move(progress)});
      },
      py::arg("name"), py::arg("experts"), py::arg("strict"), py::arg("jobs"), py::arg("apply_scaling"),
      py::arg("enforce_budgets"), py::arg("accuracy"), py::arg("progress"));

  py::class_<Pack>(m, "Pack")
      .def(py::init([](const py::bytes &bytes, const std::string &engine, float residentBonus, bool isTimed,
                       std::uint64_t memory, const std::string &cachePolicy) {
             std::string_view view = bytes;
             auto *data = reinterpret_cast<const std::uint8_t *>(view.data());
             runtime::NativeOptions options = optionsFor(engine, residentBonus, isTimed, memory, cachePolicy);
             return std::make_unique<Pack>(
                 take(runtime::NativePack::open({data, data + view.size()}, std::move(options))));
           }),
           py::arg("bytes"), py::arg("engine"), py::arg("resident_bonus"), py::arg("is_timed"), py::arg("memory"),
           py::arg("cache_policy"))
      .def_static(
          "open_file",
          [](const std::string &path, const std::string &engine, float residentBonus, bool isTimed,
             std::uint64_t memory, const std::string &cachePolicy) {
            return std::make_unique<Pack>(take(
                runtime::NativePack::openFile(path, optionsFor(engine, residentBonus, isTimed, memory, cachePolicy))));
          },
          py::arg("path"), py::arg("engine"), py::arg("resident_bonus"), py::arg("is_timed"), py::arg("memory"),
          py::arg("cache_policy"))
      .def("info", &Pack::info)
      .def("expert_info", &Pack::expertInfo, py::arg("expert"))
      .def("metadata", &Pack::metadata)
      .def("run", &Pack::run, py::arg("expert"), py::arg("x").noconvert())
      .def(
          "bind",
          [](py::object self, std::uint32_t expert, FloatArray x, bool isRow) {
            return self.cast<Pack &>().bind(self, expert, std::move(x), isRow);
          },
          py::arg("expert"), py::arg("x").noconvert(), py::arg("is_row"))
      .def("memory_usage", &Pack::memoryUsage)
      .def("experience", &Pack::experience, py::arg("expert"))
      .def("export_history", &Pack::exportHistory)
      .def("import_history", &Pack::importHistory, py::arg("bytes"))
      .def("explain", &Pack::explain, py::arg("x").noconvert(), py::arg("count"))
      .def("plan", &Pack::plan, py::arg("experts"))
      .def("run_routed", &Pack::runRouted, py::arg("x").noconvert(), py::arg("count"));
}
