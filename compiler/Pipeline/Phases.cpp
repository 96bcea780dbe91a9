// Names of the phases.
#include "kimic/Compiler.h"

namespace kimic {

const char *nameOf(Phase phase) {
  switch (phase) {
#define KIMIC_PHASE(enumerator, name, description)                                                                     \
  case Phase::enumerator:                                                                                              \
    return name;
#include "compiler/include/kimic/Phases.def"
#undef KIMIC_PHASE
  }
  return "";
}

const char *descriptionOf(Phase phase) {
  switch (phase) {
#define KIMIC_PHASE(enumerator, name, description)                                                                     \
  case Phase::enumerator:                                                                                              \
    return description;
#include "compiler/include/kimic/Phases.def"
#undef KIMIC_PHASE
  }
  return "";
}

std::vector<Phase> allPhases() {
  return {
#define KIMIC_PHASE(enumerator, name, description) Phase::enumerator,
#include "compiler/include/kimic/Phases.def"
#undef KIMIC_PHASE
  };
}

std::optional<Phase> phaseNamed(std::string_view name) {
  for (Phase phase : allPhases())
    if (name == nameOf(phase))
      return phase;
  return std::nullopt;
}

} // namespace kimic
