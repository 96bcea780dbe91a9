#include "runtime/exec/Router.h"

#include <cfloat>
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

void choose(std::span<const float> logits, float temperature, std::span<KimicChoice> choices, std::span<float> scores) {
  for (std::size_t c = 0; c < choices.size(); ++c) {
    // The best logit that comes after the previous choice in (logit descending, id ascending).
    std::size_t best = logits.size();
    for (std::size_t i = 0; i < logits.size(); ++i) {
      double value = finite(logits[i]);
      if (c) {
        std::size_t previous = choices[c - 1].expert;
        double last = finite(logits[previous]);
        if (value > last || (value == last && i <= previous))
          continue;
      }
      if (best == logits.size() || value > finite(logits[best]))
        best = i;
    }
    choices[c].expert = static_cast<std::uint32_t>(best);
  }
  double highest = finite(logits[choices[0].expert]);
  auto unnormalised = [&](std::size_t i) { return expNonPositive((finite(logits[i]) - highest) / temperature); };
  double all = 0, chosen = 0;
  for (std::size_t i = 0; i < logits.size(); ++i)
    all += unnormalised(i);
  for (KimicChoice &choice : choices)
    chosen += unnormalised(choice.expert);
  for (KimicChoice &choice : choices) {
    double value = unnormalised(choice.expert);
    choice.score = static_cast<float>(value / all);
    choice.weight = static_cast<float>(value / chosen);
  }
  for (std::size_t i = 0; i < scores.size(); ++i)
    scores[i] = static_cast<float>(unnormalised(i) / all);
}

} // namespace kimic::runtime
