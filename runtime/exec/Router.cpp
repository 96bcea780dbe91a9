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

namespace {

float finite(float logit) {
  if (!(logit >= -FLT_MAX))
    return -FLT_MAX; // also NaN
  return logit > FLT_MAX ? FLT_MAX : logit;
}

struct Softmax {
  std::span<const float> logits; ///< finite ones
  float temperature;
  std::uint32_t highest;

  double unnormalised(std::size_t i) const {
    return expNonPositive((static_cast<double>(logits[i]) - static_cast<double>(logits[highest])) / temperature);
  }
};

} // namespace

void choose(std::span<float> logits, float temperature, std::span<KimicChoice> choices) {
  std::size_t known = 0;
  for (std::uint32_t i = 0; i < logits.size(); ++i) {
    float logit = logits[i] = finite(logits[i]);
    if (known < choices.size())
      ++known;
    else if (!(logit > logits[choices[known - 1].expert]))
      continue;
    // Behind all that are not lower.
    std::size_t at = known - 1;
    for (; at && logit > logits[choices[at - 1].expert]; --at)
      choices[at].expert = choices[at - 1].expert;
    choices[at].expert = i;
  }
  Softmax softmax{logits, temperature, choices[0].expert};
  double sum = 0;
  for (KimicChoice &choice : choices)
    sum += softmax.unnormalised(choice.expert);
  for (KimicChoice &choice : choices) {
    choice.score = 0;
    choice.weight = static_cast<float>(softmax.unnormalised(choice.expert) / sum);
  }
}

void score(std::span<const float> logits, float temperature, std::span<KimicChoice> choices, std::span<float> scores) {
  Softmax softmax{logits, temperature, choices[0].expert};
  double sum = 0;
  for (std::size_t i = 0; i < logits.size(); ++i)
    sum += softmax.unnormalised(i);
  for (KimicChoice &choice : choices)
    choice.score = static_cast<float>(softmax.unnormalised(choice.expert) / sum);
  for (std::size_t i = 0; i < scores.size(); ++i)
    scores[i] = static_cast<float>(softmax.unnormalised(i) / sum);
}

} // namespace kimic::runtime
