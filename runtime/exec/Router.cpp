#include "runtime/exec/Router.h"

#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace kimic::runtime {

double expNonPositive(double x) {
  if (!(x > -708))
    return 0;
  // x = n ln 2 + r with |r| <= ln 2 / 2; ln 2 is split so that n * kLn2High is exact.
  constexpr double kLog2e = 0x1.71547652b82fep+0;
  constexpr double kLn2High = 0x1.62e42feep-1, kLn2Low = 0x1.a39ef35793c76p-33;
  constexpr double kRound = 0x1.8p+52; // adding it rounds to an integer, whose low bits are then those of n
  double shifted = x * kLog2e + kRound;
  double n = shifted - kRound;
  double r = (x - n * kLn2High) - n * kLn2Low;
  // Taylor: the first term left out, r^14/14!, is below 5e-18.
  constexpr double kInverseFactorial[] = {
      1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040,
      1.0 / 720,        1.0 / 120,       1.0 / 24,       1.0 / 6,       0.5,          1.0,         1.0};
  double sum = 0;
  for (double coefficient : kInverseFactorial)
    sum = sum * r + coefficient;
  std::uint64_t bits = static_cast<std::uint64_t>(static_cast<std::int64_t>(n) + 1023) << 52;
  double power;
  std::memcpy(&power, &bits, sizeof power);
  return sum * power;
}

static double finite(float logit) {
  if (!(logit >= -FLT_MAX))
    return -static_cast<double>(FLT_MAX); // also NaN
  return logit > FLT_MAX ? static_cast<double>(FLT_MAX) : static_cast<double>(logit);
}

// Indices of the out.size() largest keys, equal ones in the order of their indices.
static void largest(std::span<const double> keys, std::span<std::uint32_t> out) {
  std::size_t known = 0;
  for (std::uint32_t i = 0; i < keys.size(); ++i) {
    if (known < out.size())
      ++known;
    else if (!(keys[i] > keys[out[known - 1]]))
      continue;
    // Behind all that are not lower.
    std::size_t at = known - 1;
    for (; at && keys[i] > keys[out[at - 1]]; --at)
      out[at] = out[at - 1];
    out[at] = i;
  }
}

namespace {

// Scores of all experts, as they follow from the outputs alone. A softmax over sums of row and column keys is the
// product of two softmaxes; a plain head is a grid without rows.
class Scores {
public:
  Scores(const pack::Router &record, std::span<const double> logits)
      : logits_(logits), temperature_(static_cast<double>(record.temperature)),
        isSigmoid_(record.head == pack::Head::Sigmoid), rows_(pack::productRows(record, logits.size())),
        columns_(static_cast<std::uint32_t>(logits.size()) - rows_) {
    for (std::uint32_t begin : {0u, rows_}) {
      double highest = logits[begin];
      for (std::uint32_t i = begin; i < endOf(begin); ++i)
        highest = highest < logits[i] ? logits[i] : highest;
      highest_[begin ? 1 : 0] = highest;
    }
  }

  /// Of the expert's outputs: the number itself, or the sum of its row's and its column's.
  double logit(std::uint32_t expert) const {
    return rows_ ? logits_[expert / columns_] + logits_[rows_ + expert % columns_] : logits_[expert];
  }
  /// The score, not divided by sum() yet.
  double share(std::uint32_t expert) const {
    if (shares_ && sum_ != 0)
      return shares_[expert];
    if (isSigmoid_) {
      double x = logits_[expert] / temperature_, e = expNonPositive(x < 0 ? x : -x);
      return (x < 0 ? e : 1) / (1 + e);
    }
    return rows_ ? part(expert / columns_, highest_[0]) * part(rows_ + expert % columns_, highest_[1])
                 : part(expert, highest_[0]);
  }
  /// Of all shares. It costs as much as a small expert, so it is added up when it is first wanted.
  double sum() const {
    if (sum_ == 0) {
      sum_ = 1;
      for (std::uint32_t begin = 0; !isSigmoid_ && begin < logits_.size(); begin = endOf(begin)) {
        double part = 0;
        for (std::uint32_t i = begin; i < endOf(begin); ++i) {
          double share = this->part(i, highest_[begin ? 1 : 0]);
          if (shares_)
            shares_[i] = share;
          part += share;
        }
        sum_ *= part;
      }
    }
    return sum_;
  }
  /// Where sum() leaves all shares, if all are wanted and each is one exponential.
  void keepShares(double *shares) {
    if (!isSigmoid_ && !rows_ && sum_ == 0)
      shares_ = shares;
  }
  float score(std::uint32_t expert) const { return static_cast<float>(share(expert) / sum()); }
  std::uint32_t rows() const { return rows_; }
  std::uint32_t columns() const { return columns_; }

private:
  /// Where the softmax ends that begins with this output.
  std::uint32_t endOf(std::uint32_t begin) const { return begin || !rows_ ? rows_ + columns_ : rows_; }
  double part(std::uint32_t output, double highest) const {
    return expNonPositive((logits_[output] - highest) / temperature_);
  }

