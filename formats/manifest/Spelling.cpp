#include "formats/manifest/Spelling.h"

#include "formats/manifest/Json.h"

#include <algorithm>
#include <utility>

namespace kimic::manifest {

static char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

/// Edits that make b of a, counted in halves: a letter inserted, deleted, replaced, or swapped with the next (optimal
/// string alignment).
static std::size_t halfEdits(std::string_view a, std::string_view b) {
  std::vector<std::size_t> beforePrevious, previous(b.size() + 1), current(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j)
    previous[j] = 2 * j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    current[0] = 2 * i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      std::size_t replace = a[i - 1] == b[j - 1] ? 0 : lower(a[i - 1]) == lower(b[j - 1]) ? 1 : 2;
      current[j] = std::min({previous[j] + 2, current[j - 1] + 2, previous[j - 1] + replace});
      bool isSwapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (isSwapped)
        current[j] = std::min(current[j], beforePrevious[j - 2] + 2);
    }
    beforePrevious = previous;
    std::swap(previous, current);
  }
  return previous[b.size()];
}

std::string_view nearest(std::string_view word, const std::vector<std::string_view> &candidates) {
  constexpr std::size_t kMaxWord = 64; // longer words are not typing errors, and the distance is quadratic
  if (word.size() > kMaxWord)
    return {};
  std::string_view best;
  std::size_t fewest = 0;
  for (std::string_view candidate : candidates) {
    if (candidate.size() > kMaxWord)
      continue;
    std::size_t edits = halfEdits(word, candidate);
    bool isNear = edits * 3 <= 2 * std::max(word.size(), candidate.size());
    if (isNear && (best.empty() || edits < fewest)) {
      best = candidate;
      fewest = edits;
    }
  }
  return best;
}

std::string expectedWord(std::string_view word, const std::vector<std::string_view> &candidates) {
  if (std::string_view near = nearest(word, candidates); !near.empty())
    return quote(near);
  constexpr std::size_t kMaxListed = 24;
  std::string out;
  for (std::size_t i = 0; i < std::min(candidates.size(), kMaxListed); ++i)
    out += (i ? ", " : "") + quote(candidates[i]);
  if (candidates.size() > kMaxListed)
    out += " or one of " + std::to_string(candidates.size() - kMaxListed) + " more";
  return out;
}

} // namespace kimic::manifest
