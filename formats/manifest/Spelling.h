// "Did you mean ...?"
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kimic::manifest {

/// The candidate that `word` is most likely a misspelling of (fewest edits; the first of equals), or an empty view if
/// none is near: at most a third of the longer word's characters may differ. Case counts as half an edit.
std::string_view nearest(std::string_view word, const std::vector<std::string_view> &candidates);

/// What belongs behind "expected": the nearest candidate as `"domain"`, else all of them when they are few.
std::string expectedWord(std::string_view word, const std::vector<std::string_view> &candidates);

} // namespace kimic::manifest
