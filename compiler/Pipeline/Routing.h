// The set's routing trace, as the layout of its pack.
#pragma once

#include "compiler/Cluster/Cluster.h"
#include "formats/manifest/ExpertSet.h"

#include <atomic>

namespace kimic {

/// Reads the trace at `path`. `order`: indices into set.experts by expert number, without the router. Errors of the
/// trace, TraceEmpty, CompilationCancelled.
Result<cluster::Arrangement, Diagnostic> arrangementOf(const manifest::ExpertSet &set,
                                                       const std::vector<std::uint32_t> &order, const std::string &path,
                                                       const std::atomic<bool> *cancelled);

} // namespace kimic
