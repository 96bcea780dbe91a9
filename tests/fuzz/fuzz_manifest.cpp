// The text of a manifest: whatever the bytes, no crash; what is accepted keeps the promises of Manifest.h; metadata
// survive being read again.
#include "formats/manifest/Json.h"
#include "formats/manifest/Manifest.h"
#include "tests/fuzz/Require.h"

#include <set>

using namespace kimic;
using namespace kimic::manifest;
using kimic::test::require;

static void checkPath(const FileReference &file) {
  if (file.isPresent())
    require(file.path[0] != '/' && ("/" + file.path + "/").find("/../") == std::string::npos && file.line > 0);
}

static void checkMetadata(const std::string &metadata) {
  if (metadata.empty())
    return;
  auto read = parseJson(metadata, "metadata");
  require(read.ok() && read->kind == JsonValue::Kind::Object && compact(*read) == metadata);
}

static void checkNetwork(const NetworkEntry &entry) {
  require(entry.networkFile.isPresent());
  for (const FileReference &file : {entry.networkFile, entry.calibrationFile, entry.testFile, entry.targetsFile})
    checkPath(file);
  for (const Interval &range : entry.inputRange)
    require(range.lo < range.hi);
}

static void checkManifest(const Manifest &manifest) {
  require(!manifest.experts.empty() && !manifest.name.empty());
  checkMetadata(manifest.metadata);
  std::set<std::string> ids;
  for (const ExpertEntry &expert : manifest.experts) {
    checkNetwork(expert);
    checkMetadata(expert.metadata);
    require(expert.id != kRouterId && !expert.name.empty() && ids.insert(expert.id).second);
    require(static_cast<unsigned>(expert.domain) < kDomainCount);
    require(expert.confidenceThreshold >= 0 && expert.confidenceThreshold <= 1);
    for (std::uint32_t index : expert.dependsOn)
      require(index < manifest.experts.size());
    std::size_t steps = 0; // a chain of fallbacks ends
    for (const ExpertEntry *at = &expert; at->fallback; at = &manifest.experts[*at->fallback])
      require(*at->fallback < manifest.experts.size() && ++steps < manifest.experts.size());
  }
  if (const auto &router = manifest.router) {
    checkNetwork(*router);
    require(router->topK >= 1 && router->topK <= router->experts.size() && router->temperature > 0);
    require(std::set(router->experts.begin(), router->experts.end()).size() == router->experts.size());
  }
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char *>(data), size);
  auto manifest = parseManifest(text, "fuzz");
  if (manifest.ok())
    checkManifest(*manifest);
  else
    require(!manifest.error().message().empty());
  return 0;
}