  std::span<const double> logits_;
  double temperature_;
  bool isSigmoid_;
  std::uint32_t rows_, columns_;
  double highest_[2] = {};
  double *shares_ = nullptr;
  mutable double sum_ = 0; ///< 0: not known yet
};

} // namespace

static float thresholdOf(const Routing &routing, std::uint32_t expert) {
  return routing.columns.thresholds.empty() ? routing.record.threshold : routing.columns.thresholds[expert];
}

// Whether the expert is resident and residence counts.
static bool isFavoured(const Routing &routing, const Scores &scores, std::uint32_t expert) {
  return routing.bonus > 0 && !scores.rows() && routing.isResident(routing.residents, expert);
}

// What the expert's score counts for when experts are chosen; `mayHelp`: residence may.
static double selectionKey(const Routing &routing, const Scores &scores, std::uint32_t expert, bool mayHelp) {
  double key = scores.share(expert) / scores.sum();
  if (!routing.columns.bias.empty())
    key += static_cast<double>(routing.columns.bias[expert]);
  if (mayHelp && isFavoured(routing, scores, expert))
    key += static_cast<double>(routing.bonus);
  return key;
}

// Experts in the order of their sums of row and column keys. The k best lie in the k best rows and the k best columns:
// whatever is outside has k before it in its own column or row.
static void chooseOnGrid(const Scores &scores, std::span<const double> keys, std::uint32_t *lists,
                         std::span<KimicChoice> choices) {
  std::uint32_t rows = scores.rows(), columns = scores.columns();
  auto count = static_cast<std::uint32_t>(choices.size());
  std::span<std::uint32_t> bestRows(lists, count < rows ? count : rows);
  std::span<std::uint32_t> bestColumns(lists + rows, count < columns ? count : columns);
  std::uint32_t *taken = lists + rows + columns; // of bestColumns, by index in bestRows
  largest(keys.first(rows), bestRows);
  largest(keys.subspan(rows), bestColumns);
  for (std::size_t r = 0; r < bestRows.size(); ++r)
    taken[r] = 0;
  for (KimicChoice &choice : choices) {
    std::uint32_t best = 0, bestId = 0;
    double bestSum = 0, bestRest = 0;
    bool isFound = false;
    for (std::uint32_t r = 0; r < bestRows.size(); ++r) {
      if (taken[r] == bestColumns.size())
        continue;
      std::uint32_t id = bestRows[r] * columns + bestColumns[taken[r]];
      // The exact sum as two numbers (Knuth's TwoSum): rounded sums would make ties where there are none.
      double a = keys[bestRows[r]], b = keys[rows + bestColumns[taken[r]]], sum = a + b, bb = sum - a;
      double rest = (a - (sum - bb)) + (b - bb);
      if (!isFound || sum > bestSum || (sum == bestSum && (rest > bestRest || (rest == bestRest && id < bestId)))) {
        isFound = true;
        best = r;
        bestId = id;
        bestSum = sum;
        bestRest = rest;
      }
    }
    choice.expert = bestId;
    ++taken[best];
  }
}

// The outputs as finite numbers, at the start of the workspace.
static std::span<const double> logitsOf(std::span<const float> outputs, std::span<double> workspace) {
  for (std::size_t i = 0; i < outputs.size(); ++i)
    workspace[i] = finite(outputs[i]);
  return workspace.first(outputs.size());
}

