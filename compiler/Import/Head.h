// What the manifest says about an expert's outputs.
#pragma once

#include "formats/manifest/Manifest.h"

namespace kimic {

struct Head {
  manifest::ExpertHead kind = manifest::ExpertHead::None;
  float temperature = 1; ///< of Softmax and Sigmoid, > 0
};

} // namespace kimic
