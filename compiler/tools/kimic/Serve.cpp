// kimic serve: a static server for development and tests that answers ranges as packs need them.
#include "compiler/tools/kimic/Command.h"
#include "compiler/tools/kimic/JsonText.h"
#include "compiler/tools/kimic/PackFile.h"
#include "formats/base/Html.h"
#include "formats/base/Sha256.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <httplib.h>
#include <memory>
#include <mutex>
#include <optional>
#include <spawn.h>
#include <sys/stat.h>
#include <thread>

extern char **environ;

namespace kimic::tool {

namespace {

namespace fs = std::filesystem;

struct ServeOptions {
  std::string path;
  std::string host = "127.0.0.1";
  int port = 8000;
  bool allowsOtherOrigins = false;
  bool isIsolated = false;
  bool opensBrowser = false;
};

std::string typeOf(const fs::path &file) {
  static const std::pair<std::string_view, std::string_view> kTypes[] = {
      {".html", "text/html; charset=utf-8"},
      {".htm", "text/html; charset=utf-8"},
      {".js", "text/javascript"},
      {".mjs", "text/javascript"},
      {".css", "text/css; charset=utf-8"},
      {".json", "application/json"},
      {".map", "application/json"},
      {".wasm", "application/wasm"},
      {".txt", "text/plain; charset=utf-8"},
      {".md", "text/plain; charset=utf-8"},
      {".svg", "image/svg+xml"},
      {".png", "image/png"},
      {".jpg", "image/jpeg"},
      {".ico", "image/x-icon"},
  };
  std::string extension = file.extension().string();
  for (auto [name, type] : kTypes)
    if (extension == name)
      return std::string(type);
  return "application/octet-stream"; // which nobody on the way compresses
}

/// A file as it was when the request came.
class ServedFile {
public:
  explicit ServedFile(const fs::path &path) : path_(path), stream_(path, std::ios::binary) {
    struct stat facts{};
    if (!stream_ || ::stat(path.c_str(), &facts) != 0)
      return;
    size_ = static_cast<std::uint64_t>(facts.st_size);
    etag_ = fmt::format("\"{:x}-{:x}-{:x}\"", size_, facts.st_mtim.tv_sec, facts.st_mtim.tv_nsec);
    // A pack is named by its header and who signed it, wherever and whenever the file was copied.
    std::uint8_t head[640];
    if (size_ >= sizeof head && read(0, {reinterpret_cast<char *>(head), sizeof head}) && head[0] == 0x89 &&
        std::equal(head + 1, head + 4, "KPK"))
      etag_ = "\"" + hexOf(sha256(head)) + "\"";
    isGood_ = true;
  }

  bool isGood() const { return isGood_; }
  std::uint64_t size() const { return size_; }
  const std::string &etag() const { return etag_; }

