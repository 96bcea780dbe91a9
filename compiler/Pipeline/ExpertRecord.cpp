#include "compiler/Pipeline/ExpertRecord.h"

#include "formats/base/Bytes.h"
#include "kimic/ExpertStore.h"

#include <cstring>
#include <type_traits>

namespace kimic {

namespace {

// Each type lists its fields once; a writer and a reader go through the same list.

template <class Fields> void visit(Fields &f, manifest::NetworkFacts &facts) {
  f(facts.semantics, facts.numInputs, facts.numOutputs, facts.parameters, facts.networkWarnings,
    facts.calibrationWarnings, facts.testWarnings);
}

template <class Fields> void visit(Fields &f, manifest::AccuracyBudget &budget) {
  f(budget.maxDrop, budget.minAgreement, budget.maxError, budget.minSqnrDb, budget.maxNmseRise, budget.maxKl,
    budget.minTopKAgreement);
}

template <class Fields> void visit(Fields &f, manifest::Interval &interval) { f(interval.lo, interval.hi); }

template <class Fields> void visit(Fields &f, ConfidenceInterval &interval) { f(interval.lo, interval.hi); }

template <class Fields> void visit(Fields &f, TryReport &entry) {
  f(entry.precision, entry.residualRows, entry.blockBytes, entry.sqnrDb, entry.missed);
}

template <class Fields> void visit(Fields &f, LayerReport &layer) {
  f(layer.inputs, layer.outputs, layer.functions, layer.residualRows, layer.weightBytes, layer.sqnrDb,
    layer.predictedSqnrDb, layer.maxError, layer.cosine, layer.worstRow, layer.worstRowSqnrDb);
}

template <class Fields> void visit(Fields &f, ReliabilityBin &bin) { f(bin.rows, bin.confidence, bin.correct); }

template <class Fields> void visit(Fields &f, ScatterPoint &point) { f(point.original, point.compiled); }

template <class Fields> void visit(Fields &f, ExpertReport &report) {
  f(report.measuredOn, report.rows, report.maxError, report.maxErrorRow, report.meanError, report.sqnrDb, report.cosine,
    report.agreement, report.floatAccuracy, report.compiledAccuracy, report.accuracyChange, report.floatMse,
    report.compiledMse, report.floatNmse, report.compiledNmse, report.kl, report.top1Agreement, report.topKAgreement);
  f(report.kernel, report.inputs, report.outputs, report.layers, report.parameters, report.floatBytes,
    report.blockBytes, report.weightBytes, report.calibration, report.calibrationRows, report.budget, report.precision,
    report.reason, report.tries, report.predictedSqnrDb, report.layerReports, report.scatter, report.reliability,
    report.warnings);
}

constexpr auto lastOf(fann::Semantics) { return fann::Semantics::RuvFann; }
constexpr auto lastOf(MeasuredOn) { return MeasuredOn::Generated; }
constexpr auto lastOf(CalibrationSource) { return CalibrationSource::Assumed; }
constexpr auto lastOf(Precision) { return Precision::Float32; }

class FieldWriter {
public:
  template <class... T> void operator()(T &...values) { (put(values), ...); }

  ByteWriter out;

private:
  template <class T> void put(T &value) {
    if constexpr (std::is_enum_v<T>)
      out.u8(static_cast<std::uint8_t>(value));
    else if constexpr (std::is_same_v<T, float>)
      out.f32(value);
    else if constexpr (std::is_same_v<T, double>) {
      std::uint64_t bits;
      std::memcpy(&bits, &value, sizeof bits);
      out.u64(bits);
    } else if constexpr (std::is_integral_v<T>)
      out.varint(value);
    else
      visit(*this, value);
  }
  void put(std::string &text) {
    out.varint(text.size());
    out.append({reinterpret_cast<const std::uint8_t *>(text.data()), text.size()});
  }
  template <class T> void put(std::vector<T> &values) {
    out.varint(values.size());
    for (T &value : values)
      put(value);
  }
  template <class T> void put(std::optional<T> &value) {
    out.u8(value.has_value());
    if (value)
      put(*value);
  }
};

class FieldReader {
public:
  explicit FieldReader(std::span<const std::uint8_t> bytes) : in(bytes) {}
  template <class... T> void operator()(T &...values) { (get(values), ...); }

