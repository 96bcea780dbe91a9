#include "formats/trace/TraceReader.h"

#include <sys/stat.h>
#include <utility>

namespace kimic::trace {

Result<std::unique_ptr<TraceReader>, Diagnostic> openTrace(const std::string &path, ExpertNumbers experts) {
  struct stat info;
  bool isFolder = ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
  return isFolder ? openNpyTrace(path, std::move(experts)) : openJsonLines(path, std::move(experts));
}

} // namespace kimic::trace