  bool read(std::uint64_t offset, std::span<char> into) {
    stream_.clear();
    stream_.seekg(static_cast<std::streamoff>(offset));
    return static_cast<bool>(stream_.read(into.data(), static_cast<std::streamsize>(into.size())));
  }

private:
  fs::path path_;
  std::ifstream stream_;
  std::uint64_t size_ = 0;
  std::string etag_;
  bool isGood_ = false;
};

/// Bytes first .. last of a file; first > last: no such bytes.
struct Range {
  std::uint64_t first, last;
};

bool parseNumber(std::string_view text, std::uint64_t &number) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

/// The one range that the header asks for. None if there is none, several, or something else: then the whole file is
/// the right answer.
std::optional<Range> rangeOf(const std::string &header, std::uint64_t size) {
  constexpr std::string_view kUnit = "bytes=";
  if (header.rfind(kUnit, 0) != 0)
    return std::nullopt;
  std::string_view spec = std::string_view(header).substr(kUnit.size());
  std::size_t dash = spec.find('-');
  if (dash == std::string_view::npos)
    return std::nullopt;
  std::string_view from = spec.substr(0, dash), to = spec.substr(dash + 1);
  std::uint64_t first = 0, last = 0;
  if (from.empty()) { // the last `to` bytes
    if (!parseNumber(to, last))
      return std::nullopt;
    return last == 0 || size == 0 ? Range{1, 0} : Range{size - std::min(size, last), size - 1};
  }
  if (!parseNumber(from, first) || (!to.empty() && !parseNumber(to, last)) || (!to.empty() && last < first))
    return std::nullopt;
  if (first >= size)
    return Range{1, 0};
  return Range{first, to.empty() ? size - 1 : std::min(last, size - 1)};
}

bool names(const std::string &header, const std::string &etag) {
  return header == "*" || header.find(etag) != std::string::npos;
}

std::string percentEncoded(std::string_view path) {
  std::string out;
  for (char c : path) {
    bool isPlain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                   std::string_view("-._~/").find(c) != std::string_view::npos;
    out += isPlain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

class StaticServer {
public:
  StaticServer(const ServeOptions &options, Context &context) : options_(options), context_(context) {
    std::error_code error;
    root_ = fs::canonical(options.path, error);
    if (error)
      throw Failure(ExitCode::Failure, options.path + ": there is no such file or folder");
    if (!fs::is_directory(root_)) {
      only_ = root_.filename().string();
      root_ = root_.parent_path();
    }
    server_.set_keep_alive_timeout(1); // also how long stopping takes
    // By default the library shares the port with whoever has it already.
    server_.set_socket_options([](socket_t socket) {
      int yes = 1;
      ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    });
    server_.set_tcp_nodelay(true); // answers are small, and somebody waits for each
    auto handler = [this](const httplib::Request &request, httplib::Response &response) { answer(request, response); };
    server_.Get(".*", handler); // and HEAD
    server_.Options(".*", [this](const httplib::Request &, httplib::Response &response) {
      addHeaders(response);
      response.status = 204;
    });
  }

  /// Serves until it is interrupted.
  void run() {
    int port = options_.port;
    if (port == 0)
      port = server_.bind_to_any_port(options_.host);
    else if (!server_.bind_to_port(options_.host, port))
      port = -1;
    if (port < 0)
      throw Failure(ExitCode::Failure,
                    fmt::format("cannot listen on {}:{}: is something else there?", options_.host, options_.port));
    std::string url = fmt::format("http://{}:{}/{}", options_.host, port, only_);
    if (context_.isJson)
      std::puts(
          Json({{"schema", "kimic-serve/1"}, {"url", url}, {"port", port}, {"path", options_.path}}).dump().c_str());
    else
      std::puts(url.c_str());
    std::fflush(stdout);
    context_.console.note("Ctrl-C stops it");
    if (options_.opensBrowser)
      openBrowser(url);
    std::thread watch([this] {
      while (!isInterrupted())
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
      server_.stop();
    });
    bool isGood = server_.listen_after_bind();
    bool wasAsked = isInterrupted();
    if (!wasAsked)
      std::raise(SIGINT); // ends the watch
    watch.join();
    if (!isGood && !wasAsked)
      throw Failure(ExitCode::Failure, "the server stopped: connections cannot be accepted any more");
  }

private:
  void addHeaders(httplib::Response &response) const {
    response.set_header("Accept-Ranges", "bytes");
    response.set_header("Cache-Control", "no-cache, no-transform"); // ask each time: files change under development
    response.set_header("X-Content-Type-Options", "nosniff");
    if (options_.allowsOtherOrigins) {
      response.set_header("Access-Control-Allow-Origin", "*");
      response.set_header("Access-Control-Allow-Headers", "Range, If-Range, If-None-Match");
      response.set_header("Access-Control-Expose-Headers", "Content-Range, Content-Length, Content-Encoding, ETag");
      response.set_header("Cross-Origin-Resource-Policy", "cross-origin");
    }
    if (options_.isIsolated) {
      response.set_header("Cross-Origin-Opener-Policy", "same-origin");
      response.set_header("Cross-Origin-Embedder-Policy", "require-corp");
    }
  }

  /// The file or folder of a decoded path, if it lies below the root; symbolic links are followed no further.
  std::optional<fs::path> find(const std::string &path) const {
    std::string relative = path.substr(std::min(path.find_first_not_of('/'), path.size()));
    if (relative.find('\0') != std::string::npos || (!only_.empty() && !relative.empty() && relative != only_))
      return std::nullopt;
    std::error_code error;
    fs::path found = fs::canonical(root_ / relative, error);
    auto [end, at] = std::mismatch(root_.begin(), root_.end(), found.begin(), found.end());
    if (error || end != root_.end())
      return std::nullopt;
    return found;
  }

  void answer(const httplib::Request &request, httplib::Response &response) {
    // The library (0.11) answers ranges that go past the end wrongly, so it must not see that there is one. The request
    // is the library's own object, which it does not keep const.
    const_cast<httplib::Request &>(request).ranges.clear();
    addHeaders(response);
    std::optional<fs::path> path = find(request.path);
    std::error_code error;
    if (path && fs::is_directory(*path, error)) {
      if (only_.empty() && fs::is_regular_file(*path / "index.html", error))
        path = *path / "index.html";
      else
        return list(*path, request.path, response);
    }
    auto file = path && fs::is_regular_file(*path, error) ? std::make_shared<ServedFile>(*path) : nullptr;
    if (!file || !file->isGood()) {
      response.status = 404;
      response.set_content("there is no such file\n", "text/plain; charset=utf-8");
    } else {
      give(request, response, file, typeOf(*path));
    }
    log(request, response);
  }

  void give(const httplib::Request &request, httplib::Response &response, const std::shared_ptr<ServedFile> &file,
            const std::string &type) {
    response.set_header("ETag", file->etag());
    if (request.has_header("If-None-Match") && names(request.get_header_value("If-None-Match"), file->etag())) {
      response.status = 304;
      return;
    }
    std::uint64_t size = file->size();
    std::optional<Range> range;
    if (!request.has_header("If-Range") || request.get_header_value("If-Range") == file->etag())
      range = rangeOf(request.get_header_value("Range"), size);
    if (range && range->first > range->last) {
      response.status = 416;
      response.set_header("Content-Range", fmt::format("bytes */{}", size));
      return;
    }
    response.status = range ? 206 : 200;
    if (range)
      response.set_header("Content-Range", fmt::format("bytes {}-{}/{}", range->first, range->last, size));
    std::uint64_t first = range ? range->first : 0, length = range ? range->last - range->first + 1 : size;
    if (length == 0)
      return response.set_content("", type);
    response.set_content_provider(length, type,
                                  [file, first](std::size_t offset, std::size_t wanted, httplib::DataSink &sink) {
                                    char buffer[65536];
                                    std::size_t count = std::min(wanted, sizeof buffer);
                                    return file->read(first + offset, {buffer, count}) && sink.write(buffer, count);
                                  });
  }

  void list(const fs::path &folder, const std::string &path, httplib::Response &response) const {
    std::vector<std::string> names;
    std::error_code error;
    for (const fs::directory_entry &entry : fs::directory_iterator(folder, error)) {
      std::string name = entry.path().filename().string();
      if (only_.empty() || name == only_)
        names.push_back(name + (entry.is_directory(error) ? "/" : ""));
    }
    std::sort(names.begin(), names.end());
    std::string base = path.back() == '/' ? path : path + "/";
    std::string html = "<!doctype html><meta charset=utf-8><title>" + htmlEscaped(base) + "</title><ul>\n";
    for (const std::string &name : names)
      html += fmt::format("<li><a href=\"{}\">{}</a>\n", percentEncoded(base + name), htmlEscaped(name));
    response.set_content(html + "</ul>\n", "text/html; charset=utf-8");
  }

  void log(const httplib::Request &request, const httplib::Response &response) {
    std::lock_guard lock(logMutex_);
    context_.console.detail(fmt::format("{} {} {} {}", response.status, request.method, printable(request.path),
                                        printable(request.get_header_value("Range"))));
  }

  void openBrowser(const std::string &url) {
    std::string command = "xdg-open", address = url;
    char *arguments[] = {command.data(), address.data(), nullptr};
    pid_t child;
    if (::posix_spawnp(&child, command.c_str(), nullptr, nullptr, arguments, environ) != 0)
      context_.console.warning("xdg-open is missing: open the address by hand");
  }

  const ServeOptions &options_;
  Context &context_;
  fs::path root_;
  std::string only_; ///< the only file that is served; empty: all of the folder
  httplib::Server server_;
  std::mutex logMutex_;
};

} // namespace

void addServe(CLI::App &app, Context &context) {
  CLI::App *command = app.add_subcommand("serve", "Serve a folder or a pack over HTTP, for development and tests");
  auto options = std::make_shared<ServeOptions>();
  command->add_option("PATH", options->path, "Folder to serve, or the only file")->required();
  command->add_option("--port", options->port, "Port; 0: any that is free (default: 8000)")
      ->check(CLI::Range(0, 65535));
  command->add_option("--host", options->host, "Address to listen on (default: 127.0.0.1)");
  command->add_flag("--cors", options->allowsOtherOrigins, "Let pages of other origins read everything");
  command->add_flag("--isolate", options->isIsolated, "Send the headers of cross-origin isolation (COOP, COEP)");
  command->add_flag("--open", options->opensBrowser, "Open the address in a browser");
  command->footer(
      "Answers single ranges, names versions by ETag (a pack's by its digest) and compresses nothing. Not for the\n"
      "open internet: any static server with ranges serves packs there.");
  addOutputOptions(*command, context);
  command->callback(
      [options, &context] { context.run = [options, &context] { StaticServer(*options, context).run(); }; });
}

} // namespace kimic::tool