  bool isDone() const { return in.ok() && isValid_ && in.remaining() == 0; }

  ByteReader in;

private:
  template <class T> void get(T &value) {
    if constexpr (std::is_enum_v<T>) {
      auto number = in.u8();
      isValid_ &= number <= static_cast<std::uint8_t>(lastOf(T{}));
      value = static_cast<T>(number);
    } else if constexpr (std::is_same_v<T, float>)
      value = in.f32();
    else if constexpr (std::is_same_v<T, double>) {
      std::uint64_t bits = in.u64();
      std::memcpy(&value, &bits, sizeof bits);
    } else if constexpr (std::is_integral_v<T>) {
      std::uint64_t number = in.varint();
      value = static_cast<T>(number);
      isValid_ &= value == number;
    } else
      visit(*this, value);
  }
  void get(std::string &text) {
    auto bytes = in.take(static_cast<std::size_t>(in.varint()));
    text.assign(bytes.begin(), bytes.end());
  }
  template <class T> void get(std::vector<T> &values) {
    // Every value takes a byte, so that a false count costs no more memory than there are bytes.
    for (std::uint64_t count = in.varint(); count && in.remaining() && isValid_; --count)
      get(values.emplace_back());
  }
  template <class T> void get(std::optional<T> &value) {
    std::uint8_t isThere = in.u8();
    isValid_ &= isThere <= 1;
    if (isThere)
      get(value.emplace());
  }

  bool isValid_ = true;
};

} // namespace

store::Bytes encode(const ExpertRecord &record) {
  FieldWriter writer;
  ExpertRecord copy = record;
  writer(copy.network, copy.report);
  std::vector<std::uint8_t> signature = quant::encode(record.signature);
  writer.out.append(signature);
  return std::move(writer.out).take();
}

std::optional<ExpertRecord> decodeRecord(std::span<const std::uint8_t> bytes) {
  ExpertRecord record;
  FieldReader reader(bytes);
  reader(record.network, record.report);
  auto signature = quant::decodeSignature(reader.in.take(reader.in.remaining()));
  if (!reader.isDone() || !signature)
    return std::nullopt;
  record.signature = std::move(*signature);
  return record;
}

Digest expertKey(const manifest::Manifest &manifest, const manifest::ExpertEntry *expert,
                 const manifest::FileDigests &files, const manifest::AccuracyBudget &budget, bool applyScaling) {
  const manifest::NetworkEntry &entry =
      expert ? static_cast<const manifest::NetworkEntry &>(*expert) : *manifest.router;
  FieldWriter writer;
  std::string format = "kimic-expert/1", id = compilerId();
  writer(format, id, applyScaling);

  // What the files say. A file is read as what its name says that it is.
  auto addFile = [&](const manifest::FileReference &file, const std::optional<Digest> &digest) {
    writer.out.u8(!digest ? 0 : std::string_view(file.path).ends_with(".npy") ? 2 : 1);
    if (digest)
      writer.out.append(*digest);
  };
  addFile(entry.networkFile, files.network);
  addFile(entry.calibrationFile, files.calibration);
  addFile(entry.testFile, files.test);
  addFile(entry.targetsFile, files.targets);

  // What the manifest says, as far as it decides about numbers.
  std::vector<manifest::Interval> inputRange = entry.inputRange;
  manifest::AccuracyBudget stated =
      budget.orElse(expert ? expert->accuracy.orElse(manifest.accuracy) : manifest.router->accuracy);
  writer(inputRange, stated);
  writer.out.u8(expert != nullptr);
  if (expert) {
    writer.out.u8(static_cast<std::uint8_t>(expert->task));
    writer.out.u8(!expert->labels.empty());
    writer.out.u8(static_cast<std::uint8_t>(expert->head));
    writer.out.f32(expert->temperature);
  } else {
    writer.out.u32(manifest.router->topK);
    writer.out.f32(manifest.router->temperature);
  }
  return sha256(std::move(writer.out).take());
}

} // namespace kimic
