// Reads networks from text: FANN's `.net` in every version that libfann 2 reads (and some that it does not), and
// ruv-FANN's JSON.
//
// FANN: FANN_FLO_1.1, 2.0 and 2.1, FANN_FIX_1.1 and 2.0; layered, sparse, shortcut and cascade networks; all twenty
// activations. Keys may stand in any order, unknown keys are ignored, and num_layers, layer_sizes, neurons and
// connections (for FIX also decimal_point) are the only ones required. CR LF, a byte order mark, a comma as decimal
// point, any white space between tuples and text after the last connection are accepted.
//
// Where libfann would go wrong silently:
//  * connection_rate >= 1: libfann ignores the index column and reads neurons by position. So does kimic, with a
//    warning when the two disagree. With connection_rate < 1 the indices count.
//  * An index at or after the neuron's own layer makes libfann read memory or an earlier call's value: refused.
//  * A negative steepness turns libfann's clamp into a constant: refused. Zero is accepted: the output is f(0).
//  * Activations 18 and 19 load into libfann 2.2.0 but give 0 there: kimic computes them as libfann's master does.
//  * FIX: functions that libfixedfann does not implement are refused (16 and 17 give 0 there, and here, with a
//  warning).
#pragma once

#include "formats/base/Diagnostic.h"
#include "formats/base/Result.h"
#include "formats/fann/Network.h"

#include <string>
#include <string_view>

namespace kimic::fann {

/// Reads a FANN network. `fileName` only goes into errors. Memory stays proportional to the text's length.
Result<Network, Diagnostic> readFann(std::string_view text, const std::string &fileName);

/// Reads ruv-FANN's JSON (serde's image of its Network), under ruv-FANN's own semantics.
Result<Network, Diagnostic> readRuvFann(std::string_view text, const std::string &fileName);

/// Reads either, told apart by content; names what it is when it is the network of some other program.
Result<Network, Diagnostic> readNetwork(std::string_view text, const std::string &fileName);

/// The same from a file of at most 256 MiB.
Result<Network, Diagnostic> readNetworkFile(const std::string &path);

} // namespace kimic::fann