// The experts in order, without regard to thresholds.
static void rank(const Routing &routing, const Scores &scores, std::span<double> workspace,
                 std::span<KimicChoice> choices) {
  std::size_t outputs = workspace.size() / 3;
  auto *lists = reinterpret_cast<std::uint32_t *>(workspace.data() + outputs);
  if (scores.rows())
    return chooseOnGrid(scores, workspace.first(outputs), lists, choices);
  // Logits tell apart experts whose scores are too small for it.
  std::span<double> keys = workspace.first(outputs);
  auto setKeys = [&](bool mayHelp) {
    keys = workspace.last(outputs);
    for (std::uint32_t i = 0; i < keys.size(); ++i)
      keys[i] = selectionKey(routing, scores, i, mayHelp);
  };
  if (!routing.columns.bias.empty())
    setKeys(false);
  std::span<std::uint32_t> order(lists, choices.size());
  if (routing.bonus > 0) {
    largest(keys, order.first(1));
    setKeys(true);
    keys[order[0]] = HUGE_VAL;
  }
  largest(keys, order);
  for (std::size_t c = 0; c < order.size(); ++c)
    choices[c].expert = order[c];
}

static bool isSure(const Routing &routing, const Scores &scores, std::uint32_t expert) {
  float threshold = thresholdOf(routing, expert);
  return threshold <= 0 || scores.score(expert) >= threshold;
}

// Of the ranked experts those that answer; how many.
static std::uint32_t select(const Routing &routing, const Scores &scores, std::span<KimicChoice> ranked) {
  if (routing.record.strategy != pack::Strategy::Threshold)
    return isSure(routing, scores, ranked[0].expert) ? static_cast<std::uint32_t>(ranked.size()) : 0;
  std::uint32_t count = 0;
  for (const KimicChoice &choice : ranked)
    if (isSure(routing, scores, choice.expert))
      ranked[count++].expert = choice.expert;
  return count;
}

static void weigh(const Routing &routing, const Scores &scores, bool areScored, std::span<KimicChoice> chosen) {
  std::span<const float> learned = routing.columns.weights;
  auto shareOf = [&](std::uint32_t expert) {
    return learned.empty() ? scores.share(expert) : static_cast<double>(learned[expert]);
  };
  double all = 1e-20; // as Kimi-K2 has it; changes nothing where there is a choice
  for (const KimicChoice &choice : chosen)
    all += shareOf(choice.expert);
  if (!routing.record.isNormalised)
    all = learned.empty() ? scores.sum() : 1;
  for (KimicChoice &choice : chosen) {
    choice.score = areScored ? scores.score(choice.expert) : 0;
    choice.weight = static_cast<float>(shareOf(choice.expert) / all * static_cast<double>(routing.record.scale));
  }
}

std::uint32_t choose(const Routing &routing, std::span<const float> outputs, std::span<double> workspace,
                     std::span<KimicChoice> choices, Details details) {
  Scores scores(routing.record, logitsOf(outputs, workspace));
  rank(routing, scores, workspace, choices);
  if (details.scores)
    scores.keepShares(workspace.last(outputs.size()).data());
  KimicExplanation *explanations = details.explanations;
  for (std::uint32_t expert = 0; explanations && expert < routing.record.routed; ++expert)
    explanations[expert] = {static_cast<float>(scores.logit(expert)),
                            scores.score(expert),
                            static_cast<float>(selectionKey(routing, scores, expert, expert != choices[0].expert)),
                            thresholdOf(routing, expert),
                            KIMIC_OUTRANKED,
                            isFavoured(routing, scores, expert)};
  // What is ranked and not chosen is below its threshold, or behind a best expert that is.
  for (const KimicChoice &choice : choices)
    if (explanations)
      explanations[choice.expert].reason =
          isSure(routing, scores, choice.expert) ? KIMIC_ROUTER_ABSTAINED : KIMIC_BELOW_THRESHOLD;
  std::uint32_t count = select(routing, scores, choices);
  weigh(routing, scores, details.areChoicesScored, choices.first(count));
  for (const KimicChoice &choice : choices.first(count))
    if (explanations)
      explanations[choice.expert].reason = KIMIC_CHOSEN;
  for (std::uint32_t expert = 0; details.scores && expert < routing.record.routed; ++expert)
    details.scores[expert] = scores.score(expert);
  return count;
}

} // namespace kimic::runtime
