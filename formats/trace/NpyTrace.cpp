// A folder with one array for each column of a trace: experts.npy, and beside it what else was recorded.
#include "formats/data/Npy.h"
#include "formats/trace/TraceReader.h"

#include <algorithm>
#include <cmath>
#include <sys/stat.h>
#include <utility>

namespace kimic::trace {

namespace {

using Status = Result<void, Diagnostic>;

class NpyTraceReader : public TraceReader {
public:
  NpyTraceReader(std::string folder, ExpertNumbers experts)
      : folder_(std::move(folder)), experts_(std::move(experts)) {}

  Status open() {
    KIMIC_ASSIGN(auto chosen, NpyRows::open(file("experts")));
    chosen_ = std::move(chosen);
    for (auto [name, column] : {std::pair{"weights", &weights_},
                                {"features", &features_},
                                {"logits", &logits_},
                                {"outcome", &outcome_},
                                {"target", &target_},
                                {"sequence", &sequence_}}) {
      struct stat info;
      if (::stat(file(name).c_str(), &info) != 0)
        continue;
      KIMIC_ASSIGN(auto rows, NpyRows::open(file(name)));
      if (rows.rows() != chosen_->rows())
        return error(ErrorId::TraceCountMismatch, name, "shape", std::to_string(rows.rows()) + " rows",
                     std::to_string(chosen_->rows()) + ", as in experts.npy");
      *column = std::move(rows);
    }
    KIMIC_TRY(columns("experts", *chosen_, 1, kMaxChosen));
    if (weights_)
      KIMIC_TRY(columns("weights", *weights_, chosen_->cols(), chosen_->cols()));
    if (features_)
      KIMIC_TRY(columns("features", *features_, 1, kMaxNumbers));
    if (logits_)
      KIMIC_TRY(columns("logits", *logits_, experts_.routed, experts_.routed));
    for (auto [name, column] : {std::pair{"outcome", &outcome_}, {"target", &target_}, {"sequence", &sequence_}})
      if (*column)
        KIMIC_TRY(columns(name, **column, 1, 1));
    return {};
  }

  Result<bool, Diagnostic> next(Step &step) override {
    if (row_ == chosen_->rows())
      return false;
    step = {};
    KIMIC_TRY(chosen_->next(values_));
    std::vector<std::size_t> places; // of the experts in the row
    for (std::size_t i = 0; i < values_.size(); ++i) {
      if (values_[i] == -1) // fewer were chosen
        continue;
      std::uint32_t number = 0;
      KIMIC_TRY(readExpert("experts", values_[i], number));
      if (std::find(step.experts.begin(), step.experts.end(), number) != step.experts.end())
        return error(ErrorId::TraceOutOfRange, "experts", row(), std::to_string(number) + " twice", "each expert once");
      step.experts.push_back(number);
      places.push_back(i);
    }
    if (step.experts.empty())
      return error(ErrorId::TraceOutOfRange, "experts", row(), "no expert", "at least one");
    if (weights_) {
      KIMIC_TRY(weights_->next(values_));
      for (std::size_t place : places)
        step.weights.push_back(static_cast<float>(values_[place]));
    }
    for (auto [column, out] : {std::pair{&features_, &step.features}, {&logits_, &step.logits}})
      if (*column) {
        KIMIC_TRY((*column)->next(values_));
        for (double value : values_)
          out->push_back(static_cast<float>(value));
      }
    if (outcome_) {
      KIMIC_TRY(outcome_->next(values_));
      if (!(values_[0] >= 0 && values_[0] <= 1))
        return error(ErrorId::TraceOutOfRange, "outcome", row(), std::to_string(values_[0]), "a number from 0 to 1");
      step.outcome = static_cast<float>(values_[0]);
    }
    if (target_) {
      KIMIC_TRY(target_->next(values_));
      if (values_[0] != -1)
        KIMIC_TRY(readExpert("target", values_[0], step.target.emplace()));
    }
    if (sequence_) {
      KIMIC_TRY(sequence_->next(values_));
      // Whole numbers up to 2^53 are themselves; a double has them exactly.
      step.sequence = static_cast<std::uint64_t>(static_cast<std::int64_t>(std::clamp(values_[0], -9e15, 9e15)));
    }
    ++row_;
    return true;
  }

private:
  std::string file(const char *name) const { return folder_ + "/" + name + ".npy"; }
  std::string row() const { return "row " + std::to_string(row_); }

  Diagnostic error(ErrorId id, const char *name, std::string key, std::string found, std::string expected) const {
    return {id, file(name), 0, std::move(key), std::move(found), std::move(expected)};
  }

  Status columns(const char *name, const NpyRows &rows, std::uint64_t lo, std::uint64_t hi) const {
    if (rows.cols() >= lo && rows.cols() <= hi)
      return {};
    std::string expected = lo == hi ? std::to_string(lo) : std::to_string(lo) + " to " + std::to_string(hi);
    return error(ErrorId::TraceCountMismatch, name, "shape", std::to_string(rows.cols()) + " columns", expected);
  }

  Status readExpert(const char *name, double value, std::uint32_t &number) const {
    if (!(value >= 0 && value < experts_.count && value == std::floor(value)))
      return error(ErrorId::TraceUnknownExpert, name, row(), std::to_string(value),
                   "a number from 0 to " + std::to_string(experts_.count - 1) + ", or -1 for none");
    number = static_cast<std::uint32_t>(value);
    return {};
  }

  std::string folder_;
  ExpertNumbers experts_;
  std::optional<NpyRows> chosen_, weights_, features_, logits_, outcome_, target_, sequence_;
  std::vector<double> values_;
  std::uint64_t row_ = 0;
};

} // namespace

Result<std::unique_ptr<TraceReader>, Diagnostic> openNpyTrace(const std::string &folder, ExpertNumbers experts) {
  auto reader = std::make_unique<NpyTraceReader>(folder, std::move(experts));
  KIMIC_TRY(reader->open());
  return std::unique_ptr<TraceReader>(std::move(reader));
}

} // namespace kimic::trace
